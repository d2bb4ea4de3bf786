"""Amazon SQS in memory: visibility, receive counts, a handle for each delivery, FIFO groups.

`FakeSqs` implements `ports.AwsApi`, so `aws.sqs.SqsQueue` stands on it as on the real thing;
`sqsd.testing.queue_server` puts the same object behind the AWS JSON protocol on a loopback port.
Faults are asked for one call at a time, with `fault`.
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

QUEUE_URL: Final = "http://127.0.0.1:1/123456789012/work"
#: A receive, for who only calls.
RECEIVE: Final = {"QueueUrl": "u", "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0}
_LONGEST_VISIBILITY: Final = 43_200
_BATCH: Final = 10
Document = dict[str, Any]


class Times(Protocol):
    """The two clocks; `sqsd.testing.clock` has some."""

    def monotonic(self) -> float: ...
    def time(self) -> float: ...


class Refusal(Exception):
    """SQS's own error answer."""

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status
        super().__init__(code)


class Broken(Enum):
    """What goes wrong with a call's answer; `LOST` and `CUT` come after the call has worked."""

    HANG = "never answers"
    LOST = "works, and closes instead of answering"
    CUT = "works, and closes within the answer"
    GARBAGE = "answers something that is not HTTP"
    NOT_JSON = "answers 200 with something that is not JSON"


@dataclass(frozen=True)
class FailEntries:
    """A batch call answers 200 and calls these positions failed, without having done them."""

    positions: frozenset[int]
    refusal: Refusal = field(default_factory=lambda: Refusal("InternalError", status=500))


Fault = Refusal | Broken | FailEntries


@dataclass
class Stored:
    """A message in the queue."""

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
    """One call that arrived."""

    action: str
    request: Document
    at: float

    @property
    def entries(self) -> list[Document]:
        return list(self.request.get("Entries", ()))


class FakeSqs:
    """One queue.

    Args:
        clock: of which visibility is a function.
        fifo: whether message groups are kept in order, one delivery of a group at a time.
        max_receives: beyond so many a message goes to `dead_letters`, as does what is sent to
            any other queue.
    """

    def __init__(
        self, clock: Times, *, fifo: bool = False, max_receives: int | None = None
    ) -> None:
        self.clock, self.fifo, self._max_receives = clock, fifo, max_receives
        self.url = QUEUE_URL + (".fifo" if fifo else "")
        #: Seconds by which this SQS's clock is ahead of `clock`, as a `JsonApi` would measure it.
        self.clock_offset = 0.0
        #: A receive brings no more than this, whatever it asks for and there is.
        self.most_at_once = _BATCH
        #: As if each receive had asked for no wait.
        self.never_waits = False
        self.calls: list[Call] = []
        self.deleted: list[str] = []
        self.dead_letters: list[str] = []
        #: Receives that wait for a message now.
        self.waiting = 0
        self._messages: dict[str, Stored] = {}
        self._by_handle: dict[str, Stored] = {}
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._changed = asyncio.Event()

    # ---- what a test does and sees

    def send(
        self,
        body: str,
        *,
        attributes: Mapping[str, Any] | None = None,
        group_id: str | None = None,
        message_id: str | None = None,
        sent_at: float | None = None,
        first_received_at: float | None = None,
    ) -> str:
        """Put a message in; times in epoch seconds. Gives its id."""
        at = self.clock.time() + self.clock_offset if sent_at is None else sent_at
        stored = Stored(
            message_id or str(uuid.uuid4()),
            body,
            attributes or {},
            group_id,
            int(at * 1000),
            self.clock.monotonic(),
        )
        if first_received_at is not None:
            stored.first_received_at = int(first_received_at * 1000)
            stored.receive_count = 1  # that was a receive
        self._messages[stored.message_id] = stored
        self._changed.set()
        return stored.message_id

    def fault(self, action: str, *faults: Fault) -> None:
        """The next calls of an action meet these, one each."""
        self._faults[action].extend(faults)

    def visible(self) -> list[str]:
        """Bodies of messages that a receive would bring now."""
        return [stored.body for stored in self._receivable()]

    def bodies(self) -> list[str]:
        """Bodies of all messages that are not deleted, hidden ones too."""
        return [stored.body for stored in self._messages.values()]

    def hidden_for(self, message_id: str) -> float:
        """Seconds until a message is visible."""
        return max(0.0, self._messages[message_id].visible_at - self.clock.monotonic())

    def receive_count(self, message_id: str) -> int:
        return self._messages[message_id].receive_count

    def expose(self, message_id: str) -> None:
        """Make a message visible, as when a copy of it turns up."""
        self._messages[message_id].visible_at = self.clock.monotonic()
        self._changed.set()

    def called(self, action: str) -> list[Call]:
        return [call for call in self.calls if call.action == action]

    # ---- ports.AwsApi

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """As `aws.json_api` would report it: `AwsError`, `AwsUnreachable` or the document."""
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
        """Take one call.

        Raises:
            Refusal: SQS would answer with an error.
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
            case "SendMessage":
                document = self._send_message(request)
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
            if not await self._something_new(deadline):
                return {}  # and not an empty list: so the JSON protocol has it
        return {"Messages": entries}

    async def _something_new(self, deadline: float) -> bool:
        """Wait for a message to be sent or to become visible; False when the time is up."""
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        now = self.clock.monotonic()
        soon = [s.visible_at - now for s in self._messages.values() if s.visible_at > now]
        self._changed.clear()
        self.waiting += 1
        try:
            async with asyncio.timeout(min([left, *soon])):
                await self._changed.wait()
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1
        return True

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
        stored.visible_at, stored.received_at = now + hide, now
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
        entries = request["Entries"]
        if not entries:
            raise Refusal("AWS.SimpleQueueService.EmptyBatchRequest")
        if len(entries) > _BATCH:
            raise Refusal("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
        if len({entry["Id"] for entry in entries}) < len(entries):
            raise Refusal("AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
        answer: Document = {"Successful": [], "Failed": []}
        for position, entry in enumerate(entries):
            try:
                if position in failing.positions:
                    raise failing.refusal
                stored = self._by_handle.get(entry["ReceiptHandle"])
                if stored is None:
                    raise Refusal("ReceiptHandleIsInvalid")
                do(stored, entry)
                answer["Successful"].append({"Id": entry["Id"]})
            except Refusal as refusal:
                answer["Failed"].append(
                    {
                        "Id": entry["Id"],
                        "Code": refusal.code,
                        "Message": refusal.message,
                        "SenderFault": refusal.status < 500,
                    }
                )
        self._changed.set()
        return answer

    def _delete(self, stored: Stored, entry: Document) -> None:
        """An old handle is accepted and deletes nothing, as SQS's documentation says."""
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
            self._changed.set()  # who waits for a message gets this one as soon as it is visible

    def _send_message(self, request: Document) -> Document:
        if request["QueueUrl"] != self.url:
            self.dead_letters.append(request["MessageBody"])
            return {"MessageId": str(uuid.uuid4())}
        attributes = request.get("MessageAttributes")
        group_id = request.get("MessageGroupId")
        if self.fifo and group_id is None:
            raise Refusal("MissingParameter", "MessageGroupId")
        sent = self.send(request["MessageBody"], attributes=attributes, group_id=group_id)
        return {"MessageId": sent}
