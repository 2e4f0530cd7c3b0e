"""The clock decides everything: periods end when the quota's zone says so, holds when their time is
up, and a clock that moves back gives nothing away. By the clock alone and with the worker
(complaints 2, 6 and 7)."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from books import findings, row, sqlstate, value
from cluster import wait_until
from timed_cluster import TimedCluster

SETTINGS = {"token_mgmt.worker_naptime": "100ms", "token_mgmt.late_settle_interval": "5d"}


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "worker"])
def timed(request):
    cluster = TimedCluster("timed", "2026-01-01 00:00", request.param, SETTINGS).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def moving(timed):
    database = timed.create_database("moving")
    yield database
    database.drop()


def settled_down(database):
    """Waits until a worker, where there is one, has made a pass that began after this call."""
    if not database.cluster.preload:
        return
    database.psql("UPDATE token_mgmt.worker_job SET runs = 0 WHERE job = 'worker'")
    # The pass under way may have begun before.
    wait_until(lambda: int(database.psql("SELECT runs FROM token_mgmt.worker_status "
                                         "WHERE job = 'worker'")) >= 2,
               what="two passes of the worker")


# Zone, period, its first instant, the first instant of the next one (both UTC).
PERIODS = [
    ("Europe/Berlin", "day", "2026-07-09 22:00", "2026-07-10 22:00"),
    ("Europe/Berlin", "day", "2026-03-28 23:00", "2026-03-29 22:00"),
    ("Europe/Berlin", "day", "2026-10-24 22:00", "2026-10-25 23:00"),
    ("Australia/Lord_Howe", "day", "2026-04-04 13:00", "2026-04-05 13:30"),
    ("Asia/Kolkata", "month", "2026-12-31 18:30", "2027-01-31 18:30"),
    ("UTC", "month", "2028-02-01 00:00", "2028-03-01 00:00"),
    ("America/New_York", "month", "2026-11-01 04:00", "2026-12-01 05:00"),
    ("UTC", "year", "2026-01-01 00:00", "2027-01-01 00:00"),
    ("Europe/Berlin", "15 days", "2026-03-14 23:00", "2026-03-29 22:00"),
    ("America/New_York", "3 months", "2026-10-01 04:00", "2027-01-01 05:00"),
    ("UTC", "5 hours", "2026-11-20 10:00", "2026-11-20 15:00"),
]


def earlier(connection, instant):
    return value(connection, "SELECT to_char(%s::timestamp - interval '30 seconds', "
                 "'YYYY-MM-DD HH24:MI:SS')", [instant])


@pytest.mark.parametrize(("zone", "period", "start", "end"), PERIODS)
def test_period_resets_when_its_zone_says(timed, moving, zone, period, start, end):
    with moving.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', %s, 100, time_zone => %s)",
                           [period, zone])
        for instant, answer in [(earlier(connection, start), "granted"), (start, "granted"),
                                (earlier(connection, end), "denied"), (end, "granted")]:
            timed.set_instant(instant)
            status, reservation = row(connection, "SELECT status, reservation_id FROM "
                                      "try_reserve_tokens('alice', 100)")
            assert (instant, status) == (instant, answer)
            if reservation:
                connection.execute("SELECT settle_tokens(%s, 100, 0)", [reservation])
        spans = connection.execute(
            "SELECT starts_at AT TIME ZONE 'UTC', ends_at AT TIME ZONE 'UTC' FROM "
            "token_mgmt.quota_period ORDER BY 1").fetchall()
        assert [str(instant)[:16] for instant in spans[1]] == [start, end]
        # Without a gap and without an overlap.
        assert [span[1] for span in spans[:-1]] == [span[0] for span in spans[1:]]
    assert findings(moving) == []


@pytest.mark.parametrize(("period", "back"), [
    ("day", "2026-11-20 11:00"), ("month", "2026-11-19 12:00"), ("year", "2026-10-20 12:00"),
])
def test_clock_moving_back_within_a_period_continues_its_balance(timed, moving, period, back):
    timed.set_instant("2026-11-20 12:00")
    with moving.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', %s, 100)", [period])
        kept = value(connection, "SELECT reservation_id FROM reserve_tokens('alice', 30)")
        spent = value(connection, "SELECT reservation_id FROM reserve_tokens('alice', 30)")
        connection.execute("SELECT settle_tokens(%s, 30, 0)", [spent])
        timed.set_instant(back)
        settled_down(moving)
        assert sqlstate(connection, "SELECT reserve_tokens('alice', 41)") == "TM001"
        assert value(connection, "SELECT status FROM reserve_tokens('alice', 40)") == "granted"
        assert value(connection, "SELECT total_tokens FROM settle_tokens(%s, 20, 0)", [kept]) == 20
        assert value(connection, "SELECT total_tokens FROM settle_tokens(%s, 30, 0)", [spent]) == 30
        assert row(connection, "SELECT used, held, remaining FROM token_mgmt.quota_status") \
            == (50, 40, 10)
    assert findings(moving) == []


@pytest.mark.parametrize("back", ["2026-11-20 11:00:10", "2026-11-19 12:00:10"])
@pytest.mark.parametrize("period", ["minute", "hour", "day"])
def test_clock_moving_back_into_an_earlier_period_grants_nothing_twice(timed, moving, period, back):
    with moving.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', %s, 100)", [period])
        # The earlier period is used up, long over and, with a worker, tidied away.
        timed.set_instant(back)
        spent = value(connection, "SELECT reservation_id FROM reserve_tokens('alice', 100)")
        connection.execute("SELECT settle_tokens(%s, 100, 0)", [spent])
        for instant in ("2026-11-20 12:01", "2026-11-20 12:10", "2026-11-20 12:20:10"):
            timed.set_instant(instant)
            connection.execute("SELECT token_mgmt.run_maintenance()")
            settled_down(moving)
        now = "SELECT status FROM try_reserve_tokens('alice', 100)"
        in_day_of_back = period == "day" and back.startswith("2026-11-20")
        assert value(connection, now) == ("denied" if in_day_of_back else "granted")
        timed.set_instant(back)
        settled_down(moving)
        # Where the period has been tidied away, the next one answers, which nobody used: once.
        connection.execute(now)
        assert value(connection, now) == "denied"
        timed.set_instant("2026-11-20 12:20:15")
        settled_down(moving)
        assert value(connection, now) == "denied"
        assert value(connection, """SELECT max(granted) FROM (
            SELECT sum(a.amount) AS granted
            FROM token_mgmt.reservation r, unnest(r.allocations) a
            GROUP BY a.quota_id, a.scope_value, a.starts_at) p""") == 100
    assert findings(moving) == []


@pytest.mark.parametrize("kind", ["sliding", "bucket"])
def test_clock_moving_back_grants_nothing_twice_from_a_window_or_bucket(timed, moving, kind):
    def taken(connection, tokens):
        reservation = value(connection, "SELECT reservation_id FROM try_reserve_tokens("
                            "'alice', %s)", [tokens])
        if reservation:
            connection.execute("SELECT settle_tokens(%s, %s, 0)", [reservation, tokens])
        return reservation is not None

    timed.set_instant("2026-11-20 12:00:10")
    with moving.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'minute', 100, "
                           "options => jsonb_build_object('kind', %s::text))", [kind])
        assert taken(connection, 100)
        for instant in ("2026-11-20 11:00", "2026-11-19 12:00", "2026-11-20 12:00:10"):
            timed.set_instant(instant)
            settled_down(moving)
            assert not taken(connection, 20)
        # Long over and, with a worker, tidied away.
        for instant in ("2026-11-20 12:05", "2026-11-20 12:15", "2026-11-20 12:25"):
            timed.set_instant(instant)
            connection.execute("SELECT token_mgmt.run_maintenance()")
            settled_down(moving)
        timed.set_instant("2026-11-20 12:00:10")
        assert taken(connection, 100) == (kind == "sliding")
        assert not taken(connection, 20)
        # In no minute of the window's own time more than the limit.
        assert value(connection, """SELECT max(granted) FROM (
            SELECT sum(a.amount) OVER (ORDER BY a.starts_at
                RANGE BETWEEN '1 minute' PRECEDING AND CURRENT ROW) AS granted
            FROM token_mgmt.reservation r, unnest(r.allocations) a) p""") == 100
    assert findings(moving) == []


def test_late_settlement_is_charged_to_the_period_that_held(timed, moving):
    timed.set_instant("2026-11-29 12:00")
    with moving.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'minute', 100), "
                           "token_mgmt.set_quota('user', 'alice', 'month', 1000)")
        late, too_late = (value(connection, "SELECT reservation_id FROM reserve_tokens('alice', "
                                "50, ttl => '1 hour')") for _ in range(2))
        timed.set_instant("2026-12-02 12:00:10")
        for _ in range(2):
            connection.execute("SELECT token_mgmt.run_maintenance()")
            settled_down(moving)
        timed.set_instant("2026-12-02 12:10:10")
        connection.execute("SELECT token_mgmt.run_maintenance()")
        settled_down(moving)
        # Three days later, in another month, and more than was held.
        flags = value(connection, "SELECT flags FROM settle_tokens(%s, 70, 0)", [late])
        assert flags == ["overrun", "late"]
        charged = connection.execute(
            "SELECT ends_at - starts_at < '1 hour', to_char(starts_at, 'MM-DD HH24:MI'), used, held"
            " FROM token_mgmt.quota_period WHERE used + held > 0 ORDER BY 1").fetchall()
        assert charged == [(False, "11-01 00:00", 70, 0), (True, "11-29 12:00", 70, 0)]
        assert value(connection, "SELECT tableoid::regclass::text FROM token_mgmt.usage_ledger") \
            == "token_mgmt.usage_ledger_2026_12"
        remaining = connection.execute("SELECT remaining FROM token_mgmt.quota_status ORDER BY 1")
        assert remaining.fetchall() == [(100,), (1000,)]
        timed.set_instant("2026-12-04 13:00:10")
        assert sqlstate(connection, "SELECT settle_tokens(%s, 1, 0)", [too_late]) == "TM004"
    assert findings(moving) == []


def test_hold_lasts_for_its_ttl_and_not_longer(timed, moving):
    timed.set_instant("2026-11-20 12:00")
    with moving.connect() as connection:
        connection.execute("SELECT token_mgmt.set_quota('user', 'alice', 'total', 100)")
        first = value(connection, "SELECT reservation_id FROM reserve_tokens('alice', 100)")
        other = "SELECT status FROM try_reserve_tokens('alice', 100, ttl => '1 day')"
        # The default is ten minutes.
        timed.set_instant("2026-11-20 12:09:30")
        settled_down(moving)
        assert value(connection, other) == "denied"
        assert value(connection, "SELECT is_overdue FROM token_mgmt.open_reservations") is False
        timed.set_instant("2026-11-20 12:10:30")
        assert sqlstate(connection, "SELECT release_tokens(%s)", [first]) == "TM004"
        assert value(connection, other) == "granted"
        assert connection.execute("SELECT state FROM token_mgmt.reservation ORDER BY reserved_at"
                                  ).fetchall() == [("expired",), ("held",)]
        timed.set_instant("2026-11-21 12:09")
        settled_down(moving)
        assert value(connection, "SELECT is_overdue FROM token_mgmt.open_reservations") is False
    assert findings(moving) == []


def test_first_calls_of_a_month_all_find_its_partition(timed, moving):
    sessions = [moving.connect() for _ in range(12)]
    barrier = Barrier(len(sessions))

    def record(connection):
        barrier.wait(60)
        return sqlstate(connection, "SELECT record_usage('alice', 1, 1)")

    with ThreadPoolExecutor(len(sessions)) as pool:
        for month in range(60):
            timed.set_instant(f"{2030 + month // 12}-{month % 12 + 1:02}-03 12:00")
            assert set(pool.map(record, sessions)) == {None}
    with moving.connect() as connection:
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger") == 60 * 12
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger_default") == 0
    for connection in sessions:
        connection.close()


@pytest.mark.parametrize("reset_at", ["2026-05-09 12:00", "2026-05-11 12:00"])
def test_reset_gives_back_once_what_was_charged_before_it(timed, moving, reset_at):
    """An expiry has charged 500, which a reset by another clock gives back; a settlement for less
    gives nothing back again."""
    timed.set_instant("2026-05-10 12:00")
    moving.psql("SELECT token_mgmt.set_quota('user', 'ann', 'total', 1000)")
    with moving.connect() as connection:
        held = value(connection, "SELECT reservation_id FROM reserve_tokens('ann', 500, 0)")
        row(connection, "SELECT report_progress(%s, 0)", [held])
        timed.set_instant("2026-05-10 13:00")
        row(connection, "SELECT count(*) FROM token_mgmt.run_maintenance()")
        status = "SELECT used, remaining FROM token_mgmt.quota_status"
        assert row(connection, status) == (500, 500)
        timed.set_instant(reset_at)
        row(connection, "SELECT token_mgmt.reset_quota('user', 'ann', 'total')")
        assert row(connection, status) == (0, 1000)
        row(connection, "SELECT settle_tokens(%s, 100, 0)", [held])
        assert row(connection, status) == (0, 1000)
        row(connection, "SELECT record_usage('ann', 300, 0)")
        assert row(connection, status) == (300, 700)
    assert findings(moving) == []
