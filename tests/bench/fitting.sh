# The part of `run` that measures fitting: by size and strategy, of what fits already, and against
# LangChain and LiteLLM. Sourced.
# shellcheck shell=bash disable=SC2154

# fit_rows SUBJECT FUNCTION VALUES: rows of subject, variant and value, of one call "f".
fit_rows() {
    run_sql -F $'\t' -c "
        SELECT $1, v.variant, v.value FROM $2, LATERAL (VALUES $3) v (variant, value)"
}

fit_round() {
    local size strategy
    for size in 100 1000 10000; do
        fit_rows "'$size'" "bench.fit_seconds($size) f" "('bytes', f.bytes::float), ('fit', f.fit),
            ('kept', f.kept), ('count_only', f.count_only)" | record fit
    done
    for strategy in recent middle_out importance summary; do
        for size in 100 1000 10000; do
            fit_rows "'$strategy/$size'" "bench.half_seconds('tools', $size, '$strategy') f" \
                "('fit', f.fit), ('kept', f.kept)" | record fit_half
        done
    done
    for size in 100 1000 10000; do
        fit_rows "'$size'" "bench.whole_seconds($size) f" \
            "('fit', f.fit), ('count', f.count_only), ('same', f.same)" | record fit_whole
    done
}

# In one process, whose turns follow one another: a package takes seconds to import.
measure_peers() {
    if [[ -z ${BENCH_PYTHON:-} ]]; then
        say "LangChain and LiteLLM could not be installed, their rows are left out"
        return
    fi
    "$BENCH_PYTHON" fitting.py "$ROUNDS" "$LITELLM_ROUNDS" >"$RESULTS/peers.tsv" ||
        say "the comparison with LangChain and LiteLLM was broken off, see above"
    record fit_peers <"$RESULTS/peers.tsv"
}

measure_fitting() {
    local round
    say "fitting by size and strategy ($ROUNDS rounds)"
    for ((round = 1; round <= ROUNDS; round++)); do
        fit_round
    done
    say "fitting against LangChain and LiteLLM ($ROUNDS rounds, $LITELLM_ROUNDS of LiteLLM)"
    measure_peers
}
