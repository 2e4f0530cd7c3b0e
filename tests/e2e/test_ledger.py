"""The rollups are the ledger at every moment, and a month of the ledger goes without a trace in
balances and reports."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from books import at_once, findings, sqlstate, value
from cluster import wait_until
from timed_cluster import TimedCluster

CLIENTS = 8
SETTLEMENTS = 40
# One statement, so one snapshot: calls, tokens and cost as reports and as the ledger have them.
THREE_SUMS = """
    SELECT (SELECT (count(*), coalesce(sum(prompt_tokens + completion_tokens), 0),
            coalesce(trim_scale(sum(cost)), 0))::text FROM token_mgmt.usage_ledger),
        (SELECT (coalesce(sum(calls), 0), coalesce(sum(total_tokens), 0),
            coalesce(trim_scale(sum(cost)), 0))::text FROM usage_report(by => '{user,team,model,hour}')),
        (SELECT (coalesce(sum(calls), 0), coalesce(sum(total_tokens), 0),
            coalesce(trim_scale(sum(cost)), 0))::text FROM usage_report(by => '{session,day}'))"""
UNROLLED = "SELECT count(*) FROM token_mgmt.ledger_unrolled"


def settle_many(connection, number):
    for n in range(SETTLEMENTS):
        connection.execute(
            "SELECT s.total_tokens FROM reserve_tokens(%s, 100, 50, model => %s, team => %s, "
            "session_id => %s) r, settle_tokens(r.reservation_id, 90, 20, breakdown => "
            "'{\"system\": 10}') s",
            [f"user {number % 3}", ["gpt-4o", "gpt-4o-mini"][n % 2], f"team {n % 2}",
             f"session {number}"])


def fill(connection, calls, users):
    """So many calls of before, in the ledger and not rolled up."""
    connection.execute("SELECT token_mgmt._open_ledger_month(now())")
    connection.execute("""
        WITH e AS (
            INSERT INTO token_mgmt.usage_ledger (tenant, entry_id, recorded_at, kind, user_id,
                session_id, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
                reasoning_tokens, tokens_held, allocations, cost, flags)
            SELECT 'default', nextval('token_mgmt.usage_ledger_entry_id_seq'), now(), 'usage', 'user ' || n %% %(users)s, 'session ' || n / 3,
                n %% 1000, 1, 0, 0, 0, 0, '{}', 0.001, '{}'
            FROM generate_series(1, %(calls)s) n RETURNING *
        )
        INSERT INTO token_mgmt.ledger_unrolled
        SELECT recorded_at, tenant, user_id, team, api_key, session_id, agent, endpoint, provider,
            model, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens,
            reasoning_tokens, cost, breakdown FROM e""", {"calls": calls, "users": users})


def test_reports_are_the_ledger_while_it_is_written_and_rolled_up(db):
    # A query of the ledger that was planned before the month was attached would not read it.
    db.psql("SELECT token_mgmt._open_ledger_month(now())")
    done = threading.Event()

    def roll_up():
        with db.connect() as connection:
            rolled = 0
            while not done.is_set():
                rolled += value(connection, "SELECT token_mgmt._roll_up(7)")
            return rolled

    def compare():
        with db.connect() as connection:
            comparisons = 0
            while not done.is_set():
                ledger, by_user, by_session = connection.execute(THREE_SUMS).fetchone()
                assert (by_user, by_session) == (ledger, ledger)
                comparisons += 1
            return comparisons

    with ThreadPoolExecutor(3) as pool:
        # Two roll-ups, and the worker is a third.
        side = [pool.submit(work) for work in (roll_up, roll_up, compare)]
        try:
            at_once(db, settle_many, CLIENTS)
        finally:
            done.set()
        rolled, rolled_too, comparisons = (future.result(60) for future in side)
    assert rolled + rolled_too > 0 and comparisons > 0
    with db.connect() as connection:
        connection.execute("SELECT token_mgmt._roll_up(1000000)")
        wait_until(lambda: value(connection, UNROLLED) == 0, what="the end of all roll-ups")
        calls = CLIENTS * SETTLEMENTS
        assert value(connection, "SELECT sum(calls) FROM token_mgmt.usage_rollup") == calls
        assert value(connection, "SELECT (sections -> 'system')::integer FROM (SELECT "
                     "token_mgmt._sum_sections(sections) AS sections FROM "
                     "token_mgmt.session_rollup) s") == 10 * calls
        ledger, by_user, by_session = connection.execute(THREE_SUMS).fetchone()
        assert (by_user, by_session) == (ledger, ledger)
    assert findings(db) == []


def test_roll_up_waits_for_nobody_and_nobody_for_it(make_cluster):
    database = make_cluster(preload=False).create_database("patient")
    with database.connect() as connection:
        fill(connection, 100, 5)
    with database.connect(autocommit=False) as slow, database.connect() as other:
        other.execute("SET statement_timeout = '5s'")
        assert value(slow, "SELECT token_mgmt._roll_up(60)") == 60
        settle_many(other, 1)
        assert value(other, "SELECT token_mgmt._roll_up(10)") == 10
        before = other.execute(THREE_SUMS).fetchone()
        assert len(set(before)) == 1
        slow.rollback()
        assert other.execute(THREE_SUMS).fetchone() == before
        assert value(other, "SELECT token_mgmt._roll_up(1000)") == 130
        assert other.execute(THREE_SUMS).fetchone() == before
    assert findings(database) == []


@pytest.mark.parametrize("rounds", [3])
def test_killed_roll_up_leaves_every_call_counted_once(make_cluster, rounds):
    cluster = make_cluster(preload=False)
    database = cluster.create_database("killed")
    with database.connect() as connection:
        fill(connection, 60000, 5000)
        connection.execute("SELECT token_mgmt._roll_up(10000)")
        before = connection.execute(THREE_SUMS).fetchone()
    for _ in range(rounds):
        connection = database.connect()
        writing = connection.info.backend_pid
        thread = threading.Thread(
            target=lambda c=connection: sqlstate_or_lost(c, "SELECT token_mgmt._roll_up(50000)"))
        with database.connect() as other:
            thread.start()
            wait_until(lambda c=other, p=writing: value(c, "SELECT EXISTS (SELECT FROM pg_locks "
                       "WHERE pid = %s AND relation = 'token_mgmt.usage_rollup'::regclass "
                       "AND mode = 'RowExclusiveLock')", [p]), what="the roll-up's writing")
        cluster.kill()
        thread.join(30)
        cluster.start()
        with database.connect() as connection:
            assert connection.execute(THREE_SUMS).fetchone() == before
            assert value(connection, UNROLLED) == 50000
    assert findings(database) == []


def sqlstate_or_lost(connection, sql):
    try:
        connection.execute(sql)
    except Exception:  # the server is gone
        pass


@pytest.fixture
def keeps_two_months():
    cluster = TimedCluster("keeps", "2026-01-15 12:00", preload=False,
                           settings={"token_mgmt.ledger_retention": "60d",
                                     "token_mgmt.reservation_retention": "3650d"}).start()
    yield cluster
    cluster.destroy()


def drop_months(connection):
    return value(connection, "SELECT rows_done FROM token_mgmt.run_maintenance() "
                 "WHERE job = 'drop ledger months'")


def months(connection):
    return value(connection, "SELECT string_agg(right(relname, 7), ' ' ORDER BY relname) "
                 "FROM pg_class WHERE relname ~ '^usage_ledger_20' AND relkind = 'r'")


def test_months_past_retention_are_dropped_and_missed_by_nobody(keeps_two_months, tmp_path):
    cluster = keeps_two_months
    database = cluster.create_database("past")
    with database.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', '*', 'total', 1000000), "
                           "token_mgmt.set_quota('user', '*', 'month', 1000000)")
        settle_many(connection, 1)
        cluster.set_instant("2026-02-15 12:00")
        settle_many(connection, 2)
        assert drop_months(connection) == 0
        assert months(connection) == "2026_01 2026_02 2026_03 2026_04 2026_05"
        before = connection.execute("SELECT * FROM token_mgmt.usage_daily").fetchall()
        cluster.set_instant("2026-04-20 12:00")
        # A reader keeps the month from being dropped, and is not kept waiting itself, nor are
        # settlements.
        with database.connect(autocommit=False) as reader:
            value(reader, "SELECT count(*) FROM token_mgmt.usage_ledger")
            assert drop_months(connection) == 0
            settle_many(connection, 3)
            assert drop_months(connection) == 0
            assert value(reader, "SELECT count(*) FROM token_mgmt.usage_ledger") > 0
        assert drop_months(connection) == 1
        assert drop_months(connection) == 0
        assert months(connection).startswith("2026_02")
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger") \
            == 2 * SETTLEMENTS
        assert value(connection, "SELECT sum(amount) FROM token_mgmt.ledger_carried") \
            == 2 * 110 * SETTLEMENTS
        assert connection.execute("SELECT * FROM token_mgmt.usage_daily WHERE day < '2026-03-01'"
                                  ).fetchall() == before
        assert value(connection, "SELECT total_tokens FROM usage_report('2026-01-01', "
                     "'2026-01-15 13:00', '{}')") == 110 * SETTLEMENTS
    assert findings(database) == []

    # What is carried is carried over, and nothing is dropped while it may be being restored.
    cluster.set_instant("2026-06-20 12:00")
    restored = cluster.create_database("restored", extension=False)
    file = tmp_path / "file"
    database.run("pg_dump", "-Fc", "-f", str(file))
    restored.run("pg_restore", "--exit-on-error", "-d", restored.name, str(file))
    with restored.connect() as connection:
        assert drop_months(connection) == 0
        assert findings(restored) == []
        cluster.set_instant("2026-06-22 12:00")
        assert drop_months(connection) == 1
    assert findings(restored) == []


def test_month_is_dropped_by_no_snapshot_of_before(keeps_two_months):
    """It might not see the last entries of the month, and carry too little."""
    cluster = keeps_two_months
    database = cluster.create_database("snapshot")
    with database.connect() as connection:
        settle_many(connection, 1)
        cluster.set_instant("2026-06-20 12:00")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert drop_months(connection) == 0
        connection.execute("COMMIT")
        assert drop_months(connection) == 1
        assert sqlstate(connection, "SELECT * FROM token_mgmt.usage_ledger_2026_01") == "42P01"
