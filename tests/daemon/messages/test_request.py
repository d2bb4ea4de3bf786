"""The request an application sees: to the byte, and whatever a message holds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd import contract
from sqsd.contract import SqsdOptions
from sqsd.messages.message import Attribute
from sqsd.messages.request import RequestBuilder, header_name
from tests.daemon.messages.requests import PLAIN, build, cron, parsed, text, value, values

# ---- to the byte


def test_an_ordinary_message_is_posted_byte_for_byte() -> None:
    request = build()
    assert request.head == (
        b"POST / HTTP/1.1\r\n"
        b"Content-Type: application/json\r\n"
        b"User-Agent: aws-sqsd/3.0.5 (worker-tier)\r\n"
        b"X-Aws-Sqsd-Msgid: 7d0d3a4c-7d3c-4f6f-9a57-0a1f0b6c2f11\r\n"
        b"X-Aws-Sqsd-Receive-Count: 1\r\n"
        b"X-Aws-Sqsd-First-Received-At: 2023-11-14T22:13:21Z\r\n"
        b"X-Aws-Sqsd-Sent-At: 2023-11-14T22:13:20Z\r\n"
        b"X-Aws-Sqsd-Queue: work\r\n"
        b"X-Aws-Sqsd-Path: /\r\n"
        b"X-Aws-Sqsd-Sender-Id: AROAEXAMPLE:producer\r\n"
        b"Host: localhost\r\n"
        b"Accept-Encoding: gzip, compressed\r\n"
        b"Content-Length: 8\r\n\r\n"
    )
    assert request.body == b'{"n": 1}'
    assert request[2:] == ("/", None, None, ())


def test_attributes_stand_between_the_sender_and_the_host_in_the_order_of_the_queue() -> None:
    options = SqsdOptions(http_path="/jobs?kind=a", http_port=8080, mime_type="text/plain")
    builder = RequestBuilder(options, "orders.fifo")
    attributes = {
        "traceId": text("a b"),
        "n": text("7", "Number.int"),
        "Blob": Attribute("Binary", None),
    }
    request = build(builder, attributes=attributes, receive_count=7)
    assert request.head == (
        b"POST /jobs?kind=a HTTP/1.1\r\n"
        b"Content-Type: text/plain\r\n"
        b"User-Agent: aws-sqsd/3.0.5 (worker-tier)\r\n"
        b"X-Aws-Sqsd-Msgid: 7d0d3a4c-7d3c-4f6f-9a57-0a1f0b6c2f11\r\n"
        b"X-Aws-Sqsd-Receive-Count: 7\r\n"
        b"X-Aws-Sqsd-First-Received-At: 2023-11-14T22:13:21Z\r\n"
        b"X-Aws-Sqsd-Sent-At: 2023-11-14T22:13:20Z\r\n"
        b"X-Aws-Sqsd-Queue: orders.fifo\r\n"
        b"X-Aws-Sqsd-Path: /jobs?kind=a\r\n"
        b"X-Aws-Sqsd-Sender-Id: AROAEXAMPLE:producer\r\n"
        b"X-Aws-Sqsd-Attr-Traceid: a b\r\n"
        b"X-Aws-Sqsd-Attr-N: 7\r\n"
        b"Host: localhost:8080\r\n"
        b"Accept-Encoding: gzip, compressed\r\n"
        b"Content-Length: 8\r\n\r\n"
    )
    assert request.skipped == (
        "Message attribute Blob omitted from HTTP header: unsupported data type Binary",
    )


def test_a_scheduled_message_goes_to_its_own_path_with_an_empty_body() -> None:
    request = build(body=contract.CRON_BODY.encode(), attributes=cron())
    assert request.head == (
        b"POST /scheduled HTTP/1.1\r\n"
        b"Content-Type: application/json\r\n"
        b"User-Agent: aws-sqsd/3.0.5 (worker-tier)\r\n"
        b"X-Aws-Sqsd-Msgid: 7d0d3a4c-7d3c-4f6f-9a57-0a1f0b6c2f11\r\n"
        b"X-Aws-Sqsd-Receive-Count: 1\r\n"
        b"X-Aws-Sqsd-First-Received-At: 2023-11-14T22:13:21Z\r\n"
        b"X-Aws-Sqsd-Sent-At: 2023-11-14T22:13:20Z\r\n"
        b"X-Aws-Sqsd-Queue: work\r\n"
        b"X-Aws-Sqsd-Path: /scheduled\r\n"
        b"X-Aws-Sqsd-Sender-Id: AROAEXAMPLE:producer\r\n"
        b"X-Aws-Sqsd-Scheduled-At: 2023-01-15T07:42:00Z\r\n"
        b"X-Aws-Sqsd-Taskname: tick\r\n"
        b"Host: localhost\r\n"
        b"Accept-Encoding: gzip, compressed\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    at = datetime(2023, 1, 15, 7, 42, tzinfo=UTC)
    assert request[1:] == (b"", "/scheduled", "tick", at, ())


# ---- what the original was seen to do, case by case (the numbers are those of its record)

BODIES = {
    "1 plain": "plain",
    "1 JSON": '{"a": [1, 2]}',
    "1 UTF-8": "grüße, 世界 🎉",
    "1 XML-like": "<a>&amp;</a>",
    "2 one blank": " ",
    "2 one newline": "\n",
    "2 blanks around": "  x  ",
    "2 CR LF and lone CR": "a\r\nb\rc\n",
    "3 256 KB": "x" * 262_144,
    "3 256 KB of two-byte letters": "é" * 131_072,
    "3 1 MiB": "y" * 1_048_576,
    "32 an SNS envelope is not unwrapped": '{"Type": "Notification", "Message": "inner"}',
    "33 not JSON": "{",
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_is_posted_byte_for_byte_and_counted_in_bytes(case: str) -> None:
    body = BODIES[case].encode()
    request = build(body=body)
    assert parsed(request)[2] == body
    assert value(request, "Content-Length") == str(len(body)).encode()


@pytest.mark.parametrize(
    "data_type", ["String", "Number", "Number.int", "Number.float", "String.custom"]
)
def test_case_4_text_and_numbers_become_headers(data_type: str) -> None:
    request = build(attributes={"a": text("12.5", data_type)})
    assert value(request, "X-Aws-Sqsd-Attr-A") == b"12.5"
    assert request.skipped == ()


@pytest.mark.parametrize("data_type", ["Binary", "Binary.png"])
def test_case_5_binary_attributes_become_no_header_and_are_spoken_of(data_type: str) -> None:
    request = build(attributes={"pic": Attribute(data_type, None)})
    assert values(request, "X-Aws-Sqsd-Attr-Pic") == []
    assert request.skipped == (
        f"Message attribute pic omitted from HTTP header: unsupported data type {data_type}",
    )


def test_case_6_ten_attributes_and_a_value_of_100_kB_are_all_sent() -> None:
    attributes = {f"a{n}": text("v") for n in range(9)} | {"long": text("z" * 100_000)}
    builder = RequestBuilder(SqsdOptions(attribute_header_bytes=110_000), "work")
    request = build(builder, attributes=attributes)
    assert (
        len([name for name, _ in parsed(request)[1] if name.startswith("x-aws-sqsd-attr-")]) == 10
    )
    assert value(request, "X-Aws-Sqsd-Attr-Long") == b"z" * 100_000


def test_case_7_names_that_differ_in_case_give_one_header_with_the_last_value_and_a_log_line() -> (
    None
):
    attributes = {"Foo": text("1"), "foo": text("2"), "FOO": text("3")}
    request = build(attributes=attributes)
    assert value(request, "X-Aws-Sqsd-Attr-Foo") == b"3"
    assert [sentence.split()[2] for sentence in request.skipped] == ["foo", "FOO"]  # EB: silent


def test_case_8_a_hyphen_at_the_end_stays_so_that_two_names_stay_two_headers() -> None:
    request = build(attributes={"trail": text("1"), "trail-": text("2")})  # EB: twice one name
    assert value(request, "X-Aws-Sqsd-Attr-Trail") == b"1"
    assert value(request, "X-Aws-Sqsd-Attr-Trail-") == b"2"


def test_case_9_utf_8_goes_through_as_it_is() -> None:
    request = build(attributes={"a": text("grüße 世界")})
    assert value(request, "X-Aws-Sqsd-Attr-A") == "grüße 世界".encode()
    assert values(request, contract.HEADER_ENCODED) == []


def test_case_10_blanks_at_the_ends_are_sent() -> None:
    request = build(attributes={"a": text(" x "), "b": text(" ")})
    assert b"\r\nX-Aws-Sqsd-Attr-A:  x \r\n" in request.head
    assert b"\r\nX-Aws-Sqsd-Attr-B:  \r\n" in request.head


@pytest.mark.parametrize(
    ("hostile", "sent"),
    [
        ("a\nb", b"a%0Ab"),
        ("a\r\nX-Admin: yes", b"a%0D%0AX-Admin: yes"),
        ("x\r\n\r\nPOST /evil HTTP/1.1\r\n\r\n", b"x%0D%0A%0D%0APOST /evil HTTP/1.1%0D%0A%0D%0A"),
        ("nul\x00, 100%", b"nul%00, 100%25"),
        ("\ud800", b"%ED%A0%80"),
    ],
)
def test_cases_11_and_12_line_ends_are_encoded_and_named_where_EB_lets_them_inject(
    hostile: str, sent: bytes
) -> None:
    request = build(attributes={"a": text(hostile)})
    assert value(request, "X-Aws-Sqsd-Attr-A") == sent
    assert value(request, contract.HEADER_ENCODED) == b"X-Aws-Sqsd-Attr-A"


def test_case_13_an_attribute_never_overrides_a_header_of_the_request() -> None:
    names = ["content-type", "Host", "Content-Length"]
    request = build(attributes={name: text("evil") for name in names})
    for name in names:
        assert value(request, f"X-Aws-Sqsd-Attr-{name}") == b"evil"
        assert value(request, name) != b"evil"


def test_case_14_a_path_alone_is_shown_and_not_followed() -> None:
    request = build(attributes={contract.ATTRIBUTE_PATH: text("/elsewhere")})
    assert parsed(request)[0].target == b"/"
    assert value(request, contract.HEADER_PATH) == b"/elsewhere"
    assert (request.path, request.body) == ("/", PLAIN.body)


def test_case_15_a_task_name_alone_is_ignored() -> None:
    request = build(attributes={contract.ATTRIBUTE_TASK_NAME: text("tick")})
    assert request == build()


def test_case_16_a_time_alone_makes_a_scheduled_post_to_http_path() -> None:
    attributes = {contract.ATTRIBUTE_SCHEDULED_TIME: text("2023-01-15 07:42:00 UTC")}
    request = build(RequestBuilder(SqsdOptions(http_path="/in"), "q"), attributes=attributes)
    assert (parsed(request)[0].target, request.body) == (b"/in", b"")
    assert value(request, contract.HEADER_TASK_NAME) == b""


def test_case_17_without_a_name_the_taskname_is_empty() -> None:
    attributes = cron()
    del attributes[contract.ATTRIBUTE_TASK_NAME]
    request = build(attributes=attributes)
    assert value(request, contract.HEADER_TASK_NAME) == b""
    assert request.task_name == ""


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2023-01-15 07:42:00 UTC", b"2023-01-15T07:42:00Z"),
        ("2023-01-15T09:42:00+02:00", b"2023-01-15T07:42:00Z"),  # case 18
        ("2023-01-15T07:42:00", b"2023-01-15T07:42:00Z"),
        ("12", b"12"),  # case 19; EB: day 12 of this month
        ("not a time", b"not a time"),  # case 20; EB: the daemon ends
        ("0001-01-01T00:00:00+23:00", b"0001-01-01T00:00:00+23:00"),
        ("9999-12-31T23:59:59-23:00", b"9999-12-31T23:59:59-23:00"),
        ("a\r\nb", b"a%0D%0Ab"),
    ],
)
def test_cases_18_to_20_a_time_is_converted_or_passed_on_and_never_ends_the_daemon(
    written: str, sent: bytes
) -> None:
    assert value(build(attributes=cron(at=written)), contract.HEADER_SCHEDULED_AT) == sent


@pytest.mark.parametrize(
    ("path", "target", "shown"),
    [
        ("scheduled", b"/scheduled", b"scheduled"),  # case 21
        ("/a b", b"/a%20b", b"/a b"),  # case 22; EB: a blank in the request line
        ("http://127.0.0.1/x", b"/http://127.0.0.1/x", b"http://127.0.0.1/x"),  # case 23
        ("/a?b=c&d", b"/a?b=c&d", b"/a?b=c&d"),
        ("/ü", b"/%C3%BC", "/ü".encode()),
        ("/ HTTP/1.1\r\nX: y", b"/%20HTTP/1.1%0D%0AX:%20y", b"/ HTTP/1.1%0D%0AX: y"),
        ("", b"/", b""),
    ],
)
def test_cases_21_to_23_a_scheduled_path_is_made_a_legal_target(
    path: str, target: bytes, shown: bytes
) -> None:
    request = build(attributes=cron(path=path))
    assert parsed(request)[0].target == target
    assert value(request, contract.HEADER_PATH) == shown


def test_case_24_user_attributes_travel_with_a_scheduled_message() -> None:
    request = build(attributes={**cron(), "shard": text("3")})
    assert value(request, "X-Aws-Sqsd-Attr-Shard") == b"3"


@pytest.mark.parametrize(
    ("name", "withheld"),
    [
        ("beanstalk.sqsdfoo", True),
        ("beanstalk.sqsd.other", True),
        ("beanstalkXsqsdYz", False),  # EB withholds it too: its pattern's dot matches any letter
        ("xbeanstalk.sqsd.path", False),
    ],
)
def test_case_25_only_names_of_the_daemon_itself_are_withheld(name: str, withheld: bool) -> None:
    request = build(attributes={name: text("v")})
    assert values(request, f"X-Aws-Sqsd-Attr-{name}") == ([] if withheld else [b"v"])


def test_case_26_a_binary_path_is_ignored_and_not_logged() -> None:
    request = build(attributes={contract.ATTRIBUTE_PATH: Attribute("Binary", None)})
    assert request == build()


def test_case_27_the_receive_count_is_the_queues() -> None:
    assert value(build(receive_count=362), contract.HEADER_RECEIVE_COUNT) == b"362"


def test_case_28_fifo_system_attributes_become_no_header() -> None:
    assert build(group_id="g") == build()


def test_case_31_without_a_first_receive_the_header_says_1970() -> None:
    request = build(first_received_at=None, sent_at=None)
    assert value(request, contract.HEADER_FIRST_RECEIVED_AT) == b"1970-01-01T00:00:00Z"
    assert value(request, contract.HEADER_SENT_AT) == b"1970-01-01T00:00:00Z"


def test_a_missing_sender_gives_an_empty_header() -> None:
    assert value(build(sender_id=""), contract.HEADER_SENDER_ID) == b""


@pytest.mark.parametrize(
    ("attribute", "header"),
    [
        ("traceId", "Traceid"),
        ("my-attr-NAME", "My-Attr-Name"),
        ("X_Mixed.Name", "X_mixed.name"),
        ("a--b", "A--B"),
        ("not allowed:", "Not%20allowed%3a"),
    ],
)
def test_names_are_written_as_the_original_writes_them(attribute: str, header: str) -> None:
    assert header_name(attribute) == f"X-Aws-Sqsd-Attr-{header}"


@given(
    first=st.integers(0, 253_402_300_799_999),
    sent=st.integers(0, 253_402_300_799_999),
)
def test_times_are_iso_seconds_cut_off(first: int, sent: int) -> None:
    request = build(first_received_at=first, sent_at=sent)
    for header in (contract.HEADER_FIRST_RECEIVED_AT, contract.HEADER_SENT_AT):
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value(request, header))
