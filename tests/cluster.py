"""Throw-away PostgreSQL servers for the tests, on top of scripts/cluster.sh.

Run through `make test`, which prepares the environment that this module reads.
"""

import glob
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import psycopg.sql

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = "token_mgmt"


def environment(name):
    try:
        return os.environ[name]
    except KeyError:
        raise RuntimeError(f"{name} is not set: run the tests by `make test SUITE=e2e`") from None


def wait_until(predicate, deadline=15.0, what="the condition"):
    """Polls until predicate() is true and returns its value; fails after deadline seconds."""
    end = time.monotonic() + deadline
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {deadline} s")
        time.sleep(0.02)


def as_server_user():
    """For subprocess: root hands on what refuses to run as root."""
    if os.getuid() != 0:
        return {}
    user = environment("SERVER_USER")
    return {"user": user, "group": user, "extra_groups": []}


class Cluster:
    """One server with its own data, socket and log. port and directory (as host) connect to it."""

    # Set for the scripts that work on it.
    variables = {}

    def __init__(self, name, preload=True, settings=None, faketime=None):
        self.name = name
        self.port = int(environment("SOCKET_PORT"))
        self.directory = Path(environment("CLUSTERS")) / name
        self.bin = Path(environment("BIN"))
        self.preload = preload
        self.settings = dict(settings or {})
        self.faketime = faketime
        self._script("create", name)

    def _script(self, *arguments):
        done = subprocess.run(
            [ROOT / "scripts" / "cluster.sh", *arguments], capture_output=True, text=True,
            env=os.environ | self.variables
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())

    def start(self):
        options = ["--fast"]
        if self.preload:
            options.append("--preload")
        for name, value in self.settings.items():
            options += ["-c", f"{name}={value}"]
        if self.faketime is not None:
            self.set_clock(self.faketime)
            for variable in self._clock_environment():
                options += ["--env", variable]
        self._script("start", self.name, *options)
        return self

    def _clock_environment(self):
        libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        if not libraries:
            raise RuntimeError("libfaketime is not installed: run `make test`")
        return [
            f"LD_PRELOAD={libraries[0]}",
            f"FAKETIME_TIMESTAMP_FILE={self.directory}/clock",
            # Read at every call, so that the clock of a running server moves at once.
            "FAKETIME_NO_CACHE=1",
            # Latches and statement timeouts run on the monotonic clock: it stays real.
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        ]

    def set_clock(self, clock):
        """Moves the server's clock: "+35d", "-2h" (to the real one), "@2026-12-24 20:30:00" (UTC,
        running on from there when set). Only for a cluster made with faketime="+0"."""
        path = self.directory / "clock"
        fresh = path.with_suffix(".new")
        fresh.write_text(f"{clock}\n")
        fresh.chmod(0o644)
        # A rename, so that no backend reads half a line.
        fresh.rename(path)

    def stop(self, mode="fast"):
        self._script("stop", self.name, mode)

    def restart(self):
        self.stop()
        return self.start()

    def destroy(self):
        self._script("destroy", self.name)

    def pid(self):
        return int((self.directory / "data" / "postmaster.pid").read_text().splitlines()[0])

    def processes(self):
        """The postmaster's process id and those of its children."""
        postmaster = self.pid()
        found = [postmaster]
        for status in glob.glob("/proc/[0-9]*/stat"):
            try:
                # The fields after the parenthesised name: state, parent.
                parent = int(Path(status).read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == postmaster:
                found.append(int(status.split("/")[2]))
        return found

    def kill(self):
        """kill -9 of the whole server at once, as when the machine loses power."""
        # No child is forked after the list is made: one was when the signal came amid a fork.
        os.kill(self.pid(), signal.SIGSTOP)
        wait_until(lambda: state(self.pid()) == "T", what="the halt of the postmaster")
        processes = self.processes()
        for process in processes:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in processes:
            wait_until(lambda p=process: not alive(p), what=f"the end of process {process}")
        # A dead postmaster that nobody has waited for yet (a container whose first process does
        # not) still answers kill(pid, 0), and a new one would refuse to start beside it.
        for lock in ("data/postmaster.pid", f".s.PGSQL.{self.port}.lock"):
            (self.directory / lock).unlink(missing_ok=True)

    def connect(self, dbname="postgres", autocommit=True, **options):
        return psycopg.connect(
            host=str(self.directory), port=self.port, user=options.pop("user", "postgres"),
            dbname=dbname, autocommit=autocommit, **options
        )

    def client_environment(self, dbname="postgres"):
        """What libpq, node-postgres and most other drivers need to find this server."""
        return os.environ | {
            "PGHOST": str(self.directory),
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGDATABASE": dbname,
        }

    def run(self, program, *arguments, dbname="postgres", check=True, **options):
        """Runs one of PostgreSQL's client programs (pg_dump, pgbench, …) on this server."""
        done = subprocess.run(
            [self.bin / program, *arguments], env=self.client_environment(dbname),
            capture_output=True, text=True, **options
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{program} exited with {done.returncode}: {done.stderr}")
        return done

    def psql(self, sql, dbname="postgres", check=True):
        """The unaligned output of these statements; stops at the first error."""
        done = self.run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", dbname=dbname, check=check,
            input=sql
        )
        return done.stdout.rstrip("\n") if check else done

    def create_database(self, name, extension=True):
        with self.connect() as connection:
            connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(
                psycopg.sql.Identifier(name)))
        if extension:
            with self.connect(name) as connection:
                connection.execute(f"CREATE EXTENSION {EXTENSION}")
        return Database(self, name)

    def log(self):
        return (self.directory / "log").read_text(errors="replace")


class Database:
    """One database of a cluster."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name

    def connect(self, **options):
        return self.cluster.connect(self.name, **options)

    def psql(self, sql, check=True):
        return self.cluster.psql(sql, self.name, check)

    def run(self, program, *arguments, **options):
        return self.cluster.run(program, *arguments, dbname=self.name, **options)

    def client_environment(self):
        return self.cluster.client_environment(self.name)

    def drop(self):
        with self.cluster.connect() as connection:
            connection.execute(psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(
                psycopg.sql.Identifier(self.name)))


class Pool:
    """pgbouncer before one database, in transaction mode: so many server connections for any
    number of clients. prepared_statements is its max_prepared_statements, which psycopg can use
    from version 1.22 on."""

    PROGRAM = "/usr/sbin/pgbouncer"

    def __init__(self, database, connections, prepared_statements=0):
        cluster = database.cluster
        self.name = database.name
        self.port = cluster.port
        self.directory = cluster.directory / "pool"
        self.directory.mkdir(exist_ok=True)
        settings = {
            "unix_socket_dir": self.directory, "listen_port": cluster.port, "auth_type": "any",
            "pool_mode": "transaction", "default_pool_size": connections, "max_client_conn": 200,
            "logfile": self.directory / "log",
        }
        if prepared_statements:
            settings["max_prepared_statements"] = prepared_statements
        lines = ["[databases]", f"{self.name} = host={cluster.directory} port={cluster.port} "
                 "user=postgres", "[pgbouncer]", *(f"{k} = {v}" for k, v in settings.items())]
        (self.directory / "ini").write_text("\n".join(lines) + "\n")
        if os.getuid() == 0:
            shutil.chown(self.directory, os.environ["SERVER_USER"])
        self.threshold = 0 if prepared_statements else None
        self.process = subprocess.Popen([self.PROGRAM, "-q", self.directory / "ini"],
                                        **as_server_user())
        wait_until(self._answers, what="pgbouncer's answer")

    def _answers(self):
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    @classmethod
    def version(cls):
        line = subprocess.run([cls.PROGRAM, "--version"], capture_output=True, text=True,
                              check=True).stdout.split()[1]
        return tuple(int(part) for part in line.split("."))

    def connect(self, autocommit=True, **options):
        return psycopg.connect(
            host=str(self.directory), port=self.port, user="postgres", dbname=self.name,
            autocommit=autocommit, prepare_threshold=self.threshold, **options
        )

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def state(process):
    """The letter that ps shows; None when there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def alive(process):
    return state(process) not in (None, "Z")
