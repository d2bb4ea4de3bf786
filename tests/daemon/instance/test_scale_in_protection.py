"""A busy instance protects itself from scale-in: the decision, the shell, and over the wire."""

from __future__ import annotations

import asyncio
from itertools import groupby, pairwise

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.aws.credentials import CredentialSource, Endpoint, Keys
from sqsd.base.errors import AwsError
from sqsd.contract import events
from sqsd.instance.auto_scaling import AutoScalingApi, InstanceProtection
from sqsd.instance.imds import Imds
from sqsd.instance.notices import InstanceNotices
from sqsd.instance.protection import (
    CONFIRM_SECONDS,
    IDLE_SECONDS,
    LONG_JOB_SECONDS,
    Protection,
)
from sqsd.instance.scale_in_protection import POLL_SECONDS, ScaleInProtection
from sqsd.messages.outcome import Unreachable
from sqsd.testing.clock import FakeClock, in_virtual_time
from sqsd.testing.log import RecordingLog
from tests.daemon.instance.worlds import World
from tests.fakes.autoscaling import DENIED, DONE, AutoScaling
from tests.fakes.imds import FakeImds
from tests.fakes.world import PATIENCE

IN_SERVICE = InstanceNotices(target_state="InService")
NOT_IN_SERVICE = AwsError(
    "SetInstanceProtection",
    "ValidationError",
    "The instance i-1 is not in InService or EnteringStandby or Standby.",
    400,
)

# ---- the decision


class Instance:
    """Calls as `Protection` says, once a second, and has what was set."""

    def __init__(self) -> None:
        self.protection = Protection()
        self.now = 1_000.0
        self.calls: list[tuple[float, bool]] = []

    def second(self, age: float | None, *, ok: bool = True) -> None:
        """Let a second pass with an oldest request of this age, or with none."""
        self.now += 1
        wanted = self.protection.wanted(None if age is None else self.now - age, self.now)
        if wanted is not None:
            self.calls.append((self.now, wanted))
            self.protection.asked(wanted)
            self.protection.ended(wanted, self.now, ok=ok)


def test_what_a_predecessor_left_is_taken_away_at_the_start_and_only_once() -> None:
    instance = Instance()
    for _ in range(1_000):
        instance.second(None)
    assert [protected for _, protected in instance.calls] == [False]
    assert not instance.protection.is_left_behind


def test_jobs_below_ten_seconds_cause_no_call_however_many_there_are() -> None:
    instance = Instance()
    for second in range(1_000):
        instance.second(second % 9)
    assert [protected for _, protected in instance.calls] == [False]


def test_a_long_job_is_protected_from_its_tenth_second_to_a_minute_after_its_end() -> None:
    instance = Instance()
    began = instance.now
    for age in range(1, 301):
        instance.second(age)
    ended = instance.now
    for _ in range(300):
        instance.second(None)
    (_, (protected_at, protected), (free_at, free)) = instance.calls
    assert (protected, protected_at - began) == (True, LONG_JOB_SECONDS)
    assert (free, free_at - ended) == (False, IDLE_SECONDS)


def test_one_long_job_after_another_is_protected_once_and_confirmed_every_five_minutes() -> None:
    instance = Instance()
    for _ in range(50):
        for age in range(40):
            instance.second(age)
        for _ in range(20):
            instance.second(None)
    for _ in range(100):
        instance.second(None)
    set_to = [protected for _, protected in instance.calls]
    assert [protected for protected, _ in groupby(set_to)] == [False, True, False]
    confirmed = [at for at, protected in instance.calls if protected]
    gaps = [b - a for a, b in pairwise(confirmed)]
    # each is as early as a request runs that is long enough
    assert all(CONFIRM_SECONDS <= gap <= CONFIRM_SECONDS + 30 for gap in gaps)
    assert len(confirmed) >= 9


def test_a_job_of_hours_has_its_protection_confirmed_while_it_runs_and_not_after() -> None:
    instance = Instance()
    for age in range(1, 3_601):
        instance.second(age)
    ended = instance.now
    for _ in range(3_600):
        instance.second(None)
    confirmed = [at for at, protected in instance.calls if protected]
    assert len(confirmed) == 12
    assert confirmed[-1] < ended
    assert [protected for _, protected in instance.calls][-1] is False


@pytest.mark.parametrize("refused_seconds", [10, 200, 2_000])
def test_a_refusal_to_unprotect_delays_no_protection(refused_seconds: int) -> None:
    instance = Instance()
    for _ in range(refused_seconds):
        instance.second(None, ok=False)
    began = instance.now
    for age in range(1, 30):
        instance.second(age)
    (at, protected) = instance.calls[-1]
    assert (protected, at - began) == (True, LONG_JOB_SECONDS)


def test_a_refusal_to_protect_delays_no_end_of_a_protection() -> None:
    instance = Instance()
    instance.second(None)
    for age in range(10, 1_200):
        instance.second(age, ok=False)
    ended = instance.now
    for _ in range(70):
        instance.second(None)
    (at, protected) = instance.calls[-1]
    assert protected is False
    assert at - ended <= IDLE_SECONDS


def test_a_call_that_fails_is_made_again_less_and_less_often() -> None:
    instance = Instance()
    for _ in range(3_600):
        instance.second(100.0, ok=False)
    gaps = [b - a for (a, _), (b, _) in zip(instance.calls, instance.calls[1:], strict=False)]
    assert gaps[:6] == [5, 10, 20, 40, 80, 160]
    assert max(gaps) == 300
    # a call that failed may have been taken, so it is undone
    assert instance.protection.is_left_behind is True
    for _ in range(400):
        instance.second(None)
    assert [protected for _, protected in instance.calls][-1] is False
    assert instance.protection.is_left_behind is False


@given(st.lists(st.tuples(st.none() | st.floats(0, 100), st.booleans()), max_size=300))
def test_what_is_set_is_never_called_for_again(seconds: list[tuple[float | None, bool]]) -> None:
    instance = Instance()
    for age, ok in seconds:
        before = instance.protection.protected
        calls = len(instance.calls)
        instance.second(age, ok=ok)
        for _, protected in instance.calls[calls:]:
            assert protected != before
        if ok and age is not None and age >= LONG_JOB_SECONDS and instance.calls[calls:]:
            assert instance.protection.protected is True


# ---- beside the dispatcher


@in_virtual_time
async def test_a_busy_instance_is_protected_and_an_idle_one_is_not() -> None:
    async with World(IN_SERVICE).running() as world:
        world.application.seconds = 600.0
        world.sqs.send("long work")
        await world.clock.advance(5)
        assert world.protections.now() is False
        await world.clock.advance(10)
        assert world.protections.now() is True
        await world.clock.advance(590)
        assert world.protections.now() is True
        await world.clock.advance(IDLE_SECONDS + 2)
        assert world.protections.now() is False
        set_to = [protected for _, protected in world.protections.calls]
        assert set_to == [False, True, True, False], "one of them confirms"
        assert len(world.log.of(events.LIFECYCLE_PROTECTED)) == 1
        assert len(world.log.of(events.LIFECYCLE_UNPROTECTED)) == 1


@in_virtual_time
async def test_a_message_that_only_waits_here_protects_nothing() -> None:
    async with World(IN_SERVICE).running() as world:
        await world.clock.advance(2)
        world.application.up = False
        world.application.answers(Unreachable.REFUSED)
        world.sqs.send("held")
        await world.clock.advance(300)
        assert world.dispatcher.in_flight == 1
        assert world.protections.now() is False


@in_virtual_time
async def test_nothing_is_called_in_a_warm_pool() -> None:
    async with World(InstanceNotices(target_state="Warmed:Stopped")).running() as world:
        await world.clock.advance(600)
        assert world.protections.calls == []
        world.instance.notices_now = IN_SERVICE
        await world.clock.advance(10)
        assert [protected for _, protected in world.protections.calls] == [False]


@in_virtual_time
async def test_nothing_is_called_once_the_machine_goes_away() -> None:
    async with World(IN_SERVICE).running() as world:
        world.application.seconds = 200.0
        world.sqs.send("long work")
        await world.clock.advance(30)
        calls = len(world.protections.calls)
        world.instance.notices_now = InstanceNotices(target_state="Terminated")
        await world.clock.advance(400)
        assert len(world.hook.completed) == 1
        world.supervisor.stop("SIGTERM")
        await world.task
        assert len(world.protections.calls) == calls


@in_virtual_time
async def test_a_daemon_that_stops_protects_while_it_drains_and_leaves_nothing_behind() -> None:
    async with World(IN_SERVICE).running() as world:
        world.application.seconds = 200.0
        world.sqs.send("long work")
        await world.clock.advance(30)
        world.supervisor.stop("SIGTERM")
        await world.clock.advance(160)
        assert world.protections.now() is True
        await world.clock.advance(30)
        assert world.task.done()
        assert world.protections.now() is False


@in_virtual_time
async def test_a_daemon_that_is_forced_to_stop_leaves_nothing_behind_either() -> None:
    async with World(IN_SERVICE).running() as world:
        world.application.seconds = 200.0
        world.sqs.send("long work")
        await world.clock.advance(30)
        world.supervisor.stop("SIGTERM")
        world.supervisor.stop("SIGTERM")
        await world.clock.advance(5)
        assert world.task.done()
        assert world.protections.now() is False


@in_virtual_time
async def test_an_idle_daemon_stops_without_a_call() -> None:
    async with World(IN_SERVICE).running() as world:
        await world.clock.advance(30)
        calls = len(world.protections.calls)
        world.supervisor.stop("SIGTERM")
        await world.task
        assert len(world.protections.calls) == calls


@in_virtual_time
async def test_a_refusal_is_logged_once_a_minute_and_stops_no_message() -> None:
    async with World(IN_SERVICE).running() as world:
        world.protections.refusals = 1_000
        world.application.seconds = 0.5
        await world.clock.advance(100)
        for n in range(20):
            world.sqs.send(f"work {n}")
        await world.clock.advance(200)
        assert len(world.sqs.deleted) == 20
        failed = world.log.of(events.LIFECYCLE_FAILED)
        assert 2 <= len(failed) <= 5
        assert "SetInstanceProtection" in failed[0]["reason"]


@in_virtual_time
async def test_a_job_that_begins_while_auto_scaling_refuses_to_unprotect_is_protected() -> None:
    async with World(IN_SERVICE).running() as world:
        world.protections.refused = {False}
        await world.clock.advance(400)
        world.application.seconds = 600.0
        world.sqs.send("long work")
        await world.clock.advance(13)
        assert world.protections.now() is True


@in_virtual_time
async def test_a_protection_that_was_taken_away_from_outside_comes_back() -> None:
    async with World(IN_SERVICE).running() as world:
        world.application.seconds = 2_000.0
        world.sqs.send("long work")
        await world.clock.advance(20)
        world.protections.removed_from_outside()
        await world.clock.advance(CONFIRM_SECONDS)
        assert world.protections.now() is True
        assert len(world.log.of(events.LIFECYCLE_PROTECTED)) == 1


@in_virtual_time
async def test_an_instance_that_is_not_yet_in_service_logs_no_failure_for_some_minutes() -> None:
    async with World(IN_SERVICE).running() as world:
        world.protections.refused = {False}
        world.protections.refusal = NOT_IN_SERVICE
        await world.clock.advance(150)
        assert len(world.protections.calls) >= 3
        assert world.log.of(events.LIFECYCLE_FAILED) == []
        world.protections.refused = set()
        await world.clock.advance(300)
        assert world.protections.now() is False
        assert world.log.of(events.LIFECYCLE_FAILED) == []


@in_virtual_time
async def test_an_instance_that_stays_out_of_service_is_logged_after_some_minutes() -> None:
    async with World(IN_SERVICE).running() as world:
        world.protections.refused = {False}
        world.protections.refusal = NOT_IN_SERVICE
        await world.clock.advance(900)
        (first, *_) = world.log.of(events.LIFECYCLE_FAILED)
        assert "is not in InService" in first["reason"]


@in_virtual_time
async def test_other_refusals_at_the_start_are_logged_at_once() -> None:
    async with World(IN_SERVICE).running() as world:
        world.protections.refused = {False}
        await world.clock.advance(5)
        assert len(world.log.of(events.LIFECYCLE_FAILED)) == 1


@in_virtual_time
async def test_a_busy_instance_that_is_not_in_service_is_logged_at_once() -> None:
    async with World(IN_SERVICE).running() as world:
        await world.clock.advance(5)
        world.protections.refused = {True}
        world.protections.refusal = NOT_IN_SERVICE
        world.application.seconds = 600.0
        world.sqs.send("long work")
        await world.clock.advance(15)
        assert len(world.log.of(events.LIFECYCLE_FAILED)) == 1


@in_virtual_time
async def test_a_call_that_hangs_stops_no_message() -> None:
    async with World(IN_SERVICE).running() as world:
        world.protections.hangs = True
        await world.clock.advance(5)
        world.sqs.send("work")
        await world.clock.advance(5)
        assert world.application.bodies == ["work"]


@in_virtual_time
async def test_a_group_that_is_not_known_is_logged_with_its_hint() -> None:
    world = World(IN_SERVICE)
    world.instance.group = None
    async with world.running():
        await world.clock.advance(30)
        (failed,) = world.log.of(events.LIFECYCLE_FAILED)
        assert "InstanceMetadataTags" in failed["reason"]
        assert world.protections.calls == []


# ---- over the wire


class FixedKeys(CredentialSource):
    async def keys(self, now: float) -> Keys:
        return Keys("AKIDEXAMPLE", "SECRET", None)


class Staying:
    host_is_leaving = False


class SteppedClock(FakeClock):
    """Says whether somebody sleeps, so that calls on real sockets can be waited for."""

    sleeping = False

    async def sleep(self, seconds: float) -> None:
        self.sleeping = True
        await super().sleep(seconds)
        self.sleeping = False


async def test_over_the_wire_protection_comes_and_goes_and_a_denial_names_the_statement() -> None:
    service, clock, log = AutoScaling(), SteppedClock(), RecordingLog()
    await service.start()
    busy_since: list[float] = []
    async with FakeImds() as imds:
        imds.values["tags/instance/aws:autoscaling:groupName"] = "orders-Group"
        source = Imds(clock, imds.address)
        endpoint = Endpoint("127.0.0.1", service.port, "/", None)
        keys = FixedKeys(botocore.session.Session())
        protection = ScaleInProtection(
            source=source,
            api=InstanceProtection(AutoScalingApi(endpoint, keys, clock, region="eu-west-1")),
            auto_scaling_group=None,
            oldest_request=lambda: min(busy_since, default=None),
            is_paused=lambda: False,
            clock=clock,
            log=log,
        )
        service.answer = DENIED
        running = asyncio.create_task(protection.run(Staying()))

        async def seconds(count: int) -> None:
            async with asyncio.timeout(PATIENCE):
                for _ in range(count):
                    while not clock.sleeping:  # noqa: ASYNC110 - a call is under way
                        await asyncio.sleep(0.001)
                    clock.advance(POLL_SECONDS)
                    await asyncio.sleep(0)
                while not clock.sleeping:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)

        await seconds(2)
        (failed,) = log.of(events.LIFECYCLE_FAILED)
        assert '"autoscaling:SetInstanceProtection"' in failed["reason"]
        service.answer = DONE
        await seconds(6)
        busy_since.append(clock.monotonic())
        await seconds(12)
        assert service.protections() == ["false", "false", "true"]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert service.protections() == ["false", "false", "true", "false"]
        assert "orders-Group" in service.requests[-1][1]
        assert "i-0123456789abcdef0" in service.requests[-1][1]
        source.close()
    await service.stop()
