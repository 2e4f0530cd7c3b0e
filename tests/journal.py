"""Clients that keep a journal outside of the server, for tests that take the server away from them:
what was acknowledged must be there afterwards, once. A call whose answer never came is asked again
with its request id or its numbers, as an application would.

TOKEN_MGMT_SEED=n repeats the choices of a run; the exact moments are the machine's.
"""

import json
import os
import random
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg

from books import findings
from cluster import wait_until

SEED = int(os.environ.get("TOKEN_MGMT_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
MESSAGES = json.dumps([{"role": "system", "content": "Be brief."},
                       {"role": "user", "content": "Why?"}])
GRANT = "SELECT status, reservation_id, tokens_held FROM "
RESERVE = GRANT + "try_reserve_tokens(%s, %s, %s, request_id => %s, ttl => '{ttl}'{more})"
CALLS = {
    "reserve": RESERVE.format(ttl="1 day", more=", team => 'all'"),
    # Left for the worker, or for the next who is short of tokens, to expire.
    "abandon": RESERVE.format(ttl="200 milliseconds", more=", team => 'all'"),
    # Settled after its end; only users whose limit is out of reach, since that can pass one.
    "late": RESERVE.format(ttl="1 millisecond", more=""),
    "prepare": GRANT + "try_prepare_request(%s, 'gpt-4o', '" + MESSAGES + "', %s, "
               "request_id => %s, ttl => '1 day', team => 'all')",
    "settle": "SELECT entry_id FROM settle_tokens(%s, %s, %s)",
    "release": "SELECT status FROM release_tokens(%s)",
}
QUOTAS = "SELECT token_mgmt.set_quota('user', '*', 'day', 100000000), " \
         "token_mgmt.set_quota('user', 'hot', 'second', 600), " \
         "token_mgmt.set_quota('team', 'all', 'second', 8000)"


class Client:
    """Works until the server is gone; its journal says what was acknowledged, and what is in
    doubt."""

    def __init__(self, number):
        self.user = "hot" if number % 4 == 1 else f"user{number % 7}"
        self.prepares = number % 4 == 0
        self.rng = random.Random(f"{SEED} {number}")
        self.acknowledged = 0
        self.denied = 0
        self.open = {}
        self.late = {}
        self.reserved = {}
        self.settled = {}
        self.released = set()
        self.in_doubt = None

    def ask(self, connection, kind, *parameters):
        self.in_doubt = (kind, parameters)
        self.note(kind, parameters, connection.execute(CALLS[kind], parameters).fetchone())
        self.in_doubt = None
        self.acknowledged += 1

    def note(self, kind, parameters, answer):
        if kind == "settle":
            reservation, *numbers = parameters
            entry = (answer[0], *numbers)
            assert self.settled.setdefault(reservation, entry) == entry
            self.open.pop(reservation, None)
            self.late.pop(reservation, None)
        elif kind == "release":
            self.released.add(parameters[0])
            self.open.pop(parameters[0], None)
        elif answer[0] == "denied":
            self.denied += 1
        else:
            _, reservation, held = answer
            call = (held, kind, parameters)
            assert self.reserved.setdefault(reservation, call) == call
            waiting = {"abandon": {}, "late": self.late}.get(kind, self.open)
            waiting[reservation] = held

    def step(self, connection):
        """One call: a new reservation, the end of one, or a retry of what was answered before."""
        rng = self.rng
        name = str(uuid.UUID(int=rng.getrandbits(128)))
        choice = rng.random()
        if choice < 0.05 and self.settled:
            reservation = rng.choice(list(self.settled))
            self.ask(connection, "settle", reservation, *self.settled[reservation][1:])
        elif choice < 0.1 and self.open:
            _, kind, parameters = self.reserved[rng.choice(list(self.open))]
            self.ask(connection, kind, *parameters)
        elif choice < 0.15 and self.late:
            self.ask(connection, "settle", next(iter(self.late)), rng.randint(0, 9), 3)
        elif choice < 0.6 and self.open:
            reservation, held = rng.choice(list(self.open.items()))
            if rng.random() < 0.3:
                self.ask(connection, "release", reservation)
            else:
                # Never more than was held, so that no limit may be passed.
                prompt = rng.randint(0, held)
                self.ask(connection, "settle", reservation, prompt, rng.randint(0, held - prompt))
        elif choice < 0.65:
            self.ask(connection, "late", f"late {self.user}", 5, 5, name)
        elif choice < 0.75:
            self.ask(connection, "abandon", self.user, 5, 5, name)
        elif self.prepares:
            self.ask(connection, "prepare", self.user, rng.randint(1, 50), name)
        else:
            self.ask(connection, "reserve", self.user, rng.randint(0, 90), rng.randint(0, 90),
                     name)

    def work(self, database):
        try:
            with database.connect() as connection:
                while True:
                    self.step(connection)
        except psycopg.OperationalError as error:
            # The server has gone, and not refused something.
            assert error.sqlstate in (None, "57P01", "57P02", "57P03"), error

    def settle_doubt(self, connection):
        """Asks again what had no answer."""
        if self.in_doubt is None:
            return
        kind, parameters = self.in_doubt
        try:
            answer = connection.execute(CALLS[kind], parameters).fetchone()
        except psycopg.Error as error:
            # It was committed and its answer lost, and it has expired since.
            assert kind in ("abandon", "late") and error.sqlstate == "TM004", error
            answer = connection.execute(
                "SELECT status, reservation_id, tokens_held FROM token_mgmt.reservation "
                "WHERE request_id = %s", [parameters[-1]]).fetchone()
        self.note(kind, parameters, answer)
        self.in_doubt = None


def settle_doubts(database, clients):
    with database.connect() as connection:
        for client in clients:
            client.settle_doubt(connection)


def check(database, clients):
    """Everything that was acknowledged is there, once; with nothing in doubt, nothing else is."""
    with database.connect() as connection:
        states = {reservation: (held, state) for reservation, held, state in connection.execute(
            "SELECT reservation_id, tokens_held, state FROM token_mgmt.reservation")}
        ledger = connection.execute("SELECT reservation_id, entry_id, prompt_tokens, "
                                    "completion_tokens FROM token_mgmt.usage_ledger").fetchall()
        passed = connection.execute("""
            SELECT q.scope, p.scope_value, p.starts_at, sum(p.used + p.held), q.amount
            FROM token_mgmt.quota_period p JOIN token_mgmt.quota q USING (tenant, quota_id)
            GROUP BY q.scope, p.scope_value, p.starts_at, q.amount
            HAVING sum(p.used + p.held) > q.amount""").fetchall()
    assert passed == []
    assert [r for r, times in Counter(entry[0] for entry in ledger).items() if times > 1] == []
    ledger = {entry[0]: entry[1:] for entry in ledger}
    settled, reserved = {}, {}
    for client in clients:
        doubtful = client.in_doubt[1][0] if client.in_doubt else None
        settled |= client.settled
        reserved |= client.reserved
        ends = [("settled", client.settled), ("released", client.released), ("held", client.open)]
        for state, reservations in ends:
            for reservation in reservations:
                assert states[reservation][1] == state or reservation == doubtful
    for reservation, (held, _, _) in reserved.items():
        assert states[reservation][0] == held
    for reservation, entry in settled.items():
        assert ledger[reservation] == entry
    if all(client.in_doubt is None for client in clients):
        assert states.keys() == reserved.keys()
        assert ledger == settled
    assert findings(database) == []


def work_until_killed(cluster, database, clients, calls):
    """Has all clients at work at once, and kills the server when so many calls were answered."""
    goal = sum(client.acknowledged for client in clients) + calls
    with ThreadPoolExecutor(len(clients)) as pool:
        working = [pool.submit(client.work, database) for client in clients]
        try:
            wait_until(lambda: sum(client.acknowledged for client in clients) >= goal
                       or any(client.done() for client in working), 60, "enough load")
        finally:
            cluster.kill()
    for client in working:
        client.result()
