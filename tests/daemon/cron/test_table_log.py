"""A leader table that fails: what is sent twice, what is logged, and which leader steps down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from sqsd.aws.hints import hint_for_leader_table
from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.contract import Occurrence, events
from sqsd.cron.cron_yaml import parse_cron_yaml
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.lease import LeaseRules
from sqsd.cron.scheduler import Scheduler
from sqsd.cron.table_log import TableLog
from sqsd.observe.observer import Observer
from sqsd.testing.clock import FakeClock, VirtualClock, run_virtually
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb
from tests.fakes.cron_fleet import EPOCH, TABLE, FakeSender, leader_table

Around = Callable[[str, Mapping[str, Any], Callable[[], Any]], Awaitable[Any]]


def refusing(*actions: str, code: str = "AccessDeniedException") -> Around:
    async def around(action: str, request: Mapping[str, Any], apply: Callable[[], Any]) -> Any:
        if action in actions:
            raise AwsError(action, code, "no", 400)
        return apply()

    return around


async def hanging(action: str, request: Mapping[str, Any], apply: Callable[[], Any]) -> Any:
    await asyncio.sleep(3_600)


def tasks(more: str = "", schedule: str = "*/5 * * * *") -> Any:
    text = f"- {{name: tick, url: /tick, schedule: '{schedule}'{more}}}"
    return parse_cron_yaml(f"version: 1\ncron:\n  {text}\n")


class Instance:
    """A scheduler and a guard on one table."""

    def __init__(
        self, dynamodb: FakeDynamoDb, sender: FakeSender, schedule: Any, name: str = "me"
    ) -> None:
        self.clock = VirtualClock(EPOCH)
        self.recorded = RecordingLog()
        self.log = Observer(self.recorded, self.clock)
        table = leader_table(dynamodb, self.clock, self.log)
        self.guard = DuplicateGuard(schedule, table, self.clock)
        self.scheduler = Scheduler(
            schedule,
            table,
            sender,
            self.clock,
            self.log,
            LeaseRules(name),
            spread=lambda: 0.5,
        )
        self.running = asyncio.create_task(self.scheduler.run())

    async def drain(self) -> None:
        self.scheduler.drain()
        await self.running


DUE = datetime.fromtimestamp(EPOCH + 300, UTC)
DUE_TICK = Occurrence("tick", DUE, "0" * 32)


async def answered(instance: Instance, message_id: str, occurrence: Occurrence) -> bool:
    """A daemon receives a message of the occurrence; whether the application saw it."""
    if await instance.guard.is_duplicate(occurrence, message_id, int((EPOCH + 301) * 1000)):
        return False
    asyncio.get_running_loop().create_task(instance.guard.completed(occurrence, message_id))
    return True


@pytest.mark.parametrize("outage", [60, 150, 290])
def test_a_table_that_hangs_after_a_claim_makes_no_occurrence_fire_twice(outage: int) -> None:
    async def scenario() -> None:
        dynamodb, sender = FakeDynamoDb(TABLE), FakeSender()
        leader = Instance(dynamodb, sender, tasks(), "leader")
        await asyncio.sleep(1)
        worker = Instance(dynamodb, sender, tasks(), "worker")
        # given a claim after which the table hangs
        await asyncio.sleep(298)

        async def hang_after_the_claim(
            action: str, request: Mapping[str, Any], apply: Callable[[], Any]
        ) -> Any:
            answer = apply()
            if request.get("Item", {}).get("state") == {"S": "claimed"}:
                dynamodb.around = hanging
            return answer

        dynamodb.around = hang_after_the_claim
        await asyncio.sleep(5)
        assert len(sender.sent) == 1
        # and its message is POSTed, because it may be a copy or not
        posts = int(await answered(worker, "m1", sender.occurrence(0)))
        assert posts == 1
        # when the table is back
        await asyncio.sleep(outage - 13)
        dynamodb.around = None
        await asyncio.sleep(30)
        # then what was sent once more, if anything, is known
        for number in range(2, len(sender.sent) + 1):
            posts += await answered(worker, f"m{number}", sender.occurrence(number - 1))
        # (the longest outage ends when the next occurrence is due)
        assert posts == len(set(sender.times()))
        assert dynamodb.items[TABLE]["task#tick"]["state"] == {"S": "sent"}
        await leader.drain()
        await worker.drain()

    run_virtually(scenario())


def test_with_overlap_skip_an_answer_is_noted_after_an_hour_without_the_table() -> None:
    async def scenario() -> None:
        dynamodb = FakeDynamoDb(TABLE)
        worker = Instance(dynamodb, FakeSender(), tasks(", overlap: skip"))
        await asyncio.sleep(300)
        assert not await worker.guard.is_duplicate(DUE_TICK, "m1")
        dynamodb.around = hanging
        noting = asyncio.create_task(worker.guard.completed(DUE_TICK, "m1"))
        await asyncio.sleep(3_600)
        assert not noting.done()
        dynamodb.around = None
        await asyncio.sleep(8)
        assert noting.done()
        key = f"run#tick#2026-03-01 00:05:00 UTC#{DUE_TICK.nonce}"
        assert dynamodb.items[TABLE][key]["state"] == {"S": "done"}
        await worker.drain()

    run_virtually(scenario())


def test_many_answers_to_be_noted_do_not_hammer_a_failing_table() -> None:
    async def scenario() -> None:
        dynamodb = FakeDynamoDb(TABLE)
        worker = Instance(dynamodb, FakeSender(), tasks())
        await asyncio.sleep(300)
        dynamodb.around = refusing("UpdateItem", "GetItem", code="ThrottlingException")
        noting = [
            asyncio.create_task(worker.guard.completed(DUE_TICK, f"m{n}")) for n in range(300)
        ]
        await asyncio.sleep(60)
        before = dynamodb.calls.total()
        await asyncio.sleep(60)
        assert dynamodb.calls.total() - before <= 60 * 12
        dynamodb.around = None
        await asyncio.sleep(60)
        assert all(task.done() for task in noting)
        await worker.drain()

    run_virtually(scenario())


def test_a_message_given_up_that_was_never_dispatched_holds_nothing_back() -> None:
    async def scenario() -> None:
        sender = FakeSender()
        worker = Instance(FakeDynamoDb(TABLE), sender, tasks(", overlap: skip", "* * * * *"))
        await asyncio.sleep(61)
        await worker.guard.abandoned(sender.occurrence(), "message-1")
        await asyncio.sleep(60)
        assert len(sender.sent) == 2
        await worker.drain()

    run_virtually(scenario())


# ---- what is logged


def table_log() -> tuple[TableLog, FakeClock, RecordingLog, Observer]:
    clock, recorded = FakeClock(), RecordingLog()
    observer = Observer(recorded, clock)
    hint = partial(hint_for_leader_table, table=TABLE)
    return TableLog(TABLE, clock, observer, hint), clock, recorded, observer


def test_a_renewal_that_succeeds_ends_no_failures_of_claims() -> None:
    table, clock, recorded, observer = table_log()
    for _ in range(60):  # five minutes of a policy without PutItem
        table.failed(AwsError("PutItem", "AccessDeniedException", "no", 400))
        table.succeeded("UpdateItem")
        clock.advance(5)
    assert len(recorded.of(events.LEASE_FAILED)) == 5
    assert recorded.of(events.LEASE_RECOVERED) == []
    table.succeeded("PutItem")
    (recovered,) = recorded.of(events.LEASE_RECOVERED)
    assert (recovered["action"], recovered["code"]) == ("PutItem", "AccessDeniedException")
    assert observer.metrics.lease_failed == 60, "each is counted"


def test_failures_now_and_then_are_logged_once_a_minute_at_most() -> None:
    table, clock, recorded, observer = table_log()
    for number in range(600):  # every third second, for half an hour
        if number % 2:
            table.succeeded("GetItem")
        else:
            table.failed(AwsUnreachable("GetItem", "no answer"))
        clock.advance(3)
    clock.advance(60)
    table.succeeded("GetItem")
    assert 25 <= len(recorded.of(events.LEASE_FAILED)) <= 31
    assert len(recorded.of(events.LEASE_RECOVERED)) <= 31
    assert observer.metrics.lease_failed == 300


def test_of_two_kinds_of_failures_each_has_its_own_end() -> None:
    table, _, recorded, _ = table_log()
    table.failed(AwsError("PutItem", "ThrottlingException", "no", 400))
    table.failed(AwsError("GetItem", "ThrottlingException", "no", 400))
    assert len(recorded.of(events.LEASE_FAILED)) == 2
    table.succeeded("GetItem")
    assert [event["action"] for event in recorded.of(events.LEASE_RECOVERED)] == ["GetItem"]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_the_hint_has_the_statement_that_the_role_needs(code: str) -> None:
    table, _, recorded, _ = table_log()
    table.failed(AwsError("PutItem", code, "no", 400))
    (logged,) = recorded.of(events.LEASE_FAILED)
    assert logged["table"] == TABLE
    assert logged["action"] == "PutItem"
    assert (
        '"Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]'
        in logged["hint"]
    )
    assert f"table/{TABLE}" in logged["hint"]


# ---- which leader steps down


def test_a_leader_that_cannot_claim_leaves_the_lease_to_another() -> None:
    async def scenario() -> None:
        dynamodb, sender = FakeDynamoDb(TABLE), FakeSender()
        first = Instance(dynamodb, sender, tasks(schedule="* * * * *"), "first")
        await asyncio.sleep(1)
        second = Instance(dynamodb, sender, tasks(schedule="* * * * *"), "second")
        await asyncio.sleep(57)

        async def refuse_the_first(
            action: str, request: Mapping[str, Any], apply: Callable[[], Any]
        ) -> Any:
            if request.get("Item", {}).get("claimant") == {"S": "first"}:
                raise AwsError(action, "AccessDeniedException", "no", 400)
            return apply()

        dynamodb.around = refuse_the_first
        await asyncio.sleep(18)
        assert second.scheduler.status().leader
        assert sender.times() == ["2026-03-01 00:01:00 UTC"]
        (released,) = first.recorded.of(events.LEASE_RELEASED)
        assert "PutItem" in released["reason"]
        await first.drain()
        await second.drain()

    run_virtually(scenario())


def test_a_failure_before_a_lease_was_lost_does_not_end_the_next_one() -> None:
    async def scenario() -> None:
        tables, sender = [FakeDynamoDb(TABLE), FakeDynamoDb(TABLE)], FakeSender()
        tables[1].items = tables[0].items
        minutely = tasks(schedule="* * * * *")
        first = Instance(tables[0], sender, minutely, "first")
        await asyncio.sleep(1)
        second = Instance(tables[1], sender, minutely, "second")
        # given a leader that lost its lease while it could not claim
        await asyncio.sleep(56)
        tables[0].around = refusing("GetItem", "PutItem", "UpdateItem")
        await asyncio.sleep(23)
        tables[0].around = None
        assert second.scheduler.status().leader
        assert sender.times() == ["2026-03-01 00:01:00 UTC"]
        # when it leads again, and one call fails
        await asyncio.sleep(20)
        second.running.cancel()
        failures: list[str] = []

        async def refuse_one(
            action: str, request: Mapping[str, Any], apply: Callable[[], Any]
        ) -> Any:
            if request.get("Key", {}).get("id") == {"S": "task#tick"} and not failures:
                failures.append(action)
                raise AwsError(action, "ThrottlingException", "no", 400)
            return apply()

        tables[0].around = refuse_one
        await asyncio.sleep(22)
        # then it goes on
        assert failures == ["GetItem"]
        assert first.scheduler.status().leader
        assert first.recorded.of(events.LEASE_RELEASED) == []
        assert sender.times() == ["2026-03-01 00:01:00 UTC", "2026-03-01 00:02:00 UTC"]
        await first.drain()

    run_virtually(scenario())


def test_a_defect_in_the_election_ends_neither_cron_nor_the_metric_of_a_leader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        sender = FakeSender()
        leader = Instance(FakeDynamoDb(TABLE), sender, tasks(schedule="* * * * *"))
        await asyncio.sleep(30)
        assert leader.log.leader
        keeper = leader.scheduler._elector
        step, calls = keeper.step, []

        async def broken() -> None:
            calls.append(1)
            if len(calls) <= 2:
                raise ZeroDivisionError("a bug")
            await step()

        monkeypatch.setattr(keeper, "step", broken)
        keeper.wake.set()
        await asyncio.sleep(60)
        # each was counted and logged, and the lease is held again
        assert leader.log.metrics.lease_failed == 2
        assert leader.log.leader
        assert sender.times() == ["2026-03-01 00:01:00 UTC"]
        await leader.drain()

    run_virtually(scenario())


def test_a_scheduler_that_fails_altogether_leads_no_longer_and_can_be_run_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        sender = FakeSender()
        leader = Instance(FakeDynamoDb(TABLE), sender, tasks(schedule="* * * * *"))
        await asyncio.sleep(30)

        async def broken() -> None:
            raise ZeroDivisionError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(leader.scheduler, "_compete", broken)
            leader.scheduler._elector.wake.set()
            await asyncio.wait([leader.running])
        assert leader.running.exception() is not None
        assert leader.log.leader_since is None
        assert "ZeroDivisionError" in leader.recorded.of(events.LEASE_LOST)[0]["reason"]
        leader.running = asyncio.create_task(leader.scheduler.run())
        await asyncio.sleep(40)
        assert leader.log.leader
        assert sender.times() == ["2026-03-01 00:01:00 UTC"]
        await leader.drain()

    run_virtually(scenario())


# ---- tasks that do not run


def test_a_task_enabled_again_after_a_week_makes_up_for_nothing() -> None:
    async def scenario() -> None:
        text = (
            "version: 1\ncron:\n"
            "  - {name: other, url: /, schedule: '@yearly'}\n"
            "  - {name: tick, url: /, schedule: '* * * * *', enabled: %s}\n"
        )
        dynamodb, sender = FakeDynamoDb(TABLE), FakeSender()
        # nothing changes in the last six days of that week, so no instance runs in them
        for enabled, seconds, rest in (
            ("true", 130, 0),
            ("false", 86_400, 6 * 86_400),
            ("true", 90, 0),
        ):
            instance = Instance(dynamodb, sender, parse_cron_yaml(text % enabled))
            await asyncio.sleep(seconds)
            await instance.drain()
            await asyncio.sleep(rest)
        assert instance.recorded.of(events.CRON_MISSED) == []
        assert sender.times("tick")[:2] == ["2026-03-01 00:01:00 UTC", "2026-03-01 00:02:00 UTC"]
        assert len(sender.times("tick")) <= 2 + 2
        assert sender.times("tick")[2] >= "2026-03-08 00:02"

    run_virtually(scenario())
