#!/usr/bin/env bash
# demo.sh: from a fresh machine to the main job: prepares everything, starts a private server,
# runs demo/run.sh on it and removes the server, unless KEEP=1.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

"$ROOT_DIR/scripts/deps.sh"
"$ROOT_DIR/scripts/build.sh"
"$ROOT_DIR/scripts/prefix.sh"
use_postgres

directory=$RUN_DIR/demo
database=demo
port=${PORT:-$SOCKET_PORT}
finished=false

finish() {
    local status=$?
    trap - EXIT INT TERM
    if $finished && [[ ${KEEP:-0} == 1 ]]; then
        say "the server is kept; connect with"
        say "    $PSQL"
        [[ -z ${PORT:-} ]] ||
            say "    postgresql://postgres:$(cat "$directory/password")@127.0.0.1:$PORT/$database"
        say "and remove it with: make stop"
    else
        "$ROOT_DIR/scripts/cluster.sh" destroy demo || status=1
    fi
    exit "$status"
}

[[ ! -d $directory ]] || say "replacing the server of an earlier demo"
"$ROOT_DIR/scripts/cluster.sh" create demo
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 141' PIPE

say "starting a private PostgreSQL $PG_MAJOR in $directory"
"$ROOT_DIR/scripts/cluster.sh" start demo --preload ${PORT:+--port "$PORT"}

export PGHOST=$directory PGPORT=$port PGUSER=postgres PGDATABASE=$database
export PSQL="$BIN/psql -X -h $PGHOST -p $PGPORT -U $PGUSER -d $PGDATABASE"
export PGBENCH="$BIN/pgbench -h $PGHOST -p $PGPORT -U $PGUSER"
CARGO=$(find_cargo)
export CARGO
"$BIN/createdb" "$database"
$PSQL -q -v ON_ERROR_STOP=1 -c "CREATE EXTENSION $EXTENSION"

"$ROOT_DIR/demo/run.sh"
finished=true
