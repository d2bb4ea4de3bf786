"""What a process of the application prints, as CloudWatch and people get it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_tier_bootstrap.application_log import MAX_LINE_BYTES, Copier, Lines, written

EMF = (
    '{"_aws":{"Timestamp":1700000000000,"CloudWatchMetrics":[{"Namespace":"WorkerTier",'
    '"Dimensions":[["Tier"]],"Metrics":[{"Name":"MessagesDeleted"}]}]},"Tier":"T",'
    '"MessagesDeleted":1}'
)
EVENT = '{"event":"message.dead_lettered","message_id":"1"}'


def top_keys(line: bytes) -> set[str]:
    """The keys of a line that is a JSON object, as any reader takes it; of other lines none."""
    text = line.decode("utf-8", "replace").strip("\ufeff\0 \t\r\n\v\f\u00a0\u2028")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return set()
    return set(document) if isinstance(document, dict) else set()


def readings(line: bytes) -> list[bytes]:
    """The events that a line may become: itself, or one for each carriage return."""
    return [line, *line.split(b"\r")]


@pytest.mark.parametrize(
    "line",
    [
        EMF,
        EVENT,
        f"  \t{EMF}  ",
        f"\ufeff{EMF}",
        f"\0{EMF}",
        f"\u00a0\u2028{EMF}",
        EMF.replace("_aws", "\\u005faws"),
        EMF.replace("_aws", "_a\\u0077s"),
        EMF[:-1] + ',"x":NaN}',
        # it would end the wrapping object and continue it
        '{"a":1},' + EMF[1:],
        '{"a":1}}' + EMF,
        '{"a":{"a":1},"_aws":{}',
        f"progress 99 %\r{EMF}",
        f'{{"a":[\r{EMF}\r,1]}}',
        EMF.replace("{", '{"_aws":{},', 1),
    ],
)
def test_no_line_of_an_application_is_a_metric_or_a_line_of_the_daemon(line: str) -> None:
    for event in readings(written(line.encode(), "web")):
        assert top_keys(event).isdisjoint({"_aws", "event", "Tier"}), event


@given(
    st.lists(
        st.one_of(
            st.sampled_from([EMF, EVENT, "{", "}", "[", "]", ",", ":", "\r", "\ufeff", "\0", '"']),
            st.text(max_size=3),
        ),
        max_size=8,
    ).map("".join)
)
def test_no_combination_of_pieces_is_one_either(text: str) -> None:
    for line in text.encode("utf-8", "replace").split(b"\n"):
        for event in readings(written(line, "web")):
            assert "_aws" not in top_keys(event)


def test_a_structured_line_stays_structured_and_a_plain_one_plain() -> None:
    for plain in ("listening on 3000", "", "  at f (app.js:1:2)", "[INFO] {a: 1}", "größer"):
        assert written(plain.encode(), "web") == plain.encode()
    printed = '{"level":"error","n":0.10000000000000000001,"b":[{"c":null}], "a":"größer"}'
    line = written(printed.encode(), "worker")
    assert line == f'{{"process":"worker","log":{printed}}}'.encode()
    # what only begins like an object stays readable too
    said = json.loads(written(b"{oops: \xff}", "web"))
    assert said == {"process": "web", "log": "{oops: \ufffd}"}


def test_lines_are_cut_from_chunks_of_any_size() -> None:
    text = b"one\ntwo\n\nthree"
    for size in range(1, len(text) + 1):
        lines = Lines()
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        found = [line for chunk in chunks for line in lines.feed(chunk)]
        assert [*found, *lines.rest()] == [b"one", b"two", b"", b"three"]
        assert list(lines.rest()) == []


def test_a_line_without_an_end_takes_no_more_memory_than_its_limit() -> None:
    lines = Lines()
    tracemalloc.start()
    for _ in range(400):
        assert all(len(line) <= MAX_LINE_BYTES for line in lines.feed(b"{" * 65_536))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MAX_LINE_BYTES
    # and what comes after a cut is a line like any other
    _, piece = Lines().feed(b"x" * MAX_LINE_BYTES + EMF.encode() + b"\n")
    assert "_aws" not in top_keys(written(piece, "web"))


def test_a_full_disk_loses_lines_counts_them_and_never_stops_the_application(
    tmp_path: Path,
) -> None:
    path = tmp_path / "web.log"
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    full = os.open("/dev/full", os.O_WRONLY)
    target = os.dup(log)
    copier = Copier("web", target)
    copier.copy(b"before\n")
    os.dup2(full, target)
    copier.copy(b"lost\nlost too\n")
    os.dup2(log, target)
    copier.copy(b"after\n")
    for descriptor in (log, full, target):
        os.close(descriptor)
    said = path.read_text().splitlines()
    assert said == ["before", "worker-tier: 2 lines were lost here", "after"]


def test_what_was_printed_before_the_stop_is_written(tmp_path: Path) -> None:
    # given a pipe that stays open for reading and writing, as systemd's
    fifo = tmp_path / "web"
    os.mkfifo(fifo)
    pipe = os.open(fifo, os.O_RDWR)
    path = tmp_path / "web.log"
    with path.open("ab") as log:
        command = [sys.executable, "-P", "-s", "-m", "worker_tier_bootstrap.application_log", "web"]
        process = subprocess.Popen(command, stdin=pipe, stdout=log)
    os.write(pipe, b"first\n")
    while path.read_bytes() != b"first\n":
        assert process.poll() is None
    # when it is stopped while the pipe is full
    process.send_signal(signal.SIGSTOP)
    os.write(pipe, EMF.encode() + b"\nnot ended")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(10) == 0
    wrapped = f'{{"process":"web","log":{EMF}}}'
    assert path.read_text().splitlines() == ["first", wrapped, "not ended"]
    os.close(pipe)
