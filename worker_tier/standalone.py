"""A template for people without the CDK, and the archives it needs: no bootstrap.

    python -m worker_tier.standalone --application DIRECTORY --out DIRECTORY [--min 1] [--max 4] ...

The network, the image and the places of the archives are parameters; all else is decided when the
template is written. It can be deployed under any name, in any region and partition;
docs/guide/deploy.md has the steps. Without an application a parameter asks for an image that has
one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack, cast

import jsii
from aws_cdk import (
    App,
    CfnOutput,
    CfnParameter,
    DefaultStackSynthesizer,
    Duration,
    Stack,
    Token,
)
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk.cx_api import CloudFormationStackArtifact
from constructs import Construct

from worker_tier.application.application import WorkerApplication
from worker_tier.application.daemon_asset import daemon_archive
from worker_tier.errors import InvalidApplication, InvalidProps
from worker_tier.fleet.capacity import DEFAULT_INSTANCE_TYPE
from worker_tier.fleet.machine_image import WorkerMachineImage
from worker_tier.props import (
    EncryptionProps,
    MonitoringProps,
    PeriodicTaskProps,
    QueueProps,
    RemovalProps,
    ScalingProps,
    SqsdProps,
)
from worker_tier.tier import WorkerTier
from worker_tier_bootstrap.contract import S3Object
from worker_tier_bootstrap.errors import PackagingError

TEMPLATE_NAME = "worker-tier.template.json"
_STACK = "WorkerTier"
#: Where the messages of synth about the tier itself are.
_TIER_PATH = f"/{_STACK}/Worker"
_IMAGE_PARAMETER = (
    "Name of the parameter (Parameter Store) that holds the image's id: for the instance type's"
    " processor, made from Amazon Linux 2023."
)


def bundle_name() -> str:
    """Return the file name of the daemon's archive; another daemon has another name."""
    return f"worker-tier-daemon.{daemon_archive().sha256[:16]}.zip"


def application_name(application: WorkerApplication) -> str:
    """Return the file name of an application's archive; other content has another name."""
    assert application.bundle is not None
    return application.bundle.file_name


class StandaloneProps(
    QueueProps,
    RemovalProps,
    EncryptionProps,
    SqsdProps,
    PeriodicTaskProps,
    ScalingProps,
    MonitoringProps,
    total=False,
):
    """The props of `WorkerTier` that a template leaves open."""

    instance_type: ec2.InstanceType | None


class StandaloneStack(Stack):
    """A worker tier in a network that exists, from archives that were uploaded by hand.

    Args:
        application: a directory (`WorkerApplication.from_asset`), or None if the image has one.
        props: those of `WorkerTier` that the template leaves open.
    """

    def __init__(
        self, scope: App, id: str, application: WorkerApplication | None, props: StandaloneProps
    ) -> None:
        super().__init__(
            scope,
            id,
            description="A worker tier: SQS to the web application on each instance, by sqsd",
            synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
            analytics_reporting=False,
        )
        network = self._network()
        subnets = self._parameter(
            "SubnetIds",
            "List<AWS::EC2::Subnet::Id>",
            "Subnets of the instances, in two zones or more, with a way out or with endpoints.",
        )
        self._bucket = self._parameter(
            "BundleBucket", "String", "Bucket of the stack's region that holds the archives."
        )
        self._prefix = self._parameter(
            "BundlePrefix",
            "String",
            "What their keys begin with, such as worker-tier/.",
            default="",
        )
        self._prefix.allowed_pattern = "(.*/)?"
        self.tier = WorkerTier(
            self,
            "Worker",
            vpc=network,
            daemon_location=self._location(bundle_name()),
            application=self._installed(application),
            machine_image=self._image() if application is None else None,
            **props,
        )
        group = self.tier.auto_scaling_group.node.default_child
        cast(autoscaling.CfnAutoScalingGroup, group).vpc_zone_identifier = subnets.value_as_list
        self._name_image_parameter()
        self._outputs()

    def _network(self) -> ec2.IVpc:
        """Return the network of a parameter.

        The CDK asks for zones and subnets at synth; another parameter replaces them.
        """
        vpc = self._parameter("VpcId", "AWS::EC2::VPC::Id", "Network of the instances.")
        return ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=vpc.value_as_string,
            availability_zones=["zone"],
            private_subnet_ids=["subnet"],
        )

    def _location(self, name: str) -> s3.Location:
        """Return where an archive is uploaded to.

        The template has its name, not a parameter: an update reuses the old value of a parameter,
        and so would combine the old archive with a new template's hash.
        """
        key = f"{self._prefix.value_as_string}{name}"
        return s3.Location(bucket_name=self._bucket.value_as_string, object_key=key)

    def _installed(self, application: WorkerApplication | None) -> WorkerApplication:
        if application is None:
            return WorkerApplication.external()
        location = self._location(application_name(application))
        return _Uploaded(**vars(application), location=location)

    def _image(self) -> WorkerMachineImage:
        """Return the image that a parameter names, which has the application on it."""
        own = self._parameter(
            "ImageId",
            "AWS::EC2::Image::Id",
            "Image for the instance type's processor, made from Amazon Linux 2023, with your"
            " application on it, listening on the port.",
        )
        return replace(
            WorkerMachineImage.amazon_linux_2023(),
            image=lambda kind: _Image(own.value_as_string),
        )

    def _name_image_parameter(self) -> None:
        """Give the CDK's own parameter of the newest image a name that people can type."""
        for child in self.node.children:
            if isinstance(child, CfnParameter) and child.type.startswith("AWS::SSM::"):
                child.override_logical_id("ImageParameter")
                child.description = _IMAGE_PARAMETER

    def _parameter(
        self, name: str, kind: str, description: str, default: str | None = None
    ) -> CfnParameter:
        return CfnParameter(self, name, type=kind, description=description, default=default)

    def _outputs(self) -> None:
        dead_letters, table = self.tier.queues.dead_letter_queue, self.tier.leader_table
        outputs = {
            "QueueUrl": self.tier.queue.queue_url,
            "DeadLetterQueueUrl": None if dead_letters is None else dead_letters.queue_url,
            "AutoScalingGroupName": self.tier.auto_scaling_group.auto_scaling_group_name,
            "LaunchTemplateId": Token.as_string(self.tier.launch_template.launch_template_id),
            "LeaderTableName": None if table is None else table.table.table_name,
            "LogGroupName": self.tier.log_group.log_group_name,
        }
        for name, value in outputs.items():
            if value is not None:
                CfnOutput(self, name, value=value)


@jsii.implements(ec2.IMachineImage)
class _Image:
    """An image by its id."""

    def __init__(self, image_id: str) -> None:
        self._image_id = image_id

    def get_image(self, scope: Construct) -> ec2.MachineImageConfig:
        """Return what the launch template needs."""
        return ec2.MachineImageConfig(
            image_id=self._image_id,
            os_type=ec2.OperatingSystemType.LINUX,
            user_data=ec2.UserData.for_linux(),
        )


@dataclass(frozen=True, kw_only=True)
class _Uploaded(WorkerApplication):
    """An application whose archive is uploaded by hand."""

    location: s3.Location

    def _upload(self, scope: Construct, grantee: iam.IGrantable) -> S3Object:
        bucket, key = self.location.bucket_name, self.location.object_key
        arn = Stack.of(scope).format_arn(
            service="s3", region="", account="", resource=bucket, resource_name=key
        )
        iam.Grant.add_to_principal(grantee=grantee, actions=["s3:GetObject"], resource_arns=[arn])
        assert self.bundle is not None
        return S3Object(bucket=bucket, key=key, sha256=self.bundle.packed.sha256)


def template(
    application: WorkerApplication | None = None, /, **props: Unpack[StandaloneProps]
) -> dict[str, Any]:
    """Return the template of an application, and of the props that it leaves open.

    Raises:
        InvalidProps, InvalidApplication: with every problem found.
        PackagingError: the daemon is not installed.
    """
    with TemporaryDirectory() as directory:
        # The template must not contain construct paths of this app.
        app = App(outdir=directory, context={"aws:cdk:disable-asset-staging": True})
        app.node.set_context("aws:cdk:enable-path-metadata", False)
        StandaloneStack(app, _STACK, application, props)
        assembly = app.synth()
        _print_messages(assembly.get_stack_by_name(_STACK))
        path = Path(assembly.directory, f"{_STACK}.template.json")
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _print_messages(stack: CloudFormationStackArtifact) -> None:
    """Print what `cdk synth` would: the platform that was chosen, and each warning."""
    for message in stack.messages:
        if message.id == _TIER_PATH:
            print(f"{message.level.value.lower()}: {message.entry.data}", file=sys.stderr)


def write(
    directory: Path,
    application: WorkerApplication | None = None,
    /,
    **props: Unpack[StandaloneProps],
) -> tuple[Path, ...]:
    """Write template and archives into a directory, and return their paths, the template first."""
    document = template(application, **props)
    text = json.dumps(document, indent=1) + "\n"
    contents = {TEMPLATE_NAME: text.encode(), bundle_name(): daemon_archive().content}
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    written = [directory / name for name in contents]
    if application is not None and application.bundle is not None:
        written.append(application.bundle.write(directory))
    return tuple(written)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments; the reference of the command line is made from it too."""
    made = argparse.ArgumentParser(
        prog="python -m worker_tier.standalone",
        description="Write a worker tier's CloudFormation template and the archives it needs.",
    )
    add = made.add_argument
    add("--out", type=Path, default=Path("dist/template"), help="directory (%(default)s)")
    add(
        "--application",
        metavar="DIRECTORY",
        help="source bundle to install on the instances (default: none; the template then asks for"
        " an image that has one)",
    )
    add(
        "--application-port",
        type=int,
        metavar="PORT",
        help="PORT of its process, behind nginx (default: its platform's)",
    )
    add("--cron", help="path of a cron.yaml, for periodic tasks (default: the application's)")
    add("--min", type=int, default=1, help="least instances (%(default)s)")
    add("--max", type=int, default=4, help="most instances (%(default)s)")
    add(
        "--instance-type", default=DEFAULT_INSTANCE_TYPE, help="type of the instances (%(default)s)"
    )
    add("--http-port", type=int, default=80, help="where the daemon POSTs to (%(default)s)")
    add("--http-connections", type=int, default=50, help="POSTs at a time (%(default)s)")
    add(
        "--visibility-timeout",
        type=int,
        default=300,
        metavar="SECONDS",
        help="how long SQS hides a received message (%(default)s)",
    )
    add(
        "--inactivity-timeout",
        type=int,
        default=299,
        metavar="SECONDS",
        help="how long a request may be silent (%(default)s)",
    )
    add("--fifo", action="store_true", help="a FIFO queue")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a mistake ends with its description, not with a traceback."""
    given = parser().parse_args(arguments)
    try:
        application = None
        if given.application is not None:
            application = WorkerApplication.from_asset(
                given.application, port=given.application_port
            )
        written = write(
            given.out,
            application,
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
    except (InvalidProps, InvalidApplication, PackagingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(*written, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
