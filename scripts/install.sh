#!/usr/bin/env bash
# install.sh [PKGLIBDIR EXTENSION_DIR]: copies library, control file and SQL to where
# PostgreSQL looks for them; without arguments, to where pg_config says.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

if [[ $# -eq 2 ]]; then
    pkglibdir=$1
    extension_dir=$2
    announce=false
else
    use_postgres
    pkglibdir=$("$PG_CONFIG" --pkglibdir)
    extension_dir=$("$PG_CONFIG" --sharedir)/extension
    announce=true
fi

# A new name and a rename: a running server keeps the file that it has loaded.
put() {
    local mode=$1 source=$2 target=$3
    "${run[@]}" install -m "$mode" "$source" "$target.new"
    "${run[@]}" mv -f "$target.new" "$target"
}

run=()
if [[ ! -w $pkglibdir || ! -w $extension_dir ]]; then
    command -v sudo >/dev/null ||
        die "$pkglibdir is not yours to write and there is no sudo" "run \`make install\` as root"
    run=(sudo)
fi
"${run[@]}" rm -f "$extension_dir/$EXTENSION"--*.sql
put 0755 "$BUILD_DIR/$EXTENSION.so" "$pkglibdir/$EXTENSION.so"
put 0644 "$ROOT_DIR/$EXTENSION.control" "$extension_dir/$EXTENSION.control"
for script in "$BUILD_DIR/$EXTENSION--$EXTENSION_VERSION.sql" "$ROOT_DIR/sql/$EXTENSION"--*--*.sql; do
    [[ ! -e $script ]] || put 0644 "$script" "$extension_dir/${script##*/}"
done

if $announce; then
    say "installed into $("$PG_CONFIG" --version) ($pkglibdir, $extension_dir)"
    say "the worker also needs shared_preload_libraries = '$EXTENSION' and a restart; then, in" \
        "each database: CREATE EXTENSION $EXTENSION"
fi
