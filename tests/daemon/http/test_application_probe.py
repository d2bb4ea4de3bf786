"""Probes of the application: what they trust, and that they end."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from sqsd.contract import SqsdOptions
from sqsd.http.application import LocalApplication
from sqsd.messages.gate import Probe
from tests.daemon.http.posters import (
    Poster,
    poster,
    read_and_close,
    read_and_hang,
)
from tests.fakes.scripted_application import (
    OK,
    Peer,
    Script,
    ScriptedApplication,
    answering,
    free_port,
)


async def test_a_probe_of_the_port_only_connects(posters: list[Poster]) -> None:
    async with ScriptedApplication(read_and_hang) as server:
        p = poster(posters, server.port)
        assert await p.application.probe(Probe.PORT)
        assert server.requests == []
    assert not await poster(posters, free_port()).application.probe(Probe.PORT)


@pytest.mark.parametrize(
    ("script", "alive", "alive_at_first_sight"),
    [
        (answering(OK), True, True),
        (answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), True, True),
        (answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), True, True),
        (answering(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n"), False, False),
        (answering(b"HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\n\r\n"), False, False),
        (answering(b"HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n"), True, True),
        (read_and_close, False, True),
        (read_and_hang, False, True),
    ],
)
async def test_no_probe_by_a_get_trusts_a_proxy_and_silence_will_do_for_a_first_probe(
    posters: list[Poster], script: Script, alive: bool, alive_at_first_sight: bool
) -> None:
    async with ScriptedApplication(script) as server:
        probe = poster(posters, server.port).application.probe
        assert await probe(Probe.ANSWER) is alive
        assert await probe(Probe.LENIENT_GET) is alive_at_first_sight
        assert all(request.startswith(b"GET / HTTP/1.1\r\n") for request in server.requests)
    assert not await poster(posters, free_port()).application.probe(Probe.LENIENT_GET)


@pytest.mark.parametrize(
    ("head", "noticed"),
    [
        (b"Server: nginx/1.22.1", ["nginx/1.22.1"]),
        (b"server: openresty", ["openresty"]),
        (b"Server: nginx\r\nVia: 1.1 worker-tier", []),
        (b"Server: gunicorn", []),
        (b"X-Served-By: nginx", []),
    ],
)
async def test_a_proxy_that_may_leave_out_headers_is_noticed_but_not_our_own(
    head: bytes, noticed: list[str]
) -> None:
    names: list[str] = []
    answer = b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length: 0\r\n\r\n"
    async with ScriptedApplication(answering(answer)) as server:
        options = SqsdOptions(http_host="127.0.0.1", http_port=server.port)
        application = LocalApplication(options, names.append)
        assert await application.probe(Probe.LENIENT_GET)
        application.close()
    assert names == noticed


async def test_a_page_without_an_end_is_judged_by_its_status(posters: list[Poster]) -> None:
    async def trickle(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                await peer.write(b": still here\n\n")
                await asyncio.sleep(0.05)

    async with ScriptedApplication(trickle) as server:
        probe = poster(posters, server.port, connect=1).application.probe
        async with asyncio.timeout(10):
            assert await probe(Probe.LENIENT_GET)
            assert await probe(Probe.ANSWER)


async def test_a_probe_leaves_no_connection_open(posters: list[Poster]) -> None:
    ended = asyncio.Event()

    async def keep_open(peer: Peer) -> None:  # though it was asked to close
        await peer.read_request()
        await peer.write(OK)
        await peer.until_closed()
        ended.set()

    async with ScriptedApplication(keep_open) as server:
        assert await poster(posters, server.port).application.probe(Probe.ANSWER)
        async with asyncio.timeout(5):
            await ended.wait()
