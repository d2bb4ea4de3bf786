"""The gate: nothing is received while the application is down, so that no receive is wasted.

Promise: once the gate is closed, no receive is begun before the application answers again. Messages
that open long polls bring are held until it opens, or, once no receive is open, released. A message
that met no application is held too, and costs no further receive.

A message that the application answers with 500 never closes the gate. A refused connection is
proof and closes it at once. A proxy's 502 or 503, and a connection that ended without one byte, are
a suspicion, because one poison message can kill a worker process too: the application is probed,
and the gate closes if the probe fails, or if several *distinct* messages met the like in a row. If
the application then answers a GET, it is up and fails these messages itself: for a minute only a
failed probe closes the gate. A 504 is no suspicion: it means that the application takes long.

A message that raised suspicion is *unproven* until the next proof: a probe that began later, an
answer to any message, or a refused connection. Only then it is decided whether the message failed
or met no application.

How the application is probed (`Probe`) depends on what is known. A proxy accepts connections for an
application that is not there, and answers a GET with 502 or 503. So before the gate has ever
opened, after a refused connection and under suspicion, the probe sends a GET and fails on those
answers; it does not fail on silence, because an application need not have a page. After suspicion
from several messages only an answer counts.

The gate opens slowly: for one message (for each queue, with several), and for twice as many with
each success, so that a starting application does not meet all requests at once. It widens with time
too, for an application whose first jobs take hours.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sqsd.base.backoff import doubled

#: Distinct messages in a row that must raise suspicion before the gate closes.
DISTINCT_MESSAGES: Final = 3
#: Time after an answer to a GET for which suspicion from messages alone does not close the gate, in
#: seconds. It would close and open again several times a second, as long as every message fails.
TRUST_SECONDS: Final = 60.0
#: Probes in a row that must succeed before the gate opens.
PROBES_TO_OPEN: Final = 2
#: First wait between failed probes, in seconds; doubled with each failure.
FIRST_PROBE_SECONDS: Final = 0.25
#: Longest wait between failed probes, in seconds.
LONGEST_PROBE_SECONDS: Final = 5.0
#: Time after which an open gate widens without an answer, in seconds. Doubled seven times, from 1
#: to the 100 connections that are the most, the limit is full within 10 s.
WIDEN_SECONDS: Final = 1.4


class Probe(Enum):
    """How to find out whether the application is there; the value is what proves it."""

    PORT = "its port accepts"
    LENIENT_GET = "its port accepts, and no proxy answers a GET with 502 or 503"
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
    #: Ids of messages that raised suspicion since the application's last answer.
    suspects: set[str] = field(default_factory=set)
    #: Ids of messages that raised suspicion and wait for proof.
    unproven: set[str] = field(default_factory=set)
    #: Whether the newest proof was that there is no application.
    proven_down: bool = False
    #: Until when only a failed probe or a refused connection closes the gate, in monotonic seconds.
    _trusted_until: float = 0.0

    def __post_init__(self) -> None:
        self.limit = self.limit or self.narrowest

    def answered(self) -> None:
        """The application answered a message, with any status: let more messages through."""
        if self.suspects or self.unproven:
            self.suspects.clear()
            self._prove(down=False)
        if self.limit < self.connections:
            self.limit = min(self.connections, self.limit * 2)

    def application_down(self, message_id: str, now: float, *, certain: bool) -> bool:
        """A message met a sign of no application, or proof if `certain`.

        Returns: whether this closes the gate.
        """
        if certain:
            self._prove(down=True)
        if not self.is_open:
            return False
        if len(self.suspects) < DISTINCT_MESSAGES:
            self.suspects.add(message_id)
        doubtful = len(self.suspects) < DISTINCT_MESSAGES or now < self._trusted_until
        if not certain and doubtful:
            return False
        self._close(Probe.LENIENT_GET if certain else Probe.ANSWER)
        self.proven_down = certain
        return True

    @property
    def is_suspicious(self) -> bool:
        """The gate is open, but the newest end of a request was a sign of no application."""
        return self.is_open and bool(self.suspects)

    @property
    def suspicion_probe(self) -> Probe:
        """How to probe the application under suspicion."""
        several = len(self.suspects) >= DISTINCT_MESSAGES
        return Probe.ANSWER if several else Probe.LENIENT_GET

    def suspicion_probed(self, alive: bool, unproven: Set[str]) -> bool:
        """Take the result of a probe made under suspicion.

        Args:
            unproven: ids of the messages that were unproven when the probe began. An application
                that is up then may be down when a later one meets it.

        Returns: whether this closes the gate.
        """
        if not alive:
            if self.unproven:
                self._prove(down=True)
            if not self.is_suspicious:
                return False
            self._close(self.suspicion_probe)
            return True
        self.proven_down = False
        self.unproven -= unproven
        if self.is_open:
            self.limit = min(self.connections, self.limit * 2)
        return False

    def busy(self) -> None:
        """The application answered that it has too much to do: let half as many through."""
        self.suspects.clear()
        self._prove(down=False)
        self.limit = max(self.narrowest, self.limit // 2)

    def widen(self) -> bool:
        """Let more messages through because the application has been up for `WIDEN_SECONDS` more.

        Returns: whether the gate is as wide as it gets, or closed.
        """
        if self.is_open and not self.unproven:
            self.limit = min(self.connections, self.limit * 2)
        return not self.is_open or self.limit >= self.connections

    def _prove(self, *, down: bool) -> None:
        self.proven_down = down
        self.unproven.clear()

    def _close(self, probe: Probe) -> None:
        self.is_open = False
        self._trusted_until = 0.0
        self.limit = self.narrowest
        self.probe = probe
        self._good_probes = 0
        self._failed_probes = 0
        self.suspects.clear()

    def probed(self, alive: bool, now: float) -> float | None:
        """Take the result of a probe made while closed.

        Returns: seconds until the next probe, or None if the gate is open now.
        """
        self._prove(down=not alive)
        if not alive:
            self._good_probes = 0
            self._failed_probes += 1
            return doubled(FIRST_PROBE_SECONDS, self._failed_probes - 1, LONGEST_PROBE_SECONDS)
        self._good_probes += 1
        if self._good_probes < PROBES_TO_OPEN:
            return FIRST_PROBE_SECONDS / 5
        self.is_open = True
        if self.probe is Probe.ANSWER:
            self._trusted_until = now + TRUST_SECONDS
        self.limit = self.narrowest
        self._failed_probes = 0
        return None
