"""Mistakes in a source bundle or its settings, and the errors that the table of steps reports.

A few of them are booted too, in `tests/boot/inside/mistakes.py`.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from tests.bootstrap.conftest import Bundles
from tests.fakes.machine import FakeMachine
from worker_tier_bootstrap import early, packages, paths, readiness, rollback
from worker_tier_bootstrap.boot import Boot, StepFailed, plan_lines, run_steps
from worker_tier_bootstrap.bundle import Entry
from worker_tier_bootstrap.contract import Application
from worker_tier_bootstrap.errors import CommandFailed
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.steps import STEPS

APP: dict[str, bytes | Entry] = {"app.js": b"", "Procfile": b"web: node app.js\n"}
HOOK = b"#!/bin/sh\nexit 4\n"
_NEVER = 10**9


def run(machine: FakeMachine, application: Application | None = None) -> None:
    machine.configure(application)
    run_steps(STEPS, Boot.read(machine), rollback.roll_back)


def failure(machine: FakeMachine, application: Application) -> str:
    with pytest.raises(StepFailed) as caught:
        run(machine, application)
    return str(caught.value)


def empty_zip() -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def damaged_zip() -> bytes:
    """An archive whose directory can be read, and whose file cannot be inflated."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("Procfile", b"web: x\n" * 100)
    content = bytearray(buffer.getvalue())
    content[40] = 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    ("files", "says", "hint"),
    [
        (empty_zip(), "step unpack: nothing says how to start the application", "add a Procfile"),
        (empty_zip(), "it has no file", ""),
        (damaged_zip(), "step unpack: the source bundle is no readable ZIP", "upload it again"),
        (
            {"Procfile": b"web node app.js\n"},
            "Procfile: line 1 is not `name: command`",
            "correct the Procfile",
        ),
        (
            {"Procfile": "web: ./dépêche\n".encode("latin-1")},
            "Procfile: line 1 is not UTF-8",
            "correct the Procfile",
        ),
        (
            {"Procfile": b"web: true", "../../etc/cron.d/x": b"x"},
            "the source bundle cannot be used: it holds the path '../../etc/cron.d/x', which leaves"
            " its directory",
            "pack the bundle from inside its directory",
        ),
    ],
)
def test_an_unusable_bundle_is_reported(
    machine: FakeMachine,
    bundles: Bundles,
    files: dict[str, bytes | Entry] | bytes,
    says: str,
    hint: str,
) -> None:
    error = failure(machine, bundles(files))
    assert says in error
    assert hint in error
    assert "systemctl restart web.service" not in machine.commands


@pytest.mark.parametrize(
    "directory",
    [
        *("/usr/lib/systemd/system", "/etc/systemd/system", "/run/systemd/system"),
        *("/usr/local/lib/systemd/system", "/run/systemd/generator"),
    ],
)
def test_a_process_with_the_name_of_a_system_unit_is_refused_before_anything_is_stopped(
    machine: FakeMachine, bundles: Bundles, directory: str
) -> None:
    run(machine, bundles(APP))
    machine.write(f"{directory}/dbus.service", "")
    machine.write(f"{directory}/cron.service", "")
    machine.commands.clear()
    text = b"web: x\ndbus: sleep 1000\ncron: sleep 1000\n"
    error = failure(machine, bundles({**APP, "Procfile": text}))
    assert "the Procfile's processes dbus, cron would replace the system's own units" in error
    assert "give them other names" in error
    assert "systemctl stop sqsd.service" not in machine.commands


def test_a_process_of_an_earlier_boot_that_was_killed_is_not_taken_for_the_systems(
    machine: FakeMachine, bundles: Bundles
) -> None:
    two = {**APP, "Procfile": b"web: x\nworker: y\n"}
    run(machine, bundles(two))
    # given a boot that was killed before it noted the names of its units
    machine.remove(paths.PROCESS_UNITS)
    run(machine, bundles({**two, "app.js": b"2"}))
    assert "worker.service" in machine.running


@pytest.mark.parametrize("name", ["sqsd", "worker-tier-logrotate", "nginx"])
def test_a_process_with_a_name_of_ours_is_refused_before_anything_is_stopped(
    machine: FakeMachine, bundles: Bundles, name: str
) -> None:
    run(machine, bundles(APP))
    unit = machine.read(f"/etc/systemd/system/{name}.service")
    machine.commands.clear()
    files = {**APP, "Procfile": f"web: x\n{name}: sleep 1000\n".encode()}
    assert f"the name {name} is taken by" in failure(machine, bundles(files))
    assert machine.read(f"/etc/systemd/system/{name}.service") == unit
    assert "systemctl stop sqsd.service" not in machine.commands


@pytest.mark.parametrize("phase", ["prebuild", "predeploy", "postdeploy"])
def test_a_hook_that_fails_is_reported_by_its_name(
    machine: FakeMachine, bundles: Bundles, phase: str
) -> None:
    name = f".platform/hooks/{phase}/01_migrate.sh"
    machine.failing[str(machine.path("/var/app"))] = "cannot migrate"
    error = failure(machine, bundles({**APP, name: HOOK}))
    assert f"step run {phase} hooks: `{name}` ended with exit code" in error
    assert "cannot migrate" in error


def test_a_build_that_fails_is_reported_by_its_name(machine: FakeMachine, bundles: Bundles) -> None:
    machine.failing["systemd-run"] = "no compiler here"
    error = failure(machine, bundles({**APP, "Buildfile": b"make: exit 5\n"}))
    assert "step build: `make of the Buildfile: exit 5` ended with exit code 1" in error
    assert "no compiler here" in error


def test_a_hook_that_cannot_be_executed_is_reported(tmp_path: Path) -> None:
    hook = tmp_path / "01.sh"
    hook.write_bytes(b"\x7fELF nonsense")
    hook.chmod(0o755)
    with pytest.raises(CommandFailed, match=r"`01.sh` cannot be run: .*Exec format"):
        Machine(deadline_seconds=9).run([str(hook)], hint="", shown="01.sh")


def test_a_missing_bundle_is_reported_at_once(
    machine: FakeMachine, bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: str) -> None:
        raise early.Refused("s3://applications/gone.zip: HTTP 404 NoSuchKey", definite=True)

    application = bundles(APP)
    monkeypatch.setattr(early, "fetch", gone)
    error = failure(machine, application)
    assert "the source bundle cannot be fetched: s3://applications/gone.zip: HTTP 404" in error
    assert "check that the object is there" in error
    assert machine.slept == []


def test_a_bundle_behind_a_cut_network_is_tried_until_the_deadline(
    machine: FakeMachine, bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: str) -> None:
        raise early.Refused("s3://applications/a.zip: no route")

    application = bundles(APP)
    monkeypatch.setattr(early, "fetch", cut)
    assert "no route" in failure(machine, application)
    assert machine.slept[:6] == [2, 4, 8, 16, 32, 60]
    assert 400 < machine.now < 600


def test_a_process_that_dies_at_once_is_reported_though_the_application_answers(
    machine: FakeMachine, bundles: Bundles
) -> None:
    machine.restarts["worker.service"] = int  # once a second
    files = {**APP, "Procfile": b"web: node app.js\nworker: ./missing\n"}
    error = failure(machine, bundles(files))
    assert "the process worker exits as soon as it is started (worker: ./missing)" in error


def test_several_processes_are_up_when_none_has_ended_for_a_while(
    machine: FakeMachine, bundles: Bundles
) -> None:
    machine.restarts["worker.service"] = lambda now: 7  # of an earlier time
    run(machine, bundles({**APP, "Procfile": b"web: node app.js\nworker: ./work\n"}))
    assert machine.now >= 3


def test_a_latin_1_byte_in_a_log_or_in_nginxs_configuration_does_not_fail_the_bootstrap(
    machine: FakeMachine, bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_probe", lambda boot, seconds: "GET / answers 502")
    log = machine.path("/var/log/worker-tier/web.log")
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 100_000 + b"\ncannot open d\xe9p\xeache\n")
    machine.restarts["web.service"] = lambda now: int(now * 10)
    conf = "# réglages\nclient_max_body_size 20m;\n".encode("latin-1")
    error = failure(machine, bundles({**APP, ".platform/nginx/conf.d/a.conf": conf}))
    assert "the application exits as soon as it is started" in error
    assert error.endswith("cannot open d\ufffdp\ufffdche")


def test_a_plan_for_an_unbuilt_bundle_says_what_is_still_unknown(
    machine: FakeMachine, bundles: Bundles
) -> None:
    machine.configure(bundles(APP))
    lines = plan_lines(STEPS, Boot.read(machine))
    assert len(lines) == len(STEPS)
    later = [line for line in lines if "it is known once the bundle is unpacked" in line]
    assert "install the platform's packages" in later[0]


@pytest.mark.parametrize(
    "says",
    [
        "E: Could not get lock /var/lib/apt/lists/lock. It is held by 7",
        "dpkg: error: dpkg frontend lock is locked by another process",
        "dpkg: error: dpkg frontend lock was locked by another process with pid 7",
        "dpkg: error: dpkg frontend lock was locked by apt-get process with pid 7",
    ],
)
def test_a_lock_of_another_package_manager_is_waited_for(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    update = "apt-get -qq -o APT::Update::Error-Mode=any update"
    machine.failing[update] = says

    def sleep(seconds: float) -> None:
        FakeMachine.sleep(machine, seconds)
        if machine.now >= 60:
            machine.failing.clear()

    monkeypatch.setattr(machine, "sleep", sleep)
    run(machine)
    assert machine.slept == [5] * 12
    assert "logrotate" in machine.installed


@pytest.mark.parametrize("state", ["iU ", "iHR", "iUR", "iF ", "it ", "iW "])
def test_an_interrupted_installation_is_finished_first(machine: FakeMachine, state: str) -> None:
    machine.states["libuv1"] = state
    run(machine)
    update, repair, wanted = _order_of_installation(machine)
    assert update < repair < wanted < _NEVER
    assert machine.read("/usr/sbin/policy-rc.d") is None


def test_an_installation_that_only_the_journal_knows_is_finished_too(machine: FakeMachine) -> None:
    machine.installed |= {"logrotate", "nginx", "nodejs"}
    machine.write("/var/lib/dpkg/updates/0001", "")
    run(machine)
    update, repair, wanted = _order_of_installation(machine)
    assert update < repair < _NEVER
    assert wanted == _NEVER  # nothing was missing


def test_a_package_manager_that_finished_is_not_repaired(machine: FakeMachine) -> None:
    machine.states |= {"old": "rc ", "held": "hi ", "never": "un "}
    run(machine)
    assert _order_of_installation(machine)[1] == _NEVER


def test_a_failed_repair_is_reported_as_a_repair(machine: FakeMachine) -> None:
    machine.states["libuv1"] = "iHR"
    machine.failing["sh -c #!/bin/sh\n# repair"] = "E: Unable to fetch some archives"
    text = failure(machine, Application())
    assert "`finish an interrupted installation of packages` ended with exit code 1" in text
    assert "Unable to fetch some archives" in text


def _order_of_installation(machine: FakeMachine) -> tuple[int, int, int]:
    """Positions of the commands that update, repair and install; _NEVER if one did not run."""
    starts = ("apt-get -qq -o APT", "sh -c #!/bin/sh\n# repair", "apt-get -qq -y")
    first = (
        next((i for i, words in enumerate(machine.commands) if words.startswith(start)), _NEVER)
        for start in starts
    )
    return next(first), next(first), next(first)


def test_the_service_policy_of_a_killed_boot_is_removed(
    machine: FakeMachine,
) -> None:
    run(machine)
    machine.write("/usr/sbin/policy-rc.d", packages._POLICY_TEXT, 0o755)
    run(machine)
    assert machine.read("/usr/sbin/policy-rc.d") is None
    # a policy of the machine image stays
    machine.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    run(machine)
    assert machine.read("/usr/sbin/policy-rc.d") is not None
