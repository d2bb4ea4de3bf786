"""Several queues, fake ones, and one application that they share."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from sqsd.aws.sqs import SqsQueue
from sqsd.contract import SqsdOptions
from sqsd.messages.connections import ConnectionPool
from sqsd.messages.delivery import ApplicationDelivery
from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.outcome import Unreachable
from sqsd.messages.request import Request, RequestBuilder
from sqsd.messages.runtime import Runtime
from sqsd.messages.several_queues import Readiness, SeveralQueues
from sqsd.observe.counts import QueueObserver
from sqsd.observe.observer import Observer
from sqsd.observe.status import DaemonIdentity, QueueIdentity, Status
from sqsd.testing.application import FakeApplication
from sqsd.testing.clock import VirtualClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import FakeSqs

_QUEUE = re.compile(rb"\r\nX-Aws-Sqsd-Queue: ([^\r\n]*)\r\n")


class Tier:
    """Queues `first`, `second`, `third` with these weights; `own` are one queue's own options."""

    def __init__(
        self,
        weights: Sequence[int],
        *,
        own: dict[str, dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.application = FakeApplication()
        self.recording = RecordingLog()
        self.log = Observer(self.recording, self.clock)
        self.ready = 0
        self.logs: dict[str, QueueObserver] = {}
        self.options = SqsdOptions(**options)
        names = ("first", "second", "third")[: len(weights)]
        self.queues = {name: FakeSqs(self.clock, fifo=name == "third") for name in names}
        self._connections = ConnectionPool(
            self.options.http_connections,
            self.application,
            Runtime(self.clock, self.log, lambda: 0.5),
            queues=len(weights),
        )
        self._ready = Readiness(len(weights), self._is_ready)
        self.dispatchers = SeveralQueues(
            [
                self._part(name, weight, {**options, **(own or {}).get(name, {})})
                for name, weight in zip(names, weights, strict=True)
            ]
        )
        self.status = Status(
            identity=DaemonIdentity(
                version="1",
                tier_name="orders",
                queue_url=self.queues["first"].url,
                fifo=False,
                http_connections=self.options.http_connections,
                queues=[
                    QueueIdentity(name=name, url=self.queues[name].url, weight=weight)
                    for name, weight in zip(names, weights, strict=True)
                ],
            ),
            dispatcher=self.dispatchers,
            observer=self.log,
            clock=self.clock,
        )
        self.run: asyncio.Task[bool]

    def _part(self, name: str, weight: int, options: dict[str, Any]) -> Dispatcher:
        sqs, chosen, log = self.queues[name], SqsdOptions(**options), QueueObserver(self.log, name)
        self.logs[name] = log
        sqs.url = f"http://127.0.0.1:1/123456789012/{name}" + (".fifo" if sqs.fifo else "")
        runtime = Runtime(self.clock, log, lambda: 0.5)
        return Dispatcher(
            options=chosen,
            queue=SqsQueue(
                sqs.url,
                polls=sqs,
                control=sqs,
                clock=self.clock,
                log=log,
                visibility_timeout=chosen.visibility_timeout,
            ),
            delivery=ApplicationDelivery(
                chosen, RequestBuilder(chosen, name), self.application, runtime
            ),
            connections=self._connections,
            runtime=runtime,
            weight=weight,
            ready=self._ready.one,
        )

    def _is_ready(self) -> None:
        self.ready += 1

    async def __aenter__(self) -> Self:
        self.run = asyncio.create_task(self.dispatchers.run())
        await self.clock.advance(1.0)  # the gate opens
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run.cancel()
        await asyncio.gather(self.run, return_exceptions=True)

    async def warm_up(self) -> None:
        """Open the gate to its full width, and let all queues become quiet again."""
        for number in range(8):
            self.queues["first"].send(f"warm up {number}")
        await self.clock.advance(5)
        assert self.dispatchers.in_flight_limit == self.options.http_connections
        self.application.posted.clear()
        self.application.most_at_once = 0

    async def lose_application(self, name: str) -> None:
        """Have a message of this queue find no application, so that the gate closes."""
        self.application.up = False
        self.application.answers(Unreachable.REFUSED)
        self.send(name, 1)
        await self.clock.advance(0.5)
        assert not self.dispatchers.gate_is_open

    def send(self, name: str, count: int) -> None:
        for number in range(count):
            self.queues[name].send(f"{name} {number}", group_id=f"group {number}")

    def posted(self) -> Counter[str]:
        """How many requests there were, by queue."""
        return Counter(_queue_of(request) for request in self.application.posted)

    def in_flight(self) -> tuple[int, ...]:
        return tuple(part.in_flight for part in self.dispatchers.parts)

    def receives(self, name: str) -> int:
        return len(self.queues[name].called("ReceiveMessage"))

    async def drain(self) -> bool:
        self.dispatchers.drain()
        async with asyncio.timeout(2_000):
            return await self.run


def _queue_of(request: Request) -> str:
    found = _QUEUE.search(request.head)
    assert found is not None
    return found[1].decode()
