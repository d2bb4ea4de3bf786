"""A function that sends messages for a minute when it is invoked, to a tier that consumes them."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
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
            vpc=ec2.Vpc(self, "Vpc", max_azs=2, nat_gateways=1),
            application=WorkerApplication.from_asset(str(EXAMPLES / "node_worker")),
        )
        producer = lambda_.Function(
            self,
            "Producer",
            code=lambda_.Code.from_asset(
                str(EXAMPLES / "producer"), exclude=["__pycache__", "*.pyc", "*.md"]
            ),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            environment={"QUEUE_URL": tier.queue.queue_url},
            log_group=logs.LogGroup(
                self,
                "ProducerLogs",
                removal_policy=RemovalPolicy.DESTROY,
                retention=logs.RetentionDays.ONE_MONTH,
            ),
            # It sends for a minute; the default would end it after three seconds.
            timeout=Duration.minutes(2),
        )
        tier.grant_send_messages(producer)
        CfnOutput(self, "ProducerFunctionName", value=producer.function_name)
        CfnOutput(self, "QueueUrl", value=tier.queue.queue_url)


if __name__ == "__main__":
    app = App()
    ProducerLambda(app, "ProducerLambdaExample")
    app.synth()
