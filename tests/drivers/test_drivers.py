"""What docs/drivers.md tells users to type is run as it stands, by the drivers themselves."""

import re
import subprocess
import sys

import pytest

from cluster import ROOT

RUNNERS = {
    "python": [sys.executable, "-"],
    "javascript": ["node", "-"],
}


def fences():
    page = ROOT / "docs" / "drivers.md"
    text = page.read_text() if page.exists() else ""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if match.group(1) in RUNNERS:
            line = text.count("\n", 0, match.start()) + 2
            yield pytest.param(match.group(1), match.group(2), id=f"{match.group(1)}-line-{line}")


def run(language, code, db):
    done = subprocess.run(
        RUNNERS[language], input=code, env=db.client_environment(), capture_output=True, text=True,
        timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("language", "code"), list(fences()))
def test_example_of_the_page_runs(language, code, db):
    run(language, code, db)


def test_node_postgres_reads_the_version(db):
    code = """
const { Client } = require('pg');
(async () => {
  const client = new Client();
  await client.connect();
  const { rows } = await client.query(
    "SELECT extversion FROM pg_extension WHERE extname = $1", ['token_mgmt']);
  console.log(rows[0].extversion);
  await client.end();
})();
"""
    expected = db.psql("SELECT extversion FROM pg_extension WHERE extname = 'token_mgmt'")
    assert run("javascript", code, db).strip() == expected


def test_psycopg_reads_the_version(db):
    with db.connect() as connection:
        version = connection.execute(
            "SELECT extversion FROM pg_extension WHERE extname = %s", ["token_mgmt"]
        ).fetchone()[0]
    assert version == db.psql("SELECT extversion FROM pg_extension WHERE extname = 'token_mgmt'")


def test_psycopg_reads_every_column_of_what_the_readme_selects(db):
    with db.connect() as connection:
        for period in ("day", "total"):
            connection.execute("SELECT * FROM token_mgmt.set_quota('user', 'ann', %s, 1000)", [period])
        connection.execute("SELECT * FROM settle_tokens((SELECT reservation_id FROM "
                           "reserve_tokens('ann', 10, 5, model => 'gpt-4o')), 10, 5)").fetchall()
        connection.execute("SELECT * FROM reserve_tokens('ann', 10)").fetchall()
        for source in ("token_mgmt.quota_status", "token_mgmt.open_reservations",
                       "token_mgmt.worker_status", "token_mgmt.usage_ledger", "token_mgmt.model",
                       "token_mgmt.model_price", "token_mgmt.quota", "token_mgmt.run_maintenance()",
                       "tiktoken_encodings()"):
            assert connection.execute(f"SELECT * FROM {source}").fetchall(), source
