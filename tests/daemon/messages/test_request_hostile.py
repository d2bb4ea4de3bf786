"""Whatever a message holds, it forges no header and no request."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqsd import contract
from sqsd.contract import SqsdOptions
from sqsd.messages import request as request_module
from sqsd.messages.request import Request, RequestBuilder, header_name
from tests.daemon.messages.requests import PLAIN, build, cron, parsed, text, value, values

NASTY = st.text(
    st.one_of(
        st.sampled_from("\r\n\0\t :%,\x7f\x85\u2028é\ud800\udfff"),
        st.characters(),
    ),
    max_size=40,
)
HUGE = "\r\n%\0" * 25_000
NAMES = st.one_of(st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True), NASTY.filter(bool))


def limited(limit_bytes: int) -> RequestBuilder:
    return RequestBuilder(SqsdOptions(attribute_header_bytes=limit_bytes), "work")


#: Takes every attribute that SQS does.
UNLIMITED = limited(1_048_576)


def decoded(request: Request, header: str, sent: bytes) -> str:
    """A header's value as an application that knows `X-Aws-Sqsd-Encoded` reads it."""
    listed = b",".join(values(request, contract.HEADER_ENCODED)).decode()
    if header in [name.strip() for name in listed.split(",")]:
        sent = unquote_to_bytes(sent)
    return sent.decode("utf-8", "surrogatepass")


@given(given_attributes=st.dictionaries(NAMES, NASTY, max_size=10))
@example(given_attributes={"a": HUGE, "b": "ordinary"})
def test_no_attribute_injects_a_header_and_each_value_decodes_to_itself(
    given_attributes: dict[str, str],
) -> None:
    attributes = {name: text(value) for name, value in given_attributes.items()}
    request = build(UNLIMITED, attributes=attributes)
    last = {
        header_name(name): value
        for name, value in given_attributes.items()
        if not name.startswith(contract.RESERVED_ATTRIBUTE_PREFIX)
    }
    _, headers, body = parsed(request)
    sent = [(name, value) for name, value in headers if name.startswith("x-aws-sqsd-attr-")]
    assert [name for name, _ in sent] == [name.lower() for name in last]
    expected = {name for name, _ in parsed(build())[1]} | {name for name, _ in sent}
    assert {name for name, _ in headers} - {contract.HEADER_ENCODED.lower()} == expected
    assert body == PLAIN.body
    for (header, value_meant), (_, value_sent) in zip(last.items(), sent, strict=True):
        # HTTP itself takes blanks from the ends of a value.
        assert decoded(request, header, value_sent).strip(" \t") == value_meant.strip(" \t")


@given(path=NASTY, name=NASTY, at=NASTY, sender=NASTY)
@example(path=HUGE, name=HUGE, at=HUGE, sender="x")
def test_no_scheduled_message_forges_a_request(path: str, name: str, at: str, sender: str) -> None:
    request = build(UNLIMITED, attributes=cron(path=path, name=name, at=at), sender_id=sender)
    head, headers, body = parsed(request)
    names = [header for header, _ in headers]
    ordinary = [header for header, _ in parsed(build())[1]]
    own = ["x-aws-sqsd-scheduled-at", "x-aws-sqsd-taskname"]
    assert sorted(set(names) - {contract.HEADER_ENCODED.lower()}) == sorted({*ordinary, *own})
    assert len(names) == len(set(names))
    assert body == b""
    assert re.fullmatch(rb"/[!-~]*", head.target)
    for header, meant in (
        (contract.HEADER_TASK_NAME, name),
        (contract.HEADER_PATH, path),
        (contract.HEADER_SENDER_ID, sender),
    ):
        shown = decoded(request, header, value(request, header))
        assert shown.strip(" \t") == meant.strip(" \t")


def test_only_headers_that_are_encoded_are_named_so() -> None:
    # Names of headers have no case, so the second attribute replaces the first.
    attributes = {"Foo": text("a\nb"), "foo": text("100%25")}
    request = build(attributes=attributes)
    assert value(request, "x-aws-sqsd-attr-foo") == b"100%25"
    assert values(request, contract.HEADER_ENCODED) == []
    odd_sender = build(sender_id="a\rb%")
    assert value(odd_sender, contract.HEADER_SENDER_ID) == b"a%0Db%25"
    assert values(odd_sender, contract.HEADER_ENCODED) == [contract.HEADER_SENDER_ID.encode()]


@pytest.mark.parametrize("at", ["0001-01-01 00:00:00 UTC", "9999-12-31 23:59:59 UTC", "1969-01-01"])
def test_a_scheduled_time_out_of_all_reason_is_passed_on_and_not_computed_with(at: str) -> None:
    request = build(attributes=cron(at=at))
    assert request.scheduled_at is None
    assert value(request, "x-aws-sqsd-scheduled-at") == at.encode()


@pytest.mark.parametrize(
    "milliseconds", [-1, -(10**18), 253_402_300_800_000, 2**63 - 1, 10**30], ids=str
)
def test_a_time_outside_the_calendar_is_posted_as_the_epoch(milliseconds: int) -> None:
    request = build(sent_at=milliseconds, first_received_at=milliseconds)
    assert value(request, contract.HEADER_SENT_AT) == b"1970-01-01T00:00:00Z"
    assert value(request, contract.HEADER_FIRST_RECEIVED_AT) == b"1970-01-01T00:00:00Z"


#: Letters of a hostile value, by what made each slow to encode.
SLOW = {"controls": "\r", "percent": "%\n", "surrogates": "\ud800", "wide": "é\0"}


@pytest.fixture
def no_letter_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a value is encoded by a call for each letter: 1 MB took a second or two."""

    def encode(letter: str) -> str:
        raise AssertionError(f"a call for {letter!r}")

    monkeypatch.setattr(request_module, "_encode_letter", encode)


@pytest.mark.usefixtures("no_letter_by_letter")
@pytest.mark.parametrize("letters", [*SLOW.values(), "a"], ids=[*SLOW, "plain"])
def test_of_a_message_of_one_mebibyte_of_attributes_none_is_encoded(letters: str) -> None:
    attributes = {f"a{n}": text(letters * (125_000 // len(letters))) for n in range(8)}
    request = build(attributes=attributes)
    # The limit is 64 KiB, and no attribute fits.
    assert [name for name, _ in parsed(request)[1] if name.startswith("x-aws-sqsd-attr-")] == []
    assert len(request.skipped) == 8
    assert all("attribute_header_bytes (65536)" in reason for reason in request.skipped)


@pytest.mark.usefixtures("no_letter_by_letter")
@pytest.mark.parametrize("letters", SLOW.values(), ids=SLOW)
def test_a_large_value_is_encoded_by_a_table(letters: str) -> None:
    value_sent = letters * (100_000 // len(letters.encode("utf-8", "surrogatepass")))
    request = build(UNLIMITED, attributes={"a": text(value_sent)})
    assert request.skipped == ()
    assert decoded(request, "X-Aws-Sqsd-Attr-A", value(request, "X-Aws-Sqsd-Attr-A")) == value_sent


@pytest.mark.parametrize(
    ("sizes", "limit_bytes", "sent"),
    [
        ((1_000, 1_000), 2_004, (0, 1)),  # each name has two bytes
        ((1_000, 1_001), 2_004, (0,)),
        ((2_000, 100, 100), 1_024, (1, 2)),  # what fits after one that did not is sent
        ((1_022,), 1_024, (0,)),
        ((1_023,), 1_024, ()),
        ((0,) * 10, 1_024, tuple(range(10))),
    ],
)
def test_attributes_that_fit_are_sent_and_the_others_are_logged(
    sizes: tuple[int, ...], limit_bytes: int, sent: tuple[int, ...]
) -> None:
    attributes = {f"a{n}": text("v" * size) for n, size in enumerate(sizes)}
    request = build(limited(limit_bytes), attributes=attributes)
    names = {name for name, _ in parsed(request)[1]}
    assert names >= {f"x-aws-sqsd-attr-a{n}" for n in sent}
    assert len(request.skipped) == len(sizes) - len(sent)


def test_the_limit_counts_bytes_of_utf_8() -> None:
    request = build(limited(1_024), attributes={"a": text("é" * 511), "b": text("é" * 512)})
    assert values(request, "X-Aws-Sqsd-Attr-A") == ["é".encode() * 511]
    assert values(request, "X-Aws-Sqsd-Attr-B") == []


@pytest.mark.usefixtures("no_letter_by_letter")
@pytest.mark.parametrize("letters", ["x", "é", "\r", "\ud800", "𝄞"])
@pytest.mark.parametrize("which", ["path", "name", "at"])
def test_what_a_scheduled_message_says_is_cut_to_the_limit(which: str, letters: str) -> None:
    long = ("/" if which == "path" else "") + letters * 250_000
    request = build(attributes=cron(**{which: long}))
    assert len(request.head) < 4 * 2 * 65_536  # a path is a target and a header
    parsed(request)
    assert any("cut" in reason for reason in request.skipped)
