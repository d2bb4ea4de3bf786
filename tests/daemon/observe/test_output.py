"""Standard output that fails, is full, or whose reader sleeps, never holds up the loop."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqsd.observe.output import MOST_PENDING, Output

LINE = "x" * 199 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def fill(output: Output, lines: int) -> float:
    """Write lines; seconds it took."""
    before = time.monotonic()
    for _ in range(lines):
        output.write(LINE)
        output.flush()
    return time.monotonic() - before


async def test_lines_arrive_whole_and_in_order(
    pipe: tuple[int, int], loop: asyncio.AbstractEventLoop
) -> None:
    output = Output(pipe[1], loop)
    for number in range(50):
        output.write(f"line {number}\n")
        output.flush()
    await asyncio.sleep(0)
    assert os.read(pipe[0], 65_536).decode().splitlines() == [f"line {n}" for n in range(50)]
    assert output.dropped == 0
    output.close()


async def test_what_one_turn_of_the_loop_writes_goes_out_together(
    loop: asyncio.AbstractEventLoop,
) -> None:
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, ours:
        output = Output(ours.fileno(), loop)
        for _ in range(3):
            output.write("line\n")
            output.flush()
        await asyncio.sleep(0)
        # A packet is one write.
        assert theirs.recv(4_096) == b"line\n" * 3
        output.close()


async def test_a_reader_that_sleeps_costs_lines_and_no_time(
    pipe: tuple[int, int], loop: asyncio.AbstractEventLoop
) -> None:
    output = Output(pipe[1], loop)
    written = 20_000
    for _ in range(200):
        assert fill(output, written // 200) < 1
        await asyncio.sleep(0)
        await asyncio.sleep(0.0005)
    assert output.dropped > 0
    # when it wakes, it gets what was kept, in whole lines
    got = b""
    async with asyncio.timeout(20):
        while len(got) < (written - output.dropped) * len(LINE):
            got += await asyncio.to_thread(os.read, pipe[0], 1 << 20)
    assert set(got.decode().splitlines(keepends=True)) == {LINE}
    assert len(got) <= MOST_PENDING + 200 * 100 * len(LINE)
    output.close()


async def test_a_sleeping_reader_of_a_socket_is_not_waited_for(
    loop: asyncio.AbstractEventLoop,
) -> None:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        output = Output(ours.fileno(), loop)
        assert fill(output, 5_000) < 5
        await asyncio.sleep(0)
        assert ours.getblocking()  # the descriptor's own flags are as they were
        output.close(seconds=0.01)
        assert output.dropped > 0


async def test_a_pipe_without_a_reader_drops_lines(
    loop: asyncio.AbstractEventLoop,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    output = Output(writing, loop)
    fill(output, 3)
    await asyncio.sleep(0)
    fill(output, 2)
    await asyncio.sleep(0)
    assert output.dropped == 5
    output.close()
    os.close(writing)


async def test_a_full_disk_drops_lines_says_why_and_reports_when_it_is_over(
    tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    recovered: list[tuple[int, str]] = []
    file, full = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT), os.open("/dev/full", 1)
    descriptor = os.dup(file)
    output = Output(descriptor, loop, lambda dropped, why: recovered.append((dropped, why)))
    os.dup2(full, descriptor)
    fill(output, 3)
    await asyncio.sleep(0)
    assert output.dropped == 3
    failure = str(output.failure)
    assert "No space left on device" in failure
    assert "make room on the disk" in failure
    fill(output, 2)
    await asyncio.sleep(0)
    assert recovered == []
    os.dup2(file, descriptor)  # room again
    fill(output, 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ((dropped, why),) = recovered
    assert dropped == 5
    assert "No space left" in why
    assert output.failure is None
    fill(output, 1)
    await asyncio.sleep(0)
    assert len(recovered) == 1
    output.close()
    for opened in (descriptor, file, full):
        os.close(opened)


async def test_a_descriptor_that_is_closed_drops_lines(loop: asyncio.AbstractEventLoop) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    output = Output(writing, loop)
    fill(output, 3)
    await asyncio.sleep(0)
    assert output.dropped == 3
    output.close()


async def test_a_file_gets_every_line_even_the_last_before_the_end(
    tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    output = Output(descriptor, loop)
    fill(output, 10)
    output.close()
    assert path.read_text() == LINE * 10
    os.close(descriptor)


async def test_letters_that_have_no_utf8_form_are_escaped(
    tmp_path: Path, loop: asyncio.AbstractEventLoop
) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    output = Output(descriptor, loop)
    output.write('{"task":"\ud800é"}\n')
    output.close()
    assert path.read_bytes() == '{"task":"\\ud800é"}\n'.encode()
    os.close(descriptor)
