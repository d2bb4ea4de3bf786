"""What instances may call: each action of the daemon and the bootstrap, on one resource each."""

from __future__ import annotations

from aws_cdk import Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3

from sqsd import contract
from worker_tier.encryption import grant_key, use_key, via_service
from worker_tier.fleet.fleet import WorkerFleet
from worker_tier.leader_table import LeaderTable
from worker_tier.queues.queues import RECEIVE_KEY_ACTIONS, SEND_KEY_ACTIONS, WorkerQueues


def grant_dispatch(fleet: WorkerFleet, queues: WorkerQueues, *, dead_letters: bool) -> None:
    """Let instances receive from the work queue, and dead-letter if `dead_letters`."""
    granted = queues.queue.grant(fleet, *contract.QUEUE_ACTIONS)
    grant_key(queues.encryption_key, fleet, RECEIVE_KEY_ACTIONS, granted, via=queues.via)
    if dead_letters:
        queues.grant_dead_letter(fleet)


def grant_boot(
    fleet: WorkerFleet,
    *,
    log_group: logs.ILogGroup,
    daemon: s3.Location,
    asset_key: kms.IKey | None,
) -> None:
    """Let instances write to the log group, and fetch the daemon.

    Args:
        daemon: the one object that is the daemon's bundle.
        asset_key: the key that encrypts its bucket, or None.
    """
    # The ARN of the log group ends in :* for the streams in it.
    log_group.grant(fleet, "logs:CreateLogStream", "logs:PutLogEvents")
    # The grant of the asset itself would open the whole bootstrap bucket.
    bundle = Stack.of(fleet).format_arn(
        service="s3",
        region="",
        account="",
        resource=daemon.bucket_name,
        resource_name=daemon.object_key,
    )
    fleet.policy.add_statements(iam.PolicyStatement(actions=["s3:GetObject"], resources=[bundle]))
    if asset_key is not None:
        use_key(asset_key, fleet, ["kms:Decrypt"], via=via_service("s3", fleet))


def grant_protection(fleet: WorkerFleet) -> None:
    """Let instances protect themselves from scale-in, each one in this group only.

    The statement names the group by the tags that CloudFormation gives it, and not by its ARN, so
    that it is part of `policy`, which the group depends on. A statement with the ARN would be
    deleted before the group, and an instance that is busy then could never be terminated. So the
    wildcards of the resource stand for a name that the two conditions fix.
    """
    stack = Stack.of(fleet)
    fleet.policy.add_statements(
        iam.PolicyStatement(
            actions=[contract.PROTECTION_ACTION],
            resources=[
                stack.format_arn(
                    service="autoscaling",
                    resource="autoScalingGroup:*:autoScalingGroupName",
                    resource_name="*",
                )
            ],
            conditions={
                "StringEquals": {
                    "aws:ResourceTag/aws:cloudformation:stack-id": Aws.STACK_ID,
                    "aws:ResourceTag/aws:cloudformation:logical-id": fleet.signal.resource,
                }
            },
        )
    )


def grant_enqueue(fleet: WorkerFleet, queues: WorkerQueues, table: LeaderTable) -> None:
    """Let instances elect a leader, and send what it enqueues."""
    table.grant_election(fleet)
    granted = queues.queue.grant(fleet, *contract.ENQUEUE_ACTIONS)
    grant_key(queues.encryption_key, fleet, SEND_KEY_ACTIONS, granted, via=queues.via)


def statement_problems(statement: iam.PolicyStatement) -> list[str]:
    """Return why IAM would refuse a statement of an instance's policy."""
    parts = {
        "actions": [*statement.actions, *statement.not_actions],
        "resources": [*statement.resources, *statement.not_resources],
    }
    return [f"statement has no {name}; name some" for name, given in parts.items() if not given]
