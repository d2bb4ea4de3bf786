"""The parser of answers, held against h11: same answers in, same status and body out."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.http.http1 import AnswerParser, MalformedAnswer

TOKENS = st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True)
VALUES = st.from_regex(r"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)
FRAMING = {"content-length", "transfer-encoding", "connection", "upgrade", "keep-alive"}
BODIES = st.binary(max_size=60)


@st.composite
def answers(draw: st.DrawFn, *, until_close: bool = False) -> tuple[bytes, int, bytes]:
    """Bytes of a valid answer, with its status and body."""
    status = draw(st.integers(200, 599).filter(lambda s: s not in (204, 304)))
    body = draw(BODIES)
    names = draw(st.lists(TOKENS.filter(lambda name: name.lower() not in FRAMING), max_size=3))
    lines = [f"{name}: {draw(VALUES)}".encode() for name in names]
    if until_close:
        payload = body
    elif draw(st.booleans()):
        lines.append(
            draw(st.sampled_from([b"Content-Length: ", b"content-LENGTH:\t"])) + b"%d" % len(body)
        )
        payload = body
    else:
        lines.append(
            draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:  CHUNKED "]))
        )
        payload = draw(chunked(body))
    draw(st.randoms(use_true_random=False)).shuffle(lines)
    interim = draw(
        st.sampled_from(
            [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hint\r\nLink: x\r\n\r\n"]
        )
    )
    reason = draw(st.sampled_from([b"", b" ", b" Some Reason"]))
    head = b"HTTP/1.1 %d%s\r\n" % (status, reason) + b"".join(line + b"\r\n" for line in lines)
    return interim + head + b"\r\n" + payload, status, body


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    payload, rest = b"", body
    while rest:
        size = draw(st.integers(1, len(rest)))
        extension = draw(st.sampled_from([b"", b";a=b"]))
        payload += b"%x" % size + extension + b"\r\n" + rest[:size] + b"\r\n"
        rest = rest[size:]
    trailer = draw(st.sampled_from([b"", b"X-Trailer: 1\r\n", b"A: 1\r\nB: 2\r\n"]))
    return payload + b"0\r\n" + trailer + b"\r\n"


def by_h11(data: bytes, *, closed: bool) -> tuple[int, bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(
        h11.Request(method="POST", target="/", headers=[("Host", "x"), ("Content-Length", "0")])
    )
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    if closed:
        client.receive_data(b"")
    status, body = 0, b""
    while True:
        event = client.next_event()
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, body


def feed(parser: AnswerParser, *pieces: bytes) -> bool:
    """Feed pieces; the answer must not be complete before the last one."""
    complete = False
    for piece in pieces:
        assert not complete, "called complete too early"
        complete = parser.feed(piece)
    return complete


@given(answer=answers())
def test_an_answer_is_read_as_h11_reads_it_wherever_it_is_split(
    answer: tuple[bytes, int, bytes],
) -> None:
    data, status, body = answer
    assert by_h11(data, closed=False) == (status, body)
    for at in range(1, len(data)):
        parser = AnswerParser(keep_body=True)
        assert feed(parser, data[:at], data[at:])
        assert (parser.status, parser.body, parser.keep_alive) == (status, body, True)


@given(answer=answers())
def test_an_answer_is_read_byte_by_byte(answer: tuple[bytes, int, bytes]) -> None:
    data, status, body = answer
    for keep in (True, False):
        parser = AnswerParser(keep_body=keep)
        assert feed(parser, *(data[at : at + 1] for at in range(len(data))))
        assert (parser.status, parser.body) == (status, body if keep else b"")


@given(answer=answers(until_close=True), data=st.data())
def test_an_answer_without_length_ends_with_the_connection(
    answer: tuple[bytes, int, bytes], data: st.DataObject
) -> None:
    raw, status, body = answer
    assert by_h11(raw, closed=True) == (status, body)
    at = data.draw(st.integers(0, len(raw)))
    parser = AnswerParser(keep_body=True)
    assert not feed(parser, raw[:at], raw[at:])
    assert parser.end()
    assert (parser.status, parser.body, parser.keep_alive) == (status, body, False)


@given(first=answers(), second=answers())
def test_a_parser_reads_one_answer_after_the_other(
    first: tuple[bytes, int, bytes], second: tuple[bytes, int, bytes]
) -> None:
    parser = AnswerParser(keep_body=True)
    for data, status, body in (first, second):
        parser.reset()
        assert feed(parser, data[:20], data[20:])
        assert (parser.status, parser.body) == (status, body)


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body_whatever_their_head_says(status: int) -> None:
    parser = AnswerParser(keep_body=True)
    assert parser.feed(b"HTTP/1.1 %d X\r\nContent-Length: 10\r\n\r\n" % status)
    assert parser.keep_alive


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nX-Connection: close\r\n", True),
    ],
)
def test_a_connection_stays_open_as_the_head_says(head: bytes, kept: bool) -> None:
    parser = AnswerParser(keep_body=False)
    assert parser.feed(head + b"Content-Length: 0\r\n\r\n")
    assert parser.keep_alive is kept


@pytest.mark.parametrize(
    "extra",
    [
        b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        b"Content-Length: 2\r\n\r\nok\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore",
        b"Transfer-Encoding: chunked\r\n\r\n0\r\nT: 1\r\n\r\nmore",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ],
)
def test_bytes_beyond_an_answer_are_dropped_with_their_connection(extra: bytes) -> None:
    parser = AnswerParser(keep_body=True)
    assert parser.feed(b"HTTP/1.1 200 OK\r\n" + extra)
    assert not parser.keep_alive


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00",
        b"hello, world",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 600 Odd\r\n\r\n",
        b"HTTP/1.1200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 2_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokXX0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 100 Continue\r\n\r\nrubbish",
    ],
)
def test_what_is_not_http_is_malformed(garbage: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        AnswerParser(keep_body=True).feed(garbage)
    parser = AnswerParser(keep_body=True)
    step = 1 + len(garbage) // 100
    pieces = [garbage[at : at + step] for at in range(0, len(garbage), step)]
    with pytest.raises(MalformedAnswer):
        feed(parser, *pieces)


def test_the_same_length_said_twice_is_one_length() -> None:
    parser = AnswerParser(keep_body=True)
    assert parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")


@given(garbage=st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(garbage: bytes) -> None:
    for start in (
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        parser = AnswerParser(keep_body=True)
        try:
            complete = parser.feed(start + garbage)
        except MalformedAnswer:
            continue
        assert not complete or 200 <= parser.status < 600
