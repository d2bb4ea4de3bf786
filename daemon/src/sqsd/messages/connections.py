"""The connections to one application, and the share of them that each queue of a daemon has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from sqsd.contract import BATCH_ENTRIES
from sqsd.messages import fair_share
from sqsd.messages.fair_share import Demand, Usage
from sqsd.messages.gate import Gate
from sqsd.messages.gate_keeper import GateKeeper
from sqsd.messages.ports import Application
from sqsd.messages.runtime import Runtime
from sqsd.messages.state import MessageState

#: Longest wait of a receive that reserves connections which other queues may want, in seconds.
#: A quiet queue, which reserves one, waits for `wait_time_seconds`.
_SHORT_WAIT_SECONDS: Final = 1


class Share(Protocol):
    """What one queue may use of the connections to the application."""

    @property
    def limit(self) -> int:
        """Most messages that one receive may ask for, 1 to 10."""

    def capacity(self) -> int:
        """Return how many more messages may be asked for, by all receives opened now."""

    def free(self) -> int:
        """Return how many more messages this queue may give the application."""

    def wait_seconds(self, longest: int) -> int:
        """Return how long a receive that is opened now may wait, at most `longest` seconds."""

    def received(self, limit: int, count: int) -> None:
        """A receive for `limit` messages brought `count`."""

    def receive_failed(self) -> None:
        """A receive failed."""

    def changed(self) -> None:
        """This queue may have freed connections: let every queue take its next step."""


class ConnectionPool:
    """The connections to one application: its gate, and the queues that share it.

    Args:
        connections: `http_connections`.
        queues: how many queues will join. A single queue has all connections.
    """

    def __init__(
        self, connections: int, application: Application, runtime: Runtime, *, queues: int = 1
    ) -> None:
        self.gate = Gate(connections, narrowest=queues)
        self.keeper = GateKeeper(self.gate, application, runtime, self.wake)
        self._queues = queues
        self._shares: list[QueueShare] = []
        self._wakes: list[Callable[[], None]] = []
        self._left = 0

    def join(self, state: MessageState, weight: int, wake: Callable[[], None]) -> Share:
        """Add a queue.

        Args:
            weight: of the queue among those that share, 1 to 100.
            wake: called when the gate opens, and when any queue may have freed connections.
        """
        self._wakes.append(wake)
        if self._queues == 1:
            return WholePool(state)
        share = QueueShare(self, len(self._shares), state, weight)
        self._shares.append(share)
        return share

    async def leave(self) -> None:
        """Remove a queue that has ended. Without queues the application is probed no more."""
        self._left += 1
        if self._left == len(self._wakes):
            await self.keeper.close()

    def capacity(self, position: int) -> int:
        """Return how many more messages the queue at `position` may ask for."""
        usages = [share.usage() for share in self._shares]
        return fair_share.capacity(self.gate.limit, usages, position)

    def free(self, position: int) -> int:
        """Return how many more messages the queue at `position` may give the application.

        One connection is left for each other queue that holds messages and has none running.
        """
        running = [share.state.running for share in self._shares]
        waiting = sum(
            share.state.may_hold and not running[other]
            for other, share in enumerate(self._shares)
            if other != position
        )
        return self.gate.limit - sum(running) - waiting

    def wake(self) -> None:
        """Let every queue take its next step."""
        for wake in self._wakes:
            wake()


class WholePool:
    """The share of a single queue: all connections. Implements `Share`."""

    limit = BATCH_ENTRIES

    def __init__(self, state: MessageState) -> None:
        self._state = state
        self.capacity = state.capacity

    def free(self) -> int:
        return self._state.gate.limit - self._state.running

    def wait_seconds(self, longest: int) -> int:
        return longest

    def received(self, limit: int, count: int) -> None:
        """A single queue shares with none, so its demand does not count."""

    def receive_failed(self) -> None:
        """A single queue shares with none, so its demand does not count."""

    def changed(self) -> None:
        """A single queue has no other to wake."""


class QueueShare:
    """The share of one of several queues, by weighted max-min fairness. Implements `Share`."""

    def __init__(
        self, pool: ConnectionPool, position: int, state: MessageState, weight: int
    ) -> None:
        self.state = state
        self._pool = pool
        self._position = position
        self._weight = weight
        self._demand = Demand(pool.gate.connections)

    def usage(self) -> Usage:
        """Return what this queue uses and wants now."""
        state = self.state
        return Usage(self._weight, state.in_flight, state.reserved, self._demand.wanted)

    @property
    def limit(self) -> int:
        return self._demand.limit

    def capacity(self) -> int:
        own = self.state.capacity()
        return min(own, self._pool.capacity(self._position)) if own else 0

    def free(self) -> int:
        return self._pool.free(self._position)

    def wait_seconds(self, longest: int) -> int:
        return longest if self._demand.is_quiet else min(longest, _SHORT_WAIT_SECONDS)

    def received(self, limit: int, count: int) -> None:
        self._demand.received(limit, count)

    def receive_failed(self) -> None:
        self._demand.receive_failed()

    def changed(self) -> None:
        self._pool.wake()
