"""Waits until the application is ready, or finds out why it does not get ready."""

from __future__ import annotations

import re
from http.client import HTTPConnection, HTTPException
from typing import Final

from worker_tier_bootstrap import paths, procfile, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.platforms import Platform
from worker_tier_bootstrap.release import Release

#: Pause between two probes, in seconds.
_POLL_SECONDS: Final = 0.1
#: Number of restarts of a process after which the boot fails.
_CRASHES: Final = 3
#: Time without a restart after which several processes count as running, in seconds.
_STEADY_SECONDS: Final = 3.0
#: Time of the boot that is left for what follows a failure, in seconds.
_MARGIN_SECONDS: Final = 10
#: Statuses with which nginx says that it does not reach the application.
_NOT_THE_APPLICATION: Final = frozenset({502, 504})
#: How a process ended: systemd's name -> ours.
_ENDINGS: Final = {"exited": "exit code", "killed": "signal", "dumped": "signal"}
#: State of a listening socket in /proc/net/tcp.
_LISTENING: Final = "0A"


def wait_for_application(boot: Boot, release: Release) -> None:
    """Wait at most `start_timeout` until the application answers and its other processes stay up.

    Raises:
        BootstrapError: a process exits again and again, or the application does not listen on PORT
            or does not answer well.
    """
    machine = boot.machine
    limit = min(boot.application.start_timeout, max(1.0, machine.remaining() - _MARGIN_SECONDS))
    end = machine.monotonic() + limit
    problem = "no answer"
    first = _restarts(machine, release)
    restarts = first
    changed_at = machine.monotonic()
    while machine.monotonic() < end:
        now = _restarts(machine, release)
        if now != restarts:
            restarts = now
            changed_at = machine.monotonic()
        for name, count in restarts.items():
            if count - first[name] >= _CRASHES:
                raise _exits(machine, release, name)
        problem = problem and _probe(boot, end - machine.monotonic())
        is_steady = len(restarts) == 1 or machine.monotonic() - changed_at >= _STEADY_SECONDS
        if not problem and is_steady:
            return
        machine.sleep(_POLL_SECONDS)
    if problem:
        raise _does_not_answer(boot, release, limit, problem)
    if restarts != first:
        worst = max(restarts, key=lambda name: restarts[name] - first[name])
        raise _exits(machine, release, worst)


def _restarts(machine: Machine, release: Release) -> dict[str, int]:
    """Process name -> number of its restarts by systemd."""
    text = machine.output_of(
        ["systemctl", "show", "-p", "NRestarts", "--value", *procfile.units(release.processes)]
    )
    counts = [int(count) for count in text.split()] or [0] * len(release.processes)
    return dict(zip(release.processes, counts, strict=True))


def _probe(boot: Boot, seconds: float) -> str:
    """Request the health path, or any page.

    Returns:
        Why the application is not ready, or an empty string if it is.
    """
    options = boot.settings.options
    path = options.health_path or "/"
    timeout = max(0.1, min(5.0, seconds))
    connection = HTTPConnection("127.0.0.1", options.http_port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    if options.health_path is None:
        is_ready = status not in _NOT_THE_APPLICATION
    else:
        is_ready = 200 <= status <= 299
    return "" if is_ready else f"GET {path} answers {status}"


def _exits(machine: Machine, release: Release, name: str) -> BootstrapError:
    # From the journal, for the unit's properties are those of its present start.
    journal = machine.output_of(
        ["journalctl", "-u", f"{name}.service", "-n", "50", "-o", "cat", "--no-pager"]
    )
    ends = re.findall(r"Main process exited, code=(\w+), status=(\d+)", journal)
    how = "" if not ends else f", last with {_ENDINGS.get(ends[-1][0], 'status')} {ends[-1][1]}"
    process = "application" if name == procfile.WEB else f"process {name}"
    return BootstrapError(
        f"the {process} exits as soon as it is started{how} ({name}: {release.processes[name]})",
        hint="start it by the same command on your machine; it must go on running",
        output=machine.tail(f"{paths.LOGS}/{name}.log"),
    )


def _does_not_answer(boot: Boot, release: Release, seconds: float, problem: str) -> BootstrapError:
    command = f"web: {release.processes[procfile.WEB]}"
    is_container = release.platform == Platform.DOCKER
    # Docker publishes a port by a process of root, which has other ports too.
    user = 0 if is_container else boot.machine.user_id(units.USER)
    ports = listening_ports(boot.machine, user)
    log = boot.machine.tail(f"{paths.LOGS}/{procfile.WEB}.log")
    by_socket = units.has_php_socket(release)
    if by_socket or release.port in ports:
        where = "its socket" if by_socket else f"PORT {release.port}"
        return BootstrapError(
            f"the application listens on {where} but has not answered well within {seconds:.0f} s:"
            f" {problem} ({command})",
            hint="see what it logs; give a longer start_timeout if it only needs more time",
            output=log,
        )
    if ports and not is_container:
        listed = ", ".join(map(str, sorted(ports)))
        return BootstrapError(
            f"the application listens on port {listed} instead of PORT {release.port} ({command})",
            hint=f"let it listen on the port in the variable PORT, or set port={min(ports)}",
            output=log,
        )
    return BootstrapError(
        f"the application does not listen on PORT {release.port} within {seconds:.0f} s"
        f" ({command})",
        hint="let it listen on the port in the variable PORT; give a longer start_timeout if it"
        " only needs more time",
        output=log,
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
