"""The application over real sockets: each request is posted once, and its end is reported once."""

from __future__ import annotations

import asyncio
import socket
from email.utils import formatdate

import pytest

from sqsd.contract import SqsdOptions
from sqsd.http.application import LocalApplication, retry_after_seconds
from sqsd.http.http1 import Connection
from sqsd.messages.outcome import Answered, Broken, Outcome, Unreachable
from tests.daemon.http.posters import (
    Poster,
    poster,
    read_and_close,
    read_and_hang,
    read_and_reset,
    request,
)
from tests.fakes.scripted_application import (
    OK,
    Peer,
    Script,
    ScriptedApplication,
    answering,
    free_port,
)


async def answer_once_and_close(peer: Peer) -> None:
    await peer.read_request()
    await peer.write(OK)


async def test_an_idle_connection_is_used_again(posters: list[Poster]) -> None:
    async with ScriptedApplication() as server:
        p = poster(posters, server.port)
        for n in range(10):
            assert await p.post(b"%d" % n) == Answered(200)
        assert server.connections == 1
        assert [sent[-1:] for sent in server.requests] == [b"%d" % n for n in range(10)]


async def test_requests_at_one_time_have_a_connection_each_and_no_more(
    posters: list[Poster],
) -> None:
    async with ScriptedApplication() as server:
        p = poster(posters, server.port)
        for _ in range(3):
            outcomes = await asyncio.gather(*(p.start(b"%d" % n) for n in range(8)))
            assert outcomes == [Answered(200)] * 8
        assert server.connections == 8
        assert len(server.requests) == 24


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (OK, Answered(200)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answered(204)),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n", Answered(429, 17)),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nretry-after:9 \r\n\r\n", Answered(503, 9)),
        (
            b"HTTP/1.1 503 No\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n"
            b"Content-Length: 0\r\n\r\n",
            Answered(503),
        ),
        (b"HTTP/1.1 503 No\r\nRetry-After: -1\r\nContent-Length: 0\r\n\r\n", Answered(503)),
        (b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", Answered(301)),
        (b"nonsense\r\n\r\n", Broken.MALFORMED),
    ],
)
async def test_the_answer_of_the_application_is_the_outcome(
    posters: list[Poster], answer: bytes, outcome: Outcome
) -> None:
    async with ScriptedApplication(answering(answer)) as server:
        assert await poster(posters, server.port).post() == outcome
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [b"200 OK", b"413 Too Large", b"500 Oops"])
@pytest.mark.parametrize("kibibytes", [512, 1_024, 8_192])
async def test_an_answer_before_the_body_was_taken_frees_no_connection_for_the_next_request(
    posters: list[Poster], status: bytes, kibibytes: int
) -> None:
    finished = asyncio.Event()

    async def answer_early(peer: Peer) -> None:
        await peer.read_head()
        await peer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)
        await finished.wait()

    async with ScriptedApplication(answer_early, answering(OK)) as server:
        p = poster(posters, server.port)
        assert await p.post(bytes(1_024 * kibibytes)) == Answered(int(status[:3]))
        async with asyncio.timeout(2):
            assert await p.post(b"next") == Answered(200)
        assert server.connections == 2
        finished.set()


@pytest.mark.parametrize("kibibytes", [1, 20, 1_024, 4_096])
async def test_a_long_body_that_was_taken_leaves_the_connection_to_the_next_request(
    posters: list[Poster], kibibytes: int
) -> None:
    async with ScriptedApplication() as server:
        p = poster(posters, server.port)
        for _ in range(3):
            assert await p.post(bytes(1_024 * kibibytes)) == Answered(200)
        assert server.connections == 1


@pytest.mark.parametrize("script", [read_and_close, read_and_reset])
async def test_a_request_that_was_read_and_not_answered_is_not_posted_again(
    posters: list[Poster], script: Script
) -> None:
    async with ScriptedApplication(script) as server:
        assert await poster(posters, server.port).post() == Broken.UNANSWERED
        await asyncio.sleep(0.02)
        assert len(server.requests) == 1


async def test_a_request_on_an_idle_connection_is_not_sent_twice_either(
    posters: list[Poster],
) -> None:
    async def answer_then_read_and_close(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(OK)
        await peer.read_request()

    async with ScriptedApplication(answer_then_read_and_close) as server:
        p = poster(posters, server.port)
        assert await p.post(b"first") == Answered(200)
        assert await p.post(b"second") == Broken.UNANSWERED
        assert [sent[-1:] for sent in server.requests] == [b"t", b"d"]


async def test_a_connection_that_went_stale_is_replaced_and_the_request_posted_once(
    posters: list[Poster],
) -> None:
    """The server closes idle connections in the moment at which the next request is written."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    p = poster(posters, listener.getsockname()[1])
    stale = []
    pending = [p.start() for _ in range(3)]
    for _ in pending:
        peer, _ = await loop.sock_accept(listener)
        await loop.sock_recv(peer, 65_536)
        await loop.sock_sendall(peer, OK)
        stale.append(peer)
    await asyncio.gather(*pending)
    for peer in stale:  # no turn of the loop from here to the next post
        peer.close()
    retried = p.start(b"once")
    peer, _ = await loop.sock_accept(listener)
    assert (await loop.sock_recv(peer, 65_536)).endswith(b"once")
    await loop.sock_sendall(peer, OK)
    assert await retried == Answered(200)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await loop.sock_accept(listener)
    peer.close()
    listener.close()


async def test_a_closed_idle_connection_costs_the_next_message_nothing(
    posters: list[Poster],
) -> None:
    async with ScriptedApplication(answer_once_and_close) as server:
        p = poster(posters, server.port)
        for _ in range(3):
            assert await p.post() == Answered(200)
            await asyncio.sleep(0.01)
        assert (server.connections, len(server.requests)) == (3, 3)


async def test_a_refused_connection_says_so(posters: list[Poster]) -> None:
    assert await poster(posters, free_port()).post() == Unreachable.REFUSED


async def test_a_port_that_does_not_accept_ends_in_a_connect_timeout(posters: list[Poster]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        await asyncio.sleep(0.05)
        assert await poster(posters, port).post() == Unreachable.CONNECT_TIMEOUT
        for filler in fillers:
            filler.close()


async def test_an_application_on_the_other_loopback_address_is_found(posters: list[Poster]) -> None:
    async with ScriptedApplication(host="::1") as server:
        assert await poster(posters, server.port).post() == Answered(200)


async def test_silence_is_given_up_after_inactivity_timeout(posters: list[Poster]) -> None:
    async with ScriptedApplication(read_and_hang) as server:
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await poster(posters, server.port, inactivity=1).post() == Broken.INACTIVE
        assert loop.time() - started >= 1.0


async def test_abort_cuts_what_runs_and_leaves_the_rest_usable(posters: list[Poster]) -> None:
    async with ScriptedApplication(read_and_hang, answering(OK)) as server:
        p = poster(posters, server.port)
        running = p.start()
        await asyncio.sleep(0.02)
        p.application.abort()
        assert await running == Broken.CUT
        assert await p.post() == Answered(200)
        assert p.outcomes == [Broken.CUT, Answered(200)]


@pytest.mark.parametrize("turns", range(6))
async def test_abort_while_connecting_ends_the_request_and_sends_nothing(
    posters: list[Poster], turns: int
) -> None:
    async with ScriptedApplication(read_and_hang) as server:
        p = poster(posters, server.port)
        running = p.start()
        for _ in range(turns):  # abort at every stage of the connecting
            await asyncio.sleep(0)
        p.application.abort()
        async with asyncio.timeout(1):
            assert await running == Broken.CUT
        await asyncio.sleep(0.02)
        assert p.outcomes == [Broken.CUT]


async def test_abort_in_the_moment_of_connecting_sends_nothing(
    posters: list[Poster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is made, and no one has noticed yet."""
    connected = asyncio.Event()
    async with ScriptedApplication(read_and_hang) as server:
        p = poster(posters, server.port)
        connect = p.application._connect

        async def connect_and_tell() -> Connection:
            connection = await connect()
            connected.set()
            return connection

        monkeypatch.setattr(p.application, "_connect", connect_and_tell)
        running = p.start()
        await connected.wait()
        p.application.abort()
        async with asyncio.timeout(1):
            assert await running == Broken.CUT
        await asyncio.sleep(0.02)
        assert server.requests == []


async def test_close_closes_idle_connections(posters: list[Poster]) -> None:
    ended = asyncio.Event()

    async def answer_and_wait(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(OK)
        await peer.until_closed()
        ended.set()

    async with ScriptedApplication(answer_and_wait) as server:
        p = poster(posters, server.port)
        await p.post()
        p.application.close()
        async with asyncio.timeout(5):
            await ended.wait()


def test_retry_after_may_be_a_date() -> None:
    at = 1_800_000_000.0
    assert retry_after_seconds(formatdate(at + 90, usegmt=True), at) == 90
    assert retry_after_seconds(formatdate(at - 90, usegmt=True), at) is None
    assert retry_after_seconds("17", at) == 17
    for nonsense in ("", "-1", "1.5", "soon", "Wed, 99 Oct 2026 07:28:00 GMT", "\u0661"):
        assert retry_after_seconds(nonsense, at) is None


async def test_one_connection_serves_requests_with_different_limits(
    posters: list[Poster],
) -> None:
    async def once(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(OK)
        await peer.read_request()
        await peer.until_closed()

    async with ScriptedApplication(once) as server:
        p = poster(posters, server.port, inactivity=300)
        assert await p.post() == Answered(200)
        p.application = p.application.with_inactivity_timeout(1)
        async with asyncio.timeout(10):
            assert await p.post() == Broken.INACTIVE
        assert server.connections == 1


def redirect(status: int, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} x\r\n{lines}Content-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("answer", "noticed"),
    [
        (redirect(301, "Location: https://x/login?token=s"), [(301, "https://x/login")]),
        (redirect(302, "location:https://x#part"), [(302, "https://x")]),
        (redirect(303, "Location: /other"), [(303, "/other")]),
        (redirect(307, "Location: " + "a" * 9_000), [(307, "a" * 200)]),
        (redirect(308), [(308, "")]),
        (redirect(302, "Location: ?only=query"), [(302, "")]),
        (redirect(304, "Location: https://x"), []),
        (redirect(200, "Location: https://x"), []),
        (redirect(201, "Location: https://x"), []),
        (redirect(500, "Location: https://x"), []),
    ],
)
async def test_a_redirect_is_noticed_with_its_location_and_is_a_failure(
    answer: bytes, noticed: list[tuple[int, str]]
) -> None:
    found: list[tuple[int, str]] = []
    async with ScriptedApplication(answering(answer)) as server:
        application = LocalApplication(
            SqsdOptions(http_port=server.port),
            redirected=lambda status, location: found.append((status, location)),
        )
        result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        application.post(request(), result.set_result)
        assert await result == Answered(int(answer[9:12]))
        assert found == noticed
        assert len(server.requests) == 1
        application.close()
