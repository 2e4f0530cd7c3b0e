"""Behind pgbouncer in transaction mode: many clients share a few server connections, and each
transaction may run in another one. The books agree, and no client meets what another one set."""

import os
import random
import re
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from books import at_once, findings, row, sqlstate, value
from cluster import Cluster, Pool, wait_until

CLIENTS = 32
CONNECTIONS = 4
STEPS = 60
SEED = 20261121
MESSAGES = '[{"role": "user", "content": "Why is the sky blue?"}]'
RESERVE = "SELECT reservation_id, tokens_held FROM "
FORMS = [
    RESERVE + "reserve_tokens(%(user)s, %(tokens)s, request_id => %(name)s)",
    RESERVE + "try_reserve_tokens(%(user)s, %(tokens)s, team => 'all', request_id => %(name)s)",
    RESERVE + "prepare_request(%(user)s, 'gpt-4o', '" + MESSAGES + "', %(tokens)s, "
              "request_id => %(name)s)",
    RESERVE + "reserve_tokens(%(user)s, %(tokens)s, max_wait => '1 minute', "
              "request_id => %(name)s)",
    "CALL reserve_tokens(jsonb_build_object('user_id', %(user)s::text, 'prompt_tokens', "
    "%(tokens)s::integer, 'request_id', %(name)s::text))",
]
SETTLE = ["SELECT total_tokens FROM settle_tokens(%(id)s, %(tokens)s, 1)",
          "CALL settle_tokens(jsonb_build_object('reservation_id', %(id)s::text, "
          "'prompt_tokens', %(tokens)s::integer, 'completion_tokens', 1))"]
RELEASE = "SELECT status FROM release_tokens(%(id)s)"
TENANTS = ["default", "red", "blue"]


@pytest.fixture(scope="module")
def pooled():
    cluster = Cluster("pooled").start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def database(pooled):
    made = pooled.create_database("pooled")
    yield made
    made.drop()


@pytest.fixture
def make_pool(database):
    """make_pool(prepared_statements=0): clients' way to the database."""
    pools = []

    def make(**options):
        pools.append(Pool(database, CONNECTIONS, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.stop()


class Client:
    """Reserves, and settles or releases, in every form; in a tenant of its own where it says so by
    SET LOCAL, which another client must never see."""

    def __init__(self, number, prepares):
        self.rng = random.Random(f"{SEED} {number}")
        self.number = number
        self.prepares = prepares
        self.used, self.held = Counter(), Counter()
        self.mine = []

    def ask(self, connection, tenant, sql, **parameters):
        """One call in a transaction of its own."""
        with connection.transaction():
            if tenant != "default":
                connection.execute(f"SET LOCAL token_mgmt.tenant = '{tenant}'")
            if not self.prepares or sql.startswith("CALL"):
                return connection.execute(sql, parameters).fetchone()
            names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
            for position, name in enumerate(names, 1):
                sql = sql.replace(f"%({name})s", f"${position}")
            # The same name in every client, so that one left behind would be in another's way.
            connection.execute(f"PREPARE the_call AS {sql}")
            literals = ", ".join(f"%({name})s" for name in names)
            answer = psycopg.ClientCursor(connection).execute(
                f"EXECUTE the_call ({literals})", parameters).fetchone()
            connection.execute("DEALLOCATE the_call")
            return answer

    def step(self, connection, number):
        rng = self.rng
        if self.mine and rng.random() < 0.5:
            key, reservation, held = self.mine.pop(rng.randrange(len(self.mine)))
            # Settle and release find the tenant from the reservation.
            if rng.random() < 0.3:
                assert self.ask(connection, "default", RELEASE, id=reservation) == ("released",)
            else:
                spent = rng.randint(1, 20)
                self.ask(connection, rng.choice(TENANTS), rng.choice(SETTLE), id=reservation,
                         tokens=spent)
                self.used[key] += spent + 1
            self.held[key] -= held
            return
        tenant, user = rng.choice(TENANTS), f"user{self.number % 6}"
        request = {"user": user, "tokens": rng.randint(1, 60),
                   "name": f"request {self.number} {number}"}
        sql = rng.choice(FORMS)
        answer = self.ask(connection, tenant, sql, **request)
        # Its retry most likely runs in another server connection.
        again = self.ask(connection, tenant, sql, **request)
        # What was denied left nothing behind, and may be granted now.
        assert answer == again or answer[0] is None
        answer = again
        if len(answer) == 1:
            answer = (answer[0]["reservation_id"], answer[0]["tokens_held"])
        if answer[0] is not None:
            self.mine.append(((tenant, user), *answer))
            self.held[tenant, user] += answer[1]


def left_behind(pool):
    """What a server connection still has on it, looked at in all of them at once."""
    barrier = threading.Barrier(CONNECTIONS)

    def look(connection, _):
        with connection.transaction():
            process = value(connection, "SELECT pg_backend_pid()")
            barrier.wait(60)
            found = connection.execute("""
                -- pgbouncer itself carries these two over for its clients.
                SELECT 'setting ' || name FROM pg_settings WHERE source = 'session'
                    AND name NOT IN ('application_name', 'client_encoding')
                UNION ALL SELECT 'prepared ' || name FROM pg_prepared_statements
                    WHERE name NOT LIKE 'PGBOUNCER%%'
                UNION ALL SELECT 'advisory lock' FROM pg_locks
                    WHERE locktype = 'advisory' AND pid = pg_backend_pid()
                UNION ALL SELECT 'listens ' || c FROM pg_listening_channels() c
                UNION ALL SELECT 'temporary schema' WHERE pg_my_temp_schema() <> 0
                UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable""").fetchall()
            barrier.wait(60)
        return process, found

    seen = at_once(pool, look, CONNECTIONS)
    assert len({process for process, _ in seen}) == CONNECTIONS
    return [line for _, found in seen for line in found]


def work(pool, database, prepares):
    clients = [Client(number, prepares) for number in range(CLIENTS)]

    def session(connection, number):
        for step in range(STEPS):
            clients[number].step(connection, step)

    at_once(pool, session, CLIENTS)
    used, held = Counter(), Counter()
    for client in clients:
        used.update(client.used)
        held.update(client.held)
    with database.connect() as connection:
        rows = connection.execute("SELECT tenant, value, used, held FROM token_mgmt.quota_status "
                                  "WHERE scope = 'user' AND value <> '*'").fetchall()
        assert {(t, u): (spent, kept) for t, u, spent, kept in rows} == {
            key: (used[key], kept) for key, kept in held.items()}
        assert len(rows) == 6 * len(TENANTS)
        assert row(connection, "SELECT used + held <= amount, amount FROM token_mgmt.quota_status "
                   "WHERE scope = 'team'") == (True, 900)
    assert sum(used.values()) > 0
    assert findings(database) == []
    assert left_behind(pool) == []


@pytest.fixture
def limits(database):
    database.psql(";".join(f"SELECT token_mgmt.set_quota('user', '*', 'total', 1000000, "
                           f"tenant => '{tenant}')" for tenant in TENANTS))
    database.psql("SELECT token_mgmt.set_quota('team', 'all', 'total', 900)")


@pytest.mark.parametrize("prepares", [False, True], ids=["plain", "PREPARE in each transaction"])
def test_nothing_leaks_between_clients_of_a_transaction_pool(database, limits, make_pool, prepares):
    print(f"seed {SEED}")
    work(make_pool(), database, prepares)


if Pool.version() >= (1, 22):
    def test_nothing_leaks_where_the_pool_keeps_prepared_statements(database, limits, make_pool):
        work(make_pool(prepared_statements=100), database, False)


def test_waiters_in_a_pool_are_granted_what_another_client_gives_back(database, make_pool):
    """As long as the pool has a connection left over for the one who gives it back."""
    database.psql("SELECT token_mgmt.set_quota('user', 'hot', 'total', 90)")
    pool = make_pool()
    with pool.connect() as holder, database.connect() as watcher:
        held = value(holder, "SELECT reservation_id FROM reserve_tokens('hot', 90)")

        def wait(connection, number):
            if number == CONNECTIONS - 1:
                # All others sleep in their calls.
                wait_until(lambda: value(watcher, "SELECT count(*) FROM pg_stat_activity "
                                         "WHERE wait_event = 'PgSleep'"), what="waiters")
                return value(holder, "SELECT status FROM release_tokens(%s)", [held])
            return value(connection, "SELECT status FROM reserve_tokens('hot', 30, "
                         "max_wait => '1 minute')")

        assert at_once(pool, wait, CONNECTIONS) == ["granted"] * (CONNECTIONS - 1) + ["released"]
        assert sqlstate(holder, "SELECT reserve_tokens('hot', 30, max_wait => '50 milliseconds')") \
            == "TM001"
    assert findings(database) == []


def test_client_that_vanishes_leaves_nothing_or_a_hold_that_expires(database, make_pool):
    """Complaint 2. The pool gives its connection to the next client."""
    database.psql("SELECT token_mgmt.set_quota('user', 'hot', 'total', 100)")
    pool = make_pool()
    with database.connect() as watcher:
        for _ in range(2 * CONNECTIONS):
            vanishing = pool.connect(autocommit=False)
            vanishing.execute("SELECT reserve_tokens('hot', 100)")
            # No ROLLBACK, no farewell.
            socket.socket(fileno=os.dup(vanishing.pgconn.socket)).shutdown(socket.SHUT_RDWR)
            with pool.connect() as connection:
                held = value(connection, "SELECT reservation_id FROM reserve_tokens('hot', 100, "
                             "max_wait => '1 minute')")
                connection.execute("SELECT * FROM release_tokens(%s)", [held])
        assert value(watcher, "SELECT count(*) FROM token_mgmt.open_reservations") == 0
        with pool.connect() as connection:
            connection.execute("SELECT reserve_tokens('hot', 100, ttl => '100 milliseconds')")
        with pool.connect() as connection:
            # Whoever is short of tokens ends it, if the worker has not.
            assert value(connection, "SELECT status FROM reserve_tokens('hot', 100, "
                         "max_wait => '1 minute')") == "granted"
    assert findings(database) == []


def test_cancelled_wait_holds_nothing_and_its_connection_serves_the_next(database, make_pool):
    database.psql("SELECT token_mgmt.set_quota('user', 'hot', 'total', 100)")
    pool = make_pool()
    with pool.connect() as holder, pool.connect() as waiter, database.connect() as watcher:
        held = value(holder, "SELECT reservation_id FROM reserve_tokens('hot', 100)")
        wait = "SELECT reserve_tokens('hot', 100, max_wait => '1 minute', request_id => 'waits')"
        with ThreadPoolExecutor(1) as thread:
            cancelled = thread.submit(sqlstate, waiter, wait)
            wait_until(lambda: value(watcher, "SELECT count(*) FROM pg_stat_activity "
                                     "WHERE wait_event = 'PgSleep'"), what="a waiter")
            waiter.cancel_safe()
            assert cancelled.result() == "57014"
        holder.execute("SELECT * FROM release_tokens(%s)", [held])
        assert value(watcher, "SELECT held FROM token_mgmt.quota_status") == 0
        assert sqlstate(waiter, wait) is None
        assert value(watcher, "SELECT count(*) FROM token_mgmt.reservation") == 2
    assert findings(database) == []
