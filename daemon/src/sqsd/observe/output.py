"""Standard output for a daemon that must not wait for its reader.

A pipe or a journal whose reader is stuck would stop the event loop in the middle of a write. Here
lines are collected while the loop is busy, written together without ever blocking, kept up to a
bound while the reader is slow, and counted when they had to be dropped. A full disk or a closed
stream costs lines, never messages.
"""

from __future__ import annotations

import asyncio
import errno
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

_SLOW_READER: Final = (
    "the reader of standard output takes no more lines: look at what reads it, the journal or the"
    " log file's own program"
)
_HINTS: Final = {
    errno.ENOSPC: "make room on the disk of the log, or rotate it sooner",
    errno.EDQUOT: "raise the quota of the log's disk, or rotate it sooner",
    errno.EPIPE: "what read standard output has ended: start it again, and the daemon with it",
    errno.EIO: "the log's disk or terminal is gone: give the daemon another standard output",
}

_Write = Callable[[memoryview], int]


class Output:
    """Writes lines to a file descriptor; implements `logs.LineStream`. Never raises.

    Args:
        descriptor: such as 1. It stays the caller's and keeps its own flags, for a terminal or a
            pipe may be shared with other processes.
        recovered: called when lines are taken again, with how many were dropped since they were
            not, and why.
    """

    def __init__(
        self,
        descriptor: int,
        loop: asyncio.AbstractEventLoop,
        recovered: Callable[[int, str], None] = lambda dropped, why: None,
    ) -> None:
        self._loop, self._recovered = loop, recovered
        #: Why lines are being dropped, with the hint; None: they are not.
        self.trouble: str | None = None
        self._dropped_before = 0
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
            self._drop(1, _SLOW_READER)
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
        self._drop_pending(_SLOW_READER)
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
        except (OSError, ValueError) as error:
            self._drop_pending(_words(error))
            return False
        del self._pending[:written]
        if not self._pending:
            self._lines_in_pending = 0
            self._tell_recovery()
        return True

    def _drop_pending(self, why: str) -> None:
        if self._pending:
            self._drop(self._lines_in_pending, why)
            self._pending.clear()
            self._lines_in_pending = 0

    def _drop(self, lines: int, why: str) -> None:
        if self.trouble is None:
            self._dropped_before = self.dropped
        self.dropped += lines
        self.trouble = why

    def _tell_recovery(self) -> None:
        why, self.trouble = self.trouble, None
        if why is not None:
            # Soon and not now: what it says is a line to be written, too.
            self._loop.call_soon(self._recovered, self.dropped - self._dropped_before, why)

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


def _words(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"standard output cannot be written: {error}"
    hint = _HINTS.get(error.errno or 0, "look at where the daemon's standard output goes")
    return f"standard output cannot be written ({error.strerror or error}): {hint}"
