"""What a run asks of one reservation (e2e/test_model.py): that it ends, or that it lasts."""

import json

from books_calls import Call
from books_records import Usage, cost


class End(Call):
    """Of a reservation, or of one that a call before it in the same transaction makes."""

    repeats_answer = True

    def __init__(self, of):
        self.of = of

    @property
    def reservation_id(self):
        return self.of.reservation_id

    def agrees(self, model, alone):
        return self.expected_code(model.holds[self.reservation_id], self.at) is None

    def is_right(self, model, at, alone):
        hold = model.holds.get(self.reservation_id)
        if hold is None:
            return False
        code = "P0002" if hold.is_removed else self.expected_code(hold, at)
        return self.code == code and (code is not None or self.repeats(hold))


class Settle(End):
    sql = "SELECT entry_id, flags, cost, recorded_at FROM settle_tokens(%s, %s, %s, %s, %s, %s)"
    is_estimated = False

    def __init__(self, of, usage):
        super().__init__(of)
        self.usage = usage

    @property
    def parameters(self):
        return [self.reservation_id, *self.usage]

    def change(self, model, reader):
        hold = model.holds.get(self.reservation_id)
        if self.row is None or hold and hold.state == "settled":
            return None
        self.at = self.row[3]
        return self.row[0]

    def expected_code(self, hold, at):
        if hold.state == "settled":
            return "TM002" if self.usage != hold.usage else None
        return "TM003" if hold.state == "released" else \
            "TM004" if hold.overdue(at) == "gone" else None

    def apply(self, model):
        hold = model.holds[self.reservation_id]
        entry_id, flags, paid, _ = self.row
        expected = {name for name, is_so in (
            ("overrun",
             self.usage.prompt + self.usage.completion > hold.prompt + hold.completion),
            ("late", hold.overdue(self.at)),
            ("same_transaction", self.transaction and self.transaction is hold.transaction
             and hold.reserved_at >= self.transaction.began)) if is_so}
        assert set(flags) - {"estimated"} == expected, (self, expected)
        assert ("estimated" in flags) in {call.is_estimated for call in (self, *self.twins)}, self
        model.counts["corrected"] += hold.usage is not None
        model.put(hold, "entry_id", entry_id)
        model.put(hold, "changed_by", self.transaction)
        model.end(hold, "settled", self.at, self.usage)
        assert paid == (cost(hold, self.usage) if hold.request["model"] else None), self

    def repeats(self, hold):
        return hold.state == "settled" and self.row[0] == hold.entry_id


class SettleUsage(Settle):
    """By the usage object of an API, or the response that contains it. Only OpenAI's counts mean
    what settle_tokens() means by them."""

    sql = "SELECT entry_id, flags, cost, recorded_at FROM settle_usage(%s, %s)"

    def __init__(self, of, usage, rng):
        super().__init__(of, usage)
        found = rng.choice(list(usage_objects(usage)))
        name = "usageMetadata" if "promptTokenCount" in found else "usage"
        self.object = {"id": "x", name: found} if rng.random() < 0.3 else found

    @property
    def parameters(self):
        return [self.reservation_id, json.dumps(self.object)]


def usage_objects(usage):
    """Those that can say it."""
    prompt, completion, cached, written, reasoning = usage
    if written == 0:
        yield {"prompt_tokens": prompt, "completion_tokens": completion,
               "total_tokens": prompt + completion,
               "prompt_tokens_details": {"cached_tokens": cached},
               "completion_tokens_details": {"reasoning_tokens": reasoning}}
        yield {"input_tokens": prompt, "output_tokens": completion,
               "input_tokens_details": {"cached_tokens": cached},
               "output_tokens_details": {"reasoning_tokens": reasoning}}
        yield {"promptTokenCount": prompt, "cachedContentTokenCount": cached,
               "candidatesTokenCount": completion - reasoning, "thoughtsTokenCount": reasoning,
               "totalTokenCount": prompt + completion}
    if reasoning == 0:
        yield {"input_tokens": prompt - cached - written, "cache_read_input_tokens": cached,
               "cache_creation_input_tokens": written, "output_tokens": completion}


class SettlePartial(Settle):
    """Of a stream that was cut: the prompt that was held, and the text that had come."""

    sql = "SELECT entry_id, flags, cost, recorded_at FROM settle_partial(%s, %s)"
    is_estimated = True

    def __init__(self, of, tokens):
        super().__init__(of, Usage(of.request["prompt_tokens"], tokens))

    @property
    def parameters(self):
        # A token each.
        return [self.reservation_id, " ".join(["one"] * self.usage.completion)]


class Release(End):
    sql = "SELECT released_at FROM release_tokens(%s)"

    @property
    def parameters(self):
        return [self.reservation_id]

    def change(self, model, reader):
        hold = model.holds.get(self.reservation_id)
        if self.row is None or hold and hold.state == "released":
            return None
        self.at = self.row[0]
        return "released", self.reservation_id

    def expected_code(self, hold, at):
        if hold.state == "released":
            return None
        return "TM002" if hold.state == "settled" else "TM004" if hold.overdue(at) else None

    def apply(self, model):
        hold = model.holds[self.reservation_id]
        model.put(hold, "changed_by", self.transaction)
        model.end(hold, "released", self.at)

    def repeats(self, hold):
        return hold.state == "released"


class Last(End):
    """Only of what still holds. Its instant is read when it is done; what it looked at before may
    have been before the reservation's time was up."""

    def expected_code(self, hold, at):
        return "TM002" if hold.state == "settled" else "TM003" if hold.state == "released" else \
            "TM004" if hold.overdue(at) else None

    def agrees(self, model, alone):
        return self.expected_code(model.holds[self.reservation_id], model.began) is None

    def change(self, model, reader):
        if self.row is None:
            return None
        *self.granted, self.expires_at, self.at = self.row
        return "lasts", id(self)


class Report(Last):
    """How far a stream has come: the greatest report counts."""

    sql = "SELECT prompt_tokens, completion_tokens, expires_at, clock_timestamp() " \
        "FROM report_progress(%s, %s)"

    def __init__(self, of, tokens):
        super().__init__(of)
        self.tokens = tokens

    @property
    def parameters(self):
        return [self.reservation_id, self.tokens]

    def apply(self, model):
        hold = model.holds[self.reservation_id]
        assert (*self.granted, self.expires_at) == (hold.prompt, hold.completion, hold.expires_at)
        model.put(hold, "progress", max(hold.progress or 0, self.tokens))


class Extend(Last):
    """It holds for so long from now, and never for less than it did."""

    sql = "SELECT prompt_tokens, completion_tokens, expires_at, clock_timestamp() " \
        "FROM extend_reservation(%s, %s)"

    def __init__(self, of, ttl):
        super().__init__(of)
        self.ttl = ttl

    @property
    def parameters(self):
        return [self.reservation_id, self.ttl]

    def apply(self, model):
        hold = model.holds[self.reservation_id]
        assert self.granted == [hold.prompt, hold.completion]
        assert self.expires_at == hold.expires_at or self.expires_at > hold.expires_at \
            and model.began <= self.expires_at - self.ttl <= self.at, (self, hold)
        assert self.expires_at >= model.began + self.ttl
        model.counts["lasts longer"] += self.expires_at > hold.expires_at
        model.put(hold, "changed_by", self.transaction)
        model.put(hold, "expires_at", self.expires_at)
