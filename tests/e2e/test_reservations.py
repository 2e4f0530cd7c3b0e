"""The rest of the reservation interface among many sessions: calls recorded afterwards, progress,
resets, and the configuration of one database in another."""

import json
import random
import threading

from books import at_once, findings, row, sqlstate, value

SEED = 20261121
SPLIT = """INSERT INTO token_mgmt.hot_quota
    SELECT tenant, quota_id, 'hot', 8, now() FROM token_mgmt.quota WHERE value = 'hot'"""


def test_one_request_id_is_recorded_once_whoever_retries_it(db):
    db.psql("SELECT token_mgmt.set_quota('user', 'ann', 'total', 100)")

    def record(connection, _):
        return value(connection, "SELECT entry_id FROM record_usage('ann', 70, 50, "
                     "request_id => 'search-1')")

    assert len(set(at_once(db, record, 8))) == 1
    assert db.psql("SELECT used, held FROM token_mgmt.quota_status") == "120|0"
    assert db.psql("SELECT count(*), min(flags) FROM token_mgmt.usage_ledger") \
        == "1|{unreserved,overrun}"
    assert findings(db) == []


def test_calls_of_every_kind_at_once_neither_deadlock_nor_lose_a_token(db):
    """On quotas of each kind that all share, one of them in slots, and reset all the while."""
    db.psql(f"""
        SELECT token_mgmt.set_quota('user', 'hot', 'total', 3000),
            token_mgmt.set_quota('team', '*', 'hour', 3000, options => '{{"kind": "sliding"}}'),
            token_mgmt.set_quota('tenant', 'default', 'day', 3000,
                options => '{{"kind": "bucket"}}');
        {SPLIT}""")
    print(f"seed {SEED}")
    resets = threading.Event()

    def work(connection, number):
        if number == 0:
            done = 0
            while not resets.wait(0.01) and done < 1000:
                for quota in ("'user', 'hot', 'total'", "'team', '*', 'hour'",
                              "'tenant', 'default', 'day'"):
                    connection.execute(f"SELECT token_mgmt.reset_quota({quota})")
                done += 1
            return 0
        rng = random.Random(f"{SEED} {number}")
        team = f"team{number % 2}"
        used = 0
        try:
            for _ in range(30):
                tokens = rng.randint(1, 300)
                if rng.random() < 0.5:
                    connection.execute("SELECT record_usage('hot', %s, team => %s)",
                                       [tokens, team])
                    used += tokens
                    continue
                reservation = value(connection, "SELECT reservation_id FROM try_reserve_tokens("
                                    "'hot', %s, 50, team => %s)", [tokens, team])
                if reservation is None:
                    continue
                connection.execute("SELECT report_progress(%s, 10)", [reservation])
                connection.execute("SELECT extend_reservation(%s, '1 hour')", [reservation])
                connection.execute("SELECT settle_usage(%s, jsonb_build_object('input_tokens', "
                                   "%s::integer, 'output_tokens', 60))", [reservation, tokens])
                used += tokens + 60
        finally:
            if number == 1:
                resets.set()
        return used

    used = sum(at_once(db, work, 9))
    assert db.psql("SELECT sum(used), sum(held) FROM token_mgmt.quota_period p "
                   "JOIN token_mgmt.quota q USING (tenant, quota_id) WHERE q.value = 'hot'") \
        == f"{used}|0"
    assert db.psql("SELECT sum(prompt_tokens + completion_tokens) FROM token_mgmt.usage_ledger") \
        == str(used)
    assert findings(db) == []


def test_prepared_transactions_hold_what_was_recorded_and_extended(make_cluster):
    cluster = make_cluster(preload=False, settings={"max_prepared_transactions": "5"})
    database = cluster.create_database("books")
    database.psql("SELECT token_mgmt.set_quota('user', 'ann', 'total', 1000)")
    with database.connect() as connection:
        reservation = value(connection, "SELECT reservation_id FROM reserve_tokens('ann', 100)")
        connection.execute("BEGIN")
        connection.execute("SELECT record_usage('ann', 30)")
        connection.execute("SELECT extend_reservation(%s, '1 day')", [reservation])
        connection.execute("SELECT report_progress(%s, 5)", [reservation])
        connection.execute("PREPARE TRANSACTION 'all'")
    with database.connect() as connection:
        connection.execute("COMMIT PREPARED 'all'")
        assert value(connection, "SELECT ROW(used, held)::text FROM token_mgmt.quota_status") \
            == "(30,100)"
    assert findings(database) == []


def test_dumped_configuration_loads_into_another_database_as_it_was(db, server):
    db.psql("""
        SELECT token_mgmt.set_quota('user', '*', 'day', 1000, time_zone => 'Asia/Kolkata',
                options => '{"carry_over": 10, "cached_weight": 0.25, "soft": true}'),
            token_mgmt.set_quota('model', 'gpt-4o', '36:00:00', 2.5, metric => 'cost',
                options => '{"anchor": "2026-01-01 05:30"}'),
            token_mgmt.set_quota('team', 'a', 'minute', 5, metric => 'requests',
                options => '{"kind": "bucket", "burst": 50}'),
            token_mgmt.set_quota('team', 'b', 'hour', 5,
                options => '{"kind": "sliding", "increase": 7,
                    "increase_until": "2030-01-01 00:00+01"}'),
            token_mgmt.set_priority_share('low', 0.15),
            token_mgmt.set_agent('clerk', '{"redact": ["email"], "max_rag_tokens": null}'),
            token_mgmt.set_alert_rule('quota_threshold', '{0.5}', scope => 'model',
                value => 'gpt-4o'),
            token_mgmt.set_alert_rule('worker_silent', '{90}'),
            token_mgmt.mute_alerts('user', 'robot', '2030-01-01 00:00+01'),
            token_mgmt.mute_alerts('user', 'gone', '2000-01-01');""")
    config = db.psql("SELECT token_mgmt.dump_config()")
    other = server.create_database("other_config")
    try:
        with other.connect() as connection:
            connection.execute("SET timezone = 'America/New_York'")
            connection.execute("SET intervalstyle = 'iso_8601'")
            assert value(connection, "SELECT token_mgmt.load_config(%s)", [config]) == 9
            assert value(connection, "SELECT token_mgmt.dump_config()::text") == config
            assert value(connection, "SELECT token_mgmt.load_config(%s)", [config]) == 0
            changes = "SELECT count(*) FROM token_mgmt.quota_change"
            assert value(connection, changes) == 4
    finally:
        other.drop()


def test_loads_of_a_tenant_run_one_at_a_time_and_keep_nobody_else_waiting(db):
    def config(tenant, users):
        return json.dumps({"tenant": tenant, "quotas": [
            {"scope": "user", "value": user, "period": "day", "amount": 1000} for user in users]})

    load = "SELECT token_mgmt.load_config(%s)"
    with db.connect() as open_one, db.connect() as other:
        other.execute("SET lock_timeout = '1s'")
        with open_one.transaction():
            assert value(open_one, load, [config("a", ["ann", "bob"])]) == 2
            assert value(other, load, [config("b", ["ann", "bob"])]) == 2
            other.execute("SELECT token_mgmt.set_quota('user', 'eve', 'day', 1, tenant => 'b')")
            other.execute("SELECT reserve_tokens('ann', 1, tenant => 'a')")
            assert sqlstate(other, load, [config("a", ["zoe"])]) == "55P03"
        assert value(other, load, [config("a", ["zoe"])]) == 1

    # In opposite orders, where each would wait for what the other has written.
    names = [f"user {i}" for i in range(50)]

    def reload(connection, number):
        for amount in range(10):
            text = config("a", names if number % 2 else names[::-1])
            connection.execute(load, [text.replace("1000", str(2000 + 10 * number + amount))])

    at_once(db, reload, 4)
    assert findings(db) == []


def quotas_at_random(rng):
    for metric, period in rng.sample([(m, p) for m in ("tokens", "cost", "requests")
                                      for p in ("hour", "day", "total")], 3):
        options = {"soft": rng.random() < 0.2}
        if period != "total":
            options["kind"] = rng.choice(["fixed", "sliding", "bucket"])
        if rng.random() < 0.3:
            options |= {"increase": 50, "increase_until": "2100-01-01 00:00+00"}
        if options.get("kind") == "bucket":
            options["burst"] = rng.randint(1, 300)
        yield metric, period, rng.randint(1, 300), json.dumps(options)


def test_explanation_says_what_reserve_does_whatever_is_overdue(db):
    """Where the clock moves from one answer to another meanwhile, either will do."""
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    answers = []
    explain = ("SELECT bool_and(fits), bool_or(fits_at IS NULL) FROM explain_reservation("
               "'ann', %s, %s, model => 'unit', priority => %s)")
    with db.connect(autocommit=False) as connection:
        connection.execute("SELECT token_mgmt.register_model('unit', 'o200k_base', 100000, "
                           "input_usd_per_mtok => 500000, output_usd_per_mtok => 1000000)")
        connection.commit()
        for _ in range(150):
            for metric, period, amount, options in quotas_at_random(rng):
                connection.execute("SELECT token_mgmt.set_quota('user', 'ann', %s, %s, %s, "
                                   "options => %s::jsonb)", [period, amount, metric, options])
            for _ in range(rng.randint(0, 4)):
                held, most = row(connection, "SELECT reservation_id, completion_tokens FROM "
                                 "try_reserve_tokens('ann', %s, %s, model => 'unit')",
                                 [rng.randint(0, 60), rng.randint(0, 60)])
                if held is None:
                    continue
                if rng.random() < 0.4:
                    connection.execute("SELECT report_progress(%s, %s)",
                                       [held, rng.randint(0, most)])
                if rng.random() < 0.6:
                    connection.execute(
                        "UPDATE token_mgmt.reservation SET reserved_at = reserved_at - "
                        "interval '20 minutes', expires_at = clock_timestamp() "
                        "WHERE reservation_id = %s", [held])
            connection.execute("UPDATE token_mgmt.quota_period SET credited_at = credited_at - "
                               "interval '20 minutes' WHERE credited_at IS NOT NULL")
            request = [rng.randint(0, 100), rng.randint(0, 100),
                       rng.choice([None, None, "high", "low"])]
            before = row(connection, explain, request)
            connection.execute("SAVEPOINT asked")
            status, waits = row(connection, "SELECT status, retry_after IS NOT NULL FROM "
                                "try_reserve_tokens('ann', %s, %s, model => 'unit', "
                                "priority => %s, on_overflow => 'refuse')", request)
            connection.execute("ROLLBACK TO asked")
            if row(connection, explain, request) == before:
                fits, never = before
                assert (status, waits) == ("granted" if fits else "denied", not (fits or never)), \
                    (request, before)
                answers.append((status, waits))
            connection.rollback()
    assert len(answers) > 100 and len(set(answers)) == 3, answers
