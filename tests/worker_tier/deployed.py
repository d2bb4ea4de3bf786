"""An app that the CDK's command line deploys in tests; its context changes and spoils it.

`python deployed.py` synthesizes; the context `max`, `fifo` and `broken` come from `cdk -c`.
"""

from __future__ import annotations

from aws_cdk import App, CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sqs as sqs

from worker_tier import PeriodicTask, WorkerTier

app = App()
stack = Stack(app, "Deployed")
tier = WorkerTier(
    stack,
    "Worker",
    vpc=ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0a1b2c3d4e5f60718",
        availability_zones=["us-east-1a", "us-east-1b"],
        private_subnet_ids=["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
    ),
    max_capacity=int(app.node.try_get_context("max") or 4),
    max_retries=3,
    fifo=bool(app.node.try_get_context("fifo")),
    periodic_tasks=[PeriodicTask(name="tick", url="/tick", schedule="* * * * *")],
)
if app.node.try_get_context("broken"):
    resource = tier.queues.node.find_child("Queue").node.default_child
    assert isinstance(resource, sqs.CfnQueue)
    # SQS allows 12 hours; the constructs would refuse it, so it is set behind their back.
    resource.visibility_timeout = 999_999
assert tier.dead_letter_queue is not None
for name, value in {
    "QueueUrl": tier.queue.queue_url,
    "DeadLetterQueueUrl": tier.dead_letter_queue.queue_url,
    "Group": tier.auto_scaling_group.auto_scaling_group_name,
    "Template": tier.launch_template.launch_template_id or "",
}.items():
    CfnOutput(stack, name, value=value)
app.synth()
