# The part of `run` that measures counting: first calls, memory, throughput, the build. Sourced.
# shellcheck shell=bash disable=SC2154

encodings=(cl100k_base o200k_base)
first_rounds=15
memory_rounds=5
load_rounds=3
message_rounds=9
count_rounds=5

# record_row PART SUBJECT VARIANT VALUE
record_row() {
    printf '%s\t%s\t%s\n' "$2" "$3" "$4" | record "$1"
}

# What a clean build pays for the tables: the build script of token_core, once more.
build_round() {
    local scratch feature features=() begin end
    scratch=$(mktemp -d)
    for feature in $(sed -n 's/^default = \[\(.*\)\]/\1/p' "$ROOT_DIR/crates/token_core/Cargo.toml" |
        tr -d '",' | tr '[:lower:]' '[:upper:]'); do
        features+=("CARGO_FEATURE_$feature=1")
    done
    begin=$EPOCHREALTIME
    (cd "$ROOT_DIR/crates/token_core" &&
        env "${features[@]}" OUT_DIR="$scratch" "$BUILD_SCRIPT" >/dev/null)
    end=$EPOCHREALTIME
    record_row build tables seconds "$(awk "BEGIN { print $end - $begin }")"
    record_row build tables bytes "$(cat "$scratch"/*.tables | wc -c)"
    rm -rf "$scratch"
    record_row build library bytes "$(stat -L -c %s "$LIBRARY")"
}

# client_times EXPRESSION: milliseconds of the first and of the second SELECT of a connection, as
# the client sees them, for a value of a table's row, so that the planner does not fold the call.
client_times() {
    $PSQL -q -A -t -v ON_ERROR_STOP=1 <<SQL | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | paste -s
\timing on
SELECT $1 FROM bench.short;
SELECT $1 FROM bench.short;
SQL
}

# Each line of psql is a connection of its own, and the only one that counts.
first_round() {
    local encoding variant
    for encoding in "${encodings[@]}"; do
        for variant in cold loaded; do
            run_sql -F $'\t' -c "SELECT '$encoding', v.variant, v.value
                FROM bench.first_calls('$encoding', loaded => '$variant' = 'loaded') f,
                    LATERAL (VALUES ('${variant}_first', f.first), ('${variant}_second', f.second),
                        ('${variant}_difference', f.first - f.second)) v (variant, value)" |
                record first
        done
        client_times "tiktoken_count('$encoding', content)" |
            awk -v head="$encoding" '{ printf "%s\tclient_first\t%s\n%s\tclient_second\t%s\n",
                head, $1 / 1e3, head, $2 / 1e3 }' | record first
    done
    client_times 'length(content)' |
        awk '{ printf "length\tclient_first\t%s\nlength\tclient_second\t%s\n", $1 / 1e3, $2 / 1e3 }' |
        record first
}

# memory_of SCRIPT COUNTING ENCODING: label, private and anonymous bytes of the session's backend at
# each of the script's snapshots. Where COUNTING is false it calls length() instead.
memory_of() {
    $PSQL -q -A -t -v ON_ERROR_STOP=1 -v counting="$2" -v encoding="$3" -f "$1" |
        grep '^snapshot' | cut -f 2-
}

# memory_pair SUBJECT SCRIPT ENCODING: what counting takes beyond what length() takes.
memory_pair() {
    local subject=$1
    paste <(memory_of "$2" false "$3") <(memory_of "$2" true "$3") |
        awk -F '\t' -v subject="$subject" '$1 == $4 {
            printf "%s/%s\tprivate\t%s\n", subject, $1, $5 - $2
            printf "%s/%s\tanonymous\t%s\n", subject, $1, $6 - $3
        }' | record memory
}

# with_neighbour SCRIPT ENCODING COMMAND…: runs the command while another backend, which has run
# the script, has the library's pages in its memory too.
with_neighbour() {
    local script=$1 encoding=$2 line
    shift 2
    coproc NEIGHBOUR { $PSQL -q -A -t -v counting=true -v encoding="$encoding" 2>&1; }
    local neighbour=$NEIGHBOUR_PID input=${NEIGHBOUR[1]}
    printf '\\i %s\n\\echo ready\n' "$script" >&"$input"
    while read -r line <&"${NEIGHBOUR[0]}" && [[ $line != ready ]]; do
        [[ $line != *ERROR* ]] || echo "$line" >&2
    done
    "$@"
    echo '\q' >&"$input"
    wait "$neighbour"
}

memory_round() {
    local encoding
    for encoding in "${encodings[@]}"; do
        memory_pair "$encoding/alone" memory_first.sql "$encoding"
        with_neighbour memory_first.sql "$encoding" \
            memory_pair "$encoding/beside" memory_first.sql "$encoding"
    done
}

load_round() {
    memory_pair load/alone memory_load.sql o200k_base
    with_neighbour memory_load.sql o200k_base memory_pair load/beside memory_load.sql o200k_base
}

# Both count everything twice, and the second time is taken.
message_round() {
    local encoding outside inside planned
    for encoding in "${encodings[@]}"; do
        outside=$("$TOKEN_BENCH" texts token_core "$encoding" "$texts/messages" | cut -f 3-4)
        inside=$(run_sql -F $'\t' -c 'SET jit = off' -c 'SET max_parallel_workers_per_gather = 0' \
            -c "SELECT * FROM bench.message_seconds('$encoding')")
        planned=$(run_sql -F $'\t' -c "SELECT * FROM bench.message_seconds('$encoding')")
        printf '%s\t%s\t%s\n' "$outside" "$inside" "$planned" | awk -F '\t' -v head="$encoding" '
            $2 != $4 { print "the counts inside and outside PostgreSQL differ"; exit 1 }
            {
                printf "%s\toutside\t%s\n%s\tsql\t%s\n", head, $1, head, $3
                printf "%s\tscan\t%s\n%s\tdefaults\t%s\n", head, $5, head, $6
                printf "%s\tratio\t%s\n%s\tratio_net\t%s\n", head, $1 / $3, head, $1 / ($3 - $5)
                printf "%s\tratio_defaults\t%s\n", head, $1 / $6
            }' | record messages
    done
}

count_round() {
    local outside=$texts/outside.tsv inside=$texts/inside.tsv
    "$TOKEN_BENCH" texts token_core,tiktoken-rs o200k_base "$texts"/*-*[0-9] >"$outside"
    run_sql -F $'\t' -c "
        SELECT t.subject, 'sql', c.seconds, c.tokens
        FROM (SELECT kind || '-' || size AS subject, array_agg(content ORDER BY n) AS texts
              FROM bench.text GROUP BY kind, size) t,
            LATERAL bench.count_seconds('o200k_base', t.texts) c" >"$inside"
    # A comparison of different work would be worth nothing.
    if [[ $(cut -f 1,4 "$outside" "$inside" | sort | uniq -c | grep -vc '^ *3 ') -ne 0 ]]; then
        echo "error: the counts inside and outside PostgreSQL differ" >&2
        return 1
    fi
    cut -f 1-3 "$outside" "$inside" | record count
}

# repeat TIMES COMMAND
repeat() {
    local round
    for ((round = 0; round < $1; round++)); do
        "$2"
    done
}

measure_counting() {
    say "building: the tables once more"
    build_round
    say "first counts of fresh backends ($first_rounds rounds)"
    repeat "$first_rounds" first_round
    say "memory of backends ($memory_rounds rounds after a first count, $load_rounds under load)"
    repeat "$memory_rounds" memory_round
    repeat "$load_rounds" load_round
    say "100,000 messages in SQL and outside ($message_rounds rounds)"
    repeat "$message_rounds" message_round
    say "texts of all lengths in SQL and outside ($count_rounds rounds)"
    repeat "$count_rounds" count_round
    say "token_core and other tokenizers: first use, throughput, hostile texts"
    "$TOKEN_BENCH" all --root "$ROOT_DIR" --raw "$RESULTS/token_bench.tsv" >"$RESULTS/token_bench.md"
    run_sql -c 'COPY bench.measure FROM STDIN' <"$RESULTS/token_bench.tsv"
}
