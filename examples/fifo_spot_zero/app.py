"""Ordered work on spot instances, and no instance at all while there is none."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, CfnOutput, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from worker_tier import WorkerApplication, WorkerCapacity, WorkerScaling, WorkerTier

APPLICATION = Path(__file__).resolve().parents[1] / "node_worker"


class FifoSpotZero(Stack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        types = [ec2.InstanceType(name) for name in ("t4g.small", "m7g.medium", "c7g.medium")]
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
            # Not its cron.yaml: an empty fleet would enqueue nothing.
            periodic_tasks=[],
            fifo=True,
            content_based_deduplication=True,
            # As many messages at a time as there are groups, not one at a time for the queue.
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
            capacity=WorkerCapacity.spot(types),
            min_capacity=0,
            # No more than the busiest hour's groups keep busy: more would idle.
            max_capacity=3,
            http_connections=10,
            # Within the two minutes that spot gives.
            drain_timeout=Duration.seconds(90),
            scaling=WorkerScaling.target_latency(
                acceptable_latency=Duration.minutes(5), message_processing_time=Duration.seconds(2)
            ),
        )
        CfnOutput(self, "QueueUrl", value=tier.queue.queue_url)


if __name__ == "__main__":
    app = App()
    FifoSpotZero(app, "FifoSpotZeroExample")
    app.synth()
