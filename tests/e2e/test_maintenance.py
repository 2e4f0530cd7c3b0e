"""Maintenance stands in nobody's way."""

from books import findings, value


def test_maintenance_waits_for_no_open_transaction(server):
    """One application's open transaction holds up neither maintenance nor, through it, others."""
    database = server.create_database("patience")
    try:
        with database.connect() as admin, database.connect(autocommit=False) as slow, \
                database.connect() as other:
            for user in ("ann", "bob"):
                admin.execute("SELECT token_mgmt.set_quota('user', %s, 'minute', 100)", [user])
                admin.execute("SELECT status FROM reserve_tokens(%s, 10)", [user])
            # Two minutes pass.
            admin.execute("UPDATE token_mgmt.quota_period SET starts_at = starts_at - interval "
                          "'2 minutes', ends_at = ends_at - interval '2 minutes'")
            admin.execute("""
                UPDATE token_mgmt.reservation r SET allocations = ARRAY(
                    SELECT (a.quota_id, a.scope_value, a.starts_at - interval '2 minutes', a.slot,
                        a.metric, a.cached_weight, a.amount)::token_mgmt.allocation
                    FROM unnest(r.allocations) a)""")
            slow.execute("SELECT status FROM reserve_tokens('ann', 10)")
            for connection in (admin, other):
                connection.execute("SET statement_timeout = '5s'")
            jobs = admin.execute("SELECT job, error FROM token_mgmt.run_maintenance()").fetchall()
            assert [job for job in jobs if job[1] is not None] == []
            assert other.execute("SELECT status FROM reserve_tokens('bob', 10)").fetchone() == \
                ("granted",)
            slow.commit()
            assert admin.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []
    finally:
        database.drop()


def test_rows_of_a_dropped_quota_outlive_a_call_that_still_saw_it(server):
    """It holds, and is settled, in its row; nobody waits for anybody."""
    database = server.create_database("dropped")
    left = "SELECT (SELECT count(*) FROM token_mgmt.quota_period), " \
           "(SELECT count(*) FROM token_mgmt.dropped_quota)"
    try:
        with database.connect() as admin, database.connect(autocommit=False) as slow:
            admin.execute("SET statement_timeout = '5s'")
            admin.execute("SELECT token_mgmt.set_quota('user', '*', 'total', 100)")
            for user in ("ann", "bob"):
                admin.execute("SELECT release_tokens(reservation_id) FROM reserve_tokens(%s, 10)",
                              [user])
            held = value(slow, "SELECT reservation_id FROM reserve_tokens('ann', 10)")
            admin.execute("SELECT token_mgmt.drop_quota('user', '*', 'total')")
            # Two days pass.
            admin.execute("UPDATE token_mgmt.dropped_quota SET dropped_at = dropped_at - interval "
                          "'2 days'")
            admin.execute("UPDATE token_mgmt.installation SET installed_at = installed_at - "
                          "interval '2 days'")
            errors = "SELECT count(error) FROM token_mgmt.run_maintenance()"
            assert value(admin, errors) == 0
            assert admin.execute(left).fetchone() == (1, 1)
            slow.commit()
            assert value(admin, errors) == 0
            assert admin.execute(left).fetchone() == (1, 1)
            assert findings(database) == []
            admin.execute("SELECT settle_tokens(%s, 7, 0)", [held])
            assert value(admin, errors) == 0
            assert admin.execute(left).fetchone() == (0, 0)
            assert findings(database) == []
    finally:
        database.drop()
