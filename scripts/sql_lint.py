#!/usr/bin/env python3
"""The rules of form of the files in sql/ that no other tool knows.

Every function states volatility and PARALLEL, every SECURITY DEFINER pins its search_path, every
object that is not internal (name with a leading _) has its COMMENT ON; lines have at most 100
columns, no tabs and no trailing blanks; install files make things by plain CREATE.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = {"21_model_seed.sql"}
COLUMNS = 100
# What is skipped as a whole when statements are taken apart.
OPAQUE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|(\$\w*\$).*?\1",
                    re.DOTALL)
NAME = r"((?:@extschema@\.|\w+\.)?(?:\w+|\"[^\"]+\"))"
KINDS = "FUNCTION|PROCEDURE|TABLE|VIEW|TYPE|DOMAIN|SCHEMA|SEQUENCE|AGGREGATE|OPERATOR CLASS"
CREATE = re.compile(rf"CREATE\s+(?:UNLOGGED\s+)?({KINDS})\s+{NAME}", re.IGNORECASE)
COMMENT = re.compile(rf"COMMENT\s+ON\s+({KINDS})\s+{NAME}", re.IGNORECASE)
FORBIDDEN = re.compile(r"\bOR\s+REPLACE\b|\bIF\s+NOT\s+EXISTS\b", re.IGNORECASE)
STATED = {
    "volatility": re.compile(r"\b(IMMUTABLE|STABLE|VOLATILE)\b", re.IGNORECASE),
    "PARALLEL": re.compile(r"\bPARALLEL\s+(SAFE|RESTRICTED|UNSAFE)\b", re.IGNORECASE),
}
DEFINER = re.compile(r"\bSECURITY\s+DEFINER\b", re.IGNORECASE)
PINNED = re.compile(r"\bSET\s+search_path\s*(=|TO)\s*pg_catalog\s*,(.*,)?\s*pg_temp\b",
                    re.IGNORECASE)


def statements(text):
    """(line, statement without the contents of strings, bodies and comments)"""
    bare = OPAQUE.sub(blank, text)
    start = 0
    for end in [m.end() for m in re.finditer(";", bare)] + [len(bare)]:
        statement = bare[start:end]
        if statement.strip(" \n;"):
            first = start + len(statement) - len(statement.lstrip())
            yield text.count("\n", 0, first) + 1, statement.strip()
        start = end


def blank(match):
    """As many lines and columns, nothing in them; quoted identifiers stay."""
    text = match.group(0)
    return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)


def key(match):
    kind = match.group(1).upper()
    name = match.group(2).replace("@extschema@.", "").lower()
    return kind, name


def check_lines(path, text):
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield path, text.count("\n"), "the file does not end with one line feed"
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > COLUMNS and path.name not in GENERATED:
            yield path, number, f"{len(line)} columns, at most {COLUMNS}"
        if "\t" in line:
            yield path, number, "a tab"
        if line != line.rstrip():
            yield path, number, "trailing blanks"


def check_statement(path, line, statement):
    if not statement.upper().startswith("CREATE"):
        return
    if FORBIDDEN.search(statement):
        yield path, line, "install files use plain CREATE"
    if re.match(r"CREATE\s+FUNCTION", statement, re.IGNORECASE):
        for what, need in STATED.items():
            if not need.search(statement):
                yield path, line, f"the function does not state its {what}"
    if DEFINER.search(statement) and not PINNED.search(statement):
        yield path, line, "SECURITY DEFINER without SET search_path = pg_catalog, pg_temp"


def main():
    problems, created, commented = [], {}, set()
    files = sorted((ROOT / "sql").glob("[0-9][0-9]_*.sql"))
    for path in files:
        text = path.read_text()
        problems += check_lines(path, text)
        for line, statement in statements(text):
            problems += check_statement(path, line, statement)
            if match := CREATE.match(statement):
                created[key(match)] = (path, line)
            if match := COMMENT.match(statement):
                commented.add(key(match))
    for (kind, name), (path, line) in created.items():
        internal = name.rpartition(".")[2].startswith("_")
        if not internal and (kind, name) not in commented:
            problems.append((path, line, f"no COMMENT ON {kind} {name}"))
    for path, line, what in problems:
        print(f"{path.relative_to(ROOT)}:{line}: {what}")
    if not files:
        print("sql/ has no install files")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
