"""Puts together what explains a daemon: log format, metrics, status port, traces, lifecycle watch.

Beside `daemon`, which puts together what dispatches. Nothing here is needed to move a message.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sqsd import __version__
from sqsd.aws.sqs import is_fifo, queue_name
from sqsd.base.ports import Clock, EventLog
from sqsd.contract import TierSettings, events
from sqsd.cron.schedule import Task
from sqsd.messages.ports import Application, Queue
from sqsd.messages.several_queues import AnyDispatcher
from sqsd.observe import tracing
from sqsd.observe.counts import QueueObserver
from sqsd.observe.eb_log import EbLog
from sqsd.observe.emf import EmfReport
from sqsd.observe.json_log import JsonLog, LineStream
from sqsd.observe.loop_lag import LoopLag
from sqsd.observe.observed_queue import ObservedQueue
from sqsd.observe.observer import Observer
from sqsd.observe.output import Output
from sqsd.observe.post_log import PostLog
from sqsd.observe.prometheus import CONTENT_TYPE, QueueSeries, exposition
from sqsd.observe.report import Telemetry
from sqsd.observe.status import Identity, QueueIdentity, Status, Verdict
from sqsd.observe.status_server import HOST, Page, StatusServer, plain
from sqsd.supervisor import Companion

_JSON: Final = "application/json; charset=utf-8"


class Observability:
    """The parts, by what the settings ask for. Construct inside a running loop."""

    def __init__(
        self, settings: TierSettings, clock: Clock, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._resources, self._options = settings.resources, settings.options
        self._several = _several(settings)
        self._clock = clock
        # Without a standard output Python has none; the number 1 may then be another file.
        self._output = (
            None
            if sys.stdout is None
            else Output(1, asyncio.get_running_loop(), self._log_recovered)
        )
        self._stream: LineStream = self._output or _Nowhere()
        stream = self._stream
        self._format: JsonLog | EbLog = (
            EbLog(stream, clock.time)
            if self._options.log_format == "eb"
            else JsonLog(stream, clock.time)
        )
        #: Where every event goes.
        self.log = Observer(self._format, clock)
        self._tracing = self._start_tracing(environment)
        #: With several queues, each one's, by URL.
        self._queue_logs = {q.url: QueueObserver(self.log, q.name) for q in self._several}

    def queue(self, queue: Queue, url: str) -> Queue:
        """The queue, with its receives counted."""
        own = self._queue_logs.get(url)
        return ObservedQueue(queue, self.log.metrics, *(() if own is None else (own.metrics,)))

    def queue_log(self, url: str) -> EventLog:
        """Where the events of one queue go."""
        return self._queue_logs.get(url, self.log)

    def application(self, application: Application, queue_url: str) -> Application:
        """The application, with what is to be seen of each POST of a queue's messages."""
        options = self._options
        if isinstance(self._format, EbLog):
            target = f"http://{options.http_host}:{options.http_port}"
            application = PostLog(application, self._format, target)
        if self._tracing is not None:
            application = tracing.TracedApplication(
                application,
                self._tracing.tracer,
                queue_name=queue_name(queue_url),
                queue_url=queue_url,
            )
        return application

    def companions(
        self,
        dispatcher: AnyDispatcher,
        application: Application,
        tasks: Callable[[], Sequence[Task]],
    ) -> list[Companion]:
        """What runs beside the dispatcher: reports and the status port."""
        resources, options = self._resources, self._options
        output = self._output
        status = Status(
            identity=Identity(
                version=__version__,
                tier_name=resources.tier_name,
                queue_url=resources.queue_url,
                fifo=is_fifo(resources.queue_url),
                http_connections=options.http_connections,
                queues=self._several,
            ),
            dispatcher=dispatcher,
            observer=self.log,
            clock=self._clock,
            tasks=tasks,
            log_lines_dropped=lambda: 0 if output is None else output.dropped,
            log_trouble=lambda: None if output is None else output.trouble,
        )
        companions: list[Companion] = [LoopLag(self.log.metrics, self._clock, self.log)]

        def queues() -> list[QueueSeries]:
            logs_and_levels = zip(self._several, status.queue_levels(), strict=False)
            return [
                QueueSeries(queue.name, self._queue_logs[queue.url].metrics, levels)
                for queue, levels in logs_and_levels
            ]

        if options.status_port is not None:
            pages = status_pages(status, self.log, queues)
            companions.append(StatusPort(pages, options.status_port, self.log))
        if options.metrics_namespace is not None:
            companions.append(
                Telemetry(
                    report=EmfReport(options.metrics_namespace, resources.tier_name),
                    observer=self.log,
                    status=status,
                    application=application,
                    clock=self._clock,
                    write=self._print,
                    queues=queues,
                )
            )
        return companions

    def close(self) -> None:
        """Let go of the last spans and lines."""
        if self._tracing is not None:
            self._tracing.close()
        if self._output is not None:
            self._output.close()

    def _log_recovered(self, dropped: int, why: str) -> None:
        self.log.emit(events.LOG_RECOVERED, lines_dropped=dropped, reason=why)

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def _start_tracing(self, environment: Mapping[str, str]) -> tracing.Tracing | None:
        if not tracing.asked_for(environment):
            return None
        try:
            return tracing.Tracing(
                environment, service_name=self._resources.tier_name, version=__version__
            )
        except tracing.TracingUnavailable as error:
            self.log.emit(events.TRACING_FAILED, reason=str(error))
            return None


def _several(settings: TierSettings) -> tuple[QueueIdentity, ...]:
    """What tells the queues apart; nothing where there is only one."""
    if not settings.more_queues:
        return ()
    first = (settings.resources.queue_url, settings.weight)
    urls = [first, *((queue.queue_url, queue.weight) for queue in settings.more_queues)]
    names = Counter(queue_name(url) for url, _ in urls)
    # Queues of two accounts or regions may have one name.
    return tuple(
        QueueIdentity(
            name=queue_name(url) if names[queue_name(url)] == 1 else url, url=url, weight=weight
        )
        for url, weight in urls
    )


def status_pages(
    status: Status, observer: Observer, queues: Callable[[], Sequence[QueueSeries]] = tuple
) -> dict[str, Callable[[], Page]]:
    """What the status port serves, by path."""

    def verdict(judge: Callable[[], Verdict]) -> Callable[[], Page]:
        def page() -> Page:
            found = judge()
            return plain(200 if found.well else 503, found.reason)

        return page

    def metrics() -> Page:
        text = exposition(observer.metrics, status.levels(), __version__, queues())
        return Page(200, CONTENT_TYPE, text)

    def document() -> Page:
        text = json.dumps(status.document(), indent=2, ensure_ascii=True, default=str)
        return Page(200, _JSON, text + "\n")

    return {
        "/healthz": verdict(status.alive),
        "/readyz": verdict(status.ready),
        "/metrics": metrics,
        "/status": document,
    }


class StatusPort:
    """Serves the pages; a port that is taken costs the pages, and no message."""

    name = "status port"

    def __init__(self, pages: Mapping[str, Callable[[], Page]], port: int, log: EventLog) -> None:
        self._port, self._log = port, log
        self._server = StatusServer(pages, self._failed)

    async def run(self, _: object) -> None:
        """Until cancelled, or at once when it cannot listen."""
        try:
            await self._server.start(self._port)
        except OSError as error:
            self._failed(
                f"cannot listen on {HOST}:{self._port} ({error.strerror or error}); messages are"
                " dispatched without a status port. Set status_port to a free port, or to null"
                " for none"
            )
            return
        try:
            await asyncio.Event().wait()
        finally:
            self._server.close()

    def _failed(self, reason: str) -> None:
        self._log.emit(events.STATUS_FAILED, reason=reason)


class _Nowhere:
    def write(self, text: str, /) -> None:
        """There is no standard output."""

    def flush(self) -> None:
        """Nor anything in it."""
