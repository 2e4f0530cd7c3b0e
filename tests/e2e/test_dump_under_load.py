"""pg_dump of a database in which everybody goes on working: what it has is one moment, in which
each call has happened whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from books import findings, row, value
from cluster import wait_until
from journal import QUOTAS, Client


@pytest.mark.parametrize("jobs", [[], ["-j", "4"]], ids=["one connection", "four connections"])
def test_dump_taken_under_load_is_whole(server, db, tmp_path, jobs):
    db.psql(QUOTAS)
    target = server.create_database(f"{db.name}_restored", extension=False)
    clients = [Client(number) for number in range(8)]
    stop = Event()

    def work(client):
        with db.connect() as connection:
            while not stop.is_set():
                client.step(connection)

    with ThreadPoolExecutor(len(clients)) as pool:
        working = [pool.submit(work, client) for client in clients]
        try:
            for goal in (300, 900):
                wait_until(lambda goal=goal: sum(c.acknowledged for c in clients) > goal, 60,
                           "enough load")
                if goal == 300:
                    db.run("pg_dump", "-Fd", *jobs, "-f", str(tmp_path / "dump"))
        finally:
            stop.set()
    for client in working:
        client.result()
    target.run("pg_restore", "--exit-on-error", *jobs, "-d", target.name, str(tmp_path / "dump"))
    assert findings(target) == []
    with target.connect() as connection:
        entries, last = row(connection, "SELECT count(*), max(entry_id) "
                            "FROM token_mgmt.usage_ledger")
        assert 0 < entries < sum(len(client.settled) for client in clients)
        reservation = value(connection, "SELECT reservation_id FROM reserve_tokens('user1', 1)")
        assert value(connection, "SELECT entry_id FROM settle_tokens(%s, 1, 0)",
                     [reservation]) > last
    assert findings(target) == []
    target.drop()
