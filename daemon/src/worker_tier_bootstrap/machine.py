"""The instance, as far as the steps touch it: files, commands, time. All I/O is here."""

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

from worker_tier_bootstrap.errors import BootstrapError, CommandFailed

_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 65_536
_LOOK_SECONDS: Final = 60
_LAST_WORDS_SECONDS: Final = 2.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Machine:
    """One instance.

    Args:
        deadline_seconds: after which no command may run any more, counted from now.
        root: what stands for `/`.
    """

    def __init__(self, *, deadline_seconds: float, root: Path = Path("/")) -> None:
        self._root = root
        self._deadline = time.monotonic() + deadline_seconds

    # ---- files

    def path(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """A file's text, or None where there is no file. What is no UTF-8 becomes U+FFFD: of
        other people's files only some words are looked for.
        """
        try:
            return self.path(path).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def size(self, path: str) -> int:
        """Bytes of a file; 0 where there is none."""
        place = self.path(path)
        return place.stat().st_size if place.is_file() else 0

    def tail(self, path: str, lines: int = 15, since: int = 0) -> str:
        """The last lines of a file, of which it may have very many.

        Args:
            since: bytes at the file's beginning that are left out.
        """
        size = self.size(path)
        if size <= since:  # it was not written to, or was cut by the rotation
            return ""
        with self.path(path).open("rb") as file:
            file.seek(max(since, size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    def write(self, path: str, text: str, mode: int = 0o644) -> bool:
        """Make a file what it should be; False when it was so already. Readers never see half."""
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
        """Make `path` a link to `target` in one step; False when it was so already."""
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
        """Remove a file, a link or a whole directory; harmless when there is none."""
        place = self.path(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def sync(self) -> None:
        """Bring to the disk what commands and others have written; `write` does so by itself."""
        os.sync()

    def names(self, directory: str) -> list[str]:
        """What a directory holds, sorted; nothing where there is none."""
        place = self.path(directory)
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []

    def free_bytes(self, path: str) -> int:
        """Bytes that may still be written below the nearest existing parent of a path."""
        place = self.path(path)
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    # ---- users

    def has_user(self, name: str) -> bool:
        try:
            pwd.getpwnam(name)
        except KeyError:
            return False
        return True

    def user_id(self, name: str) -> int:
        return pwd.getpwnam(name).pw_uid

    def give(self, path: str, user: str, keep: str) -> None:
        """Make what a directory holds the property of a user, links themselves and not what they
        point to; all but the entry `keep`, which stays root's.

        The directory itself stays root's too, with the sticky bit: the user may make entries in it,
        and can neither rename nor replace the one that is kept.
        """
        entry = pwd.getpwnam(user)
        place = self.path(path)
        os.chown(place, 0, entry.pw_gid)
        place.chmod(0o1775)
        for top in place.iterdir():
            if top.name == keep:
                continue
            os.lchown(top, entry.pw_uid, entry.pw_gid)
            for directory, folders, files in os.walk(top):
                for name in (*folders, *files):
                    os.lchown(Path(directory, name), entry.pw_uid, entry.pw_gid)

    # ---- time

    def extend_to(self, deadline_seconds: float) -> None:
        """Set the deadline anew, counted from now."""
        self._deadline = time.monotonic() + deadline_seconds

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def monotonic(self) -> float:
        return time.monotonic()

    def say(self, text: str) -> None:
        """A line of the log; user data adds the time."""
        print(text, flush=True)

    # ---- commands

    def run(
        self,
        command: Sequence[str],
        *,
        hint: str,
        timeout: float | None = None,
        directory: str | None = None,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
        shown: str | None = None,
    ) -> str:
        """Run a command to its end, its output in the log; returns its last lines.

        Args:
            timeout: seconds. Default: what is left until the deadline.
            shown: how an error calls the command. Default: its words.

        Raises:
            CommandFailed: with the command, its exit code, the end of its output, and `hint`.
        """
        shown = shown or " ".join(command)
        limit = max(1.0, min(self.remaining(), timeout or self.remaining()))
        lines: deque[str] = deque(maxlen=_TAIL_LINES)
        try:
            process = subprocess.Popen(  # noqa: S603 - the point of it
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=None if directory is None else self.path(directory),
                env=self.environment(environment or {}),
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
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

    def answer(self, command: Sequence[str]) -> str:
        """What a command that only looks prints; empty when it fails.

        Raises:
            CommandFailed: it does not end within a minute.
        """
        completed = self._look(command)
        return completed.stdout if completed.returncode == 0 else ""

    def succeeds(self, command: Sequence[str]) -> bool:
        """Whether a command that only looks ends with 0.

        Raises:
            CommandFailed: it does not end within a minute.
        """
        return self._look(command).returncode == 0

    def _look(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(  # noqa: S603 - words of ours
                list(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=_LOOK_SECONDS,
                check=False,
                env=self.environment({}),
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(
                f"`{' '.join(command)}` did not end within {_LOOK_SECONDS} s",
                hint="see what keeps the machine busy",
            ) from error

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """A command's whole environment: nothing of ours leaks into an application's build."""
        proxies = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
        # So that a build reaches the registries that this machine image was made for.
        trust = {k: v for k, v in os.environ.items() if k in ("AWS_CA_BUNDLE", "SSL_CERT_FILE")}
        base = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        return {**base, **proxies, **trust, "WORKER_TIER_PYTHON": sys.executable, **more}

    def _wait(self, process: subprocess.Popen[str], lines: deque[str], limit: float) -> int | None:
        """Copy output to the log until the command ends; None when it had to be killed."""
        copier = threading.Thread(target=self._copy, args=(process, lines), daemon=True)
        copier.start()
        try:
            code: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # What it left in the background may hold its output open for ever.
        copier.join(_LAST_WORDS_SECONDS)
        return code

    def _copy(self, process: subprocess.Popen[str], lines: deque[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.append(line.rstrip("\n"))
                self.say(f"  | {lines[-1]}")
