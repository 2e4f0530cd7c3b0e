#!/usr/bin/env bash
# The main job, shown from SQL on real input, each promise checked. scripts/demo.sh has prepared a
# server and sets PSQL, PGBENCH and CARGO. The SQL is in demo/*.sql.
set -euo pipefail
cd "$(dirname "$0")/.."

conversation=data/conversation/conversation.json
document=data/conversation/chapter-21.txt

fail() {
    printf 'error: demo: %s\n' "$1" >&2
    exit 1
}

# part FILE [PSQL OPTION…]: psql answers with 3 when a promise was not kept.
part() {
    local file=demo/$1
    shift
    $PSQL -q -v ON_ERROR_STOP=1 -v conversation="$conversation" -v document="$document" \
        -v SHOW_CONTEXT=never -P pager=off -P footer=off "$@" -f "$file" 2>&1 ||
        fail "stopped in $file; the line above says at what"
}

query() {
    $PSQL -qAt -v ON_ERROR_STOP=1 -c "$1"
}

# until_true WHAT SECONDS CONDITION
until_true() {
    local deadline=$((SECONDS + $2))
    until [[ $(query "SELECT $3") == t ]]; do
        [[ $SECONDS -lt $deadline ]] || fail "$1 did not happen within $2 seconds"
        sleep 0.2
    done
}

# What tiktoken-rs itself counts, outside PostgreSQL.
oracle() {
    "${CARGO_TARGET_DIR:-target}/release/examples/oracle_count" "$@" ||
        fail "tiktoken-rs could not be asked for the count of $2"
}

race() {
    local log
    log=$($PGBENCH -n -c 32 -j 4 -t 40 -f demo/race_session.sql 2>&1) ||
        fail "pgbench: $(grep -m 1 -i error <<<"$log" || tail -n 1 <<<"$log")"
}

echo "-- building the program that asks tiktoken-rs for its counts (once)"
"${CARGO:-cargo}" build --quiet --release -p token_core --example oracle_count ||
    fail "the program that asks tiktoken-rs does not build"
SECONDS=0
cl100k=$(oracle cl100k_base "$document")
o200k=$(oracle o200k_base "$document")
whole=$(oracle o200k_base "$conversation")

part setup.sql
until_true "the worker's first pass" 30 \
    "EXISTS (SELECT FROM token_mgmt.worker_status WHERE job = 'worker' AND status = 'running')"
part start.sql
part count.sql -v cl100k="$cl100k" -v o200k="$o200k" -v whole="$whole"
part fit.sql
part overflow.sql
part race.sql
race
part race_result.sql
part settle.sql
until_true "the expiry by the worker" 30 \
    "(SELECT rows_done > 0 FROM token_mgmt.worker_status WHERE job = 'expire holds')"
part expiry.sql
echo "-- waiting until the minute is over and the worker has opened the next: at most a minute"
until_true "the reset by the worker" 80 \
    "(SELECT count(*) > 1 FROM demo.minute_period)"
part reset.sql
part audit.sql
echo "-- ${SECONDS} s, most of it waiting for the minute to end"
