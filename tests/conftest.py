"""Fixtures of every suite. No test sees the user's AWS set-up, and none reaches the real AWS."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
# Before anyone imports aws_cdk: its template check takes seconds a process; `make synth` has it.
os.environ["CDK_VALIDATION"] = "false"
os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "20"

# ruff: noqa: E402 - after the environment is clean
from tools.local_aws import LocalAws
from tools.local_aws.instance import PYTHON as LOCAL_AWS_PYTHON
from tools.local_aws.instance import REPOSITORY

#: Programs that `npm ci` installs.
NODE_PROGRAMS = REPOSITORY / "node_modules" / ".bin"

#: The files that take longest, by the seconds they took. They start first; else the last of them
#: would run alone at the end.
LONGEST = (
    "scenarios/test_outcomes.py",
    "scenarios/test_periodic_tasks.py",
    "worker_tier/test_scanners.py",
    "scenarios/test_bad_input.py",
    "tools/demo/test_bad_input.py",
    "tools/demo/test_demo.py",
    "worker_tier/test_deploy.py",
    "scenarios/test_chaos.py",
    "daemon/test_faults_process.py",
    "daemon/observe/test_status_server_process.py",
    "worker_tier/test_wheel.py",
    "scenarios/test_several_queues.py",
    "daemon/cron/test_scheduler_fleet.py",
    "daemon/cron/test_table_log.py",
    "scenarios/test_operator.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and leave the order of everything else."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def _missing(what: str, hint: str) -> None:
    """In CI a test that cannot run is a failure: a green run must mean that everything ran."""
    message = f"this test needs {what}, which is not here; {hint}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def require_tool() -> Callable[[str], Path]:
    """A function that finds a program, or fails in CI and skips elsewhere.

    Programs of the environments that run the tests come first: Python's, then Node's.
    """
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), str(NODE_PROGRAMS), os.environ["PATH"]]
    )

    def require(name: str) -> Path:
        found = shutil.which(name, path=path)
        if found is None:
            _missing(name, f"install {name} and put it on PATH")
        assert found is not None
        return Path(found)

    return require


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An embedded AWS account, one per test process; what a test leaves stays (see `fresh_aws`)."""
    if not LOCAL_AWS_PYTHON.exists():
        _missing("the embedded AWS", "run `make local-aws`")
    with LocalAws(directory=tmp_path_factory.mktemp("local-aws")) as aws:
        yield aws


@pytest.fixture
def fresh_aws(local_aws: LocalAws) -> LocalAws:
    """The embedded AWS account, emptied before the test."""
    local_aws.reset()
    return local_aws
