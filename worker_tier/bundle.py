"""The daemon's bundle as an asset: from this machine into a bucket that instances read."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from aws_cdk import Stage
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from worker_tier.assets import daemon_archive


def pack_daemon(scope: Construct) -> s3_assets.Asset:
    """Pack the daemon and let the CDK upload it.

    Raises:
        PackagingError: the daemon, or something it imports, is not installed.
    """
    # Beside the CDK's own copy, for `cdk synth --no-staging` refers to the file where it is: it
    # must not vanish with this process.
    archive = daemon_archive()
    outdir = cast(Stage, Stage.of(scope)).asset_outdir
    path = Path(outdir, f"worker-tier-daemon.{archive.sha256[:16]}.zip")
    path.write_bytes(archive.content)
    return s3_assets.Asset(scope, "Daemon", path=str(path))


def location_of(asset: s3_assets.Asset | None) -> s3.Location:
    """Where instances find an asset."""
    assert asset is not None
    return s3.Location(bucket_name=asset.s3_bucket_name, object_key=asset.s3_object_key)
