"""Random sequences of all operations from several sessions, with failures, timeouts, retries and
rollbacks, step by step against a model in memory (books_model.py); all balances are compared after
each step. TOKEN_MGMT_SEED replays a run, TOKEN_MGMT_STEPS makes it as long as that many steps."""

import os
import random
import time

import psycopg

from books import row, value
from books_comparison import compare
from books_model import FOREVER, Hold, Model, Quota, asked_completion, cost
from books_requests import REQUEST, random_request, random_rule

SECONDS = 40
SESSIONS = 4
RESERVE = "SELECT status, reservation_id::text, prompt_tokens, completion_tokens, warnings " \
    "FROM {}(%s" + "".join(f", {name} => %s" for name in REQUEST[1:]) + ")"
SETTLE = "SELECT entry_id, flags, cost FROM settle_tokens(%s, %s, %s, %s)"
NOW = "SELECT clock_timestamp()"
# What a session meets where another one has rows locked, or a timeout: nothing has happened then.
BROKEN_OFF = {"55P03", "57014"}


class Run:
    def __init__(self, database, seed):
        self.rng = random.Random(seed)
        self.database = database
        self.model = Model()
        self.sessions = [database.connect() for _ in range(SESSIONS)]
        for connection in self.sessions:
            connection.execute("SET timezone = 'UTC'; SET lock_timeout = '60ms'; "
                               "SET client_min_messages = error")
        # What a call has done is read without the timeout that the call had.
        self.observer = database.connect(options="-c timezone=UTC")
        self.inside = None  # the session that is in a transaction
        self.transaction = 0
        self.request_number = 0
        self.counts = {}

    def step(self):
        rng = self.rng
        inside = self.inside is not None and rng.random() < 0.6
        number = self.inside if inside else rng.choice(
            [n for n in range(SESSIONS) if n != self.inside])
        self.connection = self.sessions[number]
        choices = {self.reserve: 40, self.settle: 22, self.release: 8, self.retry: 6,
                   self.nonsense: 3}
        if inside:
            choices |= {self.commit: 15, self.roll_back: 8}
        else:
            choices |= {self.set_quota: 6, self.drop_quota: 4, self.changed_mind: 2}
            if self.inside is None:
                choices |= {self.begin: 8, self.maintain: 4, self.heat: 4, self.age: 7}
        work = rng.choices(list(choices), list(choices.values()))[0]
        self.count(work.__name__)
        self.last = work.__name__
        if work in (self.commit, self.roll_back, self.begin):
            work()
        else:
            self.attempt(work, inside)
        compare(self)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def attempt(self, work, inside):
        """With a timeout at times; in a transaction, with a savepoint or all is lost."""
        connection, rng = self.connection, self.rng
        saved = inside and rng.random() < 0.5
        mark = len(self.model.undo)
        kept = self.model.undo
        if not inside:
            self.model.undo = []
        if saved:
            connection.execute("SAVEPOINT one")
        hurried = rng.random() < 0.05
        if hurried:
            connection.execute(f"SET statement_timeout = '{rng.randint(1, 6)}ms'")
        failed = False
        try:
            work()
        except psycopg.Error as error:
            failed = True
            self.count("broken off")
            if error.sqlstate == "57014":
                assert hurried
            else:
                assert error.sqlstate == "55P03" and self.inside is not None, error
        self.lost = inside and connection.info.transaction_status.name == "INERROR"
        if saved and (self.lost or rng.random() < 0.3):
            connection.execute("ROLLBACK TO one")
            self.model.rollback(mark)
        elif self.lost:
            self.roll_back()
        else:
            assert not failed or not inside
        if hurried:
            connection.execute("RESET statement_timeout")
        if not inside:
            self.model.undo = kept

    def refused(self, code, statement, parameters):
        """Whether the statement broke off; else it must fail with this SQLSTATE."""
        try:
            self.connection.execute(statement, parameters)
        except psycopg.Error as error:
            if error.sqlstate in BROKEN_OFF:
                raise
            assert error.sqlstate == code, (code, error)
        else:
            raise AssertionError(f"no {code}: {statement} {parameters}")

    # Operations

    def begin(self):
        self.connection.execute("BEGIN")
        self.inside = self.sessions.index(self.connection)
        self.transaction += 1
        self.model.undo = []

    def commit(self):
        self.connection.execute("COMMIT")
        self.inside = None
        self.model.undo = []

    def roll_back(self):
        self.connection.execute("ROLLBACK")
        self.inside = None
        self.model.rollback()

    def reserve(self, request=None):
        model, connection = self.model, self.connection
        self.request_number += 1
        request = request or random_request(self.rng, self.request_number)
        raising = self.rng.random() < 0.3
        parameters = [request[name] for name in REQUEST]
        statement = RESERVE.format("reserve_tokens" if raising else "try_reserve_tokens")
        wanted = model.wanted(request)
        if not request["model"] and any(q.metric == "cost" for q, _ in wanted) \
                and request["prompt_tokens"] + asked_completion(request) > 0:
            self.refused("22023", statement, parameters)
            return
        began = value(self.reader(), NOW)
        try:
            status, reservation, prompt, completion, warnings = \
                connection.execute(statement, parameters).fetchone()
        except psycopg.Error as error:
            if error.sqlstate != "TM001":
                raise
            status = "denied"
        self.count(status)
        if status == "denied":
            assert raising or reservation is None
            promised = all(q.kind == "fixed" for q, _ in wanted)
            if not self.inside_lost():
                ended = value(self.reader(), NOW)
                promised &= all(q.start(began) == q.start(ended) for q, _ in wanted
                                if q.kind == "fixed")
                if promised:
                    # While a transaction is open, what it has locked cannot be expired.
                    assert model.answer(request, ended, self.inside is None) is None, request
            return
        allocations = [tuple(a) for a in self.reader().execute(
            "SELECT a.quota_id, a.scope_value, a.starts_at::text, a.metric, "
            "coalesce(a.cached_weight, 1), a.amount FROM token_mgmt.reservation r, "
            "unnest(r.allocations) a WHERE r.reservation_id = %s", [reservation]).fetchall()]
        at = value(self.reader(), "SELECT reserved_at FROM token_mgmt.reservation "
                   "WHERE reservation_id = %s", [reservation])
        asked = asked_completion(request)
        expected = model.answer(request, at, True)
        assert expected is not None, (request, completion)
        assert prompt == request["prompt_tokens"]
        if all(q.kind == "fixed" for q, _ in wanted) and self.inside is None:
            assert completion == expected, (request, completion, expected)
        assert completion <= expected
        assert status == ("granted" if completion == asked else "reduced")
        model.grant(Hold(reservation, request, prompt, completion, at, allocations,
                         self.transaction if self.connection is self.tx() else None))
        passed = sum(q.is_soft and model.free(q, v, at, False) < 0 for q, v in wanted)
        assert sum("soft limit" in warning for warning in warnings) == passed

    def tx(self):
        return None if self.inside is None else self.sessions[self.inside]

    def reader(self):
        return self.connection if self.connection is self.tx() else self.observer

    def inside_lost(self):
        return self.connection.info.transaction_status.name == "INERROR"

    def visible(self, holds):
        """Others do not see what the open transaction has reserved."""
        return [hold for hold in holds if self.inside is None or self.connection is self.tx()
                or hold.transaction != self.transaction]

    def choose(self):
        holds = self.visible(self.model.holds.values())
        open_ones = [hold for hold in holds if hold.state in ("held", "expired")]
        if open_ones and self.rng.random() < 0.8:
            holds = open_ones
        return self.rng.choice(holds) if holds else None

    def retry(self):
        hold = self.rng.choice(self.visible(self.model.requests.values()) or [None])
        if hold is None:
            return
        request = dict(hold.request)
        other = self.rng.random() < 0.3
        if other:
            request["prompt_tokens"] += 1
        statement = RESERVE.format("try_reserve_tokens")
        parameters = [request[name] for name in REQUEST]
        code = "TM005" if other else "TM003" if hold.state == "released" else \
            "TM004" if hold.state == "expired" or hold.state == "held" and hold.overdue else None
        if code:
            self.refused(code, statement, parameters)
        else:
            assert row(self.connection, statement, parameters)[1:4] == \
                (hold.reservation_id, hold.prompt, hold.completion)

    def settle(self):
        hold, rng = self.choose(), self.rng
        if hold is None:
            return
        if hold.state == "settled" and rng.random() < 0.6:
            usage = hold.usage
        else:
            most = rng.choice([1, 1, 3])
            prompt = rng.randint(0, hold.prompt * most)
            usage = (prompt, rng.randint(0, hold.completion * most), rng.randint(0, prompt))
        parameters = [hold.reservation_id, *usage]
        code = {"released": "TM003", "settled": "TM002" if usage != hold.usage else None}.get(
            hold.state, "TM004" if hold.overdue == "gone" else None)
        if code:
            self.refused(code, SETTLE, parameters)
            return
        entry_id, flags, paid = self.connection.execute(SETTLE, parameters).fetchone()
        if hold.state == "settled":
            assert entry_id == hold.entry_id
            return
        expected = {"overrun"} if usage[0] + usage[1] > hold.prompt + hold.completion else set()
        if hold.overdue:
            expected.add("late")
        if self.connection is self.tx() and hold.transaction == self.transaction:
            expected.add("same_transaction")
        assert set(flags) == expected
        self.model.put(hold, "entry_id", entry_id)
        self.model.end(hold, "settled", value(self.reader(), NOW), usage)
        assert paid == (cost(hold) if hold.request["model"] else None)

    def release(self):
        hold = self.choose()
        if hold is None:
            return
        statement = "SELECT release_tokens(%s)"
        code = {"settled": "TM002", "expired": "TM004"}.get(
            hold.state, "TM004" if hold.state == "held" and hold.overdue else None)
        if code:
            self.refused(code, statement, [hold.reservation_id])
            return
        self.connection.execute(statement, [hold.reservation_id])
        if hold.state == "held":
            self.model.end(hold, "released", value(self.reader(), NOW))

    def nonsense(self):
        self.refused(*self.rng.choice([
            ("22023", "SELECT reserve_tokens('ann', -1)", []),
            ("22023", "SELECT reserve_tokens('*', 1)", []),
            ("P0002", SETTLE, ["00000000-0000-7000-8000-000000000000", 1, 1, 0]),
            ("22004", "SELECT settle_tokens(NULL, 1, 1)", []),
            ("42704", "SELECT reserve_tokens('ann', 1, model => 'no such model')", []),
            ("TM006", "SELECT reserve_tokens('ann', 90000000, 1, model => 'gpt-4o')", []),
        ]))

    def set_quota(self):
        q = self.connection.execute(
            "SELECT quota_id, tenant, scope, value, metric, period, kind, amount, burst, "
            "time_zone, carry_over, is_soft, cached_weight, CASE WHEN increase_until > "
            "clock_timestamp() THEN increase ELSE 0 END, created_at FROM "
            "token_mgmt.set_quota(%s, %s, %s, %s, %s, %s, %s, %s)",
            random_rule(self.rng)).fetchone()
        self.model.set_quota(Quota(*q))

    def drop_quota(self):
        if not self.model.quotas:
            return
        q = self.rng.choice(list(self.model.quotas.values()))
        assert value(self.connection, "SELECT token_mgmt.drop_quota(%s, %s, %s, %s, %s)",
                     [q.scope, q.value, q.period, q.metric, q.tenant]) is True
        self.model.drop_quota(q.quota_id)

    def changed_mind(self):
        """A quota that is set or dropped and rolled back."""
        with self.connection.transaction(force_rollback=True):
            quotas = dict(self.model.quotas)
            self.rng.choice([self.set_quota, self.drop_quota])()
            self.model.quotas = quotas

    def maintain(self):
        self.opened = True
        errors = self.connection.execute(
            "SELECT job, error FROM token_mgmt.run_maintenance() WHERE error IS NOT NULL"
        ).fetchall()
        assert all("57014" in error for _, error in errors), errors

    def heat(self):
        """What the worker does when it saw a quota being waited for."""
        values = [key[:2] for key in self.model.periods
                  if key[0] in self.model.quotas and key[2] == FOREVER
                  and self.model.quotas[key[0]].kind == "fixed"]
        if values:
            quota_id, name = self.rng.choice(values)
            self.connection.execute(
                "INSERT INTO token_mgmt.quota_wait SELECT %s, %s, %s, now() FROM "
                "generate_series(1, 20)", [self.model.quotas[quota_id].tenant, quota_id, name])
        self.maintain()

    def age(self):
        """A hold's time is up, or even the time in which it may be settled late."""
        holds = [h for h in self.model.holds.values() if h.state in ("held", "expired")]
        hold = self.rng.choice(holds or [None])
        if hold is None:
            return
        overdue, since = self.rng.choice([("late", "1 second"), ("gone", "25 hours")])
        self.connection.execute(
            "UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() - %s::interval "
            "WHERE reservation_id = %s", [since, hold.reservation_id])
        hold.overdue = overdue


def test_books_agree_with_a_model_after_each_step(make_cluster):
    seed = os.environ.get("TOKEN_MGMT_SEED") or str(random.randrange(10 ** 9))
    steps = int(os.environ.get("TOKEN_MGMT_STEPS") or 0)
    database = make_cluster(preload=False).create_database("model")
    run = Run(database, seed)
    ends = time.monotonic() + SECONDS
    done = 0
    try:
        for _ in range(6):
            run.connection = run.sessions[0]
            run.set_quota()
        while done < steps if steps else time.monotonic() < ends:
            run.step()
            done += 1
    except BaseException:
        print(f"TOKEN_MGMT_SEED={seed}: step {done} ({getattr(run, 'last', 'setup')}), "
              f"session {run.sessions.index(run.connection)}, in a transaction: {run.inside}")
        raise
    finally:
        for connection in [*run.sessions, run.observer]:
            connection.close()
    print(f"TOKEN_MGMT_SEED={seed}: {done} steps, {run.counts}")
    assert done >= (steps or 100)
