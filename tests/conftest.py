"""Fixtures of all tests that need a server."""

import itertools

import pytest

from cluster import Cluster

counter = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    """One server for the whole session, with the worker preloaded. Not to be killed."""
    cluster = Cluster("shared", preload=True).start()
    yield cluster
    cluster.destroy()


@pytest.fixture
def db(server):
    """A fresh database with the extension, on the shared server."""
    database = server.create_database(f"test_{next(counter)}")
    yield database
    database.drop()


@pytest.fixture
def make_cluster():
    """make_cluster(preload=True, settings={}, faketime=None): a started server of the test's own,
    to be killed, restarted or moved in time (faketime="+0", then cluster.set_clock("+35d"))."""
    made = []

    def make(preload=True, settings=None, faketime=None):
        cluster = Cluster(f"own{next(counter)}", preload, settings, faketime)
        made.append(cluster)
        return cluster.start()

    yield make
    for cluster in made:
        cluster.destroy()
