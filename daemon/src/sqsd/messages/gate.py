"""The gate: nothing is received while the application is down, so no receive is burnt on it.

Promise: once closed, no receive is begun before the application answers again.
What a long poll already open brings is kept until the gate opens; when none is open any more, it
goes back for others to have. Not promised: messages in flight when the application goes away are
received once in vain.

A message that makes the application answer 500 never closes the gate. A refused connection is
certain and closes it at once. A proxy's 502, 503 or 504 is a suspicion, for one poison message can
kill a worker process too: it has the application looked at, and closes the gate when the look finds
nobody either, or when several *distinct* messages met it in a row.

How the application is looked at (`Probe`) depends on what is known. A proxy accepts connections
for an application that is not there, and answers a GET with 502, 503 or 504; so before the gate has
ever opened, after a refused connection and under suspicion, a GET is sent and those answers count
as not there, while silence does not: an application need not have a page. After a proxy's 50x to
several messages only an answer counts.

Opening is slow: one slot (for each queue, with several), doubled with each success, so that a
starting application is not met by a full window.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

#: Distinct messages that must meet a proxy's "nobody behind me" before the gate closes.
DISTINCT_MESSAGES: Final = 3
#: Probes in a row that must succeed before the gate opens.
PROBES_TO_OPEN: Final = 2
#: Seconds between probes: first, and at most; doubled in between.
FIRST_PROBE_SECONDS: Final = 0.25
LONGEST_PROBE_SECONDS: Final = 5.0


class Probe(Enum):
    """How to look whether the application is there."""

    PORT = "its port accepts"
    LENIENT_GET = "its port accepts, and no proxy answers a GET with 502, 503 or 504"
    ANSWER = "it answers a GET"


@dataclass(slots=True)
class Gate:
    """Open or closed, and how wide. Starts closed: the application has not been seen yet.

    Args:
        slots: `http_connections`, the widest it opens.
        narrowest: how wide it is at first: 1, or as many as there are queues, at most `slots`.
    """

    slots: int
    is_open: bool = False
    window: int = 0
    #: What is asked of the application while the gate is closed.
    probe: Probe = Probe.LENIENT_GET
    narrowest: int = 1
    _good_probes: int = 0
    _interval: float = FIRST_PROBE_SECONDS
    #: Messages that met a proxy without an application since the newest answer of one.
    suspects: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.window = self.window or self.narrowest

    def worked(self) -> None:
        """An application answered a message, whatever it said: widen."""
        if self.suspects:
            self.suspects.clear()
        if self.window < self.slots:
            self.window = min(self.slots, self.window * 2)

    def application_down(self, message_id: str, *, certain: bool) -> bool:
        """A message met a missing application. True when this closes the gate."""
        if not self.is_open:
            return False
        self.suspects.add(message_id)
        if not certain and len(self.suspects) < DISTINCT_MESSAGES:
            return False
        self._close(Probe.LENIENT_GET if certain else Probe.ANSWER)
        return True

    @property
    def is_suspicious(self) -> bool:
        """Open, though the newest answer was a proxy's for an application that is not there."""
        return self.is_open and bool(self.suspects)

    def looked(self, alive: bool) -> bool:
        """Take a look's result, made under suspicion. True when this closes the gate."""
        if alive or not self.is_suspicious:
            return False
        self._close(Probe.LENIENT_GET)
        return True

    def _close(self, probe: Probe) -> None:
        self.is_open, self.window, self.probe = False, self.narrowest, probe
        self._good_probes, self._interval = 0, FIRST_PROBE_SECONDS
        self.suspects.clear()

    def probed(self, alive: bool) -> float | None:
        """Take a probe's result; give seconds until the next one, or None when the gate opened."""
        if not alive:
            self._good_probes = 0
            wait, self._interval = self._interval, min(self._interval * 2, LONGEST_PROBE_SECONDS)
            return wait
        self._good_probes += 1
        if self._good_probes < PROBES_TO_OPEN:
            return FIRST_PROBE_SECONDS / 5
        self.is_open, self.window, self._interval = True, self.narrowest, FIRST_PROBE_SECONDS
        return None
