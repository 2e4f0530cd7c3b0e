"""One quota that everybody uses: it is split where its writers wait for each other, and stays one
limit, to the last token and not beyond, whoever splits, changes or overruns it meanwhile."""

import random
import threading

from books import at_once, findings, row, value

SEED = 20261121
CLIENTS = 32
RESERVE = "SELECT reservation_id, tokens_held FROM try_reserve_tokens('hot', %s, " \
    "on_overflow => 'refuse')"
SLOTS = "SELECT count(*) FROM token_mgmt.quota_period WHERE scope_value = 'hot'"


def set_limit(connection, tokens):
    connection.execute("SELECT token_mgmt.set_quota('user', 'hot', 'total', %s)", [tokens])


def meanwhile(database, work):
    """Calls work(connection, number) again and again until stop() is called, at least twice."""
    stopped = threading.Event()

    def run():
        with database.connect() as connection:
            number = 0
            while number < 2 or not stopped.is_set():
                work(connection, number)
                number += 1
                stopped.wait(0.2)

    thread = threading.Thread(target=run)
    thread.start()

    def stop():
        stopped.set()
        thread.join()
    return stop


def until_short(connection, number):
    """Takes what is there, in all sizes; what this session holds."""
    rng = random.Random(f"{SEED} {number}")
    held = []
    for sizes in ([1, 7, 64, 300], [1]):
        denials = 0
        while denials < 4:
            reservation, tokens = connection.execute(RESERVE, [rng.choice(sizes)]).fetchone()
            connection.commit()
            if reservation is None:
                denials += 1
            else:
                held.append((reservation, tokens))
    return held


def test_hot_quota_stays_strict_while_it_is_split_and_changed(db):
    print(f"seed {SEED}")
    limits = [6000, 30000, 9000, 40000]
    with db.connect() as connection:
        set_limit(connection, limits[0])

    def change(connection, number):
        connection.execute("SELECT token_mgmt.run_maintenance()")
        set_limit(connection, limits[number % len(limits)])

    stop = meanwhile(db, change)
    try:
        held = sum(at_once(db, until_short, CLIENTS, autocommit=False), [])
    finally:
        stop()
    granted = sum(tokens for _, tokens in held)
    assert limits[0] <= granted <= max(limits)
    with db.connect() as connection:
        # The contention was seen, and the quota split for it.
        assert value(connection, SLOTS) >= 8
        set_limit(connection, max(limits))
        # Whatever lies in which slot, the rest is there to the last token.
        rest = max(limits) - granted
        assert value(connection, "SELECT remaining FROM token_mgmt.quota_status") == rest
        assert row(connection, RESERVE, [rest + 1])[0] is None
        if rest:
            assert row(connection, RESERVE, [rest])[1] == rest
        assert row(connection, RESERVE, [1])[0] is None
    assert findings(db) == []


def test_overruns_of_a_split_quota_are_everybodys_debt(db):
    print(f"seed {SEED}")
    with db.connect() as connection:
        set_limit(connection, 20000)
        connection.execute(RESERVE, [0])
        connection.execute("INSERT INTO token_mgmt.quota_wait SELECT 'default', quota_id, 'hot', "
                           "now() FROM token_mgmt.quota, generate_series(1, 20)")
        connection.execute("SELECT token_mgmt.run_maintenance()")
        assert value(connection, SLOTS) == 8
    lowest = []

    def watch(connection, number):
        assert connection.execute("SELECT * FROM token_mgmt.audit()").fetchall() == []
        lowest.append(value(connection, "SELECT remaining FROM token_mgmt.quota_status"))

    def work(connection, number):
        rng = random.Random(f"{SEED} {number}")
        used, mine = 0, []
        for _ in range(40):
            if mine and rng.random() < 0.6:
                reservation, tokens = mine.pop(rng.randrange(len(mine)))
                if rng.random() < 0.3:
                    connection.execute("SELECT release_tokens(%s)", [reservation])
                else:
                    spent = rng.choice([0, tokens // 2, tokens, tokens * 3])
                    connection.execute("SELECT settle_tokens(%s, %s, 0)", [reservation, spent])
                    used += spent
            else:
                reservation, tokens = connection.execute(RESERVE, [rng.randint(0, 60)]).fetchone()
                if reservation is not None:
                    mine.append((reservation, tokens))
            connection.commit()
        return used, sum(tokens for _, tokens in mine)

    stop = meanwhile(db, watch)
    try:
        done = at_once(db, work, CLIENTS, autocommit=False)
    finally:
        stop()
    used, held = (sum(part) for part in zip(*done))
    with db.connect() as connection:
        assert row(connection, "SELECT used, held FROM token_mgmt.quota_status") == (used, held)
        rest = 20000 - used - held
        assert row(connection, RESERVE, [max(rest, 0) + 1])[0] is None
        if rest >= 0:
            assert row(connection, RESERVE, [rest])[1] == rest
    assert findings(db) == []
