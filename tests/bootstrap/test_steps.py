"""The table of steps, run on a fake machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqsd.contract import SETTINGS_PATH
from tests.fakes.machine import INSTANCE, FakeMachine
from worker_tier_bootstrap import __main__ as command
from worker_tier_bootstrap import early
from worker_tier_bootstrap.boot import Boot, Step, StepFailed, plan_lines, run_steps
from worker_tier_bootstrap.contract import Instance
from worker_tier_bootstrap.errors import InvalidInstance
from worker_tier_bootstrap.steps import STEPS


def run(machine: FakeMachine) -> None:
    run_steps(STEPS, Boot.read(machine), lambda _: None)


def test_a_tier_without_an_application_gets_the_daemon_only(machine: FakeMachine) -> None:
    run(machine)
    assert machine.installed == {"logrotate"}
    assert machine.users == {"sqsd"}
    assert "sqsd.service" in machine.running
    unit = machine.read("/etc/systemd/system/sqsd.service")
    assert unit is not None
    agent = "amazon-cloudwatch-agent.service"
    assert f"After=network-online.target {agent} web.service nginx.service\n" in unit
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


def test_every_step_is_logged_with_its_duration_or_why_it_was_skipped(machine: FakeMachine) -> None:
    run(machine)
    for number, step in enumerate(STEPS, 1):
        assert f"== {number}/{len(STEPS)} {step.name}" in machine.logged
        (end,) = [line for line in machine.logged if line.startswith(f"== {step.name}: ")]
        assert end.endswith(" s") or ": skipped, " in end


def test_a_group_that_cannot_be_found_out_does_not_stop_messages(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise early.Refused("AccessDenied", definite=True)

    monkeypatch.setattr(early, "cloudformation", refuse)
    run(machine)
    assert "the daemon will not complete the hook on termination" in machine.logged
    assert "sqsd.service" in machine.running


def test_packages_are_tried_again_and_services_do_not_start_at_their_installation(
    machine: FakeMachine,
) -> None:
    machine.failing["apt-get -qq -y"] = "E: Unable to fetch"
    with pytest.raises(StepFailed, match="step install packages: `apt-get") as caught:
        run(machine)
    assert machine.slept == [5, 15]
    assert "let the subnet reach the system's package mirror" in str(caught.value)
    # services may start again
    assert machine.read("/usr/sbin/policy-rc.d") is None


def test_a_failed_step_rolls_back_only_if_it_changes_services(machine: FakeMachine) -> None:
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
    assert "Hint: see what it logs" in outcome
    assert "no route to the queue" in outcome


def test_missing_settings_are_reported(tmp_path: Path) -> None:
    empty = FakeMachine(tmp_path)
    empty.remove(SETTINGS_PATH)
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


def test_an_instance_file_is_read_back_unchanged() -> None:
    assert Instance.from_json(json.dumps(INSTANCE.to_document())) == INSTANCE
    changed = dataclasses.replace(INSTANCE, awaited=False)
    assert Instance.from_json(json.dumps(changed.to_document())) == changed
