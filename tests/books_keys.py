"""API keys in the model of the books (books_model.py), and what a run asks of them."""

import datetime
from copy import copy
from dataclasses import dataclass, field

from books_calls import Call


@dataclass(eq=False)
class Key:
    """Its name stays its user's; what callers show is the latest secret, or in its grace the one
    before."""

    tenant: str
    name: str
    user_id: str
    team: str
    expires_in: datetime.timedelta
    expires_at: datetime.datetime
    secrets: list = field(default_factory=list)
    grace_until: datetime.datetime = None
    is_revoked: bool = False
    # The step of the run in which it was changed last, and what it was before.
    changed_in: int = None
    before: object = None

    def fault(self, shown, at):
        """Why this secret is not valid; for the name, which is as good as the latest."""
        is_latest = shown in (self.name, self.secrets[-1])
        if not is_latest and shown not in self.secrets[-2:]:
            return "unknown"
        ends = self.expires_at if is_latest else self.grace_until
        return "revoked" if self.is_revoked else "expired" if ends and ends <= at else None

    def was(self, step):
        return self.before if self.changed_in == step else self

    def has_let_pass(self, shown, model):
        """What was valid when the step began may have been replaced or have expired since; what had
        expired may have been renewed, by its name."""
        return any(key.fault(shown, model.began) is None for key in (self.was(model.step), self))


class KeyCall(Call):
    """Its instant is read when it is done, and nobody else changes this key until it is
    committed."""

    def change(self, model, reader):
        if self.row is None:
            return None
        *self.answer, self.at = self.row
        return ("key", id(self)) if self.has_changed() else None

    def has_changed(self):
        return self.answer[0] is not None

    def put(self, model, **changes):
        key = self.key
        if key.changed_in != model.step:
            model.put(key, "before", copy(key))
        for name, new in (changes | {"changed_in": model.step}).items():
            model.put(key, name, new)


class Issue(KeyCall):
    sql = "SELECT (k).api_key, (k).expires_at, clock_timestamp() FROM issue_api_key(%s, %s, %s, " \
        "%s, tenant => %s) k"

    def __init__(self, key):
        self.key = key
        self.parameters = [key.user_id, key.name, key.team, key.expires_in, key.tenant]

    def agrees(self, model, alone):
        return (self.key.tenant, self.key.name) not in model.keys

    def apply(self, model):
        self.key.expires_at = self.answer[1]
        self.key.secrets = [self.answer[0]]
        if self.key.expires_in:
            assert model.began <= self.key.expires_at - self.key.expires_in <= self.at
        model.insert(model.keys, (self.key.tenant, self.key.name), self.key)

    def is_right(self, model, at, alone):
        return self.code == "42710" and (self.key.tenant, self.key.name) in model.keys


class Rotate(KeyCall):
    """The new secret is shown to one caller; the old one is valid for the grace, at most to its
    end."""

    sql = "SELECT (k).api_key, (k).expires_at, (k).previous_valid_until, clock_timestamp() " \
        "FROM rotate_api_key(%s, %s, tenant => %s) k"

    def __init__(self, key, shown, grace):
        self.key, self.shown, self.grace = key, shown, grace
        self.parameters = [shown, grace, key.tenant]

    def agrees(self, model, alone):
        key = self.key
        fault = key.was(model.step).fault(self.shown, model.began)
        return not key.is_revoked and self.shown in (key.name, key.secrets[-1]) and (
            fault is None or fault == "expired" and self.shown == key.name)

    def apply(self, model):
        secret, expires_at, grace_until = self.answer
        key = self.key
        assert secret not in key.secrets
        assert grace_until == key.expires_at \
            or model.began <= grace_until - self.grace <= self.at, self
        assert key.expires_at is None or grace_until <= key.expires_at
        assert expires_at is None if key.expires_in is None \
            else model.began <= expires_at - key.expires_in <= self.at, self
        self.put(model, secrets=[*key.secrets, secret], expires_at=expires_at,
                 grace_until=grace_until)

    def is_right(self, model, at, alone):
        key, fault = self.key, self.key.fault(self.shown, at)
        if self.code:
            return self.code == "TM007" and (
                fault in ("unknown", "revoked")
                or fault == "expired" and self.shown != key.name)
        # Somebody was faster, now or before.
        return self.answer[0] is None and (
            fault is None and self.shown in key.secrets[-2:-1] if alone
            else self.shown in key.secrets[:-1] or key.changed_in == model.step)


class Revoke(KeyCall):
    """For ever and at once, with the secret before."""

    sql = "SELECT revoke_api_key(%s, tenant => %s), clock_timestamp()"

    def __init__(self, key, shown):
        self.key, self.shown = key, shown
        self.parameters = [shown, key.tenant]

    def has_changed(self):
        return self.answer[0]

    def agrees(self, model, alone):
        return not self.key.is_revoked \
            and self.key.was(model.step).fault(self.shown, model.began) != "unknown"

    def apply(self, model):
        self.put(model, is_revoked=True)

    def is_right(self, model, at, alone):
        if self.code:
            return self.code == "TM007" and self.key.fault(self.shown, at) == "unknown"
        return self.answer[0] is False and self.key.is_revoked


class Verify(KeyCall):
    sql = "SELECT (k).reason, (k).user_id, (k).team, (k).name, (k).is_valid, clock_timestamp() " \
        "FROM verify_api_key(%s) k"

    def __init__(self, key, shown):
        self.key, self.shown = key, shown
        self.parameters = [shown]

    def has_changed(self):
        return False

    def is_right(self, model, at, alone):
        fault, key = self.key.fault(self.shown, at), self.key
        who = [None] * 3 if fault == "unknown" else [key.user_id, key.team, key.name]
        return self.code is None and self.answer == [fault, *who, fault is None]
