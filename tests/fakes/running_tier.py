"""A dispatcher between a queue and an application in memory, on virtual time."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from sqsd.aws.sqs import SqsQueue, queue_name
from sqsd.contract import SqsdOptions
from sqsd.messages.connections import ConnectionPool
from sqsd.messages.delivery import ApplicationDelivery, Delivery
from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.occurrences import Duplicates, OccurrenceDelivery
from sqsd.messages.outcome import Unreachable
from sqsd.messages.request import RequestBuilder
from sqsd.messages.runtime import Runtime
from sqsd.testing.application import FakeApplication
from sqsd.testing.clock import VirtualClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import FakeSqs


class RunningTier:
    """`async with RunningTier(...)` runs the dispatcher; `options` are those of `SqsdOptions`."""

    def __init__(
        self,
        *,
        fifo: bool = False,
        max_receives: int | None = None,
        duplicates: Duplicates | None = None,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.sqs = FakeSqs(self.clock, fifo=fifo, max_receives=max_receives)
        self.application = FakeApplication()
        self.log = RecordingLog()
        self.ready = 0
        self.options = SqsdOptions(**options)
        queue = SqsQueue(
            self.sqs.url,
            polls=self.sqs,
            control=self.sqs,
            clock=self.clock,
            log=self.log,
            visibility_timeout=self.options.visibility_timeout,
            dead_letter_queue_url="http://127.0.0.1:1/123456789012/dead-letters",
        )
        runtime = Runtime(self.clock, self.log, lambda: 0.5)
        builder = RequestBuilder(self.options, queue_name(self.sqs.url))
        delivery: Delivery
        self.delivery = ApplicationDelivery(self.options, builder, self.application, runtime)
        delivery = self.delivery
        if duplicates is not None:
            delivery = OccurrenceDelivery(self.delivery, duplicates, self.log)
        self.dispatcher = Dispatcher(
            options=self.options,
            queue=queue,
            delivery=delivery,
            connections=ConnectionPool(self.options.http_connections, self.application, runtime),
            runtime=runtime,
            ready=self._is_ready,
        )
        self._run: asyncio.Task[bool] | None = None

    def _is_ready(self) -> None:
        self.ready += 1

    async def __aenter__(self) -> Self:
        self._run = asyncio.create_task(self.dispatcher.run(), name="dispatch")
        await self.clock.advance(1.0)  # the gate opens
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.force()

    async def warm_up(self) -> None:
        """Open the gate to its full width, and forget how."""
        for n in range(8):
            self.sqs.send(f"warm up {n}", group_id=f"warm up {n}")
        await self.clock.advance(2)
        assert self.dispatcher.in_flight_limit == self.options.http_connections
        for record in (self.sqs.calls, self.sqs.deleted, self.application.posted, self.log.events):
            record.clear()
        self.application.most_at_once = 0

    async def open_polls(self, *, at_least: int) -> None:
        """Have so many long polls wait on an empty queue, as after a burst."""
        for n in range(100):
            self.sqs.send(f"burst {n}", group_id=f"burst {n}")
        await self.clock.advance(2)
        assert self.sqs.bodies() == []
        assert self.sqs.waiting >= at_least
        for record in (self.sqs.calls, self.sqs.deleted, self.application.posted, self.log.events):
            record.clear()

    async def lose_application(self) -> str:
        """Have a message find no application, so that the gate closes. Returns its id."""
        self.application.up = False
        self.application.answers(Unreachable.REFUSED)
        sent = self.sqs.send("finds no application")
        await self.clock.advance(0.5)
        assert not self.dispatcher.gate_is_open
        return sent

    def application_is_back(self) -> None:
        self.application.up = True
        self.application.answers(200)

    async def drain(self) -> bool:
        """Stop in order; the result says whether all was finished."""
        assert self._run is not None
        self.dispatcher.drain()
        async with asyncio.timeout(20_000):
            return await self._run

    async def force(self) -> None:
        """End by force, as a second signal does."""
        assert self._run is not None
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)

    def receives(self) -> int:
        return len(self.sqs.called("ReceiveMessage"))
