"""Auto Scaling's query API for lifecycle actions and protection, on a loopback port."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs

DONE = (200, "<CompleteLifecycleActionResponse/>")
REFUSED = (
    400,
    "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>"
    "<Message>No active Lifecycle Action found</Message></Error></ErrorResponse>",
)
DENIED = (
    403,
    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
    "<Message>User is not authorized to perform this action</Message></Error></ErrorResponse>",
)


class AutoScaling:
    """Takes requests and keeps them; answers as told, or nothing."""

    def __init__(self) -> None:
        self.answer: tuple[int, str] | None = DONE
        self.requests: list[tuple[dict[str, str], str]] = []
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    def actions(self) -> list[str]:
        """What was asked for, in order."""
        return [parse_qs(body)["Action"][0] for _, body in self.requests]

    def protections(self) -> list[str]:
        """What the instance's protection was set to, in order: `true` or `false`."""
        parameters = (parse_qs(body) for _, body in self.requests)
        asked = [p for p in parameters if p["Action"] == ["SetInstanceProtection"]]
        return [p["ProtectedFromScaleIn"][0] for p in asked]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.split("\r\n")[:-2]
        assert line == "POST / HTTP/1.1"
        headers = {name.lower(): value for name, value in (h.split(": ", 1) for h in rest)}
        body = (await reader.readexactly(int(headers["content-length"]))).decode()
        self.requests.append((headers, body))
        if self.answer is not None:
            status, text = self.answer
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
            )
            writer.close()
