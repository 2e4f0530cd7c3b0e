#!/usr/bin/env bash
# cluster.sh: private PostgreSQL clusters, each a directory NAME below $CLUSTERS (default: the
# run directory) with its data, its socket and its log in it, closed to other users.
#
#   cluster.sh create NAME                    a fresh one, in place of any earlier one
#   cluster.sh start NAME [OPTION…]           starts it and waits until it answers
#       --preload                             shared_preload_libraries = token_mgmt
#       --fast                                no fsync: for tests, whose machine does not crash
#       --port N                              also listens on 127.0.0.1:N (password in NAME/password)
#       -c NAME=VALUE                         any other setting
#       --env NAME=VALUE                      environment of the server (faketime)
#   cluster.sh stop NAME [fast|immediate]     stops it
#   cluster.sh destroy NAME                   stops it and removes it
#   cluster.sh destroy-all                    likewise for everything below $CLUSTERS
#   cluster.sh sweep                          removes what killed test runs left behind
#
# Connect with -h $CLUSTERS/NAME -p 54329 -U postgres.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

use_postgres
private_run_dir
CLUSTERS=${CLUSTERS:-$RUN_DIR}

# The server's environment is only what it needs: what is set in a developer's shell must not
# change a test.
as_clean_server() {
    local home=$1
    shift
    (cd "$home" && as_server env -i "PATH=$BIN:/usr/bin:/bin" LANG=C.UTF-8 "$@")
}

# initdb takes seconds, copying its result a fraction of one.
template() {
    local directory=$RUN_DIR/template
    [[ ! -f $directory/complete ]] || return 0
    rm -rf "$directory" "$directory.$$"
    mkdir -m 0700 "$directory.$$"
    ! is_root || chown "$SERVER_USER" "$directory.$$"
    logged initdb as_clean_server "$directory.$$" "$BIN/initdb" -D "$directory.$$/data" \
        -U postgres -E UTF8 --locale=C.UTF-8 --no-sync --auth-local=trust --auth-host=scram-sha-256
    touch "$directory.$$/complete"
    mv -T "$directory.$$" "$directory" 2>/dev/null || rm -rf "$directory.$$"
}

is_running() {
    [[ -f $1/data/postmaster.pid ]] &&
        as_clean_server "$1" "$BIN/pg_ctl" -D "$1/data" status >/dev/null 2>&1
}

stop() {
    local directory=$CLUSTERS/$1 mode=${2:-fast}
    is_running "$directory" || return 0
    as_clean_server "$directory" "$BIN/pg_ctl" -D "$directory/data" stop -s -w -t 20 -m "$mode" ||
        as_clean_server "$directory" "$BIN/pg_ctl" -D "$directory/data" stop -s -w -m immediate
}

destroy() {
    [[ -d $CLUSTERS/$1 ]] || return 0
    stop "$1" immediate
    rm -rf "${CLUSTERS:?}/$1"
}

create() {
    local directory=$CLUSTERS/$1
    destroy "$1"
    template
    need_space "$RUN_DIR" 300 "a cluster"
    mkdir -p "$CLUSTERS"
    mkdir -m 0700 "$directory"
    cp -a --reflink=auto "$RUN_DIR/template/data" "$directory/"
    ! is_root || chown -R "$SERVER_USER" "$directory"
}

port_is_taken() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

start() {
    local directory=$CLUSTERS/$1 tcp_port='' environment=() settings
    shift
    settings=(
        "cluster_name='$EXTENSION'"
        "listen_addresses=''"
        "port=$SOCKET_PORT"
        "unix_socket_directories='$directory'"
        "unix_socket_permissions=0700"
        "log_line_prefix='%m [%p] %q%u@%d '"
        "timezone='UTC'"
        "log_timezone='UTC'"
    )
    while [[ $# -gt 0 ]]; do
        case $1 in
        --preload) settings+=("shared_preload_libraries='$EXTENSION'") ;;
        --fast) settings+=("fsync=off" "full_page_writes=off") ;;
        --port) tcp_port=$2 && shift ;;
        --env) environment+=("$2") && shift ;;
        -c) settings+=("${2%%=*}='${2#*=}'") && shift ;;
        *) die "cluster.sh start: unknown option $1" "see the head of scripts/cluster.sh" ;;
        esac
        shift
    done
    if [[ -n $tcp_port ]]; then
        [[ $tcp_port =~ ^[0-9]+$ && $tcp_port -gt 0 && $tcp_port -lt 65536 ]] ||
            die "\"$tcp_port\" is not a port" "give a number from 1024 to 65535, as in PORT=54330"
        ! port_is_taken "$tcp_port" ||
            die "port $tcp_port is taken by another program" \
                "choose another, as in PORT=54330, or none: the socket needs no port"
        settings+=("port=$tcp_port" "listen_addresses='127.0.0.1'")
    fi
    printf '%s\n' "${settings[@]}" >"$directory/data/postgresql.auto.conf"
    ! is_root || chown "$SERVER_USER" "$directory/data/postgresql.auto.conf"
    as_clean_server "$directory" "${environment[@]}" "$BIN/pg_ctl" -D "$directory/data" \
        -l "$directory/log" -w -t 60 -s start >/dev/null 2>&1 ||
        die "PostgreSQL did not start: $(grep -E 'FATAL|PANIC' "$directory/log" | tail -n 1)" \
            "the whole log is in $directory/log"
    [[ -z $tcp_port ]] || set_password "$directory" "$tcp_port"
}

set_password() {
    local directory=$1 password
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    (umask 077 && echo "$password" >"$directory/password")
    echo "ALTER ROLE postgres PASSWORD '$password'" |
        "$BIN/psql" -X -q -h "$directory" -p "$2" -U postgres -d postgres
}

# Directories run-PID belong to a test run; that of a dead process was left by kill -9.
sweep() {
    local run
    for run in "$RUN_DIR"/run-*; do
        [[ -d $run ]] || continue
        ! kill -0 "${run##*-}" 2>/dev/null || continue
        say "removing the servers of an interrupted test run (${run##*/})"
        CLUSTERS=$run
        destroy_all
    done
}

destroy_all() {
    local directory
    for directory in "$CLUSTERS"/*/; do
        [[ -d $directory/data ]] || continue
        directory=${directory%/}
        destroy "${directory##*/}"
    done
    [[ $CLUSTERS == "$RUN_DIR" ]] || rm -rf "$CLUSTERS"
}

command=${1:-}
case $command in
create | start | stop | destroy)
    [[ $# -ge 2 ]] || die "cluster.sh $command: which cluster?" "cluster.sh $command NAME"
    shift
    "$command" "$@"
    ;;
destroy-all) destroy_all ;;
sweep) sweep ;;
*) die "cluster.sh: unknown command \"$command\"" "see the head of scripts/cluster.sh" ;;
esac
