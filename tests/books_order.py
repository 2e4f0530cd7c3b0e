"""Brings the model of a run up to date with calls that were made at the same time.

Whoever changes the books reads the clock once all that it needs is locked, and keeps it locked
until it has committed. So these instants, which the answers and the tables have, are an order in
which the calls could have come one by one, and in this order the model must agree with each of
them. An answer that changed nothing must be right somewhere between two of them."""

from dataclasses import dataclass
from decimal import Decimal

from books_calls import DropQuota, Maintain, SetQuota
from books_records import Period, read


@dataclass
class Opened:
    """A fixed period that somebody has opened: what it carries was decided at that moment. None
    is opened before one of which the rows were removed."""

    at: object
    key: tuple
    carried: Decimal

    def agrees(self, model, alone):
        quota_id, name, start = self.key
        q = model.quotas.get(quota_id)
        if q is None or q.removed_until and read(start) < q.removed_until:
            return False
        # Carried over is nothing by one that was opened only because the next one was.
        return self.carried in {0, model.carried(q, name, start, False)} \
            | ({model.carried(q, name, start, True)} if not alone else set())

    def apply(self, model):
        model.insert(model.periods, self.key, Period(self.carried))


@dataclass
class Expired:
    """A hold that somebody has ended since its time was up: when exactly, is not written down."""

    at: object
    reservation_id: str

    def agrees(self, model, alone):
        hold = model.holds[self.reservation_id]
        return hold.state == "held" and hold.overdue(self.at)

    def apply(self, model):
        model.end(model.holds[self.reservation_id], "expired", self.at)


@dataclass
class Removed:
    """An ended reservation that maintenance has removed."""

    at: object
    hold: object

    def agrees(self, model, alone):
        return self.hold.state != "held"

    def apply(self, model):
        model.remove(self.hold)


def opened(model, reader, versions):
    fixed = {quota_id for quotas in versions for quota_id, q in quotas.items() if q.kind == "fixed"}
    rows = reader.execute(
        "SELECT opened_at, carried, quota_id, scope_value, starts_at::text "
        "FROM token_mgmt.quota_period WHERE slot = 0").fetchall()
    return [Opened(at, tuple(key), carried) for at, carried, *key in rows
            if tuple(key) not in model.periods and key[0] in fixed]


def expired(model, reader):
    return [Expired(at, reservation_id) for at, reservation_id in reader.execute(
        "SELECT ended_at, reservation_id::text FROM token_mgmt.reservation "
        "WHERE state = 'expired'").fetchall() if model.holds[reservation_id].state == "held"]


def removed(model, reader, at):
    there = {reservation_id for reservation_id, in reader.execute(
        "SELECT reservation_id::text FROM token_mgmt.reservation").fetchall()}
    return [Removed(at, hold) for hold in model.holds.values()
            if not hold.is_removed and hold.reservation_id not in there]


def bring_up_to_date(model, reader, calls, ended, alone):
    """The calls were made between model.began and ended, alone or with others; at most one of them
    changed a quota, and any of the others may have met it before or after."""
    model.step += 1
    versions = [model.quotas]
    changed = [call for call in calls if call.row and isinstance(call, (SetQuota, DropQuota))]
    for call in changed:
        versions.append(call.changed(model.quotas))
    changes, waiting = {}, []
    for call in calls:
        key = None if call.is_broken_off else call.change(model, reader)
        if key and key not in changes:
            changes[key] = call
        elif not call.is_broken_off:
            waiting.append(call)
    in_order = [*changes.values(), *opened(model, reader, versions)]
    in_order.sort(key=lambda change: change.at)
    in_order += expired(model, reader)
    has_maintained = any(isinstance(call, Maintain) for call in calls)
    if has_maintained:
        in_order += removed(model, reader, ended)

    def in_some_version(check, *arguments):
        for model.quotas in versions:
            if check(model, *arguments):
                return True
        return False

    def still_wrong(calls, at):
        return [call for call in calls if not in_some_version(call.is_right, at, alone)]

    waiting = still_wrong(waiting, model.began)
    for change in in_order:
        if not in_some_version(change.agrees, alone):
            raise AssertionError(f"the model does not agree with {change} at {change.at}: {calls}")
        change.apply(model)
        waiting = still_wrong(waiting, change.at)
    waiting = still_wrong(waiting, ended)
    model.quotas = versions[-1]
    assert not waiting, f"the model does not agree with {waiting}"
    for call in changed:
        model.promise_anew(call.quota_id)
    if has_maintained:
        note_removed_periods(model, reader)


def note_removed_periods(model, reader):
    for quota_id, until in reader.execute(
            "SELECT quota_id, removed_until FROM token_mgmt.quota "
            "WHERE removed_until IS NOT NULL").fetchall():
        q = model.quotas[quota_id]
        assert until >= (q.removed_until or until), (q, until)
        q.removed_until = until
