"""A fast fake of one SQS queue: the JSON protocol over HTTP, and an account of every message.

True to SQS: long polls, batches, receipt handles, per-entry answers, visibility changes. Left out
because no run needs them: signatures are not checked, and visibility that was not changed does not
run out (runs are shorter than the 300 s that every client asks for). Bodies are all alike.

Run as `python -m tools.bench.queue_server OPTIONS-AS-JSON`; the benchmark gives it orders
(`tools.bench.wire`).
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from hashlib import md5
from typing import Any, Final, NamedTuple

import orjson

from tools.bench.wire import (
    ID_PREFIX,
    RequestProtocol,
    cpu_seconds,
    resident_kb,
    save_stamps,
    serve,
    stamps,
)

_TARGET: Final = re.compile(rb"\r\nx-amz-target:[ \t]*AmazonSQS\.(\w+)", re.IGNORECASE)
_HANDLE: Final = "AQEB+handle/of/message/"
_HEAD: Final = "HTTP/1.1 {} \r\nx-amzn-RequestId: 0\r\nContent-Type: application/x-amz-json-1.0\r\n"
_OK: Final = (_HEAD.format("200 OK") + "Content-Length: ").encode()
_BAD: Final = (_HEAD.format("400 Bad Request") + "Content-Length: ").encode()


class Options(NamedTuple):
    """What a run wants of the queue.

    Args:
        messages: how many there are in all.
        body_bytes: length of each body.
        rate: messages a second at random times; 0: all are there from the start.
        seed: of the random times.
        marks: after so many deletes the client's CPU and memory are noted.
    """

    messages: int
    body_bytes: int = 200
    rate: float = 0.0
    seed: int = 1
    marks: tuple[int, ...] = ()


def body_of(length: int) -> str:
    """A JSON document of `body_bytes` bytes (20 or more), as jobs have."""
    return '{"job":"resize","x":"' + "x" * (length - 23) + '"}'


class Poll:
    """A receive that waits for messages."""

    __slots__ = ("limit", "protocol", "timer")

    def __init__(self, protocol: RequestProtocol, limit: int) -> None:
        self.protocol = protocol
        self.limit = limit
        self.timer: asyncio.TimerHandle | None = None


class FakeQueue:
    """The queue and its account."""

    def __init__(self, options: Options) -> None:
        self.options = options
        count = options.messages
        self._visible: deque[int] = deque()
        self._polls: deque[Poll] = deque()
        self._received = bytearray(count)  # times each was received, at most 255
        self._deleted = bytearray(count)
        self._returns: dict[int, asyncio.TimerHandle] = {}
        self.handed_out = stamps(count)
        self.sent = self.deleted = self.receives = self.empty_receives = self.refused = 0
        self.first_receive_at = 0.0
        self.watched_pid = 0
        self.marks: list[dict[str, float]] = []
        self._mark_at = deque(sorted(options.marks))
        body = body_of(options.body_bytes)
        digest = md5(body.encode(), usedforsecurity=False).hexdigest()
        now = int(time.time() * 1000)
        self._before = b'{"MessageId":"' + ID_PREFIX.encode()
        self._between = b'","ReceiptHandle":"' + _HANDLE.encode()
        self._after = orjson.dumps(
            {
                "MD5OfBody": digest,
                "Body": body,
                "Attributes": {
                    "SenderId": "AROAEXAMPLEROLEID:i-0123456789abcdef0",
                    "SentTimestamp": str(now),
                    "ApproximateReceiveCount": "COUNT",
                    "ApproximateFirstReceiveTimestamp": str(now + 5),
                },
            }
        ).replace(b"{", b'",', 1)
        self._after_once = self._after.replace(b"COUNT", b"1")
        self._random = random.Random(options.seed)
        if not options.rate:
            self._visible.extend(range(count))
            self.sent = count

    # ---- producing

    def start_sending(self) -> None:
        """Send at random times, `rate` a second, until all are sent."""
        loop = asyncio.get_running_loop()
        if self.options.rate and self.sent < self.options.messages:
            loop.call_later(self._random.expovariate(self.options.rate), self._send_one)

    def _send_one(self) -> None:
        self._visible.append(self.sent)
        self.sent += 1
        self._serve_polls()
        self.start_sending()

    # ---- the actions

    def receive(self, protocol: RequestProtocol, request: dict[str, Any]) -> bytes | None:
        self.receives += 1
        if not self.first_receive_at:
            self.first_receive_at = time.monotonic()
        limit, wait = request.get("MaxNumberOfMessages", 1), request.get("WaitTimeSeconds", 0)
        if self._visible or not wait:
            return self._take(limit)
        poll = Poll(protocol, limit)
        poll.timer = asyncio.get_running_loop().call_later(wait, self._end_poll, poll)
        self._polls.append(poll)
        return None

    def delete_one(self, _: RequestProtocol, request: dict[str, Any]) -> bytes:
        self._delete(request["ReceiptHandle"])
        return b"{}"

    def delete_batch(self, _: RequestProtocol, request: dict[str, Any]) -> bytes:
        return self._each(request, lambda entry: self._delete(entry["ReceiptHandle"]))

    def change_one(self, _: RequestProtocol, request: dict[str, Any]) -> bytes:
        self._change(request["ReceiptHandle"], request["VisibilityTimeout"])
        return b"{}"

    def change_batch(self, _: RequestProtocol, request: dict[str, Any]) -> bytes:
        return self._each(
            request, lambda entry: self._change(entry["ReceiptHandle"], entry["VisibilityTimeout"])
        )

    def attributes(self, _: RequestProtocol, request: dict[str, Any]) -> bytes:
        waiting = str(len(self._visible))
        return orjson.dumps({"Attributes": {"ApproximateNumberOfMessages": waiting}})

    # ---- inside

    def _take(self, limit: int) -> bytes:
        visible = self._visible
        entries: list[bytes] = []
        now = time.monotonic()
        while visible and len(entries) < limit:
            number = visible.popleft()
            self._received[number] = times = min(255, self._received[number] + 1)
            if times == 1:
                self.handed_out[number] = now
                after = self._after_once
            else:
                after = self._after.replace(b"COUNT", b"%d" % times)
            digits = b"%012d" % number
            entries.append(b"".join((self._before, digits, self._between, digits, after)))
        if not entries:
            self.empty_receives += 1
            return b"{}"
        return b'{"Messages":[' + b",".join(entries) + b"]}"

    def _serve_polls(self) -> None:
        while self._polls and self._visible:
            poll = self._polls.popleft()
            if poll.timer is not None:
                poll.timer.cancel()
            if not poll.protocol.transport.is_closing():
                answer(poll.protocol, self._take(poll.limit))

    def _end_poll(self, poll: Poll) -> None:
        self._polls.remove(poll)
        answer(poll.protocol, self._take(poll.limit))

    def forget(self, protocol: RequestProtocol) -> None:
        """A connection ended: what would be handed to it would be lost."""
        self._polls = deque(poll for poll in self._polls if poll.protocol is not protocol)

    def _each(self, request: dict[str, Any], act: Callable[[dict[str, Any]], bool]) -> bytes:
        done, failed = [], []
        for entry in request["Entries"]:
            if act(entry):
                done.append({"Id": entry["Id"]})
            else:
                code = {"Code": "ReceiptHandleIsInvalid", "SenderFault": True}
                failed.append({"Id": entry["Id"], **code})
        return orjson.dumps({"Successful": done, "Failed": failed})

    def _number(self, handle: str) -> int | None:
        """Which message a handle is of; None when it was never handed out."""
        prefix, digits = handle[: len(_HANDLE)], handle[len(_HANDLE) :]
        if prefix != _HANDLE or not digits.isdigit() or int(digits) >= len(self._received):
            return None
        return int(digits) if self._received[int(digits)] else None

    def _delete(self, handle: str) -> bool:
        number = self._number(handle)
        if number is None:
            self.refused += 1
            return False
        if not self._deleted[number]:
            self._deleted[number] = 1
            self.deleted += 1
            if self._mark_at and self.deleted >= self._mark_at[0]:
                self._mark_at.popleft()
                self._mark()
        return True

    def _change(self, handle: str, seconds: int) -> bool:
        number = self._number(handle)
        if number is None:
            self.refused += 1
            return False
        if (earlier := self._returns.pop(number, None)) is not None:
            earlier.cancel()
        if not self._deleted[number]:
            later = asyncio.get_running_loop().call_later(seconds, self._return, number)
            self._returns[number] = later
        return True

    def _return(self, number: int) -> None:
        del self._returns[number]
        if not self._deleted[number]:
            self._visible.append(number)
            self._serve_polls()

    # ---- the account

    def _mark(self) -> None:
        mark = {"deleted": float(self.deleted), "at": time.monotonic()}
        mark["server_cpu"] = time.process_time()
        if self.watched_pid:
            mark["cpu"] = cpu_seconds(self.watched_pid)
            mark["resident_kb"] = float(resident_kb(self.watched_pid))
        self.marks.append(mark)

    def status(self) -> dict[str, Any]:
        """Numbers for a progress line, and for the account at the end."""
        received = len(self._received) - self._received.count(0)
        return {
            "sent": self.sent,
            "received": received,
            "deleted": self.deleted,
            "received_again": received - self._received.count(1),
            "refused": self.refused,
            "receives": self.receives,
            "empty_receives": self.empty_receives,
            "first_receive_at": self.first_receive_at,
            "marks": self.marks,
        }


def answer(protocol: RequestProtocol, body: bytes) -> None:
    protocol.transport.write(b"%b%d\r\n\r\n%b" % (_OK, len(body), body))


class QueueProtocol(RequestProtocol):
    """One client connection."""

    def __init__(self, queue: FakeQueue) -> None:
        super().__init__()
        self._queue = queue
        self._actions = {
            b"ReceiveMessage": queue.receive,
            b"DeleteMessageBatch": queue.delete_batch,
            b"DeleteMessage": queue.delete_one,
            b"ChangeMessageVisibilityBatch": queue.change_batch,
            b"ChangeMessageVisibility": queue.change_one,
            b"GetQueueAttributes": queue.attributes,
        }

    def handle(self, head: bytes, body: bytes) -> None:
        found = _TARGET.search(head)
        action = self._actions.get(found[1]) if found else None
        if action is None:
            refusal = b'{"__type":"com.amazonaws.sqs#UnsupportedOperation","message":"not faked"}'
            self.transport.write(b"%b%d\r\n\r\n%b" % (_BAD, len(refusal), refusal))
            return
        result = action(self, orjson.loads(body))
        if result is not None:
            answer(self, result)

    def connection_lost(self, exc: Exception | None) -> None:
        self._queue.forget(self)


def main() -> None:
    given = orjson.loads(sys.argv[1])
    queue = FakeQueue(Options(**given))

    def watch(order: dict[str, Any]) -> bool:
        queue.watched_pid = order["pid"]
        return True

    def send(_: dict[str, Any]) -> bool:
        queue.start_sending()
        return True

    def save(order: dict[str, Any]) -> bool:
        save_stamps(queue.handed_out, order["path"])
        return True

    orders = {"status": lambda _: queue.status(), "watch": watch, "send": send, "stamps": save}
    serve(lambda: QueueProtocol(queue), orders)


if __name__ == "__main__":
    main()
