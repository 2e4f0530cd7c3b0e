#!/usr/bin/env bash
# lint.sh [NAME]: every check of the form of the code, one line "ok - NAME" or "not ok - NAME"
# each. Its tools are those that `make test` installs.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

use_postgres
cd "$ROOT_DIR"
only=${1:-}
bad=0
cargo=$(find_cargo)
export PGRX_PG_CONFIG_PATH=$PG_CONFIG

check() {
    local name=$1 output
    shift
    [[ -z $only || $only == "$name" ]] || return 0
    if output=$("$@" 2>&1); then
        echo "ok - $name"
    else
        printf '%s\nnot ok - %s\n' "$output" "$name"
        bad=1
    fi
}

shell_scripts() {
    git ls-files -co --exclude-standard 2>/dev/null | while read -r file; do
        [[ ! -f $file ]] || ! head -n 1 "$file" | grep -qE '^#!.*[ /](bash|sh)$' || echo "$file"
    done
    echo scripts/lib.sh
}

# shellcheck disable=SC2317
rust_sources_in_size() {
    local long
    long=$(find src crates/*/src -name '*.rs' -size +0 -exec awk 'END { if (NR > 400) print FILENAME, NR }' \
        {} \;)
    [[ -z $long ]] || { echo "past 400 lines: $long" && return 1; }
}

mapfile -t scripts < <(shell_scripts)
check rustfmt "$cargo" fmt --all --check
check rustfmt_fuzz "$cargo" fmt --manifest-path fuzz/Cargo.toml --check
# In the release profile, whose build scripts (the bindings to PostgreSQL) have run already.
check clippy "$cargo" clippy --release --workspace --no-default-features \
    --features "token_mgmt/pg$PG_MAJOR" -- -D warnings
check clippy_tests "$cargo" clippy --release -p token_core -p token_jsonb -p token_tables --all-targets -- -D warnings
check taplo "$BUILD_DIR/venv/bin/taplo" fmt --check
check typos "$BUILD_DIR/venv/bin/typos" --format brief
check shellcheck shellcheck -x "${scripts[@]}"
check sql "$BUILD_DIR/venv/bin/python" scripts/sql_lint.py
check file_sizes rust_sources_in_size
if [[ -f scripts/model_seed.py ]]; then
    check model_seed "$BUILD_DIR/venv/bin/python" scripts/model_seed.py --check
fi
exit "$bad"
