"""Several queues in one daemon: a dispatcher for each, one gate and one budget for all.

To who supervises and explains a daemon they look like one dispatcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.gate_keeper import GateKeeper
from sqsd.messages.in_flight import InFlightMessage


class SeveralQueues:
    """The queues' dispatchers, which share `gate`.

    Args:
        parts: one for each queue, at least one, each with a share of one `ConnectionPool`.
    """

    def __init__(self, gate: GateKeeper, parts: Sequence[Dispatcher]) -> None:
        self._gate = gate
        self.parts = tuple(parts)

    @property
    def in_flight(self) -> int:
        return sum(part.in_flight for part in self.parts)

    @property
    def gate_is_open(self) -> bool:
        return self._gate.gate.is_open

    @property
    def window(self) -> int:
        """How many messages may be in flight now, of all queues together."""
        return self._gate.gate.window

    @property
    def queue_is_failing(self) -> bool:
        """Any of them."""
        return any(part.queue_is_failing for part in self.parts)

    @property
    def wants_messages(self) -> bool:
        """Any of them has room that a receive should be filling."""
        return any(part.wants_messages for part in self.parts)

    @property
    def draining(self) -> bool:
        return any(part.draining for part in self.parts)

    @property
    def is_paused(self) -> bool:
        return any(part.is_paused for part in self.parts)

    @property
    def needs_no_messages(self) -> bool:
        return all(part.needs_no_messages for part in self.parts)

    @property
    def last_receive(self) -> float:
        """Of the queue that has waited longest for its receive to be answered."""
        return min(part.last_receive for part in self.parts)

    def in_flight_messages(self) -> list[InFlightMessage]:
        """What is held now, for who explains the daemon."""
        return [in_flight for part in self.parts for in_flight in part.in_flight_messages()]

    def pause(self) -> None:
        """Receive nothing until `resume`; what is here is finished."""
        for part in self.parts:
            part.pause()

    def resume(self) -> None:
        for part in self.parts:
            part.resume()

    def drain(self) -> None:
        """Receive no more, give back what has not started, finish the rest; `run` then returns."""
        for part in self.parts:
            part.drain()

    async def run(self) -> bool:
        """Dispatch until drained; True when nothing was cut short in any queue.

        A defect in one queue's dispatcher ends them all: it is raised, and they are cancelled.
        """
        try:
            async with asyncio.TaskGroup() as group:
                runs = [
                    group.create_task(part.run(), name=f"dispatch {position}")
                    for position, part in enumerate(self.parts)
                ]
        except ExceptionGroup as defects:
            raise defects.exceptions[0] from defects
        finally:
            await self._gate.close()
        return all(run.result() for run in runs)


#: What a daemon has: of its one queue, or of several.
Dispatching = Dispatcher | SeveralQueues


class Readiness:
    """Calls `ready` once every one of its queues is.

    Args:
        queues: how many.
    """

    def __init__(self, queues: int, ready: Callable[[], None]) -> None:
        self._waiting_for, self._ready = queues, ready

    def one(self) -> None:
        """A queue's first receive has completed; to be called once by each."""
        self._waiting_for -= 1
        if self._waiting_for == 0:
            self._ready()
