"""The fakes keep the rules of what they stand for; else the other tests prove little."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sqsd.base.errors import AwsError
from sqsd.testing.clock import FakeClock, VirtualClock, in_virtual_time
from sqsd.testing.queue import FakeSqs


async def receive(sqs: FakeSqs, **more: Any) -> list[dict[str, Any]]:
    request = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 30, **more}
    answer = await sqs.call("ReceiveMessage", request, timeout=60.0)
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages


async def delete(sqs: FakeSqs, *handles: str, ids: str = "0123456789abc") -> dict[str, Any]:
    entries = [{"Id": ids[n], "ReceiptHandle": handle} for n, handle in enumerate(handles)]
    return await sqs.call("DeleteMessageBatch", {"Entries": entries}, timeout=1.0)


async def change(sqs: FakeSqs, handle: str, seconds: int) -> bool:
    entry = {"Id": "0", "ReceiptHandle": handle, "VisibilityTimeout": seconds}
    answer = await sqs.call("ChangeMessageVisibilityBatch", {"Entries": [entry]}, timeout=1.0)
    return bool(answer["Successful"])


async def test_sleepers_wake_in_the_order_of_their_times_and_each_at_its_own() -> None:
    clock, woken = FakeClock(now=0.0), []

    async def sleeper(name: str, *pauses: float) -> None:
        for pause in pauses:
            await clock.sleep(pause)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper("a", 3.0, 3.0))
        tasks.create_task(sleeper("b", 2.0, 2.0))
        await clock.pass_by(5.0)
        assert woken == [("b", 2.0), ("a", 3.0), ("b", 4.0)]
        assert clock.monotonic() == 5.0
        await clock.pass_by(5.0)
    assert woken[3:] == [("a", 6.0)]


def test_a_step_of_the_wall_clock_is_not_seen_by_the_monotonic_one() -> None:
    clock = FakeClock()
    before, wall = clock.monotonic(), clock.time()
    clock.step_wall(-100.0)
    clock.advance(1.0)
    assert (clock.monotonic(), clock.time()) == (before + 1.0, wall - 99.0)


@in_virtual_time
async def test_hours_pass_at_once_in_virtual_time() -> None:
    clock = VirtualClock()
    began = clock.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(86_400):
            await asyncio.Event().wait()
    assert clock.monotonic() - began == pytest.approx(86_400)


async def test_visibility_and_receive_counts_follow_the_clock() -> None:
    clock = FakeClock()
    sqs = FakeSqs(clock)
    sqs.send("a")
    (first,) = await receive(sqs)
    assert await receive(sqs) == []
    clock.advance(29.9)
    assert sqs.visible() == []
    clock.advance(0.1)
    (second,) = await receive(sqs)
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert second["ReceiptHandle"] != first["ReceiptHandle"]
    times = [m["Attributes"]["ApproximateFirstReceiveTimestamp"] for m in (first, second)]
    assert times[0] == times[1]


async def test_an_old_handle_is_accepted_and_deletes_nothing() -> None:
    clock = FakeClock()
    sqs = FakeSqs(clock)
    sqs.send("a")
    (old,) = await receive(sqs)
    clock.advance(30)
    (new,) = await receive(sqs)
    assert (await delete(sqs, old["ReceiptHandle"]))["Successful"] == [{"Id": "0"}]
    assert sqs.bodies() == ["a"]
    await delete(sqs, new["ReceiptHandle"])
    assert sqs.bodies() == []


async def test_batches_beyond_ten_empty_ones_and_ids_that_repeat_are_refused() -> None:
    sqs = FakeSqs(FakeClock())
    with pytest.raises(AwsError, match="TooManyEntriesInBatchRequest"):
        await delete(sqs, *["h"] * 11)
    with pytest.raises(AwsError, match="EmptyBatchRequest"):
        await delete(sqs)
    with pytest.raises(AwsError, match="BatchEntryIdsNotDistinct"):
        await delete(sqs, "h", "h", ids="00")


async def test_a_message_is_hidden_for_twelve_hours_from_its_receive_at_the_most() -> None:
    clock = FakeClock()
    sqs = FakeSqs(clock)
    sqs.send("a")
    (handle,) = [m["ReceiptHandle"] for m in await receive(sqs)]
    clock.advance(10)
    assert not await change(sqs, handle, 43_191)
    assert await change(sqs, handle, 43_190)
    assert await change(sqs, handle, 0)
    assert sqs.visible() == ["a"]
    assert not await change(sqs, handle, 5)  # visible: no longer in flight


async def test_a_fifo_group_is_blocked_while_one_of_it_is_in_flight() -> None:
    clock = FakeClock()
    sqs = FakeSqs(clock, fifo=True)
    for body, group in (("a1", "a"), ("b1", "b"), ("a2", "a")):
        sqs.send(body, group_id=group)
    first = await receive(sqs, MaxNumberOfMessages=1)
    assert [m["Body"] for m in first] == ["a1"]
    assert [m["Body"] for m in await receive(sqs)] == ["b1"]
    await delete(sqs, first[0]["ReceiptHandle"])
    assert [m["Body"] for m in await receive(sqs)] == ["a2"]


async def test_a_message_received_too_often_becomes_a_dead_letter_at_the_next_receive() -> None:
    clock = FakeClock()
    sqs = FakeSqs(clock, max_receives=2)
    sqs.send("poison")
    for _ in range(2):
        assert len(await receive(sqs)) == 1
        clock.advance(30)
    assert sqs.dead_letters == []
    assert await receive(sqs) == []
    assert sqs.dead_letters == ["poison"]


@in_virtual_time
async def test_a_long_poll_returns_with_the_first_message_or_at_its_end() -> None:
    clock = VirtualClock()
    sqs = FakeSqs(clock)
    began = clock.monotonic()
    assert await receive(sqs, WaitTimeSeconds=20) == []
    assert clock.monotonic() - began == pytest.approx(20, abs=0.01)
    poll = asyncio.create_task(receive(sqs, WaitTimeSeconds=20))
    await clock.advance(5)
    sqs.send("a")
    await clock.advance(0.001)
    assert [m["Body"] for m in poll.result()] == ["a"]
