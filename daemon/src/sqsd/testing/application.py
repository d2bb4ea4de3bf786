"""The web application: one that speaks bytes by a script, and one behind `ports.Application`."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Answered, Broken, Outcome
from sqsd.messages.request import Request
from sqsd.testing.loopback import LoopbackServer

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_MESSAGE_ID: Final = re.compile(rb"\r\nX-Aws-Sqsd-Msgid: ([^\r\n]*)\r\n")


class Peer:
    """The server's end of one connection, for a script to read from and write to."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        requests: list[bytes],
    ) -> None:
        self._reader, self._writer, self._requests = reader, writer, requests

    async def read_request(self) -> bytes:
        """One whole request by its Content-Length; raises IncompleteReadError on a close."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        found = _LENGTH.search(head)
        body = await self._reader.readexactly(int(found[1])) if found else b""
        self._requests.append(head + body)
        return head + body

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
    """Each request on the connection gets the next answer, the last one for ever."""

    async def script(peer: Peer) -> None:
        position = 0
        while True:
            await peer.read_request()
            await peer.write(answers[min(position, len(answers) - 1)])
            position += 1

    return script


class ScriptedApplication(LoopbackServer):
    """A server on loopback. Connection n runs script n; the last script serves all that follow.

    Args:
        host: which loopback address to listen on.
    """

    def __init__(self, *scripts: Script, host: str = "127.0.0.1") -> None:
        super().__init__(host=host)
        self._scripts = scripts or (answering(OK),)
        self.requests: list[bytes] = []

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts)) - 1]
        await script(Peer(reader, writer, self.requests))


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on, for now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


class FakeApplication:
    """Implements `ports.Application` in memory, and sees to it that no id runs twice at a time.

    `answers` says what the next requests get, the last for ever; an outcome None holds the request
    until `finish`. `seconds` is how long an answer takes.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outcomes: deque[Outcome | None] = deque([Answered(200)])
        self._running: dict[str, Callable[[Outcome], None]] = {}
        self._failing: set[bytes] = set()
        self.seconds = 0.01
        self.up = True
        self.posted: list[Request] = []
        self.probes: list[Probe] = []
        self.most_at_once = 0

    def answers(self, *outcomes: Outcome | int | None) -> None:
        self._outcomes = deque(Answered(o) if isinstance(o, int) else o for o in outcomes)

    def fail(self, *bodies: str) -> None:
        """Answer messages of these bodies 500, whatever others get."""
        self._failing.update(body.encode() for body in bodies)

    @property
    def running(self) -> list[str]:
        """Ids of the messages whose requests have no answer yet, oldest first."""
        return list(self._running)

    @property
    def bodies(self) -> list[str]:
        return [request.body.decode() for request in self.posted]

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        found = _MESSAGE_ID.search(request.head)
        assert found is not None
        message_id = found[1].decode()
        assert message_id not in self._running, f"{message_id} runs twice at one time"
        self.posted.append(request)
        self._running[message_id] = done
        self.most_at_once = max(self.most_at_once, len(self._running))
        outcome = self._outcomes.popleft() if len(self._outcomes) > 1 else self._outcomes[0]
        if request.body in self._failing:
            outcome = Answered(500)
        if outcome is not None:
            self._loop.call_later(self.seconds, self.finish, message_id, outcome)

    def finish(self, message_id: str, outcome: Outcome | int) -> None:
        """Answer a request, unless it was given up in the meantime."""
        done = self._running.pop(message_id, None)
        if done is not None:
            done(Answered(outcome) if isinstance(outcome, int) else outcome)

    def abort(self) -> None:
        for message_id in list(self._running):
            self.finish(message_id, Broken.CUT)

    async def probe(self, how: Probe) -> bool:
        self.probes.append(how)
        await asyncio.sleep(0)
        return self.up
