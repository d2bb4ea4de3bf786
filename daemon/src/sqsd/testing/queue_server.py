"""Serves `FakeSqs` over HTTP/1.1: the AWS JSON protocol, by h11, and faults of the network."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping

import h11

from sqsd.testing.loopback import LoopbackServer
from sqsd.testing.queue import Broken, FakeSqs, Refusal


class SqsServer(LoopbackServer):
    """Serves a queue on a loopback port of the running event loop. Use it with `async with`.

    `sqsd.testing.endpoint.SqsEndpoint` serves one from a thread, for code that blocks.

    Args:
        sqs: the queue.
        tls: the TLS context to serve with, or None for plain text.
    """

    def __init__(self, sqs: FakeSqs, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.sqs = sqs
        #: Heads of all requests, oldest first.
        self.heads: list[h11.Request] = []
        #: Session tokens that are refused with `ExpiredTokenException`.
        self.expired_tokens: set[str] = set()
        #: Headers that are added to every answer, such as a `Date`.
        self.headers: list[tuple[str, str]] = []
        #: Whether a connection stays open after an answer.
        self.keep_alive = True
        self._writers: list[asyncio.StreamWriter] = []

    def close_connections(self) -> None:
        """Close every connection, also one that waits for an answer."""
        for writer in self._writers:
            writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self._writers.append(writer)
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        while (received := await _request(protocol, reader)) is not None:
            head, body = received
            self.heads.append(head)
            for data in await self._answer(protocol, head, body):
                writer.write(data)
            await writer.drain()
            if protocol.our_state is not h11.DONE or not self.keep_alive:
                return
            protocol.start_next_cycle()

    async def _answer(
        self, protocol: h11.Connection, head: h11.Request, body: bytes
    ) -> list[bytes]:
        headers = {name.decode(): value.decode() for name, value in head.headers}
        action = headers["x-amz-target"].removeprefix("AmazonSQS.")
        status = 200
        document = b""
        try:
            self._check(headers)
            answer = await self.sqs.answer(action, json.loads(body))
            if answer in (Broken.LOST, Broken.HANG):
                return []
            if answer is Broken.GARBAGE:
                return [b"\x00\x01 not HTTP\r\n\r\n"]
            cut = answer is Broken.CUT
            document = b"<html>" if isinstance(answer, Broken) else json.dumps(answer).encode()
        except Refusal as refusal:
            status = refusal.status
            cut = False
            kind = f"com.amazonaws.sqs#{refusal.code}"
            document = json.dumps({"__type": kind, "message": refusal.message}).encode()
        length = len(document) + 10 if cut else len(document)
        start = h11.Response(
            status_code=status,
            headers=[
                ("Content-Type", "application/x-amz-json-1.0"),
                ("Content-Length", str(length)),
                *self.headers,
            ],
        )
        data = [protocol.send(start) or b"", protocol.send(h11.Data(data=document)) or b""]
        return data if cut else [*data, protocol.send(h11.EndOfMessage()) or b""]

    def _check(self, headers: Mapping[str, str]) -> None:
        if headers["content-type"] != "application/x-amz-json-1.0":
            raise Refusal("UnsupportedProtocol", headers["content-type"])
        if not headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "):
            raise Refusal("MissingAuthenticationToken", status=403)
        if headers.get("x-amz-security-token") in self.expired_tokens:
            raise Refusal("ExpiredTokenException", "The security token is expired", status=403)


async def _request(
    protocol: h11.Connection, reader: asyncio.StreamReader
) -> tuple[h11.Request, bytes] | None:
    head = None
    body = b""
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return head, body
        else:
            return None
