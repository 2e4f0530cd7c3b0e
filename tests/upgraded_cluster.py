"""A server that pg_upgrade makes of another one's data, where scripts/pg_upgrade.sh has prepared a
PostgreSQL of a later major version."""

import os
import subprocess
from pathlib import Path

from cluster import as_server_user
from timed_cluster import TimedCluster

AVAILABLE = "UPGRADE_TO" in os.environ


class UpgradedCluster(TimedCluster):
    """Made of what this stopped cluster has; that one is not changed. Both are preloaded while
    pg_upgrade runs them, as people's servers are."""

    def __init__(self, name, old, instant, settings):
        self.variables = {"PG_CONFIG": os.environ["UPGRADE_TO"],
                          "TOKEN_MGMT_RUN": os.environ["UPGRADE_RUN"]}
        super().__init__(name, instant, settings=settings)
        self.bin = Path(os.environ["UPGRADE_BIN"])
        data = self.directory / "data"
        copied = self.directory / "old"
        subprocess.run(["cp", "-a", old.directory / "data", copied], check=True)
        # PostgreSQL 18 makes clusters with checksums, and pg_upgrade wants the same in both.
        if "checksum version:           0" not in self.program(self.bin / "pg_controldata", data):
            self.program(old.bin / "pg_checksums", "--enable", "-D", copied)
        for directory in (copied, data):
            with open(directory / "postgresql.auto.conf", "a") as file:
                file.write("shared_preload_libraries = 'token_mgmt'\n"
                           "token_mgmt.worker_naptime = '100ms'\n")
        self.program(self.bin / "pg_upgrade", "-b", old.bin, "-B", self.bin, "-d", copied,
                     "-D", data, "-U", "postgres", "-s", self.directory)

    def program(self, *command):
        """The output of this program, run as the server's user."""
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True,
                              **as_server_user())
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
