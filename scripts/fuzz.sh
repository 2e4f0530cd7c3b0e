#!/usr/bin/env bash
# fuzz.sh [SECONDS [NAME]]: runs each fuzz target, or that one, so long (30 s), one line
# "ok - fuzz NAME (N runs)" or "not ok - fuzz NAME: …" each. Stable Rust does, without cargo-fuzz:
# what libFuzzer needs of the compiler is one of LLVM's own passes.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

seconds=${1:-30}
only=${2:-}
bad=0
[[ $seconds =~ ^[1-9][0-9]*$ ]] ||
    die "\"$seconds\" is not a number of seconds" "scripts/fuzz.sh [SECONDS [NAME]]"
cd "$ROOT_DIR"
names=()
for source in fuzz/fuzz_targets/*.rs; do
    names+=("$(basename "$source" .rs)")
done
[[ -z $only || " ${names[*]} " == *" $only "* ]] ||
    die "there is no fuzz target \"$only\"" "scripts/fuzz.sh $seconds NAME, one of: ${names[*]}"
command -v "${CXX:-c++}" >/dev/null ||
    die "there is no C++ compiler, and libFuzzer is written in C++" "scripts/deps.sh test installs g++"

writable_checkout
cargo=$(find_cargo)
host=$("$cargo" --version --verbose | sed -n 's/^host: //p')
mkdir -p "${CARGO_TARGET_DIR:-target}/fuzz"
target=$(cd "${CARGO_TARGET_DIR:-target}/fuzz" && pwd)

# What cargo-fuzz sets, less the sanitizers, which only nightly Rust has.
flags=(
    --cfg fuzzing
    -Ccodegen-units=1
    -Clink-dead-code
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
)

# With a target named, the flags are not those of build scripts, which libFuzzer is not linked to.
build() {
    need_space "$target" 1500 "building the fuzz targets"
    shown "cargo build (fuzz)" env RUSTFLAGS="${flags[*]}" CARGO_TARGET_DIR="$target" \
        "$cargo" build --release --manifest-path fuzz/Cargo.toml --target "$host"
}

# run NAME: inputs that reach something new are kept beside the program, those that fail in
# build/fuzz/NAME. Both are tried first the next time.
run() {
    local name=$1 program=$target/$host/release/$1 log=$LOG_DIR/fuzz_$1.log
    local grown=$target/corpus/$1 failed=$BUILD_DIR/fuzz/$1 runs input
    mkdir -p "$grown" "$failed"
    if "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=4096 \
        -artifact_prefix="$failed/" "$grown" "fuzz/seeds/$name" "$failed" >"$log" 2>&1; then
        runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log")
        echo "ok - fuzz $name (${runs:-0} runs)"
        return
    fi
    bad=1
    grep -aE -A 3 '^thread .* panicked|ERROR: libFuzzer' "$log" | head -n 20 || tail -n 20 "$log"
    input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    echo "not ok - fuzz $name: $program ${input:-} replays it (whole output: $log)"
}

build
for name in "${names[@]}"; do
    [[ -n $only && $only != "$name" ]] || run "$name"
done
exit "$bad"
