"""The leader table in DynamoDB: every write is conditional, every read strongly consistent.

Three kinds of items share the table's one key: `lease`, `task#NAME` and `run#NAME#TIME`. The
first has no time-to-live, so that DynamoDB never deletes a lease. Only `GetItem`, `PutItem` and
`UpdateItem` are called. No call is repeated here: what a lost answer means is for the callers'
state machines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from sqsd.aws.ports import AwsApi
from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.contract import LEADER_TABLE_KEY, LEADER_TABLE_TTL
from sqsd.cron.lease import FREE, LEASE_ID, LeaseRecord
from sqsd.cron.occurrence import RUN_KEPT, RunRecord, TaskRecord, run_id, task_id

_REFUSED: Final = "ConditionalCheckFailedException"

_Record = TypeVar("_Record")
Item = Mapping[str, Mapping[str, Any]]


class DynamoDbLeaderTable:
    """`ports.LeaderTable` on DynamoDB.

    Args:
        api: DynamoDB in the table's region.
        table: the table's name.
        call_seconds: after which a call is given up; EB's 2 s.

    All methods raise `AwsError` or `AwsUnreachable`; a condition that does not hold is an answer.
    """

    def __init__(self, api: AwsApi, table: str, call_seconds: float = 2.0) -> None:
        self._api, self.name, self._call_seconds = api, table, call_seconds

    def within(self, seconds: float) -> DynamoDbLeaderTable:
        """The same table, whose calls are given up after so many seconds."""
        return DynamoDbLeaderTable(self._api, self.name, seconds)

    # ---- the lease

    async def read_lease(self) -> LeaseRecord | None:
        item = await self._get(LEASE_ID)
        return _parsed(_lease, item)

    async def acquire_lease(
        self, holder: str, lease_seconds: float, seen: LeaseRecord | None
    ) -> LeaseRecord | None:
        """Become the holder if the item is as `seen`; None: if there is no item."""
        before = seen or LeaseRecord(version=0, term=0, holder=FREE, lease_seconds=0)
        values = {
            "version": _number(before.version + 1),
            "term": _number(before.term + 1),
            "holder": {"S": holder},
            "lease_seconds": _number(lease_seconds),
        }
        condition = "attribute_not_exists(#key)"
        expected: dict[str, Mapping[str, Any]] = {}
        if seen is not None:
            condition = "#version = :seen_version AND #term = :seen_term"
            expected = {":seen_version": _number(seen.version), ":seen_term": _number(seen.term)}
        changed = await self._update(LEASE_ID, _set(values), condition, values, expected)
        return _parsed(_lease, changed)

    async def renew_lease(self, holder: str, lease_seconds: float, term: int) -> LeaseRecord | None:
        """Renew the lease if `holder` still holds it in `term`."""
        changed = await self._update(
            LEASE_ID,
            "SET #version = #version + :one, #lease_seconds = :lease_seconds",
            "#holder = :holder AND #term = :term",
            {"lease_seconds": _number(lease_seconds)},
            {":one": _number(1), ":holder": {"S": holder}, ":term": _number(term)},
        )
        return _parsed(_lease, changed)

    async def release_lease(self, holder: str, term: int) -> bool:
        """Free the lease if still holder in `term`."""
        expected = {
            ":free": {"S": FREE},
            ":holder": {"S": holder},
            ":term": _number(term),
            ":one": _number(1),
        }
        changed = await self._update(
            LEASE_ID,
            "SET #holder = :free, #version = #version + :one",
            "#holder = :holder AND #term = :term",
            {},
            expected,
        )
        return changed is not None

    # ---- tasks

    async def read_task(self, name: str) -> TaskRecord | None:
        item = await self._get(task_id(name))
        return _parsed(_task, item)

    async def write_task(self, name: str, record: TaskRecord, over: int | None) -> bool:
        """Put `record` if the item's version is `over`; None: if there is no item."""
        request: dict[str, Any] = {
            "Item": {LEADER_TABLE_KEY: {"S": task_id(name)}, **_task_values(record)},
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": LEADER_TABLE_KEY},
        }
        if over is not None:
            request["ConditionExpression"] = "#version = :over"
            request["ExpressionAttributeNames"] = {"#version": "version"}
            request["ExpressionAttributeValues"] = {":over": _number(over)}
        return await self._conditional("PutItem", request) is not None

    # ---- occurrences

    async def read_run(self, name: str, time: datetime) -> RunRecord | None:
        item = await self._get(run_id(name, time))
        return _parsed(_run, item)

    async def dispatch_run(
        self, name: str, time: datetime, message_id: str, now: datetime, over: RunRecord | None
    ) -> bool:
        """Record that `message_id` is dispatched.

        Without `over` only if no other message was and this one is not done; with it, if the item
        still names `over`'s message, in whatever state short of done.
        """
        values = _run_values(message_id, "dispatched", now)
        expected: dict[str, Mapping[str, Any]] = {
            ":known": {"S": over.message_id if over else message_id},
            ":done": {"S": "done"},
        }
        condition = "#message_id = :known AND #state <> :done"
        if over is None:
            condition = f"attribute_not_exists(#key) OR ({condition})"
        key = run_id(name, time)
        return await self._update(key, _set(values), condition, values, expected) is not None

    async def finish_run(
        self, name: str, time: datetime, message_id: str, now: datetime, *, done: bool
    ) -> None:
        """Record that the message was answered with 200 (`done`), or given up for good.

        The latter also of a message that was never dispatched; not over another's record.
        """
        values = _run_values(message_id, "done" if done else "abandoned", now)
        condition, expected = None, {}
        if not done:
            condition = "#message_id = :message_id AND #state <> :done"
            condition = f"attribute_not_exists(#key) OR ({condition})"
            expected = {":done": {"S": "done"}}
        await self._update(run_id(name, time), _set(values), condition, values, expected)

    # ---- calls

    async def _get(self, key: str) -> Item | None:
        request = {
            "TableName": self.name,
            "Key": {LEADER_TABLE_KEY: {"S": key}},
            "ConsistentRead": True,
        }
        answer = await self._api.call("GetItem", request, timeout=self._call_seconds)
        return answer.get("Item") or None

    async def _update(
        self,
        key: str,
        expression: str,
        condition: str | None,
        values: Item,
        more_values: Item,
    ) -> Item | None:
        """One `UpdateItem`: all attributes after it, or None if `condition` did not hold."""
        request: dict[str, Any] = {
            "Key": {LEADER_TABLE_KEY: {"S": key}},
            "UpdateExpression": expression,
            "ExpressionAttributeNames": _names(f"{expression} {condition}"),
            "ExpressionAttributeValues": {
                **{f":{name}": value for name, value in values.items()},
                **more_values,
            },
            "ReturnValues": "ALL_NEW",
        }
        if condition is not None:
            request["ConditionExpression"] = condition
        answer = await self._conditional("UpdateItem", request)
        return None if answer is None else answer.get("Attributes", {})

    async def _conditional(self, action: str, request: dict[str, Any]) -> dict[str, Any] | None:
        request["TableName"] = self.name
        try:
            return await self._api.call(action, request, timeout=self._call_seconds)
        except AwsError as error:
            if error.code == _REFUSED:
                return None
            raise


def _parsed(parse: Callable[[Item], _Record], item: Item | None) -> _Record | None:
    try:
        return None if item is None else parse(item)
    except (KeyError, ValueError) as error:
        reason = f"an item is not of this daemon's making ({error!r}): {item!r:.200}"
        raise AwsUnreachable("GetItem", reason) from error


def _names(expressions: str) -> dict[str, str]:
    """Every `#name` of the expressions as itself: some of ours are words that DynamoDB reserves."""
    words = {word.strip("(),") for word in expressions.split() if "#" in word}
    names = {word[word.index("#") + 1 :] for word in words}
    return {f"#{name}": LEADER_TABLE_KEY if name == "key" else name for name in names}


def _set(values: Item) -> str:
    return "SET " + ", ".join(f"#{name} = :{name}" for name in values)


def _number(value: float) -> dict[str, str]:
    return {"N": repr(value)}


def _lease(item: Item) -> LeaseRecord:
    return LeaseRecord(
        version=int(item["version"]["N"]),
        term=int(item["term"]["N"]),
        holder=item["holder"]["S"],
        lease_seconds=float(item["lease_seconds"]["N"]),
    )


def _task_values(record: TaskRecord) -> dict[str, Mapping[str, Any]]:
    values: dict[str, Mapping[str, Any]] = {
        "version": _number(record.version),
        "schedule": {"S": record.schedule},
        "cursor": {"S": record.cursor.isoformat()},
        "state": {"S": record.state},
        "claimant": {"S": record.claimant},
        LEADER_TABLE_TTL: _number(record.expires_at),
    }
    if record.sent is not None:
        values["sent"] = {"S": record.sent.isoformat()}
    if record.sent_at is not None:
        values["sent_at"] = {"S": record.sent_at.isoformat()}
    return values


def _task(item: Item) -> TaskRecord:
    def time(name: str) -> datetime | None:
        return datetime.fromisoformat(item[name]["S"]) if name in item else None

    return TaskRecord(
        version=int(item["version"]["N"]),
        schedule=item["schedule"]["S"],
        cursor=datetime.fromisoformat(item["cursor"]["S"]),
        state=item["state"]["S"],
        claimant=item["claimant"]["S"],
        expires_at=int(item[LEADER_TABLE_TTL]["N"]),
        sent=time("sent"),
        sent_at=time("sent_at"),
    )


def _run_values(message_id: str, state: str, now: datetime) -> dict[str, Mapping[str, Any]]:
    return {
        "message_id": {"S": message_id},
        "state": {"S": state},
        "dispatched_at": {"S": now.isoformat()},
        LEADER_TABLE_TTL: _number(int((now + RUN_KEPT).timestamp())),
    }


def _run(item: Item) -> RunRecord:
    return RunRecord(
        message_id=item["message_id"]["S"],
        state=item["state"]["S"],
        dispatched_at=datetime.fromisoformat(item["dispatched_at"]["S"]),
    )
