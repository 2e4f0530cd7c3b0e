"""Each change of configuration leaves a trace: who, when, from what to what."""

from threading import Thread

from books import value

TRACES = "SELECT kind, name, changed_by FROM token_mgmt.config_change ORDER BY change_id"


def test_trace_names_the_role_that_called(db):
    role = f"admin_{db.name}"
    db.psql(f"CREATE ROLE {role} LOGIN; SELECT token_mgmt.grant_access('{role}', 'admin', 'shop')")
    try:
        with db.connect(user=role) as connection:
            connection.execute("SET token_mgmt.tenant = 'shop'")
            for call in ["set_priority_share('low', 0.1)", "set_agent('helper', '{}')",
                         "drop_agent('helper')", "set_alert_rule('quota_threshold', '{0.5}')",
                         "mute_alerts('user', 'robot', 'infinity')",
                         "load_config('{\"priorities\": {\"high\": 0.9}}')"]:
                connection.execute(f"SELECT token_mgmt.{call}")
        with db.connect() as owner:
            assert owner.execute(TRACES).fetchall() == [
                ("access", role, "postgres"), ("priority", "low", role), ("agent", "helper", role),
                ("agent", "helper", role), ("alert", "quota_threshold/*/*", role),
                ("mute", "user/robot", role), ("priority", "high", role)]
    finally:
        db.psql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def test_changes_at_once_leave_a_chain_of_traces(db):
    """What each one found is what the one before it left."""
    def change(share):
        with db.connect() as connection:
            for n in range(20):
                connection.execute("SELECT token_mgmt.set_priority_share('low', %s::numeric)",
                                   [f"0.{share}{n:02}1"])

    threads = [Thread(target=change, args=[share]) for share in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.connect() as connection:
        assert value(connection, "SELECT count(*) FROM token_mgmt.config_change") == 80
        assert value(connection, """
            SELECT count(*) FROM (
                SELECT before, lag(after) OVER (ORDER BY change_id) AS left_by_the_last
                FROM token_mgmt.config_change) c
            WHERE before IS DISTINCT FROM left_by_the_last""") == 0


def test_rolled_back_change_leaves_no_trace(db):
    with db.connect() as connection:
        connection.execute("BEGIN; SELECT token_mgmt.set_priority_share('low', 0.1); ROLLBACK")
        assert connection.execute(TRACES).fetchall() == []
