"""The example stack. Wiring only: the one place that reads environment and CDK context."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, cast

from aws_cdk import App, CfnOutput, CfnResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from worker_tier import (
    InvalidApplication,
    InvalidProps,
    PackagingError,
    WorkerApplication,
    WorkerTier,
)

ROOT: Final = Path(__file__).resolve().parent
PORT_KEY: Final = "worker-tier:http_port"
APPLICATION_KEY: Final = "worker-tier:application"
#: Of the application's own process, given to it as PORT; nginx listens on `http_port` before it.
APPLICATION_PORT: Final = 3000


class InvalidContext(ValueError):
    """A context value that cannot be used."""


class WorkerTierExample(Stack):
    """A worker tier, and a Lambda function that sends to it.

    Args:
        http_port: where the daemon POSTs to, and nginx listens, on an instance.
        application: its directory, installed on the instances; a `cron.yaml` in it becomes the
            periodic tasks.
    """

    def __init__(self, scope: Construct, id: str, *, http_port: int, application: Path) -> None:
        super().__init__(scope, id, description="An example of a worker tier")
        self.tier = WorkerTier(
            self,
            "Worker",
            vpc=self._network(),
            # Nothing lets a connection in. A public address is a cheap way out, a NAT gateway an
            # expensive one.
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            associate_public_ip_address=True,
            http_port=http_port,
            application=WorkerApplication.from_asset(
                str(application),
                # Two programs cannot listen on one port.
                port=APPLICATION_PORT + (http_port == APPLICATION_PORT),
            ),
            # Short, so that an afternoon's trial sees retries and dead letters.
            error_visibility_timeout=Duration.seconds(2),
            inactivity_timeout=Duration.seconds(20),
            visibility_timeout=Duration.seconds(30),
            max_retries=3,
            drain_timeout=Duration.seconds(20),
            # An idle daemon stops when its open receive ends, so after 5 s and not 20.
            wait_time_seconds=5,
        )
        self.producer = self._producer()
        self._outputs()

    def _network(self) -> ec2.Vpc:
        return ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            restrict_default_security_group=False,
            flow_logs={"Rejected": ec2.FlowLogOptions(traffic_type=ec2.FlowLogTrafficType.REJECT)},
            subnet_configuration=[
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)
            ],
        )

    def _producer(self) -> lambda_.Function:
        log_group = logs.LogGroup(
            self,
            "ProducerLogs",
            removal_policy=RemovalPolicy.DESTROY,
            retention=logs.RetentionDays.ONE_MONTH,
        )
        # The default role has a policy of AWS's, which may write to every log group.
        policy = iam.ManagedPolicy(self, "ProducerPolicy")
        log_group.grant_write(policy)
        self.tier.grant_send_messages(policy)
        role = iam.Role(
            self,
            "ProducerRole",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            managed_policies=[policy],
        )
        function = lambda_.Function(
            self,
            "Producer",
            code=lambda_.Code.from_asset(
                str(ROOT / "examples" / "producer"), exclude=["__pycache__", "*.pyc", "*.md"]
            ),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            environment={"QUEUE_URL": self.tier.queue.queue_url},
            log_group=log_group,
            role=role,
            timeout=Duration.minutes(2),
        )
        # It names its role, which names its policy, so CloudFormation knows the order.
        cast(CfnResource, function.node.default_child).add_deletion_override("DependsOn")
        return function

    def _outputs(self) -> None:
        tier = self.tier
        table, dead_letters = tier.leader_table, tier.dead_letter_queue
        outputs = {
            "QueueUrl": tier.queue.queue_url,
            "DeadLetterQueueUrl": None if dead_letters is None else dead_letters.queue_url,
            "LeaderTableName": None if table is None else table.table.table_name,
            "LaunchTemplateId": tier.launch_template.launch_template_id,
            "AutoScalingGroupName": tier.auto_scaling_group.auto_scaling_group_name,
            "ProducerFunctionName": self.producer.function_name,
        }
        for name, value in outputs.items():
            if value is not None:
                CfnOutput(self, name, value=value)


def http_port(app: App) -> int:
    """The context's port. A command line gives text; a cdk.json may give a number."""
    given = app.node.try_get_context(PORT_KEY)
    if given is None:
        return 80
    text = str(int(given)) if isinstance(given, float) and given.is_integer() else str(given)
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65_535:
        raise InvalidContext(
            f"context {PORT_KEY} must be a port from 1 to 65535, got {given!r}; give it like this:"
            f" cdk synth -c {PORT_KEY}=8080"
        )
    return int(text)


def application(app: App) -> Path:
    """The context's application directory; a relative one counts from this file."""
    given = app.node.try_get_context(APPLICATION_KEY)
    path = ROOT / str("examples/node_worker" if given is None else given)
    if not path.is_dir():
        raise InvalidContext(
            f"context {APPLICATION_KEY} must be the directory of an application, but {path} is"
            f" none; give it like this: cdk synth -c {APPLICATION_KEY}=path/to/app"
        )
    return path


def main() -> None:
    """Synthesize; a mistake in the context ends with its description, not with a traceback."""
    app = App()
    try:
        WorkerTierExample(
            app, "WorkerTierExample", http_port=http_port(app), application=application(app)
        )
    except (InvalidContext, InvalidApplication, InvalidProps, PackagingError) as error:
        sys.exit(str(error))
    app.synth()


if __name__ == "__main__":
    main()
