"""A queue of another team, encrypted by that team's key, and the facts that an import lacks."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from worker_tier import ExistingQueue, WorkerApplication, WorkerTier

APPLICATION = Path(__file__).resolve().parents[1] / "python_worker"


class Existing(Stack):
    """
    Args:
        queue_name: in this account and region; its dead-letter queue has `-dead` after that.
        key_id: of the key that encrypts both.
    """

    def __init__(self, scope: Construct, id: str, *, queue_name: str, key_id: str) -> None:
        super().__init__(scope, id)
        arn = self.format_arn(service="sqs", resource=queue_name)
        key_arn = self.format_arn(service="kms", resource="key", resource_name=key_id)
        key = kms.Key.from_key_arn(self, "Key", key_arn)
        queue = ExistingQueue.imported(
            sqs.Queue.from_queue_arn(self, "Orders", arn),
            fifo=False,
            dead_letter_queue=sqs.Queue.from_queue_arn(self, "Dead", f"{arn}-dead"),
            max_receive_count=5,
            encryption_key=key,
            dead_letter_key=key,
        )
        WorkerTier(
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
            queue=queue,
            application=WorkerApplication.from_asset(str(APPLICATION)),
            # Not its cron.yaml: what is sent to this queue is its owner's to say.
            periodic_tasks=[],
            dead_letter_statuses=["422"],
        )


if __name__ == "__main__":
    app = App()
    Existing(
        app,
        "ExistingQueueExample",
        queue_name="orders",
        key_id="0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    )
    app.synth()
