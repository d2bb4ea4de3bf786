"""The queue: SQS's answers as values, batches of at most ten, failures told entry by entry."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from hashlib import md5
from typing import Any, Final

from sqsd.aws.hints import hint_for_queue
from sqsd.aws.ports import AwsApi, TimedApi
from sqsd.base.errors import AwsError
from sqsd.base.ports import Clock, EventLog
from sqsd.contract import ATTRIBUTE_FIRST_MESSAGE_ID, ATTRIBUTE_REASON, events
from sqsd.messages.message import Attribute, Message, Refused
from sqsd.started import Started

#: SQS's own limit for a receive and for a batch.
BATCH: Final = 10
#: Ids of a batch's entries: one message may stand in it twice, and ids must differ.
_POSITIONS: Final = tuple(str(position) for position in range(BATCH))
#: SQS's own limit for attributes of a message.
MOST_ATTRIBUTES: Final = 10
#: Seconds beyond a long poll's wait after which a receive counts as hung.
_POLL_MARGIN: Final = 5.0
#: Seconds that any other call gets.
_CALL_SECONDS: Final = 10.0
_SYSTEM_ATTRIBUTES: Final = [
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "MessageGroupId",
]
#: What some of `extra_headers` are made of.
_EXTRA_SYSTEM_ATTRIBUTES: Final = ["MessageDeduplicationId", "AWSTraceHeader"]


class SqsQueue:
    """Implements `ports.Queue`.

    Args:
        polls: for receives alone, so that long polls never hold up a delete.
        control: for deletes, visibility changes and sends.
        visibility_timeout: seconds, set on every receive whatever the queue's own is (EB).
        dead_letter_queue_url: where `bury` sends; only with `dead_letter_statuses`.
        with_extras: also ask for what only extra headers need.
    """

    def __init__(
        self,
        url: str,
        *,
        polls: TimedApi,
        control: AwsApi,
        clock: Clock,
        log: EventLog,
        visibility_timeout: int,
        dead_letter_queue_url: str | None = None,
        with_extras: bool = False,
    ) -> None:
        self.url = url
        self._dead_letter_queue_url = dead_letter_queue_url
        self._polls, self._control = polls, control
        self._clock, self._log = clock, log
        self._receive = {
            "QueueUrl": url,
            "VisibilityTimeout": visibility_timeout,
            "MessageSystemAttributeNames": _SYSTEM_ATTRIBUTES
            + (_EXTRA_SYSTEM_ATTRIBUTES if with_extras else []),
            "MessageAttributeNames": ["All"],
        }

    def receive(self, limit: int, wait_seconds: int) -> Started[list[Message]]:
        """At most `limit` (1 to 10) messages, waiting up to `wait_seconds` (0 to 20) for the first.

        Damaged bodies (wrong MD5) are left to their visibility timeout, as botocore does.

        Raises:
            AwsError, AwsUnreachable, NoCredentials: nothing was received that we know of.
        """
        asked_at = self._clock.monotonic()
        request = {**self._receive, "MaxNumberOfMessages": limit, "WaitTimeSeconds": wait_seconds}
        call = self._polls.call("ReceiveMessage", request, timeout=wait_seconds + _POLL_MARGIN)
        return Started(lambda: self._received(call, asked_at))

    async def _received(self, call: Awaitable[dict[str, Any]], asked_at: float) -> list[Message]:
        answer = await _told(call, "ReceiveMessage", self.url)
        entries = answer.get("Messages") or ()
        messages = []
        for entry in entries:
            message = _message(entry, asked_at)
            if message is None:
                self._log.emit(events.MESSAGE_DAMAGED, message_id=entry["MessageId"])
            else:
                messages.append(message)
        return messages

    @property
    def clock_offset(self) -> float:
        """See `ports.Queue`."""
        return self._polls.clock_offset

    async def delete(self, messages: Sequence[Message]) -> list[Refused | None]:
        """Delete at most ten; for each None once SQS confirmed it, or why it did not.

        Raises:
            AwsError, AwsUnreachable, NoCredentials: the whole call failed.
        """
        entries = [
            {"Id": position, "ReceiptHandle": message.receipt_handle}
            for position, message in zip(_POSITIONS[: len(messages)], messages, strict=True)
        ]
        return await self._batch("DeleteMessageBatch", entries)

    async def change_visibility(
        self, changes: Sequence[tuple[Message, int]]
    ) -> list[Refused | None]:
        """Hide each of at most ten messages for so many seconds from now (0 to 43,200).

        Raises:
            AwsError, AwsUnreachable, NoCredentials: the whole call failed.
        """
        entries = [
            {
                "Id": position,
                "ReceiptHandle": message.receipt_handle,
                "VisibilityTimeout": seconds,
            }
            for position, (message, seconds) in zip(
                _POSITIONS[: len(changes)], changes, strict=True
            )
        ]
        return await self._batch("ChangeMessageVisibilityBatch", entries)

    async def send(
        self,
        *,
        body: str,
        attributes: Mapping[str, str],
        group_id: str | None = None,
        deduplication_id: str | None = None,
    ) -> str:
        """Send one message with String attributes; give its message id.

        Raises:
            AwsError, AwsUnreachable, NoCredentials: it may or may not have been sent.
        """
        request: dict[str, Any] = {
            "QueueUrl": self.url,
            "MessageBody": body,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value}
                for name, value in attributes.items()
            },
        }
        if group_id is not None:
            request["MessageGroupId"] = group_id
        if deduplication_id is not None:
            request["MessageDeduplicationId"] = deduplication_id
        answer = await _call(self._control, "SendMessage", request, timeout=_CALL_SECONDS)
        return str(answer.get("MessageId", ""))

    async def dead_letter(self, message: Message, reason: str) -> None:
        """Send a message to the dead-letter queue with its attributes and, if room is, the reason.

        Raises:
            AwsError, AwsUnreachable, NoCredentials: it may or may not have arrived.
        """
        if self._dead_letter_queue_url is None:
            raise AwsError(
                "SendMessage",
                "NoDeadLetterQueue",
                "dead_letter_queue_url is not set",
                400,
                "name the queue in the settings, or leave out dead_letter_statuses",
            )
        attributes = {name: _sendable(value) for name, value in message.attributes.items()}
        for name, value in (
            (ATTRIBUTE_REASON, reason),
            (ATTRIBUTE_FIRST_MESSAGE_ID, message.message_id),
        ):
            if len(attributes) < MOST_ATTRIBUTES:
                attributes[name] = {"DataType": "String", "StringValue": value}
        request: dict[str, Any] = {
            "QueueUrl": self._dead_letter_queue_url,
            "MessageBody": message.body.decode("utf-8", "surrogatepass"),
            "MessageAttributes": attributes,
        }
        if message.group_id is not None:
            request["MessageGroupId"] = message.group_id
        if is_fifo(self._dead_letter_queue_url):
            request["MessageDeduplicationId"] = message.message_id
        await _call(self._control, "SendMessage", request, timeout=_CALL_SECONDS)

    async def _batch(
        self, action: str, entries: Sequence[Mapping[str, Any]]
    ) -> list[Refused | None]:
        request = {"QueueUrl": self.url, "Entries": entries}
        answer = await _call(self._control, action, request, timeout=_CALL_SECONDS)
        # Of what SQS says nothing nobody knows anything: try again.
        results: list[Refused | None] = [Refused(f"{action}: no word of this entry")] * len(entries)
        for entry in answer.get("Successful") or ():
            results[int(entry["Id"])] = None
        for entry in answer.get("Failed") or ():
            results[int(entry["Id"])] = _refused(action, entry)
        return results


def _refused(action: str, entry: Mapping[str, Any]) -> Refused:
    code, text = str(entry.get("Code") or "unknown"), str(entry.get("Message") or "")
    passes = "Throttl" in code or "InFlight" in code
    final = bool(entry.get("SenderFault")) and not passes
    return Refused(f"{action} refused an entry: {code}: {text}".rstrip(": "), final)


async def _call(
    api: AwsApi, action: str, request: Mapping[str, Any], *, timeout: float
) -> dict[str, Any]:
    return await _told(api.call(action, request, timeout=timeout), action, request["QueueUrl"])


async def _told(call: Awaitable[dict[str, Any]], action: str, url: str) -> dict[str, Any]:
    """What a call gives; a refusal is told with the queue it is about and the hint."""
    try:
        return await call
    except AwsError as error:
        hint = hint_for_queue(action, error.code, url)
        raise AwsError(action, error.code, error.message, error.status, hint) from error


def queue_name(url: str) -> str:
    """The last part of a queue's URL: what EB shows in `X-Aws-Sqsd-Queue`."""
    return url.rstrip("/").rpartition("/")[2]


def is_fifo(url: str) -> bool:
    """By its name, which AWS prescribes; a group id alone does not make a queue FIFO."""
    return url.endswith(".fifo")


def _message(entry: Mapping[str, Any], asked_at: float) -> Message | None:
    body = entry["Body"].encode("utf-8", "surrogatepass")
    expected = entry.get("MD5OfBody")
    if expected is not None and md5(body, usedforsecurity=False).hexdigest() != expected:
        return None
    system = entry.get("Attributes") or {}
    user = entry.get("MessageAttributes")
    return Message(
        entry["MessageId"],
        entry["ReceiptHandle"],
        body,
        int(system.get("ApproximateReceiveCount") or 1),
        system.get("SenderId") or "",
        _number(system.get("SentTimestamp")),
        _number(system.get("ApproximateFirstReceiveTimestamp")),
        asked_at,
        system.get("MessageGroupId"),
        {name: _attribute(value) for name, value in user.items()} if user else {},
        system.get("MessageDeduplicationId"),
        system.get("AWSTraceHeader"),
    )


def _attribute(value: Mapping[str, Any]) -> Attribute:
    return Attribute(
        value.get("DataType") or "", value.get("StringValue"), value.get("BinaryValue")
    )


def _sendable(attribute: Attribute) -> dict[str, str]:
    """An attribute as it was received, to be sent on."""
    if attribute.value is None:
        return {"DataType": attribute.data_type, "BinaryValue": attribute.binary or ""}
    return {"DataType": attribute.data_type, "StringValue": attribute.value}


def _number(text: str | None) -> int | None:
    return int(text) if text else None
