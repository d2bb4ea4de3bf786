"""Stacks to look at: built once, read as plain dictionaries."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from worker_tier import InvalidProps, WorkerFleet, WorkerTier

Resource = dict[str, Any]

#: Types of resources that many tests look for.
QUEUE = "AWS::SQS::Queue"
GROUP = "AWS::AutoScaling::AutoScalingGroup"
POLICY = "AWS::IAM::ManagedPolicy"
#: A customer key that was made elsewhere.
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

CRON_YAML = """version: 1
cron:
 - name: "task1"
   url: "/scheduled"
   schedule: "* * * * *"
"""


def new_stack(name: str = "Test", **context: Any) -> Stack:
    """A stack for no account and region in particular."""
    return Stack(App(context=context), name)


def stack_in(region: str) -> Stack:
    return Stack(App(), "Test", env=Environment(account="111122223333", region=region))


def fleet_alone(stack: Stack, **more: Any) -> WorkerFleet:
    """Make a fleet of one instance without a tier around it."""
    return WorkerFleet(
        stack,
        "Fleet",
        vpc=vpc_of(stack),
        min_capacity=1,
        max_capacity=1,
        drain_timeout_seconds=30,
        signal_timeout=Duration.minutes(5),
        instance_warmup=Duration.minutes(1),
        **more,
    )


def vpc_of(stack: Stack) -> ec2.IVpc:
    """A network that costs nothing to synthesize."""
    return ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0a1b2c3d4e5f60718",
        availability_zones=["us-east-1a", "us-east-1b"],
        private_subnet_ids=["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
    )


class Synthesized:
    """A template that answers by type and by logical id."""

    def __init__(self, stack: Stack) -> None:
        self.document: dict[str, Any] = dict(Template.from_stack(stack).to_json())
        self.resources: dict[str, Resource] = self.document["Resources"]

    def all(self, kind: str) -> dict[str, Resource]:
        """Logical id -> properties of every resource of a type such as `AWS::SQS::Queue`."""
        return {
            id: resource.get("Properties", {})
            for id, resource in self.resources.items()
            if resource["Type"] == kind
        }

    def one(self, kind: str, named: str = "") -> Resource:
        """The properties of the only resource of a type whose logical id holds `named`."""
        (found,) = [value for id, value in self.all(kind).items() if named in id]
        return found

    def id_of(self, kind: str, named: str = "") -> str:
        (found,) = [id for id in self.all(kind) if named in id]
        return found

    def statements(self, kind: str, named: str = "") -> list[dict[str, Any]]:
        document = self.one(kind, named)["PolicyDocument"]
        return list(document["Statement"])

    def user_data(self) -> str:
        """User data as an instance sees it, each intrinsic replaced by a text that names it."""
        launch_template = self.one("AWS::EC2::LaunchTemplate")
        return resolved(launch_template["LaunchTemplateData"]["UserData"]["Fn::Base64"])


def resolved(value: Any) -> str:
    """An intrinsic as text: `Fn::Join` joined, everything else named."""
    match value:
        case str():
            return value
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(resolved, parts))
        case {"Ref": name}:
            return f"ref-{name}".replace("::", "-")
        case {"Fn::GetAtt": [name, attribute]}:
            return f"att-{name}-{attribute}"
        case {"Fn::Base64": inner}:
            return base64.b64encode(resolved(inner).encode()).decode()
        case {"Fn::Sub": text}:
            return str(text).replace("${AWS::", "").replace("}", "")
        case {"Fn::Select": [number, {"Fn::Split": [_, of]}]}:
            return f"part-{number}-of-{resolved(of)}"
        case _:
            raise AssertionError(f"an unexpected intrinsic: {value!r}")


def synthesize(build: Callable[[Stack], object], **context: Any) -> Synthesized:
    """Build into a new stack and synthesize it."""
    stack = new_stack(**context)
    build(stack)
    return Synthesized(stack)


def actions_of(statements: Sequence[Mapping[str, Any]]) -> set[str]:
    found: set[str] = set()
    for statement in statements:
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


def tier_with(**props: Any) -> Synthesized:
    """A stack with one tier of these props."""
    return synthesize(lambda stack: WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props))


def problems_of(**props: Any) -> tuple[str, ...]:
    """Why a tier cannot be built from these props."""
    stack = new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    assert caught.value.path == "Test/Worker"
    return caught.value.problems


def evaluate(expression: str, **metrics: float | None) -> float:
    """CloudWatch's arithmetic with `IF` and `FILL`, by Python's; None is a missing value."""
    known = {"IF": _if, "FILL": _fill, **metrics}
    return float(eval(expression, known))  # noqa: S307 - our own templates


def _fill(value: float | None, default: float) -> float:
    return default if value is None else value


def _if(condition: bool, then: float, otherwise: float) -> float:
    return then if condition else otherwise
