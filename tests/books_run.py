"""A run of random steps (e2e/test_model.py): its sessions, what it draws, the server's clock."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta

from books import sqlstate, value
from books_calls import DropQuota, Heat, Maintain, Nonsense, Record, Reserve, Reset, SetQuota
from books_ends import Extend, Release, Report, Settle, SettlePartial, SettleUsage
from books_keys import Issue, Key, Revoke, Rotate, Verify
from books_model import Model
from books_order import bring_up_to_date
from books_records import FOREVER, LATE, Hold, Usage
from books_requests import random_record, random_request, random_rule
from timed_cluster import UTC, TimedCluster

# The days on which clocks change in Europe/Berlin and Australia/Lord_Howe, and a month's ends.
EDGES = [datetime.fromisoformat(text + "+00:00") for text in (
    "2026-03-28 23:00", "2026-03-29 22:00", "2026-04-03 13:00", "2026-04-04 13:00",
    "2026-04-05 13:30", "2026-10-24 22:00", "2026-10-25 23:00", "2026-10-03 13:30",
    "2026-10-04 13:00", "2026-09-30 13:30", "2026-10-31 13:00", "2027-01-01 00:00")]
FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2028))


# What a run comes to again and again, and what only a long one is sure to: each operation succeeds.
OFTEN = ["Reserve granted", "Reserve reduced", "Reserve denied", "Reserve TM001", "Settle",
         "SettleUsage", "SettlePartial", "Release", "Report", "Extend", "lasts longer", "expired",
         "Record", "SetQuota", "DropQuota", "Reset", "given back", "Issue", "Rotate", "Verify",
         "by a key", "Maintain", "Heat"]
RARELY = ["expired, charged", "corrected", "recorded overrun", "Revoke", "by a name",
          "by a key in grace", "predicted", "Reserve again", "Settle again", "Release again",
          "Record again"]


class Run:
    rarely = RARELY

    def __init__(self, database, seed, sessions):
        self.rng = random.Random(seed)
        self.cluster = database.cluster
        self.model = Model()
        self.sessions = [database.connect(options="-c timezone=UTC -c client_min_messages=error")
                         for _ in range(sessions)]
        self.pool = ThreadPoolExecutor(sessions)
        # What a call has done is read without the timeout that the call had.
        self.observer = database.connect(options="-c timezone=UTC")
        self.latest = self.now()
        self.request_number = 0
        self.counts = self.model.counts

    def close(self):
        self.pool.shutdown()
        for connection in [*self.sessions, self.observer]:
            connection.close()

    def at_once(self, works, patience):
        """Does these, each with its session. Whoever waits for longer is cancelled: where the
        clock was set, the server's own timeouts may wait for an alarm that was on before."""
        futures = [self.pool.submit(work, connection) for connection, work in works]
        self.was_cancelled = bool(wait(futures, patience).not_done)
        if self.was_cancelled:
            self.count("cancelled")
            for connection, _ in works:
                connection.cancel()
        for future in futures:
            future.result()

    def check_code(self, call, allowed):
        """Whether a call may have been broken off like that."""
        if self.was_cancelled:
            allowed = allowed | {"57014"}
        assert not call.is_broken_off or call.code in allowed, call

    def reset_timeout(self, connection):
        while sqlstate(connection, "RESET statement_timeout") == "57014":
            pass  # this was hurried, too

    def now(self):
        return value(self.observer, "SELECT clock_timestamp()")

    def count(self, what):
        self.counts[what] += 1

    def follow(self, calls, reader, alone):
        """Brings the model up to date with calls that have been answered."""
        for call in calls:
            self.count(call.outcome)
        bring_up_to_date(self.model, reader, calls, self.now(), alone)

    def step_clock(self):
        """Forward or back, by a moment or by months; from back to where it was; or close to an
        instant that decides."""
        now = self.now()
        self.latest = max(self.latest, now)
        ends = [hold.expires_at + late for hold in self.model.holds.values()
                if hold.state in ("held", "expired") for late in (LATE * 0, LATE)]
        seconds = 10 ** self.rng.uniform(-1, 6.8)
        instant = self.rng.choice([
            now + timedelta(seconds=seconds), now - timedelta(seconds=seconds), self.latest,
            self.rng.choice(EDGES + ends[-8:]) - timedelta(seconds=3)])
        instant += timedelta(seconds=self.rng.uniform(0, 5))
        self.set_clock(max(FIRST, min(LAST, instant)))

    def set_clock(self, instant):
        self.count("clock back" if instant < self.now() else "clock forward")
        self.cluster.set_instant(f"{instant:%Y-%m-%d %H:%M:%S.%f}")
        self.model.clock_steps += 1

    def age(self):
        """A hold's time is up, or even the time in which it may be settled late."""
        holds = [h for h in self.model.holds.values() if h.state in ("held", "expired")]
        if not holds:
            return
        reported = [h for h in holds if h.progress is not None and h.state == "held"]
        hold = self.rng.choice(reported if reported and self.rng.random() < 0.3 else holds)
        hold.expires_at = value(
            self.observer, "UPDATE token_mgmt.reservation SET expires_at = clock_timestamp() - "
            "%s::interval WHERE reservation_id = %s RETURNING expires_at",
            [self.rng.choice(["1 second", "25 hours"]), hold.reservation_id])

    @property
    def has_clock(self):
        return isinstance(self.cluster, TimedCluster)

    # Calls at random

    def visible(self, holds):
        return list(holds)

    def known(self, holds):
        """Those of which this session sees the present state."""
        return list(holds)

    def choose_hold(self, states=("held", "expired")):
        holds = self.visible(self.model.holds.values())
        open_ones = [hold for hold in holds if hold.state in states
                     and hold.overdue(self.model.began) != "gone"]
        kept = [hold for hold in holds if not hold.is_removed]
        drawn = self.rng.random()
        holds = open_ones if drawn < 0.8 else kept if drawn < 0.98 else holds
        return self.rng.choice(holds) if holds else None

    def reserve(self):
        self.request_number += 1
        request, shown = self.keyed(random_request(self.rng, self.request_number))
        return [Reserve(request, self.rng.random() < 0.3, shown)]

    def record(self):
        self.request_number += 1
        return [Record(*self.keyed(random_record(self.rng, self.request_number)))]

    def wish(self):
        """A request that has room once a certain hold is released; and that."""
        holds = [hold for hold in self.model.holds.values() if hold.state == "held"
                 and not hold.overdue(self.model.began) and not hold.request["key"]]
        for hold in self.rng.sample(holds, min(len(holds), 8)):
            request = hold.request | {
                "request_id": None, "on_overflow": "refuse", "priority": None, "ttl": None,
                "min_completion_tokens": None, "prompt_tokens": 0,
                "max_wait": timedelta(milliseconds=100)}
            room = self.model.most(request, self.model.began, None, None)
            if 0 <= room < float("inf"):
                request["completion_tokens"] = int(room) + hold.prompt + hold.completion
                return Reserve(request, False), Release(hold)
        return None

    def keyed(self, request):
        """With a key at times, of which the secret is shown or the name."""
        if self.rng.random() > 0.25 or not self.model.keys:
            return request, None
        key = self.choose_key()
        whose = {"user_id": key.user_id, "tenant": key.tenant, "api_key": key.name, "key": key,
                 "by_name": self.rng.random() < 0.2}
        if not whose["by_name"]:
            whose["team"] = key.team
        return request | whose, self.shown(request | whose)

    def shown(self, request):
        """The key's name, its latest secret, or maybe an old one."""
        key = request["key"]
        if key is None or request["by_name"]:
            return key and key.name
        return self.rng.choice(self.rng.choice(
            [key.secrets[-1:]] * 3 + [key.secrets[-2:-1] or key.secrets, key.secrets]))

    def choose_key(self):
        keys = list(self.model.keys.values())
        good = [key for key in keys if key.fault(key.name, self.model.began) is None]
        return self.rng.choice(good if good and self.rng.random() < 0.8 else keys)

    def retry(self):
        holds = self.known(self.model.requests.values())
        if not holds:
            return []
        recorded = [hold for hold in holds if "cost" in hold.request]
        request = dict(self.rng.choice(
            recorded if recorded and self.rng.random() < 0.3 else holds).request)
        if self.rng.random() < 0.3:
            request["prompt_tokens"] += 1
        return [again(request, self.shown(request))]

    def random_usage(self, hold):
        rng = self.rng
        most = rng.choice([1, 1, 3])
        prompt = rng.randint(0, hold.request["prompt_tokens"] * most)
        completion = rng.randint(0, self.some_completion(hold) * most)
        cached = rng.randint(0, prompt)
        return Usage(prompt, completion, cached, rng.choice([0, rng.randint(0, prompt - cached)]),
                     rng.choice([0, rng.randint(0, completion)]))

    def settle(self, hold=None):
        hold = hold or self.choose_hold(
            ["expired"] if self.rng.random() < 0.15 else ["held", "expired"])
        if hold is None:
            return []
        again = isinstance(hold, Hold) and hold.state == "settled" and self.rng.random() < 0.6
        usage = hold.usage if again else self.random_usage(hold)
        drawn = self.rng.random()
        if drawn < 0.2 and not again:
            return [SettlePartial(hold, usage.completion)]
        if drawn < 0.5 and 0 in (usage.written, usage.reasoning):
            return [SettleUsage(hold, usage, self.rng)]
        return [Settle(hold, usage)]

    def release(self, hold=None):
        hold = hold or self.choose_hold(
            ["released"] if self.rng.random() < 0.15 else ["held", "expired"])
        return [Release(hold)] if hold else []

    def report(self, hold=None):
        reported = [h for h in self.visible(self.model.holds.values())
                    if h.state == "held" and h.progress is not None]
        hold = hold or (self.rng.choice(reported) if reported and self.rng.random() < 0.4
                        else self.choose_hold(["held"]))
        if hold is None:
            return []
        return [Report(hold, self.rng.randint(0, 2 * self.some_completion(hold)))]

    def some_completion(self, hold):
        return min(hold.completion, 900) if isinstance(hold, Hold) \
            else hold.request["completion_tokens"] or 100

    def extend(self, hold=None):
        hold = hold or self.choose_hold(["held"])
        ttl = timedelta(seconds=self.rng.choice([3, 900, 6 * 24 * 3600]))
        return [Extend(hold, ttl)] if hold else []

    def nonsense(self):
        holds = list(self.model.holds)
        return [Nonsense(*self.rng.choice([
            ("22023", "SELECT reserve_tokens('ann', -1)"),
            ("22023", "SELECT reserve_tokens('*', 1)"),
            ("P0002", "SELECT settle_tokens('00000000-0000-7000-8000-000000000000', 1, 1)"),
            ("22004", "SELECT settle_tokens(NULL, 1, 1)"),
            *[(code, f"SELECT settle_usage('{reservation_id}', '{usage}')")
              for reservation_id in holds[-1:] for code, usage in (
                  ("22P02", '{"input_tokens": 5}'), ("22023", '{"prompt_tokens": 5, '
                   '"completion_tokens": 6, "total_tokens": 12}'))],
            ("42704", "SELECT reserve_tokens('ann', 1, model => 'no such model')"),
            ("TM006", "SELECT reserve_tokens('ann', 90000000, 1, model => 'gpt-4o')"),
        ]))]

    def set_quota(self):
        return [SetQuota(random_rule(self.rng))]

    def drop_quota(self):
        # Of those that never end more, or what they were spent on would end all others.
        quotas = [q for q in self.model.quotas.values()
                  for _ in range(3 if q.period == "total" else 1)]
        return [DropQuota(self.rng.choice(quotas))] if quotas else []

    def reset_quota(self):
        quotas = list(self.model.quotas.values())
        if not quotas:
            return []
        q = self.rng.choice(quotas)
        names = sorted({key[1] for key in self.model.periods if key[0] == q.quota_id})
        name = self.rng.choice(names) if q.value == "*" and names and self.rng.random() < 0.4 \
            else None
        if self.rng.random() < 0.1:
            return [Reset((q.tenant, q.scope, q.value, "requests", "total"))]
        return [Reset(q.key(), name)]

    def issue(self):
        rng, keys = self.rng, self.model.keys
        if len([key for key in keys.values() if not key.is_revoked]) > 3 and rng.random() < 0.8:
            return []
        tenant, expires_in = rng.choice(["default", "default", "acme"]), rng.choice(
            [None, timedelta(seconds=6), timedelta(hours=2), timedelta(days=30)])
        return [Issue(Key(tenant, f"key{rng.randint(1, len(keys) + 2)}", rng.choice(["ann", "bob"]),
                          rng.choice([None, "red"]), expires_in, None))]

    def rotate(self, key=None):
        if not self.model.keys:
            return []
        key = key or self.choose_key()
        grace = self.rng.choice([timedelta(), timedelta(seconds=2), timedelta(days=1)])
        return [Rotate(key, self.any_shown(key), grace)]

    def revoke(self, key=None):
        key = key or self.model.keys and self.choose_key()
        return [Revoke(key, self.any_shown(key))] if key else []

    def verify(self, key=None):
        key = key or self.model.keys and self.choose_key()
        return [Verify(key, self.rng.choice(key.secrets))] if key else []

    def any_shown(self, key):
        return self.shown({"key": key, "by_name": self.rng.random() < 0.3})

    def maintain(self):
        return [Maintain()]

    def heat(self):
        values = [key[:2] for key in self.model.periods if key[2] == FOREVER
                  and key[0] in self.model.quotas and self.model.quotas[key[0]].kind == "fixed"]
        if not values:
            return []
        quota_id, name = self.rng.choice(values)
        return [Heat(self.model.quotas[quota_id].tenant, quota_id, name), Maintain()]


def again(request, shown=None):
    if "cost" in request:
        return Record(request, shown)
    return Reserve(request, False, shown)


def play(run, name, seconds):
    """Steps of a run for so long, or TOKEN_MGMT_STEPS of them; says how to repeat it."""
    steps = int(os.environ.get("TOKEN_MGMT_STEPS") or 0)
    ends = time.monotonic() + seconds
    done = 0
    try:
        run.begin_run()
        while done < steps if steps else time.monotonic() < ends:
            run.step()
            done += 1
    except BaseException:
        print(f"{name}: step {done} ({run.last}), {dict(run.counts)}")
        raise
    finally:
        run.close()
    print(f"{name}: {done} steps, {dict(run.counts)}")
    assert done >= (steps or 30)
    reached = sum(run.counts.values())
    missed = [name for name in OFTEN * (reached > 2500) + run.rarely * (reached > 12000)
              if not run.counts[name]]
    assert not missed, missed
