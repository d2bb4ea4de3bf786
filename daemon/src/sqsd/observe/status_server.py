"""A strict little HTTP server on loopback, for probes, Prometheus and people with curl.

GET only, one request a connection, everything bounded: size of a head, time for it, connections at
one time. Names that are not loopback's are refused, so that no web page can reach it by pointing a
name of its own at 127.0.0.1. It answers from the daemon's memory and never waits for anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

HOST: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 16
LONGEST_HEAD: Final = 8 * 1024
#: Seconds that a client gets for its request and for taking the answer.
PATIENCE_SECONDS: Final = 5.0

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])\r\n")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\x00]*?)[ \t]*\r\n")
_LOOPBACK_HOST: Final = re.compile(rb"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?", re.I)


class Page(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    body: str


def plain(status: int, text: str) -> Page:
    return Page(status, "text/plain; charset=utf-8", text + "\n")


class BadRequest(Exception):
    """What a client sent cannot be answered; `page` says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.page = plain(status, text)


class StatusServer:
    """Serves pages, each made at the moment it is asked for.

    Args:
        pages: by path, such as `/healthz`.
        failed: told what an exception in a page was, which the client sees as a 500.
    """

    def __init__(
        self, pages: Mapping[str, Callable[[], Page]], failed: Callable[[str], None]
    ) -> None:
        self._pages, self._failed = pages, failed
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self, port: int) -> int:
        """Listen; gives the port, which is `port` unless that is 0.

        Raises:
            OSError: it is taken, or this user may not listen there.
        """
        self._server = await asyncio.start_server(
            self._serve, HOST, port, limit=LONGEST_HEAD, backlog=MOST_CONNECTIONS
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """Listen no more, and cut what is open: nobody waits for a page to end a daemon."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if len(self._open) > MOST_CONNECTIONS:
                return
            async with asyncio.timeout(PATIENCE_SECONDS):
                page = await self._answer(reader)
                writer.write(_rendered(page))
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            pass  # the client went away, or took too long to say what it wants
        except Exception as error:  # a defect here must not end a daemon that dispatches messages
            self._failed(f"{type(error).__name__}: {error}")
        finally:
            self._open.discard(writer)
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


def requested_path(head: bytes) -> str:
    """The path that a request's head asks for, without its query.

    Raises:
        BadRequest: it is not a GET that this server answers.
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
