"""The background worker as a process: where it runs, what it survives, whom it leaves alone.

What a pass does to the books is tested elsewhere. Here the function that a pass calls is replaced in
each database by one that leaves a mark, so that passes can be seen and made to misbehave.
"""

import json
import os
import signal
import time

import pytest

from cluster import Cluster, Database, wait_until

NAPTIME = 0.1
FAST = {"token_mgmt.worker_naptime": "100ms"}
PROBE_EVERY = 6


@pytest.fixture(scope="module")
def fast():
    """A server whose worker makes ten rounds a second. Not to be killed. One of its databases has
    a pass that does not end from the first test on, for the last test to look at."""
    cluster = Cluster("worker", settings=FAST).start()
    endless = marked_database(cluster, "worker_endless")
    set_pass(endless, "PERFORM pg_sleep(300); RETURN NULL;")
    yield cluster
    cluster.destroy()


@pytest.fixture
def new_database(fast):
    """new_database(name): a database on the fast server whose passes leave marks."""
    made = []

    def new(name):
        made.append(marked_database(fast, name))
        return made[-1]

    yield new
    for database in made:
        database.drop()


def marked_database(cluster, name):
    database = cluster.create_database(name)
    set_pass(database, "RETURN NULL;")
    return database


def set_pass(database, body):
    """Has a pass leave a mark, then do this. Replacing keeps it a member of the extension."""
    database.psql(f"""
        CREATE TABLE IF NOT EXISTS public.mark (
            number bigint GENERATED ALWAYS AS IDENTITY,
            pid integer DEFAULT pg_backend_pid(),
            seen jsonb DEFAULT jsonb_build_object(
                'application_name', current_setting('application_name'),
                'search_path', current_setting('search_path'),
                'isolation', current_setting('transaction_isolation'),
                'read_only', current_setting('transaction_read_only'),
                'superuser', current_setting('is_superuser'),
                'users', current_user || ' ' || session_user));
        CREATE OR REPLACE FUNCTION token_mgmt._worker_step(state bytea, may_repeat boolean)
        RETURNS bytea LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO public.mark DEFAULT VALUES;
            {body}
        END
        $$;""")


def marks(database):
    return int(database.psql("SELECT count(*) FROM public.mark"))


def wait_for_passes(database, number=3, deadline=15.0):
    before = marks(database)
    wait_until(lambda: marks(database) >= before + number, deadline,
               f"{number} more passes in {database.name}")


def processes(cluster, kind, name=None):
    where = f" AND datname = '{name}'" if name else ""
    rows = cluster.psql(f"SELECT pid FROM pg_stat_activity WHERE backend_type = 'token_mgmt {kind}'"
                        + where)
    return [int(row) for row in rows.splitlines()]


def oid(database):
    return int(database.psql("SELECT oid FROM pg_database WHERE datname = current_database()"))


def launcher(cluster):
    return wait_until(lambda: processes(cluster, "launcher"), what="a launcher")[0]


def log_since(cluster, start):
    return cluster.log()[start:]


def test_every_database_with_the_extension_gets_passes(fast, new_database):
    """Complaint 16: not one database only."""
    plain = new_database("worker_plain")
    odd = fast.create_database("DB three", extension=False)
    try:
        odd.psql("CREATE SCHEMA elsewhere; CREATE EXTENSION token_mgmt SCHEMA elsewhere")
        set_pass(odd, "RETURN NULL;")
        wait_for_passes(plain)
        wait_for_passes(odd)
    finally:
        odd.drop()


def test_settings_of_the_database_do_not_reach_the_worker(new_database):
    database = new_database("worker_settings")
    # For this test's own sessions, which those settings reach.
    database.psql("""
        GRANT SELECT ON public.mark TO pg_monitor;
        ALTER DATABASE worker_settings SET search_path = evil, public;
        ALTER DATABASE worker_settings SET default_transaction_isolation = 'serializable';
        ALTER DATABASE worker_settings SET default_transaction_read_only = on;
        ALTER DATABASE worker_settings SET application_name = 'somebody';
        ALTER DATABASE worker_settings SET role = 'pg_monitor';
        ALTER DATABASE worker_settings SET session_authorization = 'pg_monitor';""")
    # The first of these may belong to a pass that began before.
    wait_for_passes(database, 3)
    seen = database.psql("SELECT seen FROM public.mark ORDER BY number DESC LIMIT 1")
    assert json.loads(seen) == {
        "application_name": "token_mgmt worker",
        "search_path": "pg_catalog, pg_temp",
        "isolation": "read committed",
        "read_only": "off",
        "superuser": "on",
        "users": "postgres postgres",
    }


def test_new_extension_is_noticed_within_six_naptimes(fast, new_database):
    other = new_database("worker_other")
    late = fast.create_database("worker_late", extension=False)
    try:
        # Long enough for the launcher to have learnt that the extension is not there.
        wait_for_passes(other, 2 * PROBE_EVERY)
        late.psql("CREATE EXTENSION token_mgmt")
        set_pass(late, "RETURN NULL;")
        began = time.monotonic()
        wait_until(lambda: marks(late) > 0, what="the first pass")
        # The rest is room for a slow machine.
        assert time.monotonic() - began < PROBE_EVERY * NAPTIME + 3
    finally:
        late.drop()


def test_dropped_extension_ends_the_passes_without_an_error(fast, new_database):
    database = new_database("worker_dropped")
    other = new_database("worker_kept")
    wait_for_passes(database)
    database.psql("DROP EXTENSION token_mgmt CASCADE")
    before = marks(database)
    wait_for_passes(other, 2 * PROBE_EVERY)
    assert marks(database) == before
    assert f"maintenance of database {oid(database)} failed" not in fast.log()


def test_function_that_is_no_member_of_the_extension_is_never_called(fast, new_database):
    other = new_database("worker_honest")
    imposter = fast.create_database("worker_imposter", extension=False)
    try:
        imposter.psql("CREATE SCHEMA token_mgmt")
        set_pass(imposter, "RETURN NULL;")
        wait_for_passes(other, 3 * PROBE_EVERY)
        assert marks(imposter) == 0
    finally:
        imposter.drop()


def test_database_can_be_copied_renamed_and_dropped_while_passes_run(fast, new_database):
    source = new_database("worker_source")
    wait_for_passes(source)
    pid = launcher(fast)
    for number in range(5):
        fast.psql("CREATE DATABASE worker_copy TEMPLATE worker_source")
        copy = Database(fast, "worker_copy")
        if number % 2:
            wait_for_passes(copy, 1)
        fast.psql("ALTER DATABASE worker_copy RENAME TO worker_renamed")
        wait_for_passes(Database(fast, "worker_renamed"), 1)
        fast.psql("DROP DATABASE worker_renamed")
    wait_for_passes(source)
    assert launcher(fast) == pid


def test_database_can_be_dropped_while_work_never_ends(fast):
    database = marked_database(fast, "worker_busy")
    set_pass(database, "RETURN CASE WHEN may_repeat THEN '' END;")
    wait_for_passes(database, 200)
    fast.psql("DROP DATABASE worker_busy")


def test_server_databases_are_not_held_by_the_launcher(fast):
    fast.psql("CREATE DATABASE worker_postgres TEMPLATE postgres", dbname="template1")
    fast.psql("DROP DATABASE worker_postgres")


def test_failing_pass_is_logged_and_holds_up_nobody(fast, new_database):
    """Complaint 16: what fails in one database stops no other."""
    broken, other = new_database("worker_broken"), new_database("worker_sound")
    pid = launcher(fast)
    start = len(fast.log())
    set_pass(broken, "RAISE EXCEPTION 'out of order' USING HINT = 'Repair it.';")
    line = f"ERROR:  maintenance of database {oid(broken)} failed: out of order"
    wait_until(lambda: log_since(fast, start).count(line) >= 3, what="the third failure")
    assert "HINT:  Repair it." in log_since(fast, start)
    wait_for_passes(other)
    assert launcher(fast) == pid
    set_pass(broken, "RETURN NULL;")
    wait_for_passes(broken)


def test_pass_that_waits_for_a_lock_gives_up_and_holds_up_nobody(fast, new_database):
    blocked, other = new_database("worker_blocked"), new_database("worker_free")
    wait_for_passes(blocked)
    start = len(fast.log())
    with blocked.connect(autocommit=False) as connection:
        connection.execute("LOCK TABLE public.mark IN EXCLUSIVE MODE")
        wait_until(lambda: "due to lock timeout" in log_since(fast, start), what="the lock timeout")
        wait_for_passes(other)
        connection.rollback()
    wait_for_passes(blocked)


def test_waiting_work_is_called_for_at_once_but_not_for_ever(new_database):
    database = new_database("worker_more")
    set_pass(database, "RETURN CASE WHEN may_repeat THEN '' END;")
    # Three naptimes are three passes: with one call in each there would be three marks.
    wait_for_passes(database, 450)
    calls = database.psql("SELECT count(*) FROM public.mark GROUP BY pid ORDER BY 1 DESC LIMIT 1")
    assert int(calls) == 200


def test_changed_naptime_holds_at_once(make_cluster):
    cluster = make_cluster()
    database = marked_database(cluster, "naps")

    def set_naptime(value):
        cluster.psql(f"ALTER SYSTEM SET token_mgmt.worker_naptime = '{value}'")
        cluster.psql("SELECT pg_reload_conf()")

    set_naptime("100ms")
    wait_for_passes(database, 10)
    set_naptime("1h")
    wait_until(lambda: cluster.psql("SHOW token_mgmt.worker_naptime") == "1h")
    still = wait_until_still(database)
    set_naptime("100ms")
    wait_until(lambda: marks(database) > still, 3, "a pass after the naptime was shortened")
    refused = cluster.psql("ALTER SYSTEM SET token_mgmt.worker_naptime = '50ms'", check=False)
    assert "outside the valid range" in refused.stderr


def wait_until_still(database):
    """The number of marks once it has not changed for ten short naptimes."""
    history = []

    def still():
        history.append((time.monotonic(), marks(database)))
        same = [at for at, number in history if number == history[-1][1]]
        return same[-1] - same[0] > 10 * NAPTIME

    wait_until(still, what="the end of the passes")
    return history[-1][1]


def test_terminated_launcher_comes_back(make_cluster):
    """Complaint 16: whoever ends the scheduler, it is there again."""
    cluster = make_cluster(settings=FAST)
    database = marked_database(cluster, "kept")
    pid = launcher(cluster)
    cluster.psql(f"SELECT pg_terminate_backend({pid})")
    wait_until(lambda: processes(cluster, "launcher") not in ([], [pid]), what="a new launcher")
    wait_for_passes(database)


def test_killed_worker_is_survived(make_cluster):
    cluster = make_cluster(settings=FAST)
    database = marked_database(cluster, "hit")
    set_pass(database, "PERFORM pg_sleep(300); RETURN NULL;")
    pid = wait_until(lambda: processes(cluster, "worker", "hit"), what="a worker")[0]
    old = launcher(cluster)
    os.kill(pid, signal.SIGKILL)

    def new_launcher():
        answer = cluster.psql("SELECT pid FROM pg_stat_activity "
                              "WHERE backend_type = 'token_mgmt launcher'", check=False)
        return answer.returncode == 0 and answer.stdout.strip() not in ("", str(old))

    wait_until(new_launcher, what="a launcher after crash recovery")
    set_pass(database, "RETURN NULL;")
    for pid in processes(cluster, "worker", "hit"):
        cluster.psql(f"SELECT pg_terminate_backend({pid})")
    wait_for_passes(database)


@pytest.mark.parametrize("body", [
    "RETURN NULL;",
    "RETURN CASE WHEN may_repeat THEN '' END;",
    "PERFORM pg_sleep(300); RETURN NULL;",
])
def test_fast_shutdown_does_not_wait_for_a_pass(make_cluster, body):
    cluster = make_cluster(settings=FAST)
    database = marked_database(cluster, "stopped")
    set_pass(database, body)
    if "pg_sleep" in body:
        wait_until(lambda: processes(cluster, "worker", "stopped"), what="a worker")
    else:
        wait_for_passes(database)
    began = time.monotonic()
    cluster.stop()
    # Measured as 0.12 s; the rest is room for a slow machine.
    assert time.monotonic() - began < 2


def test_fast_shutdown_does_not_wait_for_a_pass_that_waits_for_a_lock(make_cluster):
    cluster = make_cluster(settings=FAST)
    database = marked_database(cluster, "blocked")
    wait_for_passes(database, 1)
    connection = database.connect(autocommit=False)
    connection.execute("LOCK TABLE public.mark IN EXCLUSIVE MODE")
    wait_until(lambda: cluster.psql("SELECT count(*) FROM pg_stat_activity "
                                    "WHERE backend_type = 'token_mgmt worker' "
                                    "AND wait_event_type = 'Lock'") == "1")
    began = time.monotonic()
    cluster.stop()
    assert time.monotonic() - began < 2
    connection.close()


def test_slot_that_comes_free_is_taken_at_once(make_cluster):
    cluster = make_cluster(settings=FAST | {"max_worker_processes": 3})
    hog = marked_database(cluster, "hog")
    set_pass(hog, "PERFORM pg_sleep(300); RETURN NULL;")
    stuck = wait_until(lambda: processes(cluster, "worker", "hog"), what="the hog")[0]
    waiting = marked_database(cluster, "waiting")
    complaint = "no background worker slot was free for token_mgmt"
    wait_until(lambda: complaint in cluster.log(), what="the complaint")
    set_pass(hog, "RETURN NULL;")
    cluster.psql(f"SELECT pg_terminate_backend({stuck})")
    wait_for_passes(waiting)
    wait_for_passes(hog)
    assert cluster.log().count(complaint) == 1


def test_other_version_underneath_is_left_alone_until_it_fits_again(fast, new_database):
    """As between ALTER EXTENSION UPDATE and the restart that loads the new library."""
    database, other = new_database("worker_version"), new_database("worker_same")
    wait_for_passes(database)
    database.psql("ALTER EXTENSION token_mgmt DROP FUNCTION token_mgmt._worker_step(bytea, boolean);"
                  "ALTER FUNCTION token_mgmt._worker_step(bytea, boolean) RENAME TO _worker_leap")
    before = wait_until_still(database)
    wait_for_passes(other, 2 * PROBE_EVERY)
    assert marks(database) == before
    assert f"maintenance of database {oid(database)} failed" not in fast.log()
    database.psql("ALTER FUNCTION token_mgmt._worker_leap(bytea, boolean) RENAME TO _worker_step;"
                  "ALTER EXTENSION token_mgmt ADD FUNCTION token_mgmt._worker_step(bytea, boolean)")
    wait_for_passes(database)


def test_extension_dropped_within_a_pass_ends_it(fast, new_database):
    database = new_database("worker_halfway")
    pid = launcher(fast)
    set_pass(database, "RETURN 'go on';")
    wait_for_passes(database, 20)
    database.psql("DROP EXTENSION token_mgmt CASCADE")
    wait_until(lambda: processes(fast, "worker", "worker_halfway") == [], what="its end")
    wait_until_still(database)
    assert launcher(fast) == pid


def test_pass_gives_each_call_what_the_one_before_returned(new_database):
    database = new_database("worker_states")
    database.psql("ALTER TABLE public.mark ADD COLUMN state bytea")
    set_pass(database, r"""
        UPDATE public.mark SET state = _worker_step.state
        WHERE number = (SELECT max(number) FROM public.mark);
        RETURN CASE WHEN state IS NULL THEN '\x00ff'::bytea
            WHEN length(state) < 4 THEN state || '\x01'::bytea END;""")
    wait_for_passes(database, 20)
    states = database.psql("SELECT DISTINCT state FROM public.mark WHERE state IS NOT NULL "
                           "ORDER BY 1")
    assert states.splitlines() == [r"\x00ff", r"\x00ff01", r"\x00ff0101"]


def test_launcher_without_a_free_slot_complains_once_and_stays(make_cluster):
    # Both slots go to launchers: PostgreSQL's own of logical replication, and this one.
    cluster = make_cluster(settings=FAST | {"max_worker_processes": 2})
    pid = launcher(cluster)
    complaint = "no background worker slot was free for token_mgmt"
    wait_until(lambda: complaint in cluster.log(), what="the complaint")
    cluster.create_database("waiting", extension=False)
    rounds = time.monotonic() + 20 * NAPTIME
    wait_until(lambda: time.monotonic() > rounds)
    assert cluster.log().count(complaint) == 1
    assert launcher(cluster) == pid


def test_one_free_slot_is_enough_for_all_databases(make_cluster):
    cluster = make_cluster(settings=FAST | {"max_worker_processes": 3})
    databases = [marked_database(cluster, f"queued_{number}") for number in range(4)]
    for database in databases:
        wait_for_passes(database)
    set_pass(databases[0], "PERFORM pg_sleep(1); RETURN NULL;")
    for database in databases[1:]:
        wait_for_passes(database)


def test_preloading_is_what_makes_the_difference(make_cluster, fast, new_database):
    asked = "SELECT token_mgmt._worker_preloaded()"
    assert new_database("worker_preloaded").psql(asked) == "t"
    cluster = make_cluster(preload=False)
    database = cluster.create_database("alone")
    assert database.psql(asked) == "f"
    assert processes(cluster, "launcher") == []


def test_pass_that_does_not_end_is_cancelled_after_a_minute(fast):
    # Last, so that the other tests run meanwhile.
    endless = oid(Database(fast, "worker_endless"))
    line = f"maintenance of database {endless} failed: canceling statement due to statement timeout"
    wait_until(lambda: line in fast.log(), 75, "the statement timeout")
