"""A function that sends messages for a minute when it is invoked, to a tier that consumes them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from aws_cdk import App, CfnOutput, CfnResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from worker_tier import WorkerApplication, WorkerTier

EXAMPLES = Path(__file__).resolve().parents[1]


class ProducerLambda(Stack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        tier = WorkerTier(
            self,
            "Worker",
            vpc=ec2.Vpc(
                self,
                "Vpc",
                max_azs=2,
                nat_gateways=1,
                flow_logs={
                    "Rejected": ec2.FlowLogOptions(traffic_type=ec2.FlowLogTrafficType.REJECT)
                },
            ),
            application=WorkerApplication.from_asset(str(EXAMPLES / "node_worker")),
        )
        log_group = logs.LogGroup(
            self,
            "ProducerLogs",
            removal_policy=RemovalPolicy.DESTROY,
            retention=logs.RetentionDays.ONE_MONTH,
        )
        # A role of its own: the default one has AWS's policy, which may write to every log group.
        policy = iam.ManagedPolicy(self, "ProducerPolicy")
        log_group.grant_write(policy)
        tier.grant_send_messages(policy)
        producer = lambda_.Function(
            self,
            "Producer",
            code=lambda_.Code.from_asset(
                str(EXAMPLES / "producer"), exclude=["__pycache__", "*.pyc", "*.md"]
            ),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_14,
            environment={"QUEUE_URL": tier.queue.queue_url},
            log_group=log_group,
            role=iam.Role(
                self,
                "ProducerRole",
                assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
                managed_policies=[policy],
            ),
            # It sends for a minute; the default would end it after three seconds.
            timeout=Duration.minutes(2),
        )
        # It names its role, and that its policy: CloudFormation knows the order without a word.
        cast(CfnResource, producer.node.default_child).add_deletion_override("DependsOn")
        CfnOutput(self, "ProducerFunctionName", value=producer.function_name)
        CfnOutput(self, "QueueUrl", value=tier.queue.queue_url)


if __name__ == "__main__":
    app = App()
    ProducerLambda(app, "ProducerLambdaExample")
    app.synth()
