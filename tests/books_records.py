"""What the model of the books (books_model.py) is made of: quotas, the balance of one period, holds
and what they are charged. Instants that are a part of a key are written as PostgreSQL does."""

import datetime
import zoneinfo
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from typing import NamedTuple

# USD for a token of gpt-4o: prompt, cached prompt, completion.
INPUT, CACHED, OUTPUT = Decimal("0.0000025"), Decimal("0.00000125"), Decimal("0.00001")
LATE = datetime.timedelta(hours=24)  # token_mgmt.late_settle_interval
EPOCH = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
FOREVER = "-infinity"
UNPREDICTED = 4096  # token_mgmt.default_completion_tokens


def is_predicted(request):
    return request["completion_tokens"] is None and request["model"] is not None


def predicted(recent):
    """What 95 % of the last calls needed at most, and a quarter more; nothing by too few."""
    if len(recent) < 5:
        return None
    return max(ceil(sorted(recent)[ceil(Decimal("0.95") * len(recent)) - 1] * Decimal("1.25")), 256)


def asked_completion(request, prediction=None):
    """The least that will do where none is asked for, without a model to predict by."""
    if is_predicted(request):
        return max(prediction or UNPREDICTED, request["min_completion_tokens"] or 0)
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
    removed_until: datetime.datetime
    version: int
    updated_at: datetime.datetime
    # When it was changed, and what it was before: the oldest first.
    changes: tuple = ()

    def key(self):
        return self.tenant, self.scope, self.value, self.metric, self.period

    def limit(self):
        return self.amount + self.increase

    def was(self, at):
        """The quota as it was at this instant; None where it was not yet."""
        q = self
        if q.version > 1 and q.updated_at > at:
            q = next(before for changed_at, before in self.changes if changed_at > at)
        return q if (q.created_at if q.version == 1 else q.updated_at) <= at else None

    def seconds(self):
        return {"minute": 60, "00:00:07": 7}[self.period]

    def start(self, at):
        """Of the period that is opened at this instant: none of which rows were removed before."""
        return self.start_by_clock(max(at, self.removed_until or at))

    def start_by_clock(self, at):
        """First instant of the period that contains this one, as PostgreSQL writes it in UTC."""
        if self.period == "total":
            return FOREVER
        if self.period in ("minute", "00:00:07"):
            return written(floored(at, datetime.timedelta(seconds=self.seconds())))
        local = at.astimezone(zoneinfo.ZoneInfo(self.time_zone))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.period == "month":
            midnight = midnight.replace(day=1)
        return written(midnight.astimezone(datetime.timezone.utc))

    def counts(self, at, latest):
        """Whether this part of a window counts in the latest: 60 do, and the one before."""
        return latest - 60 * self.part() <= read(at) <= latest

    def part(self):
        """A 60th of a sliding window, in whole microseconds."""
        return datetime.timedelta(microseconds=ceil(self.seconds() * 1000000 / 60))


def floored(at, step):
    return EPOCH + (at - EPOCH) // step * step


def written(instant):
    """As PostgreSQL writes it."""
    return f"{instant:%Y-%m-%d %H:%M:%S}{f'{instant:.%f}'.rstrip('.0')}+00"


def read(text):
    return datetime.datetime.fromisoformat(text)


class Usage(NamedTuple):
    """Prompt tokens with those that were cached or written to the cache, completion tokens with
    reasoning."""
    prompt: int
    completion: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


@dataclass
class Period:
    carried: Decimal = Decimal(0)
    used: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    # What was used when it was reset last: it does not count.
    credited: Decimal = Decimal(0)
    reset_at: datetime.datetime = None

    def counted(self):
        return self.used - self.credited + self.held


@dataclass(eq=False)
class Hold:
    reservation_id: str
    request: dict
    prompt: int
    completion: int
    reserved_at: datetime.datetime
    # (quota_id, value, start, metric, cached_weight, amount)
    allocations: list
    expires_at: datetime.datetime
    transaction: object
    state: str = "held"
    # Completion tokens that were reported of a stream.
    progress: int = None
    # What it was charged for: by its settlement, or by its expiry if progress was reported.
    usage: Usage = None
    entry_id: int = None
    # Where it was charged by its expiry: when that period had been reset last.
    resets: dict = None
    # The step of the run in which it ended last, and what it took from each allocation before.
    ended_in: int = None
    before: list = None
    # The transaction that ended or extended it last.
    changed_by: object = None
    is_removed: bool = False

    def overdue(self, at):
        """"late": past its time, "gone": and past the time in which it may still be settled."""
        if at >= self.expires_at + LATE:
            return "gone"
        return "late" if self.state == "expired" or at >= self.expires_at else None


@dataclass(eq=False)
class Flow:
    """What a hold has taken from a bucket and not given back, in this step, which began then: at an
    instant between at and until."""
    hold: Hold
    step: int
    began: datetime.datetime
    at: datetime.datetime
    until: datetime.datetime
    change: Decimal

    def is_charge_of_some_time(self):
        return self.change > 0 and self.until > self.at

    def order(self):
        """A charge of some time in its step comes first in it."""
        return self.step, self.began if self.is_charge_of_some_time() else self.at

    def may_follow(self, granted):
        return self.order() > granted \
            or self.is_charge_of_some_time() and self.step == granted[0]


def own_time(flows):
    """These in order, with the bucket's time: before each of them at the least, and after it at
    the most. It is the latest that it has seen."""
    least = most = None
    for flow in sorted(flows, key=Flow.order):
        began = max(flow.began, least or flow.began)
        least = max(flow.order()[1], least or flow.began)
        most = max(flow.until, most or flow.until)
        yield flow, began, most


def identity(request):
    return request["tenant"], request["user_id"], request["request_id"]


def taken(allocation, hold):
    """What a reservation holds of it, or was charged in it."""
    if hold.state == "held":
        return allocation[5]
    return charge(allocation, hold, hold.usage) if hold.usage else Decimal(0)


def charge(allocation, hold, usage):
    _, _, _, metric, weight, _ = allocation
    if metric == "tokens":
        return usage.prompt + usage.completion - usage.cached * (1 - weight)
    return cost(hold, usage) if metric == "cost" else Decimal(1)


def at_expiry(hold):
    """What its expiry is charged for: nothing, unless a stream had come so far."""
    return None if hold.progress is None else Usage(hold.prompt, hold.progress)


def entry(hold):
    """Its sums in the ledger: calls, tokens, cost."""
    if hold.usage is None:
        return 0, 0, Decimal(0)
    return 1, hold.usage.prompt + hold.usage.completion, cost(hold, hold.usage)


def cost(hold, usage):
    if hold.request.get("cost") is not None:
        return hold.request["cost"]
    if not hold.request["model"]:
        return Decimal(0)
    # Of this model, what is written to the cache costs no more.
    return (usage.prompt - usage.cached) * INPUT + usage.cached * CACHED \
        + usage.completion * OUTPUT
