"""The daemon's bundle as an asset, which the CDK uploads to a bucket that instances read."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final, cast

from aws_cdk import Stage
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from worker_tier_bootstrap.bundle import Archive, build_archive

#: Path of the daemon's bundle in an installed wheel; a checkout has none.
BUILT: Final = Path(__file__).resolve().parents[1] / "_bundle" / "daemon.zip"


@cache
def daemon_archive() -> Archive:
    """Return the daemon's bundle, about 5 MB.

    An installed wheel contains it. A checkout builds it once per process from the installed
    packages, which must be the pinned ones: this repository decides what instances run, not the
    machine that synthesizes.

    Raises:
        PackagingError: the daemon or a distribution it needs is not installed, not in full, or not
            as pinned.
    """
    if BUILT.is_file():
        content = BUILT.read_bytes()
        return Archive(content=content, sha256=hashlib.sha256(content).hexdigest())
    return build_archive()


def pack_daemon(scope: Construct) -> s3_assets.Asset:
    """Write the daemon's bundle and let the CDK upload it.

    Raises:
        PackagingError: the daemon or a distribution it needs is not installed, not in full, or not
            as pinned.
    """
    # In the output directory, because `cdk synth --no-staging` refers to the file itself: it must
    # exist after this process has ended.
    archive = daemon_archive()
    outdir = cast(Stage, Stage.of(scope)).asset_outdir
    path = Path(outdir, f"worker-tier-daemon.{archive.sha256[:16]}.zip")
    path.write_bytes(archive.content)
    return s3_assets.Asset(scope, "Daemon", path=str(path))


def location_of(asset: s3_assets.Asset | None) -> s3.Location:
    """Return the location from which instances fetch an asset."""
    assert asset is not None
    return s3.Location(bucket_name=asset.s3_bucket_name, object_key=asset.s3_object_key)
