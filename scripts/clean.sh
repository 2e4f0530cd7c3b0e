#!/usr/bin/env bash
# clean.sh: stops the servers of this checkout and removes what the scripts made.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

if [[ -d $RUN_DIR ]]; then
    "$ROOT_DIR/scripts/cluster.sh" sweep
    "$ROOT_DIR/scripts/cluster.sh" destroy demo
    if compgen -G "$RUN_DIR/run-*" >/dev/null; then
        die "a test run is still going on in $RUN_DIR" "let it end, then run it again"
    fi
    rm -rf "$RUN_DIR"
fi
rm -rf "$BUILD_DIR"
