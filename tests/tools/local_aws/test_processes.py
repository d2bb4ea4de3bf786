"""Children end with their group, with their descendants, and with their starter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.local_aws import warden
from tools.local_aws.processes import Child

ENVIRONMENT = {"PATH": os.environ["PATH"]}
#: Starts a process in a new session, as some programs do, and says its number.
DETACHING = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(60)
"""
OPEN_FILES = """
import os
for number in os.listdir("/proc/self/fd"):
    if os.path.exists(f"/proc/self/fd/{number}"):
        print(number, os.readlink(f"/proc/self/fd/{number}"))
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def assert_ends(pid: int) -> None:
    deadline = time.monotonic() + 5
    while running(pid):
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _linux() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("this test needs Linux's /proc")


def start(tmp_path: Path, *argv: str) -> Child:
    return Child(argv, env=ENVIRONMENT, log=tmp_path / "log", piped=True)


def test_what_a_child_started_ends_with_it_in_whatever_session(tmp_path: Path) -> None:
    child = start(tmp_path, sys.executable, "-c", DETACHING)
    grandchild = int(child.stdout.readline())
    assert running(grandchild)
    child.stop()
    assert_ends(grandchild)


def test_what_a_shell_left_in_the_background_ends_with_its_group(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sh", "-c", "sleep 60 >/dev/null & echo $!")
    left = int(child.stdout.readline())
    assert child.wait(5) == 0
    assert running(left)
    child.stop()
    assert_ends(left)


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    child = start(tmp_path, sys.executable, "-c", DEAF)
    assert child.stdout.readline() == b"deaf\n"
    assert child.stop(grace_seconds=0.1) == -9


def test_stopping_twice_is_harmless_and_gives_the_same_exit_code(tmp_path: Path) -> None:
    child = start(tmp_path, "/bin/sh", "-c", "exit 3")
    assert child.wait(5) == 3
    assert child.stop() == 3
    assert child.stop() == 3


def test_a_program_that_does_not_exist_ends_at_once_and_the_log_says_so(tmp_path: Path) -> None:
    child = start(tmp_path, "/nonexistent/program")
    assert child.wait(5) == 127
    child.stop()
    assert "/nonexistent/program" in child.log.read_text()


def test_a_child_reads_nothing_and_does_not_hold_the_wardens_pipe(tmp_path: Path) -> None:
    child = start(tmp_path, sys.executable, "-c", OPEN_FILES)
    said = child.stdout.read().decode().splitlines()
    assert child.wait(5) == 0
    child.stop()
    opened = dict(line.split(" ", 1) for line in said)
    assert opened["0"] == "/dev/null"
    assert [number for number, target in opened.items() if "pipe" in target] == ["1"]


def test_the_warden_follows_additions_and_removals() -> None:
    assert warden.watch(["+1\n", "+2\n", "-1\n", "-9\n", "+3\n"]) == {2, 3}


def test_the_warden_ends_the_deaf_and_the_detached() -> None:
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
        )
        for program in (DEAF, DETACHING)
    ]
    with programs[0] as deaf, programs[1] as detaching:
        assert deaf.stdout is not None
        assert detaching.stdout is not None
        deaf.stdout.readline()
        grandchild = int(detaching.stdout.readline())
        warden.end({deaf.pid, detaching.pid}, grace_seconds=0.3)
    assert (deaf.returncode, detaching.returncode) == (-9, -15)
    assert_ends(grandchild)
