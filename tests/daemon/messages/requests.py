"""Messages made into requests, and the requests read back."""

from __future__ import annotations

import h11

from sqsd import contract
from sqsd.contract import SqsdOptions
from sqsd.messages.message import Attribute, Message
from sqsd.messages.request import Request, RequestBuilder

PLAIN = Message(
    message_id="7d0d3a4c-7d3c-4f6f-9a57-0a1f0b6c2f11",
    receipt_handle="handle",
    body=b'{"n": 1}',
    receive_count=1,
    sender_id="AROAEXAMPLE:producer",
    sent_at=1_700_000_000_999,
    first_received_at=1_700_000_001_999,
    received_at=5.0,
)
BUILDER = RequestBuilder(SqsdOptions(), "work")


def text(value: str, data_type: str = "String") -> Attribute:
    return Attribute(data_type, value)


def cron(
    *, at: str = "2023-01-15 07:42:00 UTC", path: str = "/scheduled", name: str = "tick"
) -> dict[str, Attribute]:
    return {
        contract.ATTRIBUTE_PATH: text(path),
        contract.ATTRIBUTE_TASK_NAME: text(name),
        contract.ATTRIBUTE_SCHEDULED_TIME: text(at),
    }


def build(builder: RequestBuilder = BUILDER, /, **changes: object) -> Request:
    return builder.build(PLAIN._replace(**changes))  # type: ignore[arg-type]


def parsed(request: Request) -> tuple[h11.Request, list[tuple[str, bytes]], bytes]:
    """The request as h11 reads it, which must be one request and nothing after it."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=10_000_000)
    server.receive_data(request.head + request.body)
    head, body = server.next_event(), b""
    assert isinstance(head, h11.Request)
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
        body += event.data
    assert server.trailing_data == (b"", False)
    return head, [(name.decode(), value) for name, value in head.headers], body


def values(request: Request, name: str) -> list[bytes]:
    return [value for header, value in parsed(request)[1] if header == name.lower()]


def value(request: Request, name: str) -> bytes:
    (only,) = values(request, name)
    return only
