"""The SQL of the README and of docs/ is run as a reader would type it: page by page, in one psql
session and a fresh database with the extension.

A fence ```sql must succeed. A fence whose first line is `-- raises TM006` must fail with that
SQLSTATE. Fences ```text and others are not run.
"""

import re

import pytest

from cluster import ROOT

FENCE = re.compile(r"^```sql\n(.*?)^```$", re.DOTALL | re.MULTILINE)
RAISES = re.compile(r"-- raises ([0-9A-Z]{5})\b")


def pages():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]:
        if page.exists() and FENCE.search(page.read_text()):
            yield page


def script(text):
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        expected = RAISES.match(match.group(1))
        # A page shows installing; here the extension is there already.
        body = match.group(1).replace("CREATE EXTENSION token_mgmt;",
                                      "CREATE EXTENSION IF NOT EXISTS token_mgmt;")
        yield f"\\warn @@ line {line}"
        if expected is None:
            yield body
        else:
            yield f"\\set ON_ERROR_STOP off\n{body}\\set ON_ERROR_STOP on"
            yield f"SELECT :'LAST_ERROR_SQLSTATE' = '{expected.group(1)}' AS raised \\gset"
            yield f"\\if :raised\n\\else\n\\warn expected {expected.group(1)}, got " \
                  ":LAST_ERROR_SQLSTATE\nSELECT 1 / 0 AS wrong_sqlstate;\n\\endif"


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in pages()])
def test_sql_of_the_page_runs(page, db):
    done = db.psql("\n".join(script(page.read_text())), check=False)
    assert done.returncode == 0, done.stderr
