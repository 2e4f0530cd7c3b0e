"""Random sequences of all operations from several sessions, with failures, timeouts, retries,
rollbacks and a clock that is set forward and back, against a model in memory (books_model.py); all
balances are compared after each step. One session at a time, transactions open across steps; or
all at once, round by round.

TOKEN_MGMT_SEED replays the choices of a run, TOKEN_MGMT_STEPS makes it as long as that many steps.
What sessions do at once, and how far the clock runs meanwhile, is the machine's choice."""

import os
import random
from dataclasses import dataclass, field
from functools import partial
from threading import Barrier

import pytest

from books import value
from books_calls import Reserve
from books_choices import again
from books_comparison import compare
from books_ends import End
from books_run import FIRST, RARELY, Run, play
from timed_cluster import TimedCluster

SECONDS = 22


@dataclass(eq=False)
class Transaction:
    began: object = None


class InTurn(Run):
    """One step after the other; one of the sessions may be in a transaction meanwhile."""

    def __init__(self, database, seed):
        super().__init__(database, seed, 4)
        for connection in self.sessions:
            connection.execute("SET lock_timeout = '60ms'")
        self.inside = None  # the session that is in a transaction

    def begin_run(self):
        self.connection = self.sessions[0]
        for self.last in ["set_quota"] * 6:
            self.attempt(self.set_quota, False)

    def step(self):
        rng = self.rng
        inside = self.inside is not None and rng.random() < 0.6
        self.connection = self.inside if inside else rng.choice(
            [session for session in self.sessions if session is not self.inside])
        choices = {self.reserve: 40, self.settle: 22, self.release: 8, self.report: 12,
                   self.extend: 6, self.record: 5, self.retry: 6, self.nonsense: 3}
        if inside:
            choices |= {self.commit: 15, self.roll_back: 8}
        else:
            choices |= {self.set_quota: 8, self.drop_quota: 4, self.reset_quota: 4,
                        self.change_mind: 2, self.issue: 3, self.rotate: 4, self.revoke: 1,
                        self.verify: 3}
            if self.inside is None:
                choices |= {self.begin: 8, self.maintain: 4, self.heat: 4}
        if self.has_clock:
            choices |= {self.step_clock: 15}
        elif self.inside is None:
            choices |= {self.age: 7}
        work = rng.choices(list(choices), list(choices.values()))[0]
        self.last = work.__name__
        if work in (self.begin, self.commit, self.roll_back, self.change_mind, self.age,
                    self.step_clock):
            self.count(self.last)
            work()
        else:
            self.attempt(work, inside)
        compare(self.model, self.reader())

    def reader(self):
        """Whoever sees all that has been done up to now."""
        return self.inside or self.observer

    def visible(self, holds):
        """Others do not see what the open transaction has reserved."""
        return [hold for hold in holds if self.inside in (None, self.connection)
                or hold.transaction is not self.transaction]

    def known(self, holds):
        """Others do not see what the open transaction has ended or extended; a retry does not wait
        for it."""
        return [hold for hold in self.visible(holds) if self.inside in (None, self.connection)
                or hold.changed_by is not self.transaction]

    def attempt(self, work, inside):
        """With a timeout at times; in a transaction, with a savepoint or all is lost."""
        connection, rng, model = self.connection, self.rng, self.model
        saved = inside and rng.random() < 0.5
        mark, kept = len(model.undo), model.undo
        if not inside:
            model.undo = []
        if saved:
            connection.execute("SAVEPOINT one")
        hurried, lost = rng.random() < 0.05, False
        if hurried:
            connection.execute(f"SET statement_timeout = '{rng.randint(1, 6)}ms'")
        for call in work() or self.reserve():
            call.transaction = self.transaction if inside else None
            model.began = self.now()
            self.at_once([(connection, call.send)], 1 if self.inside else None)
            self.check_code(call, ({"57014"} if hurried else set())
                            | ({"55P03"} if self.inside else set()))
            if hurried:
                # What is read now has all the time that it needs.
                self.reset_timeout(connection)
            lost = connection.info.transaction_status.name == "INERROR"
            if call.code or not lost:
                self.follow([call], self.observer if lost else self.reader(), self.inside is None)
        if saved and (lost or rng.random() < 0.3):
            connection.execute("ROLLBACK TO one")
            model.rollback(mark)
        elif lost:
            self.roll_back()
        if hurried:
            self.reset_timeout(connection)
        if not inside:
            model.undo = kept

    def begin(self):
        self.connection.execute("BEGIN")
        self.inside = self.connection
        self.transaction = Transaction(value(self.inside, "SELECT transaction_timestamp()"))
        self.model.undo = []

    def commit(self):
        self.connection.execute("COMMIT")
        self.inside = None
        self.model.undo = []

    def roll_back(self):
        self.connection.execute("ROLLBACK")
        self.inside = None
        self.model.rollback()

    def change_mind(self):
        """A quota that is set or dropped and rolled back."""
        with self.connection.transaction(force_rollback=True):
            for call in self.rng.choice([self.set_quota, self.drop_quota])():
                call.send(self.connection)
                assert call.code is None, call


@dataclass
class Script:
    """What one session does in a round: calls, in a transaction of their own if any."""

    calls: list
    transaction: Transaction = None
    commits: bool = True
    timeout: int = 0
    after: int = None  # the process of a session that is to wait for tokens first
    done: list = field(default_factory=list)


class AtOnce(Run):
    """Rounds: in each all sessions begin together, and all have ended before the next."""

    last = "a round"
    rarely = [*RARELY, "granted by waiting"]

    def __init__(self, database, seed):
        super().__init__(database, seed, 8)

    def begin_run(self):
        for _ in range(8):
            self.round([Script(self.set_quota())])

    def step(self):
        if self.rng.random() < (0.4 if self.has_clock else 0.2):
            self.step_clock() if self.has_clock else self.age()
        scripts = [self.script() for _ in self.sessions]
        # All want the same: one reservation's end, or one request id.
        if self.rng.random() < 0.5:
            hold = self.choose_hold()
            for n in range(self.rng.randint(2, 5) if hold else 0):
                scripts[n].calls = self.rng.choice(
                    [self.settle, self.release, self.report, self.extend])(hold)
        if self.rng.random() < 0.3:
            self.request_number += 1
            call, = self.rng.choice([self.reserve, self.reserve, self.record])()
            call.request["request_id"] = f"r{self.request_number}"
            for n in range(5, 8):
                request = dict(call.request)
                request["prompt_tokens"] += self.rng.random() < 0.2
                scripts[n].calls = [again(request, self.shown(request))]
        wish = self.wish() if self.rng.random() < 0.2 else None
        if wish:
            # What one waits for, another gives back.
            scripts[0] = Script([wish[0]])
            scripts[1] = Script([wish[1]], after=self.sessions[0].info.backend_pid)
        if self.model.keys and self.rng.random() < 0.2:
            key = self.choose_key()
            for n in range(2, 5):
                scripts[n] = Script(self.rng.choice(
                    [self.rotate] * 4 + [self.verify] * 4 + [self.revoke])(key))
        others = {self.issue: 3, self.maintain: 4, self.heat: 2, self.set_quota: 5,
                  self.drop_quota: 2, None: 8}
        if not self.has_clock or self.now() > self.latest:
            # By a clock that was set back, nobody could say when.
            others[self.reset_quota] = 3
        work = self.rng.choices(list(others), list(others.values()))[0]
        if work:
            scripts[self.rng.randrange(len(scripts))] = Script(work())
        self.round(scripts)

    def script(self):
        rng = self.rng
        works = {self.reserve: 50, self.settle: 22, self.release: 8, self.report: 12,
                 self.extend: 6, self.record: 5, self.retry: 8, self.nonsense: 1}
        calls = rng.choices(list(works), list(works.values()))[0]() or self.reserve()
        if rng.random() < 0.8:
            return Script(calls, timeout=rng.randint(1, 30) if rng.random() < 0.05 else 0)
        calls += rng.choice([self.reserve, self.settle, self.retry])()
        reserved = [call for call in calls if isinstance(call, Reserve)]
        if reserved and rng.random() < 0.5:
            calls += rng.choice([self.settle, self.release, self.report])(reserved[0])
        return Script(calls, Transaction(), rng.random() < 0.6)

    def round(self, scripts):
        self.model.began = self.now()
        barrier = Barrier(len(scripts))
        self.at_once([(connection, partial(self.perform, script, barrier))
                      for connection, script in zip(self.sessions, scripts)], 3)
        # Calls that are one to a transaction never deadlock.
        allowed = {"40P01"} if any(script.transaction for script in scripts) else set()
        for script in scripts:
            for call in script.calls:
                self.check_code(call, allowed | ({"57014"} if script.timeout else set()))
        calls = [call for script in scripts for call in script.done]
        self.follow(calls, self.observer, len(scripts) == 1)
        compare(self.model, self.observer)

    def perform(self, script, barrier, connection):
        barrier.wait(60)
        for _ in range(50 if script.after else 0):
            if value(connection, "SELECT wait_event = 'PgSleep' FROM pg_stat_activity "
                     "WHERE pid = %s", [script.after]):
                break
        if script.transaction is None:
            if script.timeout:
                connection.execute(f"SET statement_timeout = '{script.timeout}ms'")
            for call in script.calls:
                call.send(connection)
            self.reset_timeout(connection)
            script.done = script.calls
            return
        connection.execute("BEGIN")
        script.transaction.began = value(connection, "SELECT transaction_timestamp()")
        for call in script.calls:
            call.transaction = script.transaction
            if not isinstance(call, End) or call.reservation_id:
                call.send(connection)
                script.done.append(call)
            if call.code:
                break
        has_committed = script.commits and not call.code
        connection.execute("COMMIT" if has_committed else "ROLLBACK")
        if not has_committed:
            script.done = []


@pytest.mark.parametrize("clock", ["steady", "stepping"])
@pytest.mark.parametrize("kind", [InTurn, AtOnce])
def test_books_agree_with_a_model_after_each_step(make_cluster, kind, clock):
    seed = os.environ.get("TOKEN_MGMT_SEED") or str(random.randrange(10 ** 9))
    cluster = make_cluster(preload=False) if clock == "steady" else \
        TimedCluster("model", str(FIRST)[:16], preload=False).start()
    try:
        play(kind(cluster.create_database("model"), seed), f"TOKEN_MGMT_SEED={seed}", SECONDS)
    finally:
        if clock == "stepping":
            cluster.destroy()
