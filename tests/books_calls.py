"""What a run asks of the books (e2e/test_model.py): a call keeps its answer, and says whether the
model agrees with it, and what it does to the model."""

import json
from datetime import timedelta
from decimal import Decimal

import psycopg

from books import row
from books_records import Hold, Quota, Usage, asked_completion, cost, identity
from books_requests import RECORD, REQUEST

# What a session meets where another one has rows locked, or a timeout: nothing has happened then.
BROKEN_OFF = {"55P03", "57014", "40P01"}
RESERVE = "SELECT reservation_id::text, status, prompt_tokens, completion_tokens, warnings, " \
    "statement_timestamp(), predicted_tokens FROM {}(%s" \
    + "".join(f", {name} => %s" for name in REQUEST[1:]) + ")"
RECORD_USAGE = "SELECT reservation_id::text, entry_id, prompt_tokens, completion_tokens, " \
    "cached_tokens, cost, flags, kind FROM record_usage(%s" \
    + "".join(f", {name} => %s" for name in RECORD[1:]) + ")"
SET_QUOTA = "SELECT quota_id, tenant, scope, value, metric, period, kind, amount, burst, " \
    "time_zone, carry_over, is_soft, cached_weight, CASE WHEN increase_until > " \
    "clock_timestamp() THEN increase ELSE 0 END, created_at, removed_until, version, " \
    "updated_at FROM " \
    "token_mgmt.set_quota(%s, %s, %s, %s, %s, %s, %s, %s)"


class Call:
    """Sent once. Its answer is a row, or the SQLSTATE of a refusal."""

    sql = None
    parameters = ()
    transaction = row = code = None

    def send(self, connection):
        try:
            self.row = row(connection, self.sql, self.parameters)
        except psycopg.Error as error:
            if error.sqlstate is None:
                raise
            self.code = error.sqlstate

    @property
    def is_broken_off(self):
        return self.code in BROKEN_OFF

    @property
    def outcome(self):
        return f"{type(self).__name__} {self.code or ''}".strip()

    def __repr__(self):
        return f"{type(self).__name__}({self.parameters}): {self.row or self.code}"

    # A call that has changed the books has an instant, at, when all it needed was locked: with
    # others it happened in the order of these. Two answers of one key are of one change: either
    # call, or its twin, has made it.

    twins = ()
    # Whether it answers the same again, rather than do it again.
    repeats_answer = False

    def change(self, model, reader):
        """The key of what it has changed, with at set; None: nothing."""
        return None

    def agrees(self, model, alone):
        """Whether the change is what the model would have done at this moment."""
        raise NotImplementedError

    def apply(self, model):
        raise NotImplementedError

    def is_right(self, model, at, alone):
        """Whether this is the answer of a call that changes nothing."""
        return self.code is None


def stored(reader, reservation_id):
    """When it was reserved, when it expires, and where it holds."""
    at, expires_at, allocations = row(
        reader, "SELECT reserved_at, expires_at, to_jsonb(ARRAY(SELECT ARRAY[a.quota_id::text, "
        "a.scope_value, a.starts_at::text, a.metric, coalesce(a.cached_weight, 1)::text, "
        "a.amount::text] FROM unnest(r.allocations) a)) FROM token_mgmt.reservation r "
        "WHERE r.reservation_id = %s", [reservation_id])
    return at, expires_at, [(int(a[0]), *a[1:4], Decimal(a[4]), Decimal(a[5])) for a in allocations]


class Keyed(Call):
    """On whose account a call is made may be said by an API key: user, team and tenant are its
    own."""

    def __init__(self, request, names, shown):
        self.request, self.shown = request, shown
        given = request | {"api_key": shown} if shown else request
        if shown and shown != request["api_key"]:
            given |= {"user_id": None, "team": None, "tenant": None}
        self.parameters = [given[name] for name in names]

    def has_passed(self, model):
        return not self.shown or self.request["key"].has_let_pass(self.shown, model)

    def is_right(self, model, at, alone):
        if self.code == "TM007":
            return self.shown is not None and self.request["key"].fault(self.shown, at) is not None
        return self.has_passed(model) and self.is_right_once_passed(model, at, alone)

    def note(self, model):
        if self.shown:
            key = self.request["key"]
            model.counts["by a key" if self.shown == key.secrets[-1] else "by a name"
                         if self.shown == key.name else "by a key in grace"] += 1


class Reserve(Keyed):
    def __init__(self, request, is_raising, shown=None):
        super().__init__(request, REQUEST, shown)
        self.sql = RESERVE.format("reserve_tokens" if is_raising else "try_reserve_tokens")

    @property
    def is_denied(self):
        return self.code == "TM001" or self.row is not None and self.row[1] == "denied"

    @property
    def reservation_id(self):
        return self.row[0] if self.row else None

    @property
    def repeats_answer(self):
        return not self.is_denied

    @property
    def outcome(self):
        return f"Reserve {self.code or self.row[1]}"

    def change(self, model, reader):
        if self.reservation_id is None or self.reservation_id in model.holds:
            return None
        self.at, expires_at, allocations = stored(reader, self.reservation_id)
        self.hold = Hold(self.reservation_id, self.request, *self.row[2:4], self.at, allocations,
                         expires_at, self.transaction)
        return self.reservation_id

    def agrees(self, model, alone):
        wanted = model.wanted(self.request)
        _, status, prompt, completion, notes, _, prediction = self.row
        asked = asked_completion(self.request, prediction)
        if {a[:2] for a in self.hold.allocations} != {(q.quota_id, name) for q, name in wanted} \
                or not self.has_passed(model) \
                or prediction not in model.predictions(self.request):
            return False
        # What overdue holds have is free, unless another session has them locked.
        starts = {a[:2]: a[2] for a in self.hold.allocations}
        most, least = (model.answer(self.request, self.at, which, starts, prediction)
                       for which in (("all", "all") if alone else ("most", "least")))
        if least is None or any(q.kind != "fixed" for q, _ in wanted):
            least = 0
        fewest_notes, most_notes = (self.passed(model, which) for which in ("most", "least"))
        return most is not None and least <= completion <= most \
            and prompt == self.request["prompt_tokens"] \
            and status == ("granted" if completion == asked else "reduced") \
            and fewest_notes <= sum("soft limit" in note for note in notes) <= most_notes

    def passed(self, model, with_overdue):
        """How many soft quotas have less than nothing left."""
        return sum(
            model.free(model.quotas[a[0]], a[1], a[2], self.at, with_overdue) < a[5]
            for a in self.hold.allocations if model.quotas[a[0]].is_soft)

    def apply(self, model):
        self.note(model)
        # The first attempt is made at once, the next after 10 ms.
        model.counts["predicted"] += self.row[6] is not None
        model.counts["granted by waiting"] += self.request["max_wait"] is not None \
            and self.at - self.row[5] > timedelta(milliseconds=10)
        model.grant(self.hold)

    def is_right_once_passed(self, model, at, alone):
        earlier = model.requests.get(identity(self.request))
        if earlier:
            code = "TM005" if earlier.request != self.request else \
                "TM003" if earlier.state == "released" else \
                "TM004" if earlier.state != "settled" and earlier.overdue(at) else None
            return self.code == code if code else self.row is not None and self.row[:4] == (
                earlier.reservation_id, self.row[1], earlier.prompt, earlier.completion)
        wanted = model.wanted(self.request)
        if not self.request["model"] and any(q.metric == "cost" for q, _ in wanted):
            return self.code == "22023"
        return self.is_denied and (any(q.kind != "fixed" for q, _ in wanted)
                                   or any(model.answer(self.request, at, "all" if alone else
                                                       "least", None, prediction) is None
                                          for prediction in model.predictions(self.request)))


class Record(Keyed):
    """A call that was never reserved."""

    sql = RECORD_USAGE
    repeats_answer = True

    def __init__(self, request, shown=None):
        super().__init__(request, RECORD, shown)
        self.usage = Usage(request["prompt_tokens"], request["completion_tokens"],
                           request["cached_tokens"])

    def change(self, model, reader):
        if self.row is None or self.row[0] in model.holds:
            return None
        self.at, expires_at, allocations = stored(reader, self.row[0])
        self.hold = Hold(self.row[0], self.request, self.usage.prompt, self.usage.completion,
                         self.at, allocations, expires_at, self.transaction,
                         entry_id=self.row[1], changed_by=self.transaction)
        return self.row[0]

    def agrees(self, model, alone):
        wanted = model.wanted(self.request)
        if {a[:2] for a in self.hold.allocations} != {(q.quota_id, name) for q, name in wanted} \
                or not self.has_passed(model):
            return False
        # Holds past their time are not ended by it, but maybe by others.
        least, most = (self.is_over(model, which)
                       for which in ((None, None) if alone else ("most", "least")))
        is_over = "overrun" in self.row[6]
        return is_over >= least and (
            is_over <= most or any(q.kind != "fixed" and not q.is_soft for q, _ in wanted))

    def is_over(self, model, with_overdue):
        """Whether it takes more than a quota has left, and is not only to be warned by it."""
        return any(
            q.kind == "fixed" and not q.is_soft
            and a[5] > max(model.free(q, a[1], a[2], self.at, with_overdue), 0)
            for a in self.hold.allocations for q in [model.quotas[a[0]]])

    def apply(self, model):
        _, _, *usage, paid, flags, kind = self.row
        assert kind == "usage" and set(flags) - {"overrun"} == {"unreserved"}, self
        assert Usage(*usage) == self.usage, self
        assert paid == (None if not self.request["model"] and self.request["cost"] is None
                        else cost(self.hold, self.usage)), self
        self.note(model)
        model.counts["recorded overrun"] += "overrun" in flags
        model.spend(self.hold, self.usage)

    def is_right_once_passed(self, model, at, alone):
        earlier = model.requests.get(identity(self.request))
        if earlier:
            return self.code == "TM005" if earlier.request != self.request else \
                self.row is not None and self.row[:2] == (earlier.reservation_id, earlier.entry_id)
        return self.code == "22023" and not self.request["model"] \
            and self.request["cost"] is None \
            and any(q.metric == "cost" for q, _ in model.wanted(self.request))


class Nonsense(Call):
    def __init__(self, code, sql, parameters=()):
        self.expected, self.sql, self.parameters = code, sql, parameters

    def is_right(self, model, at, alone):
        return self.code == self.expected


class SetQuota(Call):
    sql = SET_QUOTA

    def __init__(self, rule):
        self.parameters = rule

    @property
    def quota_id(self):
        return self.row[0]

    def changed(self, quotas):
        """A copy that has the quota."""
        q = Quota(*self.row)
        key = q.key()
        kept = {quota_id: other for quota_id, other in quotas.items() if other.key() != key}
        for quota_id, other in quotas.items():
            assert quota_id in kept or (quota_id == q.quota_id) == (other.kind == q.kind)
            if quota_id == q.quota_id:
                q.changes = other.changes + (((q.updated_at, other),)
                                             if q.version > other.version else ())
        return kept | {q.quota_id: q}


class DropQuota(Call):
    sql = "SELECT token_mgmt.drop_quota(%s, %s, %s, %s, %s)"

    def __init__(self, q):
        self.quota_id = q.quota_id
        self.parameters = [q.scope, q.value, q.period, q.metric, q.tenant]

    def changed(self, quotas):
        assert self.row == (True,)
        return {quota_id: q for quota_id, q in quotas.items() if quota_id != self.quota_id}


class Reset(Call):
    """Gives back what is used in the current period of all values to which a quota applies, or
    of one."""

    sql = "SELECT token_mgmt.reset_quota(%s, %s, %s, %s, %s, %s)"

    def __init__(self, key, name=None):
        self.key, self.name = key, name
        tenant, scope, of, metric, period = key
        self.parameters = [scope, of, period, metric, tenant,
                           json.dumps({"value": name} if name else {})]

    def quota(self, model):
        return next((q for q in model.quotas.values() if q.key() == self.key), None)

    def is_right(self, model, at, alone):
        q = self.quota(model)
        if q is None:
            return self.code == "P0002"
        names = {key[1] for key in model.periods if key[0] == q.quota_id}
        # With others somebody may have used some since.
        return self.code is None and (not alone or all(
            model.periods[key].used == model.periods[key].credited
            for name in names if self.name in (None, name) and model.applies(q, name)
            for key in model.current(q, name, at)))


class Maintain(Call):
    sql = "SELECT coalesce(string_agg(job || ': ' || error, '; ') FILTER (WHERE " \
        "strpos(error, '57014') = 0), '') FROM token_mgmt.run_maintenance()"

    def is_right(self, model, at, alone):
        return self.row == ("",)


class Heat(Call):
    """What the worker sees when a quota is being waited for."""

    sql = "WITH w AS (INSERT INTO token_mgmt.quota_wait SELECT %s, %s, %s, now() FROM " \
        "generate_series(1, 20)) SELECT true"

    def __init__(self, tenant, quota_id, name):
        self.parameters = [tenant, quota_id, name]
