"""The leader table in DynamoDB: every write is conditional, every read strongly consistent.

Three kinds of items share the table's one key: `lease`, `task#NAME` and `run#NAME#TIME#NONCE`. The
first has no time-to-live, so that DynamoDB never deletes a lease. Only `GetItem`, `PutItem` and
`UpdateItem` are called. No call is repeated here: what a lost answer means is decided by the
callers' state machines.

No item is trusted to be of this daemon's making: what cannot be used is replaced by the next write,
which is conditional on what was read as every other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast, get_args

from sqsd.base.errors import AwsError, AwsUnreachable, SqsdError
from sqsd.contract import LEADER_TABLE_KEY, LEADER_TABLE_TTL, Occurrence, is_nonce
from sqsd.cron.lease import FREE, LEASE_ID, LEASE_SECONDS_MAX, UNKNOWN, LeaseRecord
from sqsd.cron.occurrence import (
    RUN_RETENTION,
    RunRecord,
    RunState,
    TaskRecord,
    TaskState,
    UnreadableTask,
    run_id,
    task_id,
)
from sqsd.cron.ports import TableApi
from sqsd.cron.table_log import TableLog

#: Error code of a write whose condition does not hold.
_REFUSED: Final = "ConditionalCheckFailedException"

#: Largest version or term that is believed; a larger one is replaced, for sums with it may fail.
_COUNTER_MAX: Final = 10**15
#: Years in which a time of an item can lie, so that sums with it stay in the calendar.
_YEARS: Final = range(1970, 9000)

_Result = TypeVar("_Result")
Item = Mapping[str, Mapping[str, Any]]


class DynamoDbLeaderTable:
    """Implements `ports.LeaderTable` on DynamoDB.

    Args:
        api: DynamoDB in the table's region.
        name: the table's name.
        table_log: logs the calls that fail.
        call_seconds: time after which a call is given up. Default: 2 s, as in Elastic Beanstalk.
    """

    def __init__(
        self, api: TableApi, name: str, table_log: TableLog, call_seconds: float = 2.0
    ) -> None:
        self._api = api
        self._name = name
        self._table_log = table_log
        self._call_seconds = call_seconds

    def within(self, seconds: float) -> DynamoDbLeaderTable:
        """Return the same table with calls that are given up after `seconds`."""
        return DynamoDbLeaderTable(self._api, self._name, self._table_log, seconds)

    # ---- the lease

    async def read_lease(self) -> LeaseRecord | None:
        """Return the lease, or None if there is no item."""
        return await self._get(LEASE_ID, lease_record)

    async def acquire_lease(
        self, holder: str, lease_seconds: float, seen: LeaseRecord | None
    ) -> LeaseRecord | None:
        """Make `holder` the holder in a new term if the item is as `seen`, or absent if None."""
        before = seen or LeaseRecord(version=0, term=0, holder=FREE, lease_seconds=lease_seconds)
        values = {
            "version": _number(before.version + 1),
            "term": _number(before.term + 1),
            "holder": {"S": holder},
            "lease_seconds": _number(lease_seconds),
        }
        condition = "attribute_not_exists(#key)"
        expected: dict[str, Mapping[str, Any]] = {}
        if seen is not None:
            counters = seen.unreadable or {
                "version": _number(seen.version),
                "term": _number(seen.term),
            }
            condition = " AND ".join(_unchanged(name, value) for name, value in counters.items())
            expected = {f":seen_{name}": value for name, value in counters.items() if value}
        return await self._update(
            LEASE_ID, _set(values), condition, values | expected, lease_record
        )

    async def renew_lease(self, holder: str, lease_seconds: float, term: int) -> LeaseRecord | None:
        """Add one to the lease's version if `holder` holds it in `term`."""
        values = {
            "lease_seconds": _number(lease_seconds),
            ":holder": {"S": holder},
            ":term": _number(term),
            ":one": _number(1),
        }
        return await self._update(
            LEASE_ID,
            "SET #version = #version + :one, #lease_seconds = :lease_seconds",
            "#holder = :holder AND #term = :term",
            values,
            lease_record,
        )

    async def release_lease(self, holder: str, term: int) -> bool:
        """Free the lease if `holder` holds it in `term`."""
        values = {
            ":free": {"S": FREE},
            ":holder": {"S": holder},
            ":term": _number(term),
            ":one": _number(1),
        }
        freed = await self._update(
            LEASE_ID,
            "SET #holder = :free, #version = #version + :one",
            "#holder = :holder AND #term = :term",
            values,
            lease_record,
        )
        return freed is not None

    # ---- tasks

    async def read_task(self, name: str) -> TaskRecord | UnreadableTask | None:
        """Return a task's item, or None if there is none."""
        return await self._get(task_id(name), _task)

    async def write_task(
        self, name: str, record: TaskRecord, expected_version: int | UnreadableTask | None
    ) -> bool:
        """Write a task's item if it has the expected version; None: if none exists."""
        request: dict[str, Any] = {
            "Item": {LEADER_TABLE_KEY: {"S": task_id(name)}, **_task_values(record)},
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": LEADER_TABLE_KEY},
        }
        if expected_version is not None:
            version = (
                expected_version.raw_version
                if isinstance(expected_version, UnreadableTask)
                else _number(expected_version)
            )
            request["ConditionExpression"] = _unchanged("version", version)
            request["ExpressionAttributeNames"] = {"#version": "version"}
            if version is not None:
                request["ExpressionAttributeValues"] = {":seen_version": version}
        return await self._call("PutItem", request, lambda _: True) or False

    # ---- occurrences

    async def read_run(self, occurrence: Occurrence) -> RunRecord | None:
        """Return the item of an occurrence, or None if there is none."""
        return await self._get(run_id(occurrence), _run)

    async def dispatch_run(
        self, occurrence: Occurrence, message_id: str, now: datetime, seen: RunRecord | None
    ) -> bool:
        """Record that the message `message_id` of an occurrence is dispatched.

        The condition without `seen`: no other message was dispatched, and this one is not done.
        With it: the item still names the message of `seen`, and is not done.
        """
        values = _run_values(message_id, "dispatched", now)
        expected: dict[str, Mapping[str, Any]] = {
            ":known": {"S": seen.message_id if seen else message_id},
            ":done": {"S": "done"},
        }
        condition = "#message_id = :known AND #state <> :done"
        if seen is None:
            condition = f"attribute_not_exists(#key) OR ({condition})"
        key = run_id(occurrence)
        written = await self._update(key, _set(values), condition, values | expected, _run)
        return written is not None

    async def finish_run(
        self, occurrence: Occurrence, message_id: str, now: datetime, *, done: bool
    ) -> None:
        """Record that a message was answered with 200 (`done`), or that no attempt will follow.

        The latter also for a message that was never dispatched, but not over the record of another.
        """
        values = _run_values(message_id, "done" if done else "abandoned", now)
        setting, condition = _set(values), None
        if not done:
            condition = "#message_id = :message_id AND #state <> :done"
            condition = f"attribute_not_exists(#key) OR ({condition})"
            values |= {":done": {"S": "done"}}
        await self._update(run_id(occurrence), setting, condition, values, _run)

    # ---- calls

    async def _get(self, key: str, parse: Callable[[Item], _Result | None]) -> _Result | None:
        request = {"Key": {LEADER_TABLE_KEY: {"S": key}}, "ConsistentRead": True}

        def parse_item(answer: Mapping[str, Any]) -> _Result | None:
            item = answer.get("Item")
            return parse(item) if item else None

        return await self._call("GetItem", request, parse_item)

    async def _update(
        self,
        key: str,
        expression: str,
        condition: str | None,
        values: Item,
        parse: Callable[[Item], _Result | None],
    ) -> _Result | None:
        """Make one `UpdateItem`; return the item after it, or None if `condition` did not hold.

        Args:
            values: the expressions' values, by name with or without the colon.
        """
        request: dict[str, Any] = {
            "Key": {LEADER_TABLE_KEY: {"S": key}},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": _names(f"{expression} {condition}"),
            "ExpressionAttributeValues": {
                f":{name.removeprefix(':')}": value for name, value in values.items()
            },
            "ReturnValues": "ALL_NEW",
        }
        if condition is not None:
            request["ConditionExpression"] = condition
        return await self._call("UpdateItem", request, lambda answer: parse(answer["Attributes"]))

    async def _call(
        self,
        action: str,
        request: dict[str, Any],
        parse: Callable[[Mapping[str, Any]], _Result | None],
    ) -> _Result | None:
        """Make one call; return the parsed answer, or None if the condition did not hold."""
        try:
            result = await self._parsed_answer(action, request, parse)
        except SqsdError as error:
            self._table_log.failed(error)
            raise
        self._table_log.succeeded(action)
        return result

    async def _parsed_answer(
        self,
        action: str,
        request: dict[str, Any],
        parse: Callable[[Mapping[str, Any]], _Result | None],
    ) -> _Result | None:
        request["TableName"] = self._name
        try:
            answer = await self._api.call(action, request, timeout=self._call_seconds)
        except AwsError as error:
            if error.code == _REFUSED:
                return None
            raise
        try:
            return parse(answer)
        except (KeyError, ValueError) as error:
            reason = f"an item is not of this daemon's making ({error!r}): {answer!r:.200}"
            raise AwsUnreachable(action, reason) from error


def _names(expressions: str) -> dict[str, str]:
    """Return each `#name` of the expressions as itself, for DynamoDB reserves some of our names."""
    tokens = {token.strip("(),") for token in expressions.split() if "#" in token}
    names = {token[token.index("#") + 1 :] for token in tokens}
    return {f"#{name}": LEADER_TABLE_KEY if name == "key" else name for name in names}


def _set(values: Item) -> str:
    return "SET " + ", ".join(f"#{name} = :{name}" for name in values)


def _number(value: float) -> dict[str, str]:
    return {"N": repr(value)}


def _unchanged(name: str, value: Mapping[str, Any] | None) -> str:
    """Return the condition that an attribute is as it was read: `value`, or None if it was not."""
    return f"attribute_not_exists(#{name})" if value is None else f"#{name} = :seen_{name}"


# ---- items; a program with access to the table may have written anything


def lease_record(item: Item) -> LeaseRecord:
    """Read the lease from its item; what no daemon of ours wrote is replaced by safe values."""
    version, term = _counter(item.get("version")), _counter(item.get("term"))
    readable = version is not None and term is not None
    return LeaseRecord(
        version=version or 0,
        term=term or 0,
        holder=UNKNOWN if (holder := _text(item, "holder")) is None else holder,
        lease_seconds=_lease_seconds(item),
        unreadable=None if readable else {name: item.get(name) for name in ("version", "term")},
    )


def _lease_seconds(item: Item) -> float:
    try:
        seconds = float(item["lease_seconds"]["N"])
    except (KeyError, ValueError):
        return LEASE_SECONDS_MAX
    return seconds if 0 < seconds <= LEASE_SECONDS_MAX else LEASE_SECONDS_MAX


def _counter(value: Mapping[str, Any] | None) -> int | None:
    """Return a version or a term, or None if it is none that this daemon wrote."""
    try:
        number = int(value["N"]) if value is not None else -1
    except (KeyError, ValueError):
        return None
    return number if 0 <= number <= _COUNTER_MAX else None


def _text(item: Item, name: str) -> str | None:
    value = item.get(name, {}).get("S")
    return value if isinstance(value, str) else None


def _time(item: Item, name: str) -> datetime | None:
    """Return a time in UTC, or None if there is none that this daemon can have written."""
    try:
        time = datetime.fromisoformat(_text(item, name) or "")
        known = time.tzinfo is not None and time.year in _YEARS
    except ValueError:
        return None
    return time.astimezone(UTC) if known else None


def _nonce(item: Item, name: str) -> str | None:
    text = _text(item, name)
    return text if text is not None and is_nonce(text) else None


def _task_values(record: TaskRecord) -> dict[str, Mapping[str, Any]]:
    values: dict[str, Mapping[str, Any]] = {
        "version": _number(record.version),
        "schedule": {"S": record.schedule},
        "cursor": {"S": record.cursor.isoformat()},
        "state": {"S": record.state},
        "claimant": {"S": record.claimant},
        LEADER_TABLE_TTL: _number(record.expires_at),
    }
    if record.nonce is not None:
        values["nonce"] = {"S": record.nonce}
    if record.sent_nonce is not None:
        values["sent_nonce"] = {"S": record.sent_nonce}
    if record.sent is not None:
        values["sent"] = {"S": record.sent.isoformat()}
    if record.sent_at is not None:
        values["sent_at"] = {"S": record.sent_at.isoformat()}
    return values


def _task(item: Item) -> TaskRecord | UnreadableTask:
    version, cursor = _counter(item.get("version")), _time(item, "cursor")
    schedule, claimant = _text(item, "schedule"), _text(item, "claimant")
    state = _text(item, "state")
    if (
        version is None
        or cursor is None
        or schedule is None
        or claimant is None
        or state not in get_args(TaskState)
    ):
        return UnreadableTask(version, item.get("version"), f"{dict(item)!r:.200}")
    return TaskRecord(
        version=version,
        schedule=schedule,
        cursor=cursor,
        state=cast("TaskState", state),
        claimant=claimant,
        expires_at=_counter(item.get(LEADER_TABLE_TTL)) or 0,
        nonce=_nonce(item, "nonce"),
        sent_nonce=_nonce(item, "sent_nonce"),
        sent=_time(item, "sent"),
        sent_at=_time(item, "sent_at"),
    )


def _run_values(message_id: str, state: str, now: datetime) -> dict[str, Mapping[str, Any]]:
    return {
        "message_id": {"S": message_id},
        "state": {"S": state},
        "dispatched_at": {"S": now.isoformat()},
        LEADER_TABLE_TTL: _number(int((now + RUN_RETENTION).timestamp())),
    }


def _run(item: Item) -> RunRecord | None:
    """Return the item of an occurrence, or None if it says nothing that can be used."""
    message_id, dispatched_at = _text(item, "message_id"), _time(item, "dispatched_at")
    state = _text(item, "state")
    if message_id is None or dispatched_at is None:
        return None
    if state not in get_args(RunState):
        return None
    return RunRecord(
        message_id=message_id, state=cast("RunState", state), dispatched_at=dispatched_at
    )
