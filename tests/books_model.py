"""What the books must say, kept in dictionaries: quotas, the balance of each of their periods,
reservations, and sums of the ledger. Nothing here locks, waits or fails half-way: an operation is
a few additions, each of which can be undone as a rolled back transaction undoes it.

Sliding windows and buckets are modelled by what they promise only: in no span is more granted. A
clock that is moved back changes none of this: the time of a window and of a bucket is the latest
that it has seen, and a period of which rows were removed is not opened again."""

import datetime
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil, floor

from books_records import (FOREVER, INPUT, OUTPUT, Flow, Period, asked_completion, at_expiry,
                           charge, entry, floored, identity, is_predicted, own_time, predicted,
                           read, taken, written)

SHARES = {None: Decimal(1), "high": Decimal("0.5"), "medium": Decimal("0.3"), "low": Decimal("0.2")}


@dataclass
class Model:
    """With_overdue says which holds past their time have expired, where others may end them, too:
    all of them, none, or those that make the most room or the least. With progress they may be
    charged more than they held."""

    quotas: dict = field(default_factory=dict)
    periods: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    requests: dict = field(default_factory=dict)
    keys: dict = field(default_factory=dict)
    # (tenant, user): calls, tokens, cost
    ledger: Counter = field(default_factory=Counter)
    # (tenant, user): completions of all calls of the model, and how many of each
    completions: dict = field(default_factory=dict)
    # The same: its last ones that have been rolled up; as it is, and as it was in this step.
    learned: list = field(default_factory=lambda: [{}])
    # (quota_id, value): what came into a bucket, or went
    flows: dict = field(default_factory=dict)
    # Grants from windows and buckets, to be looked at once it is known what else has ended.
    unchecked: list = field(default_factory=list)
    step: int = 0
    # The instants at which the present step began and ended.
    began: datetime.datetime = None
    ended: datetime.datetime = None
    undo: list = field(default_factory=list)
    # How often a run has come to what.
    counts: Counter = field(default_factory=Counter)

    def rollback(self, mark=0):
        while len(self.undo) > mark:
            self.undo.pop()()

    def put(self, thing, name, new):
        old = getattr(thing, name)
        setattr(thing, name, new)
        self.undo.append(lambda: setattr(thing, name, old))

    def add(self, thing, name, change):
        setattr(thing, name, getattr(thing, name) + change)
        self.undo.append(lambda: setattr(thing, name, getattr(thing, name) - change))

    def insert(self, things, key, thing):
        things[key] = thing
        self.undo.append(lambda: things.pop(key))

    def record(self, key, change):
        self.ledger[key] += change
        self.undo.append(lambda: self.ledger.subtract({key: change}))

    def flow(self, hold, quota_id, value, at, change, until=None):
        """What a hold takes from a bucket at this instant, or maybe as late as until. What it gives
        back it has not taken: whatever was free since was free without that."""
        flows = self.flows.setdefault((quota_id, value), [])
        given_back = max(-change, 0)
        for event in reversed(flows):
            if event.hold is hold and given_back:
                self.add(event, "change", -min(given_back, event.change))
                given_back -= min(given_back, event.change)
        event = Flow(hold, self.step, self.began, at, until or at, max(change, 0))
        flows.append(event)
        # By identity: two events may be equal.
        self.undo.append(lambda: flows.__setitem__(
            slice(None), [other for other in flows if other is not event]))

    def wanted(self, request):
        """The quotas that apply to a request, with the value that each counts for."""
        names = {scope: request.get(key) for scope, key in (
            ("user", "user_id"), ("team", "team"), ("agent", "agent"), ("api_key", "api_key"),
            ("session", "session_id"), ("endpoint", "endpoint"), ("tenant", "tenant"))}
        names["model"] = request["model"] and "openai/" + request["model"]
        chosen = {}
        for q in self.quotas.values():
            name = names[q.scope]
            if q.tenant == request["tenant"] and name and q.value in (name, "*"):
                other = chosen.get((q.scope, q.metric, q.period))
                if other is None or other.value == "*":
                    chosen[q.scope, q.metric, q.period] = q
        return [(q, names[q.scope]) for q in chosen.values()]

    def carried(self, q, value, start, at, with_overdue=None):
        """What a period that opens now gets from the one before."""
        if not q.carry_over or start == FOREVER or q.created_at >= read(start):
            return Decimal(0)
        last = read(start) - datetime.timedelta(microseconds=1)
        if q.removed_until and last < q.removed_until:
            return Decimal(0)
        was = q.was(last)
        if was is None or was.time_zone != q.time_zone:
            return Decimal(0)
        key = q.quota_id, value, q.start(last)
        own = free = was.limit()
        if q.updated_at > at:
            # By a clock that was set back since.
            own = min(own, q.limit())
        if key in self.periods:
            period = self.periods[key]
            free += period.carried - period.counted()
        if with_overdue:
            free += self.overdue(key, read(start), with_overdue)
        return max(min(q.carry_over, was.carry_over, own, free), 0)

    def free(self, q, value, start, at, with_overdue):
        period = self.periods.get((q.quota_id, value, start))
        if period is None:
            return q.limit() + self.carried(q, value, start, at)
        free = q.limit() + period.carried - period.counted()
        return free + self.overdue((q.quota_id, value, start), at, with_overdue)

    def overdue(self, key, at, which):
        """What the expiry of these holds past their time gives back in this period."""
        given = [a[5] - (charge(a, hold, at_expiry(hold)) if at_expiry(hold) else 0)
                 for hold in self.holds.values()
                 if which and hold.state == "held" and hold.expires_at <= at
                 for a in hold.allocations if a[:3] == key]
        return sum(amount for amount in given if which == "all" or (amount > 0) == (
            which == "most"))

    def most(self, request, at, with_overdue, starts):
        """The most completion tokens that the fixed quotas have room for in the periods of these
        starts, or else the current ones; negative: not even the prompt."""
        share = SHARES[request["priority"]]
        prompt = request["prompt_tokens"]
        most = float("inf")
        for q, value in self.wanted(request):
            if q.kind != "fixed" or q.is_soft:
                continue
            start = (starts or {}).get((q.quota_id, value)) or q.start(at)
            free = self.free(q, value, start, at, with_overdue)
            if q.limit() == 0:
                most = -1
            elif q.metric == "tokens":
                most = min(most, min(ceil(free * share), floor(free)) - prompt)
            elif q.metric == "requests":
                most = min(most, float("inf") if free >= 1 else -1)
            elif free * share < prompt * INPUT:
                most = -1
            else:
                most = min(most, floor((free * share - prompt * INPUT) / OUTPUT))
        return most

    def predictions(self, request):
        """What is predicted for a request, in this step."""
        return {predicted(learned.get((request["tenant"], request["user_id"]), []))
                for learned in self.learned} if is_predicted(request) else {None}

    def answer(self, request, at, with_overdue, starts=None, prediction=None):
        """The completion that is granted; None: denied. Whoever is alone ends holds past their time
        only if it is short of tokens, and then all of them."""
        asked = asked_completion(request, prediction)
        most = self.most(request, at, None if with_overdue == "all" else with_overdue, starts)
        if asked > most and with_overdue == "all":
            most = self.most(request, at, "all", starts)
        if asked <= most:
            return asked
        if request["on_overflow"] == "refuse" or asked == 0 \
                or most < max(request["min_completion_tokens"] or 0, 1):
            return None
        return most

    def grant(self, hold):
        for q, a in self.enter(hold):
            assert a[5] == {
                "tokens": hold.prompt + hold.completion, "requests": 1,
                "cost": hold.prompt * INPUT + hold.completion * OUTPUT}[q.metric], a
            if q.kind != "fixed" and not q.is_soft:
                self.unchecked.append((q, a[1], a[2], (self.step, hold.reserved_at)))
            self.add(self.periods[a[:3]], "held", a[5])

    def spend(self, hold, usage):
        """What was never reserved is charged to all quotas that apply, whatever they have left."""
        hold.state, hold.usage, hold.ended_in = "settled", usage, self.step
        hold.before = [Decimal(0)] * len(hold.allocations)
        for q, a in self.enter(hold):
            assert a[5] == taken(a, hold), (a, hold)
            self.add(self.periods[a[:3]], "used", a[5])
        self.write(hold, (0, 0, Decimal(0)))

    def enter(self, hold):
        """A reservation that is new, in the periods that its quotas are in at that moment."""
        self.insert(self.holds, hold.reservation_id, hold)
        if hold.request["request_id"]:
            self.insert(self.requests, identity(hold.request), hold)
        wanted = {(q.quota_id, value): q for q, value in self.wanted(hold.request)}
        assert {a[:2] for a in hold.allocations} == set(wanted)
        for quota_id, value, start, _, _, amount in hold.allocations:
            q = wanted[quota_id, value]
            if q.kind == "fixed":
                # Where the clock was set back, a period that is still there serves again.
                assert start in (q.start(hold.reserved_at), q.start_by_clock(hold.reserved_at)), \
                    (q, start, hold)
            elif q.kind == "sliding":
                assert start == self.window_part(q, value, hold.reserved_at), (start, hold)
            else:
                self.flow(hold, quota_id, value, hold.reserved_at, amount,
                          self.ended if hold.usage else None)
            if q.kind != "fixed" and (quota_id, value, start) not in self.periods:
                self.insert(self.periods, (quota_id, value, start), Period())
        return [(wanted[a[:2]], a) for a in hold.allocations]

    def window_part(self, q, value, at):
        """Start of the part that is taken from: never an earlier one than the last time."""
        latest = [key[2] for key in self.periods if key[:2] == (q.quota_id, value)]
        part = floored(max(at, q.removed_until or at), q.part())
        return max([written(part), *latest], key=read)

    def check_flows(self):
        for q, value, start, granted in self.unchecked:
            if q.kind == "sliding":
                self.check_window(q, value, read(start))
            else:
                self.check_bucket(q, value, granted)
        self.unchecked.clear()

    def check_window(self, q, value, start):
        """By the window's own time: what is held and charged in its 60 parts, and one before."""
        counted = sum(
            charge for hold in self.holds.values()
            for at, charge in self.charged(hold, q.quota_id, value) if q.counts(at, start))
        reset = sum(period.credited for (quota_id, name, at), period in self.periods.items()
                    if (quota_id, name) == (q.quota_id, value) and q.counts(at, start))
        assert counted - reset <= q.limit(), (q, counted, reset)

    def check_bucket(self, q, value, granted):
        """By the bucket's own time: since no instant up to this grant more than it held then, and
        what has flowed in."""
        inflow = q.amount / q.seconds()
        total = Decimal(0)
        now = None
        for flow, began, at in reversed(list(own_time(self.flows[q.quota_id, value]))):
            if flow.may_follow(granted):
                continue
            now = now or at
            total += flow.change
            # Somewhere between these two the bucket was locked.
            grown = inflow * Decimal((now - began).total_seconds())
            assert total <= q.burst + q.increase + grown, (q, flow, total, grown)

    def charged(self, hold, quota_id, value):
        """What the hold or its end takes from a quota and value, and in which part. What an end of
        this very step took beyond what was held or charged before may have come after the
        grants."""
        for i, a in enumerate(hold.allocations):
            if a[:2] == (quota_id, value):
                now = taken(a, hold)
                yield a[2], min(now, hold.before[i]) if hold.ended_in == self.step else now

    def end(self, hold, state, at, usage=None):
        """Gives the hold back and charges what was used, exactly where it was held; of what its
        expiry was charged for, the difference."""
        before = [taken(a, hold) for a in hold.allocations]
        entered = entry(hold)
        was_held = hold.state == "held"
        was_overdue = was_held and hold.overdue(at)
        self.put(hold, "before", [Decimal(0)] * len(before) if was_overdue else before)
        self.put(hold, "state", state)
        self.put(hold, "usage", usage)
        self.put(hold, "ended_in", self.step)
        for a, was in zip(hold.allocations, before):
            now = taken(a, hold)
            period = self.periods[a[:3]]
            self.add(period, "held", -was if was_held else 0)
            self.add(period, "used", now if was_held else now - was)
            if not was_held and period.reset_at != hold.resets[a[:3]]:
                # What is taken back was given back by the reset: once is enough.
                self.add(period, "credited", max(min(now - was, 0), -period.credited))
            if (a[0], a[1]) in self.flows:
                # It may have expired first, and others have had all of it, before this charge.
                is_late = was_overdue and state == "settled"
                self.flow(hold, a[0], a[1], at, -was if is_late else now - was)
        self.write(hold, entered)

    def write(self, hold, entered):
        """Into the ledger goes what it has not yet had of this entry."""
        who = hold.request["tenant"], hold.request["user_id"]
        for what, sum_, was in zip(("calls", "tokens", "cost"), entry(hold), entered):
            self.record((*who, what), sum_ - was)
        if hold.request["model"] and not entered[0] and hold.usage:
            entered = self.completions.setdefault(who, Counter())
            entered[hold.usage.completion] += 1
            self.undo.append(lambda: entered.subtract([hold.usage.completion]))

    def applies(self, q, value):
        """Not where the value has a quota of its own, which replaces that of *."""
        return q.value == value or q.value == "*" and not any(
            other.key() == (q.tenant, q.scope, value, q.metric, q.period)
            for other in self.quotas.values())

    def current(self, q, value, at):
        """The period of this instant, or the parts that the window then has."""
        if q.kind == "fixed":
            starts = {q.start(at)}
        elif q.kind == "sliding":
            latest = read(self.window_part(q, value, at))
            starts = {key[2] for key in self.periods
                      if key[:2] == (q.quota_id, value) and q.counts(key[2], latest)}
        else:
            starts = set()
        return [key for key in self.periods if key[:2] == (q.quota_id, value) and key[2] in starts]

    def reset(self, key, credited, at):
        if key not in self.periods:
            self.insert(self.periods, key, Period())
        self.put(self.periods[key], "credited", credited)
        self.put(self.periods[key], "reset_at", at)

    def remove(self, hold):
        """Its time of being kept for retries is over; what it has used stays."""
        hold.is_removed = True
        if self.requests.get(identity(hold.request)) is hold:
            del self.requests[identity(hold.request)]

    def promise_anew(self, quota_id):
        """Its bucket or window is looked at by the new numbers, from here on."""
        for key in [key for key in self.flows if key[0] == quota_id]:
            self.flows[key].clear()
        self.unchecked = [check for check in self.unchecked if check[0].quota_id != quota_id]
