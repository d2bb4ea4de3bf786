"""Builds the distributions, has them checked, and tries the wheels outside of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from tools.release.errors import ReleaseError

#: An app of somebody else's, with a bundle for instances and a periodic task.
_APP: Final = """
import sys
import sqsd, worker_tier
from aws_cdk import App, Stack, aws_ec2 as ec2
from worker_tier import PeriodicTask, WorkerTier

for package in (worker_tier, sqsd):
    assert package.__file__.startswith(sys.prefix), package.__file__
app = App()
stack = Stack(app, "Trial")
tier = WorkerTier(stack, "Worker", vpc=ec2.Vpc(stack, "Vpc", max_azs=2))
tier.add_periodic_task(PeriodicTask(name="tick", url="/tick", schedule="* * * * *"))
app.synth()
print(worker_tier.__version__)
"""
#: Commands that the distributions install, each of which must start.
_COMMANDS: Final = (("sqsd", "version"), ("worker-tier-bootstrap", "--help"))
_LONGEST_SECONDS: Final = 600


def oldest_cdk(requirements: Sequence[str]) -> str:
    """Return the oldest version of aws-cdk-lib that the requirements of a wheel allow.

    Raises:
        ReleaseError: they have no lower bound.
    """
    for requirement in map(Requirement, requirements):
        if requirement.name == "aws-cdk-lib":
            for bound in requirement.specifier:
                if bound.operator == ">=":
                    return bound.version
    raise ReleaseError("the wheel must require aws-cdk-lib>=OLDEST")


def try_wheels(wheels: Sequence[Path], place: Path, cdk: str) -> str:
    """Install the wheels with one version of the CDK in a new environment, and use them.

    Args:
        cdk: what pip is asked for, such as `aws-cdk-lib==2.260.0`.

    Returns: the version that the installed packages say they have.

    Raises:
        ReleaseError: a step failed; the text has the end of its output.
    """
    venv.create(place, with_pip=True)
    binaries = place / "bin"
    python = str(binaries / "python")
    wanted = [*map(str, wheels), cdk]
    quiet = ("--disable-pip-version-check", "--quiet", "--no-compile")
    _run([python, "-m", "pip", "install", *quiet, *wanted], place)
    _run([python, "-m", "pip", "check", "--disable-pip-version-check"], place)
    for name, argument in _COMMANDS:
        _run([str(binaries / name), argument], place)
    app = place / "app.py"
    app.write_text(_APP, encoding="utf-8")
    return _run([python, str(app)], place, CDK_OUTDIR=str(place / "cdk.out")).splitlines()[-1]


def _run(command: Sequence[str], place: Path, **environment: str) -> str:
    inherited: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    completed = subprocess.run(
        command,
        cwd=place,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=_LONGEST_SECONDS,
        check=False,
    )
    if completed.returncode:
        output = (completed.stdout + completed.stderr).strip().splitlines()
        raise ReleaseError("\n".join([f"{' '.join(command)} failed:", *output[-15:]]))
    return completed.stdout


def build(folder: Path, target: Path, epoch: int) -> None:
    """Build the source distribution and the wheel of a folder.

    Args:
        epoch: time of every file in them, in seconds since 1970.
    """
    command = [sys.executable, "-m", "build", "--outdir", str(target), str(folder)]
    _run(command, folder, SOURCE_DATE_EPOCH=str(epoch))


def check(files: Sequence[Path], configurations: Sequence[Path], place: Path) -> None:
    """Have twine and check-wheel-contents look at the distributions.

    Args:
        configurations: the pyproject.toml of each wheel, in the order of the wheels.

    Raises:
        ReleaseError: one of them found something; the text has it.
    """
    names = list(map(str, files))
    _run([sys.executable, "-m", "twine", "check", "--strict", *names], place)
    wheels = [name for name in names if name.endswith(".whl")]
    for wheel, configuration in zip(wheels, configurations, strict=True):
        command = [sys.executable, "-m", "check_wheel_contents", "--config", str(configuration)]
        _run([*command, wheel], place)
