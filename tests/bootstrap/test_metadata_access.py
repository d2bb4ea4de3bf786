"""Who reaches the instance metadata service; that the rules do it is booted, in `common.py`."""

from __future__ import annotations

import pytest

from tests.bootstrap.conftest import Bundles
from tests.fakes.machine import FakeMachine
from worker_tier_bootstrap import rollback
from worker_tier_bootstrap.boot import Boot, StepFailed, plan_lines, run_steps
from worker_tier_bootstrap.contract import CONTAINER, Application
from worker_tier_bootstrap.steps import STEPS

RULES = "/etc/worker-tier/metadata.nft"
UNIT = "worker-tier-metadata.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
PRE = f"ExecStartPre=+/usr/sbin/nft -f {RULES}\n"
APP = {"app.js": b"", "Procfile": b"web: node app.js\nworker: node app.js\n", "Buildfile": b"a: b"}


def run(machine: FakeMachine, application: Application | None, *, access: bool) -> None:
    machine.application_aws_access = access
    machine.configure(application)
    run_steps(STEPS, Boot.read(machine), rollback.roll_back)


def test_the_rules_are_loaded_before_anything_of_the_application_runs(
    machine: FakeMachine, bundles: Bundles
) -> None:
    run(machine, bundles(APP), access=False)
    assert "nftables" in machine.installed
    rules = machine.read(RULES) or ""
    assert 'meta skuid { "root", "sqsd" } accept' in rules
    # the build is the first of the application's commands
    (build,) = (i for i, c in enumerate(machine.commands) if c.startswith("systemd-run"))
    before = machine.commands[:build]
    assert f"nft -f {RULES}" in before
    assert f"systemctl enable -q {UNIT}" in before


@pytest.mark.parametrize("kind", ["bundle", "container"])
def test_no_process_and_no_nginx_starts_without_the_rules(
    machine: FakeMachine, bundles: Bundles, kind: str
) -> None:
    container = Application(kind=CONTAINER, image="registry.test/app:1")
    run(machine, container if kind == "container" else bundles(APP), access=False)
    units = ["web.service", "nginx.service.d/worker-tier.conf"]
    units += ["worker.service"] if kind == "bundle" else []
    for unit in units:
        assert (machine.read(f"/etc/systemd/system/{unit}") or "").count(PRE) == 1


def test_an_external_application_loses_the_service_too(machine: FakeMachine) -> None:
    run(machine, None, access=False)
    assert machine.loaded == {RULES}


def test_a_kernel_that_takes_no_rules_fails_the_boot_before_the_application_is_there(
    machine: FakeMachine, bundles: Bundles
) -> None:
    machine.failing["nft -f"] = "Could not process rule: Not supported"
    with pytest.raises(StepFailed, match="set who reaches the metadata service") as caught:
        run(machine, bundles(APP), access=False)
    assert "Not supported" in str(caught.value)
    assert "the kernel must know nftables" in str(caught.value)
    assert "web.service" not in machine.running
    assert machine.built == []


def test_ec2_instance_connect_still_lets_people_in(machine: FakeMachine) -> None:
    machine.users.add("ec2-instance-connect")
    run(machine, None, access=False)
    users = 'meta skuid { "root", "sqsd", "ec2-instance-connect" } accept'
    assert users in (machine.read(RULES) or "")


def test_a_second_run_changes_nothing_and_rules_that_are_gone_are_loaded_again(
    machine: FakeMachine,
) -> None:
    run(machine, None, access=False)
    machine.commands.clear()
    run(machine, None, access=False)
    assert machine.commands == []
    plan = plan_lines(STEPS, Boot.read(machine))
    assert [line for line in plan if ": do (" in line and "check the system" not in line] == []
    machine.loaded.clear()
    run(machine, None, access=False)
    assert machine.loaded == {RULES}


def test_access_that_is_given_back_leaves_nothing_of_the_rules(
    machine: FakeMachine, bundles: Bundles
) -> None:
    run(machine, bundles(APP), access=False)
    run(machine, bundles(APP), access=True)
    assert machine.loaded == set()
    assert machine.read(RULES) is None
    assert machine.read(UNIT_PATH) is None
    assert f"systemctl disable --now -q {UNIT}" in machine.commands
    assert PRE not in (machine.read("/etc/systemd/system/web.service") or "")


def test_no_command_of_the_application_gets_keys_of_the_bootstraps_environment(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"]
    names += ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE"]
    for name in names:
        monkeypatch.setenv(name, "x")
    assert machine.environment({}).keys().isdisjoint(names)


def test_by_default_the_application_may_use_the_role_and_nothing_is_installed_for_it(
    machine: FakeMachine, bundles: Bundles
) -> None:
    run(machine, bundles(APP), access=True)
    assert "nftables" not in machine.installed
    assert machine.read(RULES) is None
    assert not any("nft" in command for command in machine.commands)
