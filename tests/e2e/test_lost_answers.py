"""Complaint 15. A connection breaks while its call is on its way; the retry comes at once, in
another connection, and may overtake it or meet it in the middle. Held once, billed once."""

import os
import random
import socket

from books import at_once, findings, row, value

SEED = 20261121
SESSIONS = 8
CALLS = 25


def send_and_vanish(database, sql):
    """Sends this and breaks the connection without a look at the answer."""
    connection = database.connect()
    connection.pgconn.send_query(sql.encode())
    connection.pgconn.flush()
    socket.socket(fileno=os.dup(connection.pgconn.socket)).shutdown(socket.SHUT_RDWR)
    connection.close()


def test_retry_that_meets_its_first_call_neither_holds_nor_bills_twice(db):
    print(f"seed {SEED}")
    db.psql("SELECT token_mgmt.set_quota('user', '*', 'total', 1000000), "
            "token_mgmt.set_quota('team', 'all', 'total', 1000000)")

    def ask(connection, rng, sql):
        """The answer; mostly to a retry, sometimes to a retry of that."""
        for _ in range(rng.choice([0, 1, 1, 2])):
            send_and_vanish(db, sql)
        return value(connection, sql)

    def work(connection, number):
        rng = random.Random(f"{SEED} {number}")
        used = held = settled = 0
        for call in range(CALLS):
            tokens = rng.randint(1, 50)
            reservation = ask(connection, rng, f"SELECT reservation_id FROM reserve_tokens('user"
                              f"{number % 3}', {tokens}, team => 'all', "
                              f"request_id => '{number} {call}')")
            choice = rng.random()
            if choice < 0.6:
                ask(connection, rng, f"SELECT entry_id FROM settle_tokens('{reservation}', "
                                     f"{tokens // 2}, 1)")
                used += tokens // 2 + 1
                settled += 1
            elif choice < 0.8:
                ask(connection, rng, f"SELECT status FROM release_tokens('{reservation}')")
            else:
                held += tokens
        return used, held, settled

    used, held, settled = (sum(numbers) for numbers in zip(*at_once(db, work, SESSIONS)))
    with db.connect() as connection:
        assert row(connection, "SELECT used, held FROM token_mgmt.quota_status "
                   "WHERE scope = 'team'") == (used, held)
        assert value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger") == settled
        assert value(connection, "SELECT count(*) FROM token_mgmt.reservation") == SESSIONS * CALLS
    assert findings(db) == []
