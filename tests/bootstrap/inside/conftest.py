"""The scene of a boot, made inside the namespaces that `test_boot.py` enters."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws import LocalAws
from tests.bootstrap import amazon, box, images, stack
from tests.bootstrap.scene import Scene
from tests.bootstrap.vpc import Vpc

FLAVOUR = os.environ.get("WORKER_TIER_BOOT_FLAVOUR", "")
IMAGES = {image.name: image for image in (images.DEBIAN_12, images.DEBIAN_13, images.UBUNTU_24_04)}


def _sweep() -> None:
    """Remove the disks of runs that were killed; none lives for an hour."""
    for stale in images.IMAGES.glob("boot-*"):
        if time.time() - stale.stat().st_mtime > 3_600:
            shutil.rmtree(stale, ignore_errors=True)


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    """A VPC, a deployed stack, and an instance that is not switched on yet."""
    image = images.DEBIAN_12 if FLAVOUR == "amazon-2023" else IMAGES[FLAVOUR]
    box.make_network()
    group = box.OwnCgroup()
    _sweep()
    # Not below /tmp, which may be memory: an overlay's upper layer holds hundreds of megabytes.
    work = Path(tempfile.mkdtemp(prefix="boot-", dir=images.IMAGES))
    for name in ("aws", "vpc"):
        (work / name).mkdir()
    try:
        with LocalAws(directory=work / "aws") as aws:
            deployed = stack.deploy(aws, Path(os.environ["WORKER_TIER_BOOT_ASSEMBLY"]))
            vpc = Vpc(work / "vpc", f"http://127.0.0.1:{aws.port}")
            vpc.user_data, vpc.repository = deployed.user_data, image.repository
            instance = box.Box(image, vpc, work)
            instance.fresh()
            if FLAVOUR == "amazon-2023":
                amazon.dress(instance.root)
            try:
                yield Scene(aws, vpc, instance, deployed)
            finally:
                instance.kill()
                instance.discard()
                vpc.close()
    finally:
        group.close()
        shutil.rmtree(work, ignore_errors=True)
