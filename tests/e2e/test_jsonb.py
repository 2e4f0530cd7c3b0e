"""Messages are read from jsonb where it lies, and written as jsonb: PostgreSQL is to see in the
result what it sees in the input, whatever a message holds."""

import json
import random

import psycopg
import pytest

from books import row, sqlstate, value

RANDOM = random.Random(20261121)
LETTERS = "ab\"\\/\b\f\n\r\t\x01\x1f\x7f éßλж中😀\u2028"

# The empty steering key goes, so the message is written anew, its other keys as they were.
THROUGH = """
    SELECT f.messages -> 0 -> 'extra' FROM fit_messages(jsonb_build_array(jsonb_build_object(
        'role', 'user', 'content', 'Hi', 'token_mgmt', '{{}}'::jsonb, 'extra', {})), 'wide') f"""


@pytest.fixture(scope="module")
def books(server):
    database = server.create_database("jsonb")
    with database.connect() as connection:
        connection.execute("SELECT token_mgmt.register_model('wide', 'o200k_base', 100000000)")
        yield connection
    database.drop()


def text(most):
    return json.dumps("".join(RANDOM.choices(LETTERS, k=RANDOM.randrange(most))),
                      ensure_ascii=False)


def number():
    digits = "".join(RANDOM.choices("0123456789", k=RANDOM.choice([1, 3, 4, 5, 17, 260, 1000])))
    point = "." + "".join(RANDOM.choices("00059", k=RANDOM.choice([1, 4, 70, 700])))
    exponent = f"e{RANDOM.randrange(-300, 300)}"
    return (RANDOM.choice(["", "-"]) + (digits.lstrip("0") or "0") + RANDOM.choice(["", point])
            + RANDOM.choice(["", "", exponent]))


def document(depth):
    kind = RANDOM.randrange(7 if depth else 5)
    if kind < 4:
        return [number, lambda: text(30), lambda: text(9),
                lambda: RANDOM.choice(["null", "true", "false"])][kind]()
    inner = [document(depth - 1) for _ in range(RANDOM.choice([0, 1, 2, 5, 40]))] if depth else []
    if kind == 5:
        return "{" + ", ".join(f"{text(6)}: {value}" for value in inner) + "}"
    return "[" + ", ".join(inner) + "]"


def test_random_documents_come_back_as_they_are(books):
    documents = [document(3) for _ in range(400)]
    books.execute("CREATE TEMPORARY TABLE sent AS SELECT d::jsonb FROM unnest(%s::text[]) d",
                  [documents])
    assert value(books, "SELECT count(*) FROM sent") == 400
    assert books.execute(f"""
        SELECT d FROM sent, LATERAL ({THROUGH.format('d')}) f (e)
        WHERE e::text <> d::text OR e <> d OR NOT e @> d OR NOT d @> e OR EXISTS (
            SELECT FROM jsonb_path_query(d, 'strict $.** ? (@.type() == "object")') o,
                jsonb_path_query(e, 'strict $.** ? (@.type() == "object")') p,
                jsonb_object_keys(o) k
            WHERE o = p AND o -> k IS DISTINCT FROM p -> k)""").fetchall() == []


@pytest.mark.parametrize("hostile", [
    "'1e131071'", "'1e-16383'", "'-0.0'", "'[]'", "'{}'", "'[[], {}, \"\"]'",
    "('[' || repeat('9', 1000) || ', 0.' || repeat('0', 1000) || '1]')",
    "(repeat('[', 125) || repeat(']', 125))",
    "(repeat('{\"a\": [', 62) || '1.50' || repeat(']}', 62))",
    "to_jsonb(repeat('A quick brown fox. ', 50 * 1000 * 1000 / 19))",
    "(SELECT jsonb_agg(i) FROM generate_series(-50000, 50000) i)",
    "(SELECT jsonb_agg(10000::numeric ^ i) FROM generate_series(0, 200) i)",
    "(SELECT jsonb_object_agg(repeat(chr(97 + i % 26), i % 300) || i, i) "
    "FROM generate_series(1, 20000) i)",
])
def test_hostile_documents_come_back_as_they_are(books, hostile):
    books.execute("SET token_mgmt.max_content_bytes = '200MB'")
    assert row(books, f"""
        WITH s (d) AS MATERIALIZED (SELECT {hostile}::jsonb),
            f (e) AS MATERIALIZED (SELECT r.* FROM s, LATERAL ({THROUGH.format('d')}) r)
        SELECT e::text = d::text, e = d, (SELECT coalesce(bool_and(e -> k = d -> k), true)
            FROM jsonb_object_keys(CASE jsonb_typeof(d) WHEN 'object' THEN d ELSE '{{}}' END) k)
        FROM s, f""") == (True,) * 3


def test_hundred_thousand_messages_are_read_and_written(books):
    same, kept = row(books, """
        SELECT f.messages = (SELECT jsonb_agg(m.message - 'token_mgmt' ORDER BY m.n)
            FROM jsonb_array_elements(s.messages) WITH ORDINALITY m (message, n)),
            jsonb_array_length(f.messages)
        FROM (SELECT jsonb_agg(jsonb_build_object('role', 'user', 'content', 'n ' || i,
                'token_mgmt', '{}'::jsonb)) AS messages
            FROM generate_series(1, 100000) i) s, fit_messages(s.messages, 'wide') f""")
    assert same and kept == 100000


def test_limit_on_content_is_that_of_the_text(books):
    hostile = '[{"role": "user", "content": "é\\u0001\\n\\"", "n": [1e9, -0.50, null, true, {}]}]'
    length = value(books, "SELECT octet_length(%s::jsonb::text)", [hostile])
    filler = 2000 - length
    books.execute("CREATE TEMPORARY TABLE wide AS SELECT jsonb_set(%s::jsonb, '{0,content}', "
                  "to_jsonb((%s::jsonb #>> '{0,content}') || repeat('x', %s))) AS messages",
                  [hostile, hostile, filler])
    books.execute("SET token_mgmt.max_content_bytes = 2000")
    assert value(books, "SELECT f.status FROM wide, fit_messages(messages, 'wide') f") == "granted"
    books.execute("SET token_mgmt.max_content_bytes = 1999")
    for call in "fit_messages(messages, 'wide')", "count_messages('wide', messages)":
        with pytest.raises(psycopg.errors.ProgramLimitExceeded) as refused:
            books.execute(f"SELECT {call} FROM wide")
        assert refused.value.diag.message_detail == (
            "It has 2000 bytes; token_mgmt.max_content_bytes allows 1999.")
    # A number of few bytes may have a long text.
    inflated = '[{"role": "user", "content": "x", "n": 1e100000}]'
    assert sqlstate(books, "SELECT fit_messages(%s, 'wide')", [inflated]) == "54000"
    books.execute("RESET token_mgmt.max_content_bytes")


def test_what_is_not_messages_is_named(books):
    for messages in "null", "1", "true", '"text"', "[]", "{}":
        assert sqlstate(books, "SELECT fit_messages(%s, 'wide')", [messages]) == "22P02"
        assert sqlstate(books, "SELECT count_messages('wide', %s)", [messages]) == "22P02"
    reserved = '[{"role": "user", "content": "x", "n": {"$serde_json::private::Number": "1"}}]'
    assert sqlstate(books, "SELECT fit_messages(%s, 'wide')", [reserved]) == "22P02"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_database_of_another_encoding_reads_and_writes_its_own(server, encoding):
    name = encoding.lower()
    server.psql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    server.psql("CREATE EXTENSION token_mgmt", name)
    ours = "'{\"é\": \"où\", \"zz\": [\"ü\", 1.50]}'::jsonb"
    through = THROUGH.format(ours).replace("wide", "gpt-4o")
    found = server.psql(f"""
        SET client_encoding = 'UTF8';
        SELECT e::text = {ours}::text AND e -> 'é' = {ours} -> 'é' FROM ({through}) f (e)""", name)
    assert found == "t"
    server.psql(f"DROP DATABASE {name}")
