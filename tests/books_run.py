"""A run of random steps (e2e/test_model.py): its sessions, what it comes to, the server's clock."""

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta

from books import sqlstate, value
from books_choices import Choices
from books_model import Model
from books_order import bring_up_to_date
from books_records import LATE
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


class Run(Choices):
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
