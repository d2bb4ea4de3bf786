"""An instance without a system: a directory, a clock, and commands that are only recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqsd.contract import SqsdOptions, TierResources, TierSettings
from worker_tier_bootstrap.contract import (
    INSTANCE_PATH,
    LIFECYCLE_HOOK,
    Application,
    Instance,
    S3Object,
)
from worker_tier_bootstrap.errors import CommandFailed
from worker_tier_bootstrap.machine import Machine

SETTINGS = "/etc/worker-tier/tier.json"
INSTANCE = Instance(
    stack="arn:stack",
    region="eu-west-1",
    resource="Group",
    awaited=True,
    deadline_seconds=600,
    bundle=S3Object(bucket="b", key="k", sha256="a" * 64),
)
TIER = TierSettings(
    resources=TierResources(
        queue_url="https://q",
        region="eu-west-1",
        tier_name="T",
        lifecycle_hook=LIFECYCLE_HOOK,
    ),
    options=SqsdOptions(),
)


class FakeMachine(Machine):
    """What systemd, a package manager and users would remember, in sets."""

    def __init__(self, root: Path) -> None:
        super().__init__(deadline_seconds=600, root=root)
        self.now = 0.0
        self._end = 600.0
        self.commands: list[str] = []
        #: The keyword arguments of the last command that began with these words.
        self.given: dict[str, dict[str, Any]] = {}
        self.said: list[str] = []
        self.installed: set[str] = set()
        #: Packages in other states than installed, in dpkg's letters.
        self.states: dict[str, str] = {}
        self.running: set[str] = set()
        self.users: set[str] = set()
        #: Start of a command -> what it prints when it fails.
        self.failing: dict[str, str] = {}
        #: Unit -> how often systemd started it again, as a function of the time.
        self.restarts: dict[str, Callable[[float], int]] = {}
        self.slept: list[float] = []
        self.write(
            "/etc/os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n'
        )
        self.told()

    def told(self, application: Application | None = None, **options: Any) -> None:
        """What user data writes, at each run of it."""
        instance = Instance(**{**INSTANCE.__dict__, "application": application or Application()})
        self.write(INSTANCE_PATH, json.dumps(instance.to_document()))
        tier = TierSettings(resources=TIER.resources, options=SqsdOptions(**options))
        self.write(SETTINGS, json.dumps(tier.to_document()))

    def run(self, command: Sequence[str], *, hint: str, **given: Any) -> str:
        words = " ".join(command)
        self.commands.append(words)
        self.given[words] = given
        for start, output in self.failing.items():
            if words.startswith(start):
                shown = given.get("shown") or words
                text = f"`{shown}` ended with exit code 1"
                raise CommandFailed(text, hint=hint, output=output)
        if "install" in command[:12]:
            self.installed |= set(command[command.index("install") + 1 :])
        if words.startswith(("systemctl restart", "systemctl start")):
            self.running |= set(command[2:])
        if words.startswith(("systemctl stop", "systemctl disable")):
            self.running -= set(command[2:])
        if command[0] == "useradd":
            self.users.add(command[-1])
        return ""

    def answer(self, command: Sequence[str]) -> str:
        if command[0] == "dpkg-query":
            states = dict.fromkeys(self.installed, "ii ") | self.states
            return "".join(f"{state} {name}\n" for name, state in states.items())
        if "NRestarts" in command:
            given = [self.restarts.get(unit) for unit in command[5:]]
            counts = [0 if restarts is None else restarts(self.now) for restarts in given]
            return "\n\n".join(map(str, counts))
        return ""

    def succeeds(self, command: Sequence[str]) -> bool:
        return list(command[:2]) == ["systemctl", "is-active"] and command[-1] in self.running

    def sync(self) -> None:
        self.commands.append("sync")

    def reboot(self) -> None:
        """What is only in memory is gone; what was enabled runs again."""
        shutil.rmtree(self.path("/run"), ignore_errors=True)

    def has_user(self, name: str) -> bool:
        return name in self.users

    def user_id(self, name: str) -> int:
        return 1000

    def give(self, path: str, user: str, keep: str) -> None:
        assert self.path(path).is_dir()

    def say(self, text: str) -> None:
        self.said.append(text)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def remaining(self) -> float:
        return self._end - self.now

    def extend_to(self, deadline_seconds: float) -> None:
        self._end = self.now + deadline_seconds

    def free_bytes(self, path: str) -> int:
        return 10**10
