"""An instance whose commands are stand-ins, for a real bash."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sqsd.contract import SqsdOptions, TierResources, TierSettings
from tests.worker_tier.stacks import CRON_YAML
from worker_tier_bootstrap import user_data
from worker_tier_bootstrap.bundle import Archive, archive_of
from worker_tier_bootstrap.contract import S3Object

#: Stand-in for the bootstrap in the bundle: prints its arguments, and ends with a given status.
ENGINE = b"""
import os, pathlib, sys
print("engine", sys.argv[1:], sorted(os.listdir(os.environ["SETTINGS"])))
if reason := os.environ.get("REASON"):
    pathlib.Path(os.environ["OUTCOME"]).write_text(reason + "\\n")
sys.exit(int(os.environ.get("ENGINE_STATUS", "0")))
"""
ARCHIVE = archive_of({"worker_tier_bootstrap/__main__.py": ENGINE})
#: Stand-in for the system's Python: `early.py` fails REFUSALS times and then delivers the archive;
#: everything else runs by the real interpreter.
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
#: Stand-in for a Python that is too old for the daemon, and that can run `early.py`.
OLD_PYTHON = f"""
case "$1:$2" in */early.py:plain) exec {Path(sys.executable).resolve()} "$@" ;; esac
{PYTHON.replace("exec INTERPRETER", "exit 1 #")}"""
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
    return user_data.render_user_data(
        settings=TierSettings(resources=resources, options=SqsdOptions(drain_timeout=45)),
        bundle=S3Object(bucket="assets", key="daemon.zip", sha256=archive.sha256),
        signal=user_data.Signal(
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
        self.root = root / "root"
        self._stubs = root / "stubs"
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
        for name in ("dnf", "sleep", "sync"):
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
            (self._stubs / name).symlink_to(which(name))


def which(name: str) -> Path:
    for directory in os.environ["PATH"].split(os.pathsep):
        if (path := Path(directory, name)).exists():
            return path.resolve()
    raise AssertionError(f"{name} is on every Linux machine, but not on this one")
