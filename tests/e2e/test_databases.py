"""Two databases of one server, each with the extension: the worker looks after both, and neither
knows of the other."""

import pytest

from books import findings, value
from cluster import wait_until
from timed_cluster import TimedCluster

NAMES = ["one", "DB three"]


@pytest.fixture
def pair():
    cluster = TimedCluster("pair", "2026-11-20 09:00",
                           settings={"token_mgmt.worker_naptime": "100ms"}).start()
    yield cluster, [cluster.create_database(name) for name in NAMES]
    cluster.destroy()


def books(database):
    with database.connect() as connection:
        return [connection.execute(f"SELECT count(*) FROM token_mgmt.{table}").fetchone()[0]
                for table in ("quota", "quota_period", "reservation", "usage_ledger")]


def test_worker_expires_and_resets_in_both_at_once(pair):
    cluster, databases = pair
    for number, database in enumerate(databases):
        database.psql(f"""
            SELECT token_mgmt.set_quota('user', 'alice', 'minute', 1000),
                token_mgmt.set_quota('user', 'alice', 'day', {10000 + number});
            SELECT status FROM reserve_tokens('alice', 600, ttl => '1 minute');""")
    cluster.set_instant("2026-11-20 09:03")
    for database in databases:
        wait_until(lambda d=database: d.psql("SELECT state FROM token_mgmt.reservation")
                   == "expired", what=f"the expiry in {database.name}")
        # The reset: the minute of the hold is closed and empty, the current one open and whole.
        wait_until(lambda d=database: d.psql("""
            SELECT count(*) FILTER (WHERE closed_at IS NOT NULL),
                count(*) FILTER (WHERE closed_at IS NULL AND ends_at > now())
            FROM token_mgmt.quota_period p JOIN token_mgmt.quota q USING (tenant, quota_id)
            WHERE q.period = 'minute' AND p.held = 0""") == "1|1", what="the reset")
        wait_until(lambda d=database: d.psql("SELECT status FROM token_mgmt.worker_status "
                                         "WHERE job = 'worker'") == "running", what="a running worker")
        seen = database.psql("""
            SELECT job, rows_done, failures FROM token_mgmt.worker_status
            WHERE job IN ('open periods', 'close periods', 'expire holds')""")
        assert seen.splitlines() == ["open periods|1|0", "close periods|1|0", "expire holds|1|0"]
        assert findings(database) == []


def test_neither_sees_what_is_done_in_the_other(pair):
    _, (first, second) = pair
    second.psql("SELECT token_mgmt.set_quota('user', 'alice', 'day', 50)")
    before = books(second)
    with first.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'day', 1000)")
        for _ in range(3):
            reservation = value(connection,
                                "SELECT reservation_id FROM reserve_tokens('alice', 300)")
            connection.execute("SELECT settle_tokens(%s, 300, 0)", [reservation])
    assert books(first) == [1, 1, 3, 3]
    assert books(second) == before == [1, 0, 0, 0]
    assert second.psql("SELECT remaining FROM token_mgmt.quota_status") == "50"
    first.psql("DROP EXTENSION token_mgmt CASCADE")
    assert second.psql("SELECT status FROM reserve_tokens('alice', 50)") == "granted"
    assert findings(second) == []
