"""Brings the model of a run up to date with calls that were made at the same time.

Whoever changes the books reads the clock once all that it needs is locked, and keeps it locked
until it has committed. So these instants, which the answers and the tables have, are an order in
which the calls could have come one by one, and in this order the model must agree with each of
them. An answer that changed nothing must be right somewhere between two of them."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from books_calls import DropQuota, Maintain, Reset, SetQuota
from books_records import FOREVER, Period, Usage, at_expiry, charge, read


@dataclass
class Opened:
    """A fixed period that somebody has opened: what it carries was decided at that moment. None
    is opened before one of which the rows were removed. Or a part of a window, maybe by one who
    then found that a retry had been answered already."""

    at: object
    key: tuple
    carried: Decimal

    def agrees(self, model, alone):
        quota_id, name, start = self.key
        q = model.quotas.get(quota_id)
        if q is not None and q.kind == "sliding":
            return self.carried == 0
        if q is None or q.removed_until and read(start) < q.removed_until:
            return False
        # Carried over is nothing by one that was opened only because the next one was.
        least, most = (model.carried(q, name, start, self.at, which)
                       for which in ((None, None) if alone else ("least", "most")))
        return self.carried == 0 or least <= self.carried <= most

    def apply(self, model):
        model.insert(model.periods, self.key, Period(self.carried))


@dataclass
class Given:
    """A period, or a part of a window, of which reset_quota() gave back all that was used; with
    what was charged for an expiry that was corrected by a settlement since."""

    at: object
    key: tuple
    credited: Decimal
    reset_at: object

    def agrees(self, model, alone):
        quota_id, name, _ = self.key
        q = model.quotas.get(quota_id)
        if q is None or not model.applies(q, name):
            return False
        if self.key not in model.periods:
            return q.kind == "sliding" and self.credited == 0
        charged = sum(charge(a, hold, at_expiry(hold)) for hold in model.holds.values()
                      if hold.state == "held" and hold.expires_at <= self.at and at_expiry(hold)
                      for a in hold.allocations if a[:3] == self.key)
        return self.key in model.current(q, name, self.at) \
            and self.credited <= model.periods[self.key].used + (0 if alone else charged)

    def apply(self, model):
        # What is corrected since is less again.
        credited = max(model.periods[self.key].used, self.credited) \
            if self.key in model.periods else Decimal(0)
        model.counts["given back"] += credited > 0
        model.reset(self.key, credited, self.reset_at)


@dataclass
class Expired:
    """A hold that somebody has ended since its time was up. It was charged for its prompt and the
    progress that was reported; nothing, if none was."""

    at: object
    reservation_id: str
    kind: str
    usage: Usage
    flags: list

    def agrees(self, model, alone):
        hold = model.holds[self.reservation_id]
        if hold.state != "held" or not hold.overdue(self.at):
            return False
        if hold.progress is None:
            return self.kind is None
        flags = {"expired", "estimated", *["overrun"] * (hold.progress > hold.completion)}
        return (self.kind, self.usage, set(self.flags)) == ("expiry", at_expiry(hold), flags)

    def apply(self, model):
        hold = model.holds[self.reservation_id]
        model.put(hold, "resets", {
            a[:3]: model.periods[a[:3]].reset_at for a in hold.allocations})
        model.counts["expired, charged" if at_expiry(hold) else "expired"] += 1
        model.end(hold, "expired", self.at, at_expiry(hold))


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
    kinds = {quota_id: q.kind for quotas in versions for quota_id, q in quotas.items()}
    rows = reader.execute(
        "SELECT opened_at, carried, quota_id, scope_value, starts_at::text "
        "FROM token_mgmt.quota_period WHERE slot = 0").fetchall()
    return [Opened(at, tuple(key), carried) for at, carried, *key in rows
            if tuple(key) not in model.periods and (
                kinds.get(key[0]) == "fixed"
                or kinds.get(key[0]) == "sliding" and key[2] != FOREVER)]


def given(model, reader, call, ended):
    q = call.quota(model)
    rows = reader.execute(
        "SELECT max(reset_at), sum(credited), quota_id, scope_value, starts_at::text "
        "FROM token_mgmt.quota_period WHERE quota_id = %s AND reset_at IS NOT NULL "
        "GROUP BY 3, 4, 5", [q.quota_id]).fetchall()
    for at, credited, *key in rows:
        period = model.periods.get(tuple(key), Period())
        # Not the row at which all meet who take from a window.
        if (at, credited) != (period.reset_at, period.credited) and (
                q.kind == "fixed" or q.kind == "sliding" and key[2] != FOREVER):
            # Of one that was reset by a clock that was ahead it is not known when.
            yield Given(at if model.began <= at <= ended else ended, tuple(key), credited, at)


def expired(model, reader):
    return [Expired(at, reservation_id, kind, Usage(*usage), flags)
            for at, reservation_id, kind, *usage, flags in reader.execute(
                "SELECT ended_at, reservation_id::text, (entry).kind, (entry).prompt_tokens, "
                "(entry).completion_tokens, (entry).cached_tokens, (entry).flags "
                "FROM token_mgmt.reservation WHERE state = 'expired'").fetchall()
            if model.holds[reservation_id].state == "held"]


def note_learned(model, reader):
    """What predictions are made of: the last 64 completions of a user that have been rolled up,
    in what order is not known here."""
    waiting = Counter(tuple(who) for who in reader.execute(
        "SELECT tenant, user_id FROM token_mgmt.ledger_unrolled "
        "WHERE model IS NOT NULL AND calls = 1").fetchall())
    learned = {(tenant, user): recent for tenant, user, recent in reader.execute(
        "SELECT tenant, user_id, recent FROM token_mgmt.completion_history").fetchall()}
    model.learned = [model.learned[-1], learned]
    return waiting


def check_learned(model, waiting):
    model.learned = model.learned[-1:]
    for who, completions in model.completions.items():
        recent = model.learned[0].get(who, [])
        assert len(recent) == min(64, sum(completions.values()) - waiting[who]), (who, recent)
        # What one call expired with and was settled for may both have been entered meanwhile.
        others = Counter(recent) - completions
        assert all(any(hold.progress == tokens for hold in model.holds.values())
                   for tokens in others), (who, recent, completions)


def removed(model, reader, at):
    there = {reservation_id for reservation_id, in reader.execute(
        "SELECT reservation_id::text FROM token_mgmt.reservation").fetchall()}
    return [Removed(at, hold) for hold in model.holds.values()
            if not hold.is_removed and hold.reservation_id not in there]


def bring_up_to_date(model, reader, calls, ended, alone):
    """The calls were made between model.began and ended, alone or with others; at most one of them
    changed a quota, and any of the others may have met it before or after."""
    model.step += 1
    model.ended = ended
    versions = [model.quotas]
    changed = [call for call in calls if call.row and isinstance(call, (SetQuota, DropQuota))]
    for call in changed:
        versions.append(call.changed(model.quotas))
    changes, waiting = {}, []
    has_maintained = any(isinstance(call, Maintain) for call in calls)
    if has_maintained:
        unrolled = note_learned(model, reader)
    for call in calls:
        key = None if call.is_broken_off else call.change(model, reader)
        if key and key not in changes:
            changes[key] = call
        elif not call.is_broken_off:
            waiting.append(call)
            if key:
                changes[key].twins = *changes[key].twins, call
    for call in calls:
        if call.row and call.repeats_answer and call not in changes.values():
            model.counts[f"{type(call).__name__} again"] += 1
    in_order = [*changes.values(), *opened(model, reader, versions)]
    for call in calls:
        if isinstance(call, Reset) and call.row:
            in_order += given(model, reader, call, ended)
    in_order += expired(model, reader)
    in_order.sort(key=lambda change: change.at)
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
        # Before it and after it: time alone may have changed an answer.
        waiting = still_wrong(waiting, change.at)
        if not in_some_version(change.agrees, alone):
            raise AssertionError(f"the model does not agree with {change} at {change.at}: {calls}")
        change.apply(model)
        waiting = still_wrong(waiting, change.at)
    waiting = still_wrong(waiting, ended)
    model.quotas = versions[-1]
    assert not waiting, f"the model does not agree with {waiting}"
    for call in changed:
        model.promise_anew(call.quota_id)
    for call in calls:
        if isinstance(call, Reset) and call.row and call.quota(model).kind == "bucket":
            model.promise_anew(call.quota(model).quota_id)
    if has_maintained:
        note_removed_periods(model, reader)
        check_learned(model, unrolled)


def note_removed_periods(model, reader):
    for quota_id, until in reader.execute(
            "SELECT quota_id, removed_until FROM token_mgmt.quota "
            "WHERE removed_until IS NOT NULL").fetchall():
        q = model.quotas[quota_id]
        assert until >= (q.removed_until or until), (q, until)
        q.removed_until = until
