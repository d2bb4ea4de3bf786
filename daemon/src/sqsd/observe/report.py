"""Reports metrics once a minute, and asks whether the application is there for EB's `Health`."""

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

#: As EB's daemon does.
REPORT_SECONDS: Final = 60.0


class Report(Protocol):
    """A form of metrics: `observe.emf.EmfReport`."""

    def lines(
        self,
        metrics: Metrics,
        levels: Levels,
        *,
        healthy: bool,
        at: float,
        queues: Sequence[QueueSeries],
    ) -> Sequence[str]:
        """What to print now; `at` in epoch seconds."""


class Telemetry:
    """Prints a report each minute, and a last one when it is cancelled.

    Args:
        write: takes a line without its end; never raises.
        queues: gives what is each queue's, with several.
    """

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
        self._queues = queues
        self._report, self._observer, self._status = report, observer, status
        self._application, self._clock, self._write = application, clock, write

    name = "telemetry"

    async def run(self, _: object) -> None:
        """Until cancelled."""
        accepts = False
        try:
            while True:
                await self._clock.sleep(REPORT_SECONDS)
                # By the port alone, as EB does: an application need not have a page to GET.
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
