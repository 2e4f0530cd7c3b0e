#!/usr/bin/env bash
# pg_upgrade.sh PG_CONFIG: upgrades a server with a past from the PostgreSQL in use to the later
# major version of this pg_config, and tests that the books are the same. Builds for both, which
# takes minutes, so it is no part of `make test`.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

[[ $# -eq 1 ]] || die "pg_upgrade.sh: to which PostgreSQL?" "scripts/pg_upgrade.sh /path/to/pg_config"
use_postgres
major=$(pg_major "$1")
[[ ${major:-0} -gt $PG_MAJOR ]] || die "$1 is not of a later version than $PG_MAJOR" "name another"

later=(env PG_CONFIG="$1" TOKEN_MGMT_RUN="$RUN_DIR-$major" CARGO_TARGET_DIR="$ROOT_DIR/target/pg$major")
"${later[@]}" "$ROOT_DIR/scripts/build.sh"
"${later[@]}" "$ROOT_DIR/scripts/prefix.sh"

export UPGRADE_TO=$1 UPGRADE_RUN=$RUN_DIR-$major
UPGRADE_BIN=$UPGRADE_RUN/root$("$1" --bindir)
export UPGRADE_BIN
# This builds for the version in use again.
SUITE=e2e TEST=upgrade exec "$ROOT_DIR/tests/run"
