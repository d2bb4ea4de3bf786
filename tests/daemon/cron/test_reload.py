"""A `cron.yaml` that is replaced while the daemon runs, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from sqsd.base.errors import AwsUnreachable
from sqsd.contract import Occurrence, events
from sqsd.cron.cron_yaml import Problem, read_cron_yaml
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.file import NO_LEADER_TABLE
from sqsd.cron.lease import LeaseRules
from sqsd.cron.reload import CronReloader
from sqsd.cron.schedule import Schedule
from sqsd.cron.scheduler import Scheduler
from sqsd.observe.observer import Observer
from sqsd.testing.clock import VirtualClock, run_virtually
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb
from tests.fakes.cron_fleet import EPOCH, TABLE, FakeSender, leader_table

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_TICK = Occurrence("tick", NOON, "0" * 32)
TICK = "{name: tick, url: /tick, schedule: '* * * * *'}"
OTHER = "{name: other, url: /other, schedule: '* * * * *'}"
BAD = "{name: bad, url: /bad, schedule: '61 * * * *'}"


class FakeFile:
    """Implements `reload.ScheduleFile`."""

    name = "cron.yaml"

    def __init__(self, *tasks: str) -> None:
        self.text = ""
        self.reads = 0
        self.write(*tasks)

    def write(self, *tasks: str) -> None:
        lines = "".join(f"  - {task}\n" for task in tasks) or "  []\n"
        self.text = f"version: 1\ncron:\n{lines}"

    def stamp(self) -> object:
        return self.text

    def read(self) -> tuple[Schedule, tuple[Problem, ...]]:
        self.reads += 1
        return read_cron_yaml(self.text)


class Instance:
    def __init__(self, *tasks: str, table: bool = True) -> None:
        self.file = FakeFile(*tasks)
        self.clock = VirtualClock(EPOCH)
        self.recorded = RecordingLog()
        self.log = Observer(self.recorded, self.clock)
        self.dynamodb = FakeDynamoDb(TABLE)
        self.sender = FakeSender()
        store = leader_table(self.dynamodb, self.clock, self.log)
        rules = LeaseRules("me")

        def scheduler(schedule: Schedule) -> Scheduler:
            return Scheduler(
                schedule, store, self.sender, self.clock, self.log, rules, spread=lambda: 0.5
            )

        def guard(schedule: Schedule) -> DuplicateGuard:
            return DuplicateGuard(schedule, store, self.clock)

        makers = (scheduler, guard) if table else (None, None)
        self.reloader = CronReloader(self.file, self.clock, self.log, *makers)
        self.running = asyncio.create_task(self.reloader.run())

    async def drain(self) -> None:
        self.reloader.drain()
        await self.running


def at(minute: int) -> str:
    return f"2026-03-01 00:{minute:02}:00 UTC"


def test_a_task_that_is_added_runs_and_those_that_did_not_change_do_not_notice() -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        await asyncio.sleep(90)
        terms = len(instance.recorded.of(events.LEASE_ACQUIRED))
        instance.file.write(TICK, OTHER)
        await asyncio.sleep(80)
        assert instance.sender.times("tick") == [at(1), at(2)]
        assert instance.sender.times("other") == [at(2)]
        assert [task.name for task in instance.reloader.tasks] == ["tick", "other"]
        assert instance.recorded.of(events.CRON_LOADED) == [
            {"tasks": ["tick"], "file": "cron.yaml"},
            {"tasks": ["tick", "other"], "file": "cron.yaml"},
        ]
        assert len(instance.recorded.of(events.LEASE_ACQUIRED)) == terms
        await instance.drain()

    run_virtually(scenario())


def test_what_is_read_as_elastic_beanstalk_reads_it_is_logged_with_the_tasks() -> None:
    async def scenario() -> None:
        instance = Instance('{name: tick, url: u, schedule: "* * * * *"}')
        (event,) = instance.recorded.of(events.CRON_LOADED)
        (warning,) = event["warnings"]
        assert warning.startswith('line 3, column 23: url "u" has no slash at its beginning')
        assert [task.url for task in instance.reloader.tasks] == ["/u"]
        assert instance.reloader.problems == ()
        await instance.drain()

    run_virtually(scenario())


def test_a_task_that_is_removed_is_sent_no_more() -> None:
    async def scenario() -> None:
        instance = Instance(TICK, OTHER)
        await asyncio.sleep(70)
        instance.file.write(TICK)
        await asyncio.sleep(120)
        assert instance.sender.times("other") == [at(1)]
        assert instance.sender.times("tick") == [at(1), at(2), at(3)]
        await instance.drain()

    run_virtually(scenario())


def test_a_task_whose_url_is_changed_is_sent_with_the_new_one() -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        await asyncio.sleep(70)
        instance.file.write(TICK.replace("/tick", "/new"))
        await asyncio.sleep(60)
        paths = [m["attributes"]["beanstalk.sqsd.path"] for m in instance.sender.sent]
        assert paths == ["/tick", "/new"]
        await instance.drain()

    run_virtually(scenario())


def test_a_task_that_is_changed_between_its_send_and_its_mark_is_not_sent_twice() -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        await asyncio.sleep(58)

        async def no_marks(
            action: str, request: Mapping[str, Any], apply: Callable[[], Any]
        ) -> Any:
            if request.get("Item", {}).get("state") == {"S": "sent"}:
                raise AwsUnreachable(action, "no answer")
            return apply()

        instance.dynamodb.around = no_marks
        await asyncio.sleep(4)
        assert instance.sender.times() == [at(1)]
        instance.file.write(TICK.replace("/tick", "/new"))
        await asyncio.sleep(20)
        instance.dynamodb.around = None
        await asyncio.sleep(55)
        assert instance.sender.times() == [at(1), at(2)]
        assert instance.recorded.of(events.CRON_REPAIRED) == []
        await instance.drain()

    run_virtually(scenario())


def test_problems_are_logged_once_a_minute_and_cleared_when_they_are_gone() -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        await asyncio.sleep(70)
        assert instance.recorded.of(events.CRON_INVALID) == []
        instance.file.write(TICK, BAD)
        await asyncio.sleep(7)
        assert len(instance.recorded.of(events.CRON_INVALID)) == 1
        await asyncio.sleep(120)
        logged = instance.recorded.of(events.CRON_INVALID)
        assert len(logged) == 3
        assert '"61" is out of range' in logged[0]["problems"][0]
        assert instance.log.cron_problems == logged[0]["problems"]
        instance.file.write(TICK)
        await asyncio.sleep(120)
        assert len(instance.recorded.of(events.CRON_INVALID)) == 3
        assert instance.log.cron_problems == ()
        assert len(instance.sender.times("tick")) == 5
        await instance.drain()

    run_virtually(scenario())


@pytest.mark.parametrize("text", ["cron: [", "", "version: 1\ncron:\n  - " + BAD])
def test_a_file_of_which_nothing_can_be_used_leaves_the_last_schedule(text: str) -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        await asyncio.sleep(30)
        instance.file.text = text
        await asyncio.sleep(60)
        assert instance.sender.times() == [at(1)]
        assert instance.log.cron_problems != ()
        await instance.drain()

    run_virtually(scenario())


def test_a_file_that_is_still_being_written_is_not_read() -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        for number in range(40):
            instance.file.text = f"version: 1\ncron:\n  - {OTHER}\n# {number}"
            await asyncio.sleep(0.9)
        assert instance.file.reads == 1
        await asyncio.sleep(7)
        assert instance.file.reads == 2
        await instance.drain()

    run_virtually(scenario())


def test_dynamodb_is_called_only_while_a_task_is_enabled() -> None:
    async def scenario() -> None:
        instance = Instance()
        calls = instance.dynamodb.calls.total
        await asyncio.sleep(60)
        assert not await instance.reloader.is_duplicate(NOON_TICK, "m1")
        assert calls() == 0
        # none -> one
        instance.file.write(TICK)
        await asyncio.sleep(70)
        assert instance.sender.times() == [at(2)]
        assert instance.log.leader
        # one -> none
        instance.file.write(TICK.replace("}", ", enabled: false}"))
        await asyncio.sleep(10)
        assert instance.dynamodb.items[TABLE]["lease"]["holder"] == {"S": ""}
        assert instance.log.leader_since is None
        before = calls()
        await asyncio.sleep(3_600)
        assert calls() == before
        # and again, with nothing made up for
        instance.file.write(TICK)
        await asyncio.sleep(70)
        assert len(instance.sender.times()) in (2, 3)
        assert instance.recorded.of(events.CRON_MISSED) == []
        await instance.drain()

    run_virtually(scenario())


def test_without_a_leader_table_the_problem_is_logged_and_nothing_runs() -> None:
    async def scenario() -> None:
        instance = Instance(TICK, table=False)
        await asyncio.sleep(90)
        assert [e["problems"] for e in instance.recorded.of(events.CRON_INVALID)] == [
            (NO_LEADER_TABLE,)
        ] * 2
        assert instance.sender.sent == []
        await instance.drain()

    run_virtually(scenario())


def test_the_guard_uses_the_tasks_of_a_file_that_was_replaced() -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        await asyncio.sleep(61)
        instance.file.write("{name: tick, url: /, schedule: '* * * * *', catch_up: 3600}")
        await asyncio.sleep(10)
        assert not await instance.reloader.is_duplicate(NOON_TICK, "m1")
        # sent by a repair, 50 minutes late
        sent_at = int((NOON.timestamp() + 3_000) * 1000)
        assert await instance.reloader.is_duplicate(NOON_TICK, "m2", sent_at)
        await instance.reloader.completed(NOON_TICK, "m1")
        await instance.reloader.abandoned(NOON_TICK, "m1")
        assert await instance.reloader.is_duplicate(NOON_TICK, "m1"), "done stays done"
        await instance.drain()

    run_virtually(scenario())


def test_of_very_many_problems_the_first_are_logged() -> None:
    async def scenario() -> None:
        instance = Instance(TICK)
        await asyncio.sleep(1)
        instance.file.text = "version: 1\ncron:\n" + f"  - {BAD}\n" * 500
        await asyncio.sleep(10)
        (event,) = instance.recorded.of(events.CRON_INVALID)
        assert len(event["problems"]) == 21
        assert event["problems"][-1].endswith("more problems: run `sqsd check`")
        await instance.drain()

    run_virtually(scenario())
