"""The producer: what it sends, how it paces, and that a refused entry is not lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.producer import index
from tools.local_aws import LocalAws


class Clock:
    """Time that moves only when someone sleeps, and a little with each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.0001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Sqs:
    """Accepts batches except the entries that a test refuses, call by call."""

    def __init__(self, refusals: Sequence[set[str]] = (), *, sender_fault: bool = False) -> None:
        self.accepted: list[dict[str, Any]] = []
        self._refusals = list(refusals)
        self._sender_fault = sender_fault

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        assert 1 <= len(Entries) <= 10
        refused = self._refusals.pop(0) if self._refusals else set()
        taken = [entry for entry in Entries if entry["Id"] not in refused]
        self.accepted += taken
        return {
            "Successful": [{"Id": one["Id"], "MessageId": f"id-{one['Id']}"} for one in taken],
            "Failed": [
                {"Id": name, "Code": "InternalError", "SenderFault": self._sender_fault}
                for name in sorted(refused)
            ],
        }


def bodies(sqs: Sqs) -> list[str]:
    return [json.loads(entry["MessageBody"]) for entry in sqs.accepted]


def produce(sqs: Sqs, clock: Clock, **options: Any) -> list[str]:
    batches = index.produce(
        sqs, "queue", index.Options(**options), monotonic=clock.monotonic, sleep=clock.sleep
    )
    return [message_id for batch in batches for message_id in batch]


@given(
    seconds=st.floats(0, 20),
    rate=st.one_of(st.none(), st.floats(0.5, 500)),
    count=st.one_of(st.none(), st.integers(0, 300)),
)
def test_messages_are_numbered_from_zero_without_gaps_and_in_time(
    seconds: float, rate: float | None, count: int | None
) -> None:
    if rate is None and count is None:
        count = 100
    sqs, clock = Sqs(), Clock()
    ids = produce(sqs, clock, seconds=seconds, rate=rate, count=count)
    assert bodies(sqs) == [f"message {number}" for number in range(len(ids))]
    assert len(ids) <= (count if count is not None else 10**9)
    if rate is not None:
        assert len(ids) <= 1 + seconds * rate
    assert clock.now <= seconds + 1


def test_a_minute_at_ten_a_second_is_six_hundred_messages() -> None:
    clock = Clock()
    assert len(produce(Sqs(), clock)) in (600, 601)
    assert 59.8 < clock.now < 60.2


def test_entries_that_sqs_failed_to_take_are_sent_again() -> None:
    sqs = Sqs([{"3", "7"}, {"7"}])
    ids = produce(sqs, Clock(), rate=None, count=10)
    assert sorted(ids) == sorted(f"id-{number}" for number in range(10))
    assert sorted(bodies(sqs)) == sorted(f"message {number}" for number in range(10))


def test_it_gives_up_on_a_queue_that_never_takes_a_message() -> None:
    with pytest.raises(index.NotSent, match=r"1 of 10 messages after 8 attempts: InternalError"):
        produce(Sqs([{"3"}] * 8), Clock(), rate=None, count=10)


def test_an_entry_that_is_the_senders_fault_is_not_tried_again() -> None:
    with pytest.raises(index.NotSent, match="after 1 attempts"):
        produce(Sqs([{"3"}], sender_fault=True), Clock(), rate=None, count=10)


def test_the_demo_mix_marks_every_nth_message_and_the_first_as_poison() -> None:
    sqs = Sqs()
    produce(sqs, Clock(), rate=None, count=40, fail_once_every=10, slow_every=16, poison=1)
    marked = {
        json.loads(entry["MessageBody"]): entry["MessageAttributes"]["demo"]["StringValue"]
        for entry in sqs.accepted
        if "MessageAttributes" in entry
    }
    assert marked == {
        "message 0": "poison",
        "message 9": "fail-once",
        "message 15": "slow",
        "message 19": "fail-once",
        "message 29": "fail-once",
        "message 31": "slow",
        "message 39": "fail-once",
    }


def test_every_mistake_in_an_event_is_named_at_once() -> None:
    with pytest.raises(index.InvalidEvent) as error:
        index.Options.from_event({"seconds": -1, "rate": 0, "ids": "yes"})
    assert "seconds must be 0 to 840, got -1" in str(error.value)
    assert "rate must be above 0, or null, got 0" in str(error.value)
    assert "ids must be true or false, got 'yes'" in str(error.value)


def test_a_misspelt_option_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(index.InvalidEvent, match="unknown: second; the event may have count, fail"):
        index.Options.from_event({"second": 3})


@pytest.mark.local_aws
def test_the_handler_fills_a_real_queue_and_tells_the_ids(
    fresh_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = fresh_aws.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]
    for name, value in fresh_aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QUEUE_URL", url)
    reported: list[str] = []
    answer = index.handler({"count": 25, "rate": None, "ids": True}, None, report=reported.extend)
    assert answer["sent"] == 25
    assert answer["message_ids"] == reported
    assert len(set(reported)) == 25
    attributes = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "25"
