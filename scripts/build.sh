#!/usr/bin/env bash
# build.sh: builds the library for the PostgreSQL in use and joins sql/ into the install script.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

writable_checkout
use_postgres
cargo=$(find_cargo)
cd "$ROOT_DIR"

target=${CARGO_TARGET_DIR:-target}
[[ -e $target/release/lib$EXTENSION.so ]] || {
    need_space "$ROOT_DIR" 1500 "the build"
    say "building for PostgreSQL $PG_MAJOR (from nothing this takes two to four minutes)"
}
PGRX_PG_CONFIG_PATH=$PG_CONFIG shown "cargo build" \
    "$cargo" build --release --no-default-features --features "pg$PG_MAJOR"
install -m 0755 "$target/release/lib$EXTENSION.so" "$BUILD_DIR/$EXTENSION.so.new.$$"
mv "$BUILD_DIR/$EXTENSION.so.new.$$" "$BUILD_DIR/$EXTENSION.so"

script=$BUILD_DIR/$EXTENSION--$EXTENSION_VERSION.sql
{
    # shellcheck disable=SC2028
    echo "\\echo Use \"CREATE EXTENSION $EXTENSION\" to load this file. \\quit"
    for file in sql/[0-9][0-9]_*.sql; do
        [[ -e $file ]] || continue
        echo
        cat "$file"
    done
} >"$script.new.$$"
mv "$script.new.$$" "$script"
