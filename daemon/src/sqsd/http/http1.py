"""Speaks HTTP/1.1 as a client: a strict parser of answers, and a connection that uses it.

This is the daemon's hot path, so it is written by hand: a general parser costs four times as much,
and the daemon needs only the status, the length and rarely the body of an answer (docs/adr/0002).
Tests compare it with h11.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from sqsd.http.tcp_state import tcp_state, unacknowledged_bytes

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_ENCODING: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_CONNECTION: Final = re.compile(rb"\r\nconnection:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
#: Longest head or trailer of an answer, bytes.
_LONGEST_HEAD: Final = 64 * 1024
#: Longest head whose parse is cached, bytes; bounds the cache.
_LONGEST_CACHED_HEAD: Final = 1024
#: Statuses whose answers have no body.
_BODILESS: Final = frozenset({204, 304})
#: Bytes read at one time where the body is wanted, such as that of ten messages.
_BODY_BUFFER: Final = 64 * 1024
#: Length of a request from which its answer may come before the peer has taken it, bytes. A
#: kernel takes shorter ones at once.
_LONG_REQUEST: Final = 16 * 1024
#: Bytes read at one time where the body is dropped.
_DROP_BUFFER: Final = 16 * 1024


class MalformedAnswer(ValueError):
    """An answer is not HTTP/1.x."""


class _Body(Enum):
    """Says how the end of a body is found."""

    FIXED = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3


@lru_cache(maxsize=64)
def _read_head(head: bytes) -> tuple[int, bool, _Body | None, int]:
    """Return status, keep-alive, body form and body length; the form is None if it is interim.

    Raises:
        MalformedAnswer: the head is not that of an HTTP answer.
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
    """Return the body's form, its length, and whether the connection can be used after it."""
    encodings = _ENCODING.findall(head)
    lengths = set(_LENGTH.findall(head))
    if encodings:
        if encodings[-1].split(b",")[-1].strip() == b"chunked":
            # RFC 9112 6.1: a length as well may be an attempt at request smuggling.
            return _Body.CHUNKED, 0, not lengths
        return _Body.UNTIL_CLOSE, 0, False
    if not lengths:
        return _Body.UNTIL_CLOSE, 0, False
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 15:
        raise MalformedAnswer(f"an answer has Content-Length {length[:40]!r}")
    return _Body.FIXED, int(length), True


class AnswerParser:
    """Parses the answers on one connection, one after another.

    Args:
        keep_body: whether `body` is wanted; if not, its bytes are counted and dropped.
    """

    __slots__ = ("_buffer", "_chunks", "_how", "_keep", "_left", "head", "keep_alive", "status")

    def __init__(self, *, keep_body: bool) -> None:
        self._keep = keep_body
        self.reset()

    def reset(self) -> None:
        """Begin the next answer."""
        self._buffer = b""
        self._how: _Body | None = None
        self._left = 0
        self._chunks: list[bytes] = []
        self.status = 0
        self.head = b""
        self.keep_alive = True

    @property
    def body(self) -> bytes:
        """Bytes of the body so far; empty without `keep_body`."""
        return b"".join(self._chunks)

    def feed(self, data: bytes) -> bool:
        """Parse more bytes. Returns True once the answer is complete.

        Raises:
            MalformedAnswer: this is not HTTP, so the connection cannot be used any more.
        """
        if self._how is None:
            data = self._buffer + data if self._buffer else data
            end = data.find(b"\r\n\r\n")
            while end >= 0:
                if self._begin(data, end):
                    self._buffer = b""
                    return self._feed_body(data[end + 4 :])
                data = data[end + 4 :]  # an interim answer, such as 100 Continue
                end = data.find(b"\r\n\r\n")
            if len(data) > _LONGEST_HEAD:
                raise MalformedAnswer(f"an answer's head is longer than {_LONGEST_HEAD} bytes")
            if data and not b"HTTP/1."[: len(data)] == data[:7]:
                raise MalformedAnswer(f"an answer begins with {data[:20]!r}")
            self._buffer = data
            return False
        return self._feed_body(data)

    def end(self) -> bool:
        """Note that the peer closed. Returns whether that completes the answer."""
        return self._how is _Body.UNTIL_CLOSE

    def _begin(self, data: bytes, end: int) -> bool:
        """Parse the head that ends at `end`. Returns False if the answer is interim."""
        self.head = data[: end + 2]
        # An application's heads are equal for a second at a time, until their Date changes.
        read = _read_head if end <= _LONGEST_CACHED_HEAD else _read_head.__wrapped__
        self.status, self.keep_alive, self._how, self._left = read(self.head)
        return self._how is not None

    def _feed_body(self, data: bytes) -> bool:
        if self._how is _Body.FIXED:
            if self._keep and data:
                self._chunks.append(data[: self._left])
            self._left -= len(data)
            if self._left < 0:  # more bytes than announced: an answer without a request
                self.keep_alive = False
            return self._left <= 0
        if self._how is _Body.UNTIL_CLOSE:
            if self._keep:
                self._chunks.append(data)
            return False
        return self._feed_chunks(data)

    def _feed_chunks(self, data: bytes) -> bool:
        """Parse a chunked body.

        `_left` is the rest of a chunk with its CRLF, 0 before a chunk size, -1 in the trailer.
        """
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        while data:
            if self._left < 0:
                return self._feed_trailer(data)
            if self._left:
                taken, data = data[: self._left], data[self._left :]
                content = self._left - 2  # the last two bytes are the chunk's CRLF
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
    """Holds a complete answer; `head` is the status line and the headers, each with its CRLF."""

    status: int
    head: bytes
    body: bytes


class Failure(Enum):
    """Says why a request has no answer."""

    INACTIVE = "no byte for too long"
    CLOSED = "connection closed without a complete answer"
    UNANSWERED = "connection closed without one byte of an answer"
    UNSENT = "connection closed before the request left"
    MALFORMED = "the answer was not HTTP"
    ABORTED = "given up here"


class Connection(asyncio.BufferedProtocol):
    """Sends one request at a time over one connection, from the event loop's thread.

    It has a buffer, because asyncio allocates 256 kB for each read of a plain `Protocol`, which
    costs more than all the work on the answer.

    `exchange` calls `done` exactly once, with an answer or a failure. After a failure, or when
    `reusable` is false, the connection is closed.

    Args:
        loop: the running event loop.
        keep_body: whether the bodies of answers are wanted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, keep_body: bool) -> None:
        self._loop = loop
        self._parser = AnswerParser(keep_body=keep_body)
        self._buffer = memoryview(bytearray(_BODY_BUFFER if keep_body else _DROP_BUFFER))
        self._transport: asyncio.Transport | None = None
        self._done: Callable[[Answer | Failure], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._inactivity = 0.0
        self._whole = False
        self._last_byte = 0.0
        self._answered = False
        self._earlier_bytes = 0
        self._sent_bytes = 0
        self._is_long = False
        #: Loop time at which the last answer was complete, seconds.
        self.idle_since = 0.0

    @property
    def status(self) -> int:
        """Status of the current or last answer, or 0 before its head is complete."""
        return self._parser.status

    @property
    def reusable(self) -> bool:
        """Whether a request can be sent now."""
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
            request: head and body.
            done: called exactly once, with the answer or the failure.
            inactivity: time without a byte after which the request is given up, seconds.
            whole: whether `inactivity` is the deadline of the whole answer instead.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            done(Failure.UNSENT)
            return
        self._done = done
        self._answered = False
        self._inactivity = inactivity
        self._whole = whole
        self._last_byte = self._loop.time()
        self._earlier_bytes = self._sent_bytes
        self._sent_bytes += len(request)
        self._is_long = len(request) > _LONG_REQUEST
        self._parser.reset()
        transport.write(request)
        # One timer serves many requests: when it fires, it checks the last byte and is set again.
        timer = self._timer
        if timer is None or timer.when() > self._last_byte + inactivity:
            if timer is not None:  # that of an earlier request with a longer limit
                timer.cancel()
            self._timer = self._loop.call_later(inactivity, self._check_inactivity)

    async def request(self, request: bytes, inactivity: float) -> Answer | Failure:
        """Send a request and return its answer or failure. Cancelling it closes the connection."""
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
        """End a running request with `Failure.ABORTED`, and close at once."""
        self._finish(Failure.ABORTED)

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        done = self._done
        if done is None:  # bytes without a request
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
            if self._is_long and self._is_sending():
                self._close(abort=True)
            elif not parser.keep_alive:
                self._close()
            done(Answer(parser.status, parser.head, parser.body))

    def eof_received(self) -> bool:
        if self._done is not None and self._parser.end():
            parser = self._parser
            done = self._done
            self._done = None
            self._close()
            done(Answer(parser.status, parser.head, parser.body))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None:
            unsent = exc is None and self._nothing_taken()
            ended = Failure.CLOSED if self._answered else Failure.UNANSWERED
            self._finish(Failure.UNSENT if unsent else ended)
        self._close()

    # ---- inside

    def _check_inactivity(self) -> None:
        self._timer = None
        if self._done is None:
            return
        left = self._last_byte + self._inactivity - self._loop.time()
        if left <= 0:
            self._finish(Failure.INACTIVE)
        else:
            self._timer = self._loop.call_later(left, self._check_inactivity)

    def _finish(self, failure: Failure) -> None:
        done = self._done
        self._done = None
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

    def _is_sending(self) -> bool:
        """Return whether the peer answered before it took all of the request.

        The rest would stand before the next request, which might wait for it for ever.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        sock = transport.get_extra_info("socket")
        return transport.get_write_buffer_size() > 0 or unacknowledged_bytes(sock) > 0

    def _nothing_taken(self) -> bool:
        """Return whether the peer had closed before the request came, and cannot have acted on it.

        Three things together show that: an orderly end, which the caller saw; then a reset, with
        which a kernel answers data for a socket that is closed; and no byte of the request
        acknowledged. Two of them are not enough: a peer that has only stopped writing still reads,
        and one that has read may reset; both may acknowledge late. Only in this case is it safe to
        send the request again. Anything unknown counts as taken.
        """
        if self._answered or self._transport is None:
            return False
        state = tcp_state(self._transport.get_extra_info("socket"))
        # Linux counts the connection's SYN as one byte.
        return (
            state is not None
            and state.was_reset
            and state.acknowledged_bytes <= self._earlier_bytes + 1
        )
