"""The tier that instances boot for, synthesized by the CDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2

from tests.boot.stack import STACK
from worker_tier import WorkerApplication, WorkerTier

DRAIN_SECONDS: Final = 20


def synthesize(directory: Path, application: WorkerApplication, **props: Any) -> Path:
    """Write a version's assembly into `directory`; its path."""
    app = App(outdir=str(directory))
    stack = Stack(app, STACK)
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0a1b2c3d4e5f60718",
        availability_zones=["us-east-1a", "us-east-1b"],
        private_subnet_ids=["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
    )
    WorkerTier(
        stack,
        "Worker",
        vpc=vpc,
        application=application,
        **{
            "drain_timeout": Duration.seconds(DRAIN_SECONDS),
            "error_visibility_timeout": Duration.seconds(2),
            # A receive on an empty queue is what readiness waits for.
            "wait_time_seconds": 1,
            **props,
        },
    )
    app.synth()
    return directory
