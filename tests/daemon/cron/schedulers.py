"""A scheduler in virtual time, before a table and a queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sqsd.contract import Occurrence
from sqsd.cron.cron_yaml import parse_cron_yaml
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.lease import LeaseRules
from sqsd.cron.schedule import Schedule
from sqsd.cron.scheduler import Scheduler
from sqsd.testing.clock import VirtualClock, run_virtually
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb
from tests.fakes.cron_fleet import EPOCH, TABLE, FakeSender, leader_table


def schedule(*tasks: str) -> Schedule:
    return parse_cron_yaml("version: 1\ncron:\n" + "".join(f"  - {{{task}}}\n" for task in tasks))


MINUTELY = schedule('name: tick, url: /tick, schedule: "* * * * *"')


class Tier:
    """One scheduler and what surrounds it; make it inside the virtual loop."""

    def __init__(self, tasks: Schedule = MINUTELY, **options: Any) -> None:
        self.dynamodb = options.pop("dynamodb", None) or FakeDynamoDb(TABLE)
        self.sender = FakeSender()
        self.log = RecordingLog()
        self.clock = VirtualClock(EPOCH)
        table = leader_table(self.dynamodb, self.clock, self.log)
        rules = LeaseRules(options.pop("identity", "me"))
        self.guard = DuplicateGuard(tasks, table, self.clock)
        self.scheduler = Scheduler(
            tasks, table, self.sender, self.clock, self.log, rules, spread=lambda: 0.5, **options
        )
        self.running = asyncio.create_task(self.scheduler.run())

    async def drain(self) -> None:
        self.scheduler.drain()
        await self.running


def virtually(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    run_virtually(main())


def due(minute: int) -> datetime:
    return datetime.fromtimestamp(EPOCH + minute * 60, UTC)


#: Nonce of messages that no scheduler of a test sent.
NONCE = "0" * 32


def sent_for(minute: int, nonce: str = NONCE, task: str = "tick") -> Occurrence:
    """What a message of the task at that minute was sent for."""
    return Occurrence(task, due(minute), nonce)
