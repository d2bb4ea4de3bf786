"""Starting, watching and stopping the parts: signals, defects, systemd."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from typing import Any

import pytest

from sqsd.base.descriptors import Descriptors
from sqsd.contract import events
from sqsd.supervisor import STOPPED_CLEAN, STOPPED_SHORT, Supervisor
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier


class Notified:
    """The states that systemd was notified of."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def __call__(self, state: str) -> None:
        self.states.append(state)


class Scheduler:
    """Implements `supervisor.PeriodicScheduler`."""

    def __init__(self, error: Exception | None = None) -> None:
        self._drained = asyncio.Event()
        self._error = error
        self.ended = False

    async def run(self) -> None:
        if self._error is not None:
            raise self._error
        await self._drained.wait()
        self.ended = True

    def drain(self) -> None:
        self._drained.set()


class Faulty(Scheduler):
    """Fails so many times, and then runs."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def run(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ExceptionGroup("tasks", [KeyError("times")])
        await super().run()


class Supervised:
    """A tier under a supervisor."""

    def __init__(
        self,
        scheduler: Scheduler | None = None,
        watchdog_seconds: float | None = None,
        **options: Any,
    ) -> None:
        self.tier = RunningTier(**options)
        self.notified = Notified()
        self.supervisor = Supervisor(
            dispatcher=self.tier.dispatcher,
            scheduler=scheduler,
            clock=self.tier.clock,
            log=self.tier.log,
            notify=self.notified,
            watchdog_seconds=watchdog_seconds,
        )
        self.code = asyncio.create_task(self.supervisor.run())

    async def result(self) -> int:
        async with asyncio.timeout(1_000):
            return await self.code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@in_virtual_time
async def test_a_signal_drains_and_ends_clean(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as outside of nohup, wherever this test runs
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    s = Supervised(scheduler := Scheduler())
    s.tier.application.answers(None)
    sent = s.tier.sqs.send("work")
    await s.tier.clock.advance(2)
    os.kill(os.getpid(), number)
    await s.tier.clock.advance(5)
    assert not s.code.done()
    s.tier.application.finish(sent, 200)
    assert await s.result() == STOPPED_CLEAN
    assert s.tier.sqs.deleted == [sent]
    assert s.notified.states == ["STOPPING=1"]
    assert [e["reason"] for e in s.tier.log.of(events.DAEMON_DRAINING)] == [number.name]
    assert s.tier.log.events[-1] == (events.DAEMON_STOPPED, {"clean": True})
    assert scheduler.ended


@in_virtual_time
async def test_a_second_signal_forces() -> None:
    s = Supervised(drain_timeout=7_200)
    s.tier.application.answers(None)
    s.tier.sqs.send("endless")
    await s.tier.clock.advance(2)
    s.supervisor.stop("SIGTERM")
    await s.tier.clock.advance(60)
    assert not s.code.done()
    before = s.tier.clock.monotonic()
    s.supervisor.stop("SIGINT")
    assert await s.result() == STOPPED_SHORT
    assert s.tier.clock.monotonic() - before < 1
    assert s.tier.log.of(events.DAEMON_FORCED) == [{"in_flight": 1}]
    assert s.tier.sqs.deleted == []


@pytest.mark.parametrize("signals", [0, 2])
@in_virtual_time
async def test_an_instance_that_goes_away_releases_what_it_cuts_at_once(signals: int) -> None:
    s = Supervised(drain_timeout=10)
    s.tier.application.answers(None)
    sent = s.tier.sqs.send("endless")
    await s.tier.clock.advance(2)
    s.supervisor.drain_and_stay("Spot interruption")
    for _ in range(signals):
        await s.tier.clock.advance(1)
        s.supervisor.stop("SIGTERM")
    await s.tier.clock.advance(25)
    assert s.tier.sqs.hidden_for(sent) == 0
    s.supervisor.exit()
    assert await s.result() == STOPPED_SHORT


@in_virtual_time
async def test_requests_cut_by_drain_timeout_show_in_the_exit_code() -> None:
    s = Supervised(drain_timeout=10)
    s.tier.application.answers(None)
    s.tier.sqs.send("endless")
    await s.tier.clock.advance(2)
    s.supervisor.stop("SIGTERM")
    assert await s.result() == STOPPED_SHORT
    assert s.tier.log.events[-1] == (events.DAEMON_STOPPED, {"clean": False})


@in_virtual_time
async def test_a_defect_in_a_task_ends_the_daemon_and_is_logged() -> None:
    s = Supervised()

    async def receive(limit: int, wait_seconds: int) -> list[Any]:
        raise KeyError("an unexpected key")

    s.tier.dispatcher._queue.receive = receive  # type: ignore[method-assign]
    assert await s.result() == STOPPED_SHORT
    failed = s.tier.log.of(events.DAEMON_FAILED)
    assert failed[0]["reason"] == "receive: KeyError: 'an unexpected key'"
    assert len(failed) < 10


@in_virtual_time
async def test_a_dispatcher_that_raises_is_logged_too() -> None:
    s = Supervised()

    async def run() -> bool:
        raise ValueError("broken")

    s.tier.dispatcher.run = run  # type: ignore[method-assign]
    assert await s.result() == STOPPED_SHORT
    (failed,) = s.tier.log.of(events.DAEMON_FAILED)
    assert failed["reason"] == "dispatch: ValueError: broken"


@in_virtual_time
async def test_a_dispatcher_that_ends_without_a_drain_is_no_clean_end() -> None:
    s = Supervised()

    async def run() -> bool:
        return True

    s.tier.dispatcher.run = run  # type: ignore[method-assign]
    assert await s.result() == STOPPED_SHORT


@in_virtual_time
async def test_failures_of_periodic_tasks_do_not_affect_messages() -> None:
    s = Supervised(Scheduler(RuntimeError("no table")))
    sent = s.tier.sqs.send("work")
    await s.tier.clock.advance(5)
    assert s.tier.sqs.deleted == [sent]
    failed = s.tier.log.of(events.CRON_FAILED)
    assert {event["reason"] for event in failed} == {"RuntimeError: no table"}
    assert [event["restart_seconds"] for event in failed] == [1.0, 2.0, 4.0]
    # and its next try, a minute away, does not hold up the end
    await s.tier.clock.advance(100)
    s.supervisor.stop("SIGTERM")
    started = s.tier.clock.monotonic()
    assert await s.result() == STOPPED_CLEAN
    assert s.tier.clock.monotonic() - started < 25


@in_virtual_time
async def test_what_enqueues_periodic_tasks_runs_again_after_a_defect() -> None:
    s = Supervised(scheduler := Faulty(3))
    await s.tier.clock.advance(10)
    assert scheduler.failures == 0
    assert [event["reason"] for event in s.tier.log.of(events.CRON_FAILED)] == [
        "KeyError: 'times'"
    ] * 3
    s.supervisor.stop("SIGTERM")
    assert await s.result() == STOPPED_CLEAN
    assert scheduler.ended


@in_virtual_time
async def test_the_watchdog_is_notified_three_times_in_its_time() -> None:
    s = Supervised(watchdog_seconds=60.0)
    await s.tier.clock.advance(600)
    assert 29 <= s.notified.states.count("WATCHDOG=1") <= 31
    s.supervisor.stop("SIGTERM")
    assert await s.result() == STOPPED_CLEAN


@in_virtual_time
async def test_the_watchdog_is_not_notified_once_polling_hangs_beyond_every_deadline() -> None:
    s = Supervised(watchdog_seconds=60.0)
    await s.tier.clock.advance(30)

    async def receive(limit: int, wait_seconds: int) -> list[Any]:
        await asyncio.get_running_loop().create_future()
        return []

    s.tier.dispatcher._queue.receive = receive  # type: ignore[method-assign]
    await s.tier.clock.advance(200)
    before = s.notified.states.count("WATCHDOG=1")
    await s.tier.clock.advance(600)
    assert s.notified.states.count("WATCHDOG=1") == before
    s.supervisor.stop("SIGTERM")
    s.supervisor.stop("SIGTERM")
    assert await s.result() == STOPPED_SHORT


@in_virtual_time
async def test_an_application_that_is_down_is_no_reason_to_restart_the_daemon() -> None:
    s = Supervised(watchdog_seconds=60.0)
    s.tier.application.up = False
    await s.tier.clock.advance(1_000)
    assert s.notified.states.count("WATCHDOG=1") >= 49
    s.supervisor.stop("SIGTERM")
    assert await s.result() == STOPPED_CLEAN


@in_virtual_time
async def test_a_lack_of_file_descriptors_is_no_defect_and_is_logged_once_a_minute() -> None:
    s = Supervised()
    descriptors = Descriptors(s.tier.clock, s.tier.log)
    s.supervisor._descriptors = descriptors
    await s.tier.clock.advance(1)
    error = OSError(errno.EMFILE, "Too many open files")
    for _ in range(1_000):
        asyncio.get_running_loop().call_exception_handler(
            {"message": "socket.accept() out of system resource", "exception": error}
        )
    os.kill(os.getpid(), signal.SIGTERM)
    await s.tier.clock.advance(5)
    assert await s.result() == STOPPED_CLEAN
    assert s.tier.log.of(events.DAEMON_FAILED) == []
    assert len(s.tier.log.of(events.DESCRIPTORS_SHORT)) == 1
    descriptors.close()


@in_virtual_time
async def test_under_nohup_the_end_of_the_terminal_does_not_end_the_daemon() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        s = Supervised()
        await s.tier.clock.advance(1)
        os.kill(os.getpid(), signal.SIGHUP)
        await s.tier.clock.advance(5)
        assert s.tier.log.of(events.DAEMON_DRAINING) == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert await s.result() == STOPPED_CLEAN
    finally:
        signal.signal(signal.SIGHUP, before)
