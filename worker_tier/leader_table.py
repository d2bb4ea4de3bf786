"""The table in which instances elect the one that enqueues periodic tasks."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from sqsd import contract


class LeaderTable(Construct):
    """One lease a tier, and one record for each occurrence sent; on demand, expired by DynamoDB.

    Args:
        removal_policy: what deleting the stack does to it. Default: destroys it, leases are brief.
    """

    def __init__(
        self, scope: Construct, id: str, *, removal_policy: RemovalPolicy = RemovalPolicy.DESTROY
    ) -> None:
        super().__init__(scope, id)
        #: The daemon writes it under conditions only.
        self.table = dynamodb.TableV2(
            self,
            "Table",
            partition_key=dynamodb.Attribute(
                name=contract.LEADER_TABLE_KEY, type=dynamodb.AttributeType.STRING
            ),
            billing=dynamodb.Billing.on_demand(),
            # A table of a few rows costs cents to recover and is asked for by every reviewer.
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=removal_policy,
            time_to_live_attribute=contract.LEADER_TABLE_TTL,
        )

    def grant_election(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow exactly what an election calls: `sqsd.contract.LEADER_TABLE_ACTIONS`."""
        return self.table.grant(grantee, *contract.LEADER_TABLE_ACTIONS)
