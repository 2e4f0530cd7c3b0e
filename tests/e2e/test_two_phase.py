"""Reserve, settle and release inside PREPARE TRANSACTION."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from books import at_once, findings, row, sqlstate, value
from cluster import Cluster, wait_until

SETTINGS = {"max_prepared_transactions": "20", "token_mgmt.worker_naptime": "100ms"}
RESERVE = "SELECT reservation_id FROM reserve_tokens('{user}', {tokens}, ttl => '{ttl}', " \
          "request_id => 'only {tokens}')"
SETTLE = "SELECT flags FROM settle_tokens('{held}', 80, 10)"
RELEASE = "SELECT status FROM release_tokens('{held}')"
BALANCE = "SELECT used, held FROM token_mgmt.quota_status WHERE value = %s"
SEED = 20261121


@pytest.fixture(scope="module")
def server_with_two_phases():
    cluster = Cluster("two_phase", settings=SETTINGS).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def books(server_with_two_phases):
    database = server_with_two_phases.create_database("two_phase")
    database.psql("SELECT token_mgmt.set_quota('user', '*', 'total', 1000)")
    yield database
    database.drop()


def prepare(connection, name, sql):
    """What the call answered in the transaction that is now prepared."""
    connection.execute("BEGIN")
    answer = value(connection, sql)
    connection.execute(f"PREPARE TRANSACTION '{name}'")
    return answer


def reserve(user, tokens=100, ttl="1 day"):
    return RESERVE.format(user=user, tokens=tokens, ttl=ttl)


def test_prepared_transaction_holds_and_another_session_commits_it(books):
    with books.connect() as connection:
        reservation = prepare(connection, "reserve", reserve("alice"))
    with books.connect() as connection:
        assert row(connection, BALANCE, ["alice"]) is None
        settle = SETTLE.format(held=reservation)
        assert sqlstate(connection, settle) == "P0002"
        connection.execute("COMMIT PREPARED 'reserve'")
        assert row(connection, BALANCE, ["alice"]) == (0, 100)
        assert prepare(connection, "settle", settle) == []
    with books.connect() as connection:
        assert row(connection, BALANCE, ["alice"]) == (0, 100)
        connection.execute("COMMIT PREPARED 'settle'")
        assert row(connection, BALANCE, ["alice"]) == (90, 0)
        undone = prepare(connection, "undone", reserve("alice", 50))
        connection.execute("ROLLBACK PREPARED 'undone'")
        assert sqlstate(connection, SETTLE.format(held=undone)) == "P0002"
        assert row(connection, BALANCE, ["alice"]) == (90, 0)
    assert findings(books) == []


def test_every_call_that_writes_can_be_prepared(books):
    """None uses a temporary table, an advisory lock of the session, or NOTIFY."""
    message = "jsonb_build_array(jsonb_build_object('role', 'user', 'content', 'Hi'))"
    with books.connect() as connection:
        held = [value(connection, reserve(user, 10)) for user in ("a", "b", "c", "d")]
        calls = [
            "CALL reserve_tokens(jsonb_build_object('user_id', 'e', 'prompt_tokens', 10))",
            "SELECT try_reserve_tokens('e', 10)",
            "SELECT try_reserve_tokens('e', 2000)",
            f"SELECT prepare_request('e', 'gpt-4o', {message}, 10)",
            f"SELECT settle_tokens('{held[0]}', 1, 1)",
            f"CALL settle_tokens(jsonb_build_object('reservation_id', '{held[1]}', "
            "'prompt_tokens', 1, 'completion_tokens', 1))",
            f"SELECT settle_partial('{held[2]}', 'cut')",
            f"SELECT release_tokens('{held[3]}')",
            "SELECT add_message('chat', 'user', 'Hello!', user_id => 'e')",
            "SELECT save_summary('chat', 1, 'Greetings.')",
            "SELECT token_mgmt.set_quota('user', 'e', 'day', 1000)",
            "SELECT token_mgmt.drop_quota('user', 'e', 'day')",
            "SELECT count(*) FROM token_mgmt.run_maintenance()",
        ]
        for call in calls:
            prepare(connection, "call", call)
            connection.execute("COMMIT PREPARED 'call'")
    assert findings(books) == []


def prepare_one_of_each(database):
    """Transactions named by the users they are for; holds that run out while these are prepared."""
    with database.connect() as connection:
        # Opens the month of the ledger.
        value(connection, SETTLE.format(held=value(connection, reserve("first"))))
        held = {user: value(connection, reserve(user, ttl="3 seconds"))
                for user in ("settles", "releases", "undoes settling")}
        prepare(connection, "reserves", reserve("reserves", 600))
        prepare(connection, "undoes reserving", reserve("undoes reserving", 600))
        prepare(connection, "settles", SETTLE.format(held=held["settles"]))
        prepare(connection, "releases", RELEASE.format(held=held["releases"]))
        prepare(connection, "undoes settling", SETTLE.format(held=held["undoes settling"]))


EXPIRED = ("SELECT rows_done, (SELECT sum(failures) FROM token_mgmt.worker_status)::integer "
           "FROM token_mgmt.worker_status WHERE job = 'expire holds'")


def wait_for_passes(connection, passes=2):
    runs = "SELECT runs FROM token_mgmt.worker_status WHERE job = 'worker'"
    done = f"{runs} AND status = 'running'"
    before = value(connection, runs)
    wait_until(lambda: (row(connection, done) or [0])[0] >= before + passes, what="passes")


def test_prepared_transactions_outlive_a_crash_and_keep_what_they_locked(make_cluster):
    cluster = make_cluster(settings=SETTINGS)
    database = cluster.create_database("two_phase_crash")
    database.psql("SELECT token_mgmt.set_quota('user', '*', 'total', 1000)")
    prepare_one_of_each(database)
    cluster.kill()
    cluster.start()
    assert findings(database) == []

    def another(user):
        with database.connect() as connection:
            return sqlstate(connection, reserve(user, 500))

    with database.connect() as connection, ThreadPoolExecutor(2) as pool:
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations "
                                 "WHERE is_overdue") == 3, what="the end of the holds")
        # The worker neither ends what a prepared transaction is ending, nor waits for it.
        wait_for_passes(connection)
        assert row(connection, EXPIRED) == (0, 0)
        connection.execute("SET lock_timeout = '50ms'")
        for user in ("reserves", "settles", "releases", "undoes reserving"):
            assert sqlstate(connection, reserve(user, 1)) == "55P03"
        # A retry of the prepared call cannot hold a second time, either.
        assert sqlstate(connection, reserve("reserves", 600)) == "55P03"
        connection.execute("RESET lock_timeout")
        refused = pool.submit(another, "reserves")
        granted = pool.submit(another, "undoes reserving")
        wait_until(lambda: value(connection, "SELECT count(*) FROM pg_stat_activity WHERE "
                                 "datname = current_database() AND wait_event_type = 'Lock'") == 2,
                   what="the waiting of others")
        for user in ("reserves", "settles", "releases"):
            connection.execute(f"COMMIT PREPARED '{user}'")
        for user in ("undoes reserving", "undoes settling"):
            connection.execute(f"ROLLBACK PREPARED '{user}'")
        assert (refused.result(), granted.result()) == ("TM001", None)
        wait_until(lambda: row(connection, EXPIRED) == (1, 0),
                   what="the expiry of the hold that was not settled")
        balances = connection.execute("SELECT value, used, held FROM token_mgmt.quota_status "
                                      "WHERE used + held > 0 AND value <> 'first'").fetchall()
        assert sorted(balances) == [("reserves", 0, 600), ("settles", 90, 0),
                                    ("undoes reserving", 0, 500)]
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger") == 2
        assert value(connection, reserve("reserves", 600)) is not None
        assert value(connection, "SELECT count(*) FROM pg_prepared_xacts") == 0
    assert findings(database) == []


def test_limit_holds_where_every_call_is_a_prepared_transaction(books):
    print(f"seed {SEED}")

    def work(connection, number):
        rng = random.Random(f"{SEED} {number}")
        used = held = 0
        for step in range(12):
            tokens = rng.randint(1, 120)
            connection.execute("BEGIN")
            reservation, status = row(connection, "SELECT reservation_id, status FROM "
                                      "try_reserve_tokens('hot', %s)", [tokens])
            name = f"{number} {step}"
            connection.execute(f"PREPARE TRANSACTION '{name}'")
            if rng.random() < 0.3:
                connection.execute(f"ROLLBACK PREPARED '{name}'")
                continue
            connection.execute(f"COMMIT PREPARED '{name}'")
            if status == "granted" and rng.random() < 0.5:
                prepare(connection, name, RELEASE.format(held=reservation))
                connection.execute(f"COMMIT PREPARED '{name}'")
            elif status == "granted" and rng.random() < 0.2:
                value(connection, f"SELECT 1 FROM settle_tokens('{reservation}', 1, 0)")
                used += 1
            elif status == "granted":
                held += tokens
        return used, held

    results = at_once(books, work, 12)
    used, held = (sum(numbers) for numbers in zip(*results))
    assert 800 < used + held <= 1000
    with books.connect() as connection:
        assert row(connection, BALANCE, ["hot"]) == (used, held)
    assert findings(books) == []
