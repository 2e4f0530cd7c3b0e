"""Many sessions at once against the same quotas: never a token over, and none that fits refused
(complaint 1).

A session commits in a round trip of its own, as drivers without autocommit do, so that calls
overlap. The same race against an accounting that reads and then updates shows that it can fail.
"""

import random
import threading
from collections import Counter

import pytest

from books import at_once, findings, row, value
from cluster import wait_until

SEED = 20261120
SESSIONS = 32
RESERVE = "SELECT status, tokens_held FROM try_reserve_tokens('racer', %s, on_overflow => 'refuse')"


def take_all(call, sizes):
    """Reserves with these sizes in random order until each has been refused; the sum granted."""
    def work(connection, number):
        rng = random.Random(f"{SEED} {number}")
        left = list(sizes)
        granted = 0
        while left:
            size = rng.choice(left)
            status, held = connection.execute(call, [size]).fetchone()
            connection.commit()
            if status == "denied":
                left = [other for other in left if other < size]
            else:
                assert held == size
                granted += held
        return granted
    return work


def race(database, call, sizes):
    print(f"seed {SEED}")
    return sum(at_once(database, take_all(call, sizes), SESSIONS, autocommit=False))


@pytest.mark.parametrize(("limit", "sizes"), [(500, [1]), (4000, [7]), (12007, [1, 7, 64, 500])])
def test_one_quota_is_granted_to_the_last_token_and_not_beyond(db, limit, sizes):
    db.psql(f"SELECT token_mgmt.set_quota('user', 'racer', 'total', {limit})")
    granted = race(db, RESERVE, sizes)
    assert limit - min(sizes) < granted <= limit
    assert db.psql("SELECT used, held FROM token_mgmt.quota_status") == f"0|{granted}"
    assert findings(db) == []


WRONG = {
    "update": """
        CREATE TABLE wrong_balance (held bigint); INSERT INTO wrong_balance VALUES (0);
        CREATE FUNCTION wrong_reserve(tokens integer, OUT status text, OUT tokens_held integer)
        LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT held FROM wrong_balance) + tokens > 500 THEN
                status := 'denied';
                RETURN;
            END IF;
            UPDATE wrong_balance SET held = held + tokens;
            status := 'granted';
            tokens_held := tokens;
        END $$;""",
    "insert": """
        CREATE TABLE wrong_hold (held bigint);
        CREATE FUNCTION wrong_reserve(tokens integer, OUT status text, OUT tokens_held integer)
        LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT coalesce(sum(held), 0) FROM wrong_hold) + tokens > 500 THEN
                status := 'denied';
                RETURN;
            END IF;
            INSERT INTO wrong_hold VALUES (tokens);
            status := 'granted';
            tokens_held := tokens;
        END $$;""",
}


@pytest.mark.parametrize("write", WRONG)
def test_read_then_write_overshoots_in_this_race(db, write):
    db.psql(WRONG[write])
    assert race(db, "SELECT * FROM wrong_reserve(%s)", [1]) > 500


SEVERAL = """
    SELECT token_mgmt.set_quota('user', '*', 'total', 700),
        token_mgmt.set_quota('user', 'user0', 'total', 300),
        token_mgmt.set_quota('team', 'red', 'total', 900),
        token_mgmt.set_quota('team', 'blue', 'total', 800),
        token_mgmt.set_quota('model', 'gpt-4o', 'total', 1500)"""
# Six users, two teams, one model: each team is short of what its users might take, and the model
# of what the teams might.
TEAMS = ["red", "blue"]


def test_several_quotas_are_granted_together_or_not_at_all(db):
    db.psql(SEVERAL)

    def work(connection, number):
        user, team = f"user{number % 6}", TEAMS[number % 2]
        granted = 0
        for size in (23, 1):
            while True:
                status, held = connection.execute(
                    "SELECT status, tokens_held FROM try_reserve_tokens(%s, %s, 0, 'gpt-4o', "
                    "team => %s, on_overflow => 'refuse')", [user, size, team]).fetchone()
                connection.commit()
                if status == "denied":
                    break
                granted += held
        return user, team, granted

    granted = Counter()
    pairs = set()
    for user, team, tokens in at_once(db, work, SESSIONS, autocommit=False):
        pairs.add((user, team))
        for name in (user, team, "openai/gpt-4o"):
            granted[name] += tokens
    with db.connect() as connection:
        rows = connection.execute("SELECT value, used + held, remaining FROM "
                                  "token_mgmt.quota_status WHERE value <> '*'").fetchall()
    assert {name: tokens for name, tokens, _ in rows} == granted
    left = {name: remaining for name, _, remaining in rows}
    assert min(left.values()) >= 0
    # Each session stopped because a quota of its own was used up.
    for user, team in pairs:
        assert min(left[user], left[team], left["openai/gpt-4o"]) == 0
    assert findings(db) == []


def test_limits_hold_while_others_settle_and_release(db):
    db.psql(SEVERAL)
    print(f"seed {SEED}")
    stop = threading.Event()
    lowest = []

    def watch():
        with db.connect() as connection:
            while not stop.is_set():
                lowest.append(value(connection,
                                    "SELECT min(remaining) FROM token_mgmt.quota_status"))

    def work(connection, number):
        rng = random.Random(f"{SEED} {number}")
        mine, used, held = [], Counter(), Counter()
        user = f"user{number % 6}"
        for _ in range(25):
            if mine and rng.random() < 0.6:
                names, reservation, tokens = mine.pop(rng.randrange(len(mine)))
                for name in names:
                    held[name] -= tokens
                if rng.random() < 0.5:
                    connection.execute("SELECT * FROM release_tokens(%s)", [reservation])
                else:
                    spent = rng.randint(0, min(tokens, 20))
                    prompt = rng.randint(0, spent)
                    connection.execute("SELECT * FROM settle_tokens(%s, %s, %s)",
                                       [reservation, prompt, spent - prompt])
                    for name in names:
                        used[name] += spent
            else:
                team = rng.choice(TEAMS)
                reservation, tokens = connection.execute(
                    "SELECT reservation_id, tokens_held FROM try_reserve_tokens(%s, %s, %s, "
                    "'gpt-4o', team => %s, priority => %s, on_overflow => %s)",
                    [user, rng.randint(0, 60), rng.randint(0, 60), team,
                     rng.choice([None, "high", "medium", "low"]),
                     rng.choice(["reduce", "refuse"])]).fetchone()
                if reservation is not None:
                    names = (user, team, "openai/gpt-4o")
                    mine.append((names, reservation, tokens))
                    for name in names:
                        held[name] += tokens
            connection.commit()
        return used, held

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        used, held = Counter(), Counter()
        for settled, kept in at_once(db, work, SESSIONS, autocommit=False):
            used.update(settled)
            held.update(kept)
    finally:
        stop.set()
        watcher.join()
    assert lowest and min(lowest) >= 0
    with db.connect() as connection:
        rows = connection.execute("SELECT value, used, held FROM token_mgmt.quota_status "
                                  "WHERE value <> '*'").fetchall()
    assert {name: (spent, kept) for name, spent, kept in rows} == {
        name: (used[name], held[name]) for name in held}
    assert sum(used.values()) > 0
    assert findings(db) == []


def test_who_waits_for_tokens_keeps_no_lock(db):
    db.psql("SELECT token_mgmt.set_quota('user', 'patient', 'total', 100), "
            "token_mgmt.set_quota('team', 'red', 'total', 1000)")
    granted = []

    def wait():
        with db.connect() as connection:
            granted.append(row(
                connection, "SELECT status, tokens_remaining FROM try_reserve_tokens("
                "'patient', 50, team => 'red', max_wait => '60 s')"))

    with db.connect(options="-c lock_timeout=5s") as connection:
        held = value(connection, "SELECT reservation_id FROM reserve_tokens('patient', 80)")
        waiter = threading.Thread(target=wait)
        waiter.start()
        try:
            wait_until(lambda: value(connection, "SELECT count(*) FROM pg_stat_activity WHERE "
                                     "wait_event = 'PgSleep' AND datname = current_database()"),
                       what="the waiter's sleep")
            # In both of its quotas, from within a transaction that it has to wait for.
            with connection.transaction():
                for call in ("reserve_tokens('patient', 5)",
                             "reserve_tokens('ann', 5, team => 'red')"):
                    assert value(connection, f"SELECT status FROM {call}") == "granted"
                connection.execute("SELECT settle_tokens(%s, 20, 0)", [held])
        finally:
            waiter.join()
    assert granted == [("granted", 25)]
    assert findings(db) == []
