"""The nonces of claims: drawn for each, reused by a repair, unknown to releases without them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sqsd.base.errors import AwsUnreachable
from sqsd.contract import ATTRIBUTE_NONCE, Occurrence, events
from sqsd.cron.occurrence import deduplication_id, run_id
from sqsd.testing.table import FakeDynamoDb
from tests.daemon.cron.schedulers import MINUTELY, NONCE, Tier, due, schedule, virtually
from tests.fakes.cron_fleet import TABLE

SKIPPING = schedule('name: tick, url: /tick, schedule: "* * * * *", overlap: skip')


def test_each_claim_draws_another_nonce() -> None:
    async def scenario() -> None:
        tier = Tier(schedule('name: tick, url: /tick, schedule: "@every 1s"'))
        await asyncio.sleep(100)
        await tier.drain()
        nonces = {message["attributes"][ATTRIBUTE_NONCE] for message in tier.sender.sent}
        assert len(nonces) == len(tier.sender.sent) > 90

    virtually(scenario)


@pytest.mark.parametrize("fifo", [False, True])
def test_a_repair_sends_the_nonce_and_the_deduplication_id_of_the_claim(fifo: bool) -> None:
    async def scenario() -> None:
        # given a leader that dies between its send and its mark
        first = Tier(fifo=fifo, identity="first")
        await asyncio.sleep(58)

        async def lose_marks(
            action: str, request: Mapping[str, Any], apply: Callable[[], Any]
        ) -> Any:
            if request.get("Item", {}).get("state") == {"S": "sent"}:
                first.running.cancel()
                await asyncio.sleep(1_000)
            return apply()

        first.dynamodb.around = lose_marks
        await asyncio.sleep(3)
        assert len(first.sender.sent) == 1
        # when another leads
        first.dynamodb.around = None
        second = Tier(fifo=fifo, identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(20)
        await second.drain()
        # then it sends the same once more
        assert len(second.log.of(events.CRON_REPAIRED)) == 1
        assert second.sender.sent[0] == first.sender.sent[0]
        await asyncio.gather(first.running, return_exceptions=True)

    virtually(scenario)


def claimed_without_nonce(dynamodb: FakeDynamoDb, minute: int, **changed: Any) -> None:
    """Write a task's item as a release without nonces does."""
    time = {"S": due(minute).isoformat()}
    dynamodb.items[TABLE]["task#tick"] = {
        "id": {"S": "task#tick"},
        "version": {"N": "7"},
        "schedule": {"S": "* * * * * UTC"},
        "cursor": time,
        "state": {"S": "sent"},
        "claimant": {"S": "old"},
        "expires_at": {"N": "99999999999"},
        "sent": time,
        "sent_at": time,
        **changed,
    }


def test_a_claim_of_a_release_without_nonces_is_repaired_as_it_was_sent() -> None:
    async def scenario() -> None:
        # SQS then knows the copy on a FIFO queue by its deduplication id
        dynamodb = FakeDynamoDb(TABLE)
        claimed_without_nonce(dynamodb, 0, state={"S": "claimed"})
        tier = Tier(fifo=True, dynamodb=dynamodb)
        await asyncio.sleep(5)
        await tier.drain()
        (message,) = tier.sender.sent
        assert ATTRIBUTE_NONCE not in message["attributes"]
        assert message["deduplication_id"] == "tick@2026-03-01T00:00:00Z"

    virtually(scenario)


@pytest.mark.parametrize(
    ("recorded", "sent"),
    [
        # its message had no nonce and waits, or a daemon that knows nonces POSTed it
        (None, 1),
        # a daemon without nonces POSTed it
        ("dispatched", 0),
        ("done", 1),
        ("abandoned", 1),
    ],
)
def test_with_overlap_skip_a_former_release_holds_nothing_back_for_hours(
    recorded: str | None, sent: int
) -> None:
    async def scenario() -> None:
        dynamodb = FakeDynamoDb(TABLE)
        claimed_without_nonce(dynamodb, 0)
        if recorded is not None:
            record_run(dynamodb, Occurrence("tick", due(0), None), recorded)
        tier = Tier(SKIPPING, dynamodb=dynamodb)
        await asyncio.sleep(65)
        await tier.drain()
        assert len(tier.sender.sent) == sent

    virtually(scenario)


def record_run(dynamodb: FakeDynamoDb, occurrence: Occurrence, state: str) -> None:
    key = run_id(occurrence)
    dynamodb.items[TABLE][key] = {
        "id": {"S": key},
        "message_id": {"S": "m1"},
        "state": {"S": state},
        "dispatched_at": {"S": occurrence.scheduled.isoformat()},
        "expires_at": {"N": "99999999999"},
    }


@pytest.mark.parametrize(("state", "sent"), [("dispatched", 1), ("done", 2), ("abandoned", 2)])
def test_with_overlap_skip_the_record_of_a_receiver_without_nonces_counts(
    state: str, sent: int
) -> None:
    async def scenario() -> None:
        # given a message with a nonce that a daemon of the former release received
        tier = Tier(SKIPPING)
        await asyncio.sleep(61)
        record_run(tier.dynamodb, replace_nonce(tier.sender.occurrence(), None), state)
        # when the next is due
        await asyncio.sleep(60)
        await tier.drain()
        assert len(tier.sender.sent) == sent

    virtually(scenario)


def replace_nonce(occurrence: Occurrence, nonce: str | None) -> Occurrence:
    return occurrence._replace(nonce=nonce)


def test_with_overlap_skip_a_forged_message_ends_no_wait() -> None:
    async def scenario() -> None:
        tier = Tier(SKIPPING)
        await asyncio.sleep(61)
        # given a genuine message that is in process, and a forged one that is done
        assert not await tier.guard.is_duplicate(tier.sender.occurrence(), "m1")
        forged = replace_nonce(tier.sender.occurrence(), "f" * 32)
        assert not await tier.guard.is_duplicate(forged, "m2")
        await tier.guard.completed(forged, "m2")
        # when the next is due
        await asyncio.sleep(60)
        await tier.drain()
        assert len(tier.sender.sent) == 1
        assert len(tier.log.of(events.CRON_SKIPPED)) == 1

    virtually(scenario)


def test_an_occurrence_of_the_year_8999_is_recorded_for_no_longer_than_another() -> None:
    async def scenario() -> None:
        tier = Tier(MINUTELY)
        await asyncio.sleep(1)

        far = Occurrence("tick", due(0).replace(year=8999), NONCE)

        async def hang(action: str, request: Mapping[str, Any], apply: Any) -> Any:
            raise AwsUnreachable(action, "no answer")

        tier.dynamodb.around = hang
        started = asyncio.get_running_loop().time()
        await tier.guard.completed(far, "m1")
        assert asyncio.get_running_loop().time() - started < 1_000
        tier.dynamodb.around = None
        await tier.drain()

    virtually(scenario)


def test_deduplication_ids_of_two_claims_of_one_time_differ() -> None:
    one = Occurrence("tick", due(0), "a" * 32)
    assert deduplication_id(one) != deduplication_id(replace_nonce(one, "b" * 32))
    long = one._replace(task="x" * 200)
    assert deduplication_id(long) != deduplication_id(replace_nonce(long, "b" * 32))
