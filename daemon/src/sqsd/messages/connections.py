"""Deals out one application's connections to the queues of a daemon, by `messages.fair_share`."""

from __future__ import annotations

from typing import Protocol

from sqsd.messages import fair_share as slots
from sqsd.messages.fair_share import Demand, Usage
from sqsd.messages.gate import Gate

#: Seconds that a receive waits which holds slots other queues may want; a quiet queue's, which
#: holds one, waits for `wait_time_seconds`.
_SHORT_WAIT_SECONDS = 1


class Holder(Protocol):
    """What holds slots: `messages.dispatcher.Dispatcher`."""

    @property
    def in_flight(self) -> int:
        """Messages that occupy slots."""

    @property
    def running(self) -> int:
        """Those of them that the application has."""

    @property
    def reserved(self) -> int:
        """Messages that open receives have asked for."""

    def receive_more(self) -> None:
        """Soon, and once for however many calls."""


class ConnectionPool:
    """The window of one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._shares: list[Share] = []

    def share(self, weight: int) -> Share:
        """Another queue's; all shares must have a holder before one is asked for room."""
        share = Share(len(self._shares), weight, self._gate.slots, self)
        self._shares.append(share)
        return share

    def room(self, position: int) -> int:
        claims = [share.claim() for share in self._shares]
        return slots.room(self._gate.window, claims, position)

    def free(self) -> int:
        return self._gate.window - sum(share.holder.running for share in self._shares)

    def changed(self) -> None:
        for share in self._shares:
            share.holder.receive_more()


class Share:
    """One queue's part of a budget."""

    holder: Holder

    def __init__(self, position: int, weight: int, most: int, budget: ConnectionPool) -> None:
        self.weight = weight
        self._position, self._budget = position, budget
        self._appetite = Demand(most)

    def claim(self) -> Usage:
        holder = self.holder
        return Usage(self.weight, holder.in_flight, holder.reserved, self._appetite.want)

    def room(self) -> int:
        """How many messages may be asked for now, by all receives that are to be opened."""
        return self._budget.room(self._position)

    def free(self) -> int:
        """How many messages more the application may be given, by all queues."""
        return self._budget.free()

    def changed(self) -> None:
        """Slots may have come free."""
        self._budget.changed()

    @property
    def limit(self) -> int:
        """And by one of them."""
        return self._appetite.limit

    def wait_seconds(self, longest: int) -> int:
        """How long a receive that is opened now may wait for its first message."""
        return longest if self._appetite.quiet else min(longest, _SHORT_WAIT_SECONDS)

    def polled(self, asked: int, got: int) -> None:
        """A receive for `asked` messages brought `got`."""
        self._appetite.polled(asked, got)

    def failed(self) -> None:
        """A receive failed."""
        self._appetite.failed()
