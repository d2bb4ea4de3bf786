"""Reports metrics once a minute, and probes the application for EB's `Health` metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from sqsd.base.ports import Clock
from sqsd.messages.gate import Probe
from sqsd.messages.ports import Application
from sqsd.observe.metrics import Levels, Metrics
from sqsd.observe.observer import Observer
from sqsd.observe.prometheus import QueueSeries
from sqsd.observe.status import Status

#: Time between two reports, seconds; that of EB's daemon.
REPORT_SECONDS: Final = 60.0


class Report(Protocol):
    """Formats a report: `observe.emf.EmfReport`."""

    def lines(
        self,
        metrics: Metrics,
        levels: Levels,
        *,
        healthy: bool,
        at: float,
        queues: Sequence[QueueSeries],
    ) -> Sequence[str]:
        """Return the lines of a report, without line feeds; `at` in epoch seconds."""


class Telemetry:
    """Prints a report each minute, and a last one when it is cancelled.

    Args:
        report: the format.
        observer: what has been counted.
        status: the levels, and whether the queue is polled.
        application: the application that is probed.
        clock: the clock that the minutes are measured by.
        write: writes a line that has no line feed yet; never raises.
        queues: returns each queue's metrics where there are several.
    """

    name = "telemetry"

    def __init__(
        self,
        *,
        report: Report,
        observer: Observer,
        status: Status,
        application: Application,
        clock: Clock,
        write: Callable[[str], None],
        queues: Callable[[], Sequence[QueueSeries]] = tuple,
    ) -> None:
        self._report = report
        self._observer = observer
        self._status = status
        self._application = application
        self._clock = clock
        self._write = write
        self._queues = queues

    async def run(self, _: object) -> None:
        """Report until cancelled."""
        accepts = False
        try:
            while True:
                await self._clock.sleep(REPORT_SECONDS)
                # EB's daemon checks the port alone: an application need not have a page to GET.
                accepts = await self._application.probe(Probe.PORT)
                self._print(accepts)
        finally:
            self._print(accepts or self._status.levels().gate_open)

    def _print(self, accepts: bool) -> None:
        levels = self._status.levels()
        healthy = accepts and self._status.polled_lately()
        for line in self._report.lines(
            self._observer.metrics,
            levels,
            healthy=healthy,
            at=self._clock.time(),
            queues=self._queues(),
        ):
            self._write(line)
