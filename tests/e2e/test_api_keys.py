"""API keys: each is handed out once, whoever asks at the same time, and is stored nowhere."""

import threading

import pytest

from books import at_once, findings, row, sqlstate, value
from cluster import wait_until

ISSUE = "SELECT api_key FROM issue_api_key(%s, %s, expires_in => '30 days', auto_rotate => '7 days')"


@pytest.fixture
def key(db):
    with db.connect() as connection:
        return value(connection, ISSUE, ["alice", "laptop"])


def handed_out(keys):
    return [key for key in keys if key is not None]


def test_concurrent_rotations_by_the_key_hand_out_one_new_key(db, key):
    keys = at_once(db, lambda c, _: value(c, "SELECT api_key FROM rotate_api_key(%s)", [key]), 8)
    assert len(handed_out(keys)) == 1
    with db.connect() as connection:
        for valid in [key, *handed_out(keys)]:
            assert value(connection, "SELECT is_valid FROM verify_api_key(%s)", [valid])


def test_concurrent_rotations_by_the_name_hand_out_one_new_key(db, key):
    keys = []

    def rotate():
        with db.connect() as connection:
            keys.append(value(connection, "SELECT api_key FROM rotate_api_key('laptop')"))

    with db.connect(autocommit=False) as holder, db.connect() as watcher:
        holder.execute("SELECT FROM token_mgmt.api_key FOR UPDATE")
        sessions = [threading.Thread(target=rotate) for _ in range(2)]
        for session in sessions:
            session.start()
        wait_until(lambda: value(watcher, "SELECT count(*) FROM pg_stat_activity WHERE datname = "
                                 "current_database() AND wait_event_type = 'Lock'") == 2,
                   what="both rotations to wait")
        holder.rollback()
        for session in sessions:
            session.join()
    assert len(keys) == 2 and len(handed_out(keys)) == 1


@pytest.mark.parametrize("call", ["reserve_tokens", "record_usage"])
def test_request_is_the_same_by_the_key_that_its_key_was_rotated_to(db, key, call):
    statement = f"SELECT reservation_id FROM {call}(NULL, 10, 5, api_key => %s, " \
        "request_id => 'r1')"
    with db.connect() as connection:
        reservation = value(connection, statement, [key])
        rotated = value(connection, "SELECT api_key FROM rotate_api_key(%s)", [key])
        assert rotated != key
        assert value(connection, statement, [rotated]) == reservation
        assert value(connection, statement, [key]) == reservation
        other = value(connection, ISSUE, ["alice", "phone"])
        assert sqlstate(connection, statement, [other]) == "TM005"


def test_concurrent_verifications_renew_a_key_once(db, key):
    db.psql("UPDATE token_mgmt.api_key SET expires_at = now() + interval '1 day'")
    answers = at_once(db, lambda c, _: row(c, "SELECT is_valid, new_api_key FROM "
                                           "verify_api_key(%s)", [key]), 8)
    assert all(is_valid for is_valid, _ in answers)
    assert len(handed_out(new for _, new in answers)) == 1


def test_rotation_that_is_rolled_back_leaves_the_key_as_it_was(db, key):
    with db.connect(autocommit=False) as connection:
        new = value(connection, "SELECT api_key FROM rotate_api_key(%s, '0')", [key])
        connection.rollback()
        verify = "SELECT is_valid, reason FROM verify_api_key(%s)"
        assert row(connection, verify, [key]) == (True, None)
        assert row(connection, verify, [new]) == (False, "unknown")
        assert value(connection, "SELECT api_key FROM rotate_api_key(%s)", [key]) is not None


def test_revocation_ends_what_others_are_using_at_once(db, key):
    with db.connect() as user, db.connect() as admin:
        reserve = "SELECT reservation_id FROM reserve_tokens(NULL, 10, api_key => %s)"
        held = value(user, reserve, [key])
        assert value(admin, "SELECT revoke_api_key('laptop', 'leaked')") is True
        assert sqlstate(user, reserve, [key]) == "TM007"
        # What was called is paid for.
        assert value(user, "SELECT total_tokens FROM settle_tokens(%s, 9, 0)", [held]) == 9
    assert findings(db) == []


def test_key_is_in_no_table_no_error_and_no_log(db, key):
    secrets = [key]
    with db.connect() as connection:
        def call(sql, *parameters):
            try:
                return row(connection, sql, parameters)[0]
            except Exception as error:
                assert not [s for s in secrets if s[4:] in str(error)]
                return None

        call("SELECT reservation_id FROM reserve_tokens(NULL, 1, api_key => %s, request_id => 'r')",
             key)
        call("SELECT reserve_tokens('bob', 1, api_key => %s)", key)
        call("SELECT reserve_tokens(NULL, -1, api_key => %s)", key)
        call("SELECT reserve_tokens(NULL, 1, api_key => %s)", key[:-1])
        call("SELECT token_mgmt.set_quota('api_key', %s, 'day', 1)", key)
        call("SELECT issue_api_key('bob', %s)", key)
        secrets.append(call("SELECT api_key FROM rotate_api_key(%s)", key))
        call("SELECT rotate_api_key(%s, '-1 day')", key)
        call("SELECT revoke_api_key(%s)", secrets[-1])
        call("SELECT reserve_tokens(NULL, 1, api_key => %s)", secrets[-1])
    dump = db.run("pg_dump", "--data-only").stdout
    assert "laptop" in dump
    log = db.cluster.log()
    assert "API key is not valid" in log
    for secret in secrets:
        assert secret[4:] not in dump and secret[4:-1] not in log


def test_restored_database_knows_its_keys(db, key):
    other = db.cluster.create_database(f"{db.name}_restored", extension=False)
    try:
        db.run("pg_dump", "-Fc", "-f", str(db.cluster.directory / "keys.dump"))
        other.run("pg_restore", "--exit-on-error", "-d", other.name,
                  str(db.cluster.directory / "keys.dump"))
        with other.connect() as connection:
            assert row(connection, "SELECT is_valid, user_id, name FROM verify_api_key(%s)",
                       [key]) == (True, "alice", "laptop")
            new = value(connection, "SELECT api_key FROM rotate_api_key(%s)", [key])
            assert value(connection, "SELECT status FROM reserve_tokens(NULL, 1, api_key => %s)",
                         [new]) == "granted"
    finally:
        other.drop()
