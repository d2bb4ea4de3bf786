"""A web application that speaks bytes by a script, for tests of the HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from sqsd.testing.loopback import LoopbackServer

#: The answer of a script that is not given one.
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)


class Peer:
    """Is the server's end of one connection, for a script to read from and write to."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        requests: list[bytes],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._requests = requests

    async def read_request(self) -> bytes:
        """Return one whole request by its Content-Length; raises IncompleteReadError on a close."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        body = await self._reader.readexactly(int(found[1])) if found else b""
        self._requests.append(head + body)
        return head + body

    async def read_head(self) -> None:
        """Read the head of a request, and leave its body where it is: the kernel takes little."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await self._reader.readuntil(b"\r\n\r\n")

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def until_closed(self) -> None:
        """Wait until the other side closes, dropping what it sends."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65_536):
                pass

    def half_close(self) -> None:
        """Say that no more will be written, and go on reading."""
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


def answering(*answers: bytes) -> Script:
    """Return a script that gives each request the next answer, and repeats the last one."""

    async def script(peer: Peer) -> None:
        position = 0
        while True:
            await peer.read_request()
            await peer.write(answers[min(position, len(answers) - 1)])
            position += 1

    return script


class ScriptedApplication(LoopbackServer):
    """Serves connection n by script n; the last script serves all that follow.

    Args:
        scripts: one for each connection. Default: every request is answered 200.
        host: the loopback address to listen on.
    """

    def __init__(self, *scripts: Script, host: str = "127.0.0.1") -> None:
        super().__init__(host=host)
        self._scripts = scripts or (answering(OK),)
        self.requests: list[bytes] = []

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts)) - 1]
        await script(Peer(reader, writer, self.requests))


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free at present."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])
