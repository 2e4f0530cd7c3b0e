"""pg_dump in one month, restore in a later one, on a server whose worker is there already; and the
same by pg_upgrade to a later major version, where scripts/pg_upgrade.sh has prepared one.

The worker may end what is overdue and open and close periods as soon as it sees the tables: that
is its work, and everything else must come back as it was.
"""

import pytest

from books import findings, row, sqlstate, value
from cluster import Database, wait_until
from timed_cluster import TimedCluster
from upgraded_cluster import AVAILABLE, UpgradedCluster

DUMPED_AT = "2026-11-30 23:58"
RESTORED_AT = "2026-12-02 00:10"
FAST = {"token_mgmt.worker_naptime": "100ms"}
WAYS = ["custom-public", "custom-app", "plain-public", "plain-app", "jobs-public"]
if AVAILABLE:
    WAYS += ["upgrade-public", "upgrade-app"]
TABLES = {
    "quota": "SELECT to_jsonb(t) - 'removed_until' FROM token_mgmt.quota t",
    "priority_share": "SELECT to_jsonb(t) FROM token_mgmt.priority_share t",
    "model": "SELECT to_jsonb(t) FROM token_mgmt.model t",
    "agent": "SELECT to_jsonb(t) FROM token_mgmt.agent t",
    "session": "SELECT to_jsonb(t) FROM token_mgmt.session t",
    "message": "SELECT to_jsonb(t) FROM token_mgmt.message t",
    "model_price": "SELECT to_jsonb(t) FROM token_mgmt.model_price t",
    # Short ones are removed once they are over, which the quota remembers, and what is held changes
    # with the overdue.
    "quota_period": "SELECT to_jsonb(t) - 'closed_at' - 'held' FROM token_mgmt.quota_period t "
                    "WHERE ends_at > starts_at + interval '1 hour'",
    "reservation": "SELECT to_jsonb(t) FROM token_mgmt.reservation t "
                   "WHERE user_id <> 'overdue'",
    "usage_ledger": "SELECT to_jsonb(t) || jsonb_build_object('partition', tableoid::regclass) "
                    "FROM token_mgmt.usage_ledger t",
    # What is not rolled up yet may be, by the worker, and the sum is the same.
    "usage_daily": "SELECT to_jsonb(t) FROM token_mgmt.usage_daily t",
    "ledger_carried": "SELECT to_jsonb(t) FROM token_mgmt.ledger_carried t",
    "config_change": "SELECT to_jsonb(t) FROM token_mgmt.config_change t",
    "dropped_quota": "SELECT to_jsonb(t) FROM token_mgmt.dropped_quota t",
}


def snapshot(database):
    with database.connect() as connection:
        return {table: sorted((str(line[0]) for line in connection.execute(sql)))
                for table, sql in TABLES.items()}


class Source:
    """A database with a past: what was done in it, and in which schema its functions are."""

    def __init__(self, cluster, name, schema):
        self.schema = schema
        self.database = cluster.create_database(name, extension=False)
        self.database.psql(f"CREATE SCHEMA IF NOT EXISTS {schema}; "
                           f"CREATE EXTENSION token_mgmt SCHEMA {schema};")
        self.reservation = {}

    def reserve(self, user, tokens, ttl="7 days", more=""):
        with self.database.connect() as connection:
            self.reservation[user] = value(
                connection, f"SELECT reservation_id FROM {self.schema}.reserve_tokens(%s, %s, 10, "
                f"ttl => %s, request_id => %s {more})", [user, tokens, ttl, f"request of {user}"])

    def settle(self, user, prompt):
        self.database.psql(f"SELECT * FROM {self.schema}.settle_tokens("
                           f"'{self.reservation[user]}', {prompt}, 3)")


def live_through_two_months(cluster, source):
    """What every state of the books looks like, from October to the last minutes of November."""
    cluster.set_instant("2026-10-30 12:00")
    source.database.psql("""
        SELECT token_mgmt.set_quota('user', 'alice', 'day', 10000),
            token_mgmt.set_quota('user', '*', 'month', 20000),
            token_mgmt.set_quota('team', 'search', 'month', 30000, time_zone => 'Europe/Berlin'),
            token_mgmt.set_quota('model', 'gpt-4o', 'minute', 40000),
            token_mgmt.set_quota('tenant', 'acme', 'total', 50000, tenant => 'acme'),
            token_mgmt.set_quota('agent', 'gone', 'total', 60000);
        SELECT token_mgmt.set_priority_share('low', 0.1);
        SELECT token_mgmt.register_model('house/tuned-1', 'o200k_base', 64000, 8000,
            input_usd_per_mtok => 1.5, output_usd_per_mtok => 6);
        SELECT token_mgmt.set_agent('storyteller_32k', '{"max_system_tokens": 5000}');""")
    source.database.psql(f"""
        SELECT FROM {source.schema}.add_message('chat', 'user', 'Hello!', user_id => 'alice',
            model => 'house/tuned-1', agent => 'storyteller_32k', importance => 0.5);
        SELECT FROM {source.schema}.add_message('chat', 'assistant', 'Hello, Alice.');
        SELECT FROM {source.schema}.save_summary('chat', 1, 'They greeted each other.');""")
    source.reserve("alice", 100, more=", model => 'house/tuned-1', team => 'search'")
    source.settle("alice", 90)
    source.database.psql("SELECT token_mgmt._roll_up(1000)")
    source.reserve("gpt", 50, more=", model => 'gpt-4o', metadata => '{\"order\": 17}'")
    source.settle("gpt", 60)
    cluster.set_instant("2026-11-20 12:00")
    source.reserve("alice", 100, more=", tenant => 'acme'")
    source.settle("alice", 90)
    source.reserve("given_back", 20)
    source.database.psql(f"SELECT * FROM {source.schema}.release_tokens("
                         f"'{source.reservation['given_back']}')")
    cluster.set_instant("2026-11-30 23:50")
    source.reserve("held", 200, more=", team => 'search'")
    source.reserve("held_too", 1, more=", agent => 'gone'")
    source.reserve("expired", 30, ttl="1 minute")
    cluster.set_instant("2026-11-30 23:55")
    source.database.psql("SELECT * FROM token_mgmt.run_maintenance()")
    source.reserve("overdue", 40, ttl="1 minute", more=", team => 'search'")
    source.database.psql("""
        SELECT token_mgmt.drop_quota('agent', 'gone', 'total');
        UPDATE token_mgmt.dropped_quota SET dropped_at = dropped_at - interval '2 days';""")
    cluster.set_instant(DUMPED_AT)
    source.before = snapshot(source.database)
    # Those of October are past their retention: only the ledger knows them.
    states = source.database.psql("SELECT user_id, state FROM token_mgmt.reservation")
    assert sorted(states.splitlines()) == ["alice|settled", "expired|expired",
                                           "given_back|released", "held_too|held", "held|held",
                                           "overdue|held"]


@pytest.fixture(scope="module")
def old():
    """Where the dumps come from."""
    cluster = TimedCluster("dump_old", DUMPED_AT, preload=False).start()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="module")
def sources(old):
    made = {}
    for schema in ("public", "app"):
        made[schema] = Source(old, f"books_{schema}", schema)
        live_through_two_months(old, made[schema])
    return made


@pytest.fixture(scope="module")
def new():
    """Where they are restored, in a later month, with a worker that looks ten times a second."""
    cluster = TimedCluster("dump_new", RESTORED_AT, settings=FAST).start()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="module")
def upgraded(old, sources):
    old.stop()
    cluster = UpgradedCluster("upgraded", old, RESTORED_AT, FAST)
    old.start()
    yield cluster.start()
    cluster.destroy()


def restore(how, source, target, file):
    if how == "plain":
        source.run("pg_dump", "-f", str(file))
        target.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file))
        return
    source.run("pg_dump", "-Fc", "-f", str(file))
    jobs = ["-j", "4"] if how == "jobs" else []
    target.run("pg_restore", "--exit-on-error", *jobs, "-d", target.name, str(file))


@pytest.fixture(scope="module", params=WAYS)
def restored(request, sources, old, new, tmp_path_factory):
    """The source, and the database that its dump was restored into, or its server upgraded."""
    how, schema = request.param.split("-")
    source = sources[schema]
    if how == "upgrade":
        return source, Database(request.getfixturevalue("upgraded"), source.database.name)
    old.set_instant(DUMPED_AT)
    target = new.create_database(f"restored_{how}_{schema}", extension=False)
    restore(how, source.database, target, tmp_path_factory.mktemp("dump") / "file")
    return source, target


def test_every_table_and_sequence_is_dumped(db):
    """Those of an extension are not, unless it asks for it. These tell of one server, or are learned
    again."""
    with db.connect() as connection:
        left_out = connection.execute("""
            SELECT c.relname FROM pg_extension e
            JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                AND d.deptype = 'e'
            JOIN pg_class c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
            WHERE e.extname = 'token_mgmt' AND c.relkind IN ('r', 'p', 'S')
                    AND c.oid <> ALL (e.extconfig) ORDER BY 1""").fetchall()
    assert left_out == [("alert_sweep",), ("completion_history",), ("installation",),
                        ("quota_wait",), ("worker_job",)]


def test_everything_is_there_again(restored):
    source, target = restored
    after = snapshot(target)
    # The worker opens periods of its own; those of the dump are as they were.
    keys = set(source.before["quota_period"])
    after["quota_period"] = [line for line in after["quota_period"] if line in keys]
    assert after == source.before
    partitions = target.psql("SELECT tableoid::regclass, count(*) FROM token_mgmt.usage_ledger "
                             "GROUP BY 1 ORDER BY 1")
    assert partitions.splitlines() == ["token_mgmt.usage_ledger_2026_10|2",
                                       "token_mgmt.usage_ledger_2026_11|1"]
    assert findings(target) == []


def test_worker_takes_over(restored):
    _, target = restored
    wait_until(lambda: target.psql("SELECT state FROM token_mgmt.reservation "
                                   "WHERE user_id = 'overdue'") == "expired",
               what="the expiry of the overdue hold")
    wait_until(lambda: target.psql("SELECT status FROM token_mgmt.worker_status "
                                   "WHERE job = 'worker'") == "running",
               what="a pass of the worker")
    assert target.psql("SELECT * FROM token_mgmt.worker_status WHERE failures > 0") == ""
    assert findings(target) == []


def test_restored_ledger_is_as_strict_as_before(restored):
    _, target = restored
    with target.connect() as connection:
        for table in ("usage_ledger", "usage_ledger_2026_10"):
            assert sqlstate(connection, f"DELETE FROM token_mgmt.{table}") == "55000"
            assert sqlstate(connection, f"UPDATE token_mgmt.{table} SET cost = 0") == "55000"
        doubled = "INSERT INTO token_mgmt.usage_ledger SELECT * FROM token_mgmt.usage_ledger"
        assert sqlstate(connection, doubled) == "23505"
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger_default") == 0


def test_request_ids_of_before_are_known(restored):
    source, target = restored
    with target.connect() as connection:
        again = row(connection, f"SELECT reservation_id, status FROM {source.schema}."
                    "reserve_tokens('held', 200, 10, ttl => '7 days', request_id => "
                    "'request of held', team => 'search')")
        assert again == (source.reservation["held"], "granted")
        changed = f"SELECT {source.schema}.reserve_tokens('held', 201, 10, ttl => '7 days', " \
                  "request_id => 'request of held', team => 'search')"
        assert sqlstate(connection, changed) == "TM005"


def test_hold_of_before_is_settled_into_a_month_of_its_own(restored):
    source, target = restored
    with target.connect() as connection:
        flags, recorded = row(connection, "SELECT flags, recorded_at::date::text FROM "
                              f"{source.schema}.settle_tokens(%s, 120, 5)",
                              [source.reservation["held"]])
        assert (flags, recorded) == ([], "2026-12-02")
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger_2026_12") == 1
        # To November, which held it, and not to December.
        charged = connection.execute(
            "SELECT scope_value, used FROM token_mgmt.quota_period WHERE scope_value IN "
            "('held', 'search') AND starts_at >= '2026-11-01' AND used > 0 ORDER BY 1").fetchall()
        assert charged == [("held", 125), ("search", 125)]
        too_late = f"SELECT {source.schema}.settle_tokens(%s, 1, 1)"
        assert sqlstate(connection, too_late, [source.reservation["overdue"]]) == "TM004"
    assert findings(target) == []


def test_hold_of_before_is_never_taken_for_one_of_the_same_transaction(restored):
    """Transaction ids begin anew on the new server, and come to those that the old one gave."""
    source, target = restored
    with target.connect() as connection:
        connection.execute("BEGIN")
        connection.execute("UPDATE token_mgmt.reservation SET reserved_xid = pg_current_xact_id() "
                           "WHERE user_id = 'held_too'")
        flags = value(connection, f"SELECT flags FROM {source.schema}.settle_tokens(%s, 1, 1)",
                      [source.reservation["held_too"]])
        connection.execute("ROLLBACK")
        assert flags == []


def test_new_ids_go_on_after_the_old_ones(restored):
    source, target = restored
    with target.connect() as connection:
        last_quota, last_entry = row(connection, "SELECT (SELECT max(quota_id) FROM "
                                     "token_mgmt.quota), (SELECT max(entry_id) FROM "
                                     "token_mgmt.usage_ledger)")
        quota = value(connection, "SELECT quota_id FROM token_mgmt.set_quota('agent', 'new', "
                      "'day', 100)")
        assert quota > last_quota
        reservation = value(connection, f"SELECT reservation_id FROM {source.schema}"
                            ".reserve_tokens('alice', 100, agent => 'new')")
        entry = value(connection, f"SELECT entry_id FROM {source.schema}.settle_tokens(%s, 1, 1)",
                      [reservation])
        assert entry > last_entry
        tuned = f"SELECT {source.schema}.token_cost('house/tuned-1', 1000000, 1000000)"
        assert value(connection, tuned) == 7.5
    assert findings(target) == []


def restore_in_order(target, file, order, directory):
    """Restores what lies before the data, the data in this order table by table with maintenance
    in between, and what lies after; order(lines) gets and returns the data's table of contents."""
    listing = target.run("pg_restore", "-l", str(file)).stdout.splitlines(keepends=True)
    data = [line for line in listing if " TABLE DATA " in line]
    first = listing.index(data[0])
    rest = [line for line in listing[first:] if line not in data]
    for number, lines in enumerate([listing[:first], *([line] for line in order(data)), rest]):
        part = directory / f"part{number}"
        part.write_text("".join(lines))
        target.run("pg_restore", "--exit-on-error", "-L", str(part), "-d", target.name, str(file))
        target.psql("SELECT * FROM token_mgmt.run_maintenance()")


def reservations_first(lines):
    return sorted(lines, key=lambda line: " reservation " not in line)


@pytest.mark.parametrize("order", [reservations_first, lambda lines: list(reversed(lines)), list],
                         ids=["reservations first", "last first", "as dumped"])
def test_tables_can_be_restored_in_any_order_with_maintenance_between(
        sources, old, new, tmp_path, request, order):
    """As a parallel restore does it; and the worker does not wait for its end."""
    source = sources["public"]
    old.set_instant(DUMPED_AT)
    target = new.create_database(request.node.callspec.id, extension=False)
    file = tmp_path / "file"
    source.database.run("pg_dump", "-Fc", "-f", str(file))
    restore_in_order(target, file, order, tmp_path)
    assert findings(target) == []
    # Nothing was taken for gone that had still to come.
    assert target.psql("SELECT quota_id FROM token_mgmt.quota_period JOIN "
                       "token_mgmt.dropped_quota USING (tenant, quota_id)") != ""
    wait_until(lambda: target.psql("SELECT state FROM token_mgmt.reservation "
                                   "WHERE user_id = 'overdue'") == "expired",
               what="the expiry of the overdue hold")
    assert findings(target) == []
