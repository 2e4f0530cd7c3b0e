"""kill -9 of the whole server under load: what was acknowledged is there, once, and the books
agree.

A call whose answer never came is asked again with its request id or its numbers, as a client would.
"""

import os
import random
import signal
import threading
import uuid
from collections import Counter

import psycopg
import pytest

from books import findings, value
from cluster import wait_until

CLIENTS = 16
ROUNDS = 5
MESSAGES = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]'
RESERVE = "SELECT reservation_id, tokens_held FROM reserve_tokens(%s, %s, %s, team => 'all', " \
          "request_id => %s, ttl => %s)"
PREPARE = "SELECT reservation_id, tokens_held FROM prepare_request(%s, 'gpt-4o', " + \
          f"'{MESSAGES}', %s, team => 'all', request_id => %s)"
SETTLE = "SELECT entry_id FROM settle_tokens(%s, %s, %s)"
RELEASE = "SELECT status FROM release_tokens(%s)"
# Torn pages: the kill can end a process in the middle of writing one.
SETTINGS = {"synchronous_commit": "on", "full_page_writes": "on",
            "token_mgmt.worker_naptime": "100ms"}


class Client:
    """Works until the server is gone; knows what was acknowledged and what is in doubt."""

    def __init__(self, number, seed):
        self.user = f"user{number % 7}"
        # The first fit of a session builds its encoder; four of these give load enough.
        self.prepares = number % 4 == 0
        self.rng = random.Random(f"{seed} {number}")
        self.acknowledged = 0
        self.open = {}
        self.reserved = {}
        self.settled = {}
        self.released = set()
        self.in_doubt = None

    def ask(self, connection, kind, sql, parameters):
        self.in_doubt = (kind, sql, parameters)
        answer = connection.execute(sql, parameters).fetchone()
        self.note(kind, parameters, answer)
        self.in_doubt = None
        self.acknowledged += 1

    def note(self, kind, parameters, answer):
        if kind == "settle":
            reservation, prompt, completion = parameters
            self.settled[reservation] = (answer[0], prompt, completion)
            self.open.pop(reservation, None)
        elif kind == "release":
            self.released.add(parameters[0])
            self.open.pop(parameters[0], None)
        else:
            self.reserved[answer[0]] = answer[1]
            if kind != "abandon":
                self.open[answer[0]] = answer[1]

    def step(self, connection):
        rng = self.rng
        name = str(uuid.UUID(int=rng.getrandbits(128)))
        if self.open and rng.random() < 0.6:
            reservation = rng.choice(sorted(self.open))
            if rng.random() < 0.7:
                self.ask(connection, "settle", SETTLE,
                         [reservation, rng.randint(0, 90), rng.randint(0, 90)])
            else:
                self.ask(connection, "release", RELEASE, [reservation])
        elif self.prepares and rng.random() < 0.5:
            self.ask(connection, "prepare", PREPARE, [self.user, rng.randint(1, 50), name])
        elif rng.random() < 0.2:
            # Left for the worker to expire.
            self.ask(connection, "abandon", RESERVE, [self.user, 5, 5, name, "200 milliseconds"])
        else:
            self.ask(connection, "reserve", RESERVE,
                     [self.user, rng.randint(0, 90), rng.randint(0, 90), name, "1 day"])

    def work(self, database):
        try:
            with database.connect() as connection:
                while True:
                    self.step(connection)
        except psycopg.OperationalError as error:
            # The server has gone, and not refused something.
            assert error.sqlstate in (None, "57P01", "57P02", "57P03"), error


def settle_doubt(client, connection):
    """Asks again what had no answer."""
    if client.in_doubt is not None:
        kind, sql, parameters = client.in_doubt
        try:
            client.note(kind, parameters, connection.execute(sql, parameters).fetchone())
        except psycopg.Error as error:
            # It was committed and its answer lost, and the worker has ended it since.
            assert kind == "abandon" and error.sqlstate == "TM004", error
        client.in_doubt = None


def check(database, clients):
    with database.connect() as connection:
        reserved = dict(connection.execute(
            "SELECT reservation_id, (tokens_held, state) FROM token_mgmt.reservation").fetchall())
        ledger = connection.execute("SELECT reservation_id, entry_id, prompt_tokens, "
                                    "completion_tokens FROM token_mgmt.usage_ledger").fetchall()
        entries = Counter(entry[0] for entry in ledger)
        by_reservation = {entry[0]: entry[1:] for entry in ledger}
        assert not [r for r, number in entries.items() if number != 1]
        for client in clients:
            doubtful = client.in_doubt[2][0] if client.in_doubt else None
            for reservation, held in client.reserved.items():
                assert reserved[reservation][0] == str(held)
            for reservation, settlement in client.settled.items():
                assert by_reservation[reservation] == settlement
            for reservation in client.released:
                assert reserved[reservation][1] == "released"
            for reservation in client.open:
                assert reservation == doubtful or reserved[reservation][1] == "held"
    assert findings(database) == []


@pytest.mark.parametrize("seed", [20261120])
def test_nothing_acknowledged_is_lost_or_doubled_by_a_crash_under_load(make_cluster, seed):
    print(f"seed {seed}")
    rng = random.Random(seed)
    cluster = make_cluster(settings=SETTINGS)
    database = cluster.create_database("crash")
    database.psql("SELECT token_mgmt.set_quota('user', '*', 'day', 100000000), "
                  "token_mgmt.set_quota('team', 'all', 'total', 1000000000)")
    clients = [Client(number, seed) for number in range(CLIENTS)]
    for _ in range(ROUNDS):
        before = sum(client.acknowledged for client in clients)
        target = before + rng.randint(60, 500)
        threads = [threading.Thread(target=client.work, args=[database]) for client in clients]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda goal=target: sum(c.acknowledged for c in clients) >= goal, 60,
                       "enough load")
        finally:
            # A postmaster that stands still starts no process that the kill would miss.
            os.kill(cluster.pid(), signal.SIGSTOP)
            cluster.kill()
            for thread in threads:
                thread.join()
        cluster.start()
        check(database, clients)
        with database.connect() as connection:
            for client in clients:
                settle_doubt(client, connection)
        check(database, clients)
    assert any(client.settled for client in clients)
    assert any(client.released for client in clients)
    with database.connect() as connection:
        for client in clients:
            for reservation in list(client.open):
                client.ask(connection, "settle", SETTLE, [reservation, 1, 1])
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations")
                   == 0, what="the end of the abandoned holds")
    check(database, clients)
