"""Processes pinned to a core, which end with the benchmark, however it ends."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tools.bench.errors import BenchError

ROOT: Final = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Cores:
    """One core for what is measured, another for everything else.

    Raises:
        BenchError: this is not Linux, or there is only one core.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise BenchError(f"the benchmark reads Linux's /proc; this system is {sys.platform}")
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchError(f"the benchmark needs two cores or more, this process may use {cores}")
        self.servers = {cores[0]}
        self.client = {cores[-1]}


class Process:
    """A running program. A context manager: it has ended, and is waited for, when the block ends.

    Args:
        core: the CPUs that it may run on.
        log: gets its output, and its errors.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        core: set[int],
        env: Mapping[str, str],
        log: Path,
        piped: bool = False,
    ) -> None:
        def prepare() -> None:  # in the child, before the program
            os.sched_setaffinity(0, core)
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        self.log = log
        with log.open("ab") as output:
            self.started_at = time.monotonic()
            self._process = subprocess.Popen(
                [str(part) for part in argv],
                env=dict(env),
                cwd=ROOT,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                # Ctrl-C is for the benchmark, which then ends its children in order.
                start_new_session=True,
                # Safe: this process has one thread.
                preexec_fn=prepare,  # noqa: PLW1509
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise BenchError with the end of its log when it has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise BenchError(f"{self._process.args!r} ended with {code}: {self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-800:].strip()

    def finish(self) -> tuple[int, float, str]:
        """Wait for its end: exit code, CPU seconds of user and system together, what it printed."""
        assert self._process.stdout is not None
        output = self._process.stdout.read().decode()
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode, usage.ru_utime + usage.ru_stime, output

    def stop(self, grace_seconds: float = 1.0) -> None:
        """End it: SIGTERM, then SIGKILL for its whole session."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    # ---- orders, for the benchmark's own servers

    def read_line(self) -> Any:
        """The next JSON line that it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self.check()
        return json.loads(line)

    def order(self, do: str, **values: Any) -> Any:
        """Give an order (`tools.bench.wire.serve`) and take its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **values}).encode() + b"\n")
        self._process.stdin.flush()
        return self.read_line()


class Server(Process):
    """One of the benchmark's own servers: `tools.bench.queue_server` or `tools.bench.sink`."""

    def __init__(
        self, python: Path, module: str, options: Mapping[str, Any], cores: Cores, log: Path
    ) -> None:
        super().__init__(
            [python, "-m", module, json.dumps(options)],
            core=cores.servers,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)},
            log=log,
            piped=True,
        )
        self.port: int = self.read_line()["port"]
