#!/usr/bin/env bash
# bench.sh: prepares a private server as production would run it (fsync on, 1 GB of shared buffers)
# and runs tests/bench/run on it: counting on a server that loads the library in each backend, the
# books on one that preloads it. Leaves everything that was measured in build/bench.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

"$ROOT_DIR/scripts/deps.sh"
# Everything else can be measured without them.
BENCH_PYTHON=$BUILD_DIR/bench-venv/bin/python
"$ROOT_DIR/scripts/deps.sh" bench || BENCH_PYTHON=
export BENCH_PYTHON
"$ROOT_DIR/scripts/build.sh"
"$ROOT_DIR/scripts/prefix.sh"
use_postgres
cd "$ROOT_DIR"
shown "cargo build" "$(find_cargo)" build --release -p token_bench
"$ROOT_DIR/scripts/cluster.sh" sweep

started=$SECONDS
export CLUSTERS=$RUN_DIR/run-$$
trap '"$ROOT_DIR/scripts/cluster.sh" destroy-all' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# Ctrl-C of `make bench | tee log` ends the reader too.
trap 'exit 141' PIPE

# start [--preload]
start() {
    "$ROOT_DIR/scripts/cluster.sh" start bench "$@" -c max_connections=200 \
        -c shared_buffers=1GB
}

target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export TOKEN_BENCH=$target/release/token_bench LIBRARY=$BUILD_DIR/$EXTENSION.so
BUILD_SCRIPT=$(find "$target/release/build" -path '*/token_core-*/build-script-build' \
    -printf '%T@ %p\n' | sort -rn | sed -n '1s/^[^ ]* //p')
export BUILD_SCRIPT ROOT_DIR

export PGHOST=$CLUSTERS/bench PGPORT=$SOCKET_PORT PGUSER=postgres PGDATABASE=bench
export PSQL="$BIN/psql -X -h $PGHOST -p $PGPORT -U $PGUSER -d $PGDATABASE"
export PGBENCH="$BIN/pgbench -h $PGHOST -p $PGPORT -U $PGUSER"
export RESULTS=$BUILD_DIR/bench
rm -rf "$RESULTS"
mkdir -p "$RESULTS"

"$ROOT_DIR/scripts/cluster.sh" create bench
start
"$BIN/createdb" "$PGDATABASE"
$PSQL -q -v ON_ERROR_STOP=1 -c "CREATE EXTENSION $EXTENSION"
"$ROOT_DIR/tests/bench/run" count
"$ROOT_DIR/scripts/cluster.sh" stop bench
start --preload
"$ROOT_DIR/tests/bench/run" books
"$ROOT_DIR/tests/bench/run" report
say "measured for $((SECONDS - started)) s; all figures and the tables of the peers are in build/bench"
