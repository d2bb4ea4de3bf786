"""Ends process groups when the program that started them is gone, however it went.

Run as a program; standard input is its whole interface. `+PGID` and `-PGID` lines add
and remove a group. End of file means that the starter ended (the kernel closes its end of the pipe
even after SIGKILL): what is still listed then gets SIGTERM, and SIGKILL after a grace. Linux's
PR_SET_PDEATHSIG is not used because it is bound to the *thread* that started a child, and reaches
no grandchildren.

Some programs start theirs in a session of their own, as the CDK's Python does with Node. On Linux
those are found by their parents; elsewhere they have to notice by themselves.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

#: Seconds between SIGTERM and SIGKILL.
GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05


class Process(NamedTuple):
    """A process as it was seen; with its start, for a number alone may be another's by now."""

    pid: int
    started: str
    parent: int
    group: int
    zombie: bool


def watch(lines: Iterable[str]) -> set[int]:
    """Follow the lines to their end; the groups that are still listed then."""
    groups: set[int] = set()
    for line in lines:
        sign, group = line[:1], int(line[1:])
        if sign == "+":
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def end(groups: set[int], grace_seconds: float = GRACE_SECONDS) -> None:
    """SIGTERM to every group and all that descends from it, SIGKILL to what remains."""
    family = descendants(groups)
    deadline = time.monotonic() + grace_seconds
    signal_processes(family, signal.SIGTERM)
    _signal_groups(groups, signal.SIGTERM)
    while _any_alive(groups) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _signal_groups(groups, signal.SIGKILL)
    signal_processes(family, signal.SIGKILL)


def descendants(roots: Iterable[int]) -> set[Process]:
    """The processes below `roots`, which are not among them; none where there is no /proc."""
    children: dict[int, list[Process]] = {}
    for process in _processes():
        children.setdefault(process.parent, []).append(process)
    found: set[Process] = set()
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), []):
            found.add(child)
            waiting.append(child.pid)
    return found


def signal_processes(processes: Iterable[Process], number: int) -> None:
    """Signal those that are still the same processes."""
    for process in processes:
        now = _read_stat(Path(f"/proc/{process.pid}/stat"))
        if now is not None and now.started == process.started:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)


def _processes() -> Iterator[Process]:
    """Every process there is, on Linux."""
    return filter(None, map(_read_stat, Path("/proc").glob("[0-9]*/stat")))


def _read_stat(path: Path) -> Process | None:
    """A process from /proc/PID/stat; None when it is gone."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses; the fields after it do not.
    fields = text.rpartition(")")[2].split()
    return Process(
        pid=int(text.split(" ", 1)[0]),
        started=fields[19],
        parent=int(fields[1]),
        group=int(fields[2]),
        zombie=fields[0] in "ZX",
    )


def _signal_groups(groups: set[int], number: int) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _any_alive(groups: set[int]) -> bool:
    """Whether a process of the groups still runs. A zombie does not."""
    if Path("/proc/self/stat").exists():
        return any(process.group in groups and not process.zombie for process in _processes())
    return any(_group_exists(group) for group in groups)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    # The terminal's Ctrl-C and a group-wide SIGTERM are for the starter; this program outlives it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end(watch(sys.stdin))
