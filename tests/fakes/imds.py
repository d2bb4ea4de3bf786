"""The instance metadata service in memory, version 2 only: no token, no answer."""

from __future__ import annotations

import asyncio
import secrets

from sqsd.testing.loopback import LoopbackServer

_TOKEN_PATH = "/latest/api/token"
_METADATA = "/latest/meta-data/"


class FakeImds(LoopbackServer):
    """Serves `values` by their names below meta-data on a loopback port.

    A PUT with a time to live from 1 to 21,600 s gives a token; a GET needs one that was given and
    has not been revoked, else it is a 401, as in EC2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {"instance-id": "i-0123456789abcdef0"}
        self.requests: list[tuple[str, str]] = []
        #: Answer nothing from now on.
        self.hang = False
        self.status: int | None = None
        self._tokens: set[str] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def revoke_tokens(self) -> None:
        """As after their time, or when an instance was restored from a snapshot."""
        self._tokens.clear()

    def asked(self, name: str) -> int:
        return sum(path == _METADATA + name for _, path in self.requests)

    @property
    def tokens_given(self) -> int:
        return sum(method == "PUT" for method, _ in self.requests)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
            line, *rest = head.split("\r\n")[:-2]
            method, path, _ = line.split(" ")
            headers = {name.lower(): value for name, value in (h.split(": ", 1) for h in rest)}
            self.requests.append((method, path))
            if self.hang:
                await asyncio.Event().wait()
            status, body = self._answer(method, path, headers)
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )

    def _answer(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        if self.status is not None:
            return self.status, ""
        if method == "PUT" and path == _TOKEN_PATH:
            life = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            if not life.isdigit() or not 1 <= int(life) <= 21_600:
                return 400, ""
            token = secrets.token_urlsafe(32)
            self._tokens.add(token)
            return 200, token
        if method != "GET" or headers.get("x-aws-ec2-metadata-token") not in self._tokens:
            return 401, ""
        value = self.values.get(path.removeprefix(_METADATA))
        return (404, "not found") if value is None else (200, value)
