"""The application of the benchmark: answers every POST 200, at once or after a fixed time.

Run as `python -m tools.bench.sink OPTIONS-AS-JSON`; the benchmark gives it orders
(`tools.bench.wire`).
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import deque
from email.utils import formatdate
from typing import Any, Final, NamedTuple

from tools.bench.wire import ID_PREFIX, ExactTimer, RequestProtocol, save_stamps, serve, stamps

_MESSAGE: Final = re.compile(
    rb"\r\nx-aws-sqsd-msgid: *" + ID_PREFIX.encode() + rb"(\d{12})\r\n", re.I
)
#: Seconds by which the timer rings early, for it takes as long to be heard; the mean delay, which
#: is reported, comes to what was asked for.
_EARLY: Final = 0.00003


class Options(NamedTuple):
    """What a run wants of the application: `delay` in seconds, and how many messages there are."""

    messages: int
    delay: float = 0.0


class Sink:
    """Counts, stamps and answers."""

    def __init__(self, options: Options) -> None:
        self.delay = options.delay
        self.arrived = stamps(options.messages)
        self._times = bytearray(options.messages)
        self.posts = self.posted_again = self.unknown = self.body_bytes = 0
        self.delayed_seconds = 0.0
        self._since = self._cpu_since = 0.0
        self._waiting: deque[tuple[float, asyncio.Transport]] = deque()
        self._timer: ExactTimer | None = None
        date = formatdate(usegmt=True)
        self._answer = (
            f"HTTP/1.1 200 OK\r\nDate: {date}\r\nConnection: keep-alive\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()

    def posted(self, protocol: RequestProtocol, head: bytes, body: bytes) -> None:
        now = time.monotonic()
        if not self.posts:
            self._since = now
            self._cpu_since = time.process_time()
        self.posts += 1
        self.body_bytes += len(body)
        found = _MESSAGE.search(head)
        number = int(found[1]) if found else -1
        if not 0 <= number < len(self._times):
            self.unknown += 1
        elif self._times[number]:
            self.posted_again += 1
        else:
            self._times[number] = 1
            self.arrived[number] = now
        if not self.delay:
            protocol.transport.write(self._answer)
            return
        if self._timer is None:
            self._timer = ExactTimer(self._answer_due)
        if not self._waiting:
            self._timer.set(now + self.delay - _EARLY)
        self._waiting.append((now, protocol.transport))

    def probed(self, protocol: RequestProtocol) -> None:
        """Answer what is no message, at once and uncounted."""
        protocol.transport.write(self._answer)

    def _answer_due(self) -> None:
        waiting = self._waiting
        now = time.monotonic()
        while waiting and waiting[0][0] + self.delay <= now + _EARLY:
            since, transport = waiting.popleft()
            self.delayed_seconds += now - since
            if not transport.is_closing():
                transport.write(self._answer)
        if waiting and self._timer is not None:
            self._timer.set(waiting[0][0] + self.delay - _EARLY)

    def _busy(self) -> float:
        """Share of a core used since the first POST."""
        if not self.posts:
            return 0.0
        return (time.process_time() - self._cpu_since) / (time.monotonic() - self._since)

    def status(self) -> dict[str, Any]:
        """Numbers for the account at the end."""
        return {
            "posts": self.posts,
            "posted": len(self._times) - self._times.count(0),
            "posted_again": self.posted_again,
            "unknown": self.unknown,
            "body_bytes": self.body_bytes,
            "mean_delay": self.delayed_seconds / self.posts if self.posts else 0.0,
            "busy": self._busy(),
        }


class SinkProtocol(RequestProtocol):
    """One connection of a client."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def handle(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET "):  # the daemon probes
            self._sink.probed(self)
        else:
            self._sink.posted(self, head, body)


def main() -> None:
    sink = Sink(Options(**json.loads(sys.argv[1])))

    def save(order: dict[str, Any]) -> bool:
        save_stamps(sink.arrived, order["path"])
        return True

    orders = {"status": lambda _: sink.status(), "stamps": save}
    serve(lambda: SinkProtocol(sink), orders)


if __name__ == "__main__":
    main()
