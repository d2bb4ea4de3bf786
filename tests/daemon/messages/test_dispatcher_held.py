"""What open polls bring after the gate has closed: held, then started, or released once."""

from __future__ import annotations

import pytest

from sqsd.contract import events
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier


@in_virtual_time
async def test_what_comes_while_the_application_restarts_costs_one_receive() -> None:
    async with RunningTier(max_receives=3) as tier:
        await tier.open_polls(at_least=4)
        first = await tier.lose_application()
        late = [tier.sqs.send(f"late {n}") for n in range(3)]
        await tier.clock.advance(3)
        assert [tier.sqs.receive_count(message_id) for message_id in late] == [1] * 3
        assert len(tier.application.posted) == 1  # the one that found no application
        tier.application_is_back()
        tier.application.seconds = 1.0
        tier.application.most_at_once = 0
        while len(tier.application.posted) == 1:
            await tier.clock.advance(0.1)
        assert tier.application.most_at_once == 1, "one goes first"
        await tier.clock.advance(30)
        assert sorted(tier.sqs.deleted) == sorted([first, *late])
        assert tier.sqs.dead_letters == []
        counts = {e["message_id"]: e["receive_count"] for e in tier.log.of(events.MESSAGE_DELETED)}
        assert [counts[message_id] for message_id in late] == [1] * 3
        assert counts[first] == 1


@pytest.mark.parametrize(("option", "seconds"), [(None, 1), (0, 0), (7, 7)])
def test_what_comes_while_the_application_is_down_is_released_once_no_poll_is_open(
    option: int | None, seconds: int
) -> None:
    @in_virtual_time
    async def outage() -> None:
        async with RunningTier(error_visibility_timeout=option, visibility_timeout=8) as tier:
            await tier.open_polls(at_least=4)
            tried = await tier.lose_application()
            late = tier.sqs.send("late")
            await tier.clock.advance(10)
            assert tier.sqs.receive_count(late) == 1
            assert tier.sqs.hidden_for(late) > 0  # and would be visible, without heartbeats
            await tier.clock.advance(11)
            assert len(tier.application.posted) == 1
            assert tier.sqs.receive_count(late) == 1
            released = [e for e in tier.log.of(events.MESSAGE_RELEASED) if e["message_id"] == late]
            assert [(e["reason"], e["after_seconds"]) for e in released] == [
                ("the application does not answer", seconds)
            ]
            await tier.clock.advance(seconds)
            assert "late" in tier.sqs.visible()
            assert [f.message.message_id for f in tier.dispatcher.messages()] == [tried]

    outage()


@in_virtual_time
async def test_a_message_on_its_last_receive_waits_until_the_application_is_back() -> None:
    async with RunningTier(max_retries=1, max_receives=1) as tier:
        await tier.open_polls(at_least=4)
        await tier.lose_application()
        late = tier.sqs.send("late")
        await tier.clock.advance(1_000)
        assert len(tier.application.posted) == 1
        assert tier.sqs.receive_count(late) == 1
        tier.application_is_back()
        await tier.clock.advance(20)
        assert late in tier.sqs.deleted


@in_virtual_time
async def test_a_held_group_is_released_whole_and_in_order() -> None:
    async with RunningTier(fifo=True, error_visibility_timeout=5) as tier:
        await tier.open_polls(at_least=4)
        await tier.lose_application()
        late = [tier.sqs.send(f"late {n}", group_id="g") for n in range(3)]
        await tier.clock.advance(60)
        # What is visible at the head of a group comes as long as a poll of ours is open.
        assert max(tier.sqs.receive_count(message_id) for message_id in late) == 1
        tier.application_is_back()
        await tier.clock.advance(60)
        assert [body for body in tier.application.bodies if body.startswith("late")] == [
            "late 0",
            "late 1",
            "late 2",
        ]


@in_virtual_time
async def test_a_drain_releases_what_was_held_for_the_application() -> None:
    async with RunningTier() as tier:
        await tier.open_polls(at_least=4)
        await tier.lose_application()
        late = tier.sqs.send("late")
        await tier.clock.advance(1)
        assert await tier.drain() is True
        assert "late" in tier.sqs.visible()
        assert tier.sqs.receive_count(late) == 1
        assert len(tier.application.posted) == 1
