"""The user's application: found by its Procfile, started on a port, waited for."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqsd.contract import CRON_FILE_NAME
from sqsd.cron.cron_yaml import InvalidCronFile, parse_cron_yaml
from tools.demo.errors import DemoError
from tools.local_aws.errors import tail
from tools.local_aws.instance import REPOSITORY
from tools.local_aws.ports import listening
from tools.local_aws.processes import Child

_PROCESS = re.compile(r"^([A-Za-z0-9_-]+):\s*(.*\S)\s*$")
#: How long a start may take; a JVM needs a while.
_START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_EXAMPLE = "for example `web: node app.js`, see examples/node_worker"


@dataclass(frozen=True)
class Source:
    """An application's directory, checked."""

    directory: Path
    #: What its Procfile starts as `web`, a shell command.
    command: str


def read_source(directory: Path) -> Source:
    """Check that there is something to start, and that its periodic tasks can be read.

    Raises:
        DemoError: with every problem found.
    """
    if not directory.is_dir():
        raise DemoError(
            f"the application directory {directory} does not exist; name one that does:"
            " make demo APP=path/to/app"
        )
    command = problem = None
    try:
        command = web_command(_read(directory / "Procfile"), directory / "Procfile")
    except DemoError as error:
        problem = str(error)
    problems = [*([problem] if problem else []), *_cron_problems(directory / CRON_FILE_NAME)]
    if problems or command is None:
        raise DemoError("\n".join(problems))
    return Source(directory.resolve(), command)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DemoError(
            f"nothing to start in {path.parent}: it has no Procfile; add one with a line"
            f" `web: <command>`, {_EXAMPLE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DemoError(f"{path} cannot be read: {error}") from None


def web_command(procfile: str, source: Path) -> str:
    """The command of the process `web` in a Procfile.

    Raises:
        DemoError: there is none.
    """
    matches = filter(None, map(_PROCESS.match, procfile.splitlines()))
    processes: dict[str, str] = {found[1]: found[2] for found in matches}
    if "web" not in processes:
        raise DemoError(
            f"nothing to start: {source} has no line `web: <command>`, only"
            f" {', '.join(sorted(processes)) or 'none at all'}; add one, {_EXAMPLE}"
        )
    return processes["web"]


def _cron_problems(path: Path) -> list[str]:
    if not path.exists():
        return []
    try:
        parse_cron_yaml(path.read_text(encoding="utf-8"), str(path))
    except (InvalidCronFile, OSError, UnicodeDecodeError) as error:
        return [str(error)]
    return []


def start(source: Source, *, port: int, environment: Mapping[str, str], directory: Path) -> Child:
    """Start the application and wait until it listens on `port`.

    Args:
        environment: its environment, to which PORT is added.
        directory: gets its output, and the sample applications' log.

    Raises:
        DemoError: it ended, or does not listen on PORT in time; with the end of its output.
    """
    child = Child(
        ["/bin/sh", "-c", source.command],
        env={
            **environment,
            "PATH": _search_path(source.directory, environment.get("PATH", "")),
            "PORT": str(port),
            "SAMPLE_APP_LOG": str(directory / "sample-app.log"),
        },
        log=directory / "app.log",
        cwd=source.directory,
    )
    try:
        _wait_until_listening(child, source, port)
    except BaseException:
        child.stop()
        raise
    return child


def _search_path(directory: Path, path: str) -> str:
    """PATH as it is; our own examples run on the Python that runs this, which is new enough."""
    ours = directory.is_relative_to(REPOSITORY / "examples")
    return f"{Path(sys.executable).parent}:{path}" if ours else path


def _wait_until_listening(child: Child, source: Source, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not listening(port):
        if (code := child.exit_code()) is not None:
            raise DemoError(
                f"the application ended with exit code {code} as soon as it was started"
                f" (`web: {source.command}` in {source.directory}); it must go on running and"
                f" listen on the port in the variable PORT. The end of its output ({child.log}):"
                f"\n{tail(child.log)}"
            )
        if time.monotonic() > deadline:
            raise DemoError(
                f"the application (`web: {source.command}` in {source.directory}) did not listen"
                f" on 127.0.0.1:{port} within {_START_SECONDS:.0f} s; it must listen on the port"
                f" in the variable PORT. The end of its output ({child.log}):\n{tail(child.log)}"
            )
        time.sleep(_POLL_SECONDS)
