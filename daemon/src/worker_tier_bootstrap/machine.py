"""The instance as the steps see it: files, users, time, commands. All I/O is here."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from worker_tier_bootstrap import untrusted
from worker_tier_bootstrap.errors import BootstrapError, CommandFailed
from worker_tier_bootstrap.root_environment import PATH

#: Lines of a command's output that an error carries.
_TAIL_LINES: Final = 20
#: Bytes read at the end of a log to find its last lines.
_TAIL_BYTES: Final = 65_536
#: Time limit of a command that only queries something, in seconds.
_QUERY_SECONDS: Final = 60
#: Time in which the output of a command that ended is still copied, in seconds. A process that it
#: left in the background may hold the output open for ever.
_OUTPUT_GRACE_SECONDS: Final = 2.0
#: Addresses of the instance metadata service.
_METADATA_HOSTS: Final = ("169.254.169.254", "fd00:ec2::254", "[fd00:ec2::254]")


class Machine:
    """One instance.

    Args:
        deadline_seconds: time (s) from now after which no command may run.
        root: directory that stands for `/`; tests give another one.
    """

    def __init__(self, *, deadline_seconds: float, root: Path = Path("/")) -> None:
        self._root = root
        self._deadline = time.monotonic() + deadline_seconds

    # ---- files

    def path(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """Return a file's text, or None if there is no file.

        Bytes that are not UTF-8 become U+FFFD, for files of other people are only searched.
        """
        try:
            return self.path(path).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_untrusted(self, directory: str, name: str) -> str | None:
        """Return the text of a file that the application's user may have made, or None.

        Args:
            directory: a directory of root, in which that user may make entries.
            name: the file's name.

        Raises:
            BootstrapError: the entry is a link, no regular file, or large.
        """
        return untrusted.read_text(self.path(directory), name)

    def size(self, path: str) -> int:
        """Return a file's size in bytes, 0 if there is no file."""
        target = self.path(path)
        return target.stat().st_size if target.is_file() else 0

    def tail(self, path: str, lines: int = 15, since: int = 0) -> str:
        """Return the last lines of a file, which may be large.

        Args:
            since: number of bytes at the file's beginning to leave out.
        """
        size = self.size(path)
        if size <= since:  # nothing was written, or the rotation has truncated the file
            return ""
        with self.path(path).open("rb") as file:
            file.seek(max(since, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def write(self, path: str, text: str, mode: int = 0o644) -> bool:
        """Write a file atomically; returns False if it already has this text and mode."""
        target = self.path(path)
        if self.read(path) == text and target.stat().st_mode & 0o7777 == mode:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(target.name + ".worker-tier-new")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
        return True

    def link(self, path: str, target: str) -> bool:
        """Make `path` a link to `target` atomically; returns False if it already is."""
        place = self.path(path)
        if place.is_symlink() and str(place.readlink()) == target:
            return False
        if place.is_dir() and not place.is_symlink():
            raise BootstrapError(
                f"{path} is a directory that this bootstrap did not make",
                hint=f"use a machine image without {path}, or remove it",
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(place.name + ".worker-tier-new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(place)
        return True

    def remove(self, path: str) -> None:
        """Remove a file, a link or a whole directory, if there is one."""
        target = self.path(path)
        if not target.is_dir() or target.is_symlink():
            target.unlink(missing_ok=True)
            return
        # Not by shutil, which fails where a build has nested directories deeper than it descends.
        done = subprocess.run(  # noqa: S603 - a fixed command
            ["/bin/rm", "-rf", "--one-file-system", "--", str(target)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=self.environment({}),
        )
        if done.returncode != 0:
            raise BootstrapError(f"{path} cannot be removed: {done.stderr.strip()[-500:]}")

    def sync(self) -> None:
        """Flush to the disk what commands have written; `write` flushes its own file."""
        os.sync()

    def names(self, directory: str) -> list[str]:
        """Return the sorted names in a directory, none if there is no directory."""
        target = self.path(directory)
        return sorted(path.name for path in target.iterdir()) if target.is_dir() else []

    def free_bytes(self, path: str) -> int:
        """Return the free bytes of the file system that holds a path, which need not exist."""
        target = self.path(path)
        while not target.exists():
            target = target.parent
        return shutil.disk_usage(target).free

    # ---- users

    def has_user(self, name: str) -> bool:
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def user_id(self, name: str) -> int:
        return pwd.getpwnam(name).pw_uid

    def change_owner(self, path: str, user: str, *, except_for: str) -> None:
        """Make a user the owner of everything in a directory except for one entry, root's.

        The directory itself stays root's, with the sticky bit: the user may make entries in it, and
        can neither rename nor replace the entry `except_for`.

        Raises:
            BootstrapError: directories are nested too deep.
        """
        entry = pwd.getpwnam(user)
        target = self.path(path)
        os.chown(target, 0, entry.pw_gid)
        target.chmod(0o1775)
        left = untrusted.give(target, entry.pw_uid, entry.pw_gid, except_for=except_for)
        if left:
            names = ", ".join(repr(name) for name in left[:5])
            self.log(
                f"{len(left)} entries of {path} stay root's, because they are hard links, devices"
                f" or pipes: {names}"
            )

    # ---- time

    def set_deadline(self, deadline_seconds: float) -> None:
        """Replace the deadline; seconds from now."""
        self._deadline = time.monotonic() + deadline_seconds

    def remaining(self) -> float:
        """Return the seconds until the deadline, negative once it has passed."""
        return self._deadline - time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def monotonic(self) -> float:
        return time.monotonic()

    def log(self, text: str) -> None:
        """Write a line to the log; user data adds the time."""
        print(text, flush=True)

    # ---- commands

    def run(
        self,
        command: Sequence[str],
        *,
        hint: str,
        timeout: float | None = None,
        directory: str | None = None,
        environment: Mapping[str, str] | None = None,
        shown: str | None = None,
    ) -> str:
        """Run a command as root to its end and copy its output to the log; returns its last lines.

        Args:
            hint: what to do if the command fails.
            timeout: time limit in seconds. Default: the time until the deadline.
            directory: working directory. Default: this process's.
            environment: variables besides those of every command.
            shown: name of the command in an error. Default: the command itself.

        Raises:
            CommandFailed: with the command, its exit code, the end of its output, and `hint`.
        """
        shown = shown or " ".join(command)
        limit = max(1.0, min(self.remaining(), timeout or self.remaining()))
        lines: deque[str] = deque(maxlen=_TAIL_LINES)
        try:
            process = subprocess.Popen(  # noqa: S603 - its purpose
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=None if directory is None else self.path(directory),
                env=self.environment(environment or {}),
                start_new_session=True,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise CommandFailed(f"`{shown}` cannot be run: {error}", hint=hint) from error
        code = self._wait(process, lines, limit)
        if code is None:
            raise CommandFailed(
                f"`{shown}` did not end within {limit:.0f} s", hint=hint, output="\n".join(lines)
            )
        if code != 0:
            what = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise CommandFailed(f"`{shown}` {what}", hint=hint, output="\n".join(lines))
        return "\n".join(lines)

    def output_of(self, command: Sequence[str]) -> str:
        """Return the output of a command that only queries something, empty if it fails.

        Raises:
            CommandFailed: the command does not end within a minute.
        """
        completed = self._query(command)
        return completed.stdout if completed.returncode == 0 else ""

    def succeeds(self, command: Sequence[str]) -> bool:
        """Whether a command that only queries something ends with 0.

        Raises:
            CommandFailed: the command does not end within a minute.
        """
        return self._query(command).returncode == 0

    def _query(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - fixed commands
                list(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=_QUERY_SECONDS,
                check=False,
                env=self.environment({}),
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(
                f"`{' '.join(command)}` did not end within {_QUERY_SECONDS} s",
                hint="see what keeps the machine busy",
            ) from error

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return a command's whole environment; the bootstrap's own variables are not in it."""
        # A build must reach the registries that this machine image was made for.
        trust = {k: v for k, v in os.environ.items() if k in ("AWS_CA_BUNDLE", "SSL_CERT_FILE")}
        base = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        return {**base, **_proxies(), **trust, "WORKER_TIER_PYTHON": sys.executable, **more}

    def _wait(self, process: subprocess.Popen[str], lines: deque[str], limit: float) -> int | None:
        """Copy output to the log until the command ends.

        Returns:
            The exit code, or None if the command had to be killed at its time limit.
        """
        copier = threading.Thread(target=self._copy, args=(process, lines), daemon=True)
        copier.start()
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        copier.join(_OUTPUT_GRACE_SECONDS)
        return code

    def _copy(self, process: subprocess.Popen[str], lines: deque[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.append(line.rstrip("\n"))
                self.log(f"  | {lines[-1]}")


def _proxies() -> dict[str, str]:
    """Return the variables of proxies; the metadata service, if there are any, is not behind one.

    A program such as `aws` would show the role's keys to the proxy.
    """
    proxies = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
    if not proxies:
        return {}
    # Where both are set, programs differ in which one they use.
    given = ",".join(proxies.get(name, "") for name in ("no_proxy", "NO_PROXY"))
    exempt = list(dict.fromkeys(name.strip() for name in given.split(",") if name.strip()))
    if exempt != ["*"]:
        exempt = list(dict.fromkeys([*exempt, *_METADATA_HOSTS]))
    return {**proxies, "no_proxy": ",".join(exempt), "NO_PROXY": ",".join(exempt)}
