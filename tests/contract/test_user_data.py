"""The rendered user data, run by a real bash whose commands are stand-ins."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierResources, TierSettings
from tests.worker_tier.stacks import CRON_YAML
from worker_tier import bootstrap, user_data
from worker_tier.assets import Archive, archive_of
from worker_tier.bootstrap import CRON_PATH, files_in_user_data
from worker_tier_bootstrap.contract import EARLY_PATH, INSTANCE_PATH

#: Stands for the bootstrap in the bundle: says what it sees, and ends as it is told.
ENGINE = b"""
import os, pathlib, sys
print("engine", sys.argv[1:], sorted(os.listdir(os.environ["SETTINGS"])))
if reason := os.environ.get("REASON"):
    pathlib.Path(os.environ["OUTCOME"]).write_text(reason + "\\n")
sys.exit(int(os.environ.get("ENGINE_STATUS", "0")))
"""
ARCHIVE = archive_of({"worker_tier_bootstrap/__main__.py": ENGINE})
#: The system's Python: the early part is a stand-in that fails as often as told and then delivers;
#: everything else is the real thing.
PYTHON = """
case "$1:$2" in
  */early.py:fetch)
    echo "fetch $4" >> "$CALLS"
    count=$(cat "$STATE" 2> /dev/null || echo 0)
    echo $((count + 1)) > "$STATE"
    if [ "$count" -lt "$REFUSALS" ]; then echo 'HTTP 403 AccessDenied'; exit 3; fi
    cp "$ARCHIVE" "$4" ;;
  */early.py:signal) echo "signal $4" >> "$CALLS"; exit "${SIGNAL_STATUS:-0}" ;;
  *) exec INTERPRETER "$@" ;;
esac
"""
RECORD = 'echo "${0##*/} $*" >> "$CALLS"\n'


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
            "SETTINGS": str(self.root / "etc/worker-tier"),
            "OUTCOME": str(self.root / "run/worker-tier/outcome"),
        }
        for name in ("dnf", "sleep"):
            self.command(name, RECORD)
        self.command("python3", PYTHON.replace("INTERPRETER", str(Path(sys.executable).resolve())))

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
        moved = re.sub(r"(?<![\w/])/(opt/worker-tier|etc|var|run)/", rf"{self.root}/\1/", script)
        moved = moved.replace("home=/opt/worker-tier", f"home={self.root}/opt/worker-tier")
        # the system's Python may be any: the instance has the stand-ins' ones alone
        tools = "PATH=" + str(self._stubs)
        moved = re.sub(r"^export PATH=.*$", f"export {tools}", moved, count=1, flags=re.MULTILINE)
        self._link_tools()
        file = self.root.parent / "user-data"
        file.write_text(moved, encoding="utf-8")
        return self.execute(file)

    def execute(self, file: Path) -> Outcome:
        """Run a script as cloud-init runs it, by its file."""
        completed = subprocess.run(
            ["bash", str(file)],
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
        tools = "base64 bash cat chmod cp date gzip head ln mkdir mv rm tee"
        for name in tools.split():
            self.link_tool(name)

    def link_tool(self, name: str) -> None:
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


# ---- what it does


def test_an_instance_gets_its_files_and_the_bundle_and_hands_over(instance: Instance) -> None:
    script = script_for()
    outcome = instance.boot(script)
    assert outcome.status == 0, outcome.output
    files = files_in_user_data(script)
    assert set(files) == {SETTINGS_PATH, INSTANCE_PATH, EARLY_PATH, CRON_PATH}
    assert outcome.file(CRON_PATH).read_bytes() == CRON_YAML.encode()
    assert TierSettings.from_json(outcome.file(SETTINGS_PATH).read_text()).cron_file == "cron.yaml"
    assert "engine ['run'] ['cron.yaml', 'instance.json', 'tier.json']" in outcome.output
    assert not [path for path in outcome.root.rglob("*") if path.suffix in (".new", ".part")]
    # it may hold what only root shall read
    assert outcome.file(INSTANCE_PATH).stat().st_mode & 0o777 == 0o600
    assert outcome.file(SETTINGS_PATH).stat().st_mode & 0o777 == 0o644
    assert outcome.calls[-1] == "signal true"


def test_the_log_has_every_step_with_its_time_in_utc(instance: Instance) -> None:
    # given a machine image that is set to the time of Tokyo
    instance.environment["TZ"] = "JST-9"
    outcome = instance.boot(script_for())
    log = outcome.file("/var/log/worker-tier/bootstrap.log").read_text()
    lines = re.findall(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z == (.*)$", log, flags=re.MULTILINE)
    times, steps = zip(*lines, strict=True)
    first = datetime.fromisoformat(f"{times[0]}+00:00")
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=5)
    assert list(steps) == [
        "write the settings",
        "find Python 3.11 or later",
        "fetch the bundle",
        "unpack the bundle",
        "hand over",
        "done: the application answered, and the daemon completed a receive",
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


def test_a_second_run_fetches_nothing_and_changes_nothing(instance: Instance) -> None:
    first = instance.boot(script_for())
    before = {path: path.read_bytes() for path in first.root.rglob("*.*") if path.is_file()}
    log = first.file("/var/log/worker-tier/bootstrap.log")
    second = instance.boot(script_for())
    assert second.called("fetch") == []
    after = {path: path.read_bytes() for path in second.root.rglob("*.*") if path.is_file()}
    assert {**after, log: b""} == {**before, log: b""}


def test_python_is_installed_only_where_none_is_new_enough(instance: Instance) -> None:
    assert instance.boot(script_for()).called("dnf") == []
    # given a system whose own Python is too old, and a package manager that brings another
    old = PYTHON.replace("exec INTERPRETER", "exit 1 #")
    instance.command("python3", old)
    target = instance.root.parent / "stubs" / "python3.11"
    instance.command("dnf", f"{RECORD}ln -s {Path(sys.executable).resolve()} {target}\n")
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    assert outcome.called("dnf") == ["dnf -y -q install python3.11"]


# ---- what it does when something fails


def test_fetching_is_repeated_ever_more_slowly_up_to_an_hour(instance: Instance) -> None:
    instance.environment["REFUSALS"] = "13"
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    pauses = [int(call.split(" ")[1]) for call in outcome.called("sleep")]
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
    assert len(outcome.called("fetch")) == 14


def test_what_needs_a_cure_is_told_while_it_is_still_tried(instance: Instance) -> None:
    instance.environment["REFUSALS"] = "3"
    # given a boot that has had its patience: no second of it
    script = re.sub(r"-ge \d+ \]", "-ge 0 ]", script_for())
    outcome = instance.boot(script)
    assert outcome.called("signal") == ["signal false", "signal true"]
    assert "HTTP 403 AccessDenied; next try in 2 s" in outcome.output


def test_a_machine_switched_off_while_it_fetches_goes_on_at_its_next_boot(
    instance: Instance,
) -> None:
    instance.environment["REFUSALS"] = "1"
    instance.command("sleep", "kill -9 $PPID\n")
    assert instance.boot(script_for()).status != 0
    # cloud-init runs user data once, and what is there at every boot
    again = instance.root / "var/lib/cloud/scripts/per-boot/worker-tier"
    assert os.access(again, os.X_OK)
    instance.command("sleep", RECORD)
    outcome = instance.execute(again)
    assert outcome.status == 0, outcome.output
    assert outcome.called("signal") == ["signal true"]
    assert not again.exists()


@pytest.mark.parametrize("command", ["exit 0", "kill -TERM $$", "false"])
def test_only_an_engine_that_ended_well_is_success(instance: Instance, command: str) -> None:
    outcome = instance.boot(user_data.with_commands(script_for(), [command]))
    assert outcome.status != 0
    assert "engine" not in outcome.output
    assert "signal true" not in outcome.calls
    assert (instance.root / "var/lib/cloud/scripts/per-boot/worker-tier").exists()


def test_a_boot_that_a_shutdown_cuts_has_not_failed(instance: Instance) -> None:
    # given an engine that the shutdown made fail, and a script that it ends
    instance.environment["ENGINE_STATUS"] = "1"
    instance.command("systemctl", "echo stopping; exit 1\n")
    outcome = instance.boot(script_for())
    assert "interrupted in hand over; the next boot goes on with it" in outcome.output
    assert outcome.called("signal") == []
    instance.command("systemctl", "echo running\n")
    outcome = instance.boot(user_data.with_commands(script_for(), ["kill -TERM $$"]))
    assert outcome.status == 143
    assert outcome.called("signal") == []


def test_a_package_mirror_that_is_silent_is_tried_again(instance: Instance) -> None:
    instance.command("python3", PYTHON.replace("exec INTERPRETER", "exit 1 #"))
    target = instance.root.parent / "stubs" / "python3.11"
    instance.command(
        "dnf",
        f"{RECORD}[ $(grep -c dnf $CALLS) -gt 2 ] || {{ echo no mirror; exit 1; }}\n"
        f"ln -s {Path(sys.executable).resolve()} {target}\n",
    )
    instance.link_tool("grep")
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    assert "no mirror; next try in 4 s" in outcome.output


def test_a_system_without_a_python_that_is_new_enough_is_told_which_have_one(
    instance: Instance,
) -> None:
    instance.command("python3", PYTHON.replace("exec INTERPRETER", "exit 1 #"))
    instance.remove("dnf")
    outcome = instance.boot(script_for())
    assert outcome.status == 1
    assert "choose a machine image of one of Amazon Linux 2023, Debian 12" in outcome.output
    assert outcome.called("signal") == ["signal false"]


#: The system's Python, of which only what it leaves behind matters here.
QUICK_PYTHON = """
case "$*" in
  *early.py\\ fetch*) cp "$ARCHIVE" "$4" ;;
  *early.py\\ signal*) echo "signal $4" >> "$CALLS" ;;
  *zipfile*) mkdir "$5" && echo engine > "$5/engine" ;;
  *compileall*) [ -e "$6/engine" ] && echo compiled > "$6/compiled" ;;
  *worker_tier_bootstrap*) cat "$PYTHONPATH/engine" "$PYTHONPATH/compiled" ;;
esac
"""


@pytest.mark.timeout(300)
def test_a_boot_killed_at_any_line_is_finished_by_the_next_run(tmp_path: Path) -> None:
    def boot(place: str, script: str) -> tuple[Outcome, dict[str, bytes]]:
        if place not in instances:
            (tmp_path / place).mkdir()
            instances[place] = Instance(tmp_path / place)
            instances[place].command("python3", QUICK_PYTHON)
        instance = instances[place]
        outcome = instance.boot(script)
        return outcome, {
            str(path.relative_to(outcome.root)): path.read_bytes()
            for path in outcome.root.rglob("*")
            if path.is_file() and path.suffix != ".log" and path.name != "python"
        }

    def kill(line: int) -> tuple[str, int, dict[str, bytes]]:
        place = str(line)
        trap = f"set -T; trap '((++commands_run == {line})) && kill -9 $$' DEBUG"
        killed, files = boot(place, script.replace("\n", f"\n{trap}\n", 1))
        return place, killed.status, files

    instances: dict[str, Instance] = {}
    script = script_for()
    undisturbed = boot("undisturbed", script)
    assert undisturbed[0].status == 0, undisturbed[0].output
    left: dict[str, bytes] | None = None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in itertools.count(1, 8):
            killed = list(pool.map(kill, range(first, first + 8)))
            for place, status, files in killed:
                # What leaves the same behind as the line before is finished in the same way.
                if status != 0 and files != left:
                    after, found = boot(place, script)
                    assert after.status == 0, f"killed at {place}: {after.output}"
                    assert found == undisturbed[1], f"killed at {place}"
                    assert after.called("signal") == ["signal true"]
                left = files
            if killed[-1][1] == 0:
                break
    assert first > 60


def test_a_failure_is_signalled_with_the_reason_in_the_log(instance: Instance) -> None:
    instance.environment |= {"ENGINE_STATUS": "1", "REASON": "step build: no compiler"}
    outcome = instance.boot(script_for())
    assert outcome.status == 1
    assert outcome.called("signal") == ["signal false"]
    log = outcome.file("/var/log/worker-tier/bootstrap.log").read_text()
    assert log.rstrip().endswith("== failed: step build: no compiler")


def test_a_failure_without_a_reason_names_the_step(instance: Instance) -> None:
    instance.remove("python3")
    outcome = instance.boot(script_for())
    assert outcome.status != 0
    assert "== failed: find Python 3.11 or later ended with exit code" in outcome.output


def test_a_signal_that_is_refused_does_not_undo_the_boot(instance: Instance) -> None:
    # given an instance that scaling added, long after the deployment
    instance.environment["SIGNAL_STATUS"] = "3"
    outcome = instance.boot(script_for())
    assert outcome.status == 0
    assert "CloudFormation took no signal" in outcome.output
