"""The wheels, installed where nothing of this repository is, are enough for an app of yours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from worker_tier.application.daemon_asset import daemon_archive

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.cdk, pytest.mark.timeout(240)]

APP = """
import worker_tier, sqsd, sys
from aws_cdk import App, Stack, aws_ec2 as ec2
from worker_tier import PeriodicTask, WorkerTier

for package in (worker_tier, sqsd):
    assert package.__file__.startswith(sys.prefix), package.__file__
app = App()
stack = Stack(app, "Elsewhere")
tier = WorkerTier(stack, "Worker", vpc=ec2.Vpc(stack, "Vpc", max_azs=2))
tier.add_periodic_task(PeriodicTask(name="tick", url="/tick", schedule="* * * * *"))
assert tier.daemon_asset is not None
app.synth()
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    # nothing of the repository by way of the environment
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    completed = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=cwd, env=inherited | environment
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the two wheels; what they need comes from this one, without a network."""
    directory = tmp_path_factory.mktemp("elsewhere")
    wheels = directory / "wheels"
    for project in (ROOT / "daemon", ROOT):
        # A copy, for a build leaves files beside its source.
        source = directory / f"source-{project.name}"
        names = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "src", "worker_tier")
        source.mkdir()
        for name in names:
            if (project / name).exists():
                run("cp", "-r", project / name, source / name, cwd=directory)
        build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", wheels)
        run(sys.executable, *build, source, cwd=directory)
    place = directory / "venv"
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    (target,) = place.glob("lib/python*/site-packages")
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target)
    run(sys.executable, *install, *sorted(wheels.glob("*.whl")), cwd=directory)
    # Their dependencies by path, after the installed wheels; editable installs are not followed,
    # for a path file's own lines are not read there.
    (target / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    assert run(python, "-c", "import worker_tier; print(worker_tier.__file__)", cwd=directory)
    return place


def test_an_app_elsewhere_synthesizes_and_finds_the_daemon(
    environment: Path, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)
    run(environment / "bin" / "python", "app.py", cwd=tmp_path, CDK_OUTDIR=str(tmp_path / "out"))
    assets = json.loads((tmp_path / "out" / "Elsewhere.assets.json").read_text())
    (file,) = [
        asset["source"]["path"]
        for asset in assets["files"].values()
        if asset["source"]["path"].endswith(".zip")
    ]
    assert (tmp_path / "out" / file).stat().st_size > 1_000_000


def test_the_wheel_brings_what_instances_get_and_takes_nothing_of_the_machine(
    environment: Path, tmp_path: Path
) -> None:
    # given a machine whose other packages are of other versions, or are not there
    program = """
from worker_tier.application import daemon_asset
from worker_tier_bootstrap import bundle
bundle.distribution = bundle.find_spec = None
assert daemon_asset.daemon_archive().content == daemon_asset.BUILT.read_bytes()
print(daemon_asset.daemon_archive().sha256)
"""
    python = environment / "bin" / "python"
    assert run(python, "-c", program, cwd=tmp_path).strip() == daemon_archive().sha256


def test_a_template_can_be_written_elsewhere(environment: Path, tmp_path: Path) -> None:
    python = environment / "bin" / "python"
    run(python, "-m", "worker_tier.standalone", "--out", tmp_path, cwd=tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".zip"}


def test_the_wheel_says_that_it_is_typed(environment: Path) -> None:
    # `make check` runs mypy --strict over the examples, which are apps of users
    assert list(environment.glob("lib/python*/site-packages/worker_tier/py.typed"))
