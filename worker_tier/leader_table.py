"""The table in which instances elect the one that enqueues periodic tasks."""

from __future__ import annotations

from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from sqsd import contract
from worker_tier.encryption import TABLE_KEY_ACTIONS, grant_key, via_service
from worker_tier.type_checks import checked


class LeaderTable(Construct):
    """A table with one lease for each tier and one record for each occurrence that was sent.

    It is billed on demand, and DynamoDB deletes expired records.

    Args:
        encryption_key: the key that encrypts the table. Default: a key that AWS owns.
        removal_policy: what deleting the stack does to the table. Default: it is destroyed, since
            leases are brief.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        encryption_key: kms.IKey | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
    ) -> None:
        super().__init__(scope, id)
        self._key = encryption_key
        #: The table, which daemons write under conditions only.
        self.table = dynamodb.TableV2(
            self,
            "Table",
            partition_key=dynamodb.Attribute(
                name=contract.LEADER_TABLE_KEY, type=dynamodb.AttributeType.STRING
            ),
            billing=dynamodb.Billing.on_demand(),
            # A backup of a few rows costs cents, and every reviewer asks for it.
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=removal_policy,
            time_to_live_attribute=contract.LEADER_TABLE_TTL,
        )
        if encryption_key is not None:
            self._encrypt(encryption_key)

    def _encrypt(self, key: kms.IKey) -> None:
        """Set the key on the resource: the L2 refuses one if the region is not known at synth."""
        resource = cast(dynamodb.CfnGlobalTable, self.table.node.default_child)
        resource.sse_specification = dynamodb.CfnGlobalTable.SSESpecificationProperty(
            sse_enabled=True, sse_type="KMS"
        )
        resource.add_property_override(
            "Replicas.0.SSESpecification", {"KMSMasterKeyId": key.key_arn}
        )

    @checked
    def grant_election(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow exactly what an election calls: `sqsd.contract.LEADER_TABLE_ACTIONS`."""
        granted = self.table.grant(grantee, *contract.LEADER_TABLE_ACTIONS)
        via = via_service("dynamodb", self)
        return grant_key(self._key, grantee, TABLE_KEY_ACTIONS, granted, via=via)
