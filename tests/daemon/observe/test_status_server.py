"""The status port's HTTP, over real sockets: what it answers, and what it will not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import events
from sqsd.observe import status_server
from sqsd.observe.assembly import StatusPort
from sqsd.observe.status_server import (
    LONGEST_HEAD,
    MOST_CONNECTIONS,
    BadRequest,
    Page,
    StatusServer,
    plain,
    requested_path,
)
from sqsd.testing.log import RecordingLog


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class Served:
    def __init__(self) -> None:
        self.failures: list[str] = []
        self.server = StatusServer(
            {
                "/healthz": lambda: plain(503, "no receive"),
                "/status": lambda: Page(200, "application/json", json.dumps({"ü": 1})),
                "/broken": self._broken,
            },
            self.failures.append,
        )
        self.port = 0

    def _broken(self) -> Page:
        raise KeyError("gone")

    async def send(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(10):
                return await reader.read()
        except ConnectionResetError:  # it closed without having read what was sent
            return b""
        finally:
            await gone(writer)

    async def get(self, path: str, headers: str = "Host: localhost\r\n") -> tuple[int, str]:
        answer = await self.send(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body.decode()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    served.port = await served.server.start(0)
    yield served
    served.server.close()
    await asyncio.sleep(0)


async def test_a_page_is_answered_with_its_status_type_and_length(served: Served) -> None:
    answer = await served.send(b"GET /status?pretty=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: application/json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Connection: close" in head
    assert json.loads(body) == {"ü": 1}


async def test_a_verdict_is_a_status_with_its_reason(served: Served) -> None:
    assert await served.get("/healthz") == (503, "no receive\n")


async def test_http_1_0_without_a_host_will_do(served: Served) -> None:
    assert (await served.send(b"GET /status HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_an_unknown_path_names_the_known_ones(served: Served) -> None:
    status, body = await served.get("/")
    assert status == 404
    assert "/healthz" in body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"HEAD /status HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /status HTTP/1.1\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /status HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"GET /status HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 403),
        (b"GET status HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /" + b"a" * LONGEST_HEAD + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
async def test_what_is_not_a_plain_get_from_loopback_is_refused(
    served: Served, request_bytes: bytes, status: int
) -> None:
    answer = await served.send(request_bytes)
    assert int(answer.split(b" ")[1]) == status
    assert served.failures == []


async def test_a_page_that_fails_is_a_500_and_logged(served: Served) -> None:
    status, body = await served.get("/broken")
    assert status == 500
    assert "gone" not in body
    assert served.failures == ["/broken: KeyError: 'gone'"]


HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nX: "], ids=["idle", "slow"])
async def test_a_health_check_is_answered_however_many_connections_are_idle(
    served: Served, said: bytes
) -> None:
    idle = []
    for _ in range(4 * MOST_CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(said)
        idle.append((reader, writer))
        if len(idle) % MOST_CONNECTIONS == 0:
            assert (await served.send(HEALTHZ)).startswith(b"HTTP/1.1 503")
    # the oldest were closed, as many as were too many, and the newest can still ask
    for reader, _ in idle[: 3 * MOST_CONNECTIONS]:
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
    reader, writer = idle[-1]
    writer.write(b"\r\nHost: localhost\r\n\r\n" if said else HEALTHZ)
    async with asyncio.timeout(10):
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
    for _, writer in idle:
        await gone(writer)
    assert served.failures == []


async def test_a_client_that_does_not_read_its_page_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_server, "EXCHANGE_SECONDS", 0.2)
    page = "x" * 8_000_000  # more than the kernel takes for a client that reads nothing
    server = StatusServer({"/status": lambda: plain(200, page)}, pytest.fail)
    port = await server.start(0)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        client.setblocking(False)
        poll = select.poll()
        poll.register(client, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        async with asyncio.timeout(10):
            while not poll.poll(0):  # noqa: ASYNC110 - the kernel's state
                await asyncio.sleep(0.02)
    server.close()


async def test_a_connection_has_one_answer_however_many_requests_it_sends(served: Served) -> None:
    answer = await served.send(HEALTHZ * 50)
    assert answer.count(b"HTTP/1.1 ") <= 1  # none, if the rest reset the connection
    assert (await served.get("/status"))[0] == 200
    assert len(served.server._open) == 0


async def test_a_client_that_says_nothing_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_server, "EXCHANGE_SECONDS", 0.05)
    before = time.monotonic()
    assert await served.send(b"GET /status HTTP/1.1\r\n") == b""
    assert time.monotonic() - before < 5


async def test_a_client_that_goes_away_does_no_harm(served: Served) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET /sta")
    writer.transport.abort()
    await gone(writer)
    assert (await served.get("/status"))[0] == 200
    assert served.failures == []


@given(head=st.binary(max_size=200))
def test_any_bytes_are_a_path_or_a_refusal(head: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert requested_path(head + b"\r\n\r\n").startswith("/")


async def test_only_loopback_is_listened_on(served: Served) -> None:
    server = served.server._server
    assert server is not None
    assert [sock.getsockname()[0] for sock in server.sockets] == ["127.0.0.1"]


async def test_a_port_that_is_taken_is_named_once_with_its_option_and_dispatch_goes_on(
    served: Served,
) -> None:
    log = RecordingLog()
    # ends at once instead of raising: whoever runs it goes on
    await StatusPort({}, served.port, log).run(None)
    ((event, values),) = log.events
    assert event == events.STATUS_FAILED
    assert f"127.0.0.1:{served.port}" in values["reason"]
    assert "status_port" in values["reason"]
    assert "null" in values["reason"]
