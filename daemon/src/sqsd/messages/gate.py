"""The gate: nothing is received while the application is down, so that no receive is wasted.

Promise: once the gate is closed, no receive is begun before the application answers again. Messages
that open long polls bring are held until it opens, or, once no receive is open, released. Not
promised: messages in flight when the application goes away are received once in vain.

A message that the application answers with 500 never closes the gate. A refused connection is
certain and closes it at once. A proxy's 502, 503 or 504 is a suspicion, because one poison message
can kill a worker process too: the application is probed, and the gate closes if the probe fails, or
if several *distinct* messages met such an answer in a row.

How the application is probed (`Probe`) depends on what is known. A proxy accepts connections for an
application that is not there, and answers a GET with 502, 503 or 504. So before the gate has ever
opened, after a refused connection and under suspicion, the probe sends a GET and fails on those
answers; it does not fail on silence, because an application need not have a page. After a proxy's
50x to several messages only an answer counts.

The gate opens slowly: for one message (for each queue, with several), and for twice as many with
each success, so that a starting application does not meet all requests at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sqsd.base.backoff import doubled

#: Distinct messages in a row that must meet a proxy's 502, 503 or 504 before the gate closes.
DISTINCT_MESSAGES: Final = 3
#: Probes in a row that must succeed before the gate opens.
PROBES_TO_OPEN: Final = 2
#: First wait between failed probes, in seconds; doubled with each failure.
FIRST_PROBE_SECONDS: Final = 0.25
#: Longest wait between failed probes, in seconds.
LONGEST_PROBE_SECONDS: Final = 5.0


class Probe(Enum):
    """How to find out whether the application is there; the value is what proves it."""

    PORT = "its port accepts"
    LENIENT_GET = "its port accepts, and no proxy answers a GET with 502, 503 or 504"
    ANSWER = "it answers a GET"


@dataclass(slots=True)
class Gate:
    """Open or closed, and for how many messages. Starts closed, before the first probe.

    Args:
        connections: `http_connections`, the most messages it ever lets through at a time.
        narrowest: its limit when it opens: 1, or the number of queues, at most `connections`.
    """

    connections: int
    is_open: bool = False
    #: How many messages may be in flight.
    limit: int = 0
    #: How to probe the application while the gate is closed.
    probe: Probe = Probe.LENIENT_GET
    narrowest: int = 1
    _good_probes: int = 0
    _failed_probes: int = 0
    #: Ids of messages that met a proxy without an application, since the application's last answer.
    suspects: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.limit = self.limit or self.narrowest

    def answered(self) -> None:
        """The application answered a message, with any status: let more messages through."""
        if self.suspects:
            self.suspects.clear()
        if self.limit < self.connections:
            self.limit = min(self.connections, self.limit * 2)

    def application_down(self, message_id: str, *, certain: bool) -> bool:
        """A message found no application. Returns whether this closes the gate."""
        if not self.is_open:
            return False
        self.suspects.add(message_id)
        if not certain and len(self.suspects) < DISTINCT_MESSAGES:
            return False
        self._close(Probe.LENIENT_GET if certain else Probe.ANSWER)
        return True

    @property
    def is_suspicious(self) -> bool:
        """The gate is open, but the newest answer was a proxy's without an application."""
        return self.is_open and bool(self.suspects)

    def suspicion_probed(self, alive: bool) -> bool:
        """Take the result of a probe made under suspicion. Returns whether this closes the gate."""
        if alive or not self.is_suspicious:
            return False
        self._close(Probe.LENIENT_GET)
        return True

    def _close(self, probe: Probe) -> None:
        self.is_open = False
        self.limit = self.narrowest
        self.probe = probe
        self._good_probes = 0
        self._failed_probes = 0
        self.suspects.clear()

    def probed(self, alive: bool) -> float | None:
        """Take the result of a probe made while closed.

        Returns: seconds until the next probe, or None if the gate is open now.
        """
        if not alive:
            self._good_probes = 0
            self._failed_probes += 1
            return doubled(FIRST_PROBE_SECONDS, self._failed_probes - 1, LONGEST_PROBE_SECONDS)
        self._good_probes += 1
        if self._good_probes < PROBES_TO_OPEN:
            return FIRST_PROBE_SECONDS / 5
        self.is_open = True
        self.limit = self.narrowest
        self._failed_probes = 0
        return None
