"""Boots real systems: the user data that `cdk synth` rendered, on systemd, cloud-init and nginx.

Each boot is a separate pytest run of a suite in `inside/`, within namespaces that hold its network
and end with it. It needs root, systemd-nspawn and mmdebstrap, and takes minutes: it runs where
BOOTSTRAP_REQUIRED=1, and a missing tool is a failure there. Elsewhere it skips at once.

Boots are started here, BOOT_JOBS at a time, the longest first, in whatever order pytest takes the
tests; so all tests of this file belong into one process (xdist: `--dist loadfile`, or none).
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
from worker_tier_bootstrap.systems import SYSTEMS

pytestmark = pytest.mark.boot

INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True)
class Scenario:
    """A suite of `inside/`, run on one system.

    Args:
        system: key of the system in `SYSTEMS`.
        suite: name of a module of `inside/`.
        full: whether packages are preinstalled, as in a machine image that people bake.
        seconds: approximate duration; decides only what is started first.
    """

    system: str
    suite: str
    full: bool
    seconds: int

    @property
    def image(self) -> images.Image:
        return images.image_of(self.system)

    def __str__(self) -> str:
        return f"{self.system}-{self.suite}"


SCENARIOS: Final = (
    Scenario("debian-12", "changes", True, 120),
    Scenario("debian-12", "mistakes", True, 90),
    Scenario("debian-12", "platforms", True, 80),
    Scenario("debian-12", "interrupted", False, 40),
    *(Scenario(system, "common", False, 60) for system in SYSTEMS),
)
#: Time limit of a boot on a busy machine, in seconds.
_SECONDS: Final = 420


@dataclass
class Boots:
    """The boots of this session, each in its own process."""

    environment: Mapping[str, str]
    started: float = field(default_factory=time.monotonic)
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(int(os.environ.get("BOOT_JOBS", "2")))
    )
    _processes: set[subprocess.Popen[str]] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self, scenario: Scenario) -> Future[tuple[int, str]]:
        """Queue a scenario; the result is its exit code and its output."""
        return self._pool.submit(self._boot, scenario)

    def close(self) -> None:
        """End the boots that still run: `unshare --kill-child` ends everything inside too."""
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
            "WORKER_TIER_BOOT_SYSTEM": scenario.system,
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
    """Skip unless boots are required; fail if they are and something is missing."""
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
    """Start every scenario that this session has selected, the longest first."""
    _require_boots()
    # Imported late, for the CDK takes seconds to start, also where nothing is booted.
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
        pytest.skip(f"BOOTSTRAP_WITHOUT={os.environ['BOOTSTRAP_WITHOUT']} leaves it out")
    code, said = boots[scenario].result()
    print(said)
    assert code == 0, said[-12_000:]
