"""Runs the parts of a daemon together: starts them, watches them, and stops them in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from sqsd.base.backoff import doubled
from sqsd.base.descriptors import Descriptors, is_exhausted
from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of
from sqsd.contract import events
from sqsd.messages.dispatching import Dispatching, is_stuck

#: Longest time for the completion of the lifecycle action when the process is to exit, in seconds.
_LIFECYCLE_SECONDS: Final = 10.0
#: First wait before the scheduler of periodic tasks runs again after a defect, in seconds; doubled
#: with each further one.
_FIRST_RESTART_SECONDS: Final = 1.0
#: Longest such wait, in seconds. A scheduler that ran for longer starts with the first wait again.
_LONGEST_RESTART_SECONDS: Final = 60.0
#: Exit code after a drain that finished every message.
STOPPED_CLEAN: Final = 0
#: Exit code after requests were cut, by `drain_timeout`, a second signal or a defect.
STOPPED_SHORT: Final = 1


class PeriodicScheduler(Protocol):
    """Enqueues periodic tasks: `sqsd.cron.reload`."""

    async def run(self) -> None:
        """Run until drained; may be called again after it raised."""

    def drain(self) -> None:
        """Stop enqueuing, and release the lease."""


class Companion(Protocol):
    """Runs beside the dispatcher; its failures never affect messages."""

    @property
    def name(self) -> str:
        """Its name in the log."""

    async def run(self, daemon: Supervisor) -> None:
        """Run until cancelled."""


class Supervisor:
    """Owns the tasks of a daemon. Implements `instance.watcher.Daemon`.

    Args:
        scheduler: enqueues periodic tasks, or None if there are none.
        notify: sends systemd a state such as `READY=1`.
        watchdog_seconds: longest time between two signs of life that systemd accepts, or None if
            it expects none.
        descriptors: logs that there is no file descriptor left, or None to take that for a defect.
        companions: the status server, reports of metrics, the watch on the instance's lifecycle.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatching,
        scheduler: PeriodicScheduler | None,
        clock: Clock,
        log: EventLog,
        notify: Callable[[str], None],
        watchdog_seconds: float | None,
        descriptors: Descriptors | None = None,
        companions: Sequence[Companion] = (),
    ) -> None:
        self._dispatcher = dispatcher
        self._scheduler = scheduler
        self._clock = clock
        self._log = log
        self._notify = notify
        self._watchdog_seconds = watchdog_seconds
        self._descriptors = descriptors
        self._companions = companions
        #: Set once a second signal or a defect cuts the drain short.
        self._forced = asyncio.Event()
        self._drain_asked = asyncio.Event()
        self._stopping = False
        self._signalled = False
        self._failed = False
        #: The process stays after the drain, until `_exit_asked` is set.
        self._stays = False
        #: The machine goes away, and the application with it.
        self.host_is_leaving = False
        self._exit_asked = asyncio.Event()
        self._lifecycle_completed = asyncio.Event()
        self.drained = asyncio.Event()

    async def run(self) -> int:
        """Run until a signal. Returns the exit code: whether every message was finished."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._handle_defect)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup: it is to outlive its terminal
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
        background = [
            self._task(self._notify_watchdog(), "watchdog"),
            *(self._task(self._run_companion(c), c.name) for c in self._companions),
        ]
        scheduler = self._task(self._run_scheduler(), "scheduler")
        dispatch = self._task(self._dispatcher.run(), "dispatch")
        force = self._task(self._forced.wait(), "force")
        try:
            await asyncio.wait([dispatch, force], return_when=asyncio.FIRST_COMPLETED)
            clean = self._dispatch_ended(dispatch)
            if self._scheduler is not None and not self._forced.is_set():
                await scheduler
            self.drained.set()
            if self._stays and not self._forced.is_set():
                await self._stay(force)
        finally:
            tasks = (*background, scheduler, dispatch, force)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._log.emit(events.DAEMON_STOPPED, clean=clean)
        return STOPPED_CLEAN if clean else STOPPED_SHORT

    def _dispatch_ended(self, dispatch: asyncio.Task[bool]) -> bool:
        """Cancel dispatching if it was forced. Returns whether every message was finished."""
        if not dispatch.done():
            dispatch.cancel()
            self._log.emit(events.DAEMON_FORCED, in_flight=self._dispatcher.in_flight)
            return False
        if (error := dispatch.exception()) is not None:
            context = {"message": "dispatch", "exception": error}
            self._handle_defect(asyncio.get_running_loop(), context)
            return False
        # It ends without a defect only because it was drained.
        return self._stopping and not self._failed and dispatch.result()

    # ---- what a signal asks for

    def stop(self, reason: str) -> None:
        """Drain and exit; a second call cuts the drain short."""
        if self._signalled or (self._stopping and not self._stays):
            self._forced.set()
            return
        self._signalled = True
        self._notify("STOPPING=1")
        self._drain(reason)
        self._exit_asked.set()

    # ---- what the instance's lifecycle asks for

    def pause(self, reason: str) -> None:
        """Receive nothing until `resume`.

        The daemon counts as started: systemd need not wait for a receive in a warm pool.
        """
        self._dispatcher.pause()
        self._notify("READY=1")

    def resume(self) -> None:
        """Receive again."""
        self._dispatcher.resume()

    def drain_and_stay(self, reason: str) -> None:
        """Drain, and let the process stay until a signal, or `exit`: the machine goes away."""
        self.host_is_leaving = True
        self._dispatcher.host_is_leaving()
        if not self._stopping:
            self._stays = True
            self._drain(reason)

    def lifecycle_completed(self) -> None:
        """Auto Scaling waits for nothing more of this process."""
        self._lifecycle_completed.set()

    def exit(self) -> None:
        """Let a process that stays exit; the service manager may start it again."""
        self._exit_asked.set()

    # ---- the parts

    def _drain(self, reason: str) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._drain_asked.set()
        self._log.emit(events.DAEMON_DRAINING, reason=reason, in_flight=self._dispatcher.in_flight)
        if self._scheduler is not None:
            self._scheduler.drain()
        self._dispatcher.drain()

    async def _stay(self, force: asyncio.Task[Any]) -> None:
        """Stay until `exit` or a signal: a service manager would start the process again.

        It would do so on a machine that goes away. Then wait for the lifecycle action too.
        """
        exit_asked = self._task(self._exit_asked.wait(), "exit")
        await asyncio.wait([exit_asked, force], return_when=asyncio.FIRST_COMPLETED)
        exit_asked.cancel()
        completed = self._task(self._lifecycle_completed.wait(), "lifecycle action")
        await asyncio.wait(
            [completed, force], timeout=_LIFECYCLE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        completed.cancel()

    async def _run_companion(self, companion: Companion) -> None:
        try:
            await companion.run(self)
        except Exception as error:
            self._log.emit(
                events.COMPANION_FAILED,
                name=companion.name,
                reason=f"{type(error).__name__}: {error}",
            )

    async def _run_scheduler(self) -> None:
        """Run the scheduler of periodic tasks, again after a defect: messages are not affected."""
        failures = 0
        while self._scheduler is not None and not self._stopping:
            began = self._clock.monotonic()
            try:
                await self._scheduler.run()
                return
            except Exception as error:
                inner = _innermost(error)
                reason = f"{type(inner).__name__}: {inner}"
            if self._clock.monotonic() - began > _LONGEST_RESTART_SECONDS:
                failures = 0
            wait = doubled(_FIRST_RESTART_SECONDS, failures, _LONGEST_RESTART_SECONDS)
            self._log.emit(events.CRON_FAILED, reason=reason, restart_seconds=wait)
            await first_of(self._clock.sleep(wait), self._drain_asked.wait())
            failures += 1

    async def _notify_watchdog(self) -> None:
        """Send systemd signs of life while polling does not hang; without them it restarts us."""
        if self._watchdog_seconds is None:
            return
        while True:
            if not is_stuck(self._dispatcher, self._clock.monotonic()):
                self._notify("WATCHDOG=1")
            await self._clock.sleep(self._watchdog_seconds / 3)

    def _task(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(work, name=name)

    def _handle_defect(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an unexpected exception and stop: systemd starts the process again."""
        error = context.get("exception")
        if self._descriptors is not None and is_exhausted(error):
            self._descriptors.note()
            return
        self._log.emit(
            events.DAEMON_FAILED,
            reason=f"{context.get('message')}: {type(error).__name__}: {error}",
        )
        self._failed = True
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._stopping = True
            self._forced.set()


def _innermost(error: BaseException) -> BaseException:
    """Return the first exception inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
