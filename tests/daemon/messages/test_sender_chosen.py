"""What a sender wrote is cut where it is logged, shown or cached; the application gets it whole."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from sqsd import contract
from sqsd.contract import SqsdOptions, events
from sqsd.messages.extra_headers import Extras
from sqsd.messages.request import RequestBuilder, header_name
from sqsd.observe.observer import Observer
from sqsd.testing.clock import FakeClock, in_virtual_time
from sqsd.testing.log import RecordingLog
from tests.daemon.messages.requests import PLAIN, build, cron, parsed, text, value
from tests.fakes.running_tier import RunningTier

LONG = "n" * 60_000


def envelope(attributes: dict[str, dict[str, Any]]) -> bytes:
    document = {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:topic",
        "Message": "work",
        "MessageAttributes": attributes,
    }
    return json.dumps(document).encode()


def task_attributes(name: str) -> dict[str, Any]:
    return {
        key: {"DataType": "String", "StringValue": attribute.value}
        for key, attribute in cron(name=name).items()
    }


def sent_by_a_scheduler(name: str) -> dict[str, Any]:
    nonce = {"DataType": "String", "StringValue": "0" * 32}
    return {**task_attributes(name), contract.ATTRIBUTE_NONCE: nonce}


@in_virtual_time
@pytest.mark.parametrize("status", [200, 500])
async def test_a_long_task_name_is_cut_in_each_log_line_and_posted_whole(status: int) -> None:
    async with RunningTier() as tier:
        tier.application.answers(status)
        tier.sqs.send("", attributes=task_attributes(LONG))
        await tier.clock.advance(1)
        (request,) = tier.application.posted
        assert value(request, contract.HEADER_TASK_NAME) == LONG.encode()
        lines = [values for _, values in tier.log.events if "task" in values]
        assert lines
        assert all(len(str(values)) < 1_000 for values in lines)


@in_virtual_time
async def test_two_long_task_names_that_begin_alike_are_two_tasks() -> None:
    claimed = []

    class Duplicates:
        async def is_duplicate(self, occurrence: contract.Occurrence, *_: Any) -> bool:
            claimed.append(occurrence.task)
            return claimed.count(occurrence.task) > 1

        async def completed(self, *_: Any) -> None:
            """Nothing is recorded."""

        async def abandoned(self, *_: Any) -> None:
            """Nothing is recorded."""

    async with RunningTier(duplicates=Duplicates()) as tier:
        tier.sqs.send("", attributes=sent_by_a_scheduler("n" * 255 + "1"))
        tier.sqs.send("", attributes=sent_by_a_scheduler("n" * 255 + "2"))
        await tier.clock.advance(1)
        assert len(tier.application.posted) == len(claimed) == 2


@pytest.mark.parametrize(
    ("name", "sent"),
    [("n" * 256, True), ("n" * 257, False), (LONG, False), ("\r\n" * 10_000, False), ("é", True)],
    ids=["256", "257", "60kB", "controls", "wide"],
)
def test_a_name_above_sqs_s_own_limit_becomes_no_header(name: str, sent: bool) -> None:
    request = build(attributes={name: text("v"), "b": text("w")})
    attributes = [found for found, _ in parsed(request)[1] if found.startswith("x-aws-sqsd-attr")]
    assert len(attributes) == 1 + sent
    assert len(request.skipped) == (not sent)
    assert all(len(reason) < 400 for reason in request.skipped)


def test_names_of_sns_attributes_do_not_stay_in_memory() -> None:
    builder = RequestBuilder(SqsdOptions(via_sns=True, attribute_header_bytes=1_048_576), "work")
    header_name.cache_clear()
    tracemalloc.start()
    try:
        for n in range(100):
            name = str(n) + "\r" * 100_000
            body = envelope({name: {"Type": "String", "Value": "v"}})
            builder.build(PLAIN._replace(body=body))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000


@pytest.mark.parametrize(
    "attribute",
    [{"Type": "Binary", "Value": "v"}, {"Type": "x" * 60_000, "Value": "v"}],
    ids=["binary", "type of 60 kB"],
)
def test_of_thousands_of_skipped_attributes_ten_are_named_and_the_rest_counted(
    attribute: dict[str, Any],
) -> None:
    builder = RequestBuilder(SqsdOptions(via_sns=True), "work")
    body = envelope({f"a{n}": attribute for n in range(3_000)})
    skipped = builder.build(PLAIN._replace(body=body)).skipped
    assert len(skipped) == 11
    assert skipped[-1] == "2990 more message attributes"
    assert all(len(reason) < 700 for reason in skipped)


@pytest.mark.parametrize(("length", "sent"), [(1_024, True), (1_025, False), (200_000, False)])
def test_a_trace_header_that_is_too_long_to_be_any_is_not_passed_on(
    length: int, sent: bool
) -> None:
    names = (contract.HEADER_XRAY_TRACE, contract.HEADER_TRACE_PARENT)
    attributes = {"traceparent": text("t" * length)}
    message = PLAIN._replace(trace_header="t" * length, attributes=attributes)
    lines = Extras(names).lines(message, 0.0, 0.0)
    assert [name for name, _ in lines] == (list(names) if sent else [])


@pytest.mark.parametrize("name", ["task", "file", "hint", "group_id"])
def test_an_event_that_quotes_a_message_is_cut_in_the_log_and_on_the_status_page(name: str) -> None:
    log = RecordingLog()
    observer = Observer(log, FakeClock())
    observer.emit(events.DAEMON_FAILED, **{name: "(failed) " * 10_000, "count": 3})
    ((_, values),) = log.events
    assert (len(values[name]), values["count"]) == (2_000, 3)
    ((_, _, shown),) = observer.failures
    assert len(shown[name]) == 2_000
