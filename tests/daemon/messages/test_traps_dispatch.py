"""Traps that consumers of SQS have fallen into, where no other test shows how they are passed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sqsd.aws.sqs import SqsQueue
from sqsd.contract import SqsdOptions, events
from sqsd.messages.gate import Gate
from sqsd.messages.message import Message
from sqsd.messages.state import MessageState
from sqsd.testing.clock import EPOCH, FakeClock, in_virtual_time
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import QUEUE_URL, FailEntries
from sqsd.testing.queue import Broken as Faulty
from tests.fakes.running_tier import RunningTier


class Recorder:
    """An `AwsApi` that confirms everything and remembers actions and deadlines."""

    clock_offset = 0.0

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        self.calls.append((action, timeout))
        entries = request.get("Entries", ())
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "MessageId": "m"}


def a_message(message_id: str = "m", *, group: str | None = None, at: float = 0.0) -> Message:
    return Message(message_id, f"{message_id}#1", b"", 1, "s", None, None, at, group)


# ---- visibility


@pytest.mark.parametrize("seconds", [40.0, 100.0, 2_000.0])
def test_a_slow_group_costs_each_of_its_messages_one_receive(seconds: float) -> None:
    """SQS delivers nothing of a group while its first message is in flight, so an extension of what
    waits here keeps it from no consumer; a release would cost each the receives of all before it.
    """

    @in_virtual_time
    async def ten_of_a_group() -> None:
        async with RunningTier(
            fifo=True, visibility_timeout=60, inactivity_timeout=5_000, max_receives=3
        ) as tier:
            await tier.warm_up()
            tier.application.seconds = seconds
            bodies = [f"{n}" for n in range(10)]
            for body in bodies:
                tier.sqs.send(body, group_id="g")
            await tier.clock.advance(10 * seconds + 60)
            assert tier.application.bodies == bodies
            deleted = tier.log.of(events.MESSAGE_DELETED)
            assert [event["receive_count"] for event in deleted] == [1] * 10

    ten_of_a_group()


@pytest.mark.parametrize("burst", [True, False])
@pytest.mark.parametrize("delay", [None, 0, 5])
def test_a_message_that_always_fails_takes_no_other_of_its_group_to_the_dead_letters(
    delay: int | None, burst: bool
) -> None:
    @in_virtual_time
    async def poison_among_ten() -> None:
        async with RunningTier(
            fifo=True, visibility_timeout=60, max_receives=4, error_visibility_timeout=delay
        ) as tier:
            await (tier.open_polls(at_least=4) if burst else tier.clock.advance(60))
            tier.application.fail("poison")
            tier.sqs.send("poison", group_id="g")
            for n in range(9):
                tier.sqs.send(f"{n}", group_id="g")
            await tier.clock.advance(400)
            assert tier.sqs.dead_letters == ["poison"]
            assert tier.application.bodies == ["poison"] * 4 + [f"{n}" for n in range(9)]
            counts = [e["receive_count"] for e in tier.log.of(events.MESSAGE_DELETED)]
            # Theirs, and the poison's first two: another long poll was open when it failed.
            assert max(counts) <= 3
            # and then whole batches are asked for again
            tier.sqs.calls.clear()
            for n in range(30):
                tier.sqs.send(f"later {n}", group_id=f"{n}")
            await tier.clock.advance(10)
            asked = [c.request["MaxNumberOfMessages"] for c in tier.sqs.called("ReceiveMessage")]
            assert max(asked) == 10

    poison_among_ten()


@in_virtual_time
async def test_nothing_but_a_group_makes_a_message_wait_that_is_extended() -> None:
    async with RunningTier(visibility_timeout=60, http_connections=3) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        for n in range(20):
            tier.sqs.send(f"{n}")
        await tier.clock.advance(200)
        heartbeats = tier.sqs.called("ChangeMessageVisibilityBatch")
        extended = {e["ReceiptHandle"].partition("#")[0] for c in heartbeats for e in c.entries}
        assert extended == set(tier.application.running)
        assert len(extended) == 3


def test_a_stall_of_half_the_visibility_loses_no_heartbeat() -> None:
    # A heartbeat comes due at half the visibility, so the other half is there for a late one.
    options = SqsdOptions(visibility_timeout=60, inactivity_timeout=50)
    state = MessageState(options, fifo=False, gate=Gate(options.http_connections))
    state.received([a_message()], 0.0, EPOCH)
    assert state.heartbeats(29.9) == []
    ((_, seconds),) = state.heartbeats(59.0)  # nothing could run from 30 to 59
    assert seconds == 60


# ---- deletes


@in_virtual_time
async def test_a_message_whose_delete_is_pending_stays_hidden() -> None:
    async with RunningTier(visibility_timeout=12, inactivity_timeout=10) as tier:
        tier.sqs.fault("DeleteMessageBatch", Faulty.HANG, Faulty.HANG)  # 10 s each
        sent = tier.sqs.send("work")
        await tier.clock.advance(30)
        assert tier.sqs.called("ChangeMessageVisibilityBatch")
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 1
        assert tier.log.of(events.MESSAGE_DUPLICATE) == []


@in_virtual_time
async def test_a_failed_delete_is_no_failed_job_and_makes_nothing_visible() -> None:
    async with RunningTier(visibility_timeout=60, error_visibility_timeout=0) as tier:
        tier.sqs.fault("DeleteMessageBatch", *[FailEntries(frozenset({0}))] * 8)
        sent = tier.sqs.send("work")
        await tier.clock.advance(25)
        assert len(tier.log.of(events.MESSAGE_DELETE_FAILED)) == 1
        assert tier.log.of(events.MESSAGE_RELEASED) == []
        changes = tier.sqs.called("ChangeMessageVisibilityBatch")
        assert [e for call in changes for e in call.entries if not e["VisibilityTimeout"]] == []
        assert tier.sqs.hidden_for(sent) > 0


# ---- calls


async def test_long_polls_have_connections_of_their_own_and_deadlines_beyond_their_wait() -> None:
    polls, control = Recorder(), Recorder()
    queue = SqsQueue(
        QUEUE_URL,
        polls=polls,
        control=control,
        clock=FakeClock(),
        log=RecordingLog(),
        visibility_timeout=30,
    )
    await queue.receive(10, 20)
    await queue.receive(10, 0)
    await queue.delete([a_message()])
    await queue.change_visibility([(a_message(), 5)])
    await queue.send(body="b", attributes={})
    assert [action for action, _ in polls.calls] == ["ReceiveMessage"] * 2
    assert [timeout > wait for (_, timeout), wait in zip(polls.calls, (20, 0), strict=True)] == [
        True,
        True,
    ]
    assert [action for action, _ in control.calls] == [
        "DeleteMessageBatch",
        "ChangeMessageVisibilityBatch",
        "SendMessage",
    ]


# ---- the application is away


@in_virtual_time
async def test_through_a_proxy_an_outage_costs_what_was_open_and_then_one_message_goes_first() -> (
    None
):
    async with RunningTier(error_visibility_timeout=5) as tier:
        await tier.warm_up()
        tier.application.answers(502)
        tier.application.up = False
        sent = [tier.sqs.send(f"{n}") for n in range(40)]
        await tier.clock.advance(120)
        touched = [message_id for message_id in sent if tier.sqs.receive_count(message_id)]
        # What was in flight when the third 502 came, and what long polls brought that were open.
        assert 3 <= len(touched) <= tier.options.http_connections
        assert max(tier.sqs.receive_count(message_id) for message_id in touched) <= 2
        receives = tier.receives()
        await tier.clock.advance(600)
        assert tier.receives() == receives
        # when it is back, one message goes first
        tier.application.answers(200)
        tier.application.up = True
        tier.application.seconds = 1.0
        tier.application.most_at_once = 0
        posted = len(tier.application.posted)
        while len(tier.application.posted) == posted:
            await tier.clock.advance(0.1)
        assert tier.application.most_at_once == 1
        await tier.clock.advance(60)
        assert sorted(tier.sqs.deleted) == sorted(sent)


# ---- clocks


@in_virtual_time
async def test_a_message_from_the_future_has_waited_for_no_time() -> None:
    async with RunningTier() as tier:
        tier.sqs.send("work", sent_at=tier.clock.time() + 90)
        await tier.clock.advance(5)
        (event,) = tier.log.of(events.MESSAGE_DELETED)
        assert event["dwell_seconds"] == 0.0
