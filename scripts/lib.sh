# Shared by every script here: names of places, how to speak, whom to run things as.
# Sourced, never executed.
# shellcheck shell=bash disable=SC2034

set -euo pipefail
# The server's user reads what is put into the run directory.
umask 022

ROOT_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD_DIR=$ROOT_DIR/build
LOG_DIR=$BUILD_DIR/log
EXTENSION=token_mgmt
EXTENSION_VERSION=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$ROOT_DIR/$EXTENSION.control")
SUPPORTED_PG="14 15 16 17 18"
SERVER_USER=${SERVER_USER:-postgres}

# A PGHOST or PGPORT meant for somebody's real server must never lead these scripts to it.
unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGSERVICE PGSERVICEFILE
unset PGOPTIONS PGDATA PGSSLMODE PGAPPNAME PGCLIENTENCODING
# With a backtrace in its environment the server sends it to the client on every Rust error.
unset RUST_BACKTRACE

# What the server reads lives outside the checkout: a checkout in a private home directory is
# closed to the server's user, and a long path does not fit into a socket's 107 bytes.
RUN_DIR=${TOKEN_MGMT_RUN:-/tmp/token_mgmt-$(id -u)-$(printf '%s' "$ROOT_DIR" | cksum | cut -d' ' -f1)}
MIRROR_DIR=$RUN_DIR/root
# The port only names the socket file inside a private directory; nothing listens on TCP with it.
SOCKET_PORT=54329

say() {
    printf '== %s\n' "$*" >&2
}

# die WHAT WAY_OUT: one line says what is wrong, the next how to go on.
die() {
    printf 'error: %s\n' "$1" >&2
    [[ $# -lt 2 ]] || printf '   ->  %s\n' "$2" >&2
    exit 1
}

is_root() {
    [[ $(id -u) -eq 0 ]]
}

as_root() {
    if is_root; then
        "$@"
    else
        sudo "$@"
    fi
}

# PostgreSQL refuses to run as root, so root hands its servers to another user.
as_server() {
    if ! is_root; then
        "$@"
        return
    fi
    id "$SERVER_USER" >/dev/null 2>&1 ||
        die "PostgreSQL does not run as root and there is no user \"$SERVER_USER\" to run it as" \
            "run make as an ordinary user, or name a user: SERVER_USER=nobody make …"
    runuser -u "$SERVER_USER" -- "$@"
}

free_mb() {
    df -Pm "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'
}

# need_space DIRECTORY MEGABYTES PURPOSE
need_space() {
    local available
    available=$(free_mb "$1")
    [[ -z $available || $available -ge $2 ]] ||
        die "the disk is too full: $available MB free at $1, $3 needs about $2 MB" \
            "free some space, or go elsewhere with TOKEN_MGMT_RUN=dir and CARGO_TARGET_DIR=dir"
}

# explain STEP LOG: turns the log of a failed step into one line and a way out.
explain() {
    local step=$1 log=$2 last
    if grep -qiE 'no space left on device|disk quota exceeded' "$log"; then
        die "the disk is full: $step could not write" \
            "free some space, or go elsewhere with TOKEN_MGMT_RUN=dir and CARGO_TARGET_DIR=dir"
    fi
    if grep -qiE "temporary failure (in name )?resolv|could ?n[o']t resolve|failed to download|\
network (is )?(unreachable|failure)|failed to fetch|spurious network error|EAI_AGAIN|ENOTFOUND|\
ECONNREFUSED|connection (timed out|refused)|max retries exceeded|no route to host" "$log"; then
        die "no network: $step could not download what it needs (whole output: $log)" \
            "connect this machine or set https_proxy, then run it again; what is there is kept"
    fi
    if grep -qi 'permission denied' "$log"; then
        die "$step may not write: $(grep -i 'permission denied' "$log" | head -n 1)" \
            "give the files back to yourself: sudo chown -R \"\$(id -un)\" $ROOT_DIR"
    fi
    last=$(grep -E '^(E:|error|npm (ERR|error)|ERROR|initdb: error|pg_ctl:)' "$log" | head -n 1 || true)
    [[ -n $last ]] || last=$(grep . "$log" | tail -n 1 || true)
    die "$step failed: ${last:-it said nothing}" "the whole output is in $log"
}

# logged STEP COMMAND…: quiet while it works, explained when it does not.
logged() {
    local step=$1 log
    shift
    mkdir -p "$LOG_DIR"
    log=$LOG_DIR/${step//[^a-zA-Z0-9]/_}.log
    "$@" >"$log" 2>&1 || explain "$step" "$log"
}

# shown STEP COMMAND…: the same for what takes minutes, with its output on the screen.
shown() {
    local step=$1 log
    shift
    mkdir -p "$LOG_DIR"
    log=$LOG_DIR/${step//[^a-zA-Z0-9]/_}.log
    "$@" 2>&1 | tee "$log" >&2 || explain "$step" "$log"
}

writable_checkout() {
    mkdir -p "$LOG_DIR" 2>/dev/null || true
    [[ -w $BUILD_DIR && -w $LOG_DIR ]] ||
        die "$BUILD_DIR is not yours to write (an earlier run as another user?)" \
            "give the files back to yourself: sudo chown -R \"\$(id -un)\" $ROOT_DIR"
}

# /tmp is everyone's: a directory of our name that somebody else made is not used.
private_run_dir() {
    mkdir -p "$RUN_DIR" 2>/dev/null || true
    [[ -d $RUN_DIR && ! -L $RUN_DIR && -O $RUN_DIR ]] ||
        die "$RUN_DIR is not a directory of your own" "set TOKEN_MGMT_RUN to one that is"
    [[ ${#RUN_DIR} -le 60 ]] ||
        die "the path $RUN_DIR is too long for a socket" "set TOKEN_MGMT_RUN to a shorter one"
}

pg_major() {
    "$1" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p'
}

pg_supported() {
    [[ " $SUPPORTED_PG " == *" $1 "* ]]
}

# pg_missing PG_CONFIG: what that PostgreSQL lacks for building and running the extension.
pg_missing() {
    local bin headers
    bin=$("$1" --bindir 2>/dev/null) || { echo "a working pg_config" && return; }
    headers=$("$1" --includedir-server 2>/dev/null) || true
    if [[ ! -x $bin/postgres || ! -x $bin/initdb ]]; then
        echo "the server ($bin/postgres)"
    elif [[ ! -f $headers/postgres.h ]]; then
        echo "its headers ($headers/postgres.h)"
    fi
}

# Prints the pg_config to use, or nothing when nothing usable is installed. PG_CONFIG decides
# when it is set; then the one on PATH; then Debian's, newest first.
find_pg_config() {
    local candidate major missing
    if [[ -n ${PG_CONFIG:-} ]]; then
        major=$(pg_major "$PG_CONFIG" || true)
        [[ -n $major ]] || die "PG_CONFIG=$PG_CONFIG does not run" "name the pg_config of a PostgreSQL"
        pg_supported "$major" ||
            die "PostgreSQL $major is not supported (PG_CONFIG=$PG_CONFIG)" \
                "name the pg_config of one of PostgreSQL $SUPPORTED_PG"
        missing=$(pg_missing "$PG_CONFIG")
        [[ -z $missing ]] ||
            die "the PostgreSQL of PG_CONFIG=$PG_CONFIG lacks $missing" \
                "install it (Debian: postgresql-$major and postgresql-server-dev-$major)"
        echo "$PG_CONFIG"
        return
    fi
    for candidate in "$(command -v pg_config || true)" \
        /usr/lib/postgresql/{18,17,16,15,14}/bin/pg_config; do
        [[ -n $candidate && -x $candidate ]] || continue
        major=$(pg_major "$candidate" || true)
        if pg_supported "${major:-none}" && [[ -z $(pg_missing "$candidate") ]]; then
            echo "$candidate"
            return
        fi
    done
}

# Sets PG_CONFIG and PG_MAJOR, and BIN to the private copy of PostgreSQL's programs.
use_postgres() {
    PG_CONFIG=$(find_pg_config)
    [[ -n $PG_CONFIG ]] ||
        die "no usable PostgreSQL (one of $SUPPORTED_PG with server and headers)" \
            "run \`make deps\`, or name one: make … PG_CONFIG=/path/to/pg_config"
    PG_MAJOR=$(pg_major "$PG_CONFIG")
    BIN=$MIRROR_DIR$("$PG_CONFIG" --bindir)
    export PG_CONFIG
    readonly PG_MAJOR BIN
}

find_cargo() {
    local cargo
    cargo=$(command -v cargo || true)
    [[ -n $cargo || ! -x $HOME/.cargo/bin/cargo ]] || cargo=$HOME/.cargo/bin/cargo
    [[ -n $cargo ]] ||
        die "cargo is not installed" "install Rust with rustup (https://rustup.rs), then run it again"
    echo "$cargo"
}
