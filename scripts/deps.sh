#!/usr/bin/env bash
# deps.sh [test|bench]: installs what is missing on a Debian machine, and nothing else. With `test`
# also what only the tests need, with `bench` the Python packages that fitting is compared with.
# Never upgrades or restarts an installed PostgreSQL.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

packages=()
createcluster_dir=/etc/postgresql-common/createcluster.d
createcluster_file=$createcluster_dir/$EXTENSION.conf
policy_file=/usr/sbin/policy-rc.d
# By its place: /usr/sbin is not on the PATH of Debian's ordinary users.
pgbouncer=/usr/sbin/pgbouncer
indexes_fresh=false
# Files that say during an installation what is not to happen in it; removed at the end.
prohibitions=()

lift_prohibitions() {
    as_root rm -f "${prohibitions[@]}"
}

# prohibit FILE: writes the standard input to it until the end of this script.
prohibit() {
    prohibitions+=("$1")
    trap lift_prohibitions EXIT
    as_root mkdir -p "${1%/*}"
    as_root tee "$1" >/dev/null
}

# A server package installed by us must not bring a running cluster of the system with it.
forbid_main_cluster() {
    echo 'create_main_cluster = false' | prohibit "$createcluster_file"
}

# Nor does the pooler's package start a service: the tests run poolers of their own.
forbid_pgbouncer_service() {
    [[ ! -e $policy_file ]] || return 0
    # shellcheck disable=SC2016
    printf '#!/bin/sh\n[ "$1" != pgbouncer ] || exit 101\n' | prohibit "$policy_file"
    as_root chmod 0755 "$policy_file"
}

refresh_indexes() {
    $indexes_fresh && return
    say "refreshing the package lists (apt-get update)"
    logged "apt-get update" as_root env DEBIAN_FRONTEND=noninteractive apt-get update
    # apt-get update calls a failed download a warning and exits with 0.
    if grep -q '^[WE]: Failed to fetch' "$LOG_DIR/apt_get_update.log"; then
        explain "apt-get update" "$LOG_DIR/apt_get_update.log"
    fi
    indexes_fresh=true
}

need_apt() {
    command -v apt-get >/dev/null ||
        die "this is not Debian, and these are missing: $*" \
            "install them by hand; PostgreSQL is found through PG_CONFIG=/path/to/pg_config"
    is_root || command -v sudo >/dev/null ||
        die "root has to install $* and there is no sudo" \
            "as root: apt-get install $*; then run it again"
    is_root || sudo -n true 2>/dev/null || { [[ -t 0 || -t 2 ]] && sudo -v; } ||
        die "sudo refuses, and root has to install $*" \
            "as root: apt-get install $*; then run it again"
}

installed_version() {
    dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2>/dev/null | sed -n 's/^installed //p'
}

# The headers of exactly the installed server: any other version would pull the server up with
# it and restart its clusters.
want_server_headers() {
    local major=$1 version
    version=$(installed_version "postgresql-$major")
    need_apt "postgresql-server-dev-$major"
    refresh_indexes
    if [[ -n $version ]] &&
        apt-cache madison "postgresql-server-dev-$major" | grep -qF " $version "; then
        packages+=("postgresql-server-dev-$major=$version")
    elif [[ -n $version ]] &&
        apt-get install -s --no-install-recommends "postgresql-server-dev-$major" 2>/dev/null |
        grep -q "^Inst postgresql-$major "; then
        die "the headers of your PostgreSQL $version are gone from apt; newer ones would upgrade it" \
            "upgrade it yourself: apt-get install postgresql-$major postgresql-server-dev-$major"
    else
        packages+=("postgresql-server-dev-$major")
    fi
}

want_postgres() {
    local major config
    config=$(find_pg_config)
    [[ -z $config ]] || return 0
    for major in 18 17 16 15 14; do
        if [[ -x /usr/lib/postgresql/$major/bin/postgres ]]; then
            want_server_headers "$major"
            return
        fi
    done
    need_apt postgresql
    refresh_indexes
    major=$(LC_ALL=C apt-cache policy postgresql | sed -n 's/^ *Candidate: *\([0-9]*\)+.*/\1/p')
    pg_supported "${major:-none}" ||
        die "apt offers PostgreSQL ${major:-(none)}, supported are $SUPPORTED_PG" \
            "install one of these by hand and name it: PG_CONFIG=/path/to/pg_config"
    packages+=("postgresql-$major" "postgresql-server-dev-$major")
    forbid_main_cluster
}

has_libclang() {
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
        ldconfig -p 2>/dev/null | grep -q 'libclang[-.0-9]*\.so' || [[ -n ${LIBCLANG_PATH:-} ]]
}

has_faketime() {
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null
}

# find_cargo's own message says the rest.
check_rust() {
    local cargo version
    cargo=$(find_cargo)
    mkdir -p "$LOG_DIR"
    # With rustup this also fetches the toolchain that rust-toolchain.toml names.
    if ! version=$(cd "$ROOT_DIR" && "$cargo" --version 2>"$LOG_DIR/cargo.log"); then
        if grep -q 'is not installed' "$LOG_DIR/cargo.log"; then
            die "the Rust toolchain of rust-toolchain.toml is not installed" \
                "in $ROOT_DIR: rustup toolchain install"
        fi
        explain "cargo --version" "$LOG_DIR/cargo.log"
    fi
    version=${version#cargo }
    version=${version%% *}
    [[ $(printf '%s\n' 1.95.0 "$version" | sort -V | head -n 1) == 1.95.0 ]] ||
        die "cargo $version is too old, 1.95 or newer is needed" "rustup update stable"
}

want_python() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
}

want_test_tools() {
    want_python
    command -v node >/dev/null || packages+=(nodejs)
    command -v npm >/dev/null || packages+=(npm)
    command -v shellcheck >/dev/null || packages+=(shellcheck)
    command -v "${CXX:-c++}" >/dev/null || packages+=(g++)
    has_faketime || packages+=(libfaketime)
    [[ -x $pgbouncer ]] || packages+=(pgbouncer)
}

install_packages() {
    [[ ${#packages[@]} -gt 0 ]] || return 0
    need_apt "${packages[@]}"
    refresh_indexes
    need_space /usr 1500 "installing packages"
    [[ " ${packages[*]} " != *" pgbouncer "* ]] || forbid_pgbouncer_service
    say "installing ${packages[*]}"
    logged "apt-get install" as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get install -y --no-install-recommends "${packages[@]}"
    [[ " ${packages[*]} " != *" pgbouncer "* ]] ||
        logged "update-rc.d" as_root /usr/sbin/update-rc.d pgbouncer disable
}

# python_packages DIRECTORY FILE WHOSE: installed once per content of the file that names the
# versions, relative to the checkout.
python_packages() {
    local venv=$BUILD_DIR/$1 file=$ROOT_DIR/$2 wanted
    wanted=$(cksum <"$file")
    if [[ -x $venv/bin/python && $(cat "$venv/.installed" 2>/dev/null) == "$wanted" ]]; then
        return
    fi
    say "installing $3 Python packages into build/$1"
    logged "python3 -m venv" python3 -m venv --clear "$venv"
    logged "pip install" "$venv/bin/python" -m pip install --disable-pip-version-check -r "$file"
    echo "$wanted" >"$venv/.installed"
}

# No lock file: it would record where this machine downloads from. The versions are exact.
node_packages() {
    local wanted stamp=$BUILD_DIR/node/.installed
    [[ -f $ROOT_DIR/tests/drivers/package.json ]] || return 0
    wanted=$(cksum <"$ROOT_DIR/tests/drivers/package.json")
    [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]] || return 0
    say "installing the tests' node packages into build/node"
    mkdir -p "$BUILD_DIR/node"
    cp "$ROOT_DIR/tests/drivers/package.json" "$BUILD_DIR/node/"
    logged "npm install" npm install --prefix "$BUILD_DIR/node" --no-package-lock --no-audit \
        --no-fund --loglevel=error
    echo "$wanted" >"$stamp"
}

writable_checkout
check_rust
want_postgres
command -v gcc >/dev/null || packages+=(gcc)
[[ -f /usr/include/stdio.h ]] || packages+=(libc6-dev)
# postgresql-server-dev brings its own clang; any other PostgreSQL needs one for the bindings.
has_libclang || [[ " ${packages[*]} " == *server-dev* ]] || packages+=(libclang-dev)
case ${1:-} in
test) want_test_tools ;;
bench) want_python ;;
esac
install_packages
use_postgres
case ${1:-} in
test)
    python_packages venv tests/requirements.txt "the tests'"
    node_packages
    ;;
bench)
    [[ -x $BUILD_DIR/bench-venv/bin/python ]] ||
        need_space "$BUILD_DIR" 600 "installing the benchmark's peers"
    python_packages bench-venv tests/bench/requirements.txt "the benchmark's"
    ;;
esac
say "$("$PG_CONFIG" --version) ($PG_CONFIG), $("$(find_cargo)" --version)"
