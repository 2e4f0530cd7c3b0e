#!/usr/bin/env bash
# prefix.sh: a private PostgreSQL with the extension installed, made of the system's own files.
#
# PostgreSQL's programs look for lib and share relative to where they lie themselves, so copies
# of the programs beside a tree of links see our extension directory and the system's files. The
# demo and the tests thus never write into the installed PostgreSQL, and need no root to run.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/lib.sh"

use_postgres
private_run_dir
need_space "$RUN_DIR" 500 "a private PostgreSQL"

bindir=$("$PG_CONFIG" --bindir)
pkglibdir=$("$PG_CONFIG" --pkglibdir)
sharedir=$("$PG_CONFIG" --sharedir)
libdir=$("$PG_CONFIG" --libdir)
stamp="$("$PG_CONFIG" --version) $bindir $(stat -c '%s %Y' "$bindir/postgres")"

link_tree() {
    mkdir -p "$MIRROR_DIR$1"
    cp -rs "$1/." "$MIRROR_DIR$1/"
}

if [[ $(cat "$RUN_DIR/root.stamp" 2>/dev/null) != "$stamp" ]]; then
    say "copying PostgreSQL $PG_MAJOR's programs to $RUN_DIR"
    rm -rf "$MIRROR_DIR" "$RUN_DIR/root.stamp" "$RUN_DIR/template"
    mkdir -p "$MIRROR_DIR$bindir"
    logged "copying PostgreSQL" cp -L "$bindir"/* "$MIRROR_DIR$bindir/"
    link_tree "$pkglibdir"
    link_tree "$sharedir"
    # Relocatable builds keep libpq beside the programs and find it by ../lib.
    if [[ $libdir == "${bindir%/*}/lib" && $libdir != "$pkglibdir" && $pkglibdir != "$libdir"/* ]]; then
        link_tree "$libdir"
    elif [[ $libdir == "${bindir%/*}/lib" && $pkglibdir == "$libdir"/* ]]; then
        for library in "$libdir"/*.so*; do
            [[ ! -e $library ]] || ln -sf "$library" "$MIRROR_DIR$library"
        done
    fi
    "$BIN/postgres" --version >/dev/null 2>&1 ||
        die "programs do not run from $RUN_DIR (mounted noexec?)" \
            "set TOKEN_MGMT_RUN to a directory elsewhere"
    echo "$stamp" >"$RUN_DIR/root.stamp"
fi

"$ROOT_DIR/scripts/install.sh" "$MIRROR_DIR$pkglibdir" "$MIRROR_DIR$sharedir/extension"
