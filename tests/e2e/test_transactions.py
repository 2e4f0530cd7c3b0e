"""Calls inside larger transactions, and at higher isolation levels."""

import random
import threading
from collections import Counter

import psycopg
import pytest

from books import at_once, findings, row, sqlstate, value

RESERVE = "SELECT reservation_id FROM reserve_tokens('alice', 100)"
SETTLE = "SELECT flags FROM settle_tokens(%s, 80, 10)"
BALANCE = "SELECT used, held FROM token_mgmt.quota_status"


LEVELS = ["REPEATABLE READ", "SERIALIZABLE"]
SEED = 20261121


@pytest.fixture
def books(db):
    db.psql("SELECT token_mgmt.set_quota('user', 'alice', 'total', 1000)")
    return db


def test_rollback_to_a_savepoint_leaves_nothing(books):
    everything = """
        SELECT jsonb_agg(t) FROM (
            SELECT to_jsonb(p) FROM token_mgmt.quota_period p
            UNION ALL SELECT to_jsonb(r) FROM token_mgmt.reservation r
            UNION ALL SELECT to_jsonb(l) FROM token_mgmt.usage_ledger l) t"""
    with books.connect() as connection:
        held = value(connection, RESERVE)
        before = value(connection, everything)
        connection.execute("BEGIN")
        connection.execute("SAVEPOINT a")
        # The first of its month, so that the partition is undone too.
        inner = value(connection, RESERVE)
        connection.execute(SETTLE, [inner])
        connection.execute(SETTLE, [held])
        connection.execute("ROLLBACK TO SAVEPOINT a")
        connection.execute("SAVEPOINT b")
        assert sqlstate(connection, "SELECT reserve_tokens('alice', 901)") == "TM001"
        connection.execute("ROLLBACK TO SAVEPOINT b")
        kept = value(connection, RESERVE)
        connection.execute("COMMIT")
        assert row(connection, BALANCE) == (0, 200)
        connection.execute("SELECT release_tokens(%s)", [kept])
        connection.execute("DELETE FROM token_mgmt.reservation WHERE reservation_id = %s", [kept])
        assert value(connection, everything) == before
        assert value(connection, SETTLE, [held]) == []
        assert row(connection, BALANCE) == (90, 0)
    assert findings(books) == []


def test_settling_in_the_transaction_that_reserved_is_flagged(books):
    with books.connect() as connection:
        notices = []
        connection.add_notice_handler(lambda notice: notices.append(notice.severity))
        connection.execute("BEGIN")
        connection.execute("SAVEPOINT a")
        reservation = value(connection, RESERVE)
        connection.execute("RELEASE SAVEPOINT a")
        assert value(connection, SETTLE, [reservation]) == ["same_transaction"]
        connection.execute("COMMIT")
        assert notices == ["WARNING"]
    assert findings(books) == []


@pytest.mark.parametrize("level", LEVELS)
def test_higher_isolation_gives_the_result_or_40001(books, level):
    limit, sessions = 1000, 8
    granted = []
    refused = set()

    def work():
        with books.connect() as connection:
            while True:
                try:
                    connection.execute(f"BEGIN ISOLATION LEVEL {level}")
                    reservation, status, tokens = row(
                        connection, "SELECT reservation_id, status, tokens_held FROM "
                        "try_reserve_tokens('alice', 30, on_overflow => 'refuse')")
                    connection.execute("COMMIT")
                except psycopg.Error as error:
                    refused.add(error.sqlstate)
                    connection.execute("ROLLBACK")
                    continue
                if status == "denied":
                    return
                granted.append((reservation, tokens))

    threads = [threading.Thread(target=work) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused <= {"40001"}
    total = sum(tokens for _, tokens in granted)
    assert limit - 30 < total <= limit
    with books.connect() as connection:
        assert row(connection, BALANCE) == (0, total)
    assert findings(books) == []


def test_snapshot_older_than_a_reserve_does_not_spend_it_twice(books):
    with books.connect() as first, books.connect() as second:
        first.execute("SELECT reserve_tokens('alice', 1)")
        first.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        first.execute("SELECT 1")
        second.execute("SELECT reserve_tokens('alice', 900)")
        assert sqlstate(first, "SELECT reserve_tokens('alice', 900)") == "40001"
        first.execute("ROLLBACK")
        assert sqlstate(first, "SELECT reserve_tokens('alice', 900)") == "TM001"
    assert findings(books) == []


def retried(connection, level, sql, parameters, retries):
    """The row of this call, committed at this level; again and again while it is refused by
    40001, as an application would."""
    while True:
        try:
            connection.execute(f"BEGIN ISOLATION LEVEL {level}")
            answer = row(connection, sql, parameters)
            connection.execute("COMMIT")
            return answer
        except psycopg.errors.SerializationFailure:
            connection.execute("ROLLBACK")
            retries.append(sql)


@pytest.mark.parametrize("level", LEVELS)
def test_loop_that_retries_40001_ends_with_the_exact_sum(books, level):
    """Complaints 1, 3 and 15: nothing passed, nothing lost, nothing twice, whatever was retried."""
    print(f"seed {SEED}")
    books.psql("SELECT token_mgmt.set_quota('user', 'bob', 'total', 3000), "
               "token_mgmt.set_quota('team', 'red', 'total', 3500)")
    retries = []

    def work(connection, number):
        rng = random.Random(f"{SEED} {number}")
        user = ["alice", "bob"][number % 2]
        used, held, entries = 0, 0, 0
        for step in range(15):
            tokens = rng.randint(1, 90)
            reserve = ["SELECT status, reservation_id, tokens_held FROM try_reserve_tokens(%s, %s, "
                       "team => 'red', request_id => %s)", [user, tokens, f"{number} {step}"]]
            status, reservation, _ = granted = retried(connection, level, *reserve, retries)
            if status == "denied":
                continue
            if rng.random() < 0.2:
                held += tokens
                assert retried(connection, level, *reserve, retries) == granted
            elif rng.random() < 0.3:
                retried(connection, level, "SELECT * FROM release_tokens(%s)", [reservation],
                        retries)
            else:
                settle = ["SELECT entry_id FROM settle_tokens(%s, %s, 0)",
                          [reservation, rng.randint(0, tokens)]]
                entry = retried(connection, level, *settle, retries)
                assert retried(connection, level, *settle, retries) == entry
                used += settle[1][1]
                entries += 1
        return user, used, held, entries

    used, held, entries = Counter(), Counter(), 0
    for user, spent, kept, written in at_once(books, work, 8):
        for name in (user, "red"):
            used[name] += spent
            held[name] += kept
        entries += written
    # Two sessions at a time did meet.
    assert retries
    with books.connect() as connection:
        rows = connection.execute("SELECT value, used, held, remaining >= 0 "
                                  "FROM token_mgmt.quota_status").fetchall()
        assert sorted(rows) == [(name, used[name], held[name], True)
                                for name in ("alice", "bob", "red")]
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger") == entries
    assert findings(books) == []


AGAIN = "SELECT reservation_id FROM reserve_tokens('carol', 10, request_id => 'once')"


@pytest.mark.parametrize("level", LEVELS)
def test_snapshot_older_than_the_first_call_neither_holds_nor_settles_twice(books, level):
    """Carol has no quota, so that no balance is there to be locked."""
    books.psql("SELECT reserve_tokens('carol', 1)")
    with books.connect() as first, books.connect() as second:
        def begin():
            first.execute(f"BEGIN ISOLATION LEVEL {level}")
            first.execute("SELECT count(*) FROM token_mgmt.reservation")

        begin()
        reservation = value(second, AGAIN)
        assert sqlstate(first, AGAIN) == "40001"
        first.execute("ROLLBACK")
        assert value(first, AGAIN) == reservation
        begin()
        entry = row(second, "SELECT * FROM settle_tokens(%s, 4, 5)", [reservation])
        assert sqlstate(first, "SELECT settle_tokens(%s, 4, 5)", [reservation]) == "40001"
        first.execute("ROLLBACK")
        assert row(first, "SELECT * FROM settle_tokens(%s, 4, 5)", [reservation]) == entry
    assert books.psql("SELECT count(*) FROM token_mgmt.reservation") == "2"
    assert findings(books) == []


@pytest.mark.parametrize("level", LEVELS)
def test_waiting_is_refused_where_it_could_never_see_tokens_come_free(books, level):
    waiting = [
        "SELECT reserve_tokens('alice', 1, max_wait => '1 second')",
        "SELECT try_reserve_tokens('alice', 1, max_wait => '1 second')",
        "SELECT prepare_request('alice', 'gpt-4o', completion_tokens => 10, messages => "
        "jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Hi')), "
        "max_wait => '1 second')",
        "CALL reserve_tokens(jsonb_build_object('user_id', 'alice', 'prompt_tokens', 1, "
        "'max_wait', '1 second'))",
    ]
    with books.connect() as connection:
        connection.execute(f"SET default_transaction_isolation = '{level}'")
        for statement in waiting:
            assert (statement, sqlstate(connection, statement)) == (statement, "0A000")
        assert sqlstate(connection, waiting[0].replace("1 second", "0")) is None
        connection.execute("SET default_transaction_isolation = 'read uncommitted'")
        for statement in waiting:
            assert sqlstate(connection, statement) is None
    assert findings(books) == []
