"""The rendered user data, run by a real bash whose commands are stand-ins."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierResources, TierSettings
from tests.worker_tier.stacks import CRON_YAML
from worker_tier import bootstrap
from worker_tier.assets import Archive, archive_of
from worker_tier.bootstrap import CRON_PATH, UNIT_PATH, files_in_user_data

ARCHIVE = archive_of({"sqsd/__init__.py": b"", "sqsd/__main__.py": b"print('hello')\n"})
#: What the stand-in for `aws` gets from S3: it fails as often as `failures` says, then delivers.
AWS = """
echo "aws $*" >> "$CALLS"
for target; do :; done
count=$(cat "$STATE" 2> /dev/null || echo 0)
echo $((count + 1)) > "$STATE"
if [ "$count" -lt "$REFUSALS" ]; then echo 'AccessDenied' >&2; exit 254; fi
if [ "$count" -lt "$((REFUSALS + DAMAGES))" ]; then echo damaged > "$target"; exit 0; fi
cp "$ARCHIVE" "$target"
"""
RECORD = 'echo "${0##*/} $*" >> "$CALLS"\n'
#: Systemd's part: `restart` fails when told to.
SYSTEMCTL = RECORD + '[ "$1" != restart ] || exit "${RESTART_STATUS:-0}"\n'


def script_for(
    *, cron_yaml: str | None = CRON_YAML, awaited: bool = True, archive: Archive = ARCHIVE
) -> str:
    resources = TierResources(
        queue_url="https://sqs.us-east-1.amazonaws.com/111122223333/work",
        region="us-east-1",
        tier_name="Stack",
        leader_table="table",
    )
    return bootstrap.render_user_data(
        settings=TierSettings(resources=resources, options=SqsdOptions(drain_timeout=45)),
        bundle=bootstrap.Bundle(bucket="assets", key="daemon.zip", sha256=archive.sha256),
        signal=bootstrap.Signal(
            stack="Stack", region="us-east-1", resource="Group", awaited=awaited
        ),
        cron_yaml=cron_yaml,
    )


@dataclass(frozen=True)
class Outcome:
    status: int
    root: Path
    output: str
    calls: list[str]

    def file(self, path: str) -> Path:
        """The file that an instance would have at `path`."""
        return self.root / path.removeprefix("/")

    def called(self, command: str) -> list[str]:
        return [call for call in self.calls if call.split(" ")[0] == command]


class Instance:
    """A directory that stands for an instance's root, and a PATH of stand-ins."""

    def __init__(self, root: Path) -> None:
        self.root, self._stubs = root / "root", root / "stubs"
        self.root.mkdir()
        self._stubs.mkdir()
        self._calls = root / "calls"
        (root / "archive.zip").write_bytes(ARCHIVE.content)
        self.environment = {
            "CALLS": str(self._calls),
            "STATE": str(root / "state"),
            "ARCHIVE": str(root / "archive.zip"),
            "REFUSALS": "0",
            "DAMAGES": "0",
        }
        self.command("aws", AWS)
        self.command("systemctl", SYSTEMCTL)
        for name in ("cfn-signal", "dnf", "journalctl", "sleep", "useradd"):
            self.command(name, RECORD)
        self.command("getent", "exit 2\n")
        self.link("python3.11", Path(sys.executable).resolve())

    def command(self, name: str, body: str) -> None:
        path = self._stubs / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/bash\n{body}", encoding="utf-8")
        path.chmod(0o755)

    def link(self, name: str, target: Path) -> None:
        (self._stubs / name).symlink_to(target)

    def remove(self, name: str) -> None:
        (self._stubs / name).unlink()

    def boot(self, script: str) -> Outcome:
        """Run the script with its directories moved under the root; nothing else is changed."""
        self._calls.write_text("", encoding="utf-8")
        moved = re.sub(r"(?<![\w/])/(opt/worker-tier|etc|var)/", rf"{self.root}/\1/", script)
        moved = moved.replace("home=/opt/worker-tier", f"home={self.root}/opt/worker-tier")
        # the system's Python may be any: the instance has the stand-ins' ones alone
        tools = "PATH=" + str(self._stubs)
        moved = re.sub(r"^export PATH=.*$", f"export {tools}", moved, count=1, flags=re.MULTILINE)
        self._link_tools()
        completed = subprocess.run(
            ["bash", "-c", moved],
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment | {"PATH": str(self._stubs), "LC_ALL": "C.UTF-8"},
        )
        return Outcome(
            status=completed.returncode,
            root=self.root,
            output=completed.stdout + completed.stderr,
            calls=self._calls.read_text(encoding="utf-8").splitlines(),
        )

    def _link_tools(self) -> None:
        for name in ("bash", "cat", "chmod", "cp", "date", "dirname", "head", "ln", "mkdir", "mv"):
            self._link_tool(name)
        for name in ("rm", "sha256sum", "tee"):
            self._link_tool(name)

    def _link_tool(self, name: str) -> None:
        if not (self._stubs / name).exists():
            (self._stubs / name).symlink_to(_which(name))


def _which(name: str) -> Path:
    for directory in os.environ["PATH"].split(os.pathsep):
        if (path := Path(directory, name)).exists():
            return path.resolve()
    raise AssertionError(f"{name} is on every Linux machine, but not on this one")


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


# ---- what the script is


def test_bash_can_parse_it() -> None:
    subprocess.run(["bash", "-n"], input=script_for(), text=True, check=True)


def test_shellcheck_finds_nothing(require_tool: Callable[[str], Path]) -> None:
    shellcheck = require_tool("shellcheck")
    completed = subprocess.run(
        [shellcheck, "--severity", "style", "-"], input=script_for(), capture_output=True, text=True
    )
    assert completed.returncode == 0, completed.stdout


def test_systemd_can_parse_the_unit(require_tool: Callable[[str], Path], tmp_path: Path) -> None:
    analyze = require_tool("systemd-analyze")
    unit = tmp_path / "sqsd.service"
    text = files_in_user_data(script_for())[UNIT_PATH]
    # The program and its user are an instance's; systemd wants them on this machine.
    here = text.replace("/opt/worker-tier/python", "/bin/true").replace("User=sqsd", "User=root")
    unit.write_text(here, encoding="utf-8")
    completed = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert "sqsd.service" not in completed.stderr, completed.stderr


# ---- what it does


def test_an_instance_gets_the_daemon_its_files_and_its_unit(instance: Instance) -> None:
    script = script_for()
    outcome = instance.boot(script)
    assert outcome.status == 0, outcome.output
    files = files_in_user_data(script)
    assert set(files) == {SETTINGS_PATH, CRON_PATH, UNIT_PATH}
    assert outcome.file(CRON_PATH).read_bytes() == CRON_YAML.encode()
    assert TierSettings.from_json(outcome.file(SETTINGS_PATH).read_text()).cron_file == "cron.yaml"
    assert outcome.file("/opt/worker-tier/daemon/sqsd/__main__.py").is_file()
    assert not list(outcome.root.rglob("*.new"))
    python = outcome.file("/opt/worker-tier/python")
    said = subprocess.run(
        [python, "-P", "-s", "-m", "sqsd"],
        env={"PYTHONPATH": str(outcome.file("/opt/worker-tier/daemon"))},
        capture_output=True,
        text=True,
    )
    assert said.stdout == "hello\n"


def test_the_daemon_is_started_before_success_is_signalled(instance: Instance) -> None:
    outcome = instance.boot(script_for())
    relevant = [call for call in outcome.calls if call.split(" ")[0] != "aws"]
    assert relevant == [
        "useradd --system --no-create-home --shell /sbin/nologin sqsd",
        "systemctl daemon-reload",
        "systemctl enable -q sqsd.service",
        "systemctl restart sqsd.service",
        "cfn-signal --success true --reason sqsd has completed a receive --stack Stack"
        " --resource Group --region us-east-1",
    ]


def test_the_log_has_every_step_with_its_time(instance: Instance) -> None:
    outcome = instance.boot(script_for())
    log = outcome.file("/var/log/worker-tier/bootstrap.log").read_text()
    steps = re.findall(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ begin: (.*)$", log, flags=re.MULTILINE)
    assert steps == [
        "install Python 3.11 or later",
        "fetch the daemon",
        "unpack the daemon",
        "write the settings",
        "start sqsd",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no line break at the end",
        "\n\n",
        "'x' \"y\" $HOME $(exit 9) `exit 9` \\ %s !!\n",
        "END_OF_FILE\nwrite_file /srv/passwd <<'END_OF_FILE'\n",
        "carriage\r\nreturns\r\n",
        "Grüße, 仕事\n",
    ],
)
def test_a_file_arrives_byte_for_byte(instance: Instance, content: str) -> None:
    outcome = instance.boot(script_for(cron_yaml=content))
    assert outcome.status == 0, outcome.output
    assert outcome.file(CRON_PATH).read_bytes() == content.encode()


def test_a_second_run_changes_nothing(instance: Instance) -> None:
    script = script_for()
    first = instance.boot(script)
    before = {path: path.read_bytes() for path in first.root.rglob("*.py")}
    instance.command("getent", "exit 0\n")
    second = instance.boot(script)
    assert second.status == 0, second.output
    assert {path: path.read_bytes() for path in second.root.rglob("*.py")} == before
    assert second.called("useradd") == []


def test_a_new_archive_leaves_no_file_of_the_old_one(instance: Instance) -> None:
    first = instance.boot(script_for())
    stale = first.file("/opt/worker-tier/daemon/sqsd/stale.py")
    stale.write_text("")
    instance.boot(script_for())
    assert not stale.exists()


def test_python_is_installed_only_where_none_is_new_enough(instance: Instance) -> None:
    assert instance.boot(script_for()).called("dnf") == []
    # given a system whose only Python is too old, and a package manager that brings another
    instance.remove("python3.11")
    instance.command("python3", "exit 1\n")
    interpreter = Path(sys.executable).resolve()
    target = instance.root.parent / "stubs" / "python3.11"
    instance.command("dnf", f"{RECORD}ln -s {interpreter} {target}\n")
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    assert outcome.called("dnf") == ["dnf -y -q install python3.11"]


# ---- what it does when something fails


def test_fetching_is_repeated_ever_more_slowly_up_to_an_hour(instance: Instance) -> None:
    # given nine refusals and then four damaged archives
    instance.environment |= {"REFUSALS": "9", "DAMAGES": "4"}
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    pauses = [int(call.split(" ")[1]) for call in outcome.called("sleep")]
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
    assert len(outcome.called("aws")) == 14


def test_a_damaged_archive_is_never_unpacked(instance: Instance) -> None:
    instance.environment["DAMAGES"] = "1"
    # given a machine that is switched off in the first pause
    instance.command("sleep", "kill -9 $PPID\n")
    outcome = instance.boot(script_for())
    assert outcome.status != 0
    assert not outcome.file("/opt/worker-tier/daemon").exists()


def test_a_daemon_that_does_not_start_is_signalled_with_the_step(instance: Instance) -> None:
    instance.environment["RESTART_STATUS"] = "1"
    outcome = instance.boot(script_for())
    assert outcome.status == 1
    (signal,) = outcome.called("cfn-signal")
    assert "--success false" in signal
    assert "worker-tier bootstrap failed: start sqsd (exit code 1)" in signal
    assert outcome.called("journalctl") == ["journalctl --no-pager --lines 30 --unit sqsd.service"]


def test_a_package_that_cannot_be_installed_is_signalled(instance: Instance) -> None:
    instance.remove("python3.11")
    instance.command("dnf", RECORD + "exit 3\n")
    outcome = instance.boot(script_for())
    assert outcome.status == 3
    (signal,) = outcome.called("cfn-signal")
    assert "bootstrap failed: install Python 3.11 or later (exit code 3)" in signal
    assert outcome.called("aws") == []


def test_where_nothing_waits_nothing_is_signalled(instance: Instance) -> None:
    outcome = instance.boot(script_for(awaited=False))
    assert outcome.status == 0, outcome.output
    assert outcome.called("cfn-signal") == []


def test_a_signal_that_is_refused_does_not_undo_the_boot(instance: Instance) -> None:
    # given an instance that scaling added, long after the deployment
    instance.command("cfn-signal", RECORD + "exit 1\n")
    outcome = instance.boot(script_for())
    assert outcome.status == 0
    assert "CloudFormation took no signal" in outcome.output


def test_the_archive_of_these_tests_is_one_that_python_unpacks() -> None:
    with zipfile.ZipFile(io.BytesIO(ARCHIVE.content)) as archive:
        assert archive.testzip() is None
