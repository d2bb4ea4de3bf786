"""After a failed boot everything runs that ran before it."""

from __future__ import annotations

import json

import pytest

from sqsd.contract import SETTINGS_PATH
from tests.bootstrap.conftest import Bundles
from tests.fakes.machine import FakeMachine
from worker_tier_bootstrap import __main__ as command
from worker_tier_bootstrap import early, paths, rollback
from worker_tier_bootstrap.boot import Boot, Step, StepFailed, run_steps
from worker_tier_bootstrap.contract import CONTAINER, Application
from worker_tier_bootstrap.errors import CommandFailed
from worker_tier_bootstrap.steps import STEPS

OLD = {"app.js": b"old", "Procfile": b"web: node app.js\n"}
NEW = {"app.js": b"new", "Procfile": b"web: node app.js\n"}
DAEMON = "systemctl restart sqsd.service"


def run(machine: FakeMachine, application: Application | None = None, **options: int) -> int:
    machine.configure(application, **options)
    return command.main(["run"], machine)


def outcome(machine: FakeMachine) -> str:
    return machine.read("/run/worker-tier/outcome") or ""


def with_another_daemon(machine: FakeMachine) -> None:
    document = json.loads(machine.read(paths.INSTANCE) or "")
    document["bundle"]["sha256"] = "b" * 64
    machine.write(paths.INSTANCE, json.dumps(document))
    machine.path("/opt/worker-tier/bundles/bbbbbbbbbbbbbbbb").mkdir(parents=True)


def once(machine: FakeMachine, words: str) -> None:
    """Let a command fail the next time that it is run, and only then."""
    machine.failing[words] = "no"
    usual = machine.run

    def run(words_: list[str], **given: object) -> str:
        try:
            return usual(words_, **given)  # type: ignore[arg-type]
        except CommandFailed:
            machine.failing.pop(words, None)
            raise

    machine.run = run  # type: ignore[assignment]


def test_a_failed_update_restores_release_daemon_settings_and_tasks(
    machine: FakeMachine, bundles: Bundles
) -> None:
    machine.write("/etc/worker-tier/cron.yaml", "old tasks")
    assert run(machine, bundles(OLD), http_connections=5, drain_timeout=17) == 0
    current = machine.path("/var/app/current").readlink()
    settings, unit = machine.read(SETTINGS_PATH), machine.read("/etc/systemd/system/sqsd.service")
    # given other everything, of which the application does not start
    machine.configure(bundles(NEW), http_connections=7, drain_timeout=18)
    machine.write("/etc/worker-tier/cron.yaml", "new tasks")
    with_another_daemon(machine)
    once(machine, "systemctl restart web.service")
    assert command.main(["run"], machine) == 1
    assert "step start the application" in outcome(machine)
    assert machine.path("/var/app/current").readlink() == current
    assert machine.read(SETTINGS_PATH) == settings
    assert machine.read("/etc/systemd/system/sqsd.service") == unit
    assert machine.read("/etc/worker-tier/cron.yaml") == "old tasks"
    assert machine.path("/opt/worker-tier/daemon").readlink().name == "a" * 16
    assert machine.running >= {"web.service", "nginx.service", "sqsd.service"}
    # the next run does not take the new files for the running ones
    machine.commands.clear()
    assert run(machine, bundles(NEW), http_connections=7, drain_timeout=18) == 0
    assert DAEMON in machine.commands


def test_a_rollback_restores_settings_that_only_the_earlier_release_knows(
    machine: FakeMachine, bundles: Bundles
) -> None:
    # given a deployment by another release of worker-tier, whose options differ
    assert run(machine, bundles(OLD), http_port=8080, drain_timeout=17) == 0
    deployed = json.loads(machine.read(paths.DEPLOYED) or "")
    settings = json.loads(deployed["settings"])
    settings["a_resource_of_then"] = "x"
    settings["options"] |= {"an_option_of_then": 1, "log_format": "xml"}
    deployed["settings"] = json.dumps(settings)
    machine.write(paths.DEPLOYED, json.dumps(deployed))
    # when an update fails
    once(machine, "systemctl restart web.service")
    assert run(machine, bundles(NEW), http_port=8081) == 1
    # then its file is restored to the byte, and the services are made of it
    assert machine.logged[-1].startswith("back at release")
    assert machine.read(SETTINGS_PATH) == deployed["settings"]
    assert "listen 127.0.0.1:8080 " in (machine.read(paths.NGINX) or "")
    assert "TimeoutStopSec=47\n" in (machine.read("/etc/systemd/system/sqsd.service") or "")


def test_unusable_settings_are_refused_before_anything_is_changed(
    machine: FakeMachine, bundles: Bundles
) -> None:
    assert run(machine, bundles(OLD)) == 0
    machine.commands.clear()
    document = json.loads(machine.read(SETTINGS_PATH) or "")
    machine.write(SETTINGS_PATH, json.dumps({**document, "options": {"http_port": 0}}))
    assert command.main(["run"], machine) == command.UNUSABLE
    assert f"{SETTINGS_PATH}: http_port must be" in outcome(machine)
    assert machine.commands == []


@pytest.mark.parametrize("has_application", [True, False])
def test_options_that_the_daemon_does_not_start_with_leave_the_old_ones_running(
    machine: FakeMachine, bundles: Bundles, has_application: bool
) -> None:
    application = bundles(OLD) if has_application else None
    assert run(machine, application, http_connections=5) == 0
    settings = machine.read(SETTINGS_PATH)
    once(machine, DAEMON)
    assert run(machine, application, http_connections=7) == 1
    assert "step start the daemon" in outcome(machine)
    assert machine.read(SETTINGS_PATH) == settings
    assert machine.commands[-1] == DAEMON
    assert "sqsd.service" in machine.running


def test_a_rollback_ignores_what_another_instance_left_on_the_image(
    machine: FakeMachine, bundles: Bundles
) -> None:
    assert run(machine, bundles(OLD), http_connections=5) == 0
    machine.write("/var/lib/cloud/data/instance-id", "i-2\n")
    machine.failing["systemctl restart web.service"] = "no"
    assert run(machine, bundles(NEW), http_connections=7) == 1
    assert "there is no earlier release to return to" in machine.logged
    assert '"http_connections": 7' in (machine.read(SETTINGS_PATH) or "")


def test_a_boot_whose_time_is_over_still_has_time_to_return(
    machine: FakeMachine, bundles: Bundles
) -> None:
    assert run(machine, bundles(OLD)) == 0
    machine.configure(bundles(NEW))
    boot = Boot.read(machine)
    boot.release = boot.previous

    def slow(_: Boot) -> None:
        machine.sleep(machine.remaining() + 1)
        raise CommandFailed("it did not end", hint="")

    step = Step(name="slow", skip=lambda _: None, do=slow, undo="", changes_service=True)
    with pytest.raises(StepFailed, match="it did not end"):
        run_steps([step], boot, rollback.roll_back)
    assert machine.remaining() > 60
    assert "sqsd.service" in machine.running


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "no"), KeyError("x")])
def test_a_defect_of_the_bootstrap_restores_what_ran_too(
    machine: FakeMachine, bundles: Bundles, error: Exception
) -> None:
    assert run(machine, bundles(OLD)) == 0
    boot = Boot.read(machine)

    def fail(_: Boot) -> None:
        machine.running.clear()
        raise error

    step = Step(name="odd", skip=lambda _: None, do=fail, undo="", changes_service=True)
    with pytest.raises(StepFailed, match=type(error).__name__):
        run_steps([step], boot, rollback.roll_back)
    assert machine.running >= {"web.service", "nginx.service", "sqsd.service"}


def test_a_failed_rollback_does_not_hide_its_cause(machine: FakeMachine, bundles: Bundles) -> None:
    assert run(machine, bundles(OLD)) == 0
    machine.failing["systemctl restart web.service"] = "no"
    assert run(machine, bundles(NEW)) == 1
    assert "step start the application" in outcome(machine)
    assert any("what ran before does not start either" in line for line in machine.logged)


# ---- a second run


def test_a_run_after_a_reboot_changes_nothing(machine: FakeMachine, bundles: Bundles) -> None:
    application = bundles(OLD)
    assert run(machine, application) == 0
    machine.reboot()
    settings = machine.read(SETTINGS_PATH)
    machine.commands.clear()
    assert run(machine, application) == 0
    assert machine.commands == []
    # the group is not requested again
    assert machine.read(SETTINGS_PATH) == settings
    assert json.loads(settings or "")["auto_scaling_group"] == "the-group"


def test_a_group_is_not_taken_from_the_instance_that_an_image_was_made_of(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(machine) == 0
    xml = "<PhysicalResourceId>another-group</PhysicalResourceId>"
    monkeypatch.setattr(early, "cloudformation", lambda *_, **__: xml)
    machine.write("/var/lib/cloud/data/instance-id", "i-2\n")
    assert run(machine) == 0
    assert json.loads(machine.read(SETTINGS_PATH) or "")["auto_scaling_group"] == "another-group"


def test_services_are_restarted_after_a_change_that_was_killed(
    machine: FakeMachine, bundles: Bundles
) -> None:
    assert run(machine, bundles(OLD), http_connections=5) == 0
    # given a change that was killed as it began; and a reboot, which started what was on the disk
    machine.configure(bundles(OLD), http_connections=7)
    STEPS[0].do(Boot.read(machine))
    machine.commands.clear()
    assert run(machine, bundles(OLD), http_connections=5) == 0
    assert DAEMON in machine.commands


# ---- what a release is built by


def test_properties_are_read_by_root_alone(machine: FakeMachine, bundles: Bundles) -> None:
    assert run(machine, bundles(OLD, environment={"SECRET": "hush"})) == 0
    holders = [
        path
        for path in machine.path("/").rglob("*")
        if path.is_file() and b"hush" in path.read_bytes() and path.name != "instance.json"
    ]
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}


def test_a_container_is_pulled_and_started_by_a_quoted_name(machine: FakeMachine) -> None:
    image = "public.ecr.aws/nginx/nginx:1.27"
    application = Application(kind=CONTAINER, image=image, port=8081, environment={"A": "b c"})
    assert run(machine, application) == 0, outcome(machine)
    assert any(words.endswith(f"pull -q {image}") for words in machine.commands)
    script = machine.read("/etc/worker-tier/processes/web.sh") or ""
    assert f"--publish 127.0.0.1:8081:8081 {image}" in script
    assert machine.read("/etc/worker-tier/container.env") == "A=b c\nPORT=8081\n"
    # where its unit is started
    assert machine.path("/var/app/current").readlink().name
    directory = str(machine.path("/var/app/current").readlink())
    assert machine.path(directory).is_dir()
    unit = machine.read("/etc/systemd/system/web.service") or ""
    assert "User=root" in unit
    assert "docker.service" in unit
    assert {"docker.io", "nginx"} <= machine.installed
    machine.commands.clear()
    assert run(machine, application) == 0
    assert machine.commands == []


def test_logs_that_cannot_be_shipped_are_no_failure_and_are_tried_again(
    machine: FakeMachine,
) -> None:
    ctl = "/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
    machine.write(ctl, "", 0o755)
    document = json.loads(machine.read(SETTINGS_PATH) or "")

    def boot() -> int:
        machine.configure()
        machine.write(SETTINGS_PATH, json.dumps({**document, "log_group": "logs"}))
        return command.main(["run"], machine)

    machine.failing[ctl] = "no permission"
    assert boot() == 0
    assert any("logs stay on this instance" in line for line in machine.logged)
    machine.failing.clear()
    machine.commands.clear()
    assert boot() == 0
    assert [words.split()[0] for words in machine.commands] == [ctl]
    machine.commands.clear()
    assert boot() == 0
    assert machine.commands == []
