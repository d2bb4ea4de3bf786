"""Standard output for a daemon that must not wait for its reader.

A pipe or a journal whose reader is stuck would stop the event loop in the middle of a write. Here
lines are collected while the loop is busy, written together without ever blocking, kept up to a
bound while the reader is slow, and counted when they had to be dropped. A full disk or a closed
stream costs lines, never messages.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
import time
from collections.abc import Callable
from typing import Final

#: Bytes kept for a slow reader: some thousand lines.
MOST_PENDING: Final = 1024 * 1024
#: Seconds between tries to write to a reader that took nothing.
_RETRY_SECONDS: Final = 0.05
#: POSIX's least size of an atomic write to a pipe: one that poll calls writable takes this much.
_PIPE_ATOMIC: Final = 512

_Write = Callable[[memoryview], int]


class Output:
    """Writes lines to a file descriptor; implements `logs.LineStream`. Never raises.

    Args:
        descriptor: such as 1. It stays the caller's and keeps its own flags, for a terminal or a
            pipe may be shared with other processes.
    """

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._close: Callable[[], None] = lambda: None
        self._lines: list[str] = []
        self._pending = bytearray()
        self._lines_in_pending = 0
        self._scheduled: asyncio.Handle | None = None
        #: Lines that were never written.
        self.dropped = 0
        self._write_some = self._writer()

    def write(self, line: str, /) -> None:
        """Take one line with its end."""
        if len(self._pending) >= MOST_PENDING:
            self.dropped += 1
            return
        self._lines.append(line)

    def flush(self) -> None:
        """Write what has been taken, together with what comes until the loop gets round to it."""
        if self._scheduled is None:
            self._scheduled = self._loop.call_soon(self._write_out)

    def close(self, *, seconds: float = 1.0) -> None:
        """Write what is left, waiting for the reader at most so long."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        deadline = time.monotonic() + seconds
        self._collect()
        while self._pending and self._try() and time.monotonic() < deadline:
            select.select([], [], [], 0.01)
        self._drop_pending()
        self._close()

    def _write_out(self) -> None:
        self._scheduled = None
        self._collect()
        if self._pending and self._try() and self._pending:
            self._scheduled = self._loop.call_later(_RETRY_SECONDS, self._write_out)

    def _collect(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            # A lone surrogate becomes its escape, which is the same letter to a reader of JSON.
            self._pending += "".join(lines).encode("utf-8", "backslashreplace")
            self._lines_in_pending += len(lines)

    def _try(self) -> bool:
        """Write what the reader takes now; False when it will never take anything of this."""
        try:
            with memoryview(self._pending) as view:
                written = self._write_some(view)
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            self._drop_pending()
            return False
        del self._pending[:written]
        if not self._pending:
            self._lines_in_pending = 0
        return True

    def _drop_pending(self) -> None:
        if self._pending:
            self.dropped += self._lines_in_pending
            self._pending.clear()
            self._lines_in_pending = 0

    def _writer(self) -> _Write:
        """The way to write to this kind of descriptor without waiting and without changing it."""
        descriptor = self._descriptor
        try:
            kind = os.fstat(descriptor).st_mode
            if stat.S_ISSOCK(kind):
                return self._socket_writer()
            if stat.S_ISREG(kind):
                return lambda view: os.write(descriptor, view)
            return self._reopened_writer()
        except OSError:
            return self._polling_writer()

    def _socket_writer(self) -> _Write:
        channel = socket.socket(fileno=os.dup(self._descriptor))
        self._close = channel.close
        return lambda view: channel.send(view, socket.MSG_DONTWAIT)

    def _reopened_writer(self) -> _Write:
        """A pipe or terminal, opened anew: O_NONBLOCK on the shared one would hit others."""
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{self._descriptor}", flags)
        self._close = lambda: os.close(own)
        return lambda view: os.write(own, view)

    def _polling_writer(self) -> _Write:
        """Where it cannot be opened anew: as much as a writable pipe takes at least."""
        descriptor = self._descriptor

        def write(view: memoryview) -> int:
            written = 0
            while written < len(view):
                if not select.select([], [descriptor], [], 0)[1]:
                    if written:
                        break
                    raise BlockingIOError
                written += os.write(descriptor, view[written : written + _PIPE_ATOMIC])
            return written

        return write
