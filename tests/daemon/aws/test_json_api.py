"""Calls to AWS over the wire: refusals, deadlines, keys, clocks and connections."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from sqsd.aws.credentials import Keys
from sqsd.aws.json_api import JsonApi
from sqsd.aws.sigv4 import Signer
from sqsd.aws.sqs import SqsQueue
from sqsd.base.errors import AwsError, AwsUnreachable, NoCredentials, SqsdError
from sqsd.http.http1 import Answer, Failure
from sqsd.testing.clock import EPOCH, FakeClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import RECEIVE, Broken, FakeSqs, Refusal
from sqsd.testing.queue_server import SqsServer
from tests.fakes.scripted_application import ScriptedApplication, answering, free_port
from tests.fakes.world import until


async def test_a_call_speaks_the_json_protocol(
    api_for: Callable[..., JsonApi], sqs: FakeSqs
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        sqs.send("grüße")
        answer = await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        (head,) = server.heads
        headers = dict(head.headers)
        assert (head.method, head.target) == (b"POST", b"/")
        assert headers[b"x-amz-target"] == b"AmazonSQS.ReceiveMessage"
        assert headers[b"content-type"] == b"application/x-amz-json-1.0"
        assert headers[b"host"] == f"127.0.0.1:{server.port}".encode()
        assert b"Credential=AKIAEXAMPLE/20260101/eu-central-1/sqs/" in headers[b"authorization"]
        assert answer["Messages"][0]["Body"] == "grüße"
        assert sqs.calls[0].request == RECEIVE
        api.close()


async def test_one_connection_serves_calls_one_after_the_other(
    api_for: Callable[..., JsonApi], sqs: FakeSqs
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        for _ in range(5):
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert server.connections == 1
        await asyncio.gather(*(api.call("ReceiveMessage", RECEIVE, timeout=5.0) for _ in range(3)))
        assert server.connections == 3
        api.close()


async def test_a_cancelled_call_closes_its_connection(
    api_for: Callable[..., JsonApi], sqs: FakeSqs
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        sqs.fault("ReceiveMessage", Broken.HANG)
        hung = asyncio.ensure_future(api.call("ReceiveMessage", RECEIVE, timeout=5.0))
        await until(lambda: len(sqs.calls) == 2)
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung
        assert not api._busy
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert server.connections == 2
        api.close()


async def test_a_call_cancelled_once_it_is_answered_does_not_cut_the_next_ones_connection(
    api_for: Callable[..., JsonApi], sqs: FakeSqs
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        late = asyncio.ensure_future(api.call("ReceiveMessage", RECEIVE, timeout=5.0))
        await asyncio.sleep(0)  # it waits for its answer now
        (connection,) = api._busy
        done = connection._done
        assert done is not None
        following: list[asyncio.Future[dict[str, Any]]] = []

        def answered(answer: Answer | Failure) -> None:
            """Another call takes the connection, and the first is cancelled meanwhile."""
            done(answer)
            call = api.call("ReceiveMessage", RECEIVE, timeout=5.0)
            following.append(asyncio.ensure_future(call))
            late.cancel()

        connection._done = answered
        with pytest.raises(asyncio.CancelledError):
            await late
        assert await following[0] == {}
        assert server.connections == 1
        api.close()


async def test_a_connection_idle_for_too_long_is_not_trusted(
    api_for: Callable[..., JsonApi], sqs: FakeSqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        monkeypatch.setattr("sqsd.aws.json_api._IDLE_SECONDS", -1.0)
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert server.connections == 2
        api.close()


async def test_a_connection_that_the_server_closed_is_replaced(
    api_for: Callable[..., JsonApi], sqs: FakeSqs
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        server.close_connections()
        await asyncio.sleep(0.02)
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert server.connections == 2
        api.close()


@pytest.mark.parametrize(
    ("refusal", "code", "status"),
    [
        (Refusal("QueueDoesNotExist", "no such queue", 400), "QueueDoesNotExist", 400),
        (Refusal("AccessDeniedException", "you may not", 403), "AccessDeniedException", 403),
        (Refusal("RequestThrottled", "slow down", 400), "RequestThrottled", 400),
        (Refusal("InternalError", "oops", 500), "InternalError", 500),
        (Refusal("", "", 503), "HTTP503", 503),
    ],
)
async def test_a_refusal_has_action_code_message_and_status(
    api_for: Callable[..., JsonApi], sqs: FakeSqs, refusal: Refusal, code: str, status: int
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        sqs.fault("ReceiveMessage", refusal)
        with pytest.raises(AwsError) as caught:
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        error = caught.value
        assert (error.action, error.code, error.status) == ("ReceiveMessage", code, status)
        assert error.message == refusal.message
        assert await api.call("ReceiveMessage", RECEIVE, timeout=5.0) == {}
        api.close()


async def test_receives_alike_are_signed_once_a_second_and_deletes_each(
    api_for: Callable[..., JsonApi],
    sqs: FakeSqs,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signed: list[tuple[str, bytes]] = []
    sign = Signer.headers

    def counting(self: Signer, body: bytes, target: str, keys: Keys, at: float) -> str:
        signed.append((target, body))
        return sign(self, body, target, keys, at)

    monkeypatch.setattr(Signer, "headers", counting)
    delete = {"QueueUrl": "u", "Entries": [{"Id": "0", "ReceiptHandle": "none"}]}
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        for limit in (10, 10, 3, 10, 3):
            request = RECEIVE | {"MaxNumberOfMessages": limit}
            await api.call("ReceiveMessage", request, timeout=5.0)
        for _ in range(2):
            await api.call("DeleteMessageBatch", delete, timeout=5.0)
        assert [target.partition(".")[2] for target, _ in signed] == [
            "ReceiveMessage",
            "ReceiveMessage",
            "DeleteMessageBatch",
            "DeleteMessageBatch",
        ]
        clock.step_wall(1.0)
        await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert len(signed) == 5
        heads = [dict(head.headers) for head in server.heads]
        dates = [head[b"x-amz-date"] for head in heads]
        assert dates == [b"20260101T000000Z"] * 7 + [b"20260101T000001Z"]
        limits = [call.request.get("MaxNumberOfMessages") for call in sqs.calls]
        assert limits == [10, 10, 3, 10, 3, None, None, 10]
        by_limit = {
            (limit, head[b"authorization"]) for limit, head in zip(limits, heads, strict=True)
        }
        assert len(by_limit) == 4  # of 10, of 3, of the deletes, and of 10 a second later
        api.close()


async def test_a_refused_connection_names_the_address(api_for: Callable[..., JsonApi]) -> None:
    port = free_port()
    with pytest.raises(AwsUnreachable, match=f"cannot connect to 127.0.0.1:{port}"):
        await api_for(port).call("ReceiveMessage", RECEIVE, timeout=5.0)


async def test_an_expired_token_is_renewed_for_the_next_call(
    api_for: Callable[..., JsonApi], keys: Callable[[str | None], None], sqs: FakeSqs
) -> None:
    keys("old")
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        assert await api.call("ReceiveMessage", RECEIVE, timeout=5.0) == {}
        server.expired_tokens.add("old")
        keys("new")
        with pytest.raises(AwsError, match="ExpiredTokenException"):
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert await api.call("ReceiveMessage", RECEIVE, timeout=5.0) == {}
        sent = [dict(head.headers)[b"x-amz-security-token"] for head in server.heads]
        assert sent == [b"old", b"old", b"new"]
        api.close()


@pytest.mark.parametrize("code", ["InvalidSignatureException", "RequestTimeTooSkewed"])
async def test_a_wrong_clock_is_corrected_by_the_servers_date(
    api_for: Callable[..., JsonApi], sqs: FakeSqs, clock: FakeClock, code: str
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        server.headers.append(("Date", format_datetime(datetime.fromtimestamp(EPOCH, UTC), True)))
        clock.step_wall(-3_600)
        for _ in range(2):
            sqs.fault("ReceiveMessage", Refusal(code))
            with pytest.raises(AwsError):
                await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
            clock.step_wall(3_600)  # then the clock is corrected, and it starts again
        dates = [dict(head.headers)[b"x-amz-date"] for head in server.heads]
        right, early, late = b"20260101T000000Z", b"20251231T230000Z", b"20260101T010000Z"
        assert dates == [early, right, late, right]
        api.close()


@pytest.mark.parametrize(
    "answer",
    [
        (b"503 Unavailable", b"<html>proxy</html>"),
        (b"403 Forbidden", b""),
        (b"200 OK", b"<html>log in first</html>"),
        (b"200 OK", b"[]"),
        (b"400 Bad Request", b'{"__type": "Made#Up", "message": "no"}'),
    ],
    ids=str,
)
async def test_the_date_of_an_answer_that_is_no_success_of_aws_moves_no_clock(
    api_for: Callable[..., JsonApi], answer: tuple[bytes, bytes]
) -> None:
    # Messages are expired by this clock: a proxy's date ten days ahead had them deleted unposted.
    status, body = answer
    ahead = format_datetime(datetime.fromtimestamp(EPOCH + 864_000, UTC), True).encode()
    right = format_datetime(datetime.fromtimestamp(EPOCH + 60, UTC), True).encode()

    def made(status: bytes, date: bytes, body: bytes) -> bytes:
        length = b"Content-Length: %d" % len(body)
        return b"HTTP/1.1 %b\r\nDate: %b\r\n%b\r\n\r\n%b" % (status, date, length, body)

    script = answering(made(status, ahead, body), made(b"200 OK", right, b"{}"))
    async with ScriptedApplication(script) as server:
        api = api_for(server.port)
        with pytest.raises(SqsdError):
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert api.clock_offset == 0.0
        assert await api.call("ReceiveMessage", RECEIVE, timeout=5.0) == {}
        assert api.clock_offset == 60.0
        api.close()


async def test_without_keys_there_is_one_clear_error(
    api_for: Callable[..., JsonApi], sqs: FakeSqs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqsServer(sqs) as server:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        api = api_for(server.port)
        with pytest.raises(
            NoCredentials, match="no AWS credentials found: give the instance a role"
        ):
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert sqs.calls == []


async def test_close_ends_calls_under_way(api_for: Callable[..., JsonApi], sqs: FakeSqs) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        sqs.fault("ReceiveMessage", Broken.HANG)
        call = asyncio.ensure_future(api.call("ReceiveMessage", RECEIVE, timeout=60.0))
        while not sqs.calls:  # noqa: ASYNC110 - the call arrives when it arrives
            await asyncio.sleep(0.005)
        api.close()
        with pytest.raises(AwsUnreachable, match="given up here"):
            await call


async def test_the_queue_works_over_the_wire(
    api_for: Callable[..., JsonApi], sqs: FakeSqs, clock: FakeClock
) -> None:
    async with SqsServer(sqs) as server:
        api = api_for(server.port)
        queue = SqsQueue(
            sqs.url, polls=api, control=api, clock=clock, log=RecordingLog(), visibility_timeout=30
        )
        first, second = sqs.send("a"), sqs.send("b")
        messages = await queue.receive(10, 0)
        assert [message.body for message in messages] == [b"a", b"b"]
        assert await queue.receive(10, 0) == []
        assert await queue.delete(messages[:1]) == [None]
        assert await queue.change_visibility([(messages[1], 5)]) == [None]
        clock.advance(5)
        (again,) = await queue.receive(10, 0)
        assert (again.message_id, again.receive_count) == (second, 2)
        assert sqs.deleted == [first]
        api.close()


# ---- TLS


@pytest.fixture(scope="session")
def certificate(
    require_tool: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A key and a certificate of our own making for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")
    key, made = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        [
            *(require_tool("openssl"), "req", "-x509", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", made),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return key, made


async def test_tls_trusts_the_configured_bundle_alone(
    api_for: Callable[..., JsonApi],
    sqs: FakeSqs,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, made = certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, key)
    async with SqsServer(sqs, tls=context) as server:
        stranger = api_for(server.port, scheme="https")
        with pytest.raises(AwsUnreachable, match=r"(?i)certificate verify failed"):
            await stranger.call("ReceiveMessage", RECEIVE, timeout=5.0)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(made))
        api = api_for(server.port, scheme="https")
        sqs.send("private")
        answer = await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert answer["Messages"][0]["Body"] == "private"
        assert await api.call("ReceiveMessage", RECEIVE, timeout=5.0) == {}
        api.close()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000])
async def test_brackets_within_brackets_are_a_call_that_failed(
    api_for: Callable[..., JsonApi], status: int, body: bytes
) -> None:
    head = b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    async with ScriptedApplication(answering(head + body)) as server:
        api = api_for(server.port)
        with pytest.raises(SqsdError, match="not JSON" if status == 200 else "HTTP400"):
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        api.close()


@pytest.mark.parametrize(
    ("header", "body", "code"),
    [
        ("x-amzn-errortype: AccessDenied", b"{}", "AccessDenied"),
        ("X-Amzn-ErrorType: AccessDenied:http://internal.amazon.com/coral/", b"{}", "AccessDenied"),
        ("x-amzn-errortype: com.amazonaws.sqs#AccessDenied", b"<html>", "AccessDenied"),
        ("x-amzn-errortype: Other", b'{"__type": "a#AccessDenied"}', "AccessDenied"),
        ("x-amzn-errortype: ", b"{}", "HTTP403"),
        ("x-other: AccessDenied", b"", "HTTP403"),
    ],
)
async def test_an_error_may_be_named_in_a_header_alone(
    api_for: Callable[..., JsonApi], header: str, body: bytes, code: str
) -> None:
    head = f"HTTP/1.1 403 x\r\n{header}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with ScriptedApplication(answering(head.encode() + body)) as server:
        api = api_for(server.port)
        with pytest.raises(AwsError) as refused:
            await api.call("ReceiveMessage", RECEIVE, timeout=5.0)
        assert refused.value.code == code
        api.close()
