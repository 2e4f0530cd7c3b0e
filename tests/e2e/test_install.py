"""The extension installs, counts as its own and leaves nothing behind."""

import datetime

import psycopg


def test_version_is_that_of_the_control_file(db):
    control = db.psql("SELECT default_version FROM pg_available_extensions "
                      "WHERE name = 'token_mgmt'")
    assert control
    assert db.psql("SELECT extversion FROM pg_extension WHERE extname = 'token_mgmt'") == control


def test_drop_extension_leaves_nothing(db):
    inventory = """
        SELECT count(*) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE e.extname = 'token_mgmt' AND d.deptype = 'e'"""
    objects = "SELECT (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_proc) " \
              "+ (SELECT count(*) FROM pg_type) + (SELECT count(*) FROM pg_namespace)"
    assert int(db.psql(inventory)) > 0
    with_extension = int(db.psql(objects))
    db.psql("DROP EXTENSION token_mgmt")
    bare = int(db.psql(objects))
    assert bare < with_extension
    assert db.psql("SELECT to_regnamespace('token_mgmt') IS NULL") == "t"
    db.psql("CREATE EXTENSION token_mgmt")
    assert int(db.psql(objects)) == with_extension


def test_killed_server_comes_back(make_cluster):
    cluster = make_cluster(preload=False)
    database = cluster.create_database("survivor", extension=False)
    database.psql("CREATE TABLE kept AS SELECT 1 AS x")
    cluster.kill()
    cluster.start()
    assert database.psql("SELECT x FROM kept") == "1"


def test_clock_of_a_running_server_moves(make_cluster):
    cluster = make_cluster(preload=False, faketime="+0")
    with cluster.connect() as connection:
        def clock():
            return connection.execute("SELECT clock_timestamp()").fetchone()[0]

        real = datetime.datetime.now(datetime.timezone.utc)
        assert abs(clock() - real) < datetime.timedelta(minutes=5)
        cluster.set_clock("+35d")
        assert datetime.timedelta(days=34) < clock() - real < datetime.timedelta(days=36)
        cluster.set_clock("-2h")
        assert clock() < real


def test_install_is_refused_where_it_would_collide(server):
    database = server.create_database("collide", extension=False)
    try:
        with database.connect() as connection:
            def refused(statement):
                try:
                    connection.execute(statement)
                except psycopg.Error as error:
                    return error.sqlstate, error.diag.message_hint is not None
                return None

            connection.execute("CREATE SCHEMA token_mgmt")
            assert refused("CREATE EXTENSION token_mgmt SCHEMA token_mgmt") == ("3F000", True)
            assert refused("CREATE EXTENSION token_mgmt") == ("42P06", True)
            connection.execute("DROP SCHEMA token_mgmt")
            connection.execute("CREATE EXTENSION token_mgmt")
    finally:
        database.drop()
