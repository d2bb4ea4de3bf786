"""The fixture of a boot, made inside the namespaces that `test_boot.py` enters."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import amazon, box, images, stack
from tests.boot.scene import Scene
from tests.boot.vpc import Vpc
from tools.local_aws import LocalAws
from tools.local_aws.instance import CACHE

#: Key of the system to boot in `SYSTEMS`.
SYSTEM = os.environ.get("WORKER_TIER_BOOT_SYSTEM", "")
#: Directory of the disks. Not below /tmp, which may be memory: a disk has hundreds of megabytes.
DISKS = CACHE / "bootstrap"


def _sweep() -> None:
    """Remove the disks of runs that were killed; no run takes an hour."""
    for stale in DISKS.glob("boot-*"):
        if time.time() - stale.stat().st_mtime > 3_600:
            shutil.rmtree(stale, ignore_errors=True)


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    """A VPC, a deployed stack, and an instance that is not booted yet."""
    image = images.image_of(SYSTEM)
    base = image.full if os.environ.get("WORKER_TIER_BOOT_FULL") else image.base
    box.make_network()
    group = box.OwnCgroup()
    DISKS.mkdir(parents=True, exist_ok=True)
    _sweep()
    work = Path(tempfile.mkdtemp(prefix="boot-", dir=DISKS))
    (work / "aws").mkdir()
    try:
        with images.held(image), LocalAws(directory=work / "aws") as aws:
            deployed = stack.deploy(aws, Path(os.environ["WORKER_TIER_BOOT_ASSEMBLY"]))
            certificates = Path(os.environ["WORKER_TIER_BOOT_CERTIFICATES"])
            vpc = Vpc(certificates, f"http://127.0.0.1:{aws.port}")
            vpc.user_data = deployed.user_data
            vpc.repository = image.repository
            instance = box.Box(base, vpc, work)
            instance.fresh()
            if SYSTEM in images.DRESSED:
                amazon.dress(instance.root)
            try:
                yield Scene(aws, vpc, instance, deployed)
                # In a network without internet, an instance reaches no other service.
                assert vpc.services() <= set(os.environ["WORKER_TIER_BOOT_ENDPOINTS"].split())
            finally:
                instance.kill()
                instance.discard()
                vpc.close()
    finally:
        group.close()
        shutil.rmtree(work, ignore_errors=True)
