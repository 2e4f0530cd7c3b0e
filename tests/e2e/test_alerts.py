"""Alerts: once each, whoever looks and however often (complaint 17 of FACTS.md), and told to those
who listen."""

import json
import os
import signal
from decimal import Decimal

import pytest

from books import at_once, findings, row, sqlstate, value
from cluster import Cluster, wait_until
from timed_cluster import TimedCluster

MAINTENANCE = "SELECT * FROM token_mgmt.run_maintenance()"
RAISED = "SELECT kind, value, threshold::text FROM token_mgmt.alert_log ORDER BY 1, 2, 3"
THRESHOLDS = ["0.8", "0.9", "1.0"]


@pytest.fixture(scope="module")
def quick():
    """A server whose worker makes ten rounds a second."""
    cluster = Cluster("alerts", settings={"token_mgmt.worker_naptime": "100ms"}).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def books(quick):
    database = quick.create_database("alerts")
    yield database
    database.drop()


def use(connection, user, tokens):
    reservation = value(connection, "SELECT reservation_id FROM reserve_tokens(%s, %s)",
                        [user, tokens])
    connection.execute("SELECT settle_tokens(%s, %s, 0)", [reservation, tokens])


def raised(database):
    with database.connect() as connection:
        return connection.execute(RAISED).fetchall()


def test_complaint_17_each_threshold_once_under_clients_workers_and_restarts(quick, books):
    books.psql("SELECT token_mgmt.set_quota('user', 'alice', 'total', 8000)")

    def session(connection, number):
        # The last two do by hand what the worker does at the same time.
        for _ in range(100):
            if number >= 8:
                connection.execute(MAINTENANCE).fetchall()
            else:
                use(connection, "alice", 10)

    at_once(books, session, 10)
    once = [("quota_threshold", "alice", threshold) for threshold in THRESHOLDS]
    wait_until(lambda: raised(books) == once, what="one alert for each threshold")
    quick.restart()
    before = books.psql("SELECT runs FROM token_mgmt.worker_status WHERE job = 'quota alerts'")
    wait_until(lambda: int(books.psql("SELECT runs FROM token_mgmt.worker_status "
                                      "WHERE job = 'quota alerts'")) > int(before) + 2)
    assert raised(books) == once
    assert quick.log().count('token_mgmt alert (quota_threshold): user "alice"') == 3
    assert findings(books) == []


def test_reserve_and_settle_raise_none(db):
    # Whoever has the row of alerts locked keeps maintenance from raising any.
    with db.connect(autocommit=False) as holder, db.connect() as connection:
        holder.execute("SELECT FROM token_mgmt.alert_sweep FOR UPDATE")
        connection.execute("SELECT token_mgmt.set_quota('user', 'bob', 'day', 100)")
        use(connection, "bob", 100)
        # It is not waited for, either.
        connection.execute("SET statement_timeout = '5s'")
        errors = [error for _, _, error in connection.execute(MAINTENANCE) if error]
        assert errors == []
        assert raised(db) == []
        holder.rollback()
        connection.execute(MAINTENANCE)
        wait_until(lambda: len(raised(db)) == 3)


def test_listener_hears_each_alert_once(books):
    with books.connect() as listener, books.connect() as connection:
        listener.execute("LISTEN token_mgmt_alerts")
        connection.execute("SELECT token_mgmt.set_quota('team', 'red', 'day', 100, "
                           "tenant => 'acme')")
        reservation = value(connection, "SELECT reservation_id FROM reserve_tokens('ann', 95, "
                            "team => 'red', tenant => 'acme')")
        connection.execute("SELECT settle_tokens(%s, 95, 0)", [reservation])
        heard = [json.loads(n.payload) for n in listener.notifies(timeout=10, stop_after=2)]
        told = [row(connection, "SELECT tenant, kind, scope, value, threshold, message "
                    "FROM token_mgmt.alert_log WHERE alert_id = %s", [h["alert_id"]])
                for h in heard]
        assert [t[:5] for t in told] == [
            ("acme", "quota_threshold", "team", "red", Decimal("0.8")),
            ("acme", "quota_threshold", "team", "red", Decimal("0.9"))]
        assert told[0][5].startswith('team "red" has used 95 % of its tokens for the day')


def test_notification_tells_a_role_without_grants_nothing(db):
    """PostgreSQL knows no privilege on LISTEN."""
    name = "secret-user"
    with db.connect() as connection:
        connection.execute("LISTEN token_mgmt_alerts")
        connection.execute("SELECT token_mgmt.set_quota('user', %s, 'day', 10, tenant => %s)",
                           [name, name])
        reservation = value(connection, "SELECT reservation_id FROM reserve_tokens(%s, 8, "
                            "tenant => %s)", [name, name])
        connection.execute("SELECT settle_tokens(%s, 8, 0)", [reservation])
        connection.execute(MAINTENANCE)
        heard = next(connection.notifies(timeout=10, stop_after=1))
        assert list(json.loads(heard.payload)) == ["alert_id"]


def test_muted_scope_is_silent_and_the_others_are_not(books):
    with books.connect() as connection:
        for user in ("loud", "quiet"):
            connection.execute("SELECT token_mgmt.set_quota('user', %s, 'day', 100)", [user])
        connection.execute("SELECT token_mgmt.mute_alerts('user', 'quiet', now() + '1 hour')")
        for user in ("quiet", "loud"):
            use(connection, user, 100)
    loud = [("quota_threshold", "loud", threshold) for threshold in THRESHOLDS]
    wait_until(lambda: raised(books) == loud)
    books.psql("SELECT token_mgmt.mute_alerts('user', 'quiet', NULL)")
    wait_until(lambda: len(raised(books)) == 6, what="what was muted and still holds")


def test_failing_job_is_announced_once_and_stops_no_other(quick, books):
    books.psql("ALTER TABLE token_mgmt.reservation ADD CONSTRAINT planted "
               "CHECK (state <> 'expired')")
    books.psql("SELECT reserve_tokens('dan', 1, ttl => '1 microsecond')")
    status = ("SELECT status FROM token_mgmt.worker_status WHERE job = 'expire holds' "
              "AND failed_in_row > 3")
    wait_until(lambda: books.psql(status) == "failing", what="the fourth failure")
    assert raised(books) == [("job_failing", "expire holds", "1")]
    others = books.psql("SELECT count(*) FROM token_mgmt.worker_status "
                        "WHERE status <> 'ok' AND job NOT IN ('worker', 'expire holds')")
    assert others == "0"
    assert quick.log().count('maintenance job "expire holds" failed') == 1
    books.psql("ALTER TABLE token_mgmt.reservation DROP CONSTRAINT planted")
    wait_until(lambda: books.psql("SELECT state FROM token_mgmt.reservation") == "expired")
    # It fails anew: that is news.
    books.psql("ALTER TABLE token_mgmt.reservation ADD CONSTRAINT planted "
               "CHECK (state <> 'expired') NOT VALID")
    books.psql("SELECT reserve_tokens('dan', 1, ttl => '1 microsecond')")
    wait_until(lambda: len(raised(books)) == 2, what="the second alert")


def test_job_that_waits_for_a_lock_or_never_ends_stops_no_other(quick, books):
    """The worker's own timeouts are two seconds for a lock and a minute for a statement; a cancel
    is what the latter does."""
    books.psql("SELECT token_mgmt.set_quota('user', 'eve', 'day', 100)")
    with books.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE token_mgmt.reservation IN ACCESS EXCLUSIVE MODE")
        wait_until(lambda: books.psql("SELECT count(*) > 1 FROM token_mgmt.worker_status "
                                      "WHERE last_error LIKE '55P03%'") == "t",
                   what="jobs that gave up on the lock")
        assert books.psql("SELECT status FROM token_mgmt.worker_status "
                          "WHERE job = 'close periods'") == "ok"
        stuck = ("SELECT pid FROM pg_stat_activity WHERE backend_type = 'token_mgmt worker' "
                 "AND datname = 'alerts' AND wait_event_type = 'Lock'")
        wait_until(lambda: books.psql(f"SELECT pg_cancel_backend(pid) FROM ({stuck}) s") == "t")
        wait_until(lambda: books.psql("SELECT count(*) > 0 FROM token_mgmt.worker_status "
                                      "WHERE last_error LIKE '57014%'") == "t",
                   what="a job that was cancelled")
        blocker.rollback()
    wait_until(lambda: books.psql("SELECT count(*) FROM token_mgmt.worker_status "
                                  "WHERE status = 'failing'") == "0", what="their recovery")


@pytest.fixture
def timed():
    cluster = TimedCluster("alerts_timed", "2026-11-20 09:00",
                           settings={"token_mgmt.worker_naptime": "100ms"}).start()
    yield cluster
    cluster.destroy()


def test_silence_of_the_worker_is_seen_by_run_maintenance_and_told_once(timed):
    cluster = timed
    database = cluster.create_database("silent")
    seen = "SELECT status FROM token_mgmt.worker_status WHERE job = 'worker'"
    wait_until(lambda: database.psql(seen) == "running", what="a pass")
    launcher = int(cluster.psql("SELECT pid FROM pg_stat_activity "
                                "WHERE backend_type = 'token_mgmt launcher'"))
    os.kill(launcher, signal.SIGSTOP)
    try:
        wait_until(lambda: cluster.psql("SELECT count(*) FROM pg_stat_activity "
                                        "WHERE backend_type = 'token_mgmt worker'") == "0")
        cluster.set_instant("2026-11-20 11:00")
        assert database.psql(seen) == "silent"
        for _ in range(2):
            database.psql(MAINTENANCE)
        assert raised(database) == [("worker_silent", "worker", "30")]
    finally:
        os.kill(launcher, signal.SIGCONT)
    wait_until(lambda: database.psql(seen) == "running", what="the worker's return")
    # The worker tells of a silence that it finds has been, too: here nobody else looked.
    cluster.set_instant("2026-11-20 13:00")
    wait_until(lambda: len(raised(database)) == 2, what="the second alert")


def test_restored_alerts_never_meet_those_raised_meanwhile(db, tmp_path):
    db.psql("SELECT token_mgmt.set_quota('user', 'ida', 'total', 100)")
    with db.connect() as connection:
        use(connection, "ida", 100)
    db.psql(MAINTENANCE)
    dump, contents, rest = (tmp_path / name for name in ("dump", "contents", "rest"))
    db.run("pg_dump", "-Fc", "-f", str(dump))
    lines = db.run("pg_restore", "-l", str(dump)).stdout.splitlines(keepends=True)
    alerts = [line for line in lines if " TABLE DATA token_mgmt alert " in line]
    assert len(alerts) == 1
    contents.write_text("".join(line for line in lines if line not in alerts))
    rest.write_text("".join(alerts))
    copy = db.cluster.create_database(f"{db.name}_copy", extension=False)
    try:
        for part in (contents, rest):
            copy.run("pg_restore", "--exit-on-error", "-L", str(part), "-d", copy.name, str(dump))
            copy.psql(MAINTENANCE)
        # What still holds is raised once more there, and once only.
        assert len(raised(copy)) == 6
        assert findings(copy) == []
    finally:
        copy.drop()


def stand_in(database, name, definition):
    """Puts this function in the place of the extension's, so that the test decides what it finds."""
    database.psql(f"""
        DO $$
        DECLARE
            old regprocedure;
        BEGIN
            FOR old IN SELECT p.oid FROM pg_proc p
                WHERE p.pronamespace = 'token_mgmt'::regnamespace AND p.proname = '{name}'
            LOOP
                EXECUTE format('ALTER EXTENSION token_mgmt DROP FUNCTION %s', old);
                EXECUTE format('DROP FUNCTION %s', old);
            END LOOP;
        END
        $$;
        CREATE FUNCTION token_mgmt.{name}{definition}""")


def test_anomaly_is_announced_once_for_each_user_and_hour(db):
    stand_in(db, "usage_anomalies", """(at timestamptz)
        RETURNS TABLE (tenant text, user_id text, hour timestamptz, tokens bigint,
            expected numeric, ratio numeric) LANGUAGE sql AS $$
            VALUES ('acme', 'ann', timestamptz '2026-11-20 09:00+00', 9000, 1000.4, 9.0),
                ('acme', 'ann', '2026-11-20 10:00+00', 4000, 1000, 4.0),
                ('acme', 'bob', '2026-11-20 09:00+00', 2000, 1000, 2.0) $$""")
    db.psql("SELECT token_mgmt.set_alert_rule('usage_anomaly', '{3}', tenant => 'acme')")
    for _ in range(2):
        db.psql(MAINTENANCE)
    assert raised(db) == [("usage_anomaly", "ann", "3")] * 2
    messages = db.psql("SELECT message FROM token_mgmt.alert_log ORDER BY starts_at")
    assert messages.splitlines()[0] == ('user "ann" used 9000 tokens in the hour from '
                                        '2026-11-20 09:00:00 UTC, where 1000 were expected')


def test_expiring_key_is_announced_once_for_each_threshold(db):
    stand_in(db, "_expiring_keys", """(within interval)
        RETURNS TABLE (tenant text, name text, user_id text, expires_at timestamptz)
        LANGUAGE sql AS $$
            SELECT * FROM (VALUES
                ('default', 'soon', 'ann', date_trunc('day', now() + interval '5 days')),
                ('default', 'sooner', 'ann', date_trunc('minute', now() + interval '2 hours')),
                ('default', 'later', 'bob', now() + interval '8 days'),
                ('default', 'gone', 'bob', now() - interval '1 day')) k (tenant, name, user_id, at)
            WHERE k.at <= now() + within $$""")
    for _ in range(2):
        db.psql(MAINTENANCE)
    found = [("key_expiring", "soon", "7"), ("key_expiring", "sooner", "1"),
             ("key_expiring", "sooner", "7")]
    assert sorted(set(raised(db))) == found


def test_wrong_rules_are_refused_and_leave_nothing(db):
    with db.connect() as connection:
        for rule in ("'quota_threshold', '{0}'", "'quota_threshold', '{-1}'",
                     "'quota_threshold', ARRAY[]::numeric[]", "'x'",
                     "'key_expiring', '{1}', true, 'user', NULL"):
            assert sqlstate(connection, f"SELECT token_mgmt.set_alert_rule({rule})") in \
                ("22023", "22004"), rule
        assert value(connection, "SELECT count(*) FROM token_mgmt.alert_rule") == 0
