"""What SNS puts around a message, taken off again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.messages.message import Attribute, Message
from sqsd.messages.sns import unwrap

ENVELOPE: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
    "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic",
    "Message": "grüße",
    "Timestamp": "2012-05-02T00:54:06.655Z",
    "MessageAttributes": {
        "kind": {"Type": "String", "Value": "order"},
        "size": {"Type": "Number", "Value": "3"},
        "blob": {"Type": "Binary", "Value": "AAEC"},
    },
}


def message(body: str | bytes) -> Message:
    raw = body if isinstance(body, bytes) else body.encode()
    own = {"own": Attribute("String", "kept")}
    return Message("m", "h", raw, 1, "s", None, None, 0.0, None, own)


def test_the_published_text_is_the_body_and_its_attributes_are_beside_our_own() -> None:
    found = unwrap(message(json.dumps(ENVELOPE)))
    assert found.body == "grüße".encode()
    assert found.attributes == {
        "own": Attribute("String", "kept"),
        "kind": Attribute("String", "order"),
        "size": Attribute("Number", "3"),
        "blob": Attribute("Binary", None, "AAEC"),
    }
    assert (found.message_id, found.receipt_handle, found.receive_count) == ("m", "h", 1)


@pytest.mark.parametrize(
    "body",
    [
        "work",
        "{not json",
        "[]",
        "{}",
        json.dumps({**ENVELOPE, "Type": "SubscriptionConfirmation"}),
        json.dumps({**ENVELOPE, "TopicArn": None}),
        json.dumps({**ENVELOPE, "Message": {"a": 1}}),
    ],
)
def test_what_is_no_notification_is_left_as_it_is(body: str) -> None:
    before = message(body)
    assert unwrap(before) == before


@given(body=st.binary())
def test_no_body_breaks_it(body: bytes) -> None:
    before = message(body)
    assert unwrap(before) == before


@pytest.mark.parametrize("attributes", [None, [], {"a": 1}, {"a": {"Type": "String"}}])
def test_attributes_that_are_none_are_passed_over(attributes: object) -> None:
    found = unwrap(message(json.dumps({**ENVELOPE, "MessageAttributes": attributes})))
    assert found.body == "grüße".encode()
    assert set(found.attributes) == {"own"}


@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_brackets_within_brackets_are_no_envelope_and_end_nothing(bracket: str) -> None:
    body = ('{"Type": "Notification", "x": ' + bracket * 100_000).encode()
    nested = message(body)
    assert unwrap(nested) is nested
