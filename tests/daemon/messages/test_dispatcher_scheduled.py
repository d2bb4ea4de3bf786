"""Messages of periodic tasks in the dispatcher: copies, and what is recorded of them."""

from __future__ import annotations

import asyncio

import pytest

from sqsd import contract
from sqsd.contract import Occurrence, events
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.expression import parse_expression
from sqsd.cron.schedule import Schedule, Task
from sqsd.testing.clock import VirtualClock, in_virtual_time
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb
from tests.fakes.cron_fleet import TABLE, leader_table
from tests.fakes.running_tier import RunningTier


class Copies:
    """Knows the first message of each occurrence."""

    def __init__(self) -> None:
        self.first: dict[Occurrence, str] = {}
        self.recorded: list[tuple[str, str]] = []

    async def is_duplicate(
        self, occurrence: Occurrence, message_id: str, sent_at: int | None = None
    ) -> bool:
        await asyncio.sleep(0.01)
        return self.first.setdefault(occurrence, message_id) != message_id

    async def completed(self, occurrence: Occurrence, message_id: str) -> None:
        self.recorded.append(("completed", message_id))

    async def abandoned(self, occurrence: Occurrence, message_id: str) -> None:
        self.recorded.append(("abandoned", message_id))


def scheduled(tier: RunningTier) -> str:
    values = {
        contract.ATTRIBUTE_PATH: "/scheduled",
        contract.ATTRIBUTE_TASK_NAME: "tick",
        contract.ATTRIBUTE_SCHEDULED_TIME: "2026-01-01 00:00:00 UTC",
        contract.ATTRIBUTE_NONCE: "0" * 32,
    }
    attributes = {k: {"DataType": "String", "StringValue": v} for k, v in values.items()}
    return tier.sqs.send(contract.CRON_BODY, attributes=attributes)


@in_virtual_time
async def test_a_copy_of_a_scheduled_message_is_deleted_without_a_post() -> None:
    copies = Copies()
    async with RunningTier(duplicates=copies) as tier:
        first = scheduled(tier)
        await tier.clock.advance(1)
        second = scheduled(tier)
        await tier.clock.advance(1)
        assert [request.path for request in tier.application.posted] == ["/scheduled"]
        assert sorted(tier.sqs.deleted) == sorted([first, second])
        assert [e["message_id"] for e in tier.log.of(events.CRON_SUPPRESSED)] == [second]
        assert copies.recorded == [("completed", first)]


@in_virtual_time
async def test_a_scheduled_message_that_goes_to_the_dead_letter_queue_at_once_is_abandoned() -> (
    None
):
    copies = Copies()
    async with RunningTier(duplicates=copies, dead_letter_statuses=("422",)) as tier:
        tier.application.answers(422)
        sent = scheduled(tier)
        await tier.clock.advance(1)
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTERED)) == 1
        assert copies.recorded == [("abandoned", sent)]


@in_virtual_time
async def test_a_redriven_message_of_an_occurrence_that_was_dead_lettered_is_posted() -> None:
    # given the guard itself
    clock = VirtualClock()
    tick = Task(name="tick", url="/scheduled", schedule=parse_expression("@daily"))
    table = leader_table(FakeDynamoDb(TABLE), clock, RecordingLog())
    copies = DuplicateGuard(Schedule((tick,)), table, clock)
    async with RunningTier(duplicates=copies, dead_letter_statuses=("422",)) as tier:
        tier.application.answers(422)
        scheduled(tier)
        await tier.clock.advance(1)
        # when an operator redrives it soon, which changes its id
        tier.application.answers(200)
        redriven = scheduled(tier)
        await tier.clock.advance(1)
        # then it is a message like any other, and not taken for a copy
        assert len(tier.application.posted) == 2
        assert tier.sqs.deleted[-1] == redriven
        assert tier.log.of(events.CRON_SUPPRESSED) == []


@in_virtual_time
async def test_a_scheduled_message_that_expires_is_abandoned() -> None:
    copies = Copies()
    async with RunningTier(
        duplicates=copies,
        error_visibility_timeout=100,
        visibility_timeout=10,
        inactivity_timeout=5,
        max_retries=6,
        retention_period=60,
        delete_expired=True,
    ) as tier:
        tier.application.answers(500)
        sent = scheduled(tier)
        await tier.clock.advance(150)
        assert len(tier.log.of(events.MESSAGE_EXPIRED)) == 1
        assert copies.recorded == [("abandoned", sent)]


@in_virtual_time
async def test_a_scheduled_message_released_unposted_for_the_last_time_is_abandoned() -> None:
    copies = Copies()
    async with RunningTier(duplicates=copies, max_retries=1) as tier:
        await tier.open_polls(at_least=4)
        await tier.lose_application()
        sent = scheduled(tier)  # comes with a poll that is open still
        await tier.clock.advance(1)
        assert copies.recorded == []  # the application may be back before the drain
        posted = len(tier.application.posted)
        assert await tier.drain() is True
        assert len(tier.application.posted) == posted
        assert copies.recorded == [("abandoned", sent)]


class SlowCopies(Copies):
    """The table takes its time to note an answer."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def completed(self, occurrence: Occurrence, message_id: str) -> None:
        await asyncio.sleep(self.seconds)
        await super().completed(occurrence, message_id)


@pytest.mark.parametrize(("seconds", "noted"), [(6.0, True), (600.0, False)])
def test_a_drain_waits_for_the_note_of_an_answer_but_not_for_ever(
    seconds: float, noted: bool
) -> None:
    @in_virtual_time
    async def scenario() -> None:
        copies = SlowCopies(seconds)
        async with RunningTier(duplicates=copies) as tier:
            sent = scheduled(tier)
            await tier.clock.advance(0.5)
            started = tier.clock.monotonic()
            assert await tier.drain() is True
            assert tier.sqs.deleted == [sent]
            assert copies.recorded == ([("completed", sent)] if noted else [])
            assert tier.clock.monotonic() - started <= 32

    scenario()


@in_virtual_time
async def test_a_scheduled_message_that_fails_for_the_last_time_is_abandoned() -> None:
    copies = Copies()
    async with RunningTier(duplicates=copies, error_visibility_timeout=1, max_retries=2) as tier:
        tier.application.answers(500)
        sent = scheduled(tier)
        await tier.clock.advance(0.5)
        assert copies.recorded == []
        await tier.clock.advance(1)
        assert copies.recorded == [("abandoned", sent)]
