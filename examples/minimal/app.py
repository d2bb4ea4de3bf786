"""The least that is needed: a network that exists, and an application directory."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from worker_tier import WorkerApplication, WorkerTier

APPLICATION = Path(__file__).resolve().parents[1] / "node_worker"


class Minimal(Stack):
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
            application=WorkerApplication.from_asset(str(APPLICATION)),
        )
        CfnOutput(self, "QueueUrl", value=tier.queue.queue_url)


if __name__ == "__main__":
    app = App()
    Minimal(app, "MinimalExample")
    app.synth()
