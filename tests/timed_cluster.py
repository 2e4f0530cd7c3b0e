"""A server whose clock the test sets, for all of its processes, the background worker included."""

import ctypes
import datetime
import mmap
import subprocess

from cluster import ROOT, Cluster

UTC = datetime.timezone.utc


class TimedCluster(Cluster):
    """set_instant() moves the clock of the running server, at once."""

    def __init__(self, name, instant, preload=True, settings=None):
        super().__init__(name, preload, settings, faketime="+0")
        self.instant = instant

    def set_instant(self, instant):
        """Sets the clock to this instant ("2026-10-25 00:30", UTC), from which it runs on."""
        self.instant = instant
        wanted = datetime.datetime.fromisoformat(instant).replace(tzinfo=UTC)
        # From the real clock, so that processes which read it at different times agree.
        moved_by = (wanted - datetime.datetime.now(UTC)) // datetime.timedelta(microseconds=1)
        with open(self.directory / "clock", "r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            # One store, so that nobody reads half a number.
            ctypes.c_int64.from_buffer(page).value = moved_by

    def set_clock(self, clock):
        clock = self.directory / "clock"
        if not clock.exists():
            clock.write_bytes(bytes(8))
            clock.chmod(0o644)
        self.set_instant(self.instant)

    def _clock_environment(self):
        library = self.directory.parent / "moved_clock.so"
        if not library.exists():
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o",
                            library, ROOT / "tests" / "moved_clock.c"], check=True)
        return [f"LD_PRELOAD={library}", f"MOVED_CLOCK={self.directory}/clock"]
