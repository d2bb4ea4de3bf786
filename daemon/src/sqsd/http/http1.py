"""HTTP/1.1 from the client's side: a strict parser of answers, and one connection that uses it.

The daemon's hot path, so by hand: a general parser costs four times as much, and of an answer the
daemon needs its status, its length and seldom its body (docs/adr/0002). Tests hold it against h11.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from sqsd.http.tcp_state import tcp_state

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_ENCODING: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_CONNECTION: Final = re.compile(rb"\r\nconnection:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LONGEST_HEAD: Final = 64 * 1024
_LONGEST_REMEMBERED: Final = 1024  # bytes of a head; gives what is remembered a bound
_BODILESS: Final = frozenset({204, 304})
_KEPT_BUFFER: Final = 64 * 1024  # bytes read at one time of an answer such as ten messages
_DROPPED_BUFFER: Final = 16 * 1024  # and of one whose body nobody wants


class MalformedAnswer(ValueError):
    """The peer did not speak HTTP/1.x."""


class _Body(Enum):
    FIXED = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3


@lru_cache(maxsize=64)
def _read_head(head: bytes) -> tuple[int, bool, _Body | None, int]:
    """Status, keep-alive, form and length of the body; no form for an interim answer.

    Raises:
        MalformedAnswer: this is not HTTP.
    """
    found = _STATUS_LINE.match(head)
    if found is None:
        raise MalformedAnswer(f"an answer begins with {head[:20]!r}")
    status = int(found[2])
    if status < 200:
        return 0, True, None, 0
    head = head.lower()
    keep_alive = found[1] == b"1"
    for value in _CONNECTION.findall(head):
        if b"close" in value:
            keep_alive = False
        elif b"keep-alive" in value:
            keep_alive = True
    if status in _BODILESS:
        return status, keep_alive, _Body.FIXED, 0
    how, length, delimited = _body_form(head)
    return status, keep_alive and delimited, how, length


def _body_form(head: bytes) -> tuple[_Body, int, bool]:
    """How the body ends, its length, and whether the connection can be used after it."""
    encodings = _ENCODING.findall(head)
    lengths = set(_LENGTH.findall(head))
    if encodings:
        if encodings[-1].split(b",")[-1].strip() == b"chunked":
            # RFC 9112 6.1: with a length too it may be an attempt at smuggling.
            return _Body.CHUNKED, 0, not lengths
        return _Body.UNTIL_CLOSE, 0, False
    if not lengths:
        return _Body.UNTIL_CLOSE, 0, False
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 15:
        raise MalformedAnswer(f"an answer has Content-Length {length[:40]!r}")
    return _Body.FIXED, int(length), True


class AnswerParser:
    """Takes the bytes of answers to one connection's requests, one answer after the other.

    Args:
        keep_body: whether `body` is wanted; else its bytes are counted and dropped.
    """

    __slots__ = ("_buffer", "_chunks", "_how", "_keep", "_left", "head", "keep_alive", "status")

    def __init__(self, *, keep_body: bool) -> None:
        self._keep = keep_body
        self.reset()

    def reset(self) -> None:
        """Ready for the next answer."""
        self._buffer = b""
        self._how: _Body | None = None
        self._left = 0
        self._chunks: list[bytes] = []
        self.status = 0
        self.head = b""
        self.keep_alive = True

    @property
    def body(self) -> bytes:
        return b"".join(self._chunks)

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once the answer is complete.

        Raises:
            MalformedAnswer: this is not HTTP; the connection is of no more use.
        """
        if self._how is None:
            data = self._buffer + data if self._buffer else data
            end = data.find(b"\r\n\r\n")
            while end >= 0:
                if self._begin(data, end):
                    self._buffer = b""
                    return self._feed_body(data[end + 4 :])
                data = data[end + 4 :]  # 100 Continue and its like: the answer is still to come
                end = data.find(b"\r\n\r\n")
            if len(data) > _LONGEST_HEAD:
                raise MalformedAnswer(f"an answer's head is longer than {_LONGEST_HEAD} bytes")
            if data and not b"HTTP/1."[: len(data)] == data[:7]:
                raise MalformedAnswer(f"an answer begins with {data[:20]!r}")
            self._buffer = data
            return False
        return self._feed_body(data)

    def end(self) -> bool:
        """The peer closed; True when that completes the answer."""
        return self._how is _Body.UNTIL_CLOSE

    def _begin(self, data: bytes, end: int) -> bool:
        """Read the head that ends at `end`; False for an interim answer."""
        self.head = data[: end + 2]
        # An application's heads are alike for a second at a time, until their Date changes.
        read = _read_head if end <= _LONGEST_REMEMBERED else _read_head.__wrapped__
        self.status, self.keep_alive, self._how, self._left = read(self.head)
        return self._how is not None

    def _feed_body(self, data: bytes) -> bool:
        if self._how is _Body.FIXED:
            if self._keep and data:
                self._chunks.append(data[: self._left])
            self._left -= len(data)
            if self._left < 0:  # more than was announced: an answer nobody asked for
                self.keep_alive = False
            return self._left <= 0
        if self._how is _Body.UNTIL_CLOSE:
            if self._keep:
                self._chunks.append(data)
            return False
        return self._feed_chunks(data)

    def _feed_chunks(self, data: bytes) -> bool:
        """`_left` is what remains of a chunk with its CRLF; 0 before a size, -1 in the trailer."""
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        while data:
            if self._left < 0:
                return self._feed_trailer(data)
            if self._left:
                taken, data = data[: self._left], data[self._left :]
                content = self._left - 2  # the last two bytes are the chunk's own CRLF
                if self._keep and content > 0:
                    self._chunks.append(taken[:content])
                self._left -= len(taken)
                if not b"\r\n".startswith(end := taken[max(0, content) :]) and end != b"\n":
                    raise MalformedAnswer(f"a chunk ends with {end!r}")
                continue
            found = _CHUNK_SIZE.match(data)
            if found is None:
                if len(data) > 1024 or b"\r\n" in data:
                    raise MalformedAnswer(f"a chunk begins with {data[:20]!r}")
                self._buffer = data
                return False
            size = int(found[1], 16)
            data = data[found.end() :]
            self._left = size + 2 if size else -1
        return False

    def _feed_trailer(self, data: bytes) -> bool:
        if data.startswith(b"\r\n"):
            self.keep_alive = self.keep_alive and len(data) == 2
            return True
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            self.keep_alive = self.keep_alive and len(data) == end + 4
            return True
        if len(data) > _LONGEST_HEAD:
            raise MalformedAnswer("a trailer has no end")
        self._buffer = data
        return False


class Answer(NamedTuple):
    """A complete answer. `head` begins at the status line and ends with the last header's CRLF."""

    status: int
    head: bytes
    body: bytes


class Failure(Enum):
    """Why there is no answer."""

    INACTIVE = "no byte for too long"
    CLOSED = "connection closed without a complete answer"
    UNSENT = "connection closed before the request left"
    MALFORMED = "the answer was not HTTP"
    ABORTED = "given up here"


class Connection(asyncio.BufferedProtocol):
    """One connection, one request at a time. All calls from the event loop's thread.

    With a buffer of its own: for a plain `Protocol` asyncio allocates 256 kB for each read, which
    costs more than all that is done with the answer.

    `exchange` calls `done` exactly once, with an answer or a failure; after a failure, or when
    `reusable` is false, the connection is closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, keep_body: bool) -> None:
        self._loop = loop
        self._parser = AnswerParser(keep_body=keep_body)
        self._buffer = memoryview(bytearray(_KEPT_BUFFER if keep_body else _DROPPED_BUFFER))
        self._transport: asyncio.Transport | None = None
        self._done: Callable[[Answer | Failure], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._inactivity = 0.0
        self._whole = False
        self._last_byte = 0.0
        self._answered = False
        self._earlier_bytes = self._sent_bytes = 0
        self.idle_since = 0.0

    @property
    def status(self) -> int:
        """Of the answer that came last, or is coming; 0 before its head is complete."""
        return self._parser.status

    @property
    def reusable(self) -> bool:
        return (
            self._done is None and self._transport is not None and not self._transport.is_closing()
        )

    def exchange(
        self,
        request: bytes,
        done: Callable[[Answer | Failure], None],
        inactivity: float,
        *,
        whole: bool = False,
    ) -> None:
        """Send a request.

        Args:
            inactivity: seconds without a byte after which it is given up; with `whole`, seconds
                after which it is given up whatever has come.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            done(Failure.UNSENT)
            return
        self._done, self._answered = done, False
        self._inactivity, self._whole, self._last_byte = inactivity, whole, self._loop.time()
        self._earlier_bytes, self._sent_bytes = self._sent_bytes, self._sent_bytes + len(request)
        self._parser.reset()
        transport.write(request)
        # One timer serves many requests: it looks at the last byte when it fires, and moves on.
        timer = self._timer
        if timer is None or timer.when() > self._last_byte + inactivity:
            if timer is not None:  # of a request that might be silent for longer
                timer.cancel()
            self._timer = self._loop.call_later(inactivity, self._look_at_the_clock)

    async def request(self, request: bytes, inactivity: float) -> Answer | Failure:
        """`exchange` for callers that wait; cancelling it closes the connection."""
        result: asyncio.Future[Answer | Failure] = self._loop.create_future()

        def done(answer: Answer | Failure) -> None:
            if not result.done():
                result.set_result(answer)

        self.exchange(request, done, inactivity)
        try:
            return await result
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """Give up what runs, with `Failure.ABORTED`, and close at once."""
        self._finish(Failure.ABORTED)

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        done = self._done
        if done is None:  # bytes that nobody asked for
            self._close()
            return
        now = self._loop.time()
        if not self._whole:
            self._last_byte = now
        self._answered = True
        parser = self._parser
        try:
            complete = parser.feed(bytes(self._buffer[:nbytes]))
        except MalformedAnswer:
            self._finish(Failure.MALFORMED)
            return
        if complete:
            self._done = None
            self.idle_since = now
            if not parser.keep_alive:
                self._close()
            done(Answer(parser.status, parser.head, parser.body))

    def eof_received(self) -> bool:
        if self._done is not None and self._parser.end():
            parser, done, self._done = self._parser, self._done, None
            self._close()
            done(Answer(parser.status, parser.head, parser.body))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None:
            unsent = exc is None and self._nothing_taken()
            self._finish(Failure.UNSENT if unsent else Failure.CLOSED)
        self._close()

    # ---- inside

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self._done is None:
            return
        left = self._last_byte + self._inactivity - self._loop.time()
        if left <= 0:
            self._finish(Failure.INACTIVE)
        else:
            self._timer = self._loop.call_later(left, self._look_at_the_clock)

    def _finish(self, failure: Failure) -> None:
        done, self._done = self._done, None
        self._close(abort=True)
        if done is not None:
            done(failure)

    def _close(self, *, abort: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            if abort:
                self._transport.abort()
            else:
                self._transport.close()

    def _nothing_taken(self) -> bool:
        """Whether the peer had closed before the request came, and cannot have acted on it.

        That shows in three things together: an orderly end (the caller saw it), then a reset, which
        is how a kernel answers data for a socket that nobody has any more, and no byte of the
        request acknowledged. Two of them are not enough: a peer that has only stopped writing still
        reads, and one that read may reset; both may acknowledge late. This is the one case in which
        sending again is safe; anything unknown counts as taken.
        """
        if self._answered or self._transport is None:
            return False
        state = tcp_state(self._transport.get_extra_info("socket"))
        # Linux counts the connection's own SYN as one byte.
        return (
            state is not None
            and state.was_reset
            and state.acknowledged_bytes <= self._earlier_bytes + 1
        )
