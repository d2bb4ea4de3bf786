"""A fleet of schedulers in virtual time, with one table and one queue, whose members die and pause.

The queue delivers each message to any member that is up, sometimes twice; a member asks its guard
and POSTs. What the application saw is in `answered`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqsd.aws.hints import hint_for_leader_table
from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.base.ports import Clock, EventLog
from sqsd.contract import (
    ATTRIBUTE_NONCE,
    ATTRIBUTE_SCHEDULED_TIME,
    ATTRIBUTE_TASK_NAME,
    SCHEDULED_TIME_FORMAT,
    Occurrence,
)
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.lease import LeaseRules
from sqsd.cron.ports import TableApi
from sqsd.cron.schedule import Schedule
from sqsd.cron.scheduler import Scheduler
from sqsd.cron.table import DynamoDbLeaderTable
from sqsd.cron.table_log import TableLog
from sqsd.testing.clock import VirtualClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb

EPOCH = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
TABLE = "Leaders"


def leader_table(api: TableApi, clock: Clock, log: EventLog) -> DynamoDbLeaderTable:
    """The table as a daemon makes it, on `api`."""
    hint = partial(hint_for_leader_table, table=TABLE)
    return DynamoDbLeaderTable(api, TABLE, TableLog(TABLE, clock, log, hint))


def occurrence_sent(message: Mapping[str, Any]) -> Occurrence:
    """What a scheduler's message was sent for."""
    attributes = message["attributes"]
    time = attributes[ATTRIBUTE_SCHEDULED_TIME]
    due = datetime.strptime(time, SCHEDULED_TIME_FORMAT).replace(tzinfo=UTC)
    return Occurrence(attributes[ATTRIBUTE_TASK_NAME], due, attributes[ATTRIBUTE_NONCE])


class FakeSender:
    """`ports.Sender` in memory."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.error: Exception | None = None

    async def send(self, **message: Any) -> str:
        if self.error is not None:
            raise self.error
        self.sent.append(message)
        return f"message-{len(self.sent)}"

    def occurrence(self, number: int = 0) -> Occurrence:
        """What the message with that number, from 0, was sent for."""
        return occurrence_sent(self.sent[number])

    def times(self, task: str | None = None) -> list[str]:
        return [
            message["attributes"][ATTRIBUTE_SCHEDULED_TIME]
            for message in self.sent
            if task in (None, message["attributes"][ATTRIBUTE_TASK_NAME])
        ]


class Faults:
    """How often a call is slow, fails before it is made, or after."""

    def __init__(self, chance: random.Random, share: float = 0.0) -> None:
        self.chance = chance
        self.share = share

    async def __call__(
        self, action: str, request: Mapping[str, Any], apply: Callable[[], Any]
    ) -> Any:
        await asyncio.sleep(self.chance.uniform(0.004, 0.04))
        if self.chance.random() >= self.share:
            return apply()
        match self.chance.randrange(4):
            case 0:
                raise AwsError(action, "ThrottlingException", "slow down", 400)
            case 1:
                raise AwsError(action, "InternalServerError", "try again", 500)
            case 2:
                await asyncio.sleep(60.0)  # hangs, until the caller gives up
                raise AwsUnreachable(action, "never made")
            case _:
                apply()  # made, but its answer is lost
                if self.chance.random() < 0.5:
                    raise AwsUnreachable(action, "connection cut")
                return await asyncio.sleep(60.0)


class Member:
    """One daemon: its calls go through a gate that a pause shuts and a kill shuts for good."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        self.fleet = fleet
        self.name = f"i-{number}"
        self._go = asyncio.Event()
        self._go.set()
        self.alive = True
        self.log = RecordingLog()
        chance = fleet.chance
        self.clock = VirtualClock(
            EPOCH,
            offset=chance.uniform(0, 1e6),
            rate=1 + chance.uniform(-fleet.uneven, fleet.uneven),
            skew=chance.uniform(-fleet.skew, fleet.skew),
        )
        table = leader_table(self, self, self.log)
        self.scheduler = Scheduler(
            fleet.schedule, table, self, self, self.log, LeaseRules(self.name), spread=chance.random
        )
        self.guard = DuplicateGuard(fleet.schedule, table, self)
        self.running = asyncio.create_task(self.scheduler.run())

    def kill(self) -> None:
        """kill -9: nothing of it happens any more, but calls already on the wire arrive."""
        self.alive = False
        self._go.clear()

    def pause(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        if self.alive:
            self._go.set()

    @property
    def up(self) -> bool:
        return self._go.is_set()

    async def _gated(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Stopped before the call or while it is on the wire, but never half-way of it."""
        if not self._go.is_set():
            await self._go.wait()
        try:
            return await call
        finally:
            if not self._go.is_set():
                await self._go.wait()

    # the ports, all of which pass the gate

    def monotonic(self) -> float:
        return self.clock.monotonic()

    def time(self) -> float:
        return self.clock.time()

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        if not self._go.is_set():
            await self._go.wait()

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        answer: dict[str, Any] = await self._gated(
            self.fleet.dynamodb.call(action, request, timeout=timeout)
        )
        return answer

    async def send(self, **message: Any) -> str:
        message_id: str = await self._gated(self.fleet.take(message))
        return message_id


class Fleet:
    """Members, their table, their queue and their application.

    Args:
        faults: share of the table's calls that fail, a quarter of it of SQS's answers.
        skew: seconds by which wall clocks may be wrong.
        uneven: by which the rates of monotonic clocks may be wrong.
    """

    def __init__(
        self,
        schedule: Schedule,
        size: int,
        seed: int,
        *,
        faults: float = 0.0,
        skew: float = 0.0,
        uneven: float = 0.03,
    ) -> None:
        self.schedule = schedule
        self.skew = skew
        self.uneven = uneven
        self.chance = random.Random(seed)
        self.dynamodb = FakeDynamoDb(TABLE)
        self.dynamodb.around = Faults(self.chance, faults)
        self.lose_sends = faults
        self.sent: list[tuple[str, float]] = []
        self.answered: Counter[str] = Counter()
        self.suppressed = 0
        self._born = 0
        self._deliveries: set[asyncio.Task[None]] = set()
        self.dead: list[Member] = []
        self.members = [self.born() for _ in range(size)]

    def born(self) -> Member:
        self._born += 1
        return Member(self, self._born)

    def replace(self, member: Member) -> None:
        """A new instance instead of a killed one."""
        self.dead.append(member)
        self.members[self.members.index(member)] = self.born()

    def leader(self) -> Member | None:
        holders = [member for member in self.members if member.scheduler.status().leader]
        assert len(holders) <= 1, f"two hold the lease: {[member.name for member in holders]}"
        return holders[0] if holders else None

    async def take(self, message: dict[str, Any]) -> str:
        """SQS takes a message, and delivers it; the sender may never hear of it."""
        await asyncio.sleep(self.chance.uniform(0.005, 0.05))
        time = str(message["attributes"][ATTRIBUTE_SCHEDULED_TIME])
        now = asyncio.get_running_loop().time()
        self.sent.append((time, now))
        message_id = f"m-{len(self.sent)}"
        delivery = asyncio.create_task(self._deliver(message, message_id, now))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)
        if self.chance.random() < self.lose_sends / 4:
            await asyncio.sleep(10.0)
            raise AwsUnreachable("SendMessage", "the answer was lost")
        return message_id

    async def _deliver(self, message: dict[str, Any], message_id: str, sent: float) -> None:
        """Deliver until one that is up answers; a member that dies meanwhile answers nothing."""
        time = message["attributes"][ATTRIBUTE_SCHEDULED_TIME]
        occurrence = occurrence_sent(message)
        sent_at = int((EPOCH + sent) * 1000)
        while True:
            await asyncio.sleep(self.chance.uniform(0.01, 0.5))
            member = self.chance.choice([m for m in self.members if m.up] or [None])
            if member is None:
                continue
            asked = asyncio.ensure_future(
                member.guard.is_duplicate(occurrence, message_id, sent_at)
            )
            await asyncio.wait([asked], timeout=30)
            if not asked.done() or not member.up:
                asked.cancel()
                continue  # its visibility ran out
            if asked.result():
                self.suppressed += 1
                return
            self.answered[time] += 1
            completing = asyncio.ensure_future(member.guard.completed(occurrence, message_id))
            await asyncio.wait([completing], timeout=30)
            # Now and then the delete is lost, and the message comes again when it is visible.
            if completing.done() and self.chance.random() < 0.02:
                await asyncio.sleep(30)
                continue
            completing.cancel()
            return

    async def end(self) -> None:
        """Let what is under way arrive, then stop everything."""
        while self._deliveries:
            await asyncio.wait(list(self._deliveries))
        everyone = [*self.members, *self.dead]
        for member in everyone:
            member.running.cancel()
            # So that the dead, too, can leave; all they may still do is to be cancelled.
            member._go.set()
        await asyncio.gather(*(member.running for member in everyone), return_exceptions=True)
