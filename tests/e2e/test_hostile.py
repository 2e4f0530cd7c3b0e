"""Input that nobody should send: too large, too deep, of another encoding, of no sense at all. An
error of its own SQLSTATE is an answer; a dead backend, XX000 and a call that cannot be cancelled
are not."""

import json
import random
import threading
import time

import psycopg
import pytest

from books import findings, row, sqlstate, value
from cluster import ROOT, Cluster, wait_until

SEED = 20261120
ENGLISH = (ROOT / "data" / "conversation" / "chapter-21.txt").read_text().strip() + "\n\n"
LONG = "repeat('The quick brown fox jumps over the lazy dog. ', 100 * 1000 * 1000 / 45)"
CRASHES = ("terminated by signal", "server processes terminated", "PANIC:", "crash of another")


@pytest.fixture(scope="module")
def victim():
    cluster = Cluster("victim").start()
    pid = cluster.pid()
    yield cluster
    log = cluster.log()
    assert cluster.pid() == pid
    assert not [text for text in CRASHES if text in log]
    cluster.destroy()


@pytest.fixture(scope="module")
def target(victim):
    return victim.create_database("target")


@pytest.fixture
def session(target):
    with target.connect() as connection:
        connection.execute("SET statement_timeout = '60s'")
        yield connection


def test_text_over_the_limit_is_refused_at_once(session):
    session.execute("SET statement_timeout = '5s'")
    assert sqlstate(session, f"SELECT tiktoken_count('cl100k_base', {LONG})") == "54000"
    assert sqlstate(session, f"SELECT count_tokens('gpt-4o', {LONG})") == "54000"
    assert sqlstate(session, f"SELECT tiktoken_encode('o200k_base', {LONG})") == "54000"


# Pieces that are no tokens, too long for the cache of pieces, and different from each other: with
# 100 MB of them a count takes seconds, so it cannot be over before it is cancelled.
RANDOM = random.Random(SEED)
LETTERS = "".join(RANDOM.choices("abcdefghijklmnopqrstuvwxyz", k=100_000))
ONE_PIECE = f"repeat('{LETTERS}', 1000)"
WORDS = " ".join(LETTERS[start:start + 40] for start in range(0, len(LETTERS), 40))
MANY_PIECES = f"repeat('{WORDS} ', 975)"


@pytest.mark.parametrize("call", [
    f"tiktoken_count('cl100k_base', {MANY_PIECES})",
    f"tiktoken_count('o200k_base', {ONE_PIECE})",
    f"tiktoken_encode('o200k_base', {MANY_PIECES})",
    f"count_tokens('gpt-4o', {MANY_PIECES})",
    f"tiktoken_truncate('llama3', {MANY_PIECES}, 20000000, 'both')",
    f"(SELECT sum(tokens) FROM tiktoken_chunks('qwen2', {ONE_PIECE}, 100, 20))",
], ids=["words", "one piece", "encode", "count_tokens", "truncate", "chunks"])
@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_long_count_answers_within_two_seconds(target, session, call, how):
    session.execute("SET token_mgmt.max_content_bytes = '200MB'")
    canceller = None
    if how == "timeout":
        session.execute("SET statement_timeout = '300ms'")
        asked_at = [time.monotonic() + 0.3]
    else:
        asked_at = []
        pid = session.info.backend_pid

        def cancel():
            with target.connect() as connection:
                wait_until(lambda: value(connection, "SELECT count(*) FROM pg_stat_activity WHERE "
                                         "pid = %s AND state = 'active' AND query_start < "
                                         "clock_timestamp() - interval '300 ms'", [pid]),
                           what="the call to be under way")
                asked_at.append(time.monotonic())
                connection.execute("SELECT pg_cancel_backend(%s)", [pid])
        canceller = threading.Thread(target=cancel)
        canceller.start()
    try:
        assert sqlstate(session, f"SELECT length(({call})::text)") == "57014"
        ended_at = time.monotonic()
    finally:
        if canceller:
            canceller.join()
    assert ended_at - asked_at[0] < 2
    session.execute("RESET statement_timeout")
    # The backend goes on as if nothing had been.
    assert value(session, "SELECT tiktoken_count('cl100k_base', 'Your input text here')") == 4


@pytest.mark.parametrize("encoding", ["cl100k_base", "o200k_base"])
def test_twenty_megabytes_of_english_are_counted(session, encoding):
    copies = 20_000_000 // len(ENGLISH) + 1
    session.execute("SET statement_timeout = '30s'")
    once, often = row(session, "SELECT tiktoken_count(%(e)s, %(t)s), "
                      "tiktoken_count(%(e)s, repeat(%(t)s, %(n)s))",
                      {"e": encoding, "t": ENGLISH, "n": copies})
    # An empty line before a letter is a boundary in both patterns, so counts add up.
    assert often == once * copies


@pytest.mark.parametrize("text", ["a", " ", "\n", "é", "!", "7", "ab", " \n"])
def test_a_megabyte_of_the_same_is_counted_in_linear_time(session, text):
    session.execute("SET statement_timeout = '10s'")
    small, large = row(session, "SELECT tiktoken_count('o200k_base', repeat(%(t)s, 250000)), "
                       "tiktoken_count('o200k_base', repeat(%(t)s, 1000000))", {"t": text})
    assert 0 < 3.9 * small <= large <= 4.1 * small + 10


def test_twenty_thousand_messages_are_fitted(session):
    fitted, tokens, dropped, recount = row(session, """
        SELECT jsonb_array_length(f.messages), f.prompt_tokens, f.dropped,
            (count_messages('gpt-4o', f.messages)).total
        FROM (SELECT jsonb_agg(jsonb_build_object('role', CASE WHEN i % 2 = 1 THEN 'user'
                ELSE 'assistant' END, 'content', 'message number ' || i)) AS messages
            FROM generate_series(1, 20001) i) m,
            fit_messages(m.messages, 'gpt-4o', 1000, 5000) f""")
    assert 0 < tokens <= 5000 and tokens == recount
    assert fitted == 20001 - dropped


ONE_LARGE = "jsonb_build_object('role', 'user', 'content', left({text}, 30 * 1000 * 1000))"
SMALL = """'[{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Go on."}]'"""


def test_message_of_thirty_megabytes_gives_way_or_is_refused(session):
    large = ONE_LARGE.format(text=LONG)
    tokens, recount = row(session, f"""
        SELECT f.prompt_tokens, (count_messages('gpt-4o', f.messages)).total
        FROM fit_messages({large} || {SMALL}::jsonb, 'gpt-4o', 1000) f""")
    assert 0 < tokens == recount <= 127000
    status, code = row(session, f"SELECT status, sqlstate FROM try_fit_messages("
                       f"jsonb_build_array({large}), 'gpt-4o', 1000)")
    assert (status, code) == ("denied", "TM006")
    assert sqlstate(session, f"SELECT prepare_request('alice', 'gpt-4o', "
                    f"jsonb_build_array({large}))") == "TM006"


def test_fitting_a_large_message_can_be_cancelled(session):
    large = ONE_LARGE.format(text=LONG)
    messages = value(session, f"SELECT {large} || {SMALL}::jsonb")
    session.execute("CREATE TEMPORARY TABLE sent AS SELECT %s::jsonb AS messages",
                    [json.dumps(messages)])
    session.execute("SET statement_timeout = '100ms'")
    began = time.monotonic()
    code = sqlstate(session, "SELECT f.prompt_tokens FROM sent, "
                    "fit_messages(sent.messages, 'gpt-4o', 1000) f")
    assert code in ("57014", None)
    assert time.monotonic() - began < 2.1


NESTED = "(repeat('[', 10000) || repeat(']', 10000))"


@pytest.mark.parametrize("call", [
    "SELECT fit_messages(({}::jsonb), 'gpt-4o')",
    "SELECT fit_messages(jsonb_build_array(jsonb_build_object('role', 'user', 'content', "
    "{}::jsonb)), 'gpt-4o')",
    "SELECT count_messages('gpt-4o', '[{{\"role\": \"user\", \"content\": \"Hi\"}}]', {}::jsonb)",
    "SELECT fit_messages('[{{\"role\": \"user\", \"content\": \"Hi\"}}]', 'gpt-4o', options => "
    "jsonb_build_object('cut', {}::jsonb))",
    "SELECT reserve_tokens('alice', 1, options => {}::jsonb)",
    "SELECT reserve_tokens('alice', 1, options => jsonb_build_object('a', {}::jsonb))",
    "CALL reserve_tokens(jsonb_build_object('user_id', {}::jsonb, 'prompt_tokens', 1))",
])
def test_deep_nesting_is_a_clean_error(session, call):
    assert sqlstate(session, call.format(NESTED)) in ("54000", "54001", "22P02", "22023", "TM006")
    assert value(session, "SELECT 1") == 1


def test_deeply_nested_metadata_is_kept_as_it_is(session):
    reservation = value(session, "SELECT reservation_id FROM reserve_tokens('deep', 1, "
                        f"request_id => 'deep', metadata => {NESTED}::jsonb)")
    again = value(session, "SELECT reservation_id FROM reserve_tokens('deep', 1, "
                  f"request_id => 'deep', metadata => {NESTED}::jsonb)")
    assert again == reservation


CYCLE = """
    SELECT token_mgmt.set_quota('user', 'José', 'day', 100000);
    SELECT reservation_id FROM reserve_tokens('José', 10, request_id => 'é');
    SELECT reservation_id FROM prepare_request('José', 'gpt-4o',
        '[{"role": "user", "content": "Où est le café ?"}]', 100, request_id => 'ü') \\gset
    SELECT total_tokens FROM settle_tokens(:'reservation_id', 20, 10);"""


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_database_of_another_encoding_counts_the_same(victim, target, encoding):
    victim.psql(f"CREATE DATABASE other ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        victim.psql("CREATE EXTENSION token_mgmt", "other")
        same = """
            SET client_encoding = 'UTF8';
            SELECT tiktoken_count('cl100k_base', 'Un café à Besançon'),
                tiktoken_encode('o200k_base', 'Un café à Besançon'),
                tiktoken_decode('o200k_base', tiktoken_encode('o200k_base', 'Besançon')),
                tiktoken_truncate('o200k_base', repeat('déjà vu ', 100), 30, 'both'),
                (SELECT string_agg(format('%s:%s', tokens, content), '|') FROM
                    tiktoken_chunks('cl100k_base', repeat('à bientôt. ', 10), 20, 5)),
                (SELECT bool_and(substr(t, start_offset + 1, length(content)) = content)
                    FROM repeat('née été là. ', 20) t, tiktoken_chunks('cl100k_base', t, 10, 2)),
                count_tokens('gpt-4o', 'déjà vu');
            SELECT messages, prompt_tokens, dropped, truncated FROM fit_messages(
                jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Été ?'),
                    jsonb_build_object('role', 'assistant', 'content', repeat('déjà vu ', 500)),
                    jsonb_build_object('role', 'user', 'content', 'À bientôt')),
                'gpt-4o', 100, 300);"""
        wanted = victim.psql(same, target.name).splitlines()
        assert len(wanted) == 2
        got = victim.psql(same, "other").splitlines()
        assert got[0] == wanted[0]
        assert got[1] == wanted[1]
        done = victim.psql("SET client_encoding = 'UTF8';" + CYCLE, "other")
        assert done.endswith("\n30")
        assert victim.psql("SELECT * FROM token_mgmt.audit()", "other") == ""
    finally:
        victim.psql("DROP DATABASE other WITH (FORCE)")


def test_characters_that_the_database_lacks_are_named(victim):
    victim.psql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    victim.psql("CREATE EXTENSION token_mgmt", "latin")
    with victim.connect("latin") as connection:
        smile = "SELECT tiktoken_decode('cl100k_base', '{76460,222}')"
        assert sqlstate(connection, smile) == "22P05"
        cut = "SELECT tiktoken_truncate('cl100k_base', repeat('é', 100), 5)"
        assert value(connection, cut) == "é" * 5
        assert value(connection, "SELECT tiktoken_count('cl100k_base', 'café')") == 2
        chinese = """SELECT parse_messages('["\\u4e2d"]')"""
        assert sqlstate(connection, chinese) == "22P05"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_what_jsonb_refuses_is_read_in_any_encoding(victim, encoding):
    victim.psql(f"CREATE DATABASE mended ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        victim.psql("CREATE EXTENSION token_mgmt", "mended")
        with victim.connect("mended", client_encoding="UTF8") as connection:
            notices = []
            connection.add_notice_handler(lambda it: notices.append(it.message_detail))
            mended = """SELECT parse_messages('["café \\u0000 \\ud83d \\u0041"]') ->> 0"""
            assert value(connection, mended) == "café ? ? A"
            assert "became a question mark" in notices[0]
            accent = """SELECT parse_messages('["\\u00e9 \\u0000"]') ->> 0"""
            if encoding == "LATIN1":
                assert value(connection, accent) == "é ?"
            else:
                assert sqlstate(connection, accent) == "22P05"
    finally:
        victim.psql("DROP DATABASE mended WITH (FORCE)")


@pytest.mark.parametrize("call", [
    "SELECT tiktoken_count('cl100k_base', E'\\xe9')",
    "SELECT tiktoken_count(E'\\xe9', 'x')",
    "SELECT tiktoken_encode('o200k_base', E'\\xff\\xfe')",
    "SELECT tiktoken_truncate('o200k_base', E'\\xff\\xfe', 1)",
    "SELECT tiktoken_truncate('o200k_base', 'x', 1, E'\\xff')",
    "SELECT tiktoken_chunks('o200k_base', E'\\xff\\xfe', 1)",
    "SELECT count_tokens('gpt-4o', E'\\xe9')",
    """SELECT parse_messages(E'["\\xe9"]')""",
    "SELECT count_messages('gpt-4o', jsonb_build_array(jsonb_build_object('role', 'user', "
    "'content', E'\\xe9')))",
    "SELECT fit_messages(jsonb_build_array(jsonb_build_object('role', 'user', "
    "'content', E'\\xe9')), 'gpt-4o')",
])
def test_bytes_that_are_no_text_are_refused_in_sql_ascii(victim, call):
    if not victim.psql("SELECT 1 FROM pg_database WHERE datname = 'ascii'"):
        victim.psql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        victim.psql("CREATE EXTENSION token_mgmt", "ascii")
    with victim.connect("ascii", client_encoding="UTF8") as connection:
        connection.execute("SET client_encoding = 'SQL_ASCII'")
        assert sqlstate(connection, call) == "22021"
        assert value(connection, "SELECT tiktoken_count('cl100k_base', 'Your input text here')") \
            == 4


MESSAGES = [
    '[{"role": "user", "content": "Hi"}]', '[{"role": "user"}]', '[{"content": "Hi"}]',
    '[{"role": "user", "content": null}]', '[{"role": 5, "content": {"a": [1]}}]',
    '[{"role": "tool", "content": "x", "tool_call_id": "none"}, {"role": "user", "content": ""}]',
    '[{"role": "assistant", "tool_calls": [{"id": "a", "function": {}}]}]',
    '[{"role": "assistant", "tool_calls": "x"}, {"role": "user", "content": [{"type": 1}]}]',
    '[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]',
    '[{"role": "user", "content": [{"type": "image", "source": {"data": "/9j////////="}}]}]',
    '[{"role": "user", "content": [{"type": "text", "text": 1e400}]}]',
]
POOLS = {
    "text": ["", " ", "*", "alice", "gpt-4o", "cl100k_base", "day", "user", "recent", "fit", "high",
             "'; DROP TABLE token_mgmt.quota; --", "x" * 300, "\u202e\ufffd😀", "a" * 70000,
             "%s%n%$", "no/such", "\x01\x7f", "Europe/Berlin", "total", "reduce", "both"],
    "integer": [0, 1, -1, 7, 100, 2147483647, -2147483648, 1000000000, 1000000001],
    "bigint": [0, 1, -1, 100257, 9223372036854775807, -9223372036854775808],
    "numeric": ["NaN", "Infinity", "-Infinity", "1e1000", "-1e-1000", "0.5", "0", "-0.0", "1e15",
                "1", "100000"],
    "boolean": [True, False],
    "interval": ["0", "-1 day", "10 milliseconds", "1 day", "7 days", "7 days 1 microsecond",
                 "170000000 years", "-170000000 years", "1 mon -30 days"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "timestamp with time zone": ["infinity", "-infinity", "epoch", "294276-01-01", "4713-01-01 BC",
                                 "2026-11-20"],
    "bigint[]": ["{}", "{0}", "{-1}", "{NULL}", "{9223372036854775807}", "{{1,2},{3,4}}",
                 "[5:6]={1,2}", "{100257,100256}"],
    "text[]": ["{}", "{NULL}", "{a,b}", "{{a},{b}}"],
    "jsonb": ["null", "{}", "[]", '"x"', "1", "[null]", '[1, "a", {}]', '{"a": 1}', "1e400",
              '{"cut": 5, "repair": null, "cut_step": -1}', '{"cut_step": 1e300}',
              '{"summary": {}}', "[" * 200 + "]" * 200, *MESSAGES],
}
ARGUMENTS = ["user_id", "prompt_tokens", "completion_tokens", "model", "priority", "request_id",
             "reservation_id", "on_overflow", "ttl", "max_wait", "metadata", "tenant", "options",
             "min_completion_tokens", "cached_tokens", "breakdown", "team"]

CALLABLE = """
    SELECT p.oid::regproc::text, p.prokind,
        ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t),
        p.pronargs - p.pronargdefaults
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'token_mgmt'
    WHERE p.prorettype <> 'trigger'::regtype AND CASE WHEN %s THEN p.proname !~ '^_'
        ELSE p.proname ~ '^_' AND has_function_privilege('nobody', p.oid, 'EXECUTE') END
    ORDER BY 1, 2"""


def garbage(rng, kind):
    if rng.random() < 0.1:
        return None
    if kind == "jsonb" and rng.random() < 0.4:
        pool = [item for values in POOLS.values() for item in values] + [1e308, [], {}, 2 ** 70]
        return json.dumps({rng.choice(ARGUMENTS): rng.choice(pool)
                           for _ in range(rng.randint(1, 8))})
    return rng.choice(POOLS[kind]) if kind in POOLS else None


@pytest.mark.parametrize("of_applications", [True, False], ids=["public", "internal"])
def test_garbage_never_crashes_nor_raises_an_internal_error(victim, target, of_applications):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    target.psql("DO $$ BEGIN CREATE ROLE nobody; EXCEPTION WHEN duplicate_object THEN END $$")
    bad, seen = [], set()
    with target.connect() as connection:
        connection.execute("SET statement_timeout = '5s'; SET client_min_messages = error")
        functions = connection.execute(CALLABLE, [of_applications]).fetchall()
        assert len(functions) > 10
        for name, kind, types, least in functions:
            for _ in range(60):
                arguments = [(t, garbage(rng, t)) for t in types]
                if kind != "p":
                    arguments = arguments[:rng.randint(least, len(arguments))]
                places = ", ".join(f"%s::{t}" for t, _ in arguments)
                call = f"{'CALL' if kind == 'p' else 'SELECT'} {name}({places})"
                try:
                    connection.execute(call, [v for _, v in arguments])
                    seen.add(None)
                except psycopg.Error as error:
                    if connection.broken:
                        raise AssertionError(f"{call} {arguments!r:.2000}: {error}") from error
                    seen.add(error.sqlstate)
                    if error.sqlstate.startswith("XX") or error.sqlstate == "57014":
                        shown = [f"{v!r:.60}" for _, v in arguments]
                        bad.append((name, shown, error.sqlstate, str(error)[:200]))
    assert bad == [], "\n".join(str(item) for item in bad[:20])
    # The garbage is good enough to be let in, and bad enough to be refused in many ways.
    assert None in seen and len(seen) > (5 if of_applications else 3)
    assert findings(target) == []


def test_balances_withstand_the_largest_numbers(victim):
    database = victim.create_database("largest")
    with database.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'day', 1e15)")
        for _ in range(3):
            reservation = value(connection, "SELECT reservation_id FROM "
                                "reserve_tokens('alice', 1000000000, 1000000000)")
            assert value(connection, "SELECT total_tokens FROM settle_tokens(%s, 1000000000, "
                         "1000000000)", [reservation]) == 2000000000
        assert value(connection, "SELECT used FROM token_mgmt.quota_status") == 6000000000
        assert sqlstate(connection, "SELECT reserve_tokens('alice', 1000000001)") == "22023"
        assert sqlstate(connection, "SELECT reserve_tokens('alice', -1)") == "22023"
        assert sqlstate(connection, "SELECT reserve_tokens('alice', 99999999999)") == "42883"
    assert findings(database) == []
