"""A template for people without the CDK, and the archive it needs: two files, no bootstrap.

    python -m worker_tier.standalone --out DIRECTORY [--cron cron.yaml] [--min 1] [--max 4] ...

The network and the place of the archive are parameters; all else is settled when the template is
written. It can be deployed under any name, in any region and partition: docs/stack.md tells how.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from aws_cdk import App, CfnOutput, CfnParameter, DefaultStackSynthesizer, Duration, Stack, Token
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3

from worker_tier.assets import daemon_archive
from worker_tier.capacity import DEFAULT_INSTANCE_TYPE
from worker_tier.errors import InvalidProps, PackagingError
from worker_tier.tier import WorkerTier

TEMPLATE_NAME = "worker-tier.template.json"
_STACK = "WorkerTier"


def bundle_name() -> str:
    """The archive's file name, and its key's default; another daemon has another name."""
    return f"worker-tier-daemon.{daemon_archive().sha256[:16]}.zip"


class StandaloneStack(Stack):
    """A worker tier in a network that exists, from an archive that was uploaded by hand.

    Args:
        props: of `WorkerTier`, but for its network and `daemon_location`.
    """

    def __init__(self, scope: App, id: str, props: dict[str, Any]) -> None:
        super().__init__(
            scope,
            id,
            description="A worker tier: SQS to the web application on each instance, by sqsd",
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
            analytics_reporting=False,
        )
        vpc = self._parameter("VpcId", "AWS::EC2::VPC::Id", "Network of the instances.")
        subnets = self._parameter(
            "SubnetIds",
            "List<AWS::EC2::Subnet::Id>",
            "Subnets of the instances, in two zones or more, with a way out or with endpoints.",
        )
        bucket = self._parameter(
            "BundleBucket", "String", "Bucket of the stack's region that holds the archive."
        )
        key = self._parameter(
            "BundleKey", "String", "The archive's key in it.", default=bundle_name()
        )
        self.tier = WorkerTier(
            self,
            "Worker",
            # Zones and subnets are asked for at synth and replaced by the parameter below.
            vpc=ec2.Vpc.from_vpc_attributes(
                self,
                "Vpc",
                vpc_id=vpc.value_as_string,
                availability_zones=["zone"],
                private_subnet_ids=["subnet"],
            ),
            daemon_location=s3.Location(
                bucket_name=bucket.value_as_string, object_key=key.value_as_string
            ),
            **props,
        )
        group = cast(
            autoscaling.CfnAutoScalingGroup, self.tier.auto_scaling_group.node.default_child
        )
        group.vpc_zone_identifier = subnets.value_as_list
        self._outputs()

    def _parameter(
        self, name: str, kind: str, description: str, default: str | None = None
    ) -> CfnParameter:
        return CfnParameter(self, name, type=kind, description=description, default=default)

    def _outputs(self) -> None:
        dead_letters = self.tier.queues.dead_letter_queue
        outputs = {
            "QueueUrl": self.tier.queue.queue_url,
            "DeadLetterQueueUrl": None if dead_letters is None else dead_letters.queue_url,
            "AutoScalingGroupName": self.tier.auto_scaling_group.auto_scaling_group_name,
            "LaunchTemplateId": Token.as_string(self.tier.launch_template.launch_template_id),
            "LogGroupName": self.tier.log_group.log_group_name,
        }
        for name, value in outputs.items():
            if value is not None:
                CfnOutput(self, name, value=value)


def template(**props: Any) -> dict[str, Any]:
    """The template, for props of `WorkerTier` but for its network and `daemon_location`.

    Raises:
        InvalidProps: with every problem found.
        PackagingError: the daemon is not installed.
    """
    with TemporaryDirectory() as directory:
        # No paths of this machine's constructs in somebody else's stack.
        app = App(outdir=directory, context={"aws:cdk:disable-asset-staging": True})
        app.node.set_context("aws:cdk:enable-path-metadata", False)
        StandaloneStack(app, _STACK, props)
        path = Path(app.synth().directory, f"{_STACK}.template.json")
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def write(directory: Path, **props: Any) -> tuple[Path, Path]:
    """Write template and archive into a directory; gives their paths."""
    document = template(**props)
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / TEMPLATE_NAME, directory / bundle_name()
    paths[0].write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    paths[1].write_bytes(daemon_archive().content)
    return paths


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m worker_tier.standalone",
        description="Write a worker tier's CloudFormation template and the archive it needs.",
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("dist/template"), help="directory (%(default)s)")
    add("--cron", help="path of a cron.yaml, for periodic tasks")
    add("--min", type=int, default=1, help="least instances (%(default)s)")
    add("--max", type=int, default=4, help="most instances (%(default)s)")
    add("--instance-type", default=DEFAULT_INSTANCE_TYPE, help="(%(default)s)")
    add("--http-port", type=int, default=80, help="where the application listens (%(default)s)")
    add("--http-connections", type=int, default=50, help="POSTs at a time (%(default)s)")
    add("--visibility-timeout", type=int, default=300, metavar="SECONDS", help="(%(default)s)")
    add("--inactivity-timeout", type=int, default=299, metavar="SECONDS", help="(%(default)s)")
    add("--fifo", action="store_true", help="a FIFO queue")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; a mistake ends with its description, not with a traceback."""
    given = _arguments(arguments)
    try:
        written, archive = write(
            given.out,
            periodic_tasks=given.cron,
            min_capacity=given.min,
            max_capacity=given.max,
            instance_type=ec2.InstanceType(given.instance_type),
            http_port=given.http_port,
            http_connections=given.http_connections,
            visibility_timeout=Duration.seconds(given.visibility_timeout),
            inactivity_timeout=Duration.seconds(given.inactivity_timeout),
            fifo=given.fifo or None,
        )
    except (InvalidProps, PackagingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{written}\n{archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
