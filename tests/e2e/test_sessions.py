"""Sessions: numbers without gaps under many writers, histories that cost what they return."""

import json

import pytest

from books import at_once, sqlstate, value

CLIENTS = 32
EACH = 12


def test_message_numbers_have_no_gap_and_no_double_under_many_writers(db):
    def write(connection, number):
        for count in range(EACH):
            connection.execute("SELECT FROM add_message('busy', 'user', %s)",
                               [f"message {count} of client {number}"])
            # Some are taken back, and their numbers are given again.
            if (number + count) % 3:
                connection.commit()
            else:
                connection.rollback()
        return sum(1 for count in range(EACH) if (number + count) % 3)

    written = sum(at_once(db, write, CLIENTS, autocommit=False))
    assert db.psql("SELECT count(*), min(message_no), max(message_no), count(DISTINCT message_no) "
                   "FROM token_mgmt.message") == f"{written}|1|{written}|{written}"
    assert db.psql("SELECT message_count FROM token_mgmt.session") == str(written)


def fill(db, session, messages):
    """So many messages of about twelve tokens, as add_message() would have stored them."""
    db.psql(f"""
        SELECT FROM add_message('{session}', 'system', 'You are brief.', model => 'gpt-4o');
        INSERT INTO token_mgmt.message (tenant, session_id, message_no, role, message, encoding,
            tokens)
        SELECT 'default', '{session}', n, r, jsonb_build_object('role', r, 'content', t),
            'o200k_base', tiktoken_count('o200k_base', t) + 4
        FROM generate_series(2, {messages}) n,
            LATERAL (SELECT CASE n % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
                     'This is message number ' || n || ' of many.') m (r, t);
        UPDATE token_mgmt.session SET message_count = {messages} WHERE session_id = '{session}';""")


def cost(db, statement):
    """Blocks touched and rows read from the table of messages by this statement."""
    with db.connect() as connection:
        # Functions are planned, and catalogues read, by the first calls; from the sixth on a plan
        # may be one for all arguments.
        for _ in range(8):
            connection.execute(statement)
        counted = ("SELECT sum(pg_stat_get_xact_tuples_fetched(o) "
                   "+ pg_stat_get_xact_tuples_returned(o)) FROM (SELECT "
                   "'token_mgmt.message'::regclass UNION ALL SELECT indexrelid FROM pg_index "
                   "WHERE indrelid = 'token_mgmt.message'::regclass) t (o)")
        with connection.transaction():
            before = value(connection, counted)
            plan = value(connection, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) {statement}")
            rows = value(connection, counted) - before
    top = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
    return top["Shared Hit Blocks"] + top["Shared Read Blocks"], rows


@pytest.mark.parametrize("is_analyzed", [False, True], ids=["no statistics", "statistics"])
@pytest.mark.parametrize("statement", [
    "SELECT * FROM session_history('{}', max_tokens => 700)",
    "SELECT * FROM session_history('{}', 'gpt-4', max_tokens => 700)",
    "SELECT * FROM should_summarize('{}', max_tokens => 700)"],
    ids=["history", "history by another encoding", "advice"])
def test_history_reads_no_more_of_a_long_session(db, statement, is_analyzed):
    for messages in (100, 100000):
        fill(db, f"of {messages}", messages)
    if is_analyzed:
        db.psql("VACUUM ANALYZE token_mgmt.message")
    short_blocks, short_rows = cost(db, statement.format("of 100"))
    long_blocks, long_rows = cost(db, statement.format("of 100000"))
    print(f"100 messages: {short_blocks} blocks, {short_rows} rows; "
          f"100000 messages: {long_blocks} blocks, {long_rows} rows")
    assert 0 < long_rows <= short_rows + 64
    # The index is higher, by a level or two for each range that is read.
    assert long_blocks <= short_blocks + 50


def test_histories_of_all_sizes_are_what_counting_and_fitting_say(db):
    fill(db, "s", 300)
    with db.connect() as connection:
        for most in (14, 50, 333, 1000, 2500, 100000):
            messages, tokens, recounted, dropped, more = connection.execute(
                "SELECT h.messages, h.tokens, c.total, f.dropped, h.has_more "
                "FROM session_history('s', max_tokens => %s) h, "
                "count_messages('gpt-4o', h.messages) c, "
                "LATERAL try_fit_messages(h.messages, 'gpt-4o') f", [most]).fetchone()
            assert tokens == recounted <= most
            assert dropped == 0
            assert messages[0]["role"] == "system"
            assert more == (len(messages) < 300)
            # One more would not have fitted.
            assert not more or tokens + 14 > most


def test_application_needs_only_the_functions(db):
    role = f"app_{db.name}"
    functions = "add_message, session_history, save_summary, should_summarize, session_metrics"
    db.psql(f"CREATE ROLE {role} LOGIN")
    try:
        with db.connect(user=role) as connection:
            for refused in ["add_message('s', 'user', 'Hi')", "session_history('s')",
                            "save_summary('s', 1, 'x')", "should_summarize('s')",
                            "session_metrics('s')", "user_metrics('u')",
                            "token_mgmt.set_agent('a', '{}')", "token_mgmt.drop_agent('a')",
                            "token_mgmt._agent_settings('storyteller_32k', NULL)",
                            "token_mgmt.recount_session('s', 'gpt-4')",
                            "token_mgmt.drop_session('s')", "token_mgmt.session",
                            "token_mgmt.message", "token_mgmt.agent"]:
                assert (refused, sqlstate(connection, f"SELECT * FROM {refused}")) \
                    == (refused, "42501")
            assert value(connection, "SELECT documents FROM rag_context('[\"a\"]', 'gpt-4o', 9)") \
                == 1
            db.psql(f"GRANT EXECUTE ON FUNCTION {functions} TO {role}")
            connection.execute("SELECT FROM add_message('s', 'user', 'Hi', model => 'gpt-4o', "
                               "agent => 'storyteller_32k')")
            connection.execute("SELECT FROM save_summary('s', 1, 'Greetings.')")
            assert value(connection, "SELECT message_count FROM session_history('s')") == 1
            assert value(connection, "SELECT should FROM should_summarize('s')") is False
            assert value(connection, "SELECT session_metrics('s') ->> 'messageCount'") == "1"
    finally:
        db.psql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
