"""What tests of the books have in common: sessions that begin together, a refusal by its SQLSTATE,
the audit."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg


def row(connection, sql, parameters=None):
    return connection.execute(sql, parameters).fetchone()


def value(connection, sql, parameters=None):
    return row(connection, sql, parameters)[0]


def sqlstate(connection, sql, parameters=None):
    """The SQLSTATE that this statement fails with; None when it succeeds."""
    try:
        connection.execute(sql, parameters)
    except psycopg.Error as error:
        if connection.broken:
            raise
        return error.sqlstate
    return None


def findings(database):
    """What audit() finds: nothing, always."""
    with database.connect() as connection:
        return connection.execute("SELECT * FROM token_mgmt.audit()").fetchall()


def at_once(database, work, sessions, **options):
    """Calls work(connection, number) in so many sessions that begin together; their results."""
    barrier = Barrier(sessions)

    def session(number):
        with database.connect(**options) as connection:
            barrier.wait(60)
            return work(connection, number)

    with ThreadPoolExecutor(sessions) as pool:
        return list(pool.map(session, range(sessions)))
