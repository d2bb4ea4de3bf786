"""What the steps of one boot share, and how they are run.

A step is asked first whether it is done; that answer is the reason that the log gives for skipping
it. So a boot that was killed anywhere is finished by running it again, and a second run changes
nothing. Each step leaves a finished state behind in one action: a rename, or a link.
"""

from __future__ import annotations

import errno
import json
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker_tier_bootstrap import units
from worker_tier_bootstrap.contract import EXTERNAL, INSTANCE_PATH, Application, Instance
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.release import (
    Deployed,
    Release,
    deployed,
    is_current,
    recorded,
    release_id,
)
from worker_tier_bootstrap.systems import MANAGERS, PackageManager, System, system_of

SETTINGS_PATH: Final = "/etc/worker-tier/tier.json"
#: cloud-init's, on every system of ours.
_INSTANCE_ID: Final = "/var/lib/cloud/data/instance-id"
OUTCOME_PATH: Final = "/run/worker-tier/outcome"


class Boot:
    """One run: the instance, what it was told, and what was found out about it."""

    def __init__(self, machine: Machine, instance: Instance, tier: dict[str, Any]) -> None:
        self.machine, self.instance = machine, instance
        self.tier = tier
        self.system: System = system_of(machine.read("/etc/os-release") or "")
        #: What the last boot that came to its end left running; what a failed one returns to.
        self.deployed: Deployed | None = deployed(machine)
        self.release_id = release_id(instance.application)
        #: Known once the bundle is unpacked.
        self.release: Release | None = recorded(machine, self.release_id)
        self.build: str | None = None

    @classmethod
    def read(cls, machine: Machine) -> Boot:
        """From the files that user data wrote.

        Raises:
            BootstrapError: they are not there, or cannot be used.
        """
        texts = {path: machine.read(path) for path in (INSTANCE_PATH, SETTINGS_PATH)}
        for path, text in texts.items():
            if text is None:
                raise BootstrapError(
                    f"there is no {path}", hint="run the instance's user data, which writes it"
                )
        try:
            tier = json.loads(texts[SETTINGS_PATH] or "")
        except ValueError as error:
            raise BootstrapError(f"{SETTINGS_PATH} is not JSON: {error}") from error
        return cls(machine, Instance.from_json(texts[INSTANCE_PATH] or ""), tier)

    @property
    def previous(self) -> Release | None:
        """The release of the last boot that came to its end."""
        release_id = None if self.deployed is None else self.deployed.release
        return None if release_id is None else recorded(self.machine, release_id)

    @property
    def instance_id(self) -> str:
        """Tells an instance from the one that its image was made of; empty when it is not known."""
        return (self.machine.read(_INSTANCE_ID) or "").strip()

    @property
    def daemon_home(self) -> str:
        """Where user data unpacked the daemon and this."""
        return f"{units.HOME}/bundles/{self.instance.bundle.sha256[:16]}"

    @property
    def application(self) -> Application:
        return self.instance.application

    @property
    def log_group(self) -> str | None:
        """Gets every log where the CloudWatch agent is installed."""
        name: str | None = self.tier.get("log_group")
        return name

    @property
    def has_application(self) -> bool:
        return self.application.kind != EXTERNAL

    @property
    def manager(self) -> PackageManager:
        return MANAGERS[self.system.family]

    @property
    def is_built(self) -> bool:
        """Whether this very release was built before, by a boot that came that far."""
        return recorded(self.machine, self.release_id) is not None

    @property
    def runs_already(self) -> bool:
        """Whether this very release is the current one, and was deployed to its end."""
        return (
            self.previous is not None
            and self.previous.id == self.release_id
            and is_current(self.machine, self.release_id)
        )

    def need_release(self) -> Release:
        """
        Raises:
            BootstrapError: nothing is unpacked yet; only `plan` asks so early.
        """
        if self.release is None:
            raise BootstrapError("it is known once the bundle is unpacked")
        return self.release

    @property
    def front(self) -> units.Front:
        options = self.tier["options"]
        return units.Front(
            http_port=options["http_port"],
            inactivity_timeout=options["inactivity_timeout"],
            connect_timeout=options["connect_timeout"],
            drain_timeout=options["drain_timeout"],
            http_connections=options["http_connections"],
            ipv6=_has_ipv6_loopback(self.machine),
        )


def _has_ipv6_loopback(machine: Machine) -> bool:
    return f"{'0' * 31}1 " in (machine.read("/proc/net/if_inet6") or "")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of the table.

    Args:
        skip: why there is nothing to do, or None.
        do: does it.
        undo: what to do by hand to be rid of it; for people, `plan` shows it.
        changes_service: from here on a failure must bring the previous release back.
    """

    name: str
    skip: Callable[[Boot], str | None]
    do: Callable[[Boot], None]
    undo: str
    changes_service: bool = False


class StepFailed(Exception):
    """A step did not succeed; `step` is its name."""

    def __init__(self, step: Step, reason: BootstrapError) -> None:
        self.step, self.reason = step, reason
        super().__init__(f"step {step.name}: {reason}")


def run_steps(steps: Sequence[Step], boot: Boot, roll_back: Callable[[Boot], None]) -> None:
    """Run a table to its end, or to the first step that fails.

    Raises:
        StepFailed: with the step's name; the previous release runs again, if there was one.
    """
    for number, step in enumerate(steps, 1):
        machine = boot.machine
        machine.say(f"== {number}/{len(steps)} {step.name}")
        started = machine.monotonic()
        try:
            reason = step.skip(boot)
            if reason is None:
                _check_deadline(boot)
                step.do(boot)
        except Exception as error:  # whatever it is, what ran before must run again
            failed = _told(error)
            machine.say(f"== {step.name}: failed after {machine.monotonic() - started:.1f} s")
            if step.changes_service:
                roll_back(boot)
            raise StepFailed(step, failed) from error
        seconds = machine.monotonic() - started
        machine.say(f"== {step.name}: " + (f"skipped, {reason}" if reason else f"{seconds:.1f} s"))


def plan_lines(steps: Sequence[Step], boot: Boot) -> list[str]:
    """What a run would do now, a line for each step."""
    lines = []
    for number, step in enumerate(steps, 1):
        try:
            reason = step.skip(boot)
        except BootstrapError as error:
            reason = f"cannot be told before the steps above are done: {error.text}"
        lines.append(
            f"{number:2} {step.name}: "
            + (f"skip, {reason}" if reason else "do")
            + f" (undo: {step.undo})"
        )
    return lines


def _check_deadline(boot: Boot) -> None:
    if boot.machine.remaining() <= 0:
        raise BootstrapError(
            f"the {boot.instance.deadline_seconds} s that a boot may take are over",
            hint="give a longer signal_timeout, or build in the machine image what takes long",
        )


def _told(error: Exception) -> BootstrapError:
    if isinstance(error, BootstrapError):
        return error
    if not isinstance(error, OSError):
        return BootstrapError(
            f"{type(error).__name__}: {error}",
            hint="this is a mistake of the bootstrap; please report it with these lines",
            output="".join(traceback.format_exception(error)[-4:]),
        )
    where = "" if error.filename is None else f" at {error.filename}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BootstrapError(
            f"the disk is full{where}", hint="give instances a larger root_volume_size"
        )
    return BootstrapError(f"{error.strerror or error}{where}")
