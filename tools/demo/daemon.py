"""The dispatch daemon as a child process, its events followed by a thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tools.demo.errors import DemoError
from tools.demo.progress import Progress
from tools.local_aws.errors import tail
from tools.local_aws.processes import Child

#: Beyond `drain_timeout`, for the last deletes and the lease.
_STOP_MARGIN_SECONDS = 15.0
_POLL_SECONDS = 0.1


class Daemon:
    """`sqsd run --settings tier.json`.

    Args:
        settings: the tier.json that was read from the deployed stack.
        directory: gets its events and its other output.
    """

    def __init__(self, settings: Path, environment: Mapping[str, str], directory: Path) -> None:
        self.events = directory / "sqsd-events.jsonl"
        self._drain_seconds = _drain_seconds(settings)
        self._progress = Progress()
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._child = Child(
            [sys.executable, "-P", "-m", "sqsd", "run", "--settings", settings],
            env=environment,
            log=directory / "sqsd.log",
            piped=True,
            cwd=directory,
        )
        self._follower = threading.Thread(target=self._follow, name="sqsd events", daemon=True)
        self._follower.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The way out after an error or Ctrl-C: as `stop`, without waiting for a long drain."""
        self._child.stop(grace_seconds=5)
        self._follower.join()

    def wait_until_started(self, timeout_seconds: float = 20.0) -> None:
        """Wait until it has read its settings and begun to poll.

        Raises:
            DemoError: it ended or has not started in time; with the end of its output.
        """
        while not self._started.wait(_POLL_SECONDS):
            self.need_running()
            timeout_seconds -= _POLL_SECONDS
            if timeout_seconds <= 0:
                raise DemoError(
                    f"sqsd said nothing for too long; the end of its log ({self._child.log}):"
                    f"\n{tail(self._child.log)}"
                )

    def need_running(self) -> None:
        """An error unless it runs."""
        code = self._child.exit_code()
        if code is not None:
            said = self._child.log if self._child.log.stat().st_size else self.events
            raise DemoError(
                f"sqsd ended with exit code {code}; the end of what it said ({said}):\n{tail(said)}"
            )

    def read(self) -> ProgressReading:
        """The progress so far, for a `with` block, during which it does not change."""
        return ProgressReading(self._progress, self._lock)

    def resident_megabytes(self) -> float | None:
        """Resident memory at its highest; or None where the system does not say."""
        return resident_megabytes(self._child.pid)

    def stop(self) -> int:
        """SIGTERM, the drain, the end; the exit code."""
        self._child.terminate()
        try:
            self._child.wait(self._drain_seconds + _STOP_MARGIN_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(
                f"sqsd did not end within {_STOP_MARGIN_SECONDS:.0f} s after its drain_timeout"
                f" ({self._drain_seconds} s); the end of its events ({self.events}):"
                f"\n{tail(self.events)}"
            ) from None
        # Its last events are still in the pipe.
        self._follower.join()
        return self._child.stop()

    def _follow(self) -> None:
        with self.events.open("ab", buffering=0) as copy:
            for line in self._child.stdout:
                copy.write(line)
                self._note(line)

    def _note(self, line: bytes) -> None:
        try:
            event: Any = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            return
        with self._lock:
            self._progress.note(event)
            started = self._progress.started
        if started:
            self._started.set()


class ProgressReading:
    """Gives the progress to one reader at a time."""

    def __init__(self, progress: Progress, lock: threading.Lock) -> None:
        self._progress = progress
        self._lock = lock

    def __enter__(self) -> Progress:
        self._lock.acquire()
        return self._progress

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _drain_seconds(settings: Path) -> int:
    document = json.loads(settings.read_text(encoding="utf-8"))
    seconds: int = document["options"]["drain_timeout"]
    return seconds


def resident_megabytes(pid: int) -> float | None:
    """A process's resident memory at its highest (Linux), or now (elsewhere), in MiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        kilobytes = next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)
    except (OSError, StopIteration):
        kilobytes = _resident_by_ps(pid)
    return int(kilobytes) / 1024 if kilobytes else None


def _resident_by_ps(pid: int) -> str:
    try:
        said = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )
    except OSError:
        return ""
    return said.stdout.strip()
