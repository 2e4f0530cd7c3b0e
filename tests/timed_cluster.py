"""A server whose clock the test sets, for all of its processes, the background worker included."""

import datetime
import subprocess

from cluster import ROOT, Cluster

UTC = datetime.timezone.utc


class TimedCluster(Cluster):
    """As a Cluster with faketime; set_instant() moves the clock of the running server."""

    def __init__(self, name, instant, preload=True, settings=None):
        super().__init__(name, preload, settings, faketime="+0")
        self.instant = instant

    def start(self):
        self.faketime = self._distance(self.instant)
        return super().start()

    def set_instant(self, instant):
        """Sets the clock to this instant ("2026-10-25 00:30", UTC), from which it runs on."""
        self.instant = instant
        self.set_clock(self._distance(instant))

    def _distance(self, instant):
        """From the real clock, so that processes which read it at different times agree."""
        wanted = datetime.datetime.fromisoformat(instant).replace(tzinfo=UTC)
        return f"{(wanted - datetime.datetime.now(UTC)).total_seconds():+.3f}"

    def _clock_environment(self):
        library = self.directory.parent / "past_select.so"
        if not library.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library,
                            ROOT / "tests" / "past_select.c"], check=True)
        return [f"LD_PRELOAD={library} " + variable.removeprefix("LD_PRELOAD=")
                if variable.startswith("LD_PRELOAD=") else variable
                for variable in super()._clock_environment()]
