"""Databases as their administrators set them up: logical replication of all tables, the extension
in a schema that is not open to everybody, functions that are not open by default."""

import pytest

from books import findings


@pytest.fixture
def bare(server):
    made = server.create_database("host_setups", extension=False)
    yield made
    made.drop()


def test_every_table_can_be_published(bare):
    bare.psql("CREATE EXTENSION token_mgmt; CREATE PUBLICATION everything FOR ALL TABLES")
    assert bare.psql("""
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'token_mgmt'::regnamespace AND c.relkind = 'r'
            AND c.relpersistence = 'p' AND c.relreplident = 'd'
            AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
            AND c.relname <> 'usage_ledger_default'""") == ""
    bare.psql("""
        CREATE ROLE published;
        SELECT token_mgmt.grant_access('published', 'app');
        SELECT token_mgmt.grant_access('published', 'app');
        SELECT token_mgmt.set_quota('user', 'alice', 'day', 1000);
        SELECT record_usage('alice', 10, 5);
        SELECT s.entry_id FROM reserve_tokens('alice', 100) r, settle_tokens(r.reservation_id, 90, 0) s;
        SELECT release_tokens(reservation_id) FROM reserve_tokens('alice', 100)""")
    assert bare.psql("SELECT job, error FROM token_mgmt.run_maintenance() WHERE error IS NOT NULL") == ""
    assert bare.psql("SELECT count(*) FROM token_mgmt.ledger_unrolled") == "0"
    bare.psql("SELECT token_mgmt.revoke_access('published'); DROP ROLE published")
    assert findings(bare) == []


def test_a_granted_role_reaches_an_extension_in_any_schema(bare):
    bare.psql("""
        CREATE SCHEMA llm;
        CREATE EXTENSION token_mgmt SCHEMA llm;
        CREATE ROLE llm_app;
        SELECT token_mgmt.grant_access('llm_app', 'app')""")
    assert bare.psql("""
        SET ROLE llm_app;
        SELECT llm.count_tokens('gpt-4o', 'Hello'), status FROM llm.reserve_tokens('alice', 10)
        """) == "1|granted"
    bare.psql("SELECT token_mgmt.revoke_access('llm_app'); DROP OWNED BY llm_app; DROP ROLE llm_app")


OPEN = """
    SELECT p.oid::regprocedure FROM pg_proc p
    JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'token_mgmt'
    WHERE has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1::text"""


def test_the_same_functions_are_open_whatever_the_default_is(bare, db):
    bare.psql("""
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
        CREATE EXTENSION token_mgmt""")
    assert bare.psql("SELECT count(*) FROM pg_default_acl") == "1"
    opened = bare.psql(OPEN)
    assert "fit_messages" in opened and "reserve_tokens" not in opened
    assert opened == db.psql(OPEN)
