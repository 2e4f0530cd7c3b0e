"""The clock decides everything: periods end when the quota's zone says so, holds when their time is
up, and a clock that moves back gives nothing away. By the clock alone and with the worker
(complaints 2, 6 and 7)."""

import json
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
@pytest.mark.parametrize(("period", "amount", "options"), [
    ("total", 1000, {}), ("10000 hours", 1, {"kind": "bucket", "burst": 1000})])
def test_reset_gives_back_once_what_was_charged_before_it(
        timed, moving, period, amount, options, reset_at):
    """An expiry has charged 500, which a reset by another clock gives back; a settlement for less
    gives nothing back again."""
    timed.set_instant("2026-05-10 12:00")
    moving.psql(f"SELECT token_mgmt.set_quota('user', 'ann', '{period}', {amount}, "
                f"options => '{json.dumps(options)}')")
    with moving.connect() as connection:
        held = value(connection, "SELECT reservation_id FROM reserve_tokens('ann', 500, 0)")
        row(connection, "SELECT report_progress(%s, 0)", [held])
        timed.set_instant("2026-05-10 13:00")
        row(connection, "SELECT count(*) FROM token_mgmt.run_maintenance()")

        def left():
            return value(connection, "SELECT round(remaining) FROM token_mgmt.quota_status")

        assert left() == 500
        timed.set_instant(reset_at)
        row(connection, f"SELECT token_mgmt.reset_quota('user', 'ann', '{period}')")
        assert left() == 1000
        row(connection, "SELECT record_usage('ann', 800, 0)")
        row(connection, "SELECT settle_tokens(%s, 100, 0)", [held])
        assert left() == 200
    assert findings(moving) == []


# Calendar before and after, an instant in a period of both, the first ones after its two ends.
CALENDARS = [
    ({"anchor": "2026-01-31 00:00"}, {"anchor": "2026-01-30 00:00"}, "2026-02-28 10:00",
     "2026-03-30 00:00", "2026-03-31 00:00"),
    ({"anchor": "2026-01-30 00:00"}, {"anchor": "2026-01-31 00:00"}, "2026-02-28 10:00",
     "2026-03-31 00:00", "2026-03-30 00:00"),
    ({"time_zone": "UTC"}, {"time_zone": "Europe/London"}, "2026-03-10 10:00",
     "2026-03-31 23:00", "2026-04-01 00:00"),
]


@pytest.mark.parametrize(("before", "after", "at", "end", "other_end"), CALENDARS)
def test_period_that_begins_in_both_calendars_ends_by_the_new_one(
        timed, moving, before, after, at, end, other_end):
    timed.set_instant(at)
    set_quota = "SELECT token_mgmt.set_quota('user', 'ann', 'month', 100, time_zone => %s, " \
        "options => %s)"

    def used():
        return value(connection, "SELECT coalesce(sum(used), 0) FROM token_mgmt.quota_status")

    with moving.connect() as connection:
        for options, tokens in ((before, 60), (after, 30)):
            row(connection, set_quota, [options.get("time_zone"), json.dumps(
                {name: text for name, text in options.items() if name == "anchor"})])
            row(connection, "SELECT record_usage('ann', %s, 0)", [tokens])
        for instant in sorted((end, other_end)):
            timed.set_instant(earlier(connection, instant))
            settled_down(moving)
            assert used() == (90 if instant <= end else 10)
            timed.set_instant(instant)
            settled_down(moving)
            if instant == end:
                assert used() == 0
                # This fits into what is left of the period that has ended, too.
                row(connection, "SELECT settle_tokens((reserve_tokens('ann', 10)).reservation_id, "
                    "10, 0)")
            assert used() == (90 if instant < end else 10)
            assert row(connection, "SELECT status FROM try_reserve_tokens('ann', 91, 0, "
                       "on_overflow => 'refuse')") == ("denied",)
    assert findings(moving) == []


def test_bucket_refills_by_its_new_amount_where_the_clock_was_ahead(timed, moving):
    timed.set_instant("2026-06-10 12:00")
    bucket = "SELECT token_mgmt.set_quota('user', 'ann', 'minute', %s, " \
        "options => '{\"kind\": \"bucket\", \"burst\": 100}')"
    with moving.connect() as connection:
        row(connection, bucket, [6000])
        row(connection, "SELECT record_usage('ann', 100, 0)")
        timed.set_instant("2026-06-10 13:00")
        row(connection, bucket, [6])
        for seconds in (10, 20):
            timed.set_instant(f"2026-06-10 12:00:{seconds}")
            assert row(connection, "SELECT status FROM try_reserve_tokens('ann', 10, 0, "
                       "on_overflow => 'refuse')") == ("denied",)
        timed.set_instant("2026-06-10 12:59:50")
        row(connection, "SELECT record_usage('ann', 100, 0)")
        timed.set_instant("2026-06-10 13:00:10")
        assert row(connection, "SELECT status FROM try_reserve_tokens('ann', 10, 0, "
                   "on_overflow => 'refuse')") == ("denied",)
    assert findings(moving) == []


def test_limit_lowered_by_a_clock_that_was_ahead_is_what_is_carried_over(timed, moving):
    day = "SELECT token_mgmt.set_quota('user', 'ann', 'day', %s, " \
        "options => '{\"carry_over\": 1000}')"
    timed.set_instant("2026-03-09 12:00")
    with moving.connect() as connection:
        row(connection, day, [1000])
        timed.set_instant("2026-03-11 12:00")
        row(connection, day, [10])
        timed.set_instant("2026-03-10 12:00")
        row(connection, "SELECT record_usage('ann', 5, 0)")
        timed.set_instant("2026-03-11 00:01")
        settled_down(moving)
        assert row(connection, "SELECT status, tokens_remaining FROM try_reserve_tokens('ann', 1, "
                   "0)") == ("granted", 19)
    assert findings(moving) == []


@pytest.mark.parametrize("call", [
    "SELECT status FROM try_reserve_tokens('ann', 9, 0, on_overflow => 'refuse'{})",
    "SELECT status FROM try_prepare_request('ann', 'gpt-4o', '[{{\"role\": \"user\", \"content\": "
    "\"x\"}}]', completion_tokens => 90, on_overflow => 'refuse'{})",
])
@pytest.mark.parametrize("wait", ["", ", max_wait => '100 ms'"])
def test_denial_does_not_wait_for_a_clock_that_was_set_back(timed, moving, call, wait):
    timed.set_instant("2026-07-10 12:00")
    moving.psql("SELECT token_mgmt.set_quota('user', 'ann', 'total', 10)")
    with moving.connect() as holder, moving.connect() as waiter, \
            ThreadPoolExecutor(1) as pool:
        holder.execute("BEGIN")
        row(holder, "SELECT reserve_tokens('ann', 5, 0)")
        denied = pool.submit(row, waiter, call.format(wait))
        wait_until(lambda: moving.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()") == "1", what="the request waiting for the row")
        timed.set_instant("2026-07-10 11:00")
        holder.execute("COMMIT")
        assert denied.result(timeout=30) == ("denied",)
