"""The wheels, installed where nothing of this repository is, are enough for an app of yours.

They bring their types, too: a type checker sees every prop, and every mistake in one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

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
assert "fifo: Whether the new queues are FIFO queues" in WorkerTier.__doc__
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


# ---- the types of the wheels

TYPED_APP = """
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam

from worker_tier import PeriodicTask, WorkerApplication, WorkerCapacity, WorkerScaling, WorkerTier

stack = Stack(App(), "Mine")
network = ec2.Vpc.from_lookup(stack, "Vpc", is_default=True)
tier = WorkerTier(
    stack,
    "Worker",
    vpc=network,
    application=WorkerApplication.from_asset("app", port=3000),
    capacity=WorkerCapacity.spot([ec2.InstanceType("t4g.small")]),
    scaling=WorkerScaling.target_latency(Duration.minutes(1), Duration.seconds(2)),
    inactivity_timeout=Duration.seconds(60),
    metrics_namespace=None,
)
tier.add_periodic_task(PeriodicTask(name="tick", url="/tick", schedule="* * * * *"))
tier.grant_send_messages(iam.Role.from_role_name(stack, "Role", "mine"))
url: str = tier.queue.queue_url
seconds: int = tier.options.visibility_timeout
WorkerTier.from_option_settings(stack, "Moved", {}, http_port=8080)
"""
#: Mistake -> a pattern of what each type checker calls it.
MISTAKES = {
    'WorkerTier(stack, "1", vpc=network, http_port="80")': r'"(http_port|str)"',
    'WorkerTier(stack, "2", vpc=network, visibility_timout=None)': '"visibility_timout"',
    'WorkerTier(stack, "3", fifo=True)': '"vpc"',
    'WorkerTier.from_option_settings(stack, "4", {}, fifo="yes")': r'"(fifo|str)"',
    'WorkerTier.from_option_settings(stack, "5", {}, fifi=True)': '"fifi"',
    "tier.options.visibility_timout": '"visibility_timout"',
}
#: Mistakes in types of the CDK's, which only a checker that reads the CDK can see.
CDK_MISTAKES = {
    'WorkerTier(stack, "6", vpc="vpc-1")': r'"(vpc|str)"',
    'WorkerTier(stack, "7", vpc=network, visibility_timeout=300)': r'"(visibility_timeout|int)"',
}
#: Packages that are replaced for mypy, which needs a minute to read the types of the CDK. `make
#: check` checks the examples, which are apps of users too, with the real ones.
CDK: Final = ("aws_cdk", "constructs", "jsii")
ANYTHING = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"


def assert_seen(found: dict[int, str], mistakes: dict[str, str]) -> None:
    """Compare what a checker found, by line, with the mistakes below `TYPED_APP`."""
    first = len(TYPED_APP.splitlines()) + 1
    assert found.keys() == set(range(first, first + len(mistakes))), found
    for (mistake, pattern), (_, message) in zip(
        mistakes.items(), sorted(found.items()), strict=True
    ):
        assert re.search(pattern, message), (mistake, message)


def test_mypy_sees_every_prop_of_the_wheels_and_every_mistake(
    environment: Path, tmp_path: Path
) -> None:
    for package in CDK:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.pyi").write_text(ANYTHING)
    (tmp_path / "app.py").write_text(TYPED_APP + "\n".join(MISTAKES))
    completed = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-pretty"),
            *("--no-incremental", "--cache-dir", os.devnull),
            *("--python-executable", environment / "bin" / "python", "app.py"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(tmp_path)},
    )
    found = re.findall(r"^app\.py:(\d+): error: (.*)$", completed.stdout, flags=re.MULTILINE)
    assert_seen({int(line): message for line, message in found}, MISTAKES)


def test_pyright_sees_every_prop_of_the_wheels_and_every_mistake(
    environment: Path, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    mistakes = MISTAKES | CDK_MISTAKES
    (tmp_path / "app.py").write_text(TYPED_APP + "\n".join(mistakes))
    completed = subprocess.run(
        [
            *(require_tool("pyright"), "--outputjson"),
            *("--pythonpath", environment / "bin" / "python", "app.py"),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    report: dict[str, Any] = json.loads(completed.stdout)
    errors = [e for e in report["generalDiagnostics"] if e["severity"] == "error"]
    found = {e["range"]["start"]["line"] + 1: e["message"] for e in errors}
    assert_seen(found, mistakes)


def test_the_wheel_says_that_it_is_typed(environment: Path) -> None:
    # `make check` runs mypy --strict over the examples, which are apps of users
    assert list(environment.glob("lib/python*/site-packages/worker_tier/py.typed"))
