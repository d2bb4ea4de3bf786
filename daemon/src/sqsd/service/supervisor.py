"""Runs the parts together: starts, watches, and stops them in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from sqsd import logs
from sqsd.ports import Clock, EventLog
from sqsd.service.dispatcher import Dispatcher

#: Seconds without a completed receive after which polling counts as hung; far above a long poll.
_STUCK_SECONDS: Final = 120.0
STOPPED_CLEAN: Final = 0
#: Requests were cut, by `drain_timeout`, a second signal or a defect.
STOPPED_SHORT: Final = 1


class Periodic(Protocol):
    """What enqueues periodic tasks: `service.scheduler.Scheduler`."""

    async def run(self) -> None:
        """Until drained."""

    def drain(self) -> None:
        """Stop enqueuing and release the lease."""


class Supervisor:
    """Owns the tasks of a daemon.

    Args:
        notify: tells systemd a state such as `READY=1`.
        watchdog_seconds: how often systemd wants a sign of life at the latest; None: never.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        scheduler: Periodic | None,
        clock: Clock,
        log: EventLog,
        notify: Callable[[str], None],
        watchdog_seconds: float | None,
    ) -> None:
        self._dispatcher, self._scheduler = dispatcher, scheduler
        self._clock, self._log, self._notify = clock, log, notify
        self._watchdog_seconds = watchdog_seconds
        self._forced = asyncio.Event()
        self._stopping = False
        self._failed = False

    async def run(self) -> int:
        """Run until a signal; the exit code says whether everything was finished."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._defect)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
        background = [self._task(self._pat_watchdog(), "watchdog")]
        scheduler = self._task(self._run_scheduler(), "scheduler")
        dispatch = self._task(self._dispatcher.run(), "dispatch")
        force = self._task(self._forced.wait(), "force")
        try:
            await asyncio.wait([dispatch, force], return_when=asyncio.FIRST_COMPLETED)
            if not dispatch.done():
                dispatch.cancel()
                self._log.emit(logs.DAEMON_FORCED, in_flight=self._dispatcher.in_flight)
            elif (error := dispatch.exception()) is not None:
                self._defect(loop, {"message": "dispatch", "exception": error})
            elif not self._stopping:  # it may only end because it was told to
                self._failed = True
            clean = not dispatch.cancelling() and not self._failed and dispatch.result() is True
            if self._scheduler is not None and not self._forced.is_set():
                await scheduler
        finally:
            for task in (*background, scheduler, dispatch, force):
                task.cancel()
            await asyncio.gather(*background, scheduler, dispatch, force, return_exceptions=True)
        self._log.emit(logs.DAEMON_STOPPED, clean=clean)
        return STOPPED_CLEAN if clean else STOPPED_SHORT

    def stop(self, reason: str) -> None:
        """Drain; a second call forces."""
        if self._stopping:
            self._forced.set()
            return
        self._stopping = True
        self._notify("STOPPING=1")
        self._log.emit(logs.DAEMON_DRAINING, reason=reason, in_flight=self._dispatcher.in_flight)
        if self._scheduler is not None:
            self._scheduler.drain()
        self._dispatcher.drain()

    async def _run_scheduler(self) -> None:
        """Trouble with periodic tasks never disturbs messages."""
        if self._scheduler is None:
            return
        try:
            await self._scheduler.run()
        except Exception as error:
            self._log.emit(logs.CRON_FAILED, reason=f"{type(error).__name__}: {error}")

    async def _pat_watchdog(self) -> None:
        """Tell systemd that we live, as long as polling does; else it restarts us."""
        if self._watchdog_seconds is None:
            return
        while True:
            if not self._stuck():
                self._notify("WATCHDOG=1")
            await self._clock.sleep(self._watchdog_seconds / 3)

    def _stuck(self) -> bool:
        """No receive has completed for long, though one should have: the gate is open."""
        age = self._clock.monotonic() - self._dispatcher.last_receive
        return (
            age > _STUCK_SECONDS
            and self._dispatcher.wants_messages
            and not self._dispatcher.queue_is_failing
        )

    def _task(self, work: Awaitable[Any], name: str) -> asyncio.Task[Any]:
        async def run() -> Any:
            return await work

        return asyncio.get_running_loop().create_task(run(), name=name)

    def _defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody expected: account no further, let systemd start us afresh."""
        error = context.get("exception")
        self._log.emit(
            logs.DAEMON_FAILED,
            reason=f"{context.get('message')}: {type(error).__name__}: {error}",
        )
        self._failed = True
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._stopping = True
            self._forced.set()
