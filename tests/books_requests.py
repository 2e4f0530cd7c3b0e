"""Requests and quotas at random, small and tight enough to meet each other."""

import json
from datetime import timedelta
from decimal import Decimal

ZONES = {"day": "Europe/Berlin", "month": "Australia/Lord_Howe"}
RULES = [  # tenant, scope, value, metric, period, kinds, options
    ("default", "user", "ann", "tokens", "total", ["fixed"], {}),
    ("default", "user", "ann", "tokens", "minute", ["fixed", "sliding", "bucket"], {}),
    ("default", "user", "ann", "cost", "month", ["fixed"], {}),
    ("default", "user", "*", "tokens", "7 seconds", ["fixed"], {"carry_over": 400}),
    ("default", "user", "bob", "tokens", "7 seconds", ["fixed", "bucket"], {}),
    ("default", "user", "*", "requests", "minute", ["fixed"], {}),
    ("default", "team", "red", "tokens", "day", ["fixed"], {"cached_weight": "0.1"}),
    ("default", "team", "*", "tokens", "day", ["fixed"], {}),
    ("default", "agent", "scribe", "tokens", "minute", ["sliding"], {}),
    ("default", "api_key", "*", "requests", "7 seconds", ["bucket", "sliding"], {}),
    ("default", "session", "*", "tokens", "total", ["fixed"], {"soft": True}),
    ("default", "endpoint", "chat", "cost", "total", ["fixed"], {}),
    ("default", "model", "gpt-4o", "tokens", "day", ["fixed"], {}),
    ("default", "tenant", "*", "tokens", "total", ["fixed"], {}),
    ("acme", "tenant", "acme", "tokens", "month", ["fixed"], {}),
    ("acme", "user", "*", "tokens", "7 seconds", ["fixed"], {}),
]
REQUEST = ["user_id", "prompt_tokens", "completion_tokens", "model", "priority", "api_key", "team",
           "session_id", "agent", "endpoint", "request_id", "min_completion_tokens", "on_overflow",
           "tenant", "ttl", "max_wait"]
RECORD = ["user_id", "prompt_tokens", "completion_tokens", "cached_tokens", "model", "cost",
          "priority", "api_key", "team", "session_id", "agent", "endpoint", "request_id", "tenant"]


def random_request(rng, number):
    with_model = rng.random() < 0.6
    completion = rng.choice([0, 1, 10, 60, 300, 900])
    return {
        "tenant": rng.choice(["default"] * 5 + ["acme"]),
        "user_id": rng.choice(["ann", "ann", "bob"]),
        "prompt_tokens": rng.choice([0, 1, 20, 150, 400]),
        "completion_tokens": completion if rng.random() < 0.85 else None,
        "model": "gpt-4o" if with_model else None,
        "priority": rng.choice([None] * 5 + ["high", "medium", "low"]),
        "api_key": rng.choice([None, None, "k1"]),
        "team": rng.choice([None, "red", "blue"]),
        "session_id": rng.choice([None, None, "s1"]),
        "agent": rng.choice([None, None, "scribe"]),
        "endpoint": rng.choice([None, None, "chat"]),
        "request_id": f"r{number}" if rng.random() < 0.3 else None,
        "min_completion_tokens": rng.choice([None, min(completion, 10)]),
        "on_overflow": rng.choice(["reduce", "refuse"]),
        "ttl": rng.choice([None] * 5 + [timedelta(seconds=4), timedelta(days=2)]),
        "max_wait": timedelta(milliseconds=rng.choice([0, 20, 40])) if rng.random() < 0.05
        else None,
        "key": None,
    }


def random_record(rng, number):
    """Of a call that was made already: small, or quotas would only be overrun."""
    request = random_request(rng, number)
    prompt, completion = rng.choice([0, 1, 20, 150]), rng.choice([0, 1, 10, 60])
    return {name: request.get(name) for name in RECORD} | {
        "prompt_tokens": prompt, "completion_tokens": completion,
        "cached_tokens": rng.randint(0, prompt),
        "cost": rng.choice([None, None, Decimal(completion) / 100000]), "key": None}


def random_rule(rng):
    """The arguments of set_quota()."""
    tenant, scope, name, metric, period, kinds, options = rng.choice(RULES)
    options = dict(options, kind=rng.choice(kinds))
    amount = Decimal(rng.choices([0, 200, 900, 3000, 9000, 30000], [1, 3, 3, 4, 4, 4])[0])
    if options["kind"] == "bucket":
        amount = max(amount, Decimal(70))
        options["burst"] = rng.choice([100, 400, 1500])
    if "carry_over" in options:
        options["carry_over"] = rng.choice([100, 400, 1500])
    if options["kind"] != "fixed":
        options.pop("carry_over", None)
    if metric == "cost":
        amount /= 100000
    elif metric == "requests":
        amount = max(amount // 100, Decimal(1))
    options["increase"], options["increase_until"] = rng.choice(
        [(None, None), (None, None), (100, "2199-01-01Z"), (100, "2001-01-01Z")])
    if metric == "cost":
        options["increase"] = options["increase_until"] = None
    zone = ZONES.get(period, "UTC")
    return [scope, name, period, amount, metric, zone, tenant, json.dumps(options)]
