"""Forged messages of periodic tasks: whoever may only send to the queue cancels nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pytest

from sqsd import contract
from sqsd.contract import Occurrence, events
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.expression import parse_expression
from sqsd.cron.schedule import Schedule, Task
from sqsd.messages.message import Attribute, Message
from sqsd.messages.request import occurrence_of
from sqsd.testing.clock import VirtualClock, in_virtual_time
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb
from tests.fakes.cron_fleet import TABLE, leader_table
from tests.fakes.running_tier import RunningTier

#: Nonce of the genuine claim.
NONCE: Final = "0123456789abcdef" * 2
#: A time whose message every forger can foresee.
TIME: Final = "2026-01-01 00:00:00 UTC"


def send(tier: RunningTier, **changed: str | None) -> str:
    """Send a message as a scheduler does, with the attributes that are `changed`, or None left out.

    Without changes it is the genuine message.
    """
    values = {"path": "/scheduled", "task_name": "tick", "scheduled_time": TIME, "nonce": NONCE}
    attributes = {
        f"beanstalk.sqsd.{name}": {"DataType": "String", "StringValue": value}
        for name, value in (values | changed).items()
        if value is not None
    }
    return tier.sqs.send(contract.CRON_BODY, attributes=attributes)


@dataclass
class Guarded:
    """The guard of a daemon, and the table that it writes."""

    dynamodb: FakeDynamoDb = field(default_factory=lambda: FakeDynamoDb(TABLE))

    def guard(self) -> DuplicateGuard:
        clock = VirtualClock()
        tick = Task(name="tick", url="/scheduled", schedule=parse_expression("@daily"))
        table = leader_table(self.dynamodb, clock, RecordingLog())
        return DuplicateGuard(Schedule((tick,)), table, clock)

    @property
    def items(self) -> list[str]:
        return sorted(self.dynamodb.items[TABLE])


FORGERIES = {
    "no nonce": {"nonce": None},
    "an empty nonce": {"nonce": ""},
    "another nonce": {"nonce": "f" * 32},
    "a short nonce": {"nonce": NONCE[:31]},
    "a long nonce": {"nonce": NONCE + "0"},
    "the nonce in capitals": {"nonce": NONCE.upper()},
    "a nonce with a line end": {"nonce": NONCE + "\n"},
    "digits of another script": {"nonce": "٠" * 32},
    "the separator of the table's keys": {"nonce": "#" + NONCE[1:]},
    "no name": {"nonce": None, "task_name": None},
    "no path": {"nonce": None, "path": None},
    "only a time": {"nonce": None, "path": None, "task_name": None},
    "a name that imitates a key": {"task_name": f"tick#{TIME}"},
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES.keys())
@pytest.mark.parametrize("status", [200, 500])
def test_a_forged_message_that_came_first_cancels_nothing(
    forged: dict[str, str | None], status: int
) -> None:
    @in_virtual_time
    async def scenario() -> None:
        async with RunningTier(duplicates=Guarded().guard()) as tier:
            # given a forged message of an occurrence, POSTed before it is due
            tier.application.answers(status)
            send(tier, **forged)
            await tier.clock.advance(1)
            assert len(tier.application.posted) == 1, "POSTed, as Elastic Beanstalk does"
            # when the scheduler's message of this occurrence comes
            tier.application.answers(200)
            genuine = send(tier)
            await tier.clock.advance(1)
            # then it is POSTed
            assert len(tier.application.posted) == 2
            assert tier.sqs.deleted[-1] == genuine
            assert tier.log.of(events.CRON_SUPPRESSED) == []

    scenario()


@in_virtual_time
async def test_a_forged_message_that_came_second_is_posted_and_the_genuine_one_stays_done() -> None:
    guarded = Guarded()
    async with RunningTier(duplicates=guarded.guard()) as tier:
        send(tier)
        await tier.clock.advance(1)
        forged = send(tier, nonce=None)
        await tier.clock.advance(1)
        assert len(tier.application.posted) == 2
        assert forged in tier.sqs.deleted
        assert guarded.items == [f"run#tick#{TIME}#{NONCE}"]


@in_virtual_time
async def test_a_message_without_a_nonce_costs_no_call_to_the_table() -> None:
    guarded = Guarded()
    async with RunningTier(duplicates=guarded.guard(), max_retries=1) as tier:
        tier.application.answers(500)  # its end is not recorded either
        send(tier, nonce=None)
        await tier.clock.advance(1)
        assert len(tier.application.posted) == 1
        assert guarded.dynamodb.calls.total() == 0
        assert guarded.items == []


@in_virtual_time
async def test_the_message_of_elastic_beanstalks_own_daemon_is_posted_each_time() -> None:
    # given a queue that Elastic Beanstalk's daemon sends to as well; its copies are not known here
    guarded = Guarded()
    async with RunningTier(duplicates=guarded.guard()) as tier:
        for _ in range(2):
            send(tier, nonce=None)
            await tier.clock.advance(1)
        assert [request.path for request in tier.application.posted] == ["/scheduled"] * 2
        assert all(b"X-Aws-Sqsd-Taskname: tick" in r.head for r in tier.application.posted)


@in_virtual_time
async def test_the_nonce_never_reaches_the_application() -> None:
    async with RunningTier(duplicates=Guarded().guard()) as tier:
        send(tier)
        await tier.clock.advance(1)
        (request,) = tier.application.posted
        assert NONCE.encode() not in request.head
        assert b"once" not in request.head


@in_virtual_time
async def test_a_copy_with_the_claims_nonce_is_deleted_without_a_post() -> None:
    async with RunningTier(duplicates=Guarded().guard()) as tier:
        send(tier)
        await tier.clock.advance(1)
        copy = send(tier)
        await tier.clock.advance(1)
        assert len(tier.application.posted) == 1
        assert [e["message_id"] for e in tier.log.of(events.CRON_SUPPRESSED)] == [copy]


def message(**values: Attribute) -> Message:
    attributes = {f"beanstalk.sqsd.{name}": value for name, value in values.items()}
    return Message("m", "r", b"", 1, "", None, None, 0.0, attributes=attributes)


def text(value: str) -> Attribute:
    return Attribute("String", value)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ({}, "tick"),
        ({"task_name": text("x" * 256)}, "x" * 256),
        ({"task_name": text("x" * 257)}, None),
        ({"task_name": text("€" * 20_000)}, None),  # 60 kB: no key of DynamoDB's
        ({"task_name": text("")}, None),
        ({"scheduled_time": text("noon")}, None),
        ({"scheduled_time": text("0001-01-01 00:00:00 UTC")}, None),
        ({"nonce": Attribute("Binary", None, "AAAA")}, None),
    ],
)
def test_an_occurrence_is_what_a_scheduler_can_have_sent(
    values: dict[str, Attribute], task: str | None
) -> None:
    genuine = {"task_name": text("tick"), "scheduled_time": text(TIME), "nonce": text(NONCE)}
    found = occurrence_of(message(**(genuine | values)))
    assert (None if found is None else found.task) == task
    assert found is None or isinstance(found, Occurrence)
