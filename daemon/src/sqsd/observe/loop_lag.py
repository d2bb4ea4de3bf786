"""Measures how late the event loop is: a blocked loop delays every heartbeat and every receive."""

from __future__ import annotations

from typing import Final

from sqsd.base.ports import Clock, EventLog
from sqsd.base.throttle import LogThrottle
from sqsd.contract import events
from sqsd.observe.metrics import Metrics

#: Time between two measurements, seconds; each costs some microseconds.
PERIOD_SECONDS: Final = 1.0
#: Least lateness that is logged, seconds.
LOGGED_LAG_SECONDS: Final = 1.0
_REASON: Final = (
    "the daemon did not get to run: the instance has too little CPU for the application and the"
    " daemon, or was suspended; heartbeats and receives come late by as much"
)


class LoopLag:
    """Measures by how much a short sleep ends late, again and again."""

    name = "loop lag"

    def __init__(self, metrics: Metrics, clock: Clock, log: EventLog) -> None:
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._throttle = LogThrottle()

    async def run(self, _: object) -> None:
        """Measure until cancelled."""
        while True:
            due = self._clock.monotonic() + PERIOD_SECONDS
            await self._clock.sleep(PERIOD_SECONDS)
            now = self._clock.monotonic()
            lag = max(0.0, now - due)
            self._metrics.loop_lag.observe(lag)
            if lag >= LOGGED_LAG_SECONDS and self._throttle.admits(now):
                self._log.emit(events.LOOP_LAGGED, seconds=round(lag, 3), reason=_REASON)
