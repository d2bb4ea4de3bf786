"""Waiting for the application: that it answers, or a sentence on why it does not."""

from __future__ import annotations

import re
from http.client import HTTPConnection, HTTPException
from typing import Final

from worker_tier_bootstrap import procfile, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.platforms import DOCKER
from worker_tier_bootstrap.release import Release

_POLL_SECONDS: Final = 0.1
#: Starts after which an application that ends each time is called broken.
_CRASHES: Final = 3
#: For so long no process may have ended before several of them are called running.
_STEADY_SECONDS: Final = 3.0
#: Answers of nginx that are not the application's.
_NOT_THE_APPLICATION: Final = frozenset({502, 504})
#: Of systemd's own words for how a process ended.
_END_WORDS: Final = {"exited": "exit code", "killed": "signal", "dumped": "signal"}
_LISTENING: Final = "0A"


def wait_for_application(boot: Boot, release: Release) -> None:
    """Until the application answers and its other processes stay up, at most `start_timeout`.

    Raises:
        BootstrapError: it exits again and again, does not listen on PORT, or does not answer well.
    """
    machine = boot.machine
    limit = min(boot.application.start_timeout, max(1.0, machine.remaining() - 10))
    end = machine.monotonic() + limit
    answer = "no answer"
    first = restarts = _restarts(machine, release)
    changed = machine.monotonic()
    while machine.monotonic() < end:
        if (now := _restarts(machine, release)) != restarts:
            restarts, changed = now, machine.monotonic()
        for name, count in restarts.items():
            if count - first[name] >= _CRASHES:
                raise _exits(machine, release, name)
        answer = answer and _ask(boot, end - machine.monotonic())
        alone = len(restarts) == 1
        if answer == "" and (alone or machine.monotonic() - changed >= _STEADY_SECONDS):
            return
        machine.sleep(_POLL_SECONDS)
    if answer == "" and restarts == first:
        return
    if answer == "":
        raise _exits(machine, release, max(restarts, key=lambda name: restarts[name] - first[name]))
    raise _silent(boot, release, limit, answer)


def _restarts(machine: Machine, release: Release) -> dict[str, int]:
    """Process -> how often systemd started it again."""
    text = machine.answer(
        ["systemctl", "show", "-p", "NRestarts", "--value", *procfile.units(release.processes)]
    )
    counts = [int(word) for word in text.split()] or [0] * len(release.processes)
    return dict(zip(release.processes, counts, strict=True))


def _ask(boot: Boot, seconds: float) -> str:
    """Ask for the health path, or any page; empty when the application has answered well."""
    options = boot.tier["options"]
    connection = HTTPConnection("127.0.0.1", options["http_port"], timeout=_patience(seconds))
    path = options.get("health_path")
    try:
        connection.request("GET", path or "/", headers={"Host": "localhost"})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    wrong = not 200 <= status <= 299 if path else status in _NOT_THE_APPLICATION
    return f"GET {path or '/'} answers {status}" if wrong else ""


def _patience(seconds: float) -> float:
    return max(0.1, min(5.0, seconds))


def _exits(machine: Machine, release: Release, name: str) -> BootstrapError:
    # A unit's own properties are those of its present start, which has not ended yet.
    journal = machine.answer(
        ["journalctl", "-u", f"{name}.service", "-n", "50", "-o", "cat", "--no-pager"]
    )
    ends = re.findall(r"Main process exited, code=(\w+), status=(\d+)", journal)
    how = "" if not ends else f", last with {_END_WORDS.get(ends[-1][0], 'status')} {ends[-1][1]}"
    what = "application" if name == procfile.WEB else f"process {name}"
    return BootstrapError(
        f"the {what} exits as soon as it is started{how} ({name}: {release.processes[name]})",
        hint="start it by the same command on your machine; it must go on running",
        output=machine.tail(f"{units.LOGS}/{name}.log"),
    )


def _silent(boot: Boot, release: Release, seconds: float, answer: str) -> BootstrapError:
    command = f"web: {release.processes['web']}"
    container = release.platform == DOCKER
    # Docker publishes a port by a process of root's, which has others too.
    ports = listening_ports(boot.machine, 0 if container else boot.machine.user_id("webapp"))
    tail = boot.machine.tail(f"{units.LOGS}/web.log")
    if release.port in ports:
        return BootstrapError(
            f"the application listens on PORT {release.port} but has not answered well within"
            f" {seconds:.0f} s: {answer} ({command})",
            hint="see what it logs; give a longer start_timeout if it only needs more time",
            output=tail,
        )
    if ports and not container:
        others = ", ".join(map(str, sorted(ports)))
        return BootstrapError(
            f"the application listens on port {others} instead of PORT {release.port} ({command})",
            hint=f"let it listen on the port in the variable PORT, or set port={min(ports)}",
            output=tail,
        )
    return BootstrapError(
        f"the application does not listen on PORT {release.port} within {seconds:.0f} s"
        f" ({command})",
        hint="let it listen on the port in the variable PORT; give a longer start_timeout if it"
        " only needs more time",
        output=tail,
    )


def listening_ports(machine: Machine, user_id: int) -> set[int]:
    """TCP ports on which a user's processes listen. Source: proc(5), /proc/net/tcp."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (machine.read(table) or "").splitlines()[1:]:
            row = line.split()
            if row[3] == _LISTENING and int(row[7]) == user_id:
                ports.add(int(row[1].rpartition(":")[2], 16))
    return ports
