"""The leader table's items and conditions, on the fake and on the embedded AWS: both must agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sqsd.aws.ports import AwsApi
from sqsd.base.errors import AwsError
from sqsd.contract import LEADER_TABLE_ACTIONS, LEADER_TABLE_TTL, Occurrence
from sqsd.cron.cron_yaml import parse_cron_yaml
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.lease import (
    FREE,
    LEASE_ID,
    LEASE_SECONDS_MAX,
    UNKNOWN,
    LeaseRecord,
    LeaseRules,
    LeaseSettings,
)
from sqsd.cron.occurrence import RunRecord, TaskRecord
from sqsd.cron.scheduler import Scheduler
from sqsd.cron.table import DynamoDbLeaderTable
from sqsd.cron.table_log import TableLog
from sqsd.testing.log import RecordingLog
from sqsd.testing.table import FakeDynamoDb
from tests.fakes.cron_fleet import FakeSender

TABLE = "Leaders"
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NOON_OF_T = Occurrence("t", NOON, "0" * 32)


class OverBoto:
    """`ports.AwsApi` over botocore's own client, to compare with; refuses what our role may not."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        assert f"dynamodb:{action}" in LEADER_TABLE_ACTIONS
        try:
            answer: dict[str, Any] = await asyncio.to_thread(
                self._client._make_api_call, action, dict(request)
            )
        except ClientError as error:
            response = error.response
            status = response["ResponseMetadata"]["HTTPStatusCode"]
            code, message = response["Error"]["Code"], response["Error"]["Message"]
            raise AwsError(action, code, message, status) from error
        return answer


@pytest.fixture(params=["fake", pytest.param("local_aws", marks=pytest.mark.local_aws)])
def api(request: pytest.FixtureRequest) -> Iterator[AwsApi]:
    if request.param == "fake":
        yield FakeDynamoDb(TABLE)
        return
    aws = request.getfixturevalue("fresh_aws")
    client = aws.client("dynamodb")
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield OverBoto(client)


@pytest.fixture
def table(api: AwsApi) -> DynamoDbLeaderTable:
    return made(api)


def made(api: AwsApi, name: str = TABLE, call_seconds: float = 2.0) -> DynamoDbLeaderTable:
    log = TableLog(name, RealClock(), RecordingLog(), lambda code: None)
    return DynamoDbLeaderTable(api, name, log, call_seconds)


# ---- the lease


async def test_only_one_of_two_gets_a_lease_that_is_not_held(table: DynamoDbLeaderTable) -> None:
    assert await table.read_lease() is None
    first = await table.acquire_lease("a", 10.0, None)
    assert first is not None
    assert (first.holder, first.term, first.version, first.lease_seconds) == ("a", 1, 1, 10.0)
    assert await table.acquire_lease("b", 10.0, None) is None
    assert await table.read_lease() == first


async def test_a_lease_is_acquired_only_as_it_was_seen(table: DynamoDbLeaderTable) -> None:
    seen = await table.acquire_lease("a", 10.0, None)
    assert await table.renew_lease("a", 10.0, 1)
    assert await table.acquire_lease("b", 10.0, seen) is None
    seen = await table.read_lease()
    taken = await table.acquire_lease("b", 7.5, seen)
    assert taken is not None
    assert (taken.holder, taken.term, taken.version, taken.lease_seconds) == ("b", 2, 3, 7.5)


async def test_only_the_holder_of_the_term_renews_and_releases(table: DynamoDbLeaderTable) -> None:
    await table.acquire_lease("a", 10.0, None)
    assert await table.renew_lease("b", 10.0, 1) is None
    assert await table.renew_lease("a", 10.0, 2) is None
    assert not await table.release_lease("b", 1)
    assert not await table.release_lease("a", 2)
    renewed = await table.renew_lease("a", 12.0, 1)
    assert renewed is not None
    assert (renewed.version, renewed.lease_seconds) == (2, 12.0)
    assert await table.release_lease("a", 1)
    free = await table.read_lease()
    assert free is not None
    assert (free.holder, free.version) == (FREE, 3)
    assert await table.renew_lease("a", 10.0, 1) is None


async def test_a_lease_that_a_daemon_with_a_census_wrote_is_read_renewed_and_acquired(
    table: DynamoDbLeaderTable, api: AwsApi
) -> None:
    # given the item of a daemon that counted its followers
    numbers = {"version": 7, "term": 3, "lease_seconds": 10, "epoch": 2, "fleet": 4, "census": 1}
    item = {"id": {"S": LEASE_ID}, "holder": {"S": "old"}}
    item |= {name: {"N": str(number)} for name, number in numbers.items()}
    await api.call("PutItem", {"TableName": TABLE, "Item": item}, timeout=2)
    # then it is a lease like any other
    seen = await table.read_lease()
    assert seen == LeaseRecord(version=7, term=3, holder="old", lease_seconds=10.0)
    taken = await table.acquire_lease("new", 10.0, seen)
    assert taken == LeaseRecord(version=8, term=4, holder="new", lease_seconds=10.0)
    assert await table.renew_lease("new", 10.0, 4) == replace(taken, version=9)
    # and what the old daemon counted stays for other daemons like it
    request = {"TableName": TABLE, "Key": {"id": {"S": LEASE_ID}}}
    left = (await api.call("GetItem", request, timeout=2))["Item"]
    assert {name: int(left[name]["N"]) for name in ("epoch", "fleet", "census")} == {
        "epoch": 2,
        "fleet": 4,
        "census": 1,
    }


async def test_the_lease_has_no_time_to_live(table: DynamoDbLeaderTable, api: AwsApi) -> None:
    await table.acquire_lease("a", 10.0, None)
    request = {"TableName": TABLE, "Key": {"id": {"S": LEASE_ID}}}
    item = (await api.call("GetItem", request, timeout=2))["Item"]
    assert LEADER_TABLE_TTL not in item


# ---- tasks

CURSOR = TaskRecord(
    version=1,
    schedule="* * * * * UTC",
    cursor=NOON.replace(microsecond=123456),
    state="idle",
    claimant="a",
    expires_at=1_800_000_000,
)


async def test_a_tasks_record_comes_back_as_it_was_written(table: DynamoDbLeaderTable) -> None:
    assert await table.read_task("t") is None
    assert await table.write_task("t", CURSOR, None)
    assert await table.read_task("t") == CURSOR
    full = replace(CURSOR, version=2, state="sent", sent=NOON, sent_at=NOON)
    assert await table.write_task("t", full, 1)
    assert await table.read_task("t") == full
    assert await table.read_task("lease") is None


async def test_of_two_claims_over_one_version_one_is_refused(table: DynamoDbLeaderTable) -> None:
    await table.write_task("t", CURSOR, None)
    assert not await table.write_task("t", CURSOR, None)
    claims = [replace(CURSOR, version=2, state="claimed", claimant=name) for name in "ab"]
    won = await asyncio.gather(*(table.write_task("t", claim, 1) for claim in claims))
    assert sorted(won) == [False, True]


# ---- occurrences


async def test_the_first_message_of_an_occurrence_is_recorded_and_others_are_refused(
    table: DynamoDbLeaderTable,
) -> None:
    assert await table.dispatch_run(NOON_OF_T, "m1", NOON, None)
    assert await table.dispatch_run(NOON_OF_T, "m1", NOON, None)
    assert not await table.dispatch_run(NOON_OF_T, "m2", NOON, None)
    run = await table.read_run(NOON_OF_T)
    assert run == RunRecord(message_id="m1", state="dispatched", dispatched_at=NOON)
    assert await table.dispatch_run(NOON_OF_T, "m2", NOON, run), "taken over as it was read"
    assert not await table.dispatch_run(NOON_OF_T, "m3", NOON, run)


async def test_what_is_done_is_dispatched_never_again(table: DynamoDbLeaderTable) -> None:
    await table.dispatch_run(NOON_OF_T, "m1", NOON, None)
    await table.finish_run(NOON_OF_T, "m1", NOON, done=True)
    assert not await table.dispatch_run(NOON_OF_T, "m1", NOON, None)
    await table.finish_run(NOON_OF_T, "m1", NOON, done=False)
    run = await table.read_run(NOON_OF_T)
    assert run is not None
    assert run.state == "done", "giving up cannot undo an answer"


async def test_an_answer_is_recorded_even_if_its_dispatch_was_not(
    table: DynamoDbLeaderTable,
) -> None:
    await table.finish_run(NOON_OF_T, "m1", NOON, done=True)
    assert not await table.dispatch_run(NOON_OF_T, "m2", NOON, None)


async def test_items_of_occurrences_expire(table: DynamoDbLeaderTable, api: AwsApi) -> None:
    await table.dispatch_run(NOON_OF_T, "m1", NOON, None)
    key = {"id": {"S": f"run#t#2026-03-01 12:00:00 UTC#{NOON_OF_T.nonce}"}}
    item = (await api.call("GetItem", {"TableName": TABLE, "Key": key}, timeout=2))["Item"]
    assert float(item[LEADER_TABLE_TTL]["N"]) == NOON.timestamp() + 15 * 86_400


# ---- errors


async def test_a_missing_table_is_an_error_that_says_so(api: AwsApi) -> None:
    with pytest.raises(AwsError) as caught:
        await made(api, "Nothing").read_lease()
    assert caught.value.code == "ResourceNotFoundException"


async def test_an_item_of_another_program_is_replaced(
    table: DynamoDbLeaderTable, api: AwsApi
) -> None:
    # given an item under our key that another program wrote
    foreign = {"id": {"S": LEASE_ID}, "leader_id": {"S": "i-1.0000000001"}}
    request = {
        "TableName": TABLE,
        "Item": foreign,
        "ConditionExpression": "attribute_not_exists(#key)",
        "ExpressionAttributeNames": {"#key": "id"},
    }
    await api.call("PutItem", request, timeout=2)
    # when it is read, and acquired as it was read
    seen = await table.read_lease()
    assert seen is not None
    assert (seen.holder, seen.lease_seconds) == (UNKNOWN, LEASE_SECONDS_MAX)
    acquired = await table.acquire_lease("me", 10.0, seen)
    # then the lease is ours, once
    assert acquired is not None
    assert (acquired.holder, acquired.version, acquired.unreadable) == ("me", 1, None)
    assert await table.acquire_lease("other", 10.0, seen) is None


# ---- all of it in real time


class RealClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - real processes, real time, nothing to wait on
        await asyncio.sleep(0.05)


async def test_two_schedulers_send_each_second_once_though_the_leader_dies(api: AwsApi) -> None:
    tasks = parse_cron_yaml(
        'version: 1\ncron:\n  - {name: each second, url: /s, schedule: "@every 1s"}\n'
    )
    settings = LeaseSettings(
        lease_seconds=2.0,
        renew_seconds=0.6,
        call_seconds=0.5,
        margin_seconds=0.4,
        read_seconds=0.4,
    )
    table, clock, log = made(api, call_seconds=0.5), RealClock(), RecordingLog()
    senders = [FakeSender(), FakeSender()]
    schedulers = [
        Scheduler(tasks, table, sender, clock, log, LeaseRules(name, settings))
        for name, sender in zip("ab", senders, strict=True)
    ]
    running = [asyncio.create_task(scheduler.run()) for scheduler in schedulers]
    async with asyncio.timeout(30):
        await until(lambda: len(senders[0].sent) + len(senders[1].sent) >= 2)
        leader = 0 if schedulers[0].status().leader else 1
        running[leader].cancel()  # as kill -9: the lease is not released
        await until(lambda: len(senders[1 - leader].sent) >= 4)
        schedulers[1 - leader].drain()
        await running[1 - leader]
    # each is sent; at most one twice, if its sender died before it could mark it
    all_sent = [*senders[0].times(), *senders[1].times()]
    sent = sorted(set(all_sent))
    assert len(all_sent) - len(sent) <= 1
    seconds = [
        datetime.strptime(time, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC) for time in sent
    ]
    assert {(b - a).total_seconds() for a, b in pairwise(seconds)} == {1.0}
    guard = DuplicateGuard(tasks, table, clock)
    first = Occurrence("each second", seconds[0], "0" * 32)
    assert not await guard.is_duplicate(first, "m1")
    await guard.completed(first, "m1")
    assert await guard.is_duplicate(first, "m2")
    with pytest.raises(asyncio.CancelledError):
        await running[leader]
