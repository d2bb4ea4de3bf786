"""One connection over real sockets: what is an answer, what is a failure, and of which kind."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
import uvloop

from sqsd.http.http1 import Answer, Connection, Failure
from sqsd.http.tcp_state import tcp_state
from tests.fakes.scripted_application import OK, Peer, Script, ScriptedApplication, answering

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"


async def connect(server: ScriptedApplication) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(loop, keep_body=True), "127.0.0.1", server.port
    )
    return connection


async def result_of(script: Script, inactivity: float = 5.0) -> tuple[Answer | Failure, Connection]:
    async with ScriptedApplication(script) as server:
        connection = await connect(server)
        result = await connection.request(REQUEST, inactivity)
        return result, connection


async def closed(connection: Connection) -> None:
    async with asyncio.timeout(5):
        while connection.reusable:  # noqa: ASYNC110 - nothing tells of it but this
            await asyncio.sleep(0.005)


def raw(*pieces: bytes, close: bool = False) -> Script:
    """Read the request, then write these bytes, each with a pause for it to travel alone."""

    async def script(peer: Peer) -> None:
        await peer.read_request()
        for piece in pieces:
            await peer.write(piece)
            await asyncio.sleep(0.005)
        if not close:
            await peer.until_closed()

    return script


@pytest.mark.parametrize(
    ("script", "status", "body", "reusable"),
    [
        (raw(OK), 200, b"ok", True),
        (raw(OK[:30], OK[30:]), 200, b"ok", True),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\n", OK), 200, b"ok", True),
        (raw(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), 500, b"", True),
        (raw(b"HTTP/1.1 204 None\r\n\r\n"), 204, b"", True),
        (
            raw(
                b"HTTP/1.1 200 OK\r\nTransfer-Enc",
                b"oding: chunked\r\n\r\n1\r\no\r\n1",
                b"\r\nk\r\n0\r\n\r\n",
            ),
            200,
            b"ok",
            True,
        ),
        (raw(b"HTTP/1.0 200 OK\r\n\r\nto the end", close=True), 200, b"to the end", False),
        (
            raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
            200,
            b"ok",
            False,
        ),
        (raw(OK + b"unasked"), 200, b"ok", False),
    ],
)
async def test_a_complete_answer_is_given(
    script: Script, status: int, body: bytes, reusable: bool
) -> None:
    async with ScriptedApplication(script) as server:
        connection = await connect(server)
        answer = await connection.request(REQUEST, 5.0)
        assert isinstance(answer, Answer)
        assert (answer.status, answer.body) == (status, body)
        assert connection.reusable is reusable
        assert server.requests == [REQUEST]
        connection.abort()


async def close_after_reading(peer: Peer) -> None:
    await peer.read_request()


async def reset_after_reading(peer: Peer) -> None:
    await peer.read_request()
    peer.reset()


async def half_close_after_reading(peer: Peer) -> None:
    await peer.read_request()
    peer.half_close()
    await peer.until_closed()


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (close_after_reading, Failure.UNANSWERED),
        (reset_after_reading, Failure.UNANSWERED),
        (half_close_after_reading, Failure.UNANSWERED),
        (raw(OK[:-1], close=True), Failure.CLOSED),
        (raw(b"HTTP/1.1 2", close=True), Failure.CLOSED),
        (
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", close=True),
            Failure.CLOSED,
        ),
        (raw(b"SSH-2.0-OpenSSH\r\n"), Failure.MALFORMED),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), Failure.MALFORMED),
    ],
)
async def test_an_incomplete_answer_is_a_failure_and_closes(
    script: Script, failure: Failure
) -> None:
    result, connection = await result_of(script)
    assert result is failure
    assert not connection.reusable


async def test_silence_for_the_inactivity_time_is_a_failure() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    result, connection = await result_of(raw(), inactivity=0.1)
    assert result is Failure.INACTIVE
    assert loop.time() - started >= 0.1
    assert not connection.reusable


async def test_each_byte_starts_the_inactivity_time_anew() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n"

    async def trickle(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(answer)
        for _ in range(8):
            await asyncio.sleep(0.05)
            await peer.write(b".")
        await peer.until_closed()

    result, _ = await result_of(trickle, inactivity=0.2)  # and the whole takes 0.4 s
    assert isinstance(result, Answer)
    assert result.body == b"........"


async def test_a_trickle_that_stops_is_a_failure() -> None:
    result, _ = await result_of(raw(b"HTTP/1.1 200 OK\r\n", b"Content-Length: 8\r\n\r\n..."), 0.15)
    assert result is Failure.INACTIVE


async def test_a_whole_answer_has_its_time_however_it_trickles() -> None:
    async def trickle(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n")
        for _ in range(80):
            await asyncio.sleep(0.05)
            await peer.write(b".")

    loop = asyncio.get_running_loop()
    async with ScriptedApplication(trickle) as server:
        connection = await connect(server)
        started = loop.time()
        result: asyncio.Future[Answer | Failure] = loop.create_future()
        connection.exchange(REQUEST, result.set_result, 0.2, whole=True)
        assert await result is Failure.INACTIVE
        assert 0.2 <= loop.time() - started < 1.0
        assert not connection.reusable


async def test_one_connection_serves_requests_one_after_the_other() -> None:
    async with ScriptedApplication(answering(OK)) as server:
        connection = await connect(server)
        for _ in range(20):
            answer = await connection.request(REQUEST, 5.0)
            assert isinstance(answer, Answer)
            assert connection.reusable
        connection.abort()
        assert (server.connections, len(server.requests)) == (1, 20)


async def test_an_idle_connection_that_the_server_closes_is_not_reusable() -> None:
    async with ScriptedApplication(raw(OK, close=True)) as server:
        connection = await connect(server)
        await connection.request(REQUEST, 5.0)
        await closed(connection)
        assert await connection.request(REQUEST, 5.0) is Failure.UNSENT


async def test_bytes_without_a_request_close_an_idle_connection() -> None:
    async with ScriptedApplication(raw(OK, b"HTTP/1.1 408 Timeout\r\n\r\n")) as server:
        connection = await connect(server)
        await connection.request(REQUEST, 5.0)
        await closed(connection)


async def test_abort_ends_what_runs_exactly_once() -> None:
    results: list[Answer | Failure] = []
    async with ScriptedApplication(raw()) as server:
        connection = await connect(server)
        connection.exchange(REQUEST, results.append, 5.0)
        connection.abort()
        connection.abort()
        await asyncio.sleep(0.02)
    assert results == [Failure.ABORTED]
    assert not connection.reusable


async def test_a_cancelled_request_closes_the_connection() -> None:
    async with ScriptedApplication(raw()) as server:
        connection = await connect(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.request(REQUEST, 60.0)
        assert not connection.reusable


# ---- closed before the request, or after it was taken?


def race(
    close_the_server_end: Callable[[socket.socket], None], loop: asyncio.AbstractEventLoop
) -> Answer | Failure:
    """One good exchange; then the server's end acts while the client's loop does not look."""

    async def run() -> Answer | Failure:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        _, connection = await loop.create_connection(
            lambda: Connection(loop, keep_body=False), "127.0.0.1", port
        )
        server, _ = listener.accept()
        first = asyncio.ensure_future(connection.request(REQUEST, 5.0))
        await asyncio.sleep(0.01)
        server.recv(65_536)
        server.sendall(OK)
        assert isinstance(await first, Answer)
        # Without a turn of the loop in between: the client cannot know what the server did.
        result: asyncio.Future[Answer | Failure] = loop.create_future()
        if close_the_server_end in (_close, _half_close):
            close_the_server_end(server)
            connection.exchange(REQUEST, result.set_result, 5.0)
        else:
            connection.exchange(REQUEST, result.set_result, 5.0)
            close_the_server_end(server)
        async with asyncio.timeout(5):
            failure = await result
        server.close()
        listener.close()
        await asyncio.sleep(0.02)
        return failure

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def _close(server: socket.socket) -> None:
    server.close()


def _half_close(server: socket.socket) -> None:
    server.shutdown(socket.SHUT_WR)


def _read_then_close(server: socket.socket) -> None:
    server.settimeout(5)
    assert server.recv(65_536) == REQUEST
    server.close()


def _read_then_reset(server: socket.socket) -> None:
    server.settimeout(5)
    assert server.recv(65_536) == REQUEST
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()


def _read_the_head_and_close(server: socket.socket) -> None:
    """With bytes unread, the kernel resets instead of closing in order."""
    server.settimeout(5)
    assert server.recv(len(REQUEST) - 4) == REQUEST[:-4]
    server.close()


LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_a_server_that_closed_before_the_request_came_has_not_received_it(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    assert race(_close, new_loop()) is Failure.UNSENT


@LOOPS
@pytest.mark.parametrize("end", [_read_then_close, _read_then_reset, _read_the_head_and_close])
def test_a_server_that_closes_after_reading_may_have_acted_on_it(
    new_loop: Callable[[], asyncio.AbstractEventLoop], end: Callable[[socket.socket], None]
) -> None:
    assert race(end, new_loop()) is Failure.UNANSWERED


@LOOPS
def test_a_server_that_only_stopped_writing_may_have_acted_on_it(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    assert race(_half_close, new_loop()) is Failure.UNANSWERED


def test_what_the_system_does_not_tell_counts_as_sent() -> None:
    assert tcp_state(None) is None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert tcp_state(sock) is None
