"""Writes to standard output without ever waiting for its reader.

A pipe or a journal whose reader is stuck would stop the event loop in the middle of a write.
`Output` collects lines while the loop is busy and writes them together without blocking. While the
reader is slow it buffers lines up to a bound, and beyond that drops and counts them. A full disk or
a closed stream costs lines, never messages.
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

#: Bytes that are buffered for a slow reader: some thousand lines.
MOST_PENDING: Final = 1024 * 1024
#: Time between attempts to write to a reader that accepts nothing, seconds.
_RETRY_SECONDS: Final = 0.05
#: POSIX's least size of an atomic write to a pipe, bytes: a pipe that poll reports as writable
#: accepts at least this much.
_PIPE_ATOMIC: Final = 512

_SLOW_READER: Final = (
    "the reader of standard output takes no more lines: check what reads it, the journal or the"
    " log file's own program"
)
#: What to do, by the error number of a failed write.
_HINTS: Final = {
    errno.ENOSPC: "make room on the disk of the log, or rotate it sooner",
    errno.EDQUOT: "raise the quota of the log's disk, or rotate it sooner",
    errno.EPIPE: "what read standard output has ended: start it again, and the daemon with it",
    errno.EIO: "the log's disk or terminal is gone: give the daemon another standard output",
}

_Write = Callable[[memoryview], int]


class Output:
    """Implements `json_log.LineStream`: writes lines to a file descriptor. Never raises.

    Args:
        descriptor: the file descriptor, such as 1. The caller closes it. Its flags stay as they
            are, because a terminal or a pipe may be shared with other processes.
        loop: the running event loop, which writes what has been collected.
        recovered: called once lines can be written again, with the number of lines that were
            dropped in the meantime and the reason.
    """

    def __init__(
        self,
        descriptor: int,
        loop: asyncio.AbstractEventLoop,
        recovered: Callable[[int, str], None] = lambda dropped, why: None,
    ) -> None:
        self._loop = loop
        self._recovered = recovered
        #: Why lines are dropped at present, with the hint, or None while they are written.
        self.failure: str | None = None
        self._dropped_before = 0
        self._descriptor = descriptor
        self._close: Callable[[], None] = lambda: None
        self._lines: list[str] = []
        self._pending = bytearray()
        self._lines_in_pending = 0
        self._scheduled: asyncio.Handle | None = None
        #: Lines that were dropped since the process started.
        self.dropped = 0
        self._write_some = self._writer()

    def write(self, line: str, /) -> None:
        """Buffer one line, which ends with a line feed."""
        if len(self._pending) >= MOST_PENDING:
            self._drop(1, _SLOW_READER)
            return
        self._lines.append(line)

    def flush(self) -> None:
        """Write all buffered lines at the loop's next turn."""
        if self._scheduled is None:
            self._scheduled = self._loop.call_soon(self._write_out)

    def close(self, *, seconds: float = 1.0) -> None:
        """Write the buffered lines, waiting at most `seconds` for the reader; drop what remains."""
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
        lines = self._lines
        self._lines = []
        if lines:
            # A lone surrogate becomes its escape, which JSON reads as the same character.
            self._pending += "".join(lines).encode("utf-8", "backslashreplace")
            self._lines_in_pending += len(lines)

    def _try(self) -> bool:
        """Write as much as the reader accepts now. Returns False if it can never accept this."""
        try:
            with memoryview(self._pending) as view:
                written = self._write_some(view)
        except BlockingIOError:
            return True
        except (OSError, ValueError) as error:
            self._drop_pending(_reason(error))
            return False
        del self._pending[:written]
        if not self._pending:
            self._lines_in_pending = 0
            self._report_recovery()
        return True

    def _drop_pending(self, why: str) -> None:
        if self._pending:
            self._drop(self._lines_in_pending, why)
            self._pending.clear()
            self._lines_in_pending = 0

    def _drop(self, lines: int, why: str) -> None:
        if self.failure is None:
            self._dropped_before = self.dropped
        self.dropped += lines
        self.failure = why

    def _report_recovery(self) -> None:
        why = self.failure
        self.failure = None
        if why is not None:
            # At the next turn and not now, because the event itself becomes a line.
            self._loop.call_soon(self._recovered, self.dropped - self._dropped_before, why)

    def _writer(self) -> _Write:
        """Return a function that writes to the descriptor and never blocks or changes its flags."""
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
        """Open the pipe or terminal again: O_NONBLOCK on the shared one affects other processes."""
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{self._descriptor}", flags)
        self._close = lambda: os.close(own)
        return lambda view: os.write(own, view)

    def _polling_writer(self) -> _Write:
        """Write in atomic pieces while poll reports space: the pipe cannot be opened again."""
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


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"standard output cannot be written: {error}"
    hint = _HINTS.get(error.errno or 0, "check where the daemon's standard output goes")
    return f"standard output cannot be written ({error.strerror or error}): {hint}"
