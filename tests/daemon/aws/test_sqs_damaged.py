"""Answers of SQS that cannot be read cost their own entry, and nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.aws.sqs import SqsQueue
from sqsd.base.errors import AwsUnreachable
from sqsd.contract import events
from sqsd.messages.message import Refused
from sqsd.testing.clock import FakeClock, in_virtual_time
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import QUEUE_URL
from tests.fakes.running_tier import RunningTier

GOOD: dict[str, Any] = {"MessageId": "good", "ReceiptHandle": "h", "Body": "b"}
SYSTEM: dict[str, Any] = {
    "SenderId": "producer",
    "SentTimestamp": "1700000000000",
    "ApproximateReceiveCount": "1",
    "ApproximateFirstReceiveTimestamp": "1700000000000",
}


class Answering:
    """An `AwsApi` that gives one document."""

    clock_offset = 0.0

    def __init__(self, document: Any) -> None:
        self._document = document

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        return self._document  # type: ignore[no-any-return]


def queue_on(document: Any, log: RecordingLog) -> SqsQueue:
    api = Answering(document)
    return SqsQueue(
        QUEUE_URL, polls=api, control=api, clock=FakeClock(), log=log, visibility_timeout=30
    )


def changed(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "MessageId": "bad", **changes}


def system(**changes: Any) -> dict[str, Any]:
    return changed(Attributes={**SYSTEM, **changes})


def attribute(value: Any) -> dict[str, Any]:
    return changed(MessageAttributes={"a": value})


DAMAGED: list[tuple[Any, str]] = [
    (system(SentTimestamp="1700000000000.5"), "SentTimestamp"),
    (system(SentTimestamp="yesterday"), "SentTimestamp"),
    (system(SentTimestamp=[1]), "SentTimestamp"),
    (system(SentTimestamp="9" * 5000), "SentTimestamp"),
    (system(SentTimestamp=float("inf")), "SentTimestamp"),
    (system(ApproximateFirstReceiveTimestamp="never"), "ApproximateFirstReceiveTimestamp"),
    (system(ApproximateReceiveCount="many"), "ApproximateReceiveCount"),
    (system(ApproximateReceiveCount="1.0"), "ApproximateReceiveCount"),
    (system(ApproximateReceiveCount="-3"), "ApproximateReceiveCount"),
    (system(ApproximateReceiveCount={}), "ApproximateReceiveCount"),
    (system(SenderId=7), "SenderId"),
    (system(MessageGroupId=["g"]), "MessageGroupId"),
    (system(MessageDeduplicationId=1.5), "MessageDeduplicationId"),
    (system(AWSTraceHeader={"Root": "1"}), "AWSTraceHeader"),
    (changed(Attributes=["SenderId"]), "Attributes"),
    ({"MessageId": "bad", "ReceiptHandle": "h"}, "Body"),
    (changed(Body=None), "Body"),
    (changed(Body=17), "Body"),
    (changed(Body=["b"]), "Body"),
    (changed(ReceiptHandle=None), "ReceiptHandle"),
    (changed(ReceiptHandle=3), "ReceiptHandle"),
    (changed(MD5OfBody=0), "MD5"),
    (changed(MessageAttributes=["a"]), "MessageAttributes"),
    (attribute(None), "attribute"),
    (attribute("v"), "attribute"),
    (attribute({"DataType": 1, "StringValue": "v"}), "DataType"),
    (attribute({"DataType": "String", "StringValue": 1}), "StringValue"),
    (attribute({"DataType": "Binary", "BinaryValue": [0]}), "BinaryValue"),
]
#: Entries of which not even the id can be read.
NAMELESS: list[Any] = [
    None,
    "message",
    ["m", "h", "b"],
    {},
    changed(MessageId=None),
    changed(MessageId=5),
    changed(MessageId=""),
    changed(MessageId="m\r\nX-Forged: 1"),
]


@pytest.mark.parametrize(("entry", "named"), DAMAGED)
async def test_an_entry_that_cannot_be_read_is_logged_and_costs_no_other(
    entry: Any, named: str
) -> None:
    log = RecordingLog()
    messages = await queue_on({"Messages": [entry, GOOD]}, log).receive(10, 0)
    assert [message.message_id for message in messages] == ["good"]
    ((event, values),) = log.events
    assert (event, values["message_id"]) == (events.MESSAGE_DAMAGED, "bad")
    assert named in values["reason"]
    assert len(values["reason"]) < 500


@pytest.mark.parametrize("entry", NAMELESS)
async def test_an_entry_without_an_id_is_logged_without_one(entry: Any) -> None:
    log = RecordingLog()
    messages = await queue_on({"Messages": [GOOD, entry]}, log).receive(10, 0)
    assert [message.message_id for message in messages] == ["good"]
    ((event, values),) = log.events
    assert (event, values["message_id"]) == (events.MESSAGE_DAMAGED, None)


@pytest.mark.parametrize("messages", [{"0": GOOD}, "messages", 7, True])
async def test_messages_that_are_no_list_are_a_failed_receive(messages: Any) -> None:
    with pytest.raises(AwsUnreachable, match="Messages"):
        await queue_on({"Messages": messages}, RecordingLog()).receive(10, 0)


@pytest.mark.parametrize(
    ("milliseconds", "read"),
    [
        ("0", 0),
        ("253402300799999", 253_402_300_799_999),  # the last millisecond of the year 9999
        ("253402300800000", None),
        ("9223372036854775807", None),
        ("-1", None),
        ("-99999999999999999", None),
        (1_700_000_000_000, 1_700_000_000_000),
        (None, None),
        ("", None),
    ],
)
async def test_a_time_outside_the_calendar_is_one_that_sqs_did_not_send(
    milliseconds: Any, read: int | None
) -> None:
    entry = system(SentTimestamp=milliseconds, ApproximateFirstReceiveTimestamp=milliseconds)
    (message,) = await queue_on({"Messages": [entry]}, RecordingLog()).receive(10, 0)
    assert (message.sent_at, message.first_received_at) == (read, read)


def confirmed(*ids: Any) -> list[dict[str, Any]]:
    return [{"Id": entry_id} for entry_id in ids]


@pytest.mark.parametrize(
    ("answer", "deleted"),
    [
        ({"Successful": confirmed("0", "2", "1")}, {0, 1}),  # the third was never sent
        ({"Successful": confirmed("10", "1")}, {1}),
        ({"Successful": confirmed("-1", "0")}, {0}),
        ({"Successful": confirmed("one", None, 1, ["0"])}, set()),
        ({"Successful": [None, "0", {"Id": "1"}, {}]}, {1}),
        ({"Successful": {"Id": "0"}}, set()),
        ({"Successful": 1, "Failed": "0"}, set()),
        ({"Successful": confirmed("0", "1"), "Failed": [{"Id": "7"}, "0", None]}, {0, 1}),
        ({"Successful": confirmed("0", "1"), "Failed": [{"Id": "1", "Code": 5}]}, {0}),
    ],
)
async def test_an_unreadable_result_of_a_batch_confirms_nothing(
    answer: Any, deleted: set[int]
) -> None:
    log = RecordingLog()
    messages = await queue_on({"Messages": [GOOD, GOOD]}, log).receive(10, 0)
    results = await queue_on(answer, log).delete(messages)
    assert {position for position, result in enumerate(results) if result is None} == deleted
    assert all(isinstance(result, Refused) for result in results if result is not None)


@in_virtual_time
async def test_running_requests_survive_a_message_that_cannot_be_read() -> None:
    async with RunningTier() as tier:
        await tier.warm_up()
        tier.application.answers(None)
        for n in range(5):
            tier.sqs.send(f"job {n}")
        await tier.clock.advance(1)
        assert tier.dispatcher.in_flight == 5
        # when each later receive brings a message with a timestamp that is none
        deliver = tier.sqs._deliver

        def damage(*arguments: Any) -> dict[str, Any]:
            entry = deliver(*arguments)
            entry["Attributes"]["SentTimestamp"] = "1700000000000.5"
            return entry

        tier.sqs._deliver = damage  # type: ignore[assignment,method-assign]
        tier.sqs.send("damaged")
        await tier.clock.advance(700)
        # then it comes again after its visibility, and the requests run on
        assert len(tier.log.of(events.MESSAGE_DAMAGED)) == 3
        assert tier.dispatcher.in_flight == 5
        assert tier.log.of(events.DAEMON_FAILED) == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
#: Places in an entry, each with the words of a log line of which one must name it.
PLACES: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("Body",), ("Body", "MD5")),
    (("ReceiptHandle",), ("ReceiptHandle",)),
    (("MD5OfBody",), ("MD5",)),
    (("Attributes",), ("Attributes",)),
    (("MessageAttributes",), ("MessageAttributes", "message attribute")),
    *((("Attributes", name), (name,)) for name in SYSTEM),
    *((("MessageAttributes", "a", part), (part,)) for part in ("DataType", "StringValue")),
    (("MessageAttributes", "a"), ("message attribute", "DataType", "StringValue", "BinaryValue")),
]


@given(place=st.sampled_from(PLACES), value=JSON_VALUES)
async def test_any_value_in_any_place_is_read_or_logged_with_the_place(
    place: tuple[tuple[str, ...], tuple[str, ...]], value: Any
) -> None:
    path, named = place
    entry: dict[str, Any] = {
        **GOOD,
        "MD5OfBody": "92eb5ffee6ae2fec3ad71c777531578f",
        "Attributes": dict(SYSTEM),
        "MessageAttributes": {"a": {"DataType": "String", "StringValue": "v"}},
    }
    part = entry
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    log = RecordingLog()
    messages = await queue_on({"Messages": [entry]}, log).receive(10, 0)
    if not messages:
        ((_, values),) = log.events
        assert any(name in values["reason"] for name in named), values["reason"]
