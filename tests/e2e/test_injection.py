"""SQL in every text that a caller may pass: no function of the extension runs it."""

import re

import psycopg
import psycopg.sql
import pytest

from books import findings, value

PAYLOADS = [
    "'; DROP TABLE public.canary; --", "$$; DROP TABLE public.canary; $$",
    '"; DROP TABLE public.canary; --', "x' OR '1'='1", "%I %L %s %1$s %%", "\\'; \\! true",
    "');SELECT pg_sleep(60);--", "ｕｎｉｃｏｄｅ＇；ＤＲＯＰ\u02bc\u2019\u202e", "a" * 5000 + "'",
    "}'::jsonb; DROP TABLE public.canary; --", "{\"$ne\": null}", "public.canary",
    "(SELECT 1 FROM public.canary)",
]
# What docs/errors.md has, and PostgreSQL's own for a text that is no JSON and the like.
DOCUMENTED = re.compile("^(TM00[1-7]|22004|22023|22P02|22P05|22021|42501|42704|42710|42725|54000|"
                        "0A000|55000|P0002|25006)$")
# What makes a call get as far as it can, whatever the argument under test.
PLAUSIBLE = {
    "user_id": "alice", "model": "gpt-4o", "encoding": "o200k_base", "session_id": "chat",
    "scope": "user", "value": "alice", "period": "day", "content": "Some text.", "role": "user",
    "api_key": "laptop", "name": "phone", "agent": "helper", "priority": "low", "level": "app",
    "messages": '[{"role": "user", "content": "Hi"}]', "documents": '["a"]', "metric": "tokens",
    "request": '{"user_id": "alice", "prompt_tokens": 1}', "metadata": "{}", "settings": "{}",
    "prompt": "Some text.", "provider": "openai", "strategy": "recent", "on_overflow": "fit",
    "time_zone": "UTC", "text": "Some text.",
}
BY_TYPE = {
    "integer": 100, "bigint": 1, "numeric": "0.5", "boolean": True, "interval": "1 minute",
    "jsonb": "{}", "timestamp with time zone": "2026-11-01", "bigint[]": "{1}", "text[]": "{}",
    "uuid": "00000000-0000-0000-0000-000000000000", "text": None,
    "timestamp without time zone": "2026-11-01", "double precision": 0.5, "smallint": 1,
}
FUNCTIONS = """
    SELECT p.oid::regproc::text, p.prokind,
        ARRAY(SELECT a FROM unnest(p.proargnames) WITH ORDINALITY u (a, i)
            WHERE i <= p.pronargs ORDER BY i),
        ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY u (t, i)
            ORDER BY i), p.pronargs - p.pronargdefaults
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'token_mgmt'
    WHERE p.prorettype <> 'trigger'::regtype
        AND (p.proname !~ '^_' OR p.proname IN ('_agent_settings', '_session_summary'))
    ORDER BY 1, 2"""


def injected(name, kind, arguments, types, required):
    """Each call with one text, or one text within its JSON, that is a payload."""
    for place, (argument, of_type) in enumerate(zip(arguments, types)):
        if of_type not in ("text", "text[]", "jsonb"):
            continue
        for payload in PAYLOADS:
            value_of = {"text": payload, "text[]": [payload], "jsonb": psycopg.types.json.Jsonb(
                {argument if kind == "p" else payload: payload, "user_id": payload,
                 "prompt_tokens": 1, "content": payload} if argument == "request"
                else [{"role": "user", "content": payload}] if argument == "messages"
                else [payload] if argument == "documents" else {payload: payload})}[of_type]
            given = [(a, t, value_of if i == place else PLAUSIBLE.get(a, BY_TYPE[t]))
                     for i, (a, t) in enumerate(zip(arguments, types))
                     if i < required or i == place or kind == "p"]
            text = ", ".join(f"%s::{t}" if kind == "p" else f"{a} => %s::{t}" for a, t, _ in given)
            yield argument, f"{'CALL' if kind == 'p' else 'SELECT'} {name}({text})", \
                [v for _, _, v in given]


@pytest.mark.parametrize("caller", ["owner", "app"])
def test_no_text_argument_is_ever_run(db, caller):
    role = f"{caller}_{db.name}"
    db.psql(f"""
        CREATE TABLE canary AS SELECT 'sings' AS state;
        SELECT token_mgmt.set_quota('user', '*', 'day', 1000000),
            token_mgmt.set_agent('helper', '{{}}'), issue_api_key('alice', 'laptop'),
            add_message('chat', 'user', 'Hi', user_id => 'alice');
        CREATE ROLE {role} LOGIN;
        SELECT token_mgmt.grant_access('{role}', 'admin');""")
    roles = "SELECT array_agg(rolname ORDER BY 1) FROM pg_roles"
    wrong, made, texts = [], 0, set()
    try:
        with db.connect() as superuser, \
                db.connect(user="postgres" if caller == "owner" else role) as connection:
            before = value(superuser, roles)
            connection.execute("SET statement_timeout = '5s'; SET client_min_messages = error")
            for function in connection.execute(FUNCTIONS).fetchall():
                for argument, call, parameters in injected(*function):
                    texts.add((function[0], argument))
                    made += 1
                    try:
                        # What one call leaves must not be what the next one meets.
                        with connection.transaction(force_rollback=True):
                            connection.execute(call, parameters)
                    except psycopg.Error as error:
                        if not DOCUMENTED.match(error.sqlstate or ""):
                            wrong.append((call, str(parameters)[:200], str(error)[:300]))
            assert value(superuser, "SELECT state FROM canary") == "sings"
            assert value(superuser, roles) == before
    finally:
        db.psql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
    assert wrong == [], "\n".join(map(str, wrong[:10]))
    assert len(texts) > 150 and made == len(texts) * len(PAYLOADS)
    assert findings(db) == []
