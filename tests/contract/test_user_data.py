"""The rendered user data, run by a real bash whose commands are stand-ins."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sqsd.contract import SETTINGS_PATH, TierSettings
from tests.contract.user_data import (
    OLD_PYTHON,
    RECORD,
    Instance,
    script_for,
)
from tests.worker_tier.stacks import CRON_YAML
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import CRON_PATH, files_in_user_data

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
    assert set(files) == {SETTINGS_PATH, paths.INSTANCE, paths.EARLY, CRON_PATH}
    assert outcome.file(CRON_PATH).read_bytes() == CRON_YAML.encode()
    assert TierSettings.from_json(outcome.file(SETTINGS_PATH).read_text()).cron_file == "cron.yaml"
    assert "engine ['run'] ['cron.yaml', 'instance.json', 'tier.json']" in outcome.output
    assert not [path for path in outcome.root.rglob("*") if path.suffix in (".new", ".part")]
    # it may hold what only root shall read
    assert outcome.file(paths.INSTANCE).stat().st_mode & 0o777 == 0o600
    assert outcome.file(SETTINGS_PATH).stat().st_mode & 0o777 == 0o644
    assert outcome.calls[-1] == "signal true"


def test_the_log_has_every_step_with_its_time_in_utc(instance: Instance) -> None:
    # given a machine image that is set to the time of Tokyo
    instance.environment["TZ"] = "JST-9"
    outcome = instance.boot(script_for())
    place = outcome.file("/var/log/worker-tier/bootstrap.log")
    assert place.stat().st_mode & 0o777 == 0o600  # as every log beside it
    log = place.read_text()
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
    instance.command("python3", OLD_PYTHON)
    target = instance.root.parent / "stubs" / "python3.11"
    instance.command("dnf", f"{RECORD}ln -s {Path(sys.executable).resolve()} {target}\n")
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    assert outcome.called("dnf") == ["dnf -y -q install python3.11"]
