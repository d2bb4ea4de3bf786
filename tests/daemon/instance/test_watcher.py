"""Following the instance's notices: with the real supervisor and dispatcher, in virtual time."""

from __future__ import annotations

from sqsd.contract import events
from sqsd.instance.notices import InstanceNotices
from sqsd.instance.watcher import HEARTBEAT_SECONDS, POLL_SECONDS
from sqsd.testing.clock import in_virtual_time
from tests.daemon.instance.worlds import World


@in_virtual_time
async def test_an_instance_in_service_receives() -> None:
    async with World(InstanceNotices(target_state="InService")).running() as world:
        world.sqs.send("work")
        await world.clock.advance(5)
        assert world.application.bodies == ["work"]
        assert world.log.of(events.LIFECYCLE_HELD) == []


@in_virtual_time
async def test_a_machine_without_metadata_receives_and_is_not_watched_for_long() -> None:
    async with World(None).running() as world:
        world.sqs.send("work")
        await world.clock.advance(2)
        assert world.application.bodies == ["work"]
        await world.clock.advance(3_600)
        assert world.instance.polls == 3
        # silently
        assert {event for event, _ in world.log.events if event.startswith("lifecycle")} == set()


@in_virtual_time
async def test_nothing_is_received_in_a_warm_pool_and_all_is_once_in_service() -> None:
    async with World(InstanceNotices(target_state="Warmed:Stopped")).running() as world:
        world.sqs.send("work")
        await world.clock.advance(600)
        assert world.receives() == 0
        # the reserve counts as started, or systemd would restart it for ever
        assert "READY=1" in world.systemd
        # and as alive
        assert world.systemd.count("WATCHDOG=1") > 10
        assert [values["reason"] for values in world.log.of(events.LIFECYCLE_HELD)] == [
            "target lifecycle state Warmed:Stopped"
        ]
        world.instance.notices_now = InstanceNotices(target_state="InService")
        await world.clock.advance(POLL_SECONDS + 1)
        assert world.application.bodies == ["work"]
        assert len(world.log.of(events.LIFECYCLE_RESUMED)) == 1


@in_virtual_time
async def test_a_termination_drains_and_extends_the_hook_until_that_is_done() -> None:
    async with World(InstanceNotices(target_state="InService")).running() as world:
        world.application.seconds = 100.0
        world.sqs.send("long work")
        await world.clock.advance(10)
        assert len(world.application.running) == 1
        # when Auto Scaling decides to terminate the instance
        noticed = world.clock.monotonic()
        world.instance.notices_now = InstanceNotices(target_state="Terminated")
        await world.clock.advance(POLL_SECONDS + 1)
        world.sqs.send("late work")
        await world.clock.advance(200)
        # then the work was finished, nothing new was received, and the hook got its heartbeats
        assert world.application.bodies == ["long work"]
        assert world.sqs.visible() == ["late work"]
        (completed,) = world.hook.completed
        heartbeats = world.hook.heartbeats
        assert heartbeats[0] - noticed <= POLL_SECONDS + 1
        assert len(heartbeats) >= 4
        gaps = [b - a for a, b in zip([*heartbeats], [*heartbeats[1:], completed], strict=True)]
        assert max(gaps) <= HEARTBEAT_SECONDS + 0.01
        # completed only once the long request, begun within the first seconds, was answered
        assert completed >= noticed + 85
        # and the process waits for the end instead of being started again
        assert not world.task.done()
        world.supervisor.stop("SIGTERM")
        assert await world.task == 0


@in_virtual_time
async def test_a_spot_notice_drains_and_calls_no_hook() -> None:
    async with World(InstanceNotices(target_state="InService")).running() as world:
        await world.clock.advance(5)
        world.instance.notices_now = InstanceNotices(spot_action="terminate at t")
        await world.clock.advance(30)
        world.sqs.send("work")
        await world.clock.advance(60)
        assert world.application.bodies == []
        assert world.hook.heartbeats == world.hook.completed == []
        (noticed,) = world.log.of(events.LIFECYCLE_NOTICED)
        assert noticed["reason"] == "Spot interruption: terminate at t"
        # one drain, though the notice is seen at every poll
        assert len(world.log.of(events.DAEMON_DRAINING)) == 1


@in_virtual_time
async def test_after_a_spot_notice_a_termination_still_completes_its_hook() -> None:
    async with World(InstanceNotices()).running() as world:
        await world.clock.advance(5)
        world.instance.notices_now = InstanceNotices(spot_action="terminate at t")
        await world.clock.advance(30)
        world.instance.notices_now = InstanceNotices(
            spot_action="terminate at t", target_state="Terminated"
        )
        await world.clock.advance(30)
        assert len(world.hook.completed) == 1


@in_virtual_time
async def test_rebalance_is_ignored_unless_it_is_wanted() -> None:
    notices = InstanceNotices(rebalance=True, target_state="InService")
    async with World(notices).running() as world:
        world.sqs.send("work")
        await world.clock.advance(10)
        assert world.application.bodies == ["work"]
    async with World(notices, rebalance=True).running() as world:
        world.sqs.send("work")
        await world.clock.advance(10)
        assert world.receives() == 0
        assert world.dispatcher.draining


@in_virtual_time
async def test_one_signal_after_a_notice_still_lets_requests_finish() -> None:
    async with World(InstanceNotices()).running() as world:
        world.application.seconds = 60.0
        world.sqs.send("long work")
        await world.clock.advance(5)
        world.instance.notices_now = InstanceNotices(spot_action="terminate at t")
        await world.clock.advance(10)
        world.supervisor.stop("SIGTERM")
        await world.clock.advance(60)
        assert world.task.done()
        assert await world.task == 0
        assert world.sqs.deleted != []


@in_virtual_time
async def test_two_signals_after_a_notice_force_the_end() -> None:
    async with World(InstanceNotices()).running() as world:
        world.application.seconds = 600.0
        world.sqs.send("long work")
        await world.clock.advance(5)
        world.instance.notices_now = InstanceNotices(spot_action="terminate at t")
        await world.clock.advance(10)
        world.supervisor.stop("SIGTERM")
        world.supervisor.stop("SIGTERM")
        await world.clock.advance(1)
        assert world.task.done()
        assert await world.task == 1


@in_virtual_time
async def test_a_notice_after_a_signal_changes_nothing() -> None:
    async with World(InstanceNotices()).running() as world:
        world.application.seconds = 60.0
        world.sqs.send("long work")
        await world.clock.advance(5)
        world.supervisor.stop("SIGTERM")
        world.instance.notices_now = InstanceNotices(spot_action="terminate at t")
        await world.clock.advance(100)
        assert world.task.done()
        assert await world.task == 0
        assert len(world.log.of(events.DAEMON_DRAINING)) == 1


@in_virtual_time
async def test_a_withdrawn_notice_ends_the_process_to_be_started_afresh() -> None:
    async with World(InstanceNotices()).running() as world:
        await world.clock.advance(5)
        world.instance.notices_now = InstanceNotices(spot_action="hibernate")
        await world.clock.advance(30)
        assert not world.task.done()
        world.instance.notices_now = InstanceNotices(target_state="InService")
        await world.clock.advance(POLL_SECONDS + 20)
        assert world.task.done()
        assert await world.task == 0


@in_virtual_time
async def test_a_refusing_auto_scaling_is_called_again_and_harms_no_message() -> None:
    async with World(InstanceNotices(target_state="Terminated")).running() as world:
        world.hook.refusals = 3
        await world.clock.advance(60)
        assert len(world.hook.completed) == 1
        assert len(world.log.of(events.LIFECYCLE_FAILED)) == 3
        assert world.receives() == 0


@in_virtual_time
async def test_a_group_that_the_settings_name_comes_before_the_tag() -> None:
    world = World(InstanceNotices(target_state="Terminated"), group="named-group")
    world.hook.group = "named-group"
    async with world.running():
        await world.clock.advance(30)
        assert len(world.hook.completed) == 1


@in_virtual_time
async def test_a_group_that_is_not_named_is_logged_with_its_hint() -> None:
    world = World(InstanceNotices(target_state="Terminated"))
    world.instance.group = None
    async with world.running():
        await world.clock.advance(30)
        assert world.hook.completed == []
        (failed,) = world.log.of(events.LIFECYCLE_FAILED)
        assert "InstanceMetadataTags" in failed["reason"]


@in_virtual_time
async def test_a_defect_of_the_watcher_is_logged_and_stops_no_message() -> None:
    world = World(InstanceNotices(target_state="Warmed:Stopped"))

    async def defect(*, timeout: float) -> InstanceNotices:
        raise ZeroDivisionError

    async with world.running():
        await world.clock.advance(1)
        world.instance.notices = defect  # type: ignore[method-assign]
        world.sqs.send("work")
        await world.clock.advance(30)
        assert world.application.bodies == ["work"]
        (failed,) = world.log.of(events.COMPANION_FAILED)
        assert failed["name"] == "lifecycle"


@in_virtual_time
async def test_a_metadata_service_that_fails_for_a_while_changes_nothing() -> None:
    async with World(InstanceNotices(target_state="InService")).running() as world:
        await world.clock.advance(5)
        world.instance.notices_now = None
        await world.clock.advance(600)
        world.sqs.send("work")
        await world.clock.advance(30)
        assert world.application.bodies == ["work"]
        world.instance.notices_now = InstanceNotices(target_state="Terminated")
        await world.clock.advance(30)
        assert world.dispatcher.draining
