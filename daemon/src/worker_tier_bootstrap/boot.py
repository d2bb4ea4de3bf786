"""Holds the state that the steps of one boot share, and runs them.

Each step is asked first whether it is done; the reason that it gives is logged as the reason for
skipping it. So a boot that was killed anywhere is finished by running it again, and a second run
changes nothing. Each step becomes effective in one action: a rename, or a link.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqsd.contract import SETTINGS_PATH, InvalidSettings, TierSettings
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.contract import EXTERNAL, Application, Instance
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
from worker_tier_bootstrap.units import ProxySettings


class Boot:
    """Holds one run of the bootstrap: its settings, and what the steps have found out so far."""

    def __init__(self, machine: Machine, instance: Instance, settings: TierSettings) -> None:
        self.machine = machine
        self.instance = instance
        self.settings = settings
        self.system: System = system_of(machine.read(paths.OS_RELEASE) or "")
        #: What the last successful boot deployed, or None; a failed boot returns to it.
        self.deployed: Deployed | None = deployed(machine)
        self.release_id = release_id(instance.application)
        #: The release to deploy, or None until the bundle is unpacked.
        self.release: Release | None = recorded(machine, self.release_id)
        #: The platform's build command, or None if there is nothing to build.
        self.build: str | None = None

    @classmethod
    def read(cls, machine: Machine) -> Boot:
        """Start a boot from the files that user data wrote.

        Raises:
            BootstrapError: a file is missing or cannot be used.
        """
        instance = Instance.from_json(_required_file(machine, paths.INSTANCE))
        text = _required_file(machine, SETTINGS_PATH)
        try:
            settings = TierSettings.from_json(text, SETTINGS_PATH)
        except InvalidSettings as error:
            raise BootstrapError(str(error), hint="deploy the stack again") from error
        return cls(machine, instance, settings)

    @property
    def previous(self) -> Release | None:
        """The release that the last successful boot deployed, or None."""
        release_id = None if self.deployed is None else self.deployed.release
        return None if release_id is None else recorded(self.machine, release_id)

    @property
    def instance_id(self) -> str:
        """The instance's id, or an empty string if it is unknown.

        It differs from the id of the instance that this machine image was made from.
        """
        return (self.machine.read(paths.INSTANCE_ID) or "").strip()

    @property
    def daemon_home(self) -> str:
        """The directory into which user data unpacked the daemon's bundle."""
        return f"{paths.DAEMON_BUNDLES}/{self.instance.bundle.sha256[:16]}"

    @property
    def application(self) -> Application:
        return self.instance.application

    @property
    def log_group(self) -> str | None:
        """The log group that the CloudWatch agent ships every log to, or None."""
        return self.settings.resources.log_group

    @property
    def has_application(self) -> bool:
        """Whether the bootstrap installs the application."""
        return self.application.kind != EXTERNAL

    @property
    def manager(self) -> PackageManager:
        return MANAGERS[self.system.family]

    @property
    def is_built(self) -> bool:
        """Whether an earlier boot has built this release to its end."""
        return recorded(self.machine, self.release_id) is not None

    @property
    def runs_already(self) -> bool:
        """Whether this release is the current one and a successful boot deployed it."""
        return (
            self.previous is not None
            and self.previous.id == self.release_id
            and is_current(self.machine, self.release_id)
        )

    def need_release(self) -> Release:
        """Return the release to deploy.

        Raises:
            BootstrapError: the bundle is not unpacked yet; only `plan` asks so early.
        """
        if self.release is None:
            raise BootstrapError("it is known once the bundle is unpacked")
        return self.release

    @property
    def proxy(self) -> ProxySettings:
        """The daemon's options that nginx and the daemon's unit depend on."""
        options = self.settings.options
        return ProxySettings(
            http_port=options.http_port,
            inactivity_timeout=options.inactivity_timeout,
            connect_timeout=options.connect_timeout,
            drain_timeout=options.drain_timeout,
            http_connections=options.http_connections,
            ipv6=_has_ipv6_loopback(self.machine),
        )


def _required_file(machine: Machine, path: str) -> str:
    text = machine.read(path)
    if text is None:
        raise BootstrapError(
            f"there is no {path}", hint="run the instance's user data, which writes it"
        )
    return text


def _has_ipv6_loopback(machine: Machine) -> bool:
    return f"{'0' * 31}1 " in (machine.read("/proc/net/if_inet6") or "")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A row of the table.

    Args:
        skip: returns why there is nothing to do, or None if `do` must run.
        do: does the step.
        undo: how an operator reverts the step by hand; `plan` prints it.
        changes_service: whether a failure of this step must restore the previous release.
    """

    name: str
    skip: Callable[[Boot], str | None]
    do: Callable[[Boot], None]
    undo: str
    changes_service: bool = False


class StepFailed(Exception):
    """A step did not succeed; `step` is its name, `reason` the cause with its hint."""

    def __init__(self, step: Step, reason: BootstrapError) -> None:
        self.step = step
        self.reason = reason
        super().__init__(f"step {step.name}: {reason}")


def run_steps(steps: Sequence[Step], boot: Boot, roll_back: Callable[[Boot], None]) -> None:
    """Run a table to its end, or to the first step that fails.

    Args:
        roll_back: restores what the last successful boot left running.

    Raises:
        StepFailed: a step failed; `roll_back` has run if that step changes services.
    """
    machine = boot.machine
    for number, step in enumerate(steps, 1):
        machine.log(f"== {number}/{len(steps)} {step.name}")
        started = machine.monotonic()
        try:
            reason = step.skip(boot)
            if reason is None:
                _check_deadline(boot)
                step.do(boot)
        except Exception as error:  # also for a defect of the bootstrap, services must run again
            machine.log(f"== {step.name}: failed after {machine.monotonic() - started:.1f} s")
            if step.changes_service:
                roll_back(boot)
            raise StepFailed(step, _as_bootstrap_error(error)) from error
        seconds = machine.monotonic() - started
        machine.log(f"== {step.name}: " + (f"skipped, {reason}" if reason else f"{seconds:.1f} s"))


def plan_lines(steps: Sequence[Step], boot: Boot) -> list[str]:
    """Describe what a run would do now, one line per step."""
    lines = []
    for number, step in enumerate(steps, 1):
        try:
            reason = step.skip(boot)
        except BootstrapError as error:
            reason = f"unknown until the steps above are done: {error.text}"
        lines.append(
            f"{number:2} {step.name}: "
            + (f"skip, {reason}" if reason else "do")
            + f" (undo: {step.undo})"
        )
    return lines


def _check_deadline(boot: Boot) -> None:
    if boot.machine.remaining() <= 0:
        raise BootstrapError(
            f"the boot has used up its {boot.instance.deadline_seconds} s",
            hint="give a longer signal_timeout, or build in the machine image what takes long",
        )


def _as_bootstrap_error(error: Exception) -> BootstrapError:
    if isinstance(error, BootstrapError):
        return error
    if not isinstance(error, OSError):
        return BootstrapError(
            f"{type(error).__name__}: {error}",
            hint="this is a defect of the bootstrap; please report it with these lines",
            output="".join(traceback.format_exception(error)[-4:]),
        )
    where = "" if error.filename is None else f" at {error.filename}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return BootstrapError(
            f"the disk is full{where}", hint="give instances a larger root_volume_size"
        )
    return BootstrapError(f"{error.strerror or error}{where}")
