"""Headers that are sent only when asked for."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd import contract
from sqsd.contract import SqsdOptions
from sqsd.messages.extra_headers import Extras
from sqsd.messages.message import Attribute, Message
from sqsd.messages.request import RequestBuilder

AT, UNTIL = 1_767_225_600.9, 1_767_225_900.0


def message(**more: Any) -> Message:
    values: dict[str, Any] = {
        "message_id": "m",
        "receipt_handle": "handle",
        "body": b"body",
        "receive_count": 1,
        "sender_id": "s",
        "sent_at": 0,
        "first_received_at": 0,
        "received_at": 0.0,
    }
    return Message(**{**values, **more})


def sent(to_send: Message, *names: str) -> h11.Request:
    builder = RequestBuilder(SqsdOptions(), "work", Extras(names))
    request = builder.build(to_send, AT, UNTIL)
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=2_000_000)
    server.receive_data(request.head + request.body)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    return head


def header(head: h11.Request, name: str) -> str | None:
    found = [value.decode() for key, value in head.headers if key.decode() == name.lower()]
    assert len(found) <= 1
    return found[0] if found else None


EVERYTHING = message(
    group_id="g",
    deduplication_id="d",
    trace_header="Root=1-5759e988-bd862e3fe1be46a994272793",
    attributes={"traceparent": Attribute("String", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")},
)


#: Extra headers that need nothing that a sender may leave out.
OF_EVERY_MESSAGE = (
    "X-Aws-Sqsd-Receipt-Handle",
    "X-Aws-Sqsd-Visibility-Deadline",
    "X-Aws-Sqsd-Receives-Left",
    "X-Aws-Sqsd-Request-Deadline",
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Aws-Sqsd-Receipt-Handle", "handle"),
        ("X-Aws-Sqsd-Visibility-Deadline", "2026-01-01T00:05:00Z"),
        ("X-Aws-Sqsd-Receives-Left", "9"),
        ("X-Aws-Sqsd-Request-Deadline", "2026-01-01T00:04:59Z"),
        ("X-Aws-Sqsd-Message-Group-Id", "g"),
        ("X-Aws-Sqsd-Message-Deduplication-Id", "d"),
        ("X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793"),
        ("traceparent", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    ],
)
def test_each_extra_header_is_sent_when_it_is_named_and_only_then(name: str, value: str) -> None:
    assert header(sent(EVERYTHING, name), name) == value
    others = [other for other in contract.EXTRA_HEADERS if other != name]
    assert header(sent(EVERYTHING, *others), name) is None
    assert header(sent(message(), name), name) == (value if name in OF_EVERY_MESSAGE else None)


def test_every_extra_header_that_the_contract_has_can_be_made() -> None:
    head = sent(EVERYTHING, *contract.EXTRA_HEADERS)
    assert [name for name in contract.EXTRA_HEADERS if header(head, name) is None] == []


@given(group=st.text(min_size=1))
def test_no_value_injects_a_header(group: str) -> None:
    plain = sent(message(group_id="g"), "X-Aws-Sqsd-Message-Group-Id")
    head = sent(message(group_id=group), "X-Aws-Sqsd-Message-Group-Id")
    names = {name for name, _ in head.headers} - {contract.HEADER_ENCODED.lower().encode()}
    assert names == {name for name, _ in plain.headers}


@pytest.mark.parametrize(
    ("max_retries", "receive_count", "left"),
    [(10, 1, "9"), (10, 9, "1"), (10, 10, "0"), (10, 11, "0"), (1, 1, "0"), (100, 1, "99")],
)
def test_receives_left_is_zero_on_the_last_attempt(
    max_retries: int, receive_count: int, left: str
) -> None:
    options = SqsdOptions(max_retries=max_retries)
    extras = Extras((contract.HEADER_RECEIVES_LEFT,), options)
    lines = extras.lines(message(receive_count=receive_count), AT, UNTIL)
    assert lines == [(contract.HEADER_RECEIVES_LEFT, left)]


@pytest.mark.parametrize(
    ("inactivity_timeout", "deadline"),
    [(1, "2026-01-01T00:00:01Z"), (299, "2026-01-01T00:04:59Z"), (36_000, "2026-01-01T10:00:00Z")],
)
def test_the_request_deadline_is_when_inactivity_ends_it(
    inactivity_timeout: int, deadline: str
) -> None:
    options = SqsdOptions(inactivity_timeout=inactivity_timeout)
    extras = Extras((contract.HEADER_REQUEST_DEADLINE,), options)
    lines = extras.lines(message(), AT, UNTIL)
    assert lines == [(contract.HEADER_REQUEST_DEADLINE, deadline)]


def test_the_user_agent_is_an_option() -> None:
    builder = RequestBuilder(SqsdOptions(user_agent="aws-sqsd/2.4"), "work")
    assert b"\r\nUser-Agent: aws-sqsd/2.4\r\n" in builder.build(message()).head


@pytest.mark.parametrize("wrong", ["", " aws-sqsd", "a\r\nX-Forged: 1", "é", None, 3])
def test_a_user_agent_that_is_no_header_is_refused(wrong: Any) -> None:
    with pytest.raises(contract.InvalidSettings, match="user_agent"):
        SqsdOptions(user_agent=wrong)
