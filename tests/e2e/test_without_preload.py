"""No shared_preload_libraries: everything works and stays correct, and the status says what is
missing."""

import pytest

from books import findings, row, sqlstate, value
from timed_cluster import TimedCluster


@pytest.fixture(scope="module")
def bare():
    cluster = TimedCluster("bare", "2026-11-20 09:00:10", preload=False).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def alone(bare):
    bare.set_instant("2026-11-20 09:00:10")
    database = bare.create_database("alone")
    yield database
    database.drop()


def test_status_says_what_is_missing(alone):
    with alone.connect() as connection:
        status, passes, hint = row(connection, "SELECT status, runs, hint "
                                   "FROM token_mgmt.worker_status WHERE job = 'worker'")
        assert (status, passes) == ("not preloaded", 0)
        assert "shared_preload_libraries = 'token_mgmt'" in hint
        assert "run_maintenance()" in hint


def test_counting_fitting_and_the_whole_cycle_work(alone):
    with alone.connect() as connection:
        assert value(connection, "SELECT tiktoken_count('cl100k_base', 'Your input text here')") \
            == 4
        # The setting's default holds before the library is loaded, in a session of its own too.
        with alone.connect() as fresh:
            assert value(fresh, "SELECT completion_tokens FROM prepare_request('alice', 'gpt-4o', "
                         "'[{\"role\": \"user\", \"content\": \"Hello!\"}]')") == 4096
        connection.execute("SELECT token_mgmt.set_quota('user', 'bob', 'day', 1000)")
        kept = value(connection, "SELECT reservation_id FROM reserve_tokens('bob', 600)")
        given_back = value(connection, "SELECT reservation_id FROM reserve_tokens('bob', 400)")
        assert sqlstate(connection, "SELECT reserve_tokens('bob', 1)") == "TM001"
        connection.execute("SELECT settle_tokens(%s, 500, 50)", [kept])
        connection.execute("SELECT release_tokens(%s)", [given_back])
        assert value(connection, "SELECT remaining FROM token_mgmt.quota_status") == 450
    assert findings(alone) == []


def test_request_that_runs_short_ends_overdue_holds_itself(bare, alone):
    with alone.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'total', 1000)")
        connection.execute("SELECT reserve_tokens('alice', 900, ttl => '1 minute')")
        assert sqlstate(connection, "SELECT reserve_tokens('alice', 500)") == "TM001"
        bare.set_instant("2026-11-20 09:02")
        assert value(connection, "SELECT status FROM reserve_tokens('alice', 500)") == "granted"
        states = connection.execute("SELECT tokens_held, state FROM token_mgmt.reservation "
                                    "ORDER BY 1").fetchall()
        assert states == [(500, "held"), (900, "expired")]
    assert findings(alone) == []


def test_period_resets_by_the_clock_alone(bare, alone):
    with alone.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'minute', 100)")
        assert value(connection, "SELECT status FROM reserve_tokens('alice', 100)") == "granted"
        assert sqlstate(connection, "SELECT reserve_tokens('alice', 1)") == "TM001"
        bare.set_instant("2026-11-20 09:01:01")
        assert value(connection, "SELECT status FROM reserve_tokens('alice', 100)") == "granted"
        assert value(connection, "SELECT count(*) FROM token_mgmt.quota_period") == 2
    assert findings(alone) == []


def test_run_maintenance_does_the_work_of_the_worker(bare, alone):
    with alone.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'minute', 100)")
        connection.execute("SELECT reserve_tokens('alice', 60, ttl => '30 seconds')")
        bare.set_instant("2026-11-20 09:05")
        work = dict(connection.execute(
            "SELECT job, rows_done FROM token_mgmt.run_maintenance()").fetchall())
        assert (work["close periods"], work["open periods"], work["expire holds"]) == (1, 1, 1)
        assert value(connection, "SELECT state FROM token_mgmt.reservation") == "expired"
        again = connection.execute("SELECT rows_done, error FROM token_mgmt.run_maintenance()")
        assert set(again.fetchall()) == {(0, None)}
        # Told by the server's start and not by what was called by hand.
        assert value(connection, "SELECT status FROM token_mgmt.worker_status "
                     "WHERE job = 'worker'") == "not preloaded"
        # ... and the jobs that were run so are shown.
        assert value(connection, "SELECT rows_done FROM token_mgmt.worker_status "
                     "WHERE job = 'expire holds'") == 1
    assert findings(alone) == []
