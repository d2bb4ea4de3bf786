"""A fake instance: a directory for its disk, a fake clock, and commands that are only recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqsd.contract import LIFECYCLE_HOOK, SETTINGS_PATH, SqsdOptions, TierResources, TierSettings
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.contract import (
    Application,
    Instance,
    S3Object,
)
from worker_tier_bootstrap.errors import CommandFailed
from worker_tier_bootstrap.machine import Machine

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
    """A machine whose services, packages and users are sets, and whose commands are recorded."""

    def __init__(self, root: Path) -> None:
        super().__init__(deadline_seconds=600, root=root)
        self.now = 0.0
        self._end = 600.0
        self.commands: list[str] = []
        #: Command -> keyword arguments of its last run.
        self.given: dict[str, dict[str, Any]] = {}
        self.logged: list[str] = []
        self.installed: set[str] = set()
        #: Package -> its state in dpkg's letters, where it is not plainly installed.
        self.states: dict[str, str] = {}
        self.running: set[str] = set()
        self.users: set[str] = set()
        #: Files whose rules of nftables are in the kernel.
        self.loaded: set[str] = set()
        #: Beginning of a command that fails -> what it prints.
        self.failing: dict[str, str] = {}
        #: Unit -> number of its restarts, as a function of the time.
        self.restarts: dict[str, Callable[[float], int]] = {}
        #: Pattern of units -> output of `systemctl list-unit-files`.
        self.unit_files: dict[str, str] = {}
        self.slept: list[float] = []
        #: Script and environment of each command that ran in the unit of the build.
        self.built: list[tuple[str, str]] = []
        #: Whether user data lets the application reach the metadata service.
        self.application_aws_access = True
        self.write(
            "/etc/os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n'
        )
        self.configure()

    def configure(self, application: Application | None = None, **options: Any) -> None:
        """Write the files that each run of user data writes."""
        instance = replace(
            INSTANCE,
            application=application or Application(),
            application_aws_access=self.application_aws_access,
        )
        self.write(paths.INSTANCE, json.dumps(instance.to_document()))
        tier = TierSettings(resources=TIER.resources, options=SqsdOptions(**options))
        self.write(SETTINGS_PATH, json.dumps(tier.to_document()))

    def run(self, command: Sequence[str], *, hint: str, **given: Any) -> str:
        words = " ".join(command)
        self.commands.append(words)
        self.given[words] = given
        if command[0] == "systemd-run":
            script, environment = map(self.read, (paths.BUILD_SCRIPT, paths.BUILD_ENVIRONMENT))
            self.built.append((script or "", environment or ""))
        for start, output in self.failing.items():
            if words.startswith(start):
                shown = given.get("shown") or words
                text = f"`{shown}` ended with exit code 1"
                raise CommandFailed(text, hint=hint, output=output)
        if "install" in command[:12]:
            self.installed |= set(command[command.index("install") + 1 :])
        if words.startswith(("systemctl restart", "systemctl start")):
            self.running |= set(command[2:])
        if words.startswith("nft -f"):
            self.loaded.add(command[-1])
        if words.startswith("nft delete table"):
            self.loaded.clear()
        if words.startswith(("systemctl stop", "systemctl disable")):
            self.running -= set(command[2:])
        if command[0] == "useradd":
            self.users.add(command[-1])
        return ""

    def output_of(self, command: Sequence[str]) -> str:
        if command[0] == "dpkg-query":
            states = dict.fromkeys(self.installed, "ii ") | self.states
            return "".join(f"{state} {name}\n" for name, state in states.items())
        if "list-unit-files" in command:
            return self.unit_files.get(command[-1], "")
        if "NRestarts" in command:
            given = [self.restarts.get(unit) for unit in command[5:]]
            counts = [0 if restarts is None else restarts(self.now) for restarts in given]
            return "\n\n".join(map(str, counts))
        return ""

    def succeeds(self, command: Sequence[str]) -> bool:
        if command[0] == "nft":
            return bool(self.loaded)
        return list(command[:2]) == ["systemctl", "is-active"] and command[-1] in self.running

    def sync(self) -> None:
        self.commands.append("sync")

    def reboot(self) -> None:
        """Lose what is only in memory; enabled services run again."""
        shutil.rmtree(self.path("/run"), ignore_errors=True)

    def has_user(self, name: str) -> bool:
        return name in self.users

    def user_id(self, name: str) -> int:
        return 1000

    def change_owner(self, path: str, user: str, *, except_for: str) -> None:
        assert self.path(path).is_dir()

    def log(self, text: str) -> None:
        self.logged.append(text)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def remaining(self) -> float:
        return self._end - self.now

    def set_deadline(self, deadline_seconds: float) -> None:
        self._end = self.now + deadline_seconds

    def free_bytes(self, path: str) -> int:
        return 10**10
