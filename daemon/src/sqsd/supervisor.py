"""Runs the parts together: starts, watches, and stops them in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of
from sqsd.contract import events
from sqsd.messages.several_queues import Dispatching
from sqsd.observe.status import is_stuck

#: Seconds that word to Auto Scaling may take when the process is told to end meanwhile.
_FAREWELL_SECONDS: Final = 10.0
#: Seconds before what enqueues periodic tasks is run again after a defect: first, doubled, most.
_FIRST_RESTART_SECONDS: Final = 1.0
_LONGEST_RESTART_SECONDS: Final = 60.0
STOPPED_CLEAN: Final = 0
#: Requests were cut, by `drain_timeout`, a second signal or a defect.
STOPPED_SHORT: Final = 1


class Periodic(Protocol):
    """What enqueues periodic tasks: `cron.reload.CronReloader`."""

    async def run(self) -> None:
        """Until drained; may be run again after it raised."""

    def drain(self) -> None:
        """Stop enqueuing and release the lease."""


class Companion(Protocol):
    """Runs beside the dispatcher, which does not need it: its trouble never disturbs messages."""

    @property
    def name(self) -> str:
        """For the log."""

    async def run(self, daemon: Supervisor) -> None:
        """Until cancelled."""


class Supervisor:
    """Owns the tasks of a daemon. Implements `instance.watcher.Daemon`.

    Args:
        companions: the status server, reports of metrics, the watch on the instance's lifecycle.
        notify: tells systemd a state such as `READY=1`.
        watchdog_seconds: how often systemd wants a sign of life at the latest; None: never.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatching,
        scheduler: Periodic | None,
        clock: Clock,
        log: EventLog,
        notify: Callable[[str], None],
        watchdog_seconds: float | None,
        companions: Sequence[Companion] = (),
    ) -> None:
        self._dispatcher, self._scheduler = dispatcher, scheduler
        self._clock, self._log, self._notify = clock, log, notify
        self._watchdog_seconds = watchdog_seconds
        self._companions = companions
        self._forced = asyncio.Event()
        self._stopping = False
        self._drain_asked = asyncio.Event()
        self._failed = False
        self._signalled = False
        #: Whether to wait, once drained, until told to end; and what is told.
        self._leaving = False
        self._end, self._left = asyncio.Event(), asyncio.Event()
        self.drained = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal; the exit code says whether everything was finished."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._defect)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
        background = [
            self._task(self._pat_watchdog(), "watchdog"),
            *(self._task(self._accompany(c), c.name) for c in self._companions),
        ]
        scheduler = self._task(self._run_scheduler(), "scheduler")
        dispatch = self._task(self._dispatcher.run(), "dispatch")
        force = self._task(self._forced.wait(), "force")
        try:
            await asyncio.wait([dispatch, force], return_when=asyncio.FIRST_COMPLETED)
            if not dispatch.done():
                dispatch.cancel()
                self._log.emit(events.DAEMON_FORCED, in_flight=self._dispatcher.in_flight)
            elif (error := dispatch.exception()) is not None:
                self._defect(loop, {"message": "dispatch", "exception": error})
            elif not self._stopping:  # it may only end because it was told to
                self._failed = True
            clean = not dispatch.cancelling() and not self._failed and dispatch.result() is True
            if self._scheduler is not None and not self._forced.is_set():
                await scheduler
            self.drained.set()
            if self._leaving and not self._forced.is_set():
                await self._take_leave(force)
        finally:
            for task in (*background, scheduler, dispatch, force):
                task.cancel()
            await asyncio.gather(*background, scheduler, dispatch, force, return_exceptions=True)
        self._log.emit(events.DAEMON_STOPPED, clean=clean)
        return STOPPED_CLEAN if clean else STOPPED_SHORT

    def stop(self, reason: str) -> None:
        """Told from outside: drain and end; a second call forces."""
        if self._signalled or (self._stopping and not self._leaving):
            self._forced.set()
            return
        self._signalled = True
        self._notify("STOPPING=1")
        self._drain(reason)
        self._end.set()

    def pause(self, reason: str) -> None:
        """Receive nothing until `resume`. Counts as started: a reserve waits for no message."""
        self._dispatcher.pause()
        self._notify("READY=1")

    def resume(self) -> None:
        """Receive again."""
        self._dispatcher.resume()

    def drain_and_stay(self, reason: str) -> None:
        """Drain, and then wait for a signal, or for `exit`."""
        if not self._stopping:
            self._leaving = True
            self._drain(reason)

    def lifecycle_completed(self) -> None:
        """Nothing more is to be said to Auto Scaling."""
        self._left.set()

    def exit(self) -> None:
        """End the process once drained; it may be started afresh."""
        self._end.set()

    def _drain(self, reason: str) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._drain_asked.set()
        self._log.emit(events.DAEMON_DRAINING, reason=reason, in_flight=self._dispatcher.in_flight)
        if self._scheduler is not None:
            self._scheduler.drain()
        self._dispatcher.drain()

    async def _take_leave(self, force: asyncio.Task[Any]) -> None:
        """Stay until told to end, so that nobody starts us again on a machine that goes away."""
        told = self._task(self._end.wait(), "end")
        await asyncio.wait([told, force], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        left = self._task(self._left.wait(), "farewell")
        await asyncio.wait(
            [left, force], timeout=_FAREWELL_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        left.cancel()

    async def _accompany(self, companion: Companion) -> None:
        try:
            await companion.run(self)
        except Exception as error:
            self._log.emit(
                events.COMPANION_FAILED,
                name=companion.name,
                reason=f"{type(error).__name__}: {error}",
            )

    async def _run_scheduler(self) -> None:
        """Trouble with periodic tasks never disturbs messages, and does not end them for good."""
        wait = _FIRST_RESTART_SECONDS
        while self._scheduler is not None and not self._stopping:
            began = self._clock.monotonic()
            try:
                await self._scheduler.run()
                return
            except Exception as error:
                inner = _inner(error)
                reason = f"{type(inner).__name__}: {inner}"
            if self._clock.monotonic() - began > _LONGEST_RESTART_SECONDS:
                wait = _FIRST_RESTART_SECONDS
            self._log.emit(events.CRON_FAILED, reason=reason, restart_seconds=wait)
            await first_of(self._clock.sleep(wait), self._drain_asked.wait())
            wait = min(wait * 2, _LONGEST_RESTART_SECONDS)

    async def _pat_watchdog(self) -> None:
        """Tell systemd that we live, as long as polling does; else it restarts us."""
        if self._watchdog_seconds is None:
            return
        while True:
            if not is_stuck(self._dispatcher, self._clock.monotonic()):
                self._notify("WATCHDOG=1")
            await self._clock.sleep(self._watchdog_seconds / 3)

    def _task(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(work, name=name)

    def _defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody expected: account no further, let systemd start us afresh."""
        error = context.get("exception")
        self._log.emit(
            events.DAEMON_FAILED,
            reason=f"{context.get('message')}: {type(error).__name__}: {error}",
        )
        self._failed = True
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._stopping = True
            self._forced.set()


def _inner(error: BaseException) -> BaseException:
    """What went wrong in the first of a group's tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
