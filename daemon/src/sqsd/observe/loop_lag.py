"""Measures how late the event loop is: what blocks it delays every heartbeat and every receive."""

from __future__ import annotations

from typing import Final

from sqsd.base.ports import Clock, EventLog
from sqsd.contract import events
from sqsd.observe.metrics import Metrics

#: Between two looks; each costs some microseconds.
LOOK_SECONDS: Final = 1.0
#: A lateness that is told, at most once in so many seconds.
TOLD_SECONDS: Final = 1.0
_REPEAT_SECONDS: Final = 60.0
_REASON: Final = (
    "the daemon did not get to run: the instance has too little CPU for the application and the"
    " daemon, or was suspended; heartbeats and receives come late by as much"
)


class LoopLag:
    """Observes the lateness of a short sleep, over and over."""

    name = "loop lag"

    def __init__(self, metrics: Metrics, clock: Clock, log: EventLog) -> None:
        self._metrics, self._clock, self._log = metrics, clock, log

    async def run(self, _: object) -> None:
        """Until cancelled."""
        tell_not_before = 0.0
        while True:
            due = self._clock.monotonic() + LOOK_SECONDS
            await self._clock.sleep(LOOK_SECONDS)
            now = self._clock.monotonic()
            lag = max(0.0, now - due)
            self._metrics.loop_lag.observe(lag)
            if lag >= TOLD_SECONDS and now >= tell_not_before:
                tell_not_before = now + _REPEAT_SECONDS
                self._log.emit(events.LOOP_LAGGED, seconds=round(lag, 3), reason=_REASON)
