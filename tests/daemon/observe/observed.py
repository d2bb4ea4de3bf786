"""A dispatcher that is observed as the daemon's is: counted, logged, shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from sqsd.aws.sqs import SqsQueue
from sqsd.base.ports import EventLog
from sqsd.contract import SqsdOptions, events
from sqsd.cron.cron_yaml import parse_cron_yaml
from sqsd.messages.connections import ConnectionPool
from sqsd.messages.delivery import ApplicationDelivery
from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.request import RequestBuilder
from sqsd.messages.runtime import Runtime
from sqsd.observe.assembly import status_pages
from sqsd.observe.observed_queue import ObservedQueue
from sqsd.observe.observer import Observer
from sqsd.observe.status import DaemonIdentity, Status
from sqsd.testing.application import FakeApplication
from sqsd.testing.clock import VirtualClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import FakeSqs

CRON = """
version: 1
cron:
  - {name: late, url: /late, schedule: "0 12 * * *"}
  - {name: soon, url: /soon, schedule: "*/5 * * * *"}
"""


class World:
    """One queue's dispatcher with everything that observes it."""

    def __init__(self, *, fifo: bool = False, log: EventLog | None = None, **options: Any) -> None:
        self.clock = VirtualClock()
        self.sqs = FakeSqs(self.clock, fifo=fifo)
        self.application = FakeApplication()
        self.recording = RecordingLog()
        self.log = Observer(log or self.recording, self.clock)
        chosen = SqsdOptions(**{"http_connections": 10, **options})
        api: Any = self.sqs
        queue = SqsQueue(
            self.sqs.url,
            polls=api,
            control=api,
            clock=self.clock,
            log=self.log,
            visibility_timeout=chosen.visibility_timeout,
        )
        runtime = Runtime(self.clock, self.log, lambda: 0.5)
        self.dispatcher = Dispatcher(
            options=chosen,
            queue=ObservedQueue(queue, self.log.metrics),
            delivery=ApplicationDelivery(
                chosen, RequestBuilder(chosen, "work"), self.application, runtime
            ),
            connections=ConnectionPool(chosen.http_connections, self.application, runtime),
            runtime=runtime,
            ready=lambda: self.log.emit(events.DAEMON_READY),
        )
        self.status = Status(
            identity=DaemonIdentity(
                version="1.2.3",
                tier_name="orders",
                queue_url=self.sqs.url,
                fifo=fifo,
                http_connections=chosen.http_connections,
            ),
            dispatcher=self.dispatcher,
            observer=self.log,
            clock=self.clock,
            tasks=lambda: parse_cron_yaml(CRON).enabled,
        )
        self.pages = status_pages(self.status, self.log)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        task = asyncio.create_task(self.dispatcher.run())
        try:
            yield self
        finally:
            self.dispatcher.drain()
            self.application.abort()
            await task

    @property
    def metrics(self) -> Any:
        return self.log.metrics

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.pages["/status"]().body)
        return document
