"""Calls inside larger transactions: two-phase commit, savepoints, isolation levels, read-only
transactions, and a standby that is read from and then promoted."""

import os
import shutil
import subprocess
import threading

import psycopg
import pytest

from books import findings, row, sqlstate, value
from cluster import Cluster, wait_until

RESERVE = "SELECT reservation_id FROM reserve_tokens('alice', 100)"
SETTLE = "SELECT flags FROM settle_tokens(%s, 80, 10)"
BALANCE = "SELECT used, held FROM token_mgmt.quota_status"


@pytest.fixture(scope="module")
def primary():
    cluster = Cluster("primary", settings={"max_prepared_transactions": "4",
                                           "token_mgmt.worker_naptime": "100ms"}).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def books(primary):
    database = primary.create_database("transactions")
    database.psql("SELECT token_mgmt.set_quota('user', 'alice', 'total', 1000)")
    yield database
    database.drop()


def test_prepared_transaction_holds_and_another_session_commits_it(books):
    with books.connect() as connection:
        connection.execute("BEGIN")
        reservation = value(connection, RESERVE)
        connection.execute("PREPARE TRANSACTION 'reserve'")
    with books.connect() as connection:
        assert row(connection, BALANCE) == (0, 0)
        assert sqlstate(connection, SETTLE, [reservation]) == "P0002"
        connection.execute("COMMIT PREPARED 'reserve'")
        assert row(connection, BALANCE) == (0, 100)
        connection.execute("BEGIN")
        assert value(connection, SETTLE, [reservation]) == []
        connection.execute("PREPARE TRANSACTION 'settle'")
    with books.connect() as connection:
        assert row(connection, BALANCE) == (0, 100)
        connection.execute("COMMIT PREPARED 'settle'")
        assert row(connection, BALANCE) == (90, 0)
        connection.execute("BEGIN")
        given_back = value(connection, RESERVE)
        connection.execute("PREPARE TRANSACTION 'undone'")
        connection.execute("ROLLBACK PREPARED 'undone'")
        assert sqlstate(connection, SETTLE, [given_back]) == "P0002"
        assert row(connection, BALANCE) == (90, 0)
    assert findings(books) == []


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


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
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


WRITING = [
    RESERVE,
    "SELECT try_reserve_tokens('alice', 100)",
    "CALL reserve_tokens('{\"user_id\": \"alice\", \"prompt_tokens\": 100}')",
    "SELECT prepare_request('alice', 'gpt-4o', '[{\"role\": \"user\", \"content\": \"Hi\"}]')",
    "SELECT settle_tokens('{held}', 1, 1)",
    "SELECT release_tokens('{held}')",
    "SELECT token_mgmt.set_quota('user', 'bob', 'day', 1)",
    "SELECT token_mgmt.drop_quota('user', 'alice', 'total')",
    "SELECT token_mgmt.set_priority_share('high', 0.6)",
    "SELECT token_mgmt.register_model('mine/m', 'o200k_base', 1000)",
]
READING = [
    "SELECT tiktoken_count('cl100k_base', 'Hello')",
    "SELECT count_tokens('gpt-4o', 'Hello')",
    "SELECT * FROM fit_messages('[{\"role\": \"user\", \"content\": \"Hi\"}]', 'gpt-4o')",
    "SELECT token_cost('gpt-4o', 1000, 1000)",
    "SELECT v::text FROM token_mgmt.quota_status v",
    "SELECT v::text FROM token_mgmt.open_reservations v",
    "SELECT v::text FROM token_mgmt.worker_status v",
]


def check_read_only(connection, reservation):
    for statement in WRITING:
        statement = statement.replace("{held}", str(reservation))
        assert (statement, sqlstate(connection, statement)) == (statement, "25006")
    # Jobs report their errors and do not raise them.
    jobs = connection.execute("SELECT rows_done, error FROM token_mgmt.run_maintenance()")
    assert all(done == 0 for done, _ in jobs.fetchall())
    for statement in READING:
        assert connection.execute(statement).fetchall(), statement
    assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []


def test_read_only_transaction_refuses_to_write_and_shows_the_books(books):
    with books.connect() as connection:
        reservation = value(connection, RESERVE)
        connection.execute("SET default_transaction_read_only = on")
        check_read_only(connection, reservation)


@pytest.fixture
def standby(primary):
    cluster = Cluster("standby", settings={
        "max_prepared_transactions": "4",
        "token_mgmt.worker_naptime": "100ms",
        "primary_conninfo": f"host={primary.directory} port={primary.port} user=postgres"})
    data = cluster.directory / "data"
    shutil.rmtree(data)
    primary.run("pg_basebackup", "-D", str(data), "--checkpoint=fast", "--wal-method=stream")
    (data / "standby.signal").touch()
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", os.environ["SERVER_USER"], str(data)], check=True)
    yield cluster.start()
    cluster.destroy()


def test_standby_shows_the_books_and_works_once_promoted(books, standby):
    with books.connect() as connection:
        reservation = value(connection, "SELECT reservation_id FROM reserve_tokens('alice', 100)")
        connection.execute("SELECT reserve_tokens('alice', 50, ttl => '1 millisecond')")
    with standby.connect("transactions") as connection:
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.reservation") == 2,
                   what="replication")
        check_read_only(connection, reservation)
        # The primary's worker is at work; the standby's stays out of the way.
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations")
                   == 1, what="the expiry by the primary")
        assert row(connection, BALANCE) == (0, 100)
    with standby.connect("transactions") as connection:
        assert value(connection, "SELECT pg_promote()")
        passes = value(connection, "SELECT passes FROM token_mgmt.worker_status")
        wait_until(lambda: value(connection, "SELECT passes FROM token_mgmt.worker_status")
                   > passes + 1, what="a pass of the promoted server's own worker")
        connection.execute("SELECT reserve_tokens('alice', 50, ttl => '1 millisecond')")
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations")
                   == 1, what="the expiry by the promoted server")
        assert value(connection, SETTLE, [reservation]) == []
        assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []
        assert value(connection, "SELECT status FROM token_mgmt.worker_status") == "running"
    assert "PANIC" not in standby.log()
