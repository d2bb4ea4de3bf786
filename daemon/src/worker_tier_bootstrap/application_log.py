"""Copies what a process of the application prints to its log, so that it stays an application's.

It copies the errors of nginx too, in which a FastCGI application writes whole lines.

CloudWatch reads metrics in any log event that is a JSON object with the key `_aws` (the embedded
metric format), and the daemon's metrics travel that way. So a line that begins like a JSON object
is wrapped: `{"process":"web","log":{...}}`, or with the text as a string where it is no valid
object. It can be neither a metric nor a line of the daemon, and its fields are found as `log.NAME`.
Every other line is copied as it is.

Promised: an application never waits for a disk that is full, lines are lost instead and counted;
what was printed before a stop is written before this program ends. It is the standard input and
output of `worker-tier-log@NAME.service`, and needs no right to any file.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from typing import Final

#: Greatest length of a line in bytes; a longer one is cut, so that it cannot take the memory.
MAX_LINE_BYTES: Final = 262_144
#: Bytes read at once.
_CHUNK_BYTES: Final = 65_536
#: Beginning of a JSON object, after whatever is no visible ASCII character: blanks, byte order
#: marks, control characters. A carriage return may end a line for another reader.
_MAY_BE_OBJECT: Final = re.compile(rb"(?:^|\r)[^\x21-\x7e\r]*\{")


def written(line: bytes, process: str) -> bytes:
    """Return a line of a process as it is written to the log.

    Args:
        line: the line without its line feed.
        process: the process's name in the Procfile.
    """
    if b"{" not in line or _MAY_BE_OBJECT.search(line) is None:
        return line
    text = line.strip(b" \t\r")
    if _is_object(text):
        # As it was printed: numbers and their order stay. A carriage return is a blank here, for a
        # string of JSON holds none.
        return b'{"process":"%b","log":%b}' % (process.encode(), text.replace(b"\r", b" "))
    document = {"process": process, "log": line.decode("utf-8", "replace")}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _is_object(text: bytes) -> bool:
    """Whether a text is one valid JSON object, for every reader of JSON."""
    try:
        return isinstance(json.loads(text.decode(), parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which are not JSON."""
    raise ValueError(constant)


class Lines:
    """Cuts a stream into lines of at most `MAX_LINE_BYTES`."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that a chunk completes."""
        *lines, self._begun = (self._begun + chunk).split(b"\n")
        for line in lines:
            yield from _pieces(line)
        while len(self._begun) > MAX_LINE_BYTES:
            yield self._begun[:MAX_LINE_BYTES]
            self._begun = self._begun[MAX_LINE_BYTES:]

    def rest(self) -> Iterator[bytes]:
        """Yield the line that has not ended."""
        if self._begun:
            yield self._begun
        self._begun = b""


def _pieces(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line) or 1, MAX_LINE_BYTES):
        yield line[start : start + MAX_LINE_BYTES]


class Copier:
    """Writes the lines of one process to a file descriptor."""

    def __init__(self, process: str, target: int) -> None:
        self._process = process
        self._target = target
        self._lines = Lines()
        self._lost = 0

    def copy(self, chunk: bytes) -> None:
        """Write the lines that a chunk completes."""
        self._write(list(self._lines.feed(chunk)))

    def finish(self) -> None:
        """Write the line that has not ended."""
        self._write(list(self._lines.rest()))

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        text = b"".join(written(line, self._process) + b"\n" for line in lines)
        if self._lost:
            text = f"worker-tier: {self._lost} lines were lost here\n".encode() + text
        try:
            while text:
                text = text[os.write(self._target, text) :]
            self._lost = 0
        except OSError:  # the disk is full; the application must not wait for it
            self._lost += len(lines)


def main(process: str, source: int = 0, target: int = 1) -> None:
    """Copy lines until SIGTERM, then copy those that the pipe still holds, and return."""
    copier = Copier(process, target)
    stop, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(source, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGTERM, lambda *_: None)
    while True:
        ready, _, _ = select.select([source, stop], [], [])
        chunk = _read(source)
        if chunk:
            copier.copy(chunk)
        elif chunk is not None or stop in ready:
            copier.finish()
            return


def _read(source: int) -> bytes | None:
    """Return what a pipe holds, b"" at its end, or None if it is empty for now."""
    try:
        return os.read(source, _CHUNK_BYTES)
    except BlockingIOError:
        return None


if __name__ == "__main__":
    main(sys.argv[1])
