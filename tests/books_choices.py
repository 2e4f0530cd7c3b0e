"""What a run (books_run.py) draws: calls at random, on what there is."""

from datetime import timedelta

from books_calls import DropQuota, Heat, Maintain, Nonsense, Record, Reserve, Reset, SetQuota
from books_ends import Extend, Release, Report, Settle, SettlePartial, SettleUsage
from books_keys import Issue, Key, Revoke, Rotate, Verify
from books_records import FOREVER, Hold, Usage
from books_requests import random_record, random_request, random_rule


class Choices:
    """Of a run that has a model and a random generator. Each draws what one session does: calls;
    none, where there is nothing to do it with."""

    request_number = 0

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
            wanted = room + hold.prompt + hold.completion
            # More than 16,384 tokens the model does not write.
            if room >= 0 and wanted <= 16384:
                request["completion_tokens"] = int(wanted)
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
