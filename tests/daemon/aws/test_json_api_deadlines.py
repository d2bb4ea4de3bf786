"""Calls to AWS that hang, trickle, or reach another service: no more than the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sqsd.aws.credentials import CredentialSource
from sqsd.aws.json_api import JsonApi
from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.testing.queue import RECEIVE, Broken, FakeSqs
from sqsd.testing.queue_server import SqsServer
from tests.fakes.scripted_application import Peer, Script, ScriptedApplication, free_port


@pytest.mark.parametrize("fault", [Broken.LOST, Broken.CUT, Broken.GARBAGE, Broken.NOT_JSON])
async def test_an_answer_that_cannot_be_used_is_unreachable_and_the_next_call_works(
    api_for: Callable[..., JsonApi], sqs: FakeSqs, fault: Broken
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        sqs.fault("ReceiveMessage", fault)
        with pytest.raises(AwsUnreachable, match=r"^ReceiveMessage got no answer: "):
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert await api.call("ReceiveMessage", RECEIVE, timeout=5.0) == {}
        assert len(sqs.calls) == 2  # nothing was called twice
        api.close()


async def answer_html(peer: Peer) -> None:
    await peer.read_request()
    await peer.write(b"HTTP/1.1 502 Bad\r\nContent-Length: 12\r\n\r\n<html>proxy<")


async def answer_a_list(peer: Peer) -> None:
    await peer.read_request()
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")


async def answer_a_list_as_an_error(peer: Peer) -> None:
    await peer.read_request()
    await peer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n[]")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answer_html, AwsError),
        (answer_a_list, AwsUnreachable),
        (answer_a_list_as_an_error, AwsError),
    ],
)
async def test_an_answer_of_another_service_is_an_error(
    api_for: Callable[..., JsonApi], script: Script, error: type[Exception]
) -> None:
    async with ScriptedApplication(script) as server:
        api = api_for(server.port)
        with pytest.raises(error):
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        api.close()


async def test_a_hung_server_costs_no_more_than_the_deadline(
    api_for: Callable[..., JsonApi], sqs: FakeSqs
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        sqs.fault("ReceiveMessage", Broken.HANG)
        with pytest.raises(AwsUnreachable, match=r"no answer within 0\.1 s"):
            await api.call("ReceiveMessage", RECEIVE, timeout=0.1)
        assert await api.call("ReceiveMessage", RECEIVE, timeout=5.0) == {}
        assert server.connections == 2  # the hung one is not used again
        api.close()


async def test_an_answer_that_trickles_costs_no_more_than_the_deadline(
    api_for: Callable[..., JsonApi],
) -> None:
    async def trickle(peer: Peer) -> None:
        await peer.read_request()
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 80\r\n\r\n")
        for _ in range(80):
            await asyncio.sleep(0.05)
            await peer.write(b" ")

    async with ScriptedApplication(trickle) as server:
        api = api_for(server.port)
        with pytest.raises(AwsUnreachable, match=r"no answer within 0\.2 s"):
            await api.call("ReceiveMessage", RECEIVE, timeout=0.2)
        api.close()


async def test_keys_that_do_not_come_cost_no_more_than_the_deadline(
    api_for: Callable[..., JsonApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never(self: CredentialSource, now: float) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(CredentialSource, "keys", never)
    with pytest.raises(AwsUnreachable, match=r"no answer within 0\.1 s"):
        await api_for(free_port()).call("ReceiveMessage", RECEIVE, timeout=0.1)
    assert asked.is_set()
