#!/usr/bin/env bash
# bench.sh: prepares a private server as production would run it (fsync on, preloaded) and runs
# tests/bench/run on it.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

"$ROOT_DIR/scripts/deps.sh"
"$ROOT_DIR/scripts/build.sh"
"$ROOT_DIR/scripts/prefix.sh"
use_postgres
cd "$ROOT_DIR"
shown "cargo build" "$(find_cargo)" build --release -p token_core --example bench_count
"$ROOT_DIR/scripts/cluster.sh" sweep

export CLUSTERS=$RUN_DIR/run-$$
trap '"$ROOT_DIR/scripts/cluster.sh" destroy-all' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Ctrl-C of `make bench | tee log` ends the reader too.
trap 'exit 141' PIPE
"$ROOT_DIR/scripts/cluster.sh" create bench
"$ROOT_DIR/scripts/cluster.sh" start bench --preload -c max_connections=200

export PGHOST=$CLUSTERS/bench PGPORT=$SOCKET_PORT PGUSER=postgres PGDATABASE=bench
export PSQL="$BIN/psql -X -h $PGHOST -p $PGPORT -U $PGUSER -d $PGDATABASE"
export PGBENCH="$BIN/pgbench -h $PGHOST -p $PGPORT -U $PGUSER"
export BENCH_COUNT=$ROOT_DIR/target/release/examples/bench_count
[[ -z ${CARGO_TARGET_DIR:-} ]] ||
    BENCH_COUNT=$(cd "$CARGO_TARGET_DIR" && pwd)/release/examples/bench_count
"$BIN/createdb" "$PGDATABASE"
$PSQL -q -v ON_ERROR_STOP=1 -c "CREATE EXTENSION $EXTENSION"
"$ROOT_DIR/tests/bench/run"
