"""Failures of user data: it tries again, is killed, or signals the failure with its reason."""

from __future__ import annotations

import itertools
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.contract.user_data import (
    ARCHIVE,
    OLD_PYTHON,
    RECORD,
    Instance,
    Outcome,
    script_for,
    which,
)
from worker_tier.fleet import boot_script


def test_fetching_is_repeated_ever_more_slowly_up_to_an_hour(instance: Instance) -> None:
    instance.environment["REFUSALS"] = "13"
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    pauses = [int(call.split(" ")[1]) for call in outcome.called("sleep")]
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
    assert len(outcome.called("fetch")) == 14


def test_a_lasting_failure_is_signalled_while_the_script_still_tries(instance: Instance) -> None:
    instance.environment["REFUSALS"] = "3"
    # given a boot that has had its patience: no second of it
    script = re.sub(r"-ge \d+ \]", "-ge 0 ]", script_for())
    outcome = instance.boot(script)
    assert outcome.called("signal") == ["signal false", "signal true"]
    assert "HTTP 403 AccessDenied; next try in 2 s" in outcome.output


def test_a_boot_switched_off_while_it_fetches_continues_at_the_next_boot(
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


def test_content_is_flushed_to_the_disk_before_it_gets_its_name(instance: Instance) -> None:
    instance.command("mv", f'{RECORD}exec {which("mv")} "$@"\n')
    outcome = instance.boot(script_for())
    assert outcome.status == 0, outcome.output
    moves_and_syncs = [call for call in outcome.calls if call.split(" ")[0] in ("mv", "sync")]
    again = f"{instance.root}/var/lib/cloud/scripts/per-boot/worker-tier"
    home = f"{instance.root}/opt/worker-tier"
    bundle = f"{home}/bundles/{ARCHIVE.sha256[:16]}"
    start = moves_and_syncs.index(f"mv -f {home}/again {again}")
    assert moves_and_syncs[start - 1] == f"sync {home}/again"
    # its name too, for nothing else continues the boot
    assert moves_and_syncs[start + 1] == f"sync {again.rpartition('/')[0]}"
    start = moves_and_syncs.index(f"mv {bundle}.new {bundle}")
    assert moves_and_syncs[start - 1] == f"sync -f {bundle}.new"


@pytest.mark.parametrize("command", ["exit 0", "kill -TERM $$", "false"])
def test_only_an_engine_that_ended_well_is_success(instance: Instance, command: str) -> None:
    outcome = instance.boot(boot_script.with_commands(script_for(), [command]))
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
    outcome = instance.boot(boot_script.with_commands(script_for(), ["kill -TERM $$"]))
    assert outcome.status == 143
    assert outcome.called("signal") == []


def test_a_package_mirror_that_is_silent_is_tried_again(instance: Instance) -> None:
    instance.command("python3", OLD_PYTHON)
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


def test_a_system_without_a_new_python_is_refused_with_the_systems_that_have_one(
    instance: Instance,
) -> None:
    instance.command("python3", OLD_PYTHON)
    instance.remove("dnf")
    outcome = instance.boot(script_for())
    assert outcome.status == 1
    assert "choose a machine image of one of Amazon Linux 2023, Debian 12" in outcome.output
    assert outcome.called("signal") == ["signal false"]


#: The system's Python, of which only what it leaves behind matters here.
QUICK_PYTHON = """
case "$*" in
  *early.py\\ plain*) cat ;;
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
    assert "== failed: write the settings ended with exit code 127" in outcome.output


def test_a_signal_that_is_refused_does_not_undo_the_boot(instance: Instance) -> None:
    # given an instance that scaling added, long after the deployment
    instance.environment["SIGNAL_STATUS"] = "3"
    outcome = instance.boot(script_for())
    assert outcome.status == 0
    assert "CloudFormation took no signal" in outcome.output
