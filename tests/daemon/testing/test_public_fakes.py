"""The public fakes as their users meet them, the examples of docs/guide/testing.md included."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sqsd.contract import SqsdOptions, events
from sqsd.testing import FakeTier, NotIdle
from sqsd.testing.endpoint import SqsEndpoint
from sqsd.testing.queue import Refusal

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "guide" / "testing.md"


@pytest.fixture
def tier() -> FakeTier:
    return FakeTier()


async def test_a_failed_message_returns_after_error_visibility_timeout(tier: FakeTier) -> None:
    # given a message, and an application that fails
    tier.queue.send("work")
    tier.application.answers(500)
    # when it is dispatched
    await tier.run_until_idle(SqsdOptions(error_visibility_timeout=30))
    # then it is visible again after that time, and not before
    tier.clock.advance(seconds=29)
    assert tier.queue.visible() == []
    tier.clock.advance(seconds=1)
    assert tier.queue.visible() == ["work"]


async def test_a_tier_runs_again_and_again_on_one_clock(tier: FakeTier) -> None:
    sent = tier.queue.send("work")
    tier.application.answers(500, 200)
    await tier.run_until_idle(SqsdOptions(error_visibility_timeout=3_600))
    assert tier.queue.receive_count(sent) == 1
    before = tier.clock.time()
    tier.clock.advance(seconds=3_600)
    assert tier.clock.time() == before + 3_600
    await tier.run_until_idle()
    assert tier.queue.deleted == [sent]
    assert tier.application.bodies == ["work", "work"]
    assert [values["status"] for values in tier.log.of(events.MESSAGE_DELETED)] == [200]


async def test_a_fifo_group_is_dispatched_in_order(tier: FakeTier) -> None:
    tier = FakeTier(fifo=True)
    for body in ("first", "second", "third"):
        tier.queue.send(body, group_id="customer")
    await tier.run_until_idle()
    assert tier.application.bodies == ["first", "second", "third"]
    assert tier.application.most_at_once == 1


async def test_a_message_that_always_fails_is_dead_lettered() -> None:
    tier = FakeTier(max_receives=3)
    tier.queue.send("poison")
    tier.application.answers(500)
    await tier.run_until_idle(SqsdOptions(error_visibility_timeout=0, max_retries=3))
    assert tier.queue.dead_letters == ["poison"]
    assert len(tier.application.posted) == 3


async def test_a_tier_that_cannot_become_idle_says_so(tier: FakeTier) -> None:
    tier.application.up = False
    tier.queue.send("work")
    with pytest.raises(NotIdle, match="after 60 s 1 messages are visible and 0 in flight"):
        await tier.run_until_idle(longest_seconds=60)
    assert tier.application.posted == []


def test_a_tier_needs_no_plugin_of_a_test_runner() -> None:
    tier = FakeTier()
    tier.queue.send("work")
    asyncio.run(tier.run_until_idle())
    assert tier.queue.bodies() == []


def test_importing_the_fakes_imports_no_test_runner() -> None:
    program = (
        "import sys, sqsd.testing, sqsd.testing.endpoint;"
        " print({'pytest', 'hypothesis', 'boto3', 'aws_cdk', 'tests'} & sys.modules.keys())"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.stdout == "set()\n", ended.stderr


# ---- over HTTP


@pytest.fixture
def endpoint() -> Iterator[SqsEndpoint]:
    with SqsEndpoint() as started:
        yield started


def client(endpoint: SqsEndpoint) -> Any:
    return boto3.client("sqs", **endpoint.client_options)


def test_boto3_sends_receives_and_deletes(endpoint: SqsEndpoint) -> None:
    sqs = client(endpoint)
    url = sqs.get_queue_url(QueueName="work")["QueueUrl"]
    assert url == endpoint.queue.url
    tenant = {"tenant": {"DataType": "String", "StringValue": "a"}}
    sent = sqs.send_message(QueueUrl=url, MessageBody="one", MessageAttributes=tenant)
    batch = sqs.send_message_batch(
        QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": f"more {n}"} for n in range(2)]
    )
    assert [entry["Id"] for entry in batch["Successful"]] == ["0", "1"]
    received = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=60,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    )["Messages"]
    assert [message["Body"] for message in received] == ["one", "more 0", "more 1"]
    assert received[0]["MessageId"] == sent["MessageId"]
    assert received[0]["MessageAttributes"]["tenant"]["StringValue"] == "a"
    assert received[0]["Attributes"]["ApproximateReceiveCount"] == "1"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=received[0]["ReceiptHandle"])
    sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=received[1]["ReceiptHandle"], VisibilityTimeout=0
    )
    assert endpoint.queue.bodies() == ["more 0", "more 1"]
    assert endpoint.queue.visible() == ["more 0"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert counts["ApproximateNumberOfMessages"] == "1"
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_boto3_sees_errors_as_those_of_sqs(endpoint: SqsEndpoint) -> None:
    sqs = client(endpoint)
    endpoint.queue.fault("SendMessage", Refusal("AccessDeniedException", "not you", status=403))
    with pytest.raises(ClientError) as refused:
        sqs.send_message(QueueUrl=endpoint.queue.url, MessageBody="x")
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("AccessDeniedException", "not you")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError, match="InvalidAction"):
        sqs.list_queues()
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName="other")


def test_a_fifo_queue_keeps_one_of_two_sends_with_one_deduplication_id() -> None:
    with SqsEndpoint(fifo=True) as endpoint:
        sqs = client(endpoint)
        ids = [
            sqs.send_message(
                QueueUrl=endpoint.queue.url,
                MessageBody="once",
                MessageGroupId="customer",
                MessageDeduplicationId="order 1",
            )["MessageId"]
            for _ in range(2)
        ]
        assert ids[0] == ids[1]
        assert endpoint.queue.bodies() == ["once"]


def test_a_delayed_message_is_hidden_at_first(endpoint: SqsEndpoint) -> None:
    sqs = client(endpoint)
    sqs.send_message(QueueUrl=endpoint.queue.url, MessageBody="later", DelaySeconds=60)
    assert endpoint.queue.bodies() == ["later"]
    assert endpoint.queue.visible() == []
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        sqs.send_message(QueueUrl=endpoint.queue.url, MessageBody="x", DelaySeconds=901)


def test_a_long_poll_ends_when_a_message_is_sent_from_another_thread(
    endpoint: SqsEndpoint,
) -> None:
    timer = threading.Timer(0.2, endpoint.queue.send, ["work"])
    timer.start()
    received = client(endpoint).receive_message(QueueUrl=endpoint.queue.url, WaitTimeSeconds=20)
    timer.join()
    assert [message["Body"] for message in received["Messages"]] == ["work"]
    assert endpoint.queue.called("ReceiveMessage")[0].request["WaitTimeSeconds"] == 20


def test_a_wait_for_an_empty_queue_names_what_is_left(endpoint: SqsEndpoint) -> None:
    endpoint.wait_until_empty(seconds=0.0)
    endpoint.queue.send("work")
    with pytest.raises(TimeoutError, match=r"still has \['work'\]"):
        endpoint.wait_until_empty(seconds=0.05)


# ---- docs/guide/testing.md


@pytest.fixture
def my_port() -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if self.path == "/orders" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def examples() -> dict[str, Any]:
    """The functions of the document's examples."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)  # noqa: S102 - our own document
    return {name: value for name, value in names.items() if name.startswith("test_")}


async def test_the_documents_example_of_a_tier_works() -> None:
    await examples()["test_a_failed_message_returns_after_error_visibility_timeout"]()


def test_the_documents_example_of_a_producer_works() -> None:
    examples()["test_my_producer_sends_an_order"]()


def test_the_documents_example_of_an_application_works(my_port: int) -> None:
    examples()["test_my_application_answers_200"](my_port)


class VerifyingClient:
    """A web framework's test client, of an application that verifies signatures as documented."""

    KEY = b"0123456789abcdef" * 4

    def __init__(self) -> None:
        page = DOCUMENT.with_name("signed-requests.md").read_text(encoding="utf-8")
        (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
        self._names: dict[str, Any] = {}
        exec(program, self._names)  # noqa: S102 - our own document

    def post(self, target: str, *, data: bytes, headers: list[tuple[str, str]]) -> SimpleNamespace:
        signed = self._names["is_signed"](self.KEY, "POST", target, headers, data)
        return SimpleNamespace(status_code=200 if signed else 403)


def test_the_documents_example_of_a_signature_works() -> None:
    examples()["test_only_signed_requests_are_accepted"](VerifyingClient())
    assert len(examples()) == 4
