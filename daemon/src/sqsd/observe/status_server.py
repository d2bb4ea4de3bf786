"""A strict, small HTTP server on loopback, for probes, Prometheus and people with curl.

It answers GET only, one request per connection. The size of a request's head, the time for it and
the number of connections are bounded. Any local process may connect, so a connection too many cuts
the oldest one: a health check takes milliseconds, and what has been open for longer is idle or slow
on purpose. A `Host` that is not a loopback name is refused, so that no web page can reach the
server by pointing a domain at 127.0.0.1. Pages are made from memory; the server never waits for
anything but its client.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

#: Address that the server listens on.
HOST: Final = "127.0.0.1"
#: Most connections at one time.
MOST_CONNECTIONS: Final = 128
#: Connections that are accepted in one turn of the event loop. A request takes two turns, so fewer
#: than `MOST_CONNECTIONS`: whoever opens connections without end does not cut one that is answered.
_ACCEPTED_AT_ONCE: Final = 4
#: Connections that the kernel holds until they are accepted.
_BACKLOG: Final = 1024
#: Longest head of a request, bytes.
LONGEST_HEAD: Final = 8 * 1024
#: Time in which a client must send its request and read the response, seconds.
EXCHANGE_SECONDS: Final = 5.0

#: Value of SO_LINGER with which closing a socket discards what was not sent: on, for 0 seconds.
_NO_LINGER: Final = struct.pack("ii", 1, 0)

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])\r\n")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\x00]*?)[ \t]*\r\n")
#: A `Host` header that names loopback.
_LOOPBACK_HOST: Final = re.compile(rb"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.I)


class Page(NamedTuple):
    """Holds a response."""

    status: int
    content_type: str
    body: str


def plain(status: int, text: str) -> Page:
    """Return a page of plain text that ends with a line feed."""
    return Page(status, "text/plain; charset=utf-8", text + "\n")


class BadRequest(Exception):
    """A request cannot be answered; `page` is the response that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.page = plain(status, text)


class StatusServer:
    """Serves pages, each made when it is requested.

    Args:
        pages: path, such as `/healthz` -> function that makes the page.
        failed: called with a description of an exception in a page; the client gets a 500.
    """

    def __init__(
        self, pages: Mapping[str, Callable[[], Page]], failed: Callable[[str], None]
    ) -> None:
        self._pages = pages
        self._failed = failed
        self._server: asyncio.Server | None = None
        #: Connections that were not answered yet, the oldest first.
        self._open: dict[asyncio.StreamWriter, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int) -> int:
        """Listen. Returns the port, which is `port` unless that is 0.

        Raises:
            OSError: the port is in use, or this user may not listen on it.
        """
        listening = socket.create_server((HOST, port), backlog=_BACKLOG)
        self._server = await asyncio.start_server(
            self._connected, sock=listening, limit=LONGEST_HEAD, backlog=_ACCEPTED_AT_ONCE
        )
        listening.listen(_BACKLOG)  # asyncio has one number for both
        bound: int = listening.getsockname()[1]
        return bound

    def close(self) -> None:
        """Stop listening and abort open connections: a page never delays the end of a daemon."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            _cut(writer)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = None
        if len(self._open) > MOST_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            _cut(oldest)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer), name="page")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A defect here must not end a daemon that dispatches messages.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(f"{type(error).__name__}: {error}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # `drain` waits until the kernel has all of a page, so that `close` leaves nothing.
            writer.transport.set_write_buffer_limits(0)
            async with asyncio.timeout(EXCHANGE_SECONDS):
                page = await self._answer(reader)
                writer.write(_rendered(page))
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            # The client closed, was cut, or did not send its request or read its page in time.
            _cut(writer)
        finally:
            self._open.pop(writer, None)
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Page:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return plain(431, f"a request's head may have {LONGEST_HEAD} bytes")
        try:
            path = requested_path(head)
        except BadRequest as error:
            return error.page
        make = self._pages.get(path)
        if make is None:
            return plain(404, f"there is {', '.join(self._pages)}")
        try:
            return make()
        except Exception as error:
            self._failed(f"{path}: {type(error).__name__}: {error}")
            return plain(500, "this page failed; the daemon's log says why")


def _cut(writer: asyncio.StreamWriter) -> None:
    """Reset a connection; what its client has not read is not left with the kernel."""
    with contextlib.suppress(OSError, ValueError):  # the latter of uvloop: it is closed already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


def requested_path(head: bytes) -> str:
    """Return the path that a request asks for, without its query.

    Raises:
        BadRequest: the head is not that of a GET that this server answers.
    """
    line = _REQUEST_LINE.match(head)
    if line is None:
        raise BadRequest(400, "this is not an HTTP/1 request")
    headers: dict[bytes, bytes] = {}
    at = line.end()
    while at < len(head) - 2:
        header = _HEADER.match(head, at)
        name = b"" if header is None else header[1].lower()
        if header is None or name in headers:
            raise BadRequest(400, "a header is malformed or given twice")
        headers[name] = header[2]
        at = header.end()
    if line[1] != b"GET":
        raise BadRequest(405, "only GET is answered here")
    host = headers.get(b"host")
    if host is None and line[3] == b"1":
        raise BadRequest(400, "HTTP/1.1 needs a Host header")
    if host is not None and _LOOPBACK_HOST.fullmatch(host) is None:
        raise BadRequest(403, "only loopback names are answered here: use localhost or 127.0.0.1")
    if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
        raise BadRequest(400, "a GET has no body here")
    return line[2].partition(b"?")[0].decode("ascii")


def _rendered(page: Page) -> bytes:
    body = page.body.encode()
    allow = "Allow: GET\r\n" if page.status == 405 else ""
    head = (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n"
        f"Content-Type: {page.content_type}\r\nContent-Length: {len(body)}\r\n{allow}"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
