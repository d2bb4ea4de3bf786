"""The table of steps, run on a directory that stands for an instance."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sqsd.contract import SqsdOptions, TierResources, TierSettings
from worker_tier_bootstrap import __main__ as command
from worker_tier_bootstrap import early
from worker_tier_bootstrap.boot import Boot, Step, StepFailed, plan_lines, run_steps
from worker_tier_bootstrap.contract import INSTANCE_PATH, Instance, S3Object
from worker_tier_bootstrap.errors import BootstrapError, CommandFailed, InvalidInstance
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.steps import STEPS

INSTANCE = Instance(
    stack="arn:stack",
    region="eu-west-1",
    resource="Group",
    awaited=True,
    deadline_seconds=60,
    bundle=S3Object(bucket="b", key="k", sha256="a" * 64),
)
TIER = TierSettings(
    resources=TierResources(queue_url="https://q", region="eu-west-1", tier_name="T"),
    options=SqsdOptions(),
)


class FakeMachine(Machine):
    """A directory, and commands that are only recorded."""

    def __init__(self, root: Path) -> None:
        super().__init__(deadline_seconds=60, root=root)
        self.commands: list[str] = []
        self.said: list[str] = []
        self.installed: set[str] = set()
        self.running: set[str] = set()
        self.users: set[str] = set()
        self.failing: dict[str, str] = {}
        self.slept: list[float] = []

    def run(self, command: Sequence[str], *, cure: str, **_: Any) -> str:
        words = " ".join(command)
        self.commands.append(words)
        for start, output in self.failing.items():
            if words.startswith(start):
                raise CommandFailed(f"`{words}` ended with exit code 1", cure=cure, output=output)
        if "install" in command[:12]:
            self.installed |= set(command[command.index("install") + 1 :])
        if words.startswith("systemctl restart"):
            self.running |= set(command[2:])
        if command[0] == "useradd":
            self.users.add(command[-1])
        return ""

    def answer(self, command: Sequence[str]) -> str:
        if command[0] == "dpkg-query":
            return "".join(f"ii  {name}\n" for name in self.installed)
        return ""

    def succeeds(self, command: Sequence[str]) -> bool:
        return command[:2] == ["systemctl", "is-active"] and command[-1] in self.running

    def has_user(self, name: str) -> bool:
        return name in self.users

    def say(self, text: str) -> None:
        self.said.append(text)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def free_bytes(self, path: str) -> int:
        return 10**10


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    machine = FakeMachine(tmp_path)
    machine.write("/etc/os-release", "ID=debian\nVERSION_ID=12\n")
    machine.write(INSTANCE_PATH, json.dumps(INSTANCE.to_document()))
    machine.write("/etc/worker-tier/tier.json", json.dumps(TIER.to_document()))
    xml = "<PhysicalResourceId>the-group</PhysicalResourceId>"
    monkeypatch.setattr(early, "cloudformation", lambda *_, **__: xml)
    return machine


def run(machine: FakeMachine) -> None:
    run_steps(STEPS, Boot.read(machine), lambda _: None)


def test_a_tier_without_an_application_gets_the_daemon_only(machine: FakeMachine) -> None:
    run(machine)
    assert machine.installed == {"logrotate"}
    assert machine.users == {"sqsd"}
    assert "sqsd.service" in machine.running
    unit = machine.read("/etc/systemd/system/sqsd.service")
    assert unit is not None
    assert "After=network-online.target web.service nginx.service\n" in unit
    assert not any("nginx" in command for command in machine.commands)


def test_a_second_run_does_nothing(machine: FakeMachine) -> None:
    run(machine)
    machine.commands.clear()
    run(machine)
    assert machine.commands == []
    plan = plan_lines(STEPS, Boot.read(machine))
    assert [line for line in plan if ": do (" in line and "check the system" not in line] == []


def test_a_plan_does_nothing_and_names_every_step(machine: FakeMachine) -> None:
    lines = plan_lines(STEPS, Boot.read(machine))
    assert machine.commands == []
    assert [line[3:].split(":")[0] for line in lines] == [step.name for step in STEPS]
    assert "install packages: do (undo: " in lines[1]


def test_every_step_is_told_with_its_duration_or_why_it_was_skipped(machine: FakeMachine) -> None:
    run(machine)
    for number, step in enumerate(STEPS, 1):
        assert f"== {number}/{len(STEPS)} {step.name}" in machine.said
        (told,) = [line for line in machine.said if line.startswith(f"== {step.name}: ")]
        assert told.endswith(" s") or ": skipped, " in told


def test_a_group_that_cannot_be_found_out_does_not_stop_messages(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise early.Refused("AccessDenied", definite=True)

    monkeypatch.setattr(early, "cloudformation", refuse)
    run(machine)
    assert "the daemon will not complete the hook on termination" in machine.said
    assert "sqsd.service" in machine.running


def test_packages_are_tried_again_and_services_do_not_start_at_their_installation(
    machine: FakeMachine,
) -> None:
    machine.failing["apt-get -qq -y"] = "E: Unable to fetch"
    with pytest.raises(StepFailed, match="step install packages: `apt-get"):
        run(machine)
    assert machine.slept == [5, 15]
    # what kept services from starting is gone again
    assert machine.read("/usr/sbin/policy-rc.d") is None


def test_a_failed_step_brings_back_what_ran_only_once_it_was_touched(machine: FakeMachine) -> None:
    rolled: list[str] = []

    def fail(_: Boot) -> None:
        raise OSError(28, "No space left on device", "/var/app/x")

    for changes in (False, True):
        step = Step(name="s", skip=lambda _: None, do=fail, undo="", changes_service=changes)
        with pytest.raises(StepFailed) as caught:
            run_steps([step], Boot.read(machine), lambda _, c=changes: rolled.append(str(c)))  # type: ignore[misc]
        assert "the disk is full at /var/app/x" in str(caught.value)
        assert "larger root_volume_size" in str(caught.value)
    assert rolled == ["True"]


def test_a_failure_is_left_where_user_data_finds_it(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.failing["systemctl restart sqsd"] = "no route to the queue"
    assert command.main(["run"], machine) == 1
    outcome = machine.read("/run/worker-tier/outcome") or ""
    assert "step start the daemon and wait for its first receive" in outcome
    assert "Cure: see what it logs" in outcome
    assert "no route to the queue" in outcome


def test_a_machine_without_settings_or_of_another_system_is_told(tmp_path: Path) -> None:
    empty = FakeMachine(tmp_path)
    assert command.main(["run"], empty) == command.UNUSABLE
    assert "run the instance's user data" in (empty.read("/run/worker-tier/outcome") or "")


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(name)


@pytest.mark.parametrize("name", ["stack", "region", "bundle", "application", "version"])
def test_an_instance_file_that_lacks_something_is_refused(name: str) -> None:
    document = INSTANCE.to_document()
    _without(name)(document)
    with pytest.raises(InvalidInstance, match=name):
        Instance.from_json(json.dumps(document))


def test_an_instance_file_comes_back_as_it_was() -> None:
    assert Instance.from_json(json.dumps(INSTANCE.to_document())) == INSTANCE
    changed = dataclasses.replace(INSTANCE, awaited=False)
    assert Instance.from_json(json.dumps(changed.to_document())) == changed


# ---- commands, for real


def test_a_command_that_fails_tells_what_it_was_and_its_last_words(tmp_path: Path) -> None:
    machine = Machine(deadline_seconds=30)
    with pytest.raises(CommandFailed) as caught:
        machine.run(["sh", "-c", "echo out; echo err >&2; exit 3"], cure="mend it")
    text = str(caught.value)
    assert "ended with exit code 3" in text
    assert "Cure: mend it." in text
    assert "  out\n  err" in text


def test_a_command_that_hangs_ends_with_all_it_started() -> None:
    machine = Machine(deadline_seconds=30)
    with pytest.raises(CommandFailed, match="did not end within 1 s"):
        machine.run(["sh", "-c", "sleep 60 & echo waiting; wait"], cure="", timeout=0.1)


def test_a_command_that_leaves_something_behind_is_not_waited_for() -> None:
    machine = Machine(deadline_seconds=30)
    started = machine.monotonic()
    assert machine.run(["sh", "-c", "sleep 5 & echo done"], cure="").strip() == "done"
    assert machine.monotonic() - started < 4


def test_a_command_sees_no_environment_but_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("https_proxy", "http://proxy")
    seen: Mapping[str, str] = Machine(deadline_seconds=1).environment({"A": "1"})
    assert "PYTHONPATH" not in seen
    assert (seen["A"], seen["https_proxy"]) == ("1", "http://proxy")


def test_a_directory_of_somebody_else_is_not_replaced_by_a_link(tmp_path: Path) -> None:
    machine = Machine(deadline_seconds=1, root=tmp_path)
    (tmp_path / "var/app/current").mkdir(parents=True)
    with pytest.raises(BootstrapError, match="did not make"):
        machine.link("/var/app/current", "/elsewhere")
