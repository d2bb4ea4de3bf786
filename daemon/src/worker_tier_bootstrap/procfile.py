"""Procfile and Buildfile, as Elastic Beanstalk reads them: a name, a colon, a command.

Source: EB developer guide, "Buildfile" and "Procfile" of platforms based on Amazon Linux 2023.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from worker_tier_bootstrap.errors import BootstrapError

PROCFILE: Final = "Procfile"
BUILDFILE: Final = "Buildfile"
WEB: Final = "web"
_LINE: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_-]{0,62}):\s*(\S.*?)\s*$")


#: Name of a process -> what has that name already: a unit, or a log and its stream.
_TAKEN: Final = {
    "sqsd": "the daemon",
    "nginx": "nginx",
    "bootstrap": "the bootstrap's log",
    "access": "a log of nginx",
    "error": "a log of nginx",
    "amazon-cloudwatch-agent": "the CloudWatch agent",
    "docker": "Docker",
}
#: Beginning of a process's name -> what has such names.
_TAKEN_BEGINNINGS: Final = {
    "worker-tier-": "a unit of worker-tier",
    "systemd-": "a unit of systemd",
}


def parse(text: str, name: str) -> dict[str, str]:
    """Read a file of `name: command` lines into name -> shell command, in its order.

    Args:
        text: the file's content.
        name: the file's name, for errors. The names of a Procfile's processes become names of units
            and logs.

    Raises:
        BootstrapError: with every line that cannot be read, every name that is given twice, and
            in a Procfile every name that something of the instance has.
    """
    found: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if "\ufffd" in line:
            problems.append(f"line {number} is not UTF-8, got {line!r:.80}")
        elif match is None:
            problems.append(f"line {number} is not `name: command`, got {line!r:.80}")
        elif match[1] in found:
            problems.append(f"line {number} names {match[1]} a second time")
        elif name == PROCFILE and (owner := _owner(match[1])) is not None:
            problems.append(
                f"line {number}: the name {match[1]} is taken by {owner}; give the process another"
                " name"
            )
        else:
            found[match[1]] = match[2]
    if problems:
        raise BootstrapError(f"{name}: " + "; ".join(problems), hint=f"correct the {name}")
    return found


def _owner(process: str) -> str | None:
    """Return what has a process's name already, or None if the name is free."""
    for beginning, owner in _TAKEN_BEGINNINGS.items():
        if process.startswith(beginning):
            return owner
    return _TAKEN.get(process)


def processes(text: str) -> dict[str, str]:
    """Read a Procfile. The process that gets the traffic comes first and is called `web`.

    It is the process of that name, or else the first in the file.

    Raises:
        BootstrapError: the file names no process, or cannot be read.
    """
    found = parse(text, PROCFILE)
    if not found:
        raise BootstrapError(
            "the Procfile names no process", hint="add a line such as `web: node app.js`"
        )
    first = WEB if WEB in found else next(iter(found))
    return {WEB: found.pop(first), **found}


def units(names: Mapping[str, str]) -> list[str]:
    """Return the names of the processes' systemd units, in the order of the processes."""
    return [f"{name}.service" for name in names]
