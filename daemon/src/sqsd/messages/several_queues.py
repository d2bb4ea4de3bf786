"""Several queues in one daemon: a dispatcher for each, and one pool of connections for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.in_flight import InFlightMessage


class SeveralQueues:
    """Runs the dispatchers of several queues. Implements `Dispatching`.

    Args:
        parts: one for each queue, at least one, all with the same `ConnectionPool`.
    """

    def __init__(self, parts: Sequence[Dispatcher]) -> None:
        self.parts = tuple(parts)

    @property
    def in_flight(self) -> int:
        return sum(part.in_flight for part in self.parts)

    @property
    def in_flight_limit(self) -> int:
        return self.parts[0].in_flight_limit

    @property
    def gate_is_open(self) -> bool:
        return self.parts[0].gate_is_open

    @property
    def queue_is_failing(self) -> bool:
        return any(part.queue_is_failing for part in self.parts)

    @property
    def draining(self) -> bool:
        return any(part.draining for part in self.parts)

    @property
    def paused(self) -> bool:
        return any(part.paused for part in self.parts)

    @property
    def needs_no_messages(self) -> bool:
        return all(part.needs_no_messages for part in self.parts)

    @property
    def last_receive(self) -> float:
        return min(part.last_receive for part in self.parts)

    def messages(self) -> list[InFlightMessage]:
        return [in_flight for part in self.parts for in_flight in part.messages()]

    def pause(self) -> None:
        for part in self.parts:
            part.pause()

    def resume(self) -> None:
        for part in self.parts:
            part.resume()

    def host_is_leaving(self) -> None:
        for part in self.parts:
            part.host_is_leaving()

    def drain(self) -> None:
        for part in self.parts:
            part.drain()

    async def run(self) -> bool:
        """Dispatch until drained. Returns whether nothing was cut short in any queue.

        A defect in one queue's dispatcher ends them all: they are cancelled, and it is raised.
        """
        try:
            async with asyncio.TaskGroup() as group:
                runs = [
                    group.create_task(part.run(), name=f"dispatch {position}")
                    for position, part in enumerate(self.parts)
                ]
        except ExceptionGroup as defects:
            raise defects.exceptions[0] from defects
        return all(run.result() for run in runs)


class Readiness:
    """Calls `ready` once every queue is ready.

    Args:
        queues: how many queues there are.
    """

    def __init__(self, queues: int, ready: Callable[[], None]) -> None:
        self._waiting_for = queues
        self._ready = ready

    def one(self) -> None:
        """A queue's first receive has succeeded; to be called once for each queue."""
        self._waiting_for -= 1
        if self._waiting_for == 0:
            self._ready()
