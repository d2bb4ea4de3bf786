"""Assembles the parts that observe a daemon: log, metrics, status port and traces.

`sqsd.daemon` assembles the parts that dispatch messages. No message needs anything of this module.
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
from sqsd.messages.dispatching import Dispatching
from sqsd.messages.ports import Application, Queue
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
from sqsd.observe.status import DaemonIdentity, QueueIdentity, Status, Verdict
from sqsd.observe.status_server import HOST, Page, StatusServer, plain

#: Content type of the page `/status`.
_JSON: Final = "application/json; charset=utf-8"


class Observability:
    """Builds the parts that the settings ask for. Construct it inside a running event loop.

    Args:
        settings: the settings of the daemon.
        clock: the clock of the daemon.
        environment: variables that may configure traces.
    """

    def __init__(
        self, settings: TierSettings, clock: Clock, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._resources = settings.resources
        self._options = settings.options
        self._queues = queue_identities(settings)
        self._clock = clock
        # If the process has no standard output, descriptor 1 may be another file.
        self._output = (
            None
            if sys.stdout is None
            else Output(1, asyncio.get_running_loop(), self._log_recovered)
        )
        self._stream: LineStream = self._output or _NoOutput()
        stream = self._stream
        self._format: JsonLog | EbLog = (
            EbLog(stream, clock.time)
            if self._options.log_format == "eb"
            else JsonLog(stream, clock.time)
        )
        #: The event log of the daemon.
        self.log = Observer(self._format, clock)
        self._tracing = self._start_tracing(environment)
        #: The event log of each queue by its URL, where there are several.
        self._queue_logs = {q.url: QueueObserver(self.log, q.name) for q in self._queues}

    def queue(self, queue: Queue, url: str) -> Queue:
        """Wrap a queue so that its receives are counted."""
        log = self._queue_logs.get(url)
        return ObservedQueue(queue, self.log.metrics, *(() if log is None else (log.metrics,)))

    def queue_log(self, url: str) -> EventLog:
        """Return the event log for one queue."""
        return self._queue_logs.get(url, self.log)

    def application(self, application: Application, queue_url: str) -> Application:
        """Wrap the application so that each POST of a queue's messages is logged and traced."""
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
        dispatcher: Dispatching,
        application: Application,
        tasks: Callable[[], Sequence[Task]],
    ) -> list[LoopLag | StatusPort | Telemetry]:
        """Return what runs beside the dispatcher: lag measurement, reports and the status port."""
        options = self._options
        status = self._status(dispatcher, tasks)
        companions: list[LoopLag | StatusPort | Telemetry] = [
            LoopLag(self.log.metrics, self._clock, self.log)
        ]

        def queues() -> list[QueueSeries]:
            return self._queue_series(status)

        if options.status_port is not None:
            pages = status_pages(status, self.log, queues)
            companions.append(StatusPort(pages, options.status_port, self.log))
        if options.metrics_namespace is not None:
            telemetry = Telemetry(
                report=EmfReport(options.metrics_namespace, self._resources.tier_name),
                observer=self.log,
                status=status,
                application=application,
                clock=self._clock,
                write=self._print,
                queues=queues,
            )
            companions.append(telemetry)
        return companions

    def _status(self, dispatcher: Dispatching, tasks: Callable[[], Sequence[Task]]) -> Status:
        resources = self._resources
        output = self._output
        return Status(
            identity=DaemonIdentity(
                version=__version__,
                tier_name=resources.tier_name,
                queue_url=resources.queue_url,
                fifo=is_fifo(resources.queue_url),
                http_connections=self._options.http_connections,
                queues=self._queues,
            ),
            dispatcher=dispatcher,
            observer=self.log,
            clock=self._clock,
            tasks=tasks,
            log_lines_dropped=lambda: 0 if output is None else output.dropped,
            log_failure=lambda: None if output is None else output.failure,
        )

    def _queue_series(self, status: Status) -> list[QueueSeries]:
        """Return the metrics of each queue; empty if there is only one."""
        return [
            QueueSeries(queue.name, self._queue_logs[queue.url].metrics, levels)
            for queue, levels in zip(self._queues, status.queue_levels(), strict=False)
        ]

    def close(self) -> None:
        """Export the last spans and write the last lines."""
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


def queue_identities(settings: TierSettings) -> tuple[QueueIdentity, ...]:
    """Return a unique name for each queue where there are several; empty for one."""
    if not settings.more_queues:
        return ()
    first = (settings.resources.queue_url, settings.weight)
    urls = [first, *((queue.queue_url, queue.weight) for queue in settings.more_queues)]
    names = Counter(queue_name(url) for url, _ in urls)
    # Queues of different accounts or regions may share a name.
    return tuple(
        QueueIdentity(
            name=queue_name(url) if names[queue_name(url)] == 1 else url, url=url, weight=weight
        )
        for url, weight in urls
    )


def status_pages(
    status: Status, observer: Observer, queues: Callable[[], Sequence[QueueSeries]] = tuple
) -> dict[str, Callable[[], Page]]:
    """Return the pages that the status port serves: path -> function that makes the page."""

    def verdict(judge: Callable[[], Verdict]) -> Callable[[], Page]:
        def page() -> Page:
            found = judge()
            return plain(200 if found.passes else 503, found.reason)

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
    """Serves the pages. A port that is in use costs the pages, never a message."""

    name = "status port"

    def __init__(self, pages: Mapping[str, Callable[[], Page]], port: int, log: EventLog) -> None:
        self._port = port
        self._log = log
        self._server = StatusServer(pages, self._failed)

    async def run(self, _: object) -> None:
        """Serve until cancelled; return at once if the port cannot be opened."""
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


class _NoOutput:
    """Implements `json_log.LineStream` where the process has no standard output."""

    def write(self, text: str, /) -> None:
        """Drop the line."""

    def flush(self) -> None:
        """Do nothing."""
