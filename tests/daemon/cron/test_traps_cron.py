"""Traps of periodic tasks, where no other test shows how they are passed: pauses and clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sqsd.contract import events
from sqsd.cron.cron_yaml import parse_cron_yaml
from sqsd.cron.lease import LeaseRules
from sqsd.cron.scheduler import Scheduler
from sqsd.testing.clock import VirtualClock, run_virtually
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb
from tests.fakes.cron_fleet import EPOCH, TABLE, FakeSender, leader_table

MINUTELY = parse_cron_yaml(
    'version: 1\ncron:\n  - {name: tick, url: /tick, schedule: "* * * * *"}\n'
)


class Instance:
    """One scheduler of a fleet that shares a table and a queue."""

    def __init__(self, dynamodb: FakeDynamoDb, sender: FakeSender, identity: str) -> None:
        self.clock = VirtualClock(EPOCH)
        self.log = RecordingLog()
        table = leader_table(dynamodb, self.clock, self.log)
        self.scheduler = Scheduler(
            MINUTELY, table, sender, self.clock, self.log, LeaseRules(identity), spread=lambda: 0.5
        )
        self.running = asyncio.create_task(self.scheduler.run())

    async def drain(self) -> None:
        self.scheduler.drain()
        await self.running


def test_a_leader_that_slept_beyond_its_lease_after_a_claim_sends_nothing() -> None:
    async def scenario() -> None:
        dynamodb, sender = FakeDynamoDb(TABLE), FakeSender()
        sleeper = Instance(dynamodb, sender, "sleeper")
        await asyncio.sleep(50)
        sent_while_it_slept: list[int] = []

        async def sleep_after_the_claim(
            action: str, request: Mapping[str, Any], apply: Callable[[], Any]
        ) -> Any:
            answer = apply()
            if request.get("Item", {}).get("state") == {"S": "claimed"}:
                dynamodb.around = None
                sleeper.clock.offset += 60  # the whole machine stood still, and its clock went on
                asyncio.get_running_loop().call_later(
                    0.01, lambda: sent_while_it_slept.append(len(sender.sent))
                )
            return answer

        dynamodb.around = sleep_after_the_claim
        await asyncio.sleep(120)
        assert sent_while_it_slept == [0]
        assert sleeper.log.of(events.LEASE_LOST)
        # it competed again, and finished what it had claimed: each occurrence was sent once
        await sleeper.drain()
        times = sender.times("tick")
        assert times[0] == "2026-03-01 00:01:00 UTC"
        assert len(times) == len(set(times)) >= 2

    run_virtually(scenario())


@pytest.mark.parametrize("step", [-200, -20, 20, 200])
def test_a_wall_clock_that_steps_repeats_nothing_and_loses_nothing(step: int) -> None:
    async def scenario() -> None:
        sender = FakeSender()
        instance = Instance(FakeDynamoDb(TABLE), sender, "me")
        await asyncio.sleep(330)
        assert len(sender.sent) == 5
        instance.clock.skew += step  # it is corrected
        await asyncio.sleep(600)
        await instance.drain()
        times = sender.times("tick")
        assert times == sorted(set(times))
        minutes = [int(time[14:16]) for time in times]
        assert minutes == list(range(1, (930 + step) // 60 + 1))
        assert instance.log.of(events.CRON_MISSED) == []

    run_virtually(scenario())


def test_another_schedule_begins_a_task_anew_and_fires_nothing_for_the_past() -> None:
    async def scenario() -> None:
        dynamodb, sender = FakeDynamoDb(TABLE), FakeSender()
        old = Instance(dynamodb, sender, "old")
        await asyncio.sleep(90)
        # the new release has the task at other minutes, and takes over
        hourly = parse_cron_yaml(
            'version: 1\ncron:\n  - {name: tick, url: /tick, schedule: "*/5 * * * *"}\n'
        )
        log = RecordingLog()
        clock = VirtualClock(EPOCH)
        table = leader_table(dynamodb, clock, log)
        new = Scheduler(hourly, table, sender, clock, log, LeaseRules("new"), spread=lambda: 0.5)
        running = asyncio.create_task(new.run())
        await old.drain()
        await asyncio.sleep(540)
        new.drain()
        await running
        assert [time[14:16] for time in sender.times("tick")] == ["01", "05", "10"]
        assert log.of(events.CRON_MISSED) == []

    run_virtually(scenario())
