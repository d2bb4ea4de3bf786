"""Procfile and Buildfile, as Elastic Beanstalk reads them: a name, a colon, a command.

Source: EB developer guide, "Buildfile" and "Procfile" of platforms based on Amazon Linux 2023.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from worker_tier_bootstrap.errors import BootstrapError

WEB: Final = "web"
_LINE: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_-]{0,62}):\s*(\S.*?)\s*$")


def parse(text: str, name: str) -> dict[str, str]:
    """Process name -> shell command, in the file's order.

    Args:
        name: of the file, for errors.

    Raises:
        BootstrapError: with every line that cannot be read, and every name given twice.
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
        else:
            found[match[1]] = match[2]
    if problems:
        raise BootstrapError(f"{name}: " + "; ".join(problems), hint=f"correct the {name}")
    return found


def processes(text: str) -> dict[str, str]:
    """What a Procfile starts. The process that gets the traffic comes first, and is called `web`:
    the one of that name, else the first.

    Raises:
        BootstrapError: it names none, or cannot be read.
    """
    found = parse(text, "Procfile")
    if not found:
        raise BootstrapError(
            "the Procfile names no process", hint="add a line such as `web: node app.js`"
        )
    first = WEB if WEB in found else next(iter(found))
    return {WEB: found.pop(first), **found}


def units(names: Mapping[str, str]) -> list[str]:
    """The systemd units of processes, the web process first."""
    return [f"{name}.service" for name in names]
