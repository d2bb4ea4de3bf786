"""Probes the application while the gate is closed or suspicious, and tells when it opens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from sqsd.base.ports import Clock, EventLog
from sqsd.base.tasks import Tasks
from sqsd.contract import events
from sqsd.messages.gate import Gate, Probe
from sqsd.messages.ports import Application

#: Seconds of an application that does not answer before that is told, and from then on between.
_FIRST_WORD_SECONDS: Final = 10.0
_REPEAT_SECONDS: Final = 60.0
#: Seconds between looks at an application that is under suspicion.
_LOOK_PAUSE: Final = 1.0
_HINT: Final = (
    "the application does not answer, so nothing is received: start it, or correct http_port or"
    " health_path"
)
_NOBODY: Final = "a proxy answered for the application, and so it did when that was looked for"


class GateKeeper:
    """One application's. At most one probe is under way, however many queues wait for it.

    Args:
        jitter: gives numbers from 0 to 1, so that instances do not knock in step.
    """

    def __init__(
        self,
        gate: Gate,
        application: Application,
        clock: Clock,
        log: EventLog,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.gate = gate
        self._application, self._clock, self._log = application, clock, log
        self._jitter = jitter
        self._opened: list[Callable[[], None]] = []
        self._tasks = Tasks()
        self._task: asyncio.Task[None] | None = None
        self._no_look_before = 0.0

    def when_opened(self, listener: Callable[[], None]) -> None:
        """Have `listener` called each time the gate opens."""
        self._opened.append(listener)

    def watch(self) -> None:
        """Probe until the gate is open, unless it is or that is being done."""
        if not self.gate.is_open and self._task is None:
            self._task = self._tasks.start(self._open(), "gate")

    def look(self) -> None:
        """Look once whether the application is there, unless the gate has no suspicion; not each
        time, where it answers so itself.
        """
        now = self._clock.monotonic()
        if self.gate.is_suspicious and self._task is None and now >= self._no_look_before:
            self._no_look_before = now + _LOOK_PAUSE
            self._task = self._tasks.start(self._look(), "look")

    async def _look(self) -> None:
        try:
            alive = await self._application.probe(Probe.LENIENT_GET)
        finally:
            self._task = None
        if self.gate.looked(alive):
            self._log.emit(events.GATE_CLOSED, reason=_NOBODY)
        self.watch()  # it may have been closed by others in the meantime

    async def close(self) -> None:
        """Probe no more."""
        await self._tasks.close()

    async def _open(self) -> None:
        closed_at = self._clock.monotonic()
        tell_at = closed_at + _FIRST_WORD_SECONDS
        try:
            while True:
                alive = await self._application.probe(self.gate.probe)
                wait = self.gate.probed(alive)
                if wait is None:
                    break
                now = self._clock.monotonic()
                if now >= tell_at:
                    tell_at = now + _REPEAT_SECONDS
                    seconds = round(now - closed_at)
                    self._log.emit(events.GATE_WAITING, seconds=seconds, reason=_HINT)
                await self._clock.sleep(wait * (0.5 + self._jitter()))
        finally:
            self._task = None
        self._log.emit(events.GATE_OPENED)
        for listener in self._opened:
            listener()
