"""What token_mgmt.grant_access() gives is all that a role sees and touches, through every view and
function, whatever it sets. All that is not its own has "foreign" in its name."""

from pathlib import Path

import psycopg
import pytest

from books import findings, row, sqlstate, value

# Only the extension's owner and superusers.
OWNERS_ONLY = {"audit", "run_maintenance", "grant_access", "revoke_access", "usage_anomalies"}
REFUSED = {"42501", "P0002", "TM007"}
MESSAGES = '[{"role": "user", "content": "Hi"}]'

PUBLIC_OBJECTS = """
    SELECT p.proname FROM pg_proc p
    JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'token_mgmt'
    WHERE p.proname !~ '^_' AND NOT has_function_privilege(%(role)s, p.oid, 'EXECUTE')
    UNION
    SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'token_mgmt'::regnamespace
        AND c.relkind = 'v' AND c.relname !~ '^_'
        AND NOT has_table_privilege(%(role)s, c.oid, 'SELECT')"""


class Roles:
    """Roles of this database: their names are those of the whole server."""

    def __init__(self, db):
        self.db = db
        self.made = []

    def make(self, name, *grants, options="LOGIN"):
        role = f"{name}_{self.db.name}"
        self.db.psql(f"CREATE ROLE {role} {options}")
        self.made.append(role)
        for grant in grants:
            self.db.psql(f"SELECT token_mgmt.grant_access('{role}', {grant})")
        return role


@pytest.fixture
def roles(db):
    made = Roles(db)
    yield made
    for role in reversed(made.made):
        db.psql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


@pytest.fixture
def books(db):
    """The books of tenant acme with alice and a foreign user, and of a foreign tenant. Returns
    what may be named in calls: ids and keys."""
    ids = {}
    with db.connect() as connection:
        for tenant, user in [("acme", "alice"), ("acme", "foreign-user"),
                             ("foreign", "foreign-user"), ("foreign", "alice")]:
            name = f"{user}-of-{tenant}"
            of = {"tenant": tenant, "user": user, "name": name}
            connection.execute("""
                SELECT token_mgmt.set_quota('user', %(user)s, 'total', 1000, tenant => %(tenant)s),
                    token_mgmt.set_quota('user', '*', 'day', 2000, tenant => %(tenant)s),
                    token_mgmt.set_agent(%(tenant)s, '{}', %(tenant)s),
                    add_message(%(name)s, 'user', 'Hi', user_id => %(user)s,
                        tenant => %(tenant)s)""", of)
            key = value(connection, "SELECT api_key FROM issue_api_key(%(user)s, %(name)s, "
                        "expires_in => '1 day', tenant => %(tenant)s)", of)
            reserve = ("SELECT reservation_id FROM reserve_tokens(%(user)s, 10, session_id => "
                       "%(name)s, api_key => %(name)s, tenant => %(tenant)s)")
            held = value(connection, reserve, of)
            settled = value(connection, reserve, of)
            connection.execute("SELECT settle_tokens(%s, 9, 0)", [settled])
            connection.execute("""
                SELECT token_mgmt._raise_alert(%(tenant)s, 'quota_threshold', 'user', %(user)s, '1',
                    now(), now() + interval '1 hour', 0.8, %(name)s, '{}')""", of)
            ids[tenant, user] = {"reservation": held, "key": key, "session": name}
    return ids


def visible(connection):
    """Everything that every view shows, as text."""
    views = connection.execute("""
        SELECT c.oid::regclass::text FROM pg_class c
        WHERE c.relnamespace = 'token_mgmt'::regnamespace AND c.relkind = 'v'
            AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1""").fetchall()
    return {view: connection.execute(f"SELECT v::text FROM {view} v").fetchall()
            for view, in views}


SETTINGS = ["SET token_mgmt.tenant = 'foreign'", "SET token_mgmt.tenant = 'acme'",
            "SET search_path = pg_temp, token_mgmt, public", "SET row_security = off",
            "SET enable_nestloop = off", "SET session_replication_role = replica",
            "SET session_authorization = postgres", "SET ROLE postgres"]


def test_reader_sees_only_what_its_grant_says_whatever_it_sets(db, roles, books):
    whole = roles.make("reader", "'reader', 'acme'")
    alone = roles.make("alice", "'reader', 'acme', 'alice'")
    for role, is_seen, hidden in [(whole, "foreign-user", "alice-of-foreign"),
                                  (alone, "alice", "foreign")]:
        for setting in [None, *SETTINGS]:
            with db.connect(user=role) as connection:
                if setting is not None:
                    sqlstate(connection, setting)
                connection.execute("SELECT set_config('search_path', 'pg_catalog', false)")
                seen = visible(connection)
                assert {"token_mgmt.quota_status", "token_mgmt.open_reservations",
                        "token_mgmt.api_keys"} <= set(seen)
                for view, rows in seen.items():
                    assert rows, (setting, view)
                    assert is_seen in str(rows) and hidden not in str(rows), (setting, view, rows)
                    assert "(foreign," not in str(rows), (setting, view, rows)


def test_name_of_a_session_shows_nobody_what_others_used_under_it(db, roles):
    app = roles.make("alice", "'app', 'default', 'alice'")
    reader = roles.make("reader", "'reader', 'default', 'alice'")
    whole = roles.make("whole", "'reader', 'default'")
    use = "SELECT record_usage(%s, %s, 1, model => 'gpt-4o', session_id => 'chat', agent => 'bot')"
    # Rolled up, in the ledger only, and in the sum that budgets follow.
    with db.connect() as connection:
        connection.execute("SELECT token_mgmt.set_agent('bot', '{\"follow_usage\": true}')")
        for tokens in (700, 70, 7):
            connection.execute(use, ["bob", tokens])
            connection.execute("SELECT token_mgmt.run_maintenance()")
        connection.execute(use, ["bob", 1])
    with db.connect(user=app) as connection:
        assert sqlstate(connection, "SELECT session_metrics('chat')") == "P0002"
        connection.execute("SELECT add_message('chat', 'user', 'Hi', user_id => 'alice')")
        metrics = "SELECT session_metrics('chat')"
        assert value(connection, metrics)["totalTokens"] == 0
        assert "gpt-4o" not in str(value(connection, metrics))
        connection.execute(use, ["alice", 20])
        assert value(connection, metrics)["totalTokens"] == 21
        full = value(connection, "SELECT completion_tokens FROM prepare_request('alice', 'gpt-4o', "
                     "%s, session_id => 'chat', agent => 'bot')", [MESSAGES])
        assert full == value(connection, "SELECT completion_tokens FROM prepare_request('alice', "
                             "'gpt-4o', %s, agent => 'bot')", [MESSAGES])
    with db.connect(user=reader) as connection:
        assert value(connection, metrics)["totalTokens"] == 21
    with db.connect(user=whole) as connection:
        assert value(connection, metrics)["totalTokens"] == 803


def test_explanation_leaves_out_what_others_have_of_a_shared_quota(db, roles):
    app = roles.make("alice", "'app', 'default', 'alice'")
    whole = roles.make("whole", "'app', 'default'")
    with db.connect() as connection:
        for scope, name in [("user", "alice"), ("team", "red"), ("session", "chat")]:
            connection.execute("SELECT token_mgmt.set_quota(%s, %s, 'total', 1000)", [scope, name])
        connection.execute("SELECT reserve_tokens('bob', 300, team => 'red', session_id => 'chat')")
        connection.execute("SELECT reserve_tokens('alice', 100, team => 'red')")
    explain = ("SELECT scope, used, held, amount, free, available, fits, "
               "jsonb_array_length(holders) FROM explain_reservation('alice', 10, team => 'red', session_id => 'chat')")
    own = ("user", 0, 100, 1000, 900, 900, True, 1)
    with db.connect(user=app) as connection:
        assert connection.execute(explain).fetchall() == [
            own, ("team", None, None, None, None, 600, True, 0),
            ("session", None, None, None, None, 700, True, 0)]
    with db.connect(user=whole) as connection:
        assert connection.execute(explain).fetchall() == [
            own, ("team", 0, 400, 1000, 600, 600, True, 2),
            ("session", 0, 300, 1000, 700, 700, True, 1)]


# A function that a caller writes sees no row that the view does not show.
PEEP = """
    CREATE FUNCTION pg_temp.peep(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
    BEGIN
        RAISE EXCEPTION 'saw %%', $1 USING ERRCODE = 'P0999';
    END $$"""


def test_views_evaluate_no_condition_of_the_caller_on_foreign_rows(db, roles, books):
    role = roles.make("nobodys", "'reader', 'acme', 'nobody'")
    with db.connect(user=role) as connection:
        connection.execute(PEEP.replace("%%", "%"))
        for view in ("quota_status", "open_reservations", "api_keys"):
            peep = f"SELECT * FROM token_mgmt.{view} v WHERE pg_temp.peep(v.tenant)"
            assert connection.execute(peep).fetchall() == []


def test_views_call_no_operator_of_the_callers_search_path(db, roles, books):
    """With one's own operators and functions first, no view lets them see foreign numbers."""
    role = roles.make("hijacker", "'reader', 'acme', 'alice'")
    db.psql("SELECT token_mgmt.set_quota('user', 'foreign-user', 'minute', 1000, "
            "tenant => 'foreign', options => '{\"kind\": \"bucket\"}')")
    with db.connect() as connection:
        connection.execute("SELECT record_usage('foreign-user', 7, tenant => 'foreign')")
        connection.execute(f"CREATE SCHEMA evil AUTHORIZATION {role}")
    with db.connect(user=role) as connection:
        operators = connection.execute("""
            SELECT DISTINCT o.oprname, o.oprleft::regtype::text, o.oprright::regtype::text,
                o.oprresult::regtype::text
            FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace
                AND o.oprleft IN ('numeric'::regtype, 'timestamptz'::regtype, 'text'::regtype)
                AND o.oprright IN ('numeric'::regtype, 'timestamptz'::regtype, 'interval'::regtype,
                    'text'::regtype)""").fetchall()
        for number, (name, left, right, result) in enumerate(operators):
            connection.execute(f"""
                CREATE FUNCTION evil.f{number}({left}, {right}) RETURNS {result}
                LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''saw % and %'', $1, $2; END'""")
            connection.execute(f"""
                CREATE OPERATOR evil.{name}
                    (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.f{number})""")
        for function in ("trunc(numeric, integer)", "date_trunc(text, timestamptz, text)",
                         "trim_scale(numeric)"):
            name, _, result = function.partition("(")
            connection.execute(f"""
                CREATE FUNCTION evil.{function} RETURNS {"timestamptz" if "date" in name
                                                         else "numeric"}
                LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''saw %'', $1; END'""")
        connection.execute("SET search_path = evil, pg_catalog, public")
        for view in visible(connection):
            assert sqlstate(connection, f"SELECT v::text FROM {view} v") is None, view


READS = {"usage_report", "session_history", "should_summarize", "session_metrics", "user_metrics",
         "_agent_settings", "_session_summary"}


def calls(connection, of):
    """Calls of every function that this role may execute, with what is another's wherever an
    argument can name it."""
    named = {
        "user_id": of["user"], "tenant": of["tenant"], "session_id": of["session"],
        "reservation_id": of["reservation"], "prompt_tokens": 1, "completion_tokens": 1,
        "model": "gpt-4o", "messages": MESSAGES, "scope": "user", "value": of["user"],
        "period": "total", "amount": 1, "api_key": of["session"], "agent": of["tenant"],
        "settings": "{}", "priority": "low", "share": 0.5, "encoding": "o200k_base",
        "context_window": 1000, "upto": 1, "content": "x", "role": "user", "name": "new",
        "completion_content": "x", "request": None, "until": "infinity", "ttl": "1 hour",
        "kind": "quota_threshold", "usage": '{"input_tokens": 1, "output_tokens": 1}',
        "config": '{"tenant": "%s", "priorities": {"low": 0.4}}' % of["tenant"], "max_tokens": 100, "options": "{}",
    }
    functions = connection.execute("""
        SELECT p.oid::regproc::text, p.prokind, p.proname,
            ARRAY(SELECT a FROM unnest(p.proargnames) WITH ORDINALITY u (a, i)
                WHERE i <= p.pronargs ORDER BY i),
            ARRAY(SELECT t::regtype::text FROM unnest(p.proargtypes) WITH ORDINALITY u (t, i)
                ORDER BY i), p.pronargs - p.pronargdefaults
        FROM pg_proc p
        JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            AND d.deptype = 'e'
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'token_mgmt'
        WHERE p.prosecdef AND has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1""").fetchall()
    for function, kind, name, arguments, types, required in functions:
        if kind == "p":
            wanted = {"reservation_id", "prompt_tokens", "completion_tokens"} \
                if name == "settle_tokens" else {"user_id", "tenant", "prompt_tokens"}
            yield name, (f"CALL {function}(jsonb_build_object("
                         + ", ".join(f"'{a}', '{named[a]}'" for a in sorted(wanted)) + "))"), []
            continue
        given = [(a, t, named[a]) for i, (a, t) in enumerate(zip(arguments, types))
                 if a in named and (i < required or a in ("tenant", "user_id"))]
        assert required <= len(given), (function, "an argument that this test does not know")
        if name == "add_message":
            given += [("role", "text", "user"), ("content", "text", "x")]
        if name == "record_usage":
            given += [("prompt_tokens", "integer", 1)]
        if "prepare" in name:
            given += [("messages", "jsonb", MESSAGES)]
        yield name, f"SELECT {function}(" + ", ".join(
            f"{a} => %s::{t}" for a, t, _ in given) + ")", [v for _, _, v in given]


def contents(db):
    """Every row that a call could write; the worker writes others meanwhile."""
    return {table: db.psql(f"SELECT t FROM token_mgmt.{table} t ORDER BY t::text")
            for table in ("quota", "quota_period", "priority_share", "reservation", "usage_ledger",
                          "session", "message", "agent", "api_key", "role_access",
                          "config_change", "dropped_quota")}


@pytest.mark.parametrize("level", ["reader", "app", "admin"])
@pytest.mark.parametrize("whose", ["tenant", "user"])
def test_no_function_touches_what_is_of_another(db, roles, books, level, whose):
    if (level, whose) == ("admin", "user"):
        grants = ["'app', 'acme', 'alice'", "'reader', 'acme'"]
    else:
        grants = [f"'{level}', 'acme'" + (", 'alice'" if whose == "user" else "")]
    role = roles.make(level, *grants)
    of = ("foreign", "alice") if whose == "tenant" else ("acme", "foreign-user")
    of = books[of] | {"tenant": of[0], "user": of[1]}
    before = contents(db)
    wrong, seen = [], set()
    with db.connect(user=role) as connection:
        connection.execute(f"SET token_mgmt.tenant = '{of['tenant']}'")
        for name, call, parameters in list(calls(connection, of)):
            # Who reads all of the tenant may read; and agents are the tenant's, not a user's.
            if name in (READS if len(grants) > 1 else {"_agent_settings"} if whose == "user"
                        else ()):
                continue
            try:
                answer = row(connection, call, parameters)
            except psycopg.Error as error:
                answer = error.sqlstate
            seen.add(name)
            is_refused = answer in REFUSED or name == "verify_api_key" and "unknown" in str(answer)
            if not is_refused:
                wrong.append((name, call, parameters, answer))
        # The key itself is worth no more to who has no access to its user.
        if level != "reader":
            assert row(connection, "SELECT is_valid, name FROM verify_api_key(%s)", [of["key"]]) \
                == (False, None)
            for call in ("reserve_tokens(NULL, 1, api_key => %s)", "rotate_api_key(%s)",
                         "revoke_api_key(%s)"):
                assert sqlstate(connection, f"SELECT {call}", [of["key"]]) == "TM007"
    assert wrong == []
    assert contents(db) == before
    assert len(seen) >= (5 if level == "reader" else 14)
    assert findings(db) == []


def test_every_object_is_of_one_level_or_its_owners(db, roles):
    """What is added has to be decided on: a level of access, or nobody's but the owner's."""
    admin = roles.make("admin", "'admin'")
    with db.connect() as connection:
        closed = {name for name, in connection.execute(PUBLIC_OBJECTS, {"role": admin})}
    assert closed == OWNERS_ONLY


def test_tables_are_nobodys(db, roles):
    admin = roles.make("admin", "'admin'")
    readable = db.psql(f"""
        SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'token_mgmt'::regnamespace
            AND c.relkind IN ('r', 'p', 'S') AND (c.relkind = 'S'
                AND has_sequence_privilege('{admin}', c.oid, 'USAGE, SELECT, UPDATE')
                OR c.relkind <> 'S' AND (has_table_privilege('{admin}', c.oid, 'INSERT, UPDATE')
                OR has_table_privilege('{admin}', c.oid, 'DELETE, TRUNCATE')
                OR has_table_privilege('{admin}', c.oid, 'SELECT')
                    AND c.relname NOT IN ('model', 'model_price')))""")
    assert readable == ""
    with db.connect(user=admin) as connection:
        for call in ["token_mgmt.grant_access(session_user, 'admin')",
                     "token_mgmt.revoke_access(session_user)", "token_mgmt.run_maintenance()",
                     "token_mgmt._has_access('a', 'b', 'app')", "token_mgmt._caller()"]:
            assert (call, sqlstate(connection, f"SELECT {call}")) == (call, "42501")


def test_tenant_setting_chooses_among_the_granted_and_never_widens(db, roles):
    role = roles.make("app", "'app', 'acme'", "'app', 'beta'", "'reader', 'gamma'")
    with db.connect(user=role) as connection:
        reserve = "SELECT reserve_tokens('alice', 1)"
        assert sqlstate(connection, reserve) == "42501"
        for tenant, code in [("acme", None), ("beta", None), ("gamma", "42501"), ("", "42501")]:
            connection.execute("SELECT set_config('token_mgmt.tenant', %s, false)", [tenant])
            assert (tenant, sqlstate(connection, reserve)) == (tenant, code)
        assert connection.execute("SELECT DISTINCT tenant FROM token_mgmt.open_reservations "
                                  "ORDER BY 1").fetchall() == [("acme",), ("beta",)]


def test_role_has_what_the_roles_have_that_it_inherits_from(db, roles, books):
    acme = roles.make("acme", "'app', 'acme'", options="NOLOGIN")
    foreign = roles.make("foreign", "'app', 'foreign'", options="NOLOGIN")
    both = roles.make("both", options=f"LOGIN IN ROLE {acme}, {foreign}")
    none = roles.make("none", options=f"LOGIN NOINHERIT IN ROLE {acme}, {foreign}")
    tenants = "SELECT string_agg(DISTINCT tenant, ' ' ORDER BY tenant) FROM token_mgmt.api_keys"
    with db.connect(user=both) as connection:
        assert value(connection, tenants) == "acme foreign"
        connection.execute(f"SET ROLE {acme}")
        assert value(connection, tenants) == "acme"
        assert sqlstate(connection, "SELECT reserve_tokens('a', 1, tenant => 'foreign')") == "42501"
    with db.connect(user=none) as connection:
        assert sqlstate(connection, tenants) == "42501"
        connection.execute(f"SET ROLE {foreign}")
        assert value(connection, tenants) == "foreign"
        assert sqlstate(connection, "SELECT reserve_tokens('a', 1, tenant => 'acme')") == "42501"


def test_rights_of_whoever_wrote_a_function_are_not_the_callers(db, roles, books):
    caller = roles.make("caller", "'app', 'acme'")
    db.psql("""
        CREATE FUNCTION lend() RETURNS uuid LANGUAGE sql SECURITY DEFINER AS
            $$ SELECT reservation_id FROM reserve_tokens('x', 1, tenant => 'foreign') $$;
        CREATE FUNCTION own() RETURNS uuid LANGUAGE sql SECURITY DEFINER AS
            $$ SELECT reservation_id FROM reserve_tokens('x', 1, tenant => 'acme') $$""")
    with db.connect(user=caller) as connection:
        assert sqlstate(connection, "SELECT lend()") == "42501"
        assert sqlstate(connection, "SELECT own()") is None


def test_maintenance_by_a_superuser_lends_a_tables_owner_nothing(db, roles, books):
    """REINDEX and ANALYZE evaluate expressions of the table's owner in the superuser's session."""
    owner = roles.make("owner", "'app', 'acme', 'alice'")
    db.psql(f"CREATE SCHEMA own AUTHORIZATION {owner}")
    body = "CREATE OR REPLACE FUNCTION own.f(i integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql"
    before = contents(db)
    with db.connect(user=owner) as connection:
        connection.execute(f"{body} AS $$ BEGIN RETURN i; END $$")
        connection.execute("CREATE TABLE own.t AS SELECT 1 AS i; CREATE INDEX ON own.t (own.f(i))")
        connection.execute(f"""{body} AS $$ BEGIN
            ASSERT (SELECT count(*) FROM token_mgmt.api_keys) = 1;
            PERFORM public.reserve_tokens('x', 1, tenant => 'foreign');
            RETURN i; END $$""")
    with db.connect() as superuser:
        for statement in ("REINDEX TABLE own.t", "ANALYZE own.t"):
            assert (statement, sqlstate(superuser, statement)) == (statement, "42501")
    assert contents(db) == before


def test_privileges_follow_the_highest_level_that_is_left(db, roles):
    role = roles.make("role", "'reader', 'acme'", "'app', 'acme', 'alice'", "'admin', 'beta'")
    with db.connect() as admin, db.connect(user=role) as connection:
        def can():
            return [sqlstate(connection, call) is None for call in
                    ("SELECT FROM token_mgmt.quota_status",
                     "SELECT reserve_tokens('alice', 1, tenant => 'acme')",
                     "SELECT token_mgmt.set_quota('team', 'a', 'day', 1, tenant => 'beta')")]

        revoke = "SELECT token_mgmt.revoke_access(%s, %s)"
        assert can() == [True, True, True]
        assert value(admin, revoke, [role, "admin"]) == 1
        assert can() == [True, True, False]
        assert sqlstate(connection, "SELECT reserve_tokens('bob', 1, tenant => 'acme')") == "42501"
        assert value(admin, revoke, [role, "app"]) == 1
        assert can() == [True, False, False]
        assert sqlstate(admin, f"DROP ROLE {role}") == "2BP01"
        assert value(admin, revoke, [role, None]) == 1
        assert can() == [False, False, False]
        # Nothing is left that would keep the role.
        with admin.transaction(force_rollback=True):
            admin.execute(f"DROP ROLE {role}")
        assert sqlstate(admin, "SELECT token_mgmt.grant_access('no such role', 'app')") == "42704"
        assert sqlstate(admin, f"SELECT token_mgmt.grant_access('{role}', 'owner')") == "22023"
        assert sqlstate(admin, f"SELECT token_mgmt.grant_access('{role}', 'admin', 'a', 'b')") \
            == "22023"
        assert sqlstate(admin, f"SELECT token_mgmt.grant_access('{role}', 'app', '*')") == "22023"


def test_role_of_any_name_is_granted_to(db, roles):
    name = 'odd"; DROP TABLE canary; --\' $$ %I ' + db.name
    with db.connect() as admin:
        admin.execute("CREATE TABLE canary ()")
        admin.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(name)))
        admin.execute("SELECT token_mgmt.grant_access(%s, 'app', 'acme')", [name])
        admin.execute(psycopg.sql.SQL("SET ROLE {}").format(psycopg.sql.Identifier(name)))
        admin.execute("SELECT reserve_tokens('alice', 1, tenant => 'acme')")
        admin.execute("RESET ROLE")
        assert value(admin, "SELECT token_mgmt.revoke_access(%s)", [name]) == 1
        admin.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(name)))
        assert sqlstate(admin, "SELECT FROM canary") is None


def test_access_is_dumped_under_the_names_of_roles_that_are(db, roles, books):
    role = roles.make("kept", "'app', 'acme'")
    gone = f"gone_{db.name}"
    db.psql(f"CREATE ROLE {gone}; SELECT token_mgmt.grant_access('{gone}', 'app'); "
            f"DROP OWNED BY {gone}; DROP ROLE {gone}")
    restored = db.cluster.create_database(f"{db.name}_restored", extension=False)
    try:
        path = str(db.cluster.directory / "access.dump")
        db.run("pg_dump", "-Fc", "-f", path)
        restored.run("pg_restore", "--exit-on-error", "-d", restored.name, path)
        assert restored.psql("SELECT role, level, tenant FROM token_mgmt.role_access") \
            == f"{role}|app|acme"
        with restored.connect(user=role) as connection:
            assert sqlstate(connection, "SELECT reserve_tokens('a', 1, tenant => 'acme')") is None
            assert sqlstate(connection, "SELECT reserve_tokens('a', 1)") == "42501"
            assert "foreign," not in str(visible(connection))
    finally:
        restored.drop()


def test_the_page_on_privileges_names_what_each_level_opens(db):
    page = (Path(__file__).parents[2] / "docs" / "privileges.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines()
            if line.startswith(("| `reader` |", "| `app` |", "| `admin` |"))}
    with db.connect() as connection:
        opened = connection.execute("""
            SELECT DISTINCT level::text, substring(object FROM '([a-z_]+)(?:\\(|$)')
            FROM token_mgmt._level_objects()""").fetchall()
    missing = {(level, name) for level, name in opened
               if not name.startswith("_") and f"{name}`" not in rows[level]}
    assert len(opened) > 40 and missing == set()


def test_admin_of_a_tenant_loads_alerts_of_that_tenant_only(db, roles):
    admin = roles.make("admin", "'admin', 'acme'")
    db.psql("SELECT token_mgmt.set_alert_rule('job_failing', '{5}')")
    load = "SELECT token_mgmt.load_config(%s)"
    mine = '{"tenant": "acme", "alerts": [{"kind": "key_expiring", "thresholds": [3]}]}'
    jobs = mine.replace("key_expiring", "job_failing")
    with db.connect(user=admin) as connection:
        assert value(connection, load, [mine]) == 1
        assert sqlstate(connection, load, [jobs]) == "42501"
        assert value(connection, "SELECT token_mgmt.dump_config('acme') -> 'alerts'") == [
            {"kind": "key_expiring", "scope": "*", "value": "*", "thresholds": [3],
             "is_enabled": True}]
        assert sqlstate(connection, load, [mine.replace("acme", "foreign")]) == "42501"
