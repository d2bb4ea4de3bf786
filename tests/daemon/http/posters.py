"""Applications over real sockets, and who posts to them."""

from __future__ import annotations

import asyncio

from sqsd.contract import SqsdOptions
from sqsd.http.application import LocalApplication
from sqsd.messages.outcome import Outcome
from sqsd.messages.request import Request
from tests.fakes.scripted_application import Peer


def request(body: bytes = b"body") -> Request:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    return Request(head, body, "/", None, None, ())


class Poster:
    """A `LocalApplication` whose `done` calls are counted."""

    def __init__(self, port: int, *, inactivity: int = 5, connect: int = 1) -> None:
        self.application = LocalApplication(
            SqsdOptions(http_port=port, inactivity_timeout=inactivity, connect_timeout=connect)
        )
        self.outcomes: list[Outcome] = []

    async def post(self, body: bytes = b"body") -> Outcome:
        return await self.start(body)

    def start(self, body: bytes = b"body") -> asyncio.Future[Outcome]:
        result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(outcome: Outcome) -> None:
            self.outcomes.append(outcome)
            result.set_result(outcome)  # a second call would raise

        self.application.post(request(body), done)
        return result


def poster(posters: list[Poster], port: int, **options: int) -> Poster:
    posters.append(Poster(port, **options))
    return posters[-1]


async def read_and_close(peer: Peer) -> None:
    await peer.read_request()


async def read_and_reset(peer: Peer) -> None:
    await peer.read_request()
    peer.reset()


async def read_and_hang(peer: Peer) -> None:
    await peer.read_request()
    await peer.until_closed()
