"""What becomes of a tier's data when its stack is deleted, and when an update replaces a resource.

A deletion is asked for, so `removal_policy` decides about it. A replacement is a consequence of
another change, such as `fifo`, that CloudFormation does not announce: a resource that holds
messages is then always retained, also where the app destroys all it has
(`RemovalPolicies.of(app).destroy()`), and docs/guide/deploy.md shows how to drain and delete it.
"""

from __future__ import annotations

from typing import Final, cast

from aws_cdk import CfnResource, RemovalPolicy
from constructs import IConstruct

from worker_tier.props import RemovalProps

#: What may happen to a resource of a tier; CloudFormation takes snapshots of volumes and databases.
_POSSIBLE: Final = (
    RemovalPolicy.DESTROY,
    RemovalPolicy.RETAIN,
    RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
)


def removed_with_the_stack(
    construct: IConstruct, props: RemovalProps, *, retained_when_replaced: bool = True
) -> None:
    """Let `removal_policy` decide what deleting the stack does to a resource.

    Args:
        construct: the resource, or the L2 construct that has it.
        props: the props of the tier or of its part.
        retained_when_replaced: whether an update that replaces the resource leaves the old one,
            whatever removal policy the app gives the resource later.
    """
    given = props.get("removal_policy")
    resource = cast(CfnResource, construct.node.default_child)
    resource.apply_removal_policy(RemovalPolicy.DESTROY if given is None else given)
    if retained_when_replaced:
        # `apply_removal_policy` and `RemovalPolicies` set both policies; an override comes last.
        resource.add_override("UpdateReplacePolicy", "Retain")


def removal_problems(props: RemovalProps) -> list[str]:
    """Return why `removal_policy` cannot be had, if so."""
    given = props.get("removal_policy")
    if given is None or given in _POSSIBLE:
        return []
    return [
        f"removal_policy must be one of {', '.join(one.name for one in _POSSIBLE)}, got"
        f" {given.name}: queues, tables, log groups and topics have no snapshots; RETAIN leaves"
        " them in the account"
    ]
