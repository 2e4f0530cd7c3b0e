"""Where nothing can be written: a read-only transaction, and a standby, which is read from and then
promoted, once at leisure and once because the primary died under load."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from books import row, sqlstate, value
from cluster import Cluster, wait_until
from journal import QUOTAS, SEED, Client, check, settle_doubts, work_until_killed

FAST = {"token_mgmt.worker_naptime": "100ms"}
RESERVE = "SELECT reservation_id FROM reserve_tokens('alice', 100)"
SETTLE = "SELECT flags FROM settle_tokens(%s, 80, 10)"
PASSES = "SELECT runs FROM token_mgmt.worker_status WHERE job = 'worker'"
BALANCE = "SELECT used, held FROM token_mgmt.quota_status"
MESSAGES = '[{"role": "user", "content": "Hi"}]'
WRITING = [
    RESERVE,
    "SELECT try_reserve_tokens('alice', 100)",
    "CALL reserve_tokens('{\"user_id\": \"alice\", \"prompt_tokens\": 100}')",
    f"SELECT prepare_request('alice', 'gpt-4o', '{MESSAGES}')",
    f"SELECT try_prepare_request('alice', 'gpt-4o', '{MESSAGES}')",
    "SELECT settle_tokens('{held}', 1, 1)",
    "CALL settle_tokens('{\"reservation_id\": \"{held}\", \"prompt_tokens\": 1, "
    "\"completion_tokens\": 1}')",
    "SELECT settle_partial('{held}', 'cut')",
    "SELECT release_tokens('{held}')",
    "SELECT settle_usage('{held}', '{\"input_tokens\": 1, \"output_tokens\": 1}')",
    "SELECT record_usage('alice', 10)",
    "CALL record_usage(request => '{\"user_id\": \"alice\", \"prompt_tokens\": 10}')",
    "SELECT extend_reservation('{held}', '1 day')",
    "SELECT report_progress('{held}', 10)",
    "SELECT token_mgmt.reset_quota('user', 'alice', 'total')",
    "SELECT token_mgmt.load_config('{\"priorities\": {\"low\": 0.1}}')",
    "SELECT issue_api_key('alice', 'ro')",
    "SELECT token_mgmt.set_alert_rule('job_failing', '{2}')",
    "SELECT token_mgmt.mute_alerts('user', 'alice', 'infinity')",
    "SELECT add_message('chat', 'user', 'More?')",
    "SELECT save_summary('chat', 1, 'Greetings.')",
    "SELECT token_mgmt.set_quota('user', 'bob', 'day', 1)",
    "SELECT token_mgmt.drop_quota('user', 'alice', 'total')",
    "SELECT token_mgmt.set_priority_share('high', 0.6)",
    "SELECT token_mgmt.register_model('mine/m', 'o200k_base', 1000)",
    "SELECT token_mgmt.set_agent('mine', '{}')",
    "SELECT token_mgmt.drop_agent('storyteller_32k')",
]
READING = [
    "SELECT tiktoken_count('cl100k_base', 'Hello')",
    "SELECT count_tokens('gpt-4o', 'Hello')",
    "SELECT count_text('claude-sonnet-4-5', 'Hello')",
    f"SELECT count_messages('gpt-4o', '{MESSAGES}')",
    f"SELECT * FROM fit_messages('{MESSAGES}', 'gpt-4o')",
    f"SELECT * FROM try_fit_messages('{MESSAGES}', 'gpt-4o', max_prompt_tokens => 1)",
    f"SELECT explain_fit('{MESSAGES}', 'gpt-4o')",
    "SELECT * FROM rag_context('[{\"content\": \"A document.\"}]', 'gpt-4o', 100)",
    "SELECT * FROM models_that_fit(1000, 1000) LIMIT 1",
    "SELECT token_cost('gpt-4o', 1000, 1000)",
    "SELECT * FROM session_history('chat', 'gpt-4o', 1000)",
    "SELECT * FROM session_history('chat', 'claude-sonnet-4-5', 1000)",
    "SELECT should_summarize('chat')",
    "SELECT session_metrics('chat')",
    "SELECT user_metrics('alice')",
    "SELECT v::text FROM explain_reservation('alice', 10, model => 'gpt-4o') v",
    "SELECT token_mgmt.dump_config()",
    "SELECT count(*) FROM usage_report()",
    "SELECT v::text FROM token_mgmt.quota_status v",
    "SELECT v::text FROM token_mgmt.open_reservations v",
    "SELECT v::text FROM token_mgmt.worker_status v",
]


@pytest.fixture(scope="module")
def primary():
    cluster = Cluster("primary", settings=FAST).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def books(primary):
    database = primary.create_database("books")
    database.psql("SELECT token_mgmt.set_quota('user', 'alice', 'total', 1000); "
                  "SELECT add_message('chat', 'user', 'Hello!', user_id => 'alice', "
                  "model => 'gpt-4o')")
    yield database
    database.drop()


def check_read_only(connection, reservation):
    for statement in WRITING:
        statement = statement.replace("{held}", str(reservation))
        assert (statement, sqlstate(connection, statement)) == (statement, "25006")
    # Jobs report their errors and do not raise them.
    jobs = connection.execute("SELECT rows_done, error FROM token_mgmt.run_maintenance()")
    assert all(done == 0 for done, _ in jobs.fetchall())
    for statement in READING:
        assert connection.execute(statement).fetchall(), statement
    assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []


def test_read_only_transaction_refuses_to_write_and_shows_the_books(books):
    with books.connect() as connection:
        reservation = value(connection, RESERVE)
        connection.execute("SET default_transaction_read_only = on")
        check_read_only(connection, reservation)


@pytest.fixture
def make_standby():
    """make_standby(primary, name): a started physical standby of that server."""
    made = []

    def make(primary, name):
        cluster = Cluster(name, settings=FAST | {"primary_conninfo": (
            f"host={primary.directory} port={primary.port} user=postgres "
            f"application_name={name}")})
        made.append(cluster)
        data = cluster.directory / "data"
        shutil.rmtree(data)
        primary.run("pg_basebackup", "-D", str(data), "--checkpoint=fast", "--wal-method=stream")
        (data / "standby.signal").touch()
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", os.environ["SERVER_USER"], str(data)], check=True)
        return cluster.start()

    yield make
    for cluster in made:
        cluster.destroy()


def own_processes(connection):
    return value(connection, "SELECT count(*) FROM pg_stat_activity "
                 "WHERE backend_type LIKE 'token_mgmt%'")


def test_standby_shows_the_books_and_works_once_promoted(books, primary, make_standby):
    standby = make_standby(primary, "standby")
    with books.connect() as connection:
        reservation = value(connection, RESERVE)
        connection.execute("SELECT reserve_tokens('alice', 50, ttl => '1 millisecond')")
    with standby.connect("books") as connection:
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.reservation") == 2,
                   what="replication")
        check_read_only(connection, reservation)
        # The primary's worker is at work, and the standby has none.
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations")
                   == 1, what="the expiry by the primary")
        assert row(connection, BALANCE) == (0, 100)
        assert own_processes(connection) == 0
    with standby.connect("books") as connection:
        assert value(connection, "SELECT pg_promote()")
        passes = value(connection, PASSES)
        wait_until(lambda: value(connection, PASSES)
                   > passes + 1, what="a pass of the promoted server's own worker")
        connection.execute("SELECT reserve_tokens('alice', 50, ttl => '1 millisecond')")
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations")
                   == 1, what="the expiry by the promoted server")
        assert value(connection, SETTLE, [reservation]) == []
        assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []
        assert value(connection, "SELECT status FROM token_mgmt.worker_status "
                     "WHERE job = 'worker'") == "running"
    assert "PANIC" not in standby.log()


def test_nothing_acknowledged_is_lost_when_a_synchronous_standby_takes_over(make_cluster,
                                                                            make_standby):
    print(f"TOKEN_MGMT_SEED={SEED}")
    primary = make_cluster(settings=FAST)
    database = primary.create_database("failover")
    database.psql(QUOTAS)
    standby = make_standby(primary, "successor")
    with primary.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'successor'")
        connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: value(connection, "SELECT sync_state FROM pg_stat_replication")
                   == "sync", what="synchronous replication")
    clients = [Client(number) for number in range(16)]
    with standby.connect("failover") as connection, ThreadPoolExecutor(1) as thread:
        died = Event()

        def audits():
            """At every moment that the standby shows, its books agree."""
            found = []
            while not died.is_set():
                found.append(connection.execute("SELECT * FROM token_mgmt.audit()").fetchall())
            return found

        audited = thread.submit(audits)
        try:
            work_until_killed(primary, database, clients, 1000)
        finally:
            died.set()
        assert audited.result() and not any(audited.result())
        assert value(connection, "SELECT pg_promote()")
    database.cluster = standby
    check(database, clients)
    settle_doubts(database, clients)
    check(database, clients)
    with database.connect() as connection:
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations "
                                 "WHERE is_overdue") == 0, what="the end of the abandoned holds")
    check(database, clients)
