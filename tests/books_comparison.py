"""What the database says of a run (e2e/test_model.py), balance by balance, against its model."""

from books import row
from books_records import FOREVER, read


def compare(model, connection):
    model.check_flows()
    found = {tuple(p[:3]): p[3:] for p in connection.execute(
        "SELECT quota_id, scope_value, starts_at::text, sum(used), sum(held), sum(carried), "
        "sum(credited) "
        "FROM token_mgmt.quota_period GROUP BY 1, 2, 3").fetchall()}
    for key, period in model.periods.items():
        if key in found:
            assert found[key][:3] == (period.used, period.held, period.carried) \
                and (key[:2] in model.flows or found[key][3] == period.credited), \
                (key, found[key], period)
        else:
            # Removed, never to be opened again: what has no end, only with its quota.
            assert period.held == 0 and (key[2] != FOREVER or key[0] not in model.quotas), \
                (key, period)
            q = model.quotas.get(key[0])
            assert q is None or read(key[2]) < q.removed_until, (key, q)
    for key in found.keys() - model.periods.keys():
        assert found[key][:3] == (0, 0, 0), (key, found[key])
    held = [hold for hold in model.holds.values() if hold.state == "held"]
    assert row(connection, "SELECT count(*), coalesce(sum(tokens_held), 0) FROM "
               "token_mgmt.open_reservations") \
        == (len(held), sum(hold.prompt + hold.completion for hold in held))
    ledger = {}
    for tenant, user, calls, tokens, paid in connection.execute(
            "SELECT tenant, user_id, count(*) FILTER (WHERE kind <> 'correction'), "
            "sum(prompt_tokens + completion_tokens), "
            "coalesce(sum(cost), 0) FROM token_mgmt.usage_ledger GROUP BY 1, 2").fetchall():
        ledger |= {(tenant, user, "calls"): calls, (tenant, user, "tokens"): tokens,
                   (tenant, user, "cost"): paid}
    charged = {key: sum_ for key, sum_ in model.ledger.items() if sum_}
    assert {key: sum_ for key, sum_ in ledger.items() if sum_} == charged
    for quota_id, name, used, kept, remaining, start in connection.execute(
            "SELECT quota_id, value, used, held, remaining, coalesce(starts_at::text, "
            "'-infinity') FROM token_mgmt.quota_status").fetchall():
        q = model.quotas[quota_id]
        period = model.periods.get((quota_id, name, start))
        if q.kind == "fixed" and period:
            assert (used, kept, remaining) == (
                max(period.used - period.credited, 0), period.held,
                q.limit() + period.carried - period.counted()), (q, period)
    assert {(key.tenant, key.name): (key.user_id, key.expires_at, key.grace_until, key.is_revoked)
            for key in model.keys.values()} == {
        (tenant, name): tuple(state) for tenant, name, *state in connection.execute(
            "SELECT tenant, name, user_id, expires_at, grace_until, revoked_at IS NOT NULL "
            "FROM token_mgmt.api_keys").fetchall()}
    assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []
