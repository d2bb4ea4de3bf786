"""Finds processes that outlived the program which started them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

#: A program under test carries this variable, and all that it starts inherits it.
MARK_VARIABLE = "WORKER_TIER_TEST_MARK"


def processes_with(mark: str) -> list[str]:
    """Command lines of the processes that have `mark` in their environment or arguments.

    Arguments too, because nginx writes its title over its environment. Zombies have neither.
    """
    if not Path("/proc/self/environ").exists():
        pytest.skip("this test needs Linux's /proc")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except (OSError, UnicodeDecodeError):
            continue
        ours = int(process.name) == os.getpid()
        if arguments and not ours and (mark.encode() in environment or mark in arguments):
            found.append(f"{process.name}: {arguments}")
    return found


def assert_none_left(mark: str, within_seconds: float = 10.0) -> None:
    """Fail unless the processes with `mark` are gone, or go within that time."""
    deadline = time.monotonic() + within_seconds
    while (left := processes_with(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == [], f"left behind: {left}"
