"""What both servers of the benchmark share: HTTP/1.1 requests in, and orders over standard input.

Lean, so that the servers are never what limits a run: they share one core, and the client that is
measured has the other for itself.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import sys
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvloop

#: Message ids are UUIDs in form; their last twelve digits are the message's number.
ID_PREFIX: Final = "b0000000-0000-4000-8000-"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)
_PR_SET_TIMERSLACK: Final = 29
_TFD_TIMER_ABSTIME: Final = 1
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class RequestProtocol(asyncio.Protocol):
    """Cuts a connection's bytes into requests and hands each to `handle`."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""

    def handle(self, head: bytes, body: bytes) -> None:
        """Answer a request, now or later, by `self.transport.write`."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        while data:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                break
            found = _LENGTH.search(data, 0, end)
            if found is None and _CHUNKED.search(data, 0, end):
                self.transport.write(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\n\r\n")
                self.transport.close()
                return
            whole = end + (int(found[1]) if found else 0)
            if len(data) < whole:
                break
            self.handle(data[:end], data[end:whole])
            data = data[whole:]
        self._buffer = data


def stamps(count: int) -> array[float]:
    """An array with a monotonic time for each message; 0 where nothing happened."""
    return array("d", bytes(8 * count))


def save_stamps(values: array[float], path: str) -> None:
    Path(path).write_bytes(values.tobytes())


def load_stamps(path: Path) -> array[float]:
    values = array("d")
    values.frombytes(path.read_bytes())
    return values


def cpu_seconds(pid: int) -> float:
    """CPU time, user and system, that a process has used so far; all its threads, ended ones too.

    Raises:
        OSError: there is no such process.
    """
    # How Linux writes "the CPU clock of process `pid`" as a clock's id (clock_getcpuclockid(3)).
    return time.clock_gettime((~pid << 3) | 2)


def resident_kb(pid: int) -> int:
    """Resident memory in kB at this moment, 0 when the process has ended."""
    return _status_kb(pid, "VmRSS:")


def peak_resident_kb(pid: int) -> int:
    """The most resident memory so far in kB, 0 when the process has ended."""
    return _status_kb(pid, "VmHWM:")


def _status_kb(pid: int, field: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    found = re.search(rf"^{field}\s+([0-9]+) kB$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def serve(
    protocol: Callable[[], RequestProtocol],
    orders: dict[str, Callable[[dict[str, Any]], Any]],
) -> None:
    """Listen on a free loopback port and obey orders until standard input closes.

    The first line on standard output is `{"port": ...}`; each order, a JSON line with the key `do`,
    is answered by one JSON line. Standard input closes when the benchmark ends, however it ends.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)
        _say({"port": server.sockets[0].getsockname()[1]})
        ended = asyncio.Event()

        def order() -> None:
            line = sys.stdin.readline()
            if not line:
                loop.remove_reader(sys.stdin)
                ended.set()
                return
            asked = json.loads(line)
            _say(orders[asked["do"]](asked))

        loop.add_reader(sys.stdin, order)
        await ended.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class ExactTimer:
    """Calls back at a time, to some ten microseconds; event loops round to milliseconds.

    One of Linux's timers behind a file descriptor, which the loop watches like a socket
    (timerfd_create(2)). Python has them from 3.13 on.

    Args:
        ring: called in the running loop, once for each `set`.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._ring = ring
        # Without this the kernel may be 50 us late, to wake up for several things at one time.
        self._libc.prctl(_PR_SET_TIMERSLACK, 1)
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        asyncio.get_running_loop().add_reader(self._fd, self._due)

    def set(self, at: float) -> None:
        """Ring at this time of the monotonic clock, or at once; a time set before is forgotten."""
        nanoseconds = max(1, int(at * 1e9))
        spec = (ctypes.c_long * 4)(0, 0, *divmod(nanoseconds, 1_000_000_000))
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, spec, None)

    def _due(self) -> None:
        os.read(self._fd, 8)
        self._ring()


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)
