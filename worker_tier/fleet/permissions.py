"""What instances may call: each action of the daemon and the bootstrap, on one resource each."""

from __future__ import annotations

from aws_cdk import Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from sqsd import contract
from worker_tier.encryption import grant_key
from worker_tier.leader_table import LeaderTable
from worker_tier.operations import TierOperations
from worker_tier.queues.queues import RECEIVE_KEY_ACTIONS, SEND_KEY_ACTIONS


def allow_what_daemons_call(
    tier: TierOperations, bundle: s3.Location, asset_key: kms.IKey | None
) -> None:
    """Receiving, burying when asked for, the log group, and the one object that is the bundle."""
    granted = tier.queue.grant(tier, *contract.QUEUE_ACTIONS)
    grant_key(tier.queues.encryption_key, tier, RECEIVE_KEY_ACTIONS, granted)
    if tier.options.dead_letter_statuses:
        tier.queues.grant_bury(tier)
    # Of this group; its ARN ends in :* for the streams in it.
    tier.log_group.grant(tier, "logs:CreateLogStream", "logs:PutLogEvents")
    # Telling how the boot ended, and asking for the name of its own group.
    tier.add_to_role_policy(
        iam.PolicyStatement(
            actions=["cloudformation:DescribeStackResource", "cloudformation:SignalResource"],
            resources=[Aws.STACK_ID],
        )
    )
    # The asset's own grant opens the whole bootstrap bucket.
    tier.add_to_role_policy(
        iam.PolicyStatement(
            actions=["s3:GetObject"],
            resources=[
                Stack.of(tier).format_arn(
                    service="s3",
                    region="",
                    account="",
                    resource=bundle.bucket_name,
                    resource_name=bundle.object_key,
                )
            ],
        )
    )
    if asset_key is not None:
        asset_key.grant(tier, "kms:Decrypt")


def allow_enqueuing(tier: TierOperations, table: LeaderTable) -> None:
    """Electing a leader, and sending what it enqueues."""
    table.grant_election(tier)
    granted = tier.queue.grant(tier, *contract.ENQUEUE_ACTIONS)
    grant_key(tier.queues.encryption_key, tier, SEND_KEY_ACTIONS, granted)
