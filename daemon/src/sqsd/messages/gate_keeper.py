"""Probes the application while the gate is closed or suspicious."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sqsd.base.tasks import Tasks
from sqsd.base.throttle import LogThrottle
from sqsd.contract import events
from sqsd.messages.gate import WIDEN_SECONDS, Gate
from sqsd.messages.ports import Application
from sqsd.messages.runtime import Runtime

#: Seconds without an answer of the application before that is logged.
_UNLOGGED_SECONDS: Final = 10.0
#: Shortest time between two probes under suspicion, in seconds.
_SUSPICION_PROBE_SECONDS: Final = 1.0
_HINT: Final = (
    "the application does not answer, so nothing is received: start it, or correct http_port or"
    " health_path"
)
_PROBE_FAILED: Final = (
    "a proxy answered for the application, or nothing did, and again when that was probed"
)


class GateKeeper:
    """Opens and closes one gate. At most one probe is under way, however many queues wait.

    Args:
        changed: called when the gate has opened or widened, and after each proof that a message
            waited for.
    """

    def __init__(
        self,
        gate: Gate,
        application: Application,
        runtime: Runtime,
        changed: Callable[[], None],
    ) -> None:
        self._gate = gate
        self._application = application
        self._runtime = runtime
        self._changed = changed
        self._tasks = Tasks()
        self._task: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._widening: asyncio.Task[None] | None = None
        self._next_suspicion_probe_at = 0.0

    def check(self) -> None:
        """Probe until the gate is open, if it is closed; probe once, if it is suspicious.

        Under suspicion at most one probe a second begins, and none while another is under way: a
        message may wait for that second, because a result from before it failed proves nothing.
        """
        gate = self._gate
        if not gate.is_open:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None
            if self._task is None:
                self._task = self._tasks.start(self._open(), "gate")
        elif self._task is None and self._waiting is None and (gate.suspects or gate.unproven):
            self._waiting = self._tasks.start(self._wait_to_probe(), "wait to probe")

    async def close(self) -> None:
        """End a probe that is under way."""
        await self._tasks.close()

    async def _wait_to_probe(self) -> None:
        clock = self._runtime.clock
        wait = self._next_suspicion_probe_at - clock.monotonic()
        if wait > 0:
            await clock.sleep(wait)
        self._waiting = None
        if self._gate.is_suspicious or self._gate.unproven:
            self._next_suspicion_probe_at = clock.monotonic() + _SUSPICION_PROBE_SECONDS
            self._task = self._tasks.start(self._probe_suspicion(), "probe")

    async def _probe_suspicion(self) -> None:
        unproven = frozenset(self._gate.unproven)
        try:
            alive = await self._application.probe(self._gate.suspicion_probe)
        finally:
            self._task = None
        if self._gate.suspicion_probed(alive, unproven):
            self._runtime.log.emit(events.GATE_CLOSED, reason=_PROBE_FAILED)
        self.check()  # the gate may be closed now, or another message wait for proof
        self._changed()

    async def _open(self) -> None:
        clock = self._runtime.clock
        closed_at = clock.monotonic()
        throttle = LogThrottle()
        try:
            while True:
                alive = await self._application.probe(self._gate.probe)
                wait = self._gate.probed(alive, clock.monotonic())
                if wait is None:
                    break
                self._changed()
                seconds = clock.monotonic() - closed_at
                if seconds >= _UNLOGGED_SECONDS and throttle.admits(clock.monotonic()):
                    self._runtime.log.emit(
                        events.GATE_WAITING, seconds=round(seconds), reason=_HINT
                    )
                await clock.sleep(wait * (0.5 + self._runtime.jitter()))
        finally:
            self._task = None
        self._runtime.log.emit(events.GATE_OPENED)
        if self._widening is not None:
            self._widening.cancel()
        self._widening = None
        self.widen()
        self._changed()

    def widen(self) -> None:
        """Widen an open gate with time, if it has become narrower and that is not under way."""
        if self._widening is None or self._widening.done():
            self._widening = self._tasks.start(self._widen(), "widen")

    async def _widen(self) -> None:
        await self._runtime.clock.sleep(WIDEN_SECONDS)
        while not self._gate.widen():
            self._changed()
            await self._runtime.clock.sleep(WIDEN_SECONDS)
        self._changed()
