"""kill -9 of the whole server under load, over and over: what was acknowledged is there, once, no
limit is passed, and the books agree (complaints 1, 2, 3 and 15)."""

import random

import pytest

from books import value
from cluster import wait_until
from journal import QUOTAS, SEED, Client, check, settle_doubts, work_until_killed

CLIENTS = 32
ROUNDS = 25
# full_page_writes, since the kill can end a process in the middle of writing a page.
SETTINGS = {"synchronous_commit": "on", "full_page_writes": "on",
            "token_mgmt.worker_naptime": "100ms"}


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_or_doubled_by_repeated_crashes_under_load(make_cluster):
    print(f"TOKEN_MGMT_SEED={SEED}")
    rng = random.Random(SEED)
    cluster = make_cluster(settings=SETTINGS)
    database = cluster.create_database("crash")
    database.psql(QUOTAS)
    clients = [Client(number) for number in range(CLIENTS)]
    for _ in range(ROUNDS):
        work_until_killed(cluster, database, clients, rng.randint(1, 800))
        cluster.start()
        check(database, clients)
        settle_doubts(database, clients)
        check(database, clients)
    with database.connect() as connection:
        for client in clients:
            for reservation in [*client.open, *client.late]:
                client.ask(connection, "settle", reservation, 0, 0)
        wait_until(lambda: value(connection, "SELECT count(*) FROM token_mgmt.open_reservations")
                   == 0, what="the end of the abandoned holds")
        late = value(connection, "SELECT count(*) FROM token_mgmt.usage_ledger "
                     "WHERE 'late' = ANY (flags)")
    check(database, clients)
    # Each kind of call had its part.
    assert late and any(client.denied for client in clients)
    assert any(client.settled for client in clients) and any(c.released for c in clients)
    assert {kind for c in clients for _, kind, _ in c.reserved.values()} == {
        "reserve", "abandon", "late", "prepare"}
