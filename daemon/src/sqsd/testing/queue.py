"""Amazon SQS in memory: visibility timeouts, receive counts, receipt handles, FIFO message groups.

`FakeSqs` implements `aws.ports.TimedApi`, so the daemon uses it in place of SQS.
`sqsd.testing.queue_server` serves the same object over HTTP, for boto3 and any other SDK. `fault`
makes single calls fail.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import md5
from typing import Any, Final, Protocol

from sqsd.base.errors import AwsError, AwsUnreachable

#: URL of the queue; `.fifo` is appended for a FIFO queue.
QUEUE_URL: Final = "http://127.0.0.1:1/123456789012/work"
#: Request of a receive, for a test that only makes a call.
RECEIVE: Final = {"QueueUrl": "u", "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
#: Longest visibility timeout, seconds.
_LONGEST_VISIBILITY: Final = 43_200
#: Most messages of one call.
_BATCH: Final = 10
#: Longest delay of a message, seconds.
_LONGEST_DELAY: Final = 900
#: Time for which a FIFO queue remembers a deduplication id, seconds.
_DEDUPLICATION_SECONDS: Final = 300.0
#: A JSON object.
Document = dict[str, Any]


class Times(Protocol):
    """Has two times: any clock of `sqsd.testing.clock`, or the module `time`."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""

    def time(self) -> float:
        """Return seconds since 1970 UTC."""


class Refusal(Exception):
    """SQS answers a call with an error.

    Args:
        code: the error's name, such as `AccessDeniedException`.
        message: the error's text.
        status: the HTTP status.
    """

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        self.code = code
        self.message = message
        self.status = status
        super().__init__(code)


class Broken(Enum):
    """Says how the answer to a call fails. With `LOST` and `CUT` the call itself has worked."""

    HANG = "never answers"
    LOST = "works, and closes instead of answering"
    CUT = "works, and closes within the answer"
    GARBAGE = "answers something that is not HTTP"
    NOT_JSON = "answers 200 with something that is not JSON"


@dataclass(frozen=True)
class FailEntries:
    """A batch call answers 200, and fails the entries at `positions` with `refusal`."""

    positions: frozenset[int]
    refusal: Refusal = field(default_factory=lambda: Refusal("InternalError", status=500))


#: What `FakeSqs.fault` takes.
Fault = Refusal | Broken | FailEntries


@dataclass
class Stored:
    """Holds a message of the queue: `sent_at` in epoch milliseconds, other times monotonic."""

    message_id: str
    body: str
    attributes: Mapping[str, Any]
    group_id: str | None
    sent_at: int
    visible_at: float
    receive_count: int = 0
    first_received_at: int | None = None
    received_at: float = 0.0
    handles: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """Holds a call that arrived at `at`, monotonic seconds."""

    action: str
    request: Document
    at: float

    @property
    def entries(self) -> list[Document]:
        """Entries of a batch call, else an empty list."""
        return list(self.request.get("Entries", ()))


class FakeSqs:
    """Holds one queue and, as a list of bodies, its dead-letter queue.

    Messages become visible again as `clock` passes. A message that is sent to any other queue URL
    counts as sent to the dead-letter queue.

    Args:
        clock: the clock that visibility timeouts are measured by.
        fifo: whether it is a FIFO queue: the first message of a group blocks the rest of it.
        max_receives: receives after which a message becomes a dead letter, or None for no limit.
    """

    def __init__(
        self, clock: Times, *, fifo: bool = False, max_receives: int | None = None
    ) -> None:
        self.clock = clock
        self.fifo = fifo
        self._max_receives = max_receives
        #: URL of the queue.
        self.url = QUEUE_URL + (".fifo" if fifo else "")
        #: Seconds by which the clock of this SQS is ahead of `clock`.
        self.clock_offset = 0.0
        #: Most messages that a receive returns, even if it asks for more.
        self.most_at_once = _BATCH
        #: Whether a receive returns at once, even if it asks to wait.
        self.never_waits = False
        #: All calls, oldest first.
        self.calls: list[Call] = []
        #: Ids of the messages that were deleted, oldest first.
        self.deleted: list[str] = []
        #: Bodies of the dead letters, oldest first.
        self.dead_letters: list[str] = []
        #: Receives that wait for a message at present.
        self.waiting = 0
        self._messages: dict[str, Stored] = {}
        self._by_handle: dict[str, Stored] = {}
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._deduplicated: dict[str, tuple[str, float]] = {}
        #: Each receive that waits, with its loop: tests may send from another thread.
        self._waiters: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    # ---- for tests

    def send(
        self,
        body: str,
        *,
        attributes: Mapping[str, Any] | None = None,
        group_id: str | None = None,
        message_id: str | None = None,
        sent_at: float | None = None,
        first_received_at: float | None = None,
        delay_seconds: float = 0.0,
    ) -> str:
        """Add a message to the queue. Returns its id.

        Args:
            body: the body.
            attributes: message attributes in SQS's form: `{"a": {"DataType": "String",
                "StringValue": "b"}}`.
            group_id: message group, for a FIFO queue.
            message_id: id of the message. Default: a random one.
            sent_at: epoch seconds. Default: now.
            first_received_at: epoch seconds of a receive before. Default: it was never received.
            delay_seconds: time until the message is visible. Default: it is visible at once.
        """
        at = self.clock.time() + self.clock_offset if sent_at is None else sent_at
        stored = Stored(
            message_id or str(uuid.uuid4()),
            body,
            attributes or {},
            group_id,
            int(at * 1000),
            self.clock.monotonic() + delay_seconds,
        )
        if first_received_at is not None:
            stored.first_received_at = int(first_received_at * 1000)
            stored.receive_count = 1  # that was a receive
        self._messages[stored.message_id] = stored
        self._wake_receives()
        return stored.message_id

    def fault(self, action: str, *faults: Fault) -> None:
        """Let the next calls of an action fail, each by one of `faults`; later calls work again."""
        self._faults[action].extend(faults)

    def visible(self) -> list[str]:
        """Return the bodies of the messages that a receive would return now, in order."""
        return [stored.body for stored in self._receivable()]

    def bodies(self) -> list[str]:
        """Return the bodies of all messages in the queue, hidden ones included, in order."""
        return [stored.body for stored in self._messages.values()]

    def hidden_for(self, message_id: str) -> float:
        """Return the seconds until a message is visible, 0 if it is."""
        return max(0.0, self._messages[message_id].visible_at - self.clock.monotonic())

    def receive_count(self, message_id: str) -> int:
        """Return how often a message was received."""
        return self._messages[message_id].receive_count

    def set_receive_count(self, message_id: str, count: int) -> None:
        """Set how often a message was received, as if other consumers had received it."""
        self._messages[message_id].receive_count = count

    def expose(self, message_id: str) -> None:
        """Make a message visible at once, as when SQS delivers it twice."""
        self._messages[message_id].visible_at = self.clock.monotonic()
        self._wake_receives()

    def called(self, action: str) -> list[Call]:
        """Return the calls of an action, oldest first."""
        return [call for call in self.calls if call.action == action]

    # ---- aws.ports.AwsApi

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """Make a call as `aws.json_api.JsonApi` does.

        Raises:
            AwsError: SQS answered with an error.
            AwsUnreachable: the answer failed, or did not come within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                answer = await self.answer(action, json.loads(json.dumps(request)))
        except Refusal as refusal:
            raise AwsError(action, refusal.code, refusal.message, refusal.status) from refusal
        except TimeoutError as error:
            raise AwsUnreachable(action, f"no answer within {timeout:g} s") from error
        if isinstance(answer, Broken):
            raise AwsUnreachable(action, answer.value)
        return answer

    async def answer(self, action: str, request: Document) -> Document | Broken:
        """Carry out one call, and return its answer or how the answer fails.

        Raises:
            Refusal: SQS answers with an error.
        """
        self.calls.append(Call(action, request, self.clock.monotonic()))
        faults = self._faults[action]
        fault = faults.popleft() if faults else None
        match fault:
            case Refusal():
                raise fault
            case Broken.HANG:
                await asyncio.get_running_loop().create_future()
            case Broken.GARBAGE | Broken.NOT_JSON:
                return fault
        failing = fault if isinstance(fault, FailEntries) else FailEntries(frozenset())
        match action:
            case "ReceiveMessage":
                document = await self._receive(request)
            case "DeleteMessageBatch":
                document = self._batch(request, failing, self._delete)
            case "ChangeMessageVisibilityBatch":
                document = self._batch(request, failing, self._change)
            case "DeleteMessage":
                document = self._single(request, failing, self._delete)
            case "ChangeMessageVisibility":
                document = self._single(request, failing, self._change)
            case "SendMessage":
                document = self._send_message(request)
            case "SendMessageBatch":
                document = self._send_batch(request, failing)
            case "GetQueueUrl":
                document = self._queue_url(request)
            case "GetQueueAttributes":
                document = {"Attributes": self._queue_attributes()}
            case _:
                raise Refusal("InvalidAction", action)
        return fault if isinstance(fault, Broken) else document

    # ---- actions

    async def _receive(self, request: Document) -> Document:
        limit, wait = request.get("MaxNumberOfMessages", 1), request.get("WaitTimeSeconds", 0)
        hide = request.get("VisibilityTimeout", 30)
        if not 1 <= limit <= _BATCH or not 0 <= wait <= 20:
            raise Refusal("InvalidParameterValue", f"{limit} messages, {wait} s")
        limit = min(limit, self.most_at_once)
        deadline = asyncio.get_running_loop().time() + (0 if self.never_waits else wait)
        while not (entries := [self._deliver(s, hide) for s in self._take(limit)]):
            if not await self._wait_for_message(deadline):
                return {}  # the JSON protocol has no empty list here
        return {"Messages": entries}

    async def _wait_for_message(self, deadline: float) -> bool:
        """Wait until a message is sent or becomes visible; False if `deadline` has passed."""
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        now = self.clock.monotonic()
        soon = [s.visible_at - now for s in self._messages.values() if s.visible_at > now]
        changed = asyncio.Event()
        self._waiters[changed] = asyncio.get_running_loop()
        self.waiting += 1
        try:
            async with asyncio.timeout(min([left, *soon])):
                await changed.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1
            del self._waiters[changed]
        return True

    def _wake_receives(self) -> None:
        here = asyncio._get_running_loop()
        for changed, loop in list(self._waiters.items()):
            if loop is here:
                changed.set()
            else:
                loop.call_soon_threadsafe(changed.set)

    def _receivable(self) -> Iterable[Stored]:
        now = self.clock.monotonic()
        blocked = set()
        for stored in self._messages.values():
            if self.fifo and stored.group_id in blocked:
                continue
            if stored.visible_at <= now:
                yield stored
            else:
                blocked.add(stored.group_id)

    def _take(self, limit: int) -> list[Stored]:
        taken: list[Stored] = []
        for stored in list(self._receivable()):
            if self._max_receives is not None and stored.receive_count >= self._max_receives:
                del self._messages[stored.message_id]
                self.dead_letters.append(stored.body)
            elif len(taken) < limit:
                taken.append(stored)
        return taken

    def _deliver(self, stored: Stored, hide: float) -> Document:
        now = self.clock.monotonic()
        stored.receive_count += 1
        stored.visible_at = now + hide
        stored.received_at = now
        stored.first_received_at = stored.first_received_at or int(
            (self.clock.time() + self.clock_offset) * 1000
        )
        handle = f"{stored.message_id}#{stored.receive_count}"
        stored.handles.append(handle)
        self._by_handle[handle] = stored
        system = {
            "SenderId": "AROAEXAMPLE:producer",
            "SentTimestamp": str(stored.sent_at),
            "ApproximateReceiveCount": str(stored.receive_count),
            "ApproximateFirstReceiveTimestamp": str(stored.first_received_at),
        }
        if stored.group_id is not None:
            system["MessageGroupId"] = stored.group_id
        entry: Document = {
            "MessageId": stored.message_id,
            "ReceiptHandle": handle,
            "Body": stored.body,
            "MD5OfBody": md5(stored.body.encode(), usedforsecurity=False).hexdigest(),
            "Attributes": system,
        }
        if stored.attributes:
            entry["MessageAttributes"] = dict(stored.attributes)
        return entry

    def _batch(
        self, request: Document, failing: FailEntries, do: Callable[[Stored, Document], None]
    ) -> Document:
        def change(entry: Document) -> Document:
            do(self._by_receipt_handle(entry["ReceiptHandle"]), entry)
            return {}

        answer = self._each(request, failing, change)
        self._wake_receives()
        return answer

    def _single(
        self, request: Document, failing: FailEntries, do: Callable[[Stored, Document], None]
    ) -> Document:
        if failing.positions:
            raise failing.refusal
        do(self._by_receipt_handle(request["ReceiptHandle"]), request)
        self._wake_receives()
        return {}

    def _each(
        self, request: Document, failing: FailEntries, do: Callable[[Document], Document]
    ) -> Document:
        """Carry out each entry of a batch; `do` returns what is added to the entry's answer."""
        answer: Document = {"Successful": [], "Failed": []}
        for position, entry in enumerate(_checked(request["Entries"])):
            try:
                if position in failing.positions:
                    raise failing.refusal
                answer["Successful"].append({"Id": entry["Id"], **do(entry)})
            except Refusal as refusal:
                answer["Failed"].append(
                    {
                        "Id": entry["Id"],
                        "Code": refusal.code,
                        "Message": refusal.message,
                        "SenderFault": refusal.status < 500,
                    }
                )
        return answer

    def _by_receipt_handle(self, handle: str) -> Stored:
        stored = self._by_handle.get(handle)
        if stored is None:
            raise Refusal("ReceiptHandleIsInvalid")
        return stored

    def _delete(self, stored: Stored, entry: Document) -> None:
        """Delete a message by its newest handle; an older one is accepted and has no effect."""
        if entry["ReceiptHandle"] == stored.handles[-1] and stored.message_id in self._messages:
            del self._messages[stored.message_id]
            self.deleted.append(stored.message_id)

    def _change(self, stored: Stored, entry: Document) -> None:
        seconds, now = entry["VisibilityTimeout"], self.clock.monotonic()
        if not 0 <= seconds <= _LONGEST_VISIBILITY:
            raise Refusal("InvalidParameterValue", f"{seconds} s")
        if stored.message_id not in self._messages or stored.visible_at <= now:
            raise Refusal("MessageNotInflight")
        if now + seconds - stored.received_at > _LONGEST_VISIBILITY:
            raise Refusal("InvalidParameterValue", "Total VisibilityTimeout is beyond the limit")
        if entry["ReceiptHandle"] == stored.handles[-1]:
            stored.visible_at = now + seconds
            self._wake_receives()  # so that they wait for the new time

    def _send_message(self, request: Document) -> Document:
        body = request["MessageBody"]
        checksum = {"MD5OfMessageBody": md5(body.encode(), usedforsecurity=False).hexdigest()}
        if request["QueueUrl"] != self.url:
            self.dead_letters.append(body)
            return {"MessageId": str(uuid.uuid4()), **checksum}
        group_id = request.get("MessageGroupId")
        if self.fifo and group_id is None:
            raise Refusal("MissingParameter", "MessageGroupId")
        delay = request.get("DelaySeconds", 0)
        if not 0 <= delay <= _LONGEST_DELAY:
            raise Refusal("InvalidParameterValue", f"DelaySeconds {delay}")
        deduplication_id = request.get("MessageDeduplicationId")
        known, until = self._deduplicated.get(deduplication_id or "", ("", 0.0))
        now = self.clock.monotonic()
        if known and now < until:
            return {"MessageId": known, **checksum}
        attributes = request.get("MessageAttributes")
        sent = self.send(body, attributes=attributes, group_id=group_id, delay_seconds=delay)
        if self.fifo and deduplication_id is not None:
            self._deduplicated[deduplication_id] = sent, now + _DEDUPLICATION_SECONDS
        return {"MessageId": sent, **checksum}

    def _send_batch(self, request: Document, failing: FailEntries) -> Document:
        url = request["QueueUrl"]
        return self._each(
            request, failing, lambda entry: self._send_message({**entry, "QueueUrl": url})
        )

    def _queue_url(self, request: Document) -> Document:
        if request["QueueName"] != self.url.rpartition("/")[2]:
            raise Refusal("QueueDoesNotExist", request["QueueName"])
        return {"QueueUrl": self.url}

    def _queue_attributes(self) -> dict[str, str]:
        visible = len(self.visible())
        return {
            "QueueArn": f"arn:aws:sqs:us-east-1:123456789012:{self.url.rpartition('/')[2]}",
            "ApproximateNumberOfMessages": str(visible),
            "ApproximateNumberOfMessagesNotVisible": str(len(self._messages) - visible),
            **({"FifoQueue": "true"} if self.fifo else {}),
        }


def _checked(entries: list[Document]) -> list[Document]:
    """Return the entries of a batch; raises `Refusal` if SQS would refuse the batch as a whole."""
    if not entries:
        raise Refusal("AWS.SimpleQueueService.EmptyBatchRequest")
    if len(entries) > _BATCH:
        raise Refusal("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise Refusal("AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
    return entries
