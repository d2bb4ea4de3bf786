"""Boots real systems: the user data that `cdk synth` rendered, on systemd, cloud-init and nginx.

Each boot is a run of its own inside namespaces that hold its network and end with it; `inside/`
has what is asked of it. Needs root, systemd-nspawn and mmdebstrap, and takes minutes: it runs where
BOOTSTRAP_REQUIRED=1, and whatever it lacks is a failure there. Elsewhere it skips at once.

Boots are started here, BOOT_JOBS at a time, the longest first, whatever order tests are taken in;
so all tests of this file belong into one process (xdist: `--dist loadfile`, or none).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.boot import box, images, vpc
from tools.local_aws.instance import PYTHON as LOCAL_AWS_PYTHON
from tools.local_aws.instance import REPOSITORY

pytestmark = pytest.mark.boot

INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True)
class Scenario:
    """What is asked of a system.

    Args:
        full: packages are preinstalled, as in a machine image that people bake.
        seconds: about what it takes; decides only what is started first.
    """

    system: str
    suite: str
    full: bool
    seconds: int

    @property
    def image(self) -> images.Image:
        dressed = self.system == "amazon-2023"
        return images.DEBIAN_12 if dressed else images.IMAGES[self.system]

    def __str__(self) -> str:
        return f"{self.system}-{self.suite}"


SCENARIOS: Final = (
    Scenario("debian-12", "changes", True, 120),
    Scenario("debian-12", "mistakes", True, 90),
    Scenario("debian-12", "platforms", True, 80),
    Scenario("debian-12", "interrupted", False, 40),
    Scenario("debian-12", "common", False, 60),
    Scenario("amazon-2023", "common", False, 61),
    Scenario("debian-13", "common", False, 62),
    Scenario("ubuntu-24.04", "common", False, 63),
)
#: A boot's own, on a machine with much else to do.
_SECONDS: Final = 420


@dataclass
class Boots:
    """The boots of this session, each a process of its own."""

    environment: Mapping[str, str]
    started: float = field(default_factory=time.monotonic)
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(int(os.environ.get("BOOT_JOBS", "2")))
    )
    _processes: set[subprocess.Popen[str]] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self, scenario: Scenario) -> Future[tuple[int, str]]:
        """(exit code, what was said) of a scenario, in its turn."""
        return self._pool.submit(self._boot, scenario)

    def close(self) -> None:
        """End what still runs: `unshare --kill-child` takes everything inside with it."""
        self._ended.set()
        for process in list(self._processes):
            process.kill()
        self._pool.shutdown(cancel_futures=True)
        box.remove_empty_cgroups()

    def _boot(self, scenario: Scenario) -> tuple[int, str]:
        images.ensure(scenario.image)
        if self._ended.is_set():
            return -1, "the session ended before this boot began"
        started = time.monotonic()
        command = [
            *(*images.NAMESPACES, sys.executable, "-m", "pytest", "-q", "-s", "-x"),
            *("--durations=8", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=240"),
            str(INSIDE / f"{scenario.suite}.py"),
        ]
        environment = {
            **{name: value for name, value in os.environ.items() if "XDIST" not in name},
            **self.environment,
            "WORKER_TIER_BOOT_FLAVOUR": scenario.system,
            "WORKER_TIER_BOOT_FULL": "yes" if scenario.full else "",
        }
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._processes.add(process)
        try:
            said, _ = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said = process.communicate()[0] + f"\nnot ended within {_SECONDS} s"
        finally:
            self._processes.discard(process)
            box.remove_empty_cgroups()
        load = os.getloadavg()[0]
        at = started - self.started
        head = (
            f"{scenario}: {time.monotonic() - started:.0f} s, begun at {at:.0f} s, load {load:.1f}"
        )
        return process.returncode, f"{head}\n{said}"


def _require_boots() -> None:
    """Skip where boots are not asked for; fail for what is missing where they are."""
    if os.environ.get("BOOTSTRAP_REQUIRED") != "1":
        pytest.skip("boots take minutes: set BOOTSTRAP_REQUIRED=1, or run `make boot-test`")
    lacking = box.missing()
    if lacking is None and not LOCAL_AWS_PYTHON.exists():
        lacking = "the embedded AWS: run `make local-aws`"
    if lacking is not None:
        pytest.fail(f"a boot needs {lacking}", pytrace=False)


@pytest.fixture(scope="session")
def boots(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Scenario, Future[tuple[int, str]]]]:
    """Every scenario that this session asks for, begun, the longest first."""
    _require_boots()
    # Not before it is needed: the CDK takes seconds to start, also where nothing is booted.
    from tests.boot import assembly
    from worker_tier import WorkerApplication, network

    asked: list[Scenario] = [
        item.callspec.params["scenario"]  # type: ignore[misc]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_a_boot
    ]
    wanted = [scenario for scenario in asked if scenario.image in images.wanted()]
    directory = tmp_path_factory.mktemp("boot")
    (directory / "certificates").mkdir()
    vpc.make_certificates(directory / "certificates")
    application = WorkerApplication.from_asset(
        str(REPOSITORY / "examples" / "node_worker"), port=3000
    )
    images.sweep()
    boots = Boots(
        {
            "WORKER_TIER_BOOT_ASSEMBLY": str(
                assembly.synthesize(directory / "cdk.out", application)
            ),
            "WORKER_TIER_BOOT_CERTIFICATES": str(directory / "certificates"),
            "WORKER_TIER_BOOT_ENDPOINTS": " ".join(
                [
                    *(name.lower() for name in network.GATEWAYS),
                    *(s.short_name for s in network.required_interface_endpoints().values()),
                ]
            ),
        }
    )
    try:
        yield {
            scenario: boots.start(scenario)
            for scenario in sorted(wanted, key=lambda scenario: -scenario.seconds)
        }
    finally:
        boots.close()


@pytest.mark.timeout(len(SCENARIOS) * _SECONDS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_a_boot(scenario: Scenario, boots: dict[Scenario, Future[tuple[int, str]]]) -> None:
    if scenario not in boots:
        pytest.skip(f"BOOTSTRAP_WITHOUT={os.environ['BOOTSTRAP_WITHOUT']} gives it up")
    code, said = boots[scenario].result()
    print(said)
    assert code == 0, said[-12_000:]
