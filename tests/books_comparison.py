"""What the database says of a run (e2e/test_model.py), balance by balance, against its model."""

from decimal import Decimal

from books import row, value
from books_model import FOREVER


def compare(run):
    connection = run.tx() or run.sessions[0]
    model = run.model
    # Whoever needed their tokens, or maintenance, has ended these.
    for reservation, at in connection.execute(
            "SELECT reservation_id::text, ended_at FROM token_mgmt.reservation "
            "WHERE state = 'expired'").fetchall():
        hold = model.holds[reservation]
        if hold.state == "held":
            assert hold.overdue
            late_open(run, connection)
            # Part of the open transaction where it was one of its steps.
            kept = model.undo
            if run.connection is not run.tx():
                model.undo = []
            model.end(hold, "expired", at)
            model.undo = kept
    late_open(run, connection)
    model.check_flows()
    found = {tuple(p[:3]): p[3:] for p in connection.execute(
        "SELECT quota_id, scope_value, starts_at::text, sum(used), sum(held), sum(carried), "
        "count(*) FROM token_mgmt.quota_period GROUP BY 1, 2, 3").fetchall()}
    for key, period in model.periods.items():
        if key in found:
            assert found[key][:3] == (period.used, period.held, period.carried), key
        else:
            assert period.held == 0 and key[2] != FOREVER, key
    for key in found.keys() - model.periods.keys():
        assert found[key][:3] == (0, 0, 0), (key, found[key])
    held = [hold for hold in model.holds.values() if hold.state == "held"]
    assert row(connection, "SELECT count(*), coalesce(sum(tokens_held), 0) FROM "
               "token_mgmt.open_reservations") \
        == (len(held), sum(hold.prompt + hold.completion for hold in held))
    ledger = {}
    for tenant, user, calls, tokens, paid in connection.execute(
            "SELECT tenant, user_id, count(*), sum(prompt_tokens + completion_tokens), "
            "coalesce(sum(cost), 0) FROM token_mgmt.usage_ledger GROUP BY 1, 2").fetchall():
        ledger |= {(tenant, user, "calls"): calls, (tenant, user, "tokens"): tokens,
                   (tenant, user, "cost"): paid}
    charged = {key: sum_ for key, sum_ in model.ledger.items() if sum_}
    assert {key: sum_ for key, sum_ in ledger.items() if sum_} == charged
    for quota_id, name, used, kept, remaining, start, now in connection.execute(
            "SELECT quota_id, value, used, held, remaining, coalesce(starts_at::text, "
            "'-infinity'), clock_timestamp() FROM token_mgmt.quota_status").fetchall():
        q = model.quotas[quota_id]
        period = model.periods.get((quota_id, name, start))
        if q.kind == "fixed" and period:
            assert (used, kept, remaining) == (
                period.used, period.held,
                q.limit() + period.carried - period.used - period.held), (q, period)
    assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []


def late_open(run, connection):
    """Periods that were opened without a grant: what they carry was decided at that moment."""
    for quota_id, name, start in connection.execute(
            "SELECT quota_id, scope_value, starts_at::text FROM token_mgmt.quota_period "
            "WHERE slot = 0").fetchall():
        q = run.model.quotas.get(quota_id)
        if q and q.kind == "fixed" and (quota_id, name, start) not in run.model.periods:
            kept = run.model.undo
            if run.connection is not run.tx():
                run.model.undo = []
            carried = value(connection, "SELECT carried FROM token_mgmt.quota_period WHERE "
                            "slot = 0 AND (quota_id, scope_value, starts_at) = (%s, %s, %s)",
                            [quota_id, name, start])
            if carried:
                run.model.period(q, name, start)
            else:
                # One before another that is opened has no part in what came before itrun.
                carry_over, q.carry_over = q.carry_over, Decimal(0)
                run.model.period(q, name, start)
                q.carry_over = carry_over
            run.model.undo = kept
