"""Who may do what, and that no caller's search_path changes what a call does."""

import pytest

from books import findings, row, sqlstate, value

TABLES = ["quota", "quota_period", "reservation", "usage_ledger", "usage_ledger_default",
          "priority_share", "worker_job", "alert_rule", "alert_mute", "alert", "alert_log", "alert_sweep",
          "quota_status", "open_reservations", "worker_status", "role_access", "api_key", "api_keys",
          "_my_access", "ledger_unrolled", "ledger_carried", "usage_rollup", "session_rollup",
          "installation", "usage_hourly", "usage_daily", "quota_change", "hot_quota", "quota_wait",
          "config_change", "dropped_quota"]
MESSAGES = '[{"role": "user", "content": "Hi"}]'


@pytest.fixture
def role(db):
    """A role of no privileges that may log in."""
    name = f"app_{db.name}"
    db.psql(f"CREATE ROLE {name} LOGIN")
    yield name
    db.psql(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def test_role_without_grants_counts_and_fits_and_no_more(db, role):
    reservation = db.psql("SELECT reservation_id FROM reserve_tokens('alice', 10)")
    with db.connect(user=role) as connection:
        assert value(connection, "SELECT tiktoken_count('cl100k_base', 'Your input text here')") \
            == 4
        assert value(connection, "SELECT count_tokens('gpt-4o', 'Hello')") == 1
        assert value(connection, f"SELECT total FROM count_messages('gpt-4o', '{MESSAGES}')") > 0
        assert value(connection, f"SELECT status FROM fit_messages('{MESSAGES}', 'gpt-4o')") \
            == "granted"
        assert value(connection, "SELECT token_cost('gpt-4o', 1000, 1000)") > 0
        assert value(connection, "SELECT max_completion_tokens('gpt-4o', 1000)") > 0
        for refused in [
            "SELECT reserve_tokens('alice', 10)", "SELECT try_reserve_tokens('alice', 10)",
            f"SELECT prepare_request('alice', 'gpt-4o', '{MESSAGES}')",
            f"SELECT try_prepare_request('alice', 'gpt-4o', '{MESSAGES}')",
            f"SELECT settle_tokens('{reservation}', 1, 1)",
            f"SELECT release_tokens('{reservation}')",
            "CALL reserve_tokens('{}')", "CALL settle_tokens('{}')",
            "CALL record_usage(request => '{}')",
            "SELECT token_mgmt.set_quota('user', 'alice', 'day', 1)",
            "SELECT token_mgmt.drop_quota('user', 'alice', 'day')",
            "SELECT token_mgmt.set_priority_share('high', 1)",
            "SELECT token_mgmt.register_model('m', 'o200k_base', 1000)",
            "SELECT token_mgmt.run_maintenance()", "SELECT token_mgmt.audit()",
            "SELECT usage_report()", "SELECT token_mgmt.usage_anomalies()",
            "SELECT token_mgmt.grant_access(session_user, 'admin')",
            "SELECT token_mgmt.revoke_access(session_user)", "SELECT issue_api_key('alice')",
            "SELECT verify_api_key('tmk_')", "SELECT rotate_api_key('tmk_')",
            "SELECT revoke_api_key('tmk_')",
            "SELECT token_mgmt._worker_step(NULL, false)",
            "SELECT token_mgmt.set_alert_rule('job_failing')",
            "SELECT token_mgmt.mute_alerts('user', 'alice', 'infinity')",
            "INSERT INTO token_mgmt.model (provider, model) VALUES ('a', 'b')",
            "DELETE FROM token_mgmt.model_price",
            *(f"SELECT * FROM token_mgmt.{table}" for table in TABLES),
        ]:
            assert (refused, sqlstate(connection, refused)) == (refused, "42501")
    assert findings(db) == []


def test_no_function_that_touches_the_books_is_open_to_all(db):
    """Of what everybody may call, nothing runs with its owner's rights or writes."""
    open_to_all = db.psql("""
        SELECT p.oid::regprocedure FROM pg_proc p
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'token_mgmt'
        WHERE (p.prosecdef OR p.provolatile = 'v') AND p.prorettype <> 'trigger'::regtype
            AND p.proname !~ '^_raise' AND (p.proacl IS NULL
                OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))""")
    assert open_to_all == ""


def test_app_access_is_enough_for_an_application(db, role):
    db.psql(f"SELECT token_mgmt.set_quota('user', '*', 'day', 1000);"
            f"SELECT token_mgmt.grant_access('{role}', 'app')")
    with db.connect(user=role) as connection:
        held = value(connection, "SELECT reservation_id FROM reserve_tokens('alice', 100)")
        tried = value(connection, "SELECT reservation_id FROM try_reserve_tokens('alice', 100)")
        prepared = value(connection, "SELECT reservation_id FROM prepare_request('alice', "
                         f"'gpt-4o', '{MESSAGES}', 100)")
        # The first settlement of the month: the role creates no table of its own.
        assert value(connection, "SELECT total_tokens FROM settle_tokens(%s, 90, 0)", [held]) == 90
        assert value(connection, "SELECT total_tokens FROM settle_tokens(%s, 9, 9)", [prepared]) \
            == 18
        assert value(connection, "SELECT status FROM release_tokens(%s)", [tried]) == "released"
        assert sqlstate(connection, "SELECT reserve_tokens('alice', 1000)") == "TM001"
        assert sqlstate(connection, "SELECT * FROM token_mgmt.usage_ledger") == "42501"
    assert db.psql("SELECT used, held FROM token_mgmt.quota_status") == "108|0"
    assert db.psql("SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class "
                   "WHERE relname ~ '^usage_ledger'") == "postgres"
    assert findings(db) == []


# Every function and operator of PostgreSQL and of the extension once more, each raising an error,
# and the extension's tables as empty ones.
HIJACK = """
    CREATE SCHEMA evil;
    DO $do$
    DECLARE
        f record;
        made integer := 0;
    BEGIN
        FOR f IN SELECT p.proname, p.provolatile, pg_get_function_identity_arguments(p.oid) AS
                arguments, pg_get_function_result(p.oid) AS result, p.prokind
            FROM pg_proc p WHERE p.prokind = 'f' AND (p.pronamespace = 'pg_catalog'::regnamespace
                OR p.pronamespace IN ('public'::regnamespace, 'token_mgmt'::regnamespace))
        LOOP
            BEGIN
                EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS '
                    '$f$ BEGIN RAISE EXCEPTION ''hijacked %I''; END $f$',
                    f.proname, f.arguments, f.result, f.proname);
                made := made + 1;
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END LOOP;
        ASSERT made > 1500, made;
        made := 0;
        FOR f IN SELECT o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r,
                o.oprresult::regtype AS result, o.oid
            FROM pg_operator o WHERE o.oprleft <> 0
        LOOP
            BEGIN
                EXECUTE format('CREATE FUNCTION evil.operator_%s(%s, %s) RETURNS %s LANGUAGE '
                    'plpgsql AS $f$ BEGIN RAISE EXCEPTION ''hijacked operator''; END $f$',
                    f.oid, f.l, f.r, f.result);
                EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.operator_%s, '
                    'LEFTARG = %s, RIGHTARG = %s)', f.oprname, f.oid, f.l, f.r);
                made := made + 1;
            EXCEPTION WHEN OTHERS THEN NULL;
            END;
        END LOOP;
        ASSERT made > 500, made;
        FOR f IN SELECT c.relname FROM pg_class c
            WHERE c.relnamespace = 'token_mgmt'::regnamespace AND c.relkind IN ('r', 'p', 'v')
        LOOP
            EXECUTE format('CREATE TABLE evil.%I (LIKE token_mgmt.%I)', f.relname, f.relname);
        END LOOP;
    END
    $do$;
    CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
    CREATE DOMAIN evil.interval AS pg_catalog.interval CHECK (false);
    CREATE DOMAIN evil.timestamptz AS pg_catalog.timestamptz CHECK (false);"""


def test_search_path_of_the_caller_changes_nothing(db, role):
    db.psql("SELECT token_mgmt.set_quota('user', '*', 'day', 1000), "
            "token_mgmt.set_quota('model', 'gpt-4o', 'month', 5000)")
    db.psql(f"SELECT token_mgmt.grant_access('{role}', 'app', 'default')")
    with db.connect() as connection:
        key = value(connection, "SELECT api_key FROM issue_api_key('keeper')")
    db.psql(HIJACK)
    db.psql(f"GRANT USAGE, CREATE ON SCHEMA evil TO {role};"
            f"GRANT ALL ON ALL TABLES IN SCHEMA evil TO {role}")

    def cycle(user, path):
        with db.connect(user=role) as connection:
            # Whoever may see everything, would be let by this one.
            connection.execute("CREATE TEMPORARY TABLE quota (LIKE token_mgmt.model);"
                               "CREATE TEMPORARY TABLE role_access AS SELECT session_user::regrole "
                               "AS role, 'admin'::token_mgmt.access_level AS level, "
                               "NULL::text AS tenant, NULL::text AS user_id")
            if path:
                connection.execute(f"SET search_path = {path}")
                # The trap is set: a caller who qualifies nothing walks into it.
                assert sqlstate(connection, "SELECT 1 = 1") == "P0001"
                assert sqlstate(connection, "SELECT gen_random_uuid()") == "P0001"
            held = row(connection, "SELECT reservation_id, status, tokens_held, tokens_remaining "
                       f"FROM public.reserve_tokens('{user}', 100, 50, 'gpt-4o', 'high', "
                       "request_id => 'one')")
            again = row(connection, "SELECT reservation_id FROM public.reserve_tokens("
                        f"'{user}', 100, 50, 'gpt-4o', 'high', request_id => 'one')")
            prepared = row(connection, "SELECT reservation_id, status, messages, tokens_held FROM "
                           f"public.prepare_request('{user}', 'gpt-4o', '{MESSAGES}', 100)")
            settled = row(connection, "SELECT total_tokens, cost, flags FROM "
                          "public.settle_tokens($1, 90, 10)".replace("$1", "%s"), [held[0]])
            released = row(connection, "SELECT status, tokens_released FROM "
                           "public.release_tokens(%s)", [prepared[0]])
            denied = sqlstate(connection, f"SELECT public.reserve_tokens('{user}', 1000)")
            counted = row(connection, "SELECT public.tiktoken_count('cl100k_base', 'Hi there'), "
                          "public.count_tokens('gpt-4o', 'Hi there'), "
                          "public.token_cost('gpt-4o', 1000, 1000), "
                          "public.max_completion_tokens('gpt-4o', 1000)")
            fitted = row(connection, "SELECT messages, prompt_tokens FROM "
                         f"public.fit_messages('{MESSAGES}', 'gpt-4o')")
            verified = row(connection, "SELECT is_valid, user_id, tenant, reason FROM "
                           "public.verify_api_key(%s)", [key])
            other = sqlstate(connection, f"SELECT public.reserve_tokens('{user}', 1, "
                             "tenant => 'other')")
            tenants = connection.execute("SELECT tenant FROM token_mgmt.open_reservations").fetchall()
            assert again[0] == held[0]
            assert other == "42501" and ("other",) not in tenants
            return (held[1:], prepared[1:], settled, released, denied, counted, fitted, verified)

    db.psql("SELECT reserve_tokens('x', 1, tenant => 'other')")
    honest = cycle("honest", None)
    assert honest[4] == "TM001"
    # Only the model's quota is shared by both, and neither comes near it.
    for number, path in enumerate(["evil, pg_catalog, public", "evil, pg_temp, pg_catalog"]):
        assert cycle(f"hijacked{number}", path) == honest
    with db.connect() as connection:
        connection.execute("SET search_path = evil, pg_catalog")
        assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []
        assert connection.execute("SELECT * FROM token_mgmt.run_maintenance()").fetchall()
        assert len(connection.execute("SELECT * FROM token_mgmt.quota_status").fetchall()) == 4



def test_operators_planted_in_the_target_schema_are_never_called(server):
    """An exact operator of the target schema beats an inexact one of pg_catalog, if that schema is
    on the path while checks and views are parsed."""
    database = server.create_database("planted", extension=False)
    try:
        with database.connect() as connection:
            for left in ("numeric", "bigint", "smallint"):
                connection.execute(f"""
                    CREATE FUNCTION public.planted({left}, integer) RETURNS boolean
                    LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'planted operator ran'; END $$""")
                for operator in (">=", "<=", ">", "<", "=", "<>"):
                    connection.execute(f"""
                        CREATE OPERATOR public.{operator} (
                            LEFTARG = {left}, RIGHTARG = integer, FUNCTION = public.planted)""")
            connection.execute("CREATE EXTENSION token_mgmt")
            connection.execute("SELECT token_mgmt.set_quota('user', 'ann', 'day', 100)")
            connection.execute("SELECT settle_tokens(reservation_id, 5, 5) "
                               "FROM reserve_tokens('ann', 10, 10, model => 'gpt-4o')")
            connection.execute("SELECT token_mgmt.run_maintenance()")
            for view in ("quota_status", "worker_status", "open_reservations", "audit()"):
                connection.execute(f"SELECT * FROM token_mgmt.{view}").fetchall()
            captured = connection.execute("""
                SELECT d.classid::regclass::text FROM pg_depend d
                JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND d.refobjid = o.oid
                WHERE o.oprnamespace = 'public'::regnamespace""").fetchall()
            assert captured == []
    finally:
        database.drop()
