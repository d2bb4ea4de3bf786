"""Child processes that never outlive this one, each in its own process group.

In its own group a child does not get the terminal's Ctrl-C before its starter has decided
in which order things end, and lets a child's own children end with it.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from tools.local_aws.warden import descendants, signal_processes

_WARDEN_PROGRAM = Path(__file__).with_name("warden.py")
#: The child itself reports to the warden, whose pipe it gets as its input, before it becomes the
#: program: we could be killed or interrupted between its start and a report of ours.
_REPORT_AND_START = 'echo "+$$" >&0; exec "$@" </dev/null'


class Child:
    """A running program and all that it starts.

    Args:
        argv: the program and its arguments; never a shell line.
        env: its whole environment.
        log: file that gets its standard error, and its output unless `piped`.
        piped: give its standard output on `stdout`, a binary stream that the caller reads.
        cwd: its working directory.

    A program that cannot be started ends with 126 or 127 and says why in the log.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        log: Path,
        piped: bool = False,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _REPORT_AND_START, "sh", *map(str, argv)],
                env=dict(env),
                cwd=cwd,
                stdin=_warden().stdin,
                stdout=subprocess.PIPE if piped else errors,
                stderr=errors,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def stdout(self) -> IO[bytes]:
        """Standard output of a `piped` child; closed by `stop` and `wait`'s caller."""
        assert self._process.stdout is not None, "started without piped=True"
        return self._process.stdout

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_seconds: float | None = None) -> int:
        """Wait for the end and give the exit code; TimeoutExpired when it still runs."""
        return self._process.wait(timeout_seconds)

    def terminate(self) -> None:
        """Ask the program itself, not its children, to end; does not wait."""
        self._process.terminate()

    def stop(self, grace_seconds: float = 5.0) -> int:
        """End it and all that it started: SIGTERM, SIGKILL after the grace. Harmless when it ended.

        Returns: the program's exit code.
        """
        family = descendants([self.pid]) if self._process.poll() is None else set()
        try:
            self._signal_group(signal.SIGTERM)
            signal_processes(family, signal.SIGTERM)
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # The program may have ended and left children, or not have listened.
            self._signal_group(signal.SIGKILL)
            signal_processes(family, signal.SIGKILL)
            code = self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            _forget(self.pid)
        return code

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # macOS answers "not permitted" for a group that has only zombies left.
            return


def end_all() -> None:
    """End every child that is left, at the end of this process; none can be started afterwards."""
    warden = _warden()
    assert warden.stdin is not None
    warden.stdin.close()
    warden.wait()


def _forget(group: int) -> None:
    stdin = _warden().stdin
    assert stdin is not None
    if not stdin.closed:
        stdin.write(f"-{group}\n".encode())
        stdin.flush()


@cache
def _warden() -> subprocess.Popen[bytes]:
    """The one warden of this process, started with the first child."""
    warden = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_WARDEN_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    atexit.register(end_all)
    return warden
