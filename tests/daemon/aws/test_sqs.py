"""SQS's answers as values, and batches with a result for each entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sqsd.aws.ports import TimedApi
from sqsd.aws.sqs import SqsQueue, is_fifo, queue_name
from sqsd.base.errors import AwsError
from sqsd.messages.message import Attribute, Refused
from sqsd.observe.metrics import Metrics
from sqsd.observe.observed_queue import ObservedQueue
from sqsd.testing.clock import EPOCH, FakeClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import QUEUE_URL, FailEntries, FakeSqs, Refusal


class Answering:
    """An `AwsApi` that gives one document."""

    clock_offset = 0.0

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        return self._document


def queue_on(api: TimedApi, clock: FakeClock) -> SqsQueue:
    return SqsQueue(
        QUEUE_URL, polls=api, control=api, clock=clock, log=RecordingLog(), visibility_timeout=30
    )


@pytest.fixture
async def queue(sqs: FakeSqs, clock: FakeClock) -> SqsQueue:
    return queue_on(sqs, clock)


async def test_an_empty_receive_is_counted_once_it_has_ended(clock: FakeClock) -> None:
    metrics = Metrics()
    receive = ObservedQueue(queue_on(Answering({}), clock), metrics).receive(10, 0)
    assert metrics.receives == 0
    assert await receive == []
    assert (metrics.receives, metrics.receives_empty) == (1, 1)


async def test_a_message_is_what_sqs_says_of_it(
    queue: SqsQueue, sqs: FakeSqs, clock: FakeClock
) -> None:
    attributes = {
        "text": {"DataType": "String", "StringValue": "v"},
        "picture": {"DataType": "Binary.png", "BinaryValue": "AAEC"},
    }
    message_id = sqs.send("grüße", attributes=attributes, group_id="g", sent_at=EPOCH - 7.5)
    (message,) = await queue.receive(10, 0)
    assert message.message_id == message_id
    assert message.body == "grüße".encode()
    assert (message.receive_count, message.sender_id) == (1, "AROAEXAMPLE:producer")
    assert message.sent_at == int((EPOCH - 7.5) * 1000)
    assert message.first_received_at == int(EPOCH * 1000)
    assert message.received_at == clock.monotonic()
    assert message.group_id == "g"
    assert message.attributes["text"] == Attribute("String", "v")
    assert message.attributes["picture"].value is None


async def test_each_receive_sets_the_visibility_and_asks_for_all_attributes(
    queue: SqsQueue, sqs: FakeSqs
) -> None:
    sqs.send("x")
    await queue.receive(3, 20)
    request = sqs.calls[0].request
    assert request["VisibilityTimeout"] == 30
    assert (request["MaxNumberOfMessages"], request["WaitTimeSeconds"]) == (3, 20)
    assert request["MessageAttributeNames"] == ["All"]


@pytest.mark.parametrize("document", [{}, {"Messages": None}, {"Messages": []}])
async def test_an_empty_receive_has_three_forms(document: dict[str, Any], clock: FakeClock) -> None:
    assert await queue_on(Answering(document), clock).receive(10, 0) == []


async def test_a_damaged_body_is_left_to_its_visibility(clock: FakeClock) -> None:
    entry = {"MessageId": "m", "ReceiptHandle": "h", "Body": "changed", "MD5OfBody": "0" * 32}
    assert await queue_on(Answering({"Messages": [entry]}), clock).receive(10, 0) == []


async def test_a_message_with_few_attributes_is_enough(clock: FakeClock) -> None:
    entry = {"MessageId": "m", "ReceiptHandle": "h", "Body": "b"}
    (message,) = await queue_on(Answering({"Messages": [entry]}), clock).receive(10, 0)
    assert (message.receive_count, message.sender_id) == (1, "")
    assert (message.sent_at, message.first_received_at, message.group_id) == (None, None, None)


async def test_a_batch_has_a_result_for_each_entry(queue: SqsQueue, sqs: FakeSqs) -> None:
    for n in range(4):
        sqs.send(str(n))
    messages = await queue.receive(10, 0)
    sqs.fault("DeleteMessageBatch", FailEntries(frozenset({0, 2})))
    failed = Refused("DeleteMessageBatch refused an entry: InternalError")
    assert await queue.delete(messages) == [failed, None, failed, None]
    assert sqs.bodies() == ["0", "2"]
    sqs.fault("ChangeMessageVisibilityBatch", FailEntries(frozenset({1})))
    changes = [(messages[0], 7), (messages[2], 7)]
    assert await queue.change_visibility(changes) == [
        None,
        Refused("ChangeMessageVisibilityBatch refused an entry: InternalError"),
    ]
    assert sqs.hidden_for(messages[0].message_id) == 7


async def test_one_message_may_stand_in_a_batch_twice(queue: SqsQueue, sqs: FakeSqs) -> None:
    sqs.send("x")
    (message,) = await queue.receive(10, 0)
    assert await queue.delete([message, message]) == [None, None]


async def test_an_entry_of_which_sqs_says_nothing_is_not_confirmed(clock: FakeClock) -> None:
    sqs = FakeSqs(clock)
    sqs.send("x")
    (message,) = await queue_on(sqs, clock).receive(10, 0)
    assert await queue_on(Answering({}), clock).delete([message]) == [
        Refused("DeleteMessageBatch: the answer does not mention this entry")
    ]


@pytest.mark.parametrize(
    ("refusal", "final"),
    [
        (Refusal("ReceiptHandleIsInvalid", "it has expired", 400), True),
        (Refusal("RequestThrottled", "slow down", 400), False),
        (Refusal("InternalError", "try again", 500), False),
    ],
)
async def test_a_refused_entry_has_its_reason_and_whether_a_retry_can_succeed(
    queue: SqsQueue, sqs: FakeSqs, refusal: Refusal, final: bool
) -> None:
    sqs.send("x")
    messages = await queue.receive(10, 0)
    sqs.fault("DeleteMessageBatch", FailEntries(frozenset({0}), refusal))
    reason = f"DeleteMessageBatch refused an entry: {refusal.code}: {refusal.message}"
    assert await queue.delete(messages) == [Refused(reason, final)]


async def test_a_refused_call_raises(queue: SqsQueue, sqs: FakeSqs) -> None:
    sqs.fault("ReceiveMessage", Refusal("QueueDoesNotExist"))
    with pytest.raises(AwsError, match="QueueDoesNotExist"):
        await queue.receive(10, 0)


async def test_send_gives_the_id_and_sends_text_attributes(queue: SqsQueue, sqs: FakeSqs) -> None:
    message_id = await queue.send(
        body="b", attributes={"k": "v"}, group_id="g", deduplication_id="d"
    )
    (message,) = await queue.receive(10, 0)
    assert (message.message_id, message.body) == (message_id, b"b")
    assert message.attributes["k"].value == "v"
    assert sqs.calls[0].request["MessageDeduplicationId"] == "d"


def test_names_come_from_the_url() -> None:
    assert queue_name("https://sqs.eu-west-1.amazonaws.com/123456789012/work") == "work"
    assert queue_name("http://localhost:4566/000000000000/orders.fifo/") == "orders.fifo"
    assert is_fifo("https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo")
    assert not is_fifo("https://sqs.eu-west-1.amazonaws.com/123456789012/orders")
