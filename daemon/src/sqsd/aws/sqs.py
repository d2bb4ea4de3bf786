"""The queue: SQS's answers as values, in batches of at most ten, with a result for each entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import md5
from typing import Any, Final

from sqsd.aws.hints import hint_for_queue
from sqsd.aws.ports import AwsApi, TimedApi
from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.base.ports import Clock, EventLog
from sqsd.base.shortened import shortened
from sqsd.contract import (
    ATTRIBUTE_FIRST_MESSAGE_ID,
    ATTRIBUTE_REASON,
    BATCH_ENTRIES,
    events,
)
from sqsd.messages.message import Attribute, Message, Refused

#: Ids of a batch's entries. They must differ, and one message may be in a batch twice.
_POSITIONS: Final = tuple(str(position) for position in range(BATCH_ENTRIES))
#: Most attributes of a message that SQS accepts.
MOST_ATTRIBUTES: Final = 10
#: Time beyond a long poll's wait after which a receive counts as hung, in seconds.
_POLL_MARGIN: Final = 5.0
#: Deadline of any other call, in seconds.
_CALL_SECONDS: Final = 10.0
_SYSTEM_ATTRIBUTES: Final = [
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "MessageGroupId",
]
#: Those of them that are whole numbers.
_NUMBERS: Final = frozenset(
    {"SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"}
)
#: Last millisecond of the year 9999, the last one that a `datetime` can hold, in milliseconds.
_LAST_MILLISECOND: Final = 253_402_300_799_999
#: Most of a message id that is read, in characters; SQS's own limit.
_LONGEST_ID: Final = 100
#: Most of an unreadable value that is logged, in characters.
_LONGEST_SHOWN: Final = 80
_NOTHING: Final[dict[str, Any]] = {}
#: System attributes that some of `extra_headers` are made of.
_EXTRA_SYSTEM_ATTRIBUTES: Final = ["MessageDeduplicationId", "AWSTraceHeader"]


class SqsQueue:
    """One SQS queue. Implements `messages.ports.Queue`.

    Args:
        polls: makes receives alone, so that long polls never delay a delete.
        control: makes deletes, visibility changes and sends.
        visibility_timeout: seconds, set on every receive whatever the queue's own is (EB).
        dead_letter_queue_url: where `dead_letter` sends; only with `dead_letter_statuses`.
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
        self.fifo = is_fifo(url)
        self._dead_letter_queue_url = dead_letter_queue_url
        self._polls = polls
        self._control = control
        self._clock = clock
        self._log = log
        self._receive = {
            "QueueUrl": url,
            "VisibilityTimeout": visibility_timeout,
            "MessageSystemAttributeNames": _SYSTEM_ATTRIBUTES
            + (_EXTRA_SYSTEM_ATTRIBUTES if with_extras else []),
            "MessageAttributeNames": ["All"],
        }

    async def receive(self, limit: int, wait_seconds: int) -> list[Message]:
        """Receive at most `limit` (1 to 10) messages; wait `wait_seconds` (0 to 20) for the first.

        An entry that cannot be read, or whose body does not have the MD5 that SQS gave, is logged
        as `message.damaged` and left to its visibility timeout. On a FIFO queue what follows it in
        its group has `follows_damaged`; if its group cannot be read, everything after it has.

        Raises:
            AwsError, AwsUnreachable, NoCredentials: nothing was received, as far as is known.
        """
        asked_at = self._clock.monotonic()
        request = {**self._receive, "MaxNumberOfMessages": limit, "WaitTimeSeconds": wait_seconds}
        timeout = wait_seconds + _POLL_MARGIN
        answer = await _call(self._polls, "ReceiveMessage", request, timeout=timeout)
        entries = answer.get("Messages") or ()
        if not isinstance(entries, (list, tuple)):
            raise AwsUnreachable("ReceiveMessage", "Messages in the answer is not a list")
        messages = []
        damaged_groups: set[str | None] = set()
        for entry in entries:
            try:
                message = _message(entry, asked_at)
                if damaged_groups and not damaged_groups.isdisjoint({message.group_id, None}):
                    message = message._replace(follows_damaged=True)
                messages.append(message)
            except ValueError as error:
                if self.fifo:
                    damaged_groups.add(_readable_group(entry))
                message_id = _printable_id(entry)
                self._log.emit(events.MESSAGE_DAMAGED, message_id=message_id, reason=str(error))
        return messages

    @property
    def clock_offset(self) -> float:
        """Seconds by which SQS's clock is ahead of this machine's, or 0 if unknown."""
        return self._polls.clock_offset

    async def delete(self, messages: Sequence[Message]) -> list[Refused | None]:
        """Delete at most ten messages. Returns for each why it failed, or None if confirmed.

        Raises:
            AwsError, AwsUnreachable, NoCredentials: the whole call failed.
        """
        entries = [
            {"Id": position, "ReceiptHandle": message.receipt_handle}
            for position, message in zip(_POSITIONS[: len(messages)], messages, strict=True)
        ]
        return await self._batch("DeleteMessageBatch", entries)

    async def change_visibility(
        self, changes: Sequence[tuple[Message, int]], *, timeout: float | None = None
    ) -> list[Refused | None]:
        """Hide each of at most ten messages for 0 to 43,200 seconds from now.

        Args:
            timeout: deadline of the call in seconds, or None for 10 s.

        Returns: for each why it failed, or None if confirmed.

        Raises:
            AwsError, AwsUnreachable, NoCredentials: the whole call failed.
        """
        entries = [
            {
                "Id": position,
                "ReceiptHandle": message.receipt_handle,
                "VisibilityTimeout": hidden_for,
            }
            for position, (message, hidden_for) in zip(
                _POSITIONS[: len(changes)], changes, strict=True
            )
        ]
        seconds = _CALL_SECONDS if timeout is None else timeout
        return await self._batch("ChangeMessageVisibilityBatch", entries, seconds)

    async def send(
        self,
        *,
        body: str,
        attributes: Mapping[str, str],
        group_id: str | None = None,
        deduplication_id: str | None = None,
    ) -> str:
        """Send one message with String attributes. Returns its message id.

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
        """Send a message with its attributes to the dead-letter queue.

        The reason becomes an attribute, if the message has fewer than ten.

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
        self, action: str, entries: Sequence[Mapping[str, Any]], timeout: float = _CALL_SECONDS
    ) -> list[Refused | None]:
        request = {"QueueUrl": self.url, "Entries": entries}
        answer = await _call(self._control, action, request, timeout=timeout)
        # The fate of an entry that SQS does not mention is unknown: it is tried again.
        missing = Refused(f"{action}: the answer does not mention this entry")
        results: list[Refused | None] = [missing] * len(entries)
        for position, _ in _results(answer, "Successful", len(entries)):
            results[position] = None
        for position, entry in _results(answer, "Failed", len(entries)):
            results[position] = _refused(action, entry)
        return results


def _results(
    answer: Mapping[str, Any], name: str, entries: int
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield position and result of each entry in a batch's answer; skip what names no entry."""
    listed = answer.get(name)
    for result in listed if isinstance(listed, list) else ():
        entry_id = result.get("Id") if isinstance(result, dict) else None
        if entry_id in _POSITIONS[:entries]:
            yield int(entry_id), result


def _refused(action: str, entry: Mapping[str, Any]) -> Refused:
    code, text = str(entry.get("Code") or "unknown"), str(entry.get("Message") or "")
    passes = "Throttl" in code or "InFlight" in code
    final = bool(entry.get("SenderFault")) and not passes
    return Refused(f"{action} refused an entry: {code}: {text}".rstrip(": "), final)


async def _call(
    api: AwsApi, action: str, request: Mapping[str, Any], *, timeout: float
) -> dict[str, Any]:
    """Make a call. A refusal is raised with a hint that names the queue."""
    try:
        return await api.call(action, request, timeout=timeout)
    except AwsError as error:
        hint = hint_for_queue(action, error.code, request["QueueUrl"])
        raise AwsError(action, error.code, error.message, error.status, hint) from error


def queue_name(url: str) -> str:
    """Return the last part of a queue's URL: what EB sends in `X-Aws-Sqsd-Queue`."""
    return url.rstrip("/").rpartition("/")[2]


def is_fifo(url: str) -> bool:
    """Return whether a queue is FIFO, by the name that AWS prescribes."""
    return url.endswith(".fifo")


def _message(entry: Any, asked_at: float) -> Message:
    """Read one entry of a receive.

    One is read of every message, so the checks stand in one expression (0.4 us; one call for each
    of them took 1.2 us). What is wrong is found out only where something is.

    Raises:
        ValueError: it cannot be read; the text names the part and what is wrong with it.
    """
    try:
        get = entry.get
        message_id, handle, text = get("MessageId"), get("ReceiptHandle"), get("Body")
        get_system = (get("Attributes") or _NOTHING).get
        sender, group = get_system("SenderId"), get_system("MessageGroupId")
        deduplication = get_system("MessageDeduplicationId")
        trace = get_system("AWSTraceHeader")
        count = _number(get_system("ApproximateReceiveCount"))
        sent_at = _number(get_system("SentTimestamp"))
        received_at = _number(get_system("ApproximateFirstReceiveTimestamp"))
        attributes = get("MessageAttributes") or _NOTHING
        if not (
            message_id.isascii()
            and message_id.isprintable()
            and message_id
            and type(handle) is str
            and (sender is None or type(sender) is str)
            and (group is None or type(group) is str)
            and (deduplication is None or type(deduplication) is str)
            and (trace is None or type(trace) is str)
            and (count is None or count >= 0)
        ):
            raise ValueError
        body = text.encode("utf-8", "surrogatepass")
        expected = get("MD5OfBody")
        if expected is not None and md5(body, usedforsecurity=False).hexdigest() != expected:
            raise ValueError
        return Message(
            message_id if len(message_id) <= _LONGEST_ID else message_id[:_LONGEST_ID],
            handle,
            body,
            1 if count is None else count,
            sender or "",
            sent_at if sent_at is None or 0 <= sent_at <= _LAST_MILLISECOND else None,
            received_at if received_at is None or 0 <= received_at <= _LAST_MILLISECOND else None,
            asked_at,
            group,
            {name: _attribute(value) for name, value in attributes.items()} if attributes else {},
            deduplication,
            trace,
        )
    except (AttributeError, TypeError, ValueError):
        raise ValueError(_damage(entry)) from None


def _attribute(value: Any) -> Attribute:
    get = value.get
    kind, text, binary = get("DataType"), get("StringValue"), get("BinaryValue")
    if not (
        (kind is None or type(kind) is str)
        and (text is None or type(text) is str)
        and (binary is None or type(binary) is str)
    ):
        raise ValueError
    return Attribute(kind or "", text, binary)


def _number(value: Any) -> int | None:
    """Return a whole number that SQS wrote as a text, or None for an absent or empty one."""
    if type(value) is str:
        return int(value) if value else None
    if value is None or type(value) is int:
        return value
    raise ValueError


def _damage(entry: Any) -> str:
    """Return why an entry cannot be read: the first part that is wrong, and what it is."""
    if not isinstance(entry, dict):
        return f"the entry is {_shown(entry)}, not an object"
    if _printable_id(entry) is None:
        return f"MessageId is {_shown(entry.get('MessageId'))}"
    for name in ("Body", "ReceiptHandle"):
        if not isinstance(entry.get(name), str):
            return f"{name} is {_shown(entry.get(name))}, not a text"
    system, attributes = entry.get("Attributes"), entry.get("MessageAttributes")
    for name, value in (("Attributes", system), ("MessageAttributes", attributes)):
        if value and not isinstance(value, dict):
            return f"{name} is {_shown(value)}, not an object"
    return (
        _damaged_system_attribute(system or _NOTHING)
        or _damaged_attribute(attributes or _NOTHING)
        or "the body does not have the MD5 that SQS gave"
    )


def _damaged_system_attribute(system: Mapping[str, Any]) -> str | None:
    for name in (*_SYSTEM_ATTRIBUTES, *_EXTRA_SYSTEM_ATTRIBUTES):
        value = system.get(name)
        if name not in _NUMBERS:
            if value is not None and not isinstance(value, str):
                return f"{name} is {_shown(value)}, not a text"
            continue
        try:
            number = _number(value)
        except ValueError:  # its text would quote the value, however long
            return f"{name} is {_shown(value)}, not a whole number"
        if name == "ApproximateReceiveCount" and number is not None and number < 0:
            return f"{name} is {number}"
    return None


def _damaged_attribute(attributes: Mapping[str, Any]) -> str | None:
    for name, value in attributes.items():
        if not isinstance(value, dict):
            return f"message attribute {_shown(name)} is {_shown(value)}"
        for part in ("DataType", "StringValue", "BinaryValue"):
            if value.get(part) is not None and not isinstance(value[part], str):
                return f"{part} is {_shown(value[part])}, not a text"
    return None


def _readable_group(entry: Any) -> str | None:
    """Return the message group of a damaged entry, or None if that cannot be read either."""
    system = entry.get("Attributes") if isinstance(entry, dict) else None
    group = system.get("MessageGroupId") if isinstance(system, dict) else None
    return group if isinstance(group, str) else None


def _printable_id(entry: Any) -> str | None:
    """Return the id of an entry, or None if it has none that can be printed."""
    message_id = entry.get("MessageId") if isinstance(entry, dict) else None
    if isinstance(message_id, str) and message_id.isascii() and message_id.isprintable():
        return message_id[:_LONGEST_ID] or None
    return None


def _shown(value: object) -> str:
    """Return a value for the log, cut: a sender may have written it."""
    return shortened(repr(value), _LONGEST_SHOWN)


def _sendable(attribute: Attribute) -> dict[str, str]:
    """Return an attribute as it was received, in the form in which it is sent."""
    if attribute.value is None:
        return {"DataType": attribute.data_type, "BinaryValue": attribute.binary or ""}
    return {"DataType": attribute.data_type, "StringValue": attribute.value}
