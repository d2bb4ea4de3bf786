"""Spreads the statements of a policy over as many managed policies as their size asks for.

IAM accepts 6,144 characters in a managed policy, blanks not counted, and only the deployment says
so. Everything that is granted to a tier becomes a statement of one policy, so a handful of buckets,
tables and secrets exceeds it. `iam.Role` splits the policy of a role in the same way; it does not
split a managed policy, which the tier uses because reviewers refuse policies within a role.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import jsii
from aws_cdk import Annotations, Aspects, IAspect, IStableAnyProducer, Lazy, Stack
from aws_cdk import aws_iam as iam
from constructs import IConstruct, IValidation

from worker_tier.fleet.token_size import size_of

#: Most characters of a managed policy (IAM user guide, "IAM and AWS STS quotas").
MAX_CHARACTERS: Final = 6_144
#: Managed policies that a role may have unless the account's quota was raised, and the most to
#: which the CDK itself expects the quota to be raised.
DEFAULT_POLICIES_OF_A_ROLE: Final = 10
MOST_POLICIES_OF_A_ROLE: Final = 20
#: Characters of a document around its statements.
_FRAME_CHARACTERS: Final = len('{"Version":"2012-10-17","Statement":[]}')
#: After other aspects that add statements, before those that only read.
_PRIORITY: Final = 900

Statement = Mapping[str, Any]


def characters(statement: Statement) -> int:
    """Return how many characters a statement has at most once it is deployed."""
    text = json.dumps(statement, separators=(",", ":"), default=str)
    return size_of(text).expected + 1  # and the comma after it


def split(statements: Sequence[Statement]) -> list[list[Statement]]:
    """Return the statements in as few documents as they fill in their order.

    A statement that is too long for any document has one for itself.
    """
    documents: list[list[Statement]] = [[]]
    free = MAX_CHARACTERS - _FRAME_CHARACTERS
    for statement in statements:
        length = characters(statement)
        if length > free and documents[-1]:
            documents.append([])
            free = MAX_CHARACTERS - _FRAME_CHARACTERS
        documents[-1].append(statement)
        free -= length
    return documents


def split_at_synth(policy: iam.ManagedPolicy, roles: Sequence[iam.IRole]) -> None:
    """Let a policy be split when the template is made, after everything was granted.

    What depends on the policy depends on every part of it, for the parts are below it in the tree.

    Args:
        policy: the policy.
        roles: the roles that it is attached to, and all of its parts.
    """
    parts = _Parts(policy, roles)
    Aspects.of(policy).add(cast(IAspect, parts), priority=_PRIORITY)
    policy.node.add_validation(cast(IValidation, parts))


@jsii.implements(IAspect, IValidation)
class _Parts:
    """The documents of a policy: makes those that are needed, and checks that they suffice."""

    def __init__(self, policy: iam.ManagedPolicy, roles: Sequence[iam.IRole]) -> None:
        self._policy = policy
        self._roles = roles
        self._more: list[iam.CfnManagedPolicy] = []
        self._warned = False

    def statements(self) -> list[Statement]:
        """Return all statements that were added up to now."""
        return list(self._policy.document.to_json()["Statement"])

    @property
    def number(self) -> int:
        """The number of documents."""
        return 1 + len(self._more)

    @jsii.member(jsii_name="visit")
    def visit(self, node: IConstruct) -> None:
        if node.node.path == self._policy.node.path:
            self._make(len(split(self.statements())))
            self._warn_of_quota()

    @jsii.member(jsii_name="validate")
    def validate(self) -> list[str]:
        """Return why the deployment would refuse a policy."""
        documents = split(self.statements())
        found = [
            f"a statement of {characters(statement)} characters is granted to the instances, and a"
            f" managed policy takes {MAX_CHARACTERS}; grant it in several statements"
            for document in documents
            for statement in document
            if characters(statement) > MAX_CHARACTERS - _FRAME_CHARACTERS
        ]
        needed = len(documents)
        if needed > self.number:
            found.append(
                f"an aspect granted so much to the instances that {needed} policies are needed and"
                f" {self.number} were made before; give the aspect a priority below {_PRIORITY}"
            )
        if self._more and self._attached() > MOST_POLICIES_OF_A_ROLE:
            found.append(
                f"what is granted to the instances needs {self._attached()} managed policies, and a"
                f" role may have {MOST_POLICIES_OF_A_ROLE} at most; grant less, or by wider"
                " resources"
            )
        return found

    def _make(self, documents: int) -> None:
        if documents == 1:
            return
        if not self._more:
            resource = cast(iam.CfnManagedPolicy, self._policy.node.default_child)
            resource.policy_document = _document(self, 0)
        while self.number < documents:
            self._more.append(
                iam.CfnManagedPolicy(
                    self._policy,
                    f"More{self.number}",
                    description="More of what a worker tier's daemon and application call",
                    policy_document=_document(self, self.number),
                    roles=[role.role_name for role in self._roles] or None,
                )
            )

    def _attached(self) -> int:
        """Return how many managed policies the role has, as far as this app knows."""
        fleet = cast(IConstruct, self._policy.node.scope)
        own = sum(isinstance(child, iam.ManagedPolicy) for child in fleet.node.children)
        return own + len(self._more) + sum(map(_others_of, self._roles))

    def _warn_of_quota(self) -> None:
        if self._warned or not self._more:
            return
        attached = self._attached()
        if attached > DEFAULT_POLICIES_OF_A_ROLE:
            self._warned = True
            Annotations.of(self._policy).add_warning_v2(
                "worker-tier:managed-policies",
                f"the role of the instances needs {attached} managed policies, and accounts allow"
                f" {DEFAULT_POLICIES_OF_A_ROLE} for a role unless their quota (Managed policies"
                " attached to an IAM role) is raised; raise it, or grant by wider resources",
            )


def _others_of(role: iam.IRole) -> int:
    """Return how many managed policies a role of this app was given where it is made."""
    resource = role.node.default_child
    if not isinstance(resource, iam.CfnRole):
        return 0
    arns = Stack.of(role).resolve(resource.managed_policy_arns)
    return len(arns) if isinstance(arns, list) else 0


def _document(parts: _Parts, number: int) -> Any:
    return Lazy.any(cast(IStableAnyProducer, _Part(parts, number)))


@jsii.implements(IStableAnyProducer)
class _Part:
    """One document, as it stands when the template is written."""

    def __init__(self, parts: _Parts, number: int) -> None:
        self._parts = parts
        self._number = number

    @jsii.member(jsii_name="produce")
    def produce(self) -> Any:
        documents = split(self._parts.statements())
        return {"Version": "2012-10-17", "Statement": documents[self._number]}
