"""Boots real systems: the user data that `cdk synth` rendered, on systemd, cloud-init and nginx.

Each boot is a run of its own inside namespaces that hold its network and end with it; `inside/`
has what is asked of it. Needs root, systemd-nspawn and mmdebstrap; elsewhere this skips with the
reason, and with BOOTSTRAP_REQUIRED=1 it fails instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_aws.instance import PYTHON as LOCAL_AWS_PYTHON
from local_aws.instance import REPOSITORY
from tests.bootstrap import box, images, stack
from worker_tier import WorkerApplication

INSIDE = Path(__file__).parent / "inside"
#: (system, what is asked of it); the longest first, so that two at a time end together.
BOOTS = [
    ("debian-12", "mistakes"),
    ("debian-12", "changes"),
    ("debian-12", "platforms"),
    ("amazon-2023", "common"),
    ("debian-12", "common"),
    ("debian-13", "common"),
    ("ubuntu-24.04", "common"),
]
_IMAGES = {
    "amazon-2023": images.DEBIAN_12,
    "debian-12": images.DEBIAN_12,
    "debian-13": images.DEBIAN_13,
    "ubuntu-24.04": images.UBUNTU_24_04,
}
_REQUIRED = os.environ.get("BOOTSTRAP_REQUIRED") == "1"
#: A boot's own, and the building of its image, once a week.
_SECONDS = 420


def require(reason: str | None) -> None:
    """Go on without a reason; with one, fail where boots are required, and skip elsewhere."""
    if reason is None:
        return
    message = f"a boot needs {reason}"
    if _REQUIRED:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample application on port 3000 behind a tier, as `cdk synth` writes it."""
    require(box.missing())
    require(None if LOCAL_AWS_PYTHON.exists() else "the embedded AWS: run `make local-aws`")
    application = WorkerApplication.from_asset(
        str(REPOSITORY / "examples" / "node_worker"), port=3000
    )
    return stack.synthesize(tmp_path_factory.mktemp("boot") / "cdk.out", application)


@pytest.mark.long
@pytest.mark.timeout(2 * _SECONDS)
@pytest.mark.parametrize(("system", "suite"), BOOTS, ids=str)
def test_a_boot(system: str, suite: str, assembly: Path) -> None:
    image = _IMAGES[system]
    if not images.is_built(image) and not images.mirror_answers(image):
        # Nobody promises that another distribution's mirror is reachable from here.
        reason = f"the mirror {image.mirror}, which does not answer"
        if image is images.DEBIAN_12:
            require(reason)
        pytest.skip(f"a boot needs {reason}")
    images.ensure(image)
    started = time.monotonic()
    command = [
        *(*box.NAMESPACES, sys.executable, "-m", "pytest", "-q", "-s", "-x", "--durations=5"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=240"),
        str(INSIDE / f"{suite}.py"),
    ]
    environment = {
        **os.environ,
        "WORKER_TIER_BOOT_FLAVOUR": system,
        "WORKER_TIER_BOOT_ASSEMBLY": str(assembly),
    }
    completed = subprocess.run(
        command,
        cwd=REPOSITORY,
        env={name: value for name, value in environment.items() if "XDIST" not in name},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    box.remove_empty_cgroups()
    print(f"{system}, {suite}: {time.monotonic() - started:.0f} s\n{completed.stdout}")
    assert completed.returncode == 0, completed.stdout[-12_000:] + completed.stderr[-2_000:]
