"""What a sender wrote cannot steer the operator's terminal, nor fill the memory of the command."""

from __future__ import annotations

import asyncio
import io
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.__main__ import main
from sqsd.base.columns import table
from sqsd.base.printable import printable
from sqsd.contract import ATTRIBUTE_REASON, ATTRIBUTE_TASK_NAME, TierResources
from sqsd.cron.lease import LeaseRecord
from sqsd.operator.aws import OperatorAws
from sqsd.operator.cli import print_leader
from sqsd.testing.queue import FakeSqs
from sqsd.testing.queue_server import SqsServer

#: Clears the screen; sets the window's title; the same by C1 controls; overwrites the line; and
#: shows what follows from right to left.
SPITE: Final = "\x1b[2J\x1b]0;title\x07\x9b2J\r\b\x00\u202e\u2066\u200fok"
HIDDEN: Final = set(SPITE) - set("[2J]0;titleok")


@contextmanager
def environment(patch: pytest.MonkeyPatch, port: int) -> Iterator[list[str]]:
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        patch.setenv(name, value)
    url = f"http://127.0.0.1:{port}/123456789012/dead"
    yield ["--queue-url", url, "--dead-letter-queue-url", url, "--region", "eu-west-1"]


async def run(patch: pytest.MonkeyPatch, sqs: FakeSqs, *arguments: str) -> int:
    async with SqsServer(sqs) as server:
        with environment(patch, server.port) as flags:
            return await asyncio.to_thread(main, [*arguments, *flags])


def spiteful() -> tuple[FakeSqs, str]:
    sqs = FakeSqs(time, fifo=True)
    sent = sqs.send(
        f"line 1\n\tline 2 {SPITE}",
        group_id=f"g{SPITE}",
        attributes={
            name: {"DataType": "String", "StringValue": SPITE}
            for name in (f"a{SPITE}", ATTRIBUTE_TASK_NAME, ATTRIBUTE_REASON)
        },
    )
    return sqs, sent


@pytest.mark.parametrize("command", [["list"], ["list", "--body"], ["show"], ["show", "--body"]])
async def test_nothing_that_a_sender_wrote_reaches_the_terminal_as_it_is(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sqs, sent = spiteful()
    action, *flags = command
    named = [sent] if action == "show" else []
    assert await run(monkeypatch, sqs, "dead-letters", action, *named, *flags) == 0
    printed = capsys.readouterr().out
    assert HIDDEN.isdisjoint(printed)
    assert "\\x1b[2J\\x1b]0;title\\x07\\x9b2J\\r\\x08\\x00\\u202e\\u2066\\u200fok" in printed


async def test_a_body_is_shown_with_its_lines_and_its_letters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sqs = FakeSqs(time)
    sent = sqs.send('{\n\t"é": "日本\\n"\n}')
    assert await run(monkeypatch, sqs, "dead-letters", "show", sent, "--body") == 0
    assert capsys.readouterr().out.endswith('\n\n{\n\t"é": "日本\\n"\n}\n')


async def test_a_body_is_written_as_it_is_to_what_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    sqs, sent = spiteful()
    assert await run(monkeypatch, sqs, "dead-letters", "show", sent, "--raw") == 0
    assert capfdbinary.readouterr().out == f"line 1\n\tline 2 {SPITE}".encode()


async def test_a_raw_body_is_not_written_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sqs, sent = spiteful()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert await run(monkeypatch, sqs, "dead-letters", "show", sent, "--raw") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--raw" in err
    assert "redirect" in err


def test_a_leader_whose_name_is_spiteful_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    names = iter([f"a{SPITE}", f"b{SPITE}"])
    versions = iter([1, 2])

    def lease() -> LeaseRecord:
        return LeaseRecord(version=next(versions), term=1, holder=next(names), lease_seconds=1.0)

    print_leader(lease, lambda seconds: None)
    assert HIDDEN.isdisjoint(capsys.readouterr().out)


def test_problems_of_a_cron_yaml_are_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cron = tmp_path / "cron.yaml"
    cron.write_text('version: 1\ncron:\n - {"\\e[2J": a, name: "\\e[2J", url: "/\\u202e"}\n')
    assert main(["cron", "list", str(cron)]) == 2
    _, err = capsys.readouterr()
    assert "\\x1b[2J" in err
    assert HIDDEN.isdisjoint(err)


@given(text=st.text())
def test_what_is_printable_has_nothing_that_acts(text: str) -> None:
    assert printable(text).isprintable()
    assert set(printable(text, lines=True)) <= {*printable(text), "\n", "\t"}
    if text.isprintable():
        assert printable(text) == text


def test_every_table_is_of_printable_cells() -> None:
    assert table([("a", "b"), ("\x1b", "\n")]) == "a     b\n\\x1b  \\n\n"


# ---- memory


class EndlessQueue:
    """botocore's client of a queue with `count` messages of `size` bytes, made as they are read."""

    def __init__(self, count: int, size: int) -> None:
        self.left = count
        self.size = size
        self.released: list[str] = []

    def receive_message(self, **request: Any) -> dict[str, Any]:
        assert len(request["QueueUrl"]) > 0
        now = min(self.left, request["MaxNumberOfMessages"])
        self.left -= now
        return {"Messages": [self._message(self.left + n) for n in range(now)]}

    def _message(self, number: int) -> dict[str, Any]:
        return {
            "MessageId": f"m-{number}",
            "ReceiptHandle": f"h-{number}",
            "Body": chr(97 + number % 26) * self.size,
            "Attributes": {"SentTimestamp": str(number), "ApproximateReceiveCount": "1"},
            "MessageAttributes": {"a": {"DataType": "String", "StringValue": "v" * self.size}},
        }

    def change_message_visibility_batch(self, **request: Any) -> dict[str, Any]:
        self.released += [entry["ReceiptHandle"] for entry in request["Entries"]]
        return {}


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> EndlessQueue:
    queue = EndlessQueue(count=1_000, size=100_000)
    monkeypatch.setattr("sqsd.operator.aws._client", lambda *_: queue)
    return queue


QUEUES: Final = "https://sqs.eu-west-1.amazonaws.com/123456789012"
DEAD: Final = [
    *("--queue-url", f"{QUEUES}/work"),
    *("--dead-letter-queue-url", f"{QUEUES}/dead"),
    *("--region", "eu-west-1"),
]


@pytest.mark.parametrize("flags", [[], ["--body"]])
def test_a_list_of_many_large_messages_takes_little_memory(
    endless: EndlessQueue, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1,000 messages of 200 kB
    monkeypatch.setattr(sys, "stdout", printed := io.StringIO())
    tracemalloc.start()
    try:
        assert main(["dead-letters", "list", "-n", "10000", *flags, *DEAD]) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
    lines = printed.getvalue().splitlines()
    assert len(lines) == 1_001
    assert [line.split()[0] for line in lines[1:3]] == ["m-0", "m-1"]
    assert sorted(endless.released) == sorted(f"h-{n}" for n in range(1_000))
    if flags:  # what is cut says so, and how long it was
        assert lines[1].endswith("... (100000 characters)")


def test_a_search_ends_with_what_it_looks_for(
    endless: EndlessQueue, capsys: pytest.CaptureFixture[str]
) -> None:
    endless.size = 10
    assert main(["dead-letters", "show", "m-995", "-n", "10000", *DEAD]) == 0
    assert "m-995" in capsys.readouterr().out
    assert sorted(endless.released) == sorted(f"h-{n}" for n in range(990, 1_000))


def test_a_queue_that_hands_out_the_same_again_is_not_read_for_ever(
    endless: EndlessQueue,
) -> None:
    # more messages than can be read until the first of them are visible again
    def receive(**request: Any) -> dict[str, Any]:
        endless.left = 10
        return EndlessQueue.receive_message(endless, **request)

    endless.size = 10
    endless.receive_message = receive  # type: ignore[method-assign]
    resources = TierResources(queue_url=DEAD[1], region="eu-west-1", tier_name="t")
    found = OperatorAws(resources).dead_letters(DEAD[3], 100)
    assert len([*islice(found, 11)]) == 10
