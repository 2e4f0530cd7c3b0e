"""What the books must say, kept in dictionaries: quotas, the balance of each of their periods,
reservations, and sums of the ledger. Nothing here locks, waits or fails half-way: an operation is
a few additions, each of which can be undone as a rolled back transaction undoes it.

Sliding windows and buckets are modelled by what they promise only: in no span is more granted."""

import datetime
import zoneinfo
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil, floor

SHARES = {None: Decimal(1), "high": Decimal("0.5"), "medium": Decimal("0.3"), "low": Decimal("0.2")}
# USD for a token of gpt-4o: prompt, cached prompt, completion.
INPUT, CACHED, OUTPUT = Decimal("0.0000025"), Decimal("0.00000125"), Decimal("0.00001")
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
FOREVER = "-infinity"


def asked_completion(request):
    """The least that will do where none is asked for, without a model to predict by."""
    if request["completion_tokens"] is None:
        return request["min_completion_tokens"] or 0
    return request["completion_tokens"]


@dataclass
class Quota:
    quota_id: int
    tenant: str
    scope: str
    value: str
    metric: str
    period: str
    kind: str
    amount: Decimal
    burst: Decimal
    time_zone: str
    carry_over: Decimal
    is_soft: bool
    cached_weight: Decimal
    increase: Decimal
    created_at: datetime.datetime

    def limit(self):
        return self.amount + self.increase

    def seconds(self):
        return {"minute": 60, "00:00:07": 7}[self.period]

    def start(self, at):
        """First instant of the period that contains this one, as PostgreSQL writes it in UTC."""
        if self.period == "total":
            return FOREVER
        if self.period in ("minute", "00:00:07"):
            step = datetime.timedelta(seconds=self.seconds())
            return written(EPOCH + (at - EPOCH) // step * step)
        local = at.astimezone(zoneinfo.ZoneInfo(self.time_zone))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.period == "month":
            midnight = midnight.replace(day=1)
        return written(midnight.astimezone(datetime.timezone.utc))


def written(instant):
    return instant.strftime("%Y-%m-%d %H:%M:%S+00")


def read(text):
    return datetime.datetime.fromisoformat(text)


@dataclass
class Period:
    limit: Decimal
    carried: Decimal = Decimal(0)
    used: Decimal = Decimal(0)
    held: Decimal = Decimal(0)

    def free(self):
        return self.limit - self.used - self.held


@dataclass(eq=False)
class Hold:
    reservation_id: str
    request: dict
    prompt: int
    completion: int
    reserved_at: datetime.datetime
    # (quota_id, value, start, metric, cached_weight, amount)
    allocations: list
    transaction: object
    state: str = "held"
    # None, "late": past its time, "gone": and past the time in which it may still be settled.
    overdue: str = None
    usage: tuple = None
    entry_id: int = None


@dataclass
class Model:
    quotas: dict = field(default_factory=dict)
    periods: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    requests: dict = field(default_factory=dict)
    # (tenant, user): calls, tokens, cost
    ledger: Counter = field(default_factory=Counter)
    # (quota_id, value): instant and change of a bucket's or window's content
    flows: dict = field(default_factory=dict)
    # Grants from windows and buckets, to be looked at once it is known what else has ended.
    unchecked: list = field(default_factory=list)
    undo: list = field(default_factory=list)

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

    def flow(self, quota_id, value, at, change):
        flows = self.flows.setdefault((quota_id, value), [])
        event = [at, change]
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

    def carried(self, q, value, start):
        """What a period that opens now gets from the one before."""
        if not q.carry_over or start == FOREVER or q.created_at >= read(start):
            return Decimal(0)
        before = self.periods.get(
            (q.quota_id, value, q.start(read(start) - datetime.timedelta(microseconds=1))))
        return min(q.carry_over, max(before.free() if before else q.limit(), 0))

    def period(self, q, value, start):
        key = (q.quota_id, value, start)
        if key not in self.periods:
            extra = self.carried(q, value, start) if q.kind == "fixed" else Decimal(0)
            self.insert(self.periods, key, Period(q.limit() + extra, extra))
        return self.periods[key]

    def free(self, q, value, at, with_overdue):
        start = q.start(at)
        period = self.periods.get((q.quota_id, value, start))
        if period is None:
            return q.limit() + self.carried(q, value, start)
        free = q.limit() + period.carried - period.used - period.held
        if with_overdue:
            free += sum(a[5] for hold in self.holds.values()
                        if hold.state == "held" and hold.overdue for a in hold.allocations
                        if a[:3] == (q.quota_id, value, start))
        return free

    def most(self, request, at, with_overdue):
        """The most completion tokens that the fixed quotas have room for; negative: not even the
        prompt."""
        share = SHARES[request["priority"]]
        prompt = request["prompt_tokens"]
        most = float("inf")
        for q, value in self.wanted(request):
            if q.kind != "fixed" or q.is_soft:
                continue
            free = self.free(q, value, at, with_overdue)
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

    def answer(self, request, at, with_overdue):
        """The completion that is granted; None: denied."""
        asked = asked_completion(request)
        most = self.most(request, at, False)
        if asked > most and with_overdue:
            most = self.most(request, at, True)
        if asked <= most:
            return asked
        if request["on_overflow"] == "refuse" or asked == 0 \
                or most < max(request["min_completion_tokens"] or 0, 1):
            return None
        return most

    def grant(self, hold):
        self.insert(self.holds, hold.reservation_id, hold)
        if hold.request["request_id"]:
            self.insert(self.requests, (hold.request["tenant"], hold.request["user_id"],
                                        hold.request["request_id"]), hold)
        wanted = {(q.quota_id, value): q for q, value in self.wanted(hold.request)}
        assert {a[:2] for a in hold.allocations} == set(wanted)
        periods = [self.period(wanted[a[:2]], a[1], a[2]) for a in hold.allocations]
        for (quota_id, value, start, metric, _, amount), period in zip(hold.allocations, periods):
            q = wanted[quota_id, value]
            assert amount == {
                "tokens": hold.prompt + hold.completion, "requests": 1,
                "cost": hold.prompt * INPUT + hold.completion * OUTPUT}[metric], (metric, amount)
            self.put(period, "limit", q.limit() + period.carried)
            self.add(period, "held", amount)
            if q.kind == "fixed":
                assert start == q.start(hold.reserved_at), (start, hold.reserved_at)
            else:
                self.flow(quota_id, value, hold.reserved_at, amount)
                if not q.is_soft:
                    self.unchecked.append((q, value, hold.reserved_at))

    def check_flows(self):
        for check in self.unchecked:
            self.check_flow(*check)
        self.unchecked.clear()

    def check_flow(self, q, value, at):
        flows = sorted(self.flows[q.quota_id, value], key=lambda flow: flow[0])
        if q.kind == "sliding":
            span = datetime.timedelta(seconds=q.seconds())
            taken = sum(
                charge for hold in self.holds.values() if hold.reserved_at > at - span
                for charge in self.charged(hold, q.quota_id, value))
            assert taken <= q.limit(), (q, taken)
            return
        inflow = q.amount / q.seconds()
        total = Decimal(0)
        for since, change in reversed(flows):
            total += change
            # An instant is read a little before it is written down.
            grown = inflow * Decimal((at - since).total_seconds() + 0.01)
            assert total <= q.burst + q.increase + grown, (q, flows)

    def charged(self, hold, quota_id, value):
        """What the hold or its settlement takes from a quota and value."""
        for a in hold.allocations:
            if a[:2] == (quota_id, value):
                if hold.state == "held":
                    yield a[5]
                elif hold.state == "settled":
                    yield charge(a, hold)

    def end(self, hold, state, at, usage=None):
        """Gives the hold back and charges what was used, exactly where it was held."""
        was_held = hold.state == "held"
        self.put(hold, "state", state)
        self.put(hold, "usage", usage)
        for a in hold.allocations:
            freed = a[5] if was_held else Decimal(0)
            used = charge(a, hold) if usage else Decimal(0)
            period = self.periods[a[:3]]
            self.add(period, "held", -freed)
            self.add(period, "used", used)
            if (a[0], a[1]) in self.flows:
                self.flow(a[0], a[1], at, used - freed)
        if usage:
            who = hold.request["tenant"], hold.request["user_id"]
            self.record((*who, "calls"), 1)
            self.record((*who, "tokens"), usage[0] + usage[1])
            self.record((*who, "cost"), cost(hold))

    def set_quota(self, q):
        for quota_id, other in list(self.quotas.items()):
            if (other.tenant, other.scope, other.value, other.metric, other.period) \
                    == (q.tenant, q.scope, q.value, q.metric, q.period):
                assert (quota_id == q.quota_id) == (other.kind == q.kind)
                self.drop_quota(quota_id)
        self.quotas[q.quota_id] = q
        if q.kind != "fixed":
            # Promised from here on by the new numbers.
            for key in [key for key in self.flows if key[0] == q.quota_id]:
                self.flows[key].clear()

    def drop_quota(self, quota_id):
        del self.quotas[quota_id]


def charge(allocation, hold):
    _, _, _, metric, weight, _ = allocation
    prompt, completion, cached = hold.usage
    if metric == "tokens":
        return prompt + completion - cached * (1 - weight)
    return cost(hold) if metric == "cost" else Decimal(1)


def cost(hold):
    prompt, completion, cached = hold.usage
    if not hold.request["model"]:
        return Decimal(0)
    return (prompt - cached) * INPUT + cached * CACHED + completion * OUTPUT
