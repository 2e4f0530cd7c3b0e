"""Sessions: numbers without gaps under many writers, histories that cost what they return."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from books import at_once, row, sqlstate, value
from cluster import wait_until

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


def test_application_needs_only_app_access(db):
    role = f"app_{db.name}"
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
            db.psql(f"SELECT token_mgmt.grant_access('{role}', 'app')")
            connection.execute("SELECT FROM add_message('s', 'user', 'Hi', model => 'gpt-4o', "
                               "agent => 'storyteller_32k')")
            connection.execute("SELECT FROM save_summary('s', 1, 'Greetings.')")
            assert value(connection, "SELECT message_count FROM session_history('s')") == 1
            assert value(connection, "SELECT should FROM should_summarize('s')") is False
            assert value(connection, "SELECT session_metrics('s') ->> 'messageCount'") == "1"
    finally:
        db.psql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


SEED = 20261121


def converse(connection, rng, session):
    """A conversation of random turns, some with calls of tools and their results; its messages."""
    sent = []

    def add(message, pinned=None):
        connection.execute("SELECT FROM add_message(%s, message => %s, model => 'gpt-4o', "
                           "pinned => %s)", [session, json.dumps(message), pinned])
        sent.append(message)

    if rng.random() < 0.7:
        add({"role": "system", "content": "Be brief. " * rng.randint(1, 5)})
    for turn in range(rng.randint(1, 12)):
        add({"role": "user", "content": f"question {turn} " + "word " * rng.randint(0, 40)},
            pinned=rng.random() < 0.1)
        for step in range(rng.randint(0, 3)):
            calls = [f"{turn}-{step}-{call}" for call in range(rng.randint(1, 3))]
            add({"role": "assistant", "content": None, "tool_calls": [
                {"id": call, "type": "function", "function": {"name": "look", "arguments": "{}"}}
                for call in calls]})
            for call in calls:
                add({"role": "tool", "tool_call_id": call, "content": "x " * rng.randint(1, 40)})
        if rng.random() < 0.9:
            add({"role": "assistant", "content": f"answer {turn} " + "word " * rng.randint(0, 40)})
    return sent


def check_history(connection, session, sent, upto, most):
    history = connection.execute(
        "SELECT messages, tokens, from_no, has_more FROM session_history(%s, max_tokens => %s)",
        [session, most]).fetchone()
    messages, tokens, from_no, more = history
    if messages:
        assert tokens == value(connection, "SELECT total FROM count_messages('gpt-4o', %s)",
                               [json.dumps(messages)]) <= most, history
    plain = [{key: part for key, part in message.items() if key != "token_mgmt"}
             for message in messages if message.get("token_mgmt") != {"section": "summary"}]
    numbers = [sent.index(message) + 1 for message in plain]
    assert numbers == sorted(numbers), history
    kept = [number for number in numbers if from_no is not None and number >= from_no]
    assert kept == (list(range(from_no, len(sent) + 1)) if from_no else []), history
    assert len(messages) - len(plain) == (upto > 0), history
    called = set()
    for message in plain:
        called |= {call["id"] for call in message.get("tool_calls", [])}
        assert message["role"] != "tool" or message["tool_call_id"] in called, history
    # More were left out exactly when a message that is not pinned lies before.
    left_out = set(range(upto + 1, len(sent) + 1)) - set(numbers)
    assert more == bool(left_out), (history, left_out)


def test_random_conversations_keep_calls_with_results_and_every_limit(db):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    with db.connect() as connection:
        for round_no in range(25):
            session = f"s{round_no}"
            sent = converse(connection, rng, session)
            upto = 0
            for most in sorted(rng.randint(150, 1500) for _ in range(8)):
                fixed = sqlstate(connection, "SELECT session_history(%s, max_tokens => %s)",
                                 [session, most])
                assert fixed in (None, "TM006")
                if fixed is not None:
                    continue
                check_history(connection, session, sent, upto, most)
                should, first, last = connection.execute(
                    "SELECT should, from_no, upto_no FROM should_summarize(%s, "
                    "max_tokens => %s)", [session, most]).fetchone()
                if not should:
                    continue
                assert upto < first <= last < len(sent)
                assert sent[last]["role"] == "user"
                connection.execute("SELECT FROM save_summary(%s, %s, 'What was said.')",
                                   [session, last])
                upto = last
                check_history(connection, session, sent, upto, 5000)


def items(rng):
    """Items of the Responses API: results may come late, behind other items and other turns."""
    said = []
    unanswered = []
    for number in range(rng.randint(20, 120)):
        kind = rng.random()
        if kind < 0.25:
            said.append({"type": "message", "role": "user", "content": f"question {number}"})
        elif kind < 0.5:
            said.append({"type": "reasoning", "id": f"r{number}", "summary": []})
            for call in range(rng.randint(1, 3)):
                # Ids are used again once they are answered.
                call_id = next(name for name in "abcdefghij" * 2 if name not in unanswered)
                unanswered.append(call_id)
                said.append({"type": "function_call", "call_id": call_id, "name": "look",
                             "arguments": "{}"})
                if len(unanswered) > 8:
                    break
        elif kind < 0.6:
            said.append({"type": "message", "role": "assistant", "content": f"answer {number}"})
        while unanswered and rng.random() < 0.6 or len(unanswered) > 7:
            said.append({"type": "function_call_output", "output": "x " * rng.randint(1, 20),
                         "call_id": unanswered.pop(rng.randrange(len(unanswered)))})
    said += [{"type": "function_call_output", "output": "x", "call_id": call_id}
             for call_id in unanswered]
    return said


def test_results_of_the_responses_api_are_never_without_their_calls(db):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    db.psql("SELECT token_mgmt.register_model('small', 'o200k_base', 700, 100, "
            "provider => 'test')")
    with db.connect() as connection:
        for round_no in range(12):
            session = f"r{round_no}"
            unanswered = set()
            for item in items(rng):
                connection.execute("SELECT FROM add_message(%s, message => %s, model => 'gpt-4o', "
                                   "user_id => 'u')", [session, json.dumps(item)])
                unanswered ^= {item["call_id"]} if "call_id" in item else set()
                if not unanswered:
                    # Nothing is left out because something that it needs is missing.
                    warnings = value(connection, "SELECT warnings FROM try_prepare_request('u', "
                                     "'small', completion_tokens => 10, session_id => %s)",
                                     [session])
                    assert not [it for it in warnings if "missing" in it], (round_no, warnings)
            for most in [rng.randint(60, 900) for _ in range(12)]:
                problems = connection.execute(
                    "SELECT h.from_no, c.found FROM session_history(%s, max_tokens => %s) h, "
                    "check_messages(h.messages, 'responses') c WHERE h.messages <> '[]'",
                    [session, most]).fetchall()
                assert problems == [], (round_no, most)
            last = value(connection, "SELECT upto_no FROM should_summarize(%s, max_tokens => 300)",
                         [session])
            if last is not None:
                connection.execute("SELECT FROM save_summary(%s, %s, 'It was about words.')",
                                   [session, last])
                assert connection.execute(
                    "SELECT c.found FROM session_history(%s, max_tokens => 100000) h, "
                    "check_messages(h.messages, 'responses') c", [session]).fetchall() == []


def test_retry_of_a_request_sends_what_it_held_whatever_the_agent_may_have_by_now(db):
    fill(db, "long", 400)
    prepare = "SELECT prompt_tokens, md5(messages::text) FROM prepare_request('ann', 'gpt-4o', " \
        "completion_tokens => 100, session_id => 'long', agent => 'helper', request_id => %s, " \
        "strategy => %s)"
    set_agent = "SELECT token_mgmt.set_agent('helper', '{{\"max_context_tokens\": {}, " \
        "\"max_completion_tokens\": 100}}')"
    strategies = ["recent", "middle_out", "importance", "summary"]
    with db.connect() as connection:
        connection.execute("UPDATE token_mgmt.session SET user_id = 'ann'")
        connection.execute(set_agent.format(2000))
        first = [row(connection, prepare, [name, name]) for name in strategies]
        connection.execute(set_agent.format(20000))
        assert [row(connection, prepare, [name, name]) for name in strategies] == first
        connection.execute("SELECT token_mgmt.drop_session('long')")
        fill(db, "long", 20)
        connection.execute("UPDATE token_mgmt.session SET user_id = 'ann'")
        assert sqlstate(connection, prepare, ["recent", "recent"]) == "P0002"


def test_summary_of_a_session_that_is_being_dropped_is_refused(db):
    fill(db, "gone", 4)
    with db.connect() as dropping, db.connect() as saving, ThreadPoolExecutor(1) as pool:
        dropping.execute("BEGIN")
        dropping.execute("SELECT token_mgmt.drop_session('gone')")
        saved = pool.submit(sqlstate, saving, "SELECT save_summary('gone', 1, 'They met.')")
        wait_until(lambda: db.psql("SELECT count(*) FROM pg_stat_activity "
                                   "WHERE wait_event_type = 'Lock'") == "1",
                   what="save_summary() waiting")
        dropping.execute("COMMIT")
        assert saved.result(timeout=30) == "P0002"
