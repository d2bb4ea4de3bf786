"""Endpoints of networks without a way out, whoever made the network and what it has already."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_ec2 as ec2

from tests.worker_tier.stacks import Synthesized, new_stack, vpc_of
from worker_tier import InvalidProps, WorkerTier

ENDPOINT = "AWS::EC2::VPCEndpoint"
INGRESS = "AWS::EC2::SecurityGroupIngress"
SERVICE = ec2.InterfaceVpcEndpointAwsService
ISOLATED = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
ISOLATED_ONLY = [
    ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
]


def test_the_endpoints_of_an_isolated_network_can_be_made_in_one_call() -> None:
    stack = new_stack()
    WorkerTier.add_vpc_endpoints(ec2.Vpc(stack, "Network", max_azs=2), session_manager=True)
    endpoints = Synthesized(stack).all("AWS::EC2::VPCEndpoint").values()
    names = [str(endpoint["ServiceName"]) for endpoint in endpoints]
    for service in (
        "s3",
        "dynamodb",
        "sqs",
        "cloudformation",
        "logs",
        "autoscaling",
        "ssmmessages",
    ):
        assert any(service in name for name in names), service


@pytest.mark.parametrize(
    ("flag", "services"),
    [
        ("container", {"ecr.api", "ecr.dkr"}),
        ("secrets", {"secretsmanager", "ssm"}),
        ("encryption_key", {"kms"}),
    ],
)
def test_endpoints_follow_what_the_application_calls(flag: str, services: set[str]) -> None:
    bare = WorkerTier.required_interface_endpoints()
    more = WorkerTier.required_interface_endpoints(**{flag: True})
    added = {more[name].short_name for name in more.keys() - bare.keys()}
    assert added == services


def services(template: Synthesized) -> list[str]:
    """The last part of the name of each endpoint's service."""
    return sorted(
        str(endpoint["ServiceName"]).rstrip("]}'").rpartition(".")[2]
        for endpoint in template.all(ENDPOINT).values()
    )


MINIMUM = ["autoscaling", "cloudformation", "dynamodb", "logs", "s3", "sqs"]


def test_a_network_of_another_stack_gets_endpoints_that_the_tier_may_reach() -> None:
    # given a network in its own stack, and a tier in another
    app = App()
    network, workers = Stack(app, "Network"), Stack(app, "Test")
    vpc = ec2.Vpc(network, "Vpc", subnet_configuration=ISOLATED_ONLY)
    tier = WorkerTier(workers, "Worker", vpc=vpc, vpc_subnets=ISOLATED)
    # when only the tier may use the endpoints
    WorkerTier.add_vpc_endpoints(vpc, clients=[tier])
    # then the stack of the tier depends on that of the network, and not the reverse
    template = Synthesized(workers)  # the CDK refuses circles
    rules = template.all(INGRESS)
    assert len(rules) == 4
    assert {rule["FromPort"] for rule in rules.values()} == {443}
    assert services(Synthesized(network)) == MINIMUM
    assert Synthesized(network).all(INGRESS) == {}


def test_clients_of_the_same_stack_are_admitted_and_nobody_else() -> None:
    stack = new_stack()
    vpc = ec2.Vpc(stack, "Vpc", subnet_configuration=ISOLATED_ONLY)
    tier = WorkerTier(stack, "Worker", vpc=vpc, vpc_subnets=ISOLATED)
    WorkerTier.add_vpc_endpoints(vpc, clients=[tier])
    template = Synthesized(stack)
    own = template.id_of("AWS::EC2::SecurityGroup", "WorkerFleet")
    sources = [rule["SourceSecurityGroupId"] for rule in template.all(INGRESS).values()]
    assert sources == [{"Fn::GetAtt": [own, "GroupId"]}] * 4
    groups = template.all("AWS::EC2::SecurityGroup").values()
    assert not any("SecurityGroupIngress" in group for group in groups)


def test_a_second_call_adds_only_what_is_missing() -> None:
    stack = new_stack()
    vpc = ec2.Vpc(stack, "Vpc", subnet_configuration=ISOLATED_ONLY)
    first = WorkerTier(stack, "First", vpc=vpc, vpc_subnets=ISOLATED)
    second = WorkerTier(stack, "Second", vpc=vpc, vpc_subnets=ISOLATED)
    WorkerTier.add_vpc_endpoints(vpc, clients=[first])
    WorkerTier.add_vpc_endpoints(vpc, clients=[second], secrets=True)
    template = Synthesized(stack)
    assert services(template) == sorted([*MINIMUM, "secretsmanager", "ssm"])
    # the first is admitted to four endpoints, the second to all six
    assert len(template.all(INGRESS)) == 10


@pytest.mark.parametrize("id", ["Sqs", "Queues"])
def test_endpoints_that_the_network_has_are_used_by_whichever_name(id: str) -> None:
    stack = new_stack()
    vpc = ec2.Vpc(stack, "Vpc", subnet_configuration=ISOLATED_ONLY)
    vpc.add_interface_endpoint(id, service=SERVICE.SQS)
    vpc.add_gateway_endpoint("Objects", service=ec2.GatewayVpcEndpointAwsService.S3)
    ec2.InterfaceVpcEndpoint(stack, "Elsewhere", vpc=vpc, service=SERVICE.CLOUDWATCH_LOGS)
    WorkerTier.add_vpc_endpoints(vpc)
    assert services(Synthesized(stack)) == MINIMUM


def test_a_name_that_something_else_has_is_not_in_the_way() -> None:
    stack = new_stack()
    vpc = ec2.Vpc(stack, "Vpc", subnet_configuration=ISOLATED_ONLY)
    vpc.add_interface_endpoint("S3", service=SERVICE.KMS)
    WorkerTier.add_vpc_endpoints(vpc)
    assert services(Synthesized(stack)) == sorted([*MINIMUM, "kms"])


def test_an_endpoint_for_another_network_is_not_taken_for_one_of_this() -> None:
    stack = new_stack()
    ec2.Vpc(stack, "Other").add_interface_endpoint("Sqs", service=SERVICE.SQS)
    vpc = ec2.Vpc(stack, "Vpc", subnet_configuration=ISOLATED_ONLY)
    WorkerTier.add_vpc_endpoints(vpc)
    assert services(Synthesized(stack)).count("sqs") == 2


def looked_up(stack: Stack) -> ec2.IVpc:
    return ec2.Vpc.from_lookup(stack, "Vpc", vpc_id="vpc-0a1b2c3d4e5f60718")


def test_a_network_that_was_looked_up_gets_endpoints_without_those_it_has() -> None:
    env = Environment(account="111122223333", region="cn-north-1")
    stack = Stack(App(), "Test", env=env)
    vpc = looked_up(stack)
    WorkerTier.add_vpc_endpoints(vpc, leave_out=["S3", "Sqs"])
    assert services(Synthesized(stack)) == ["autoscaling", "cloudformation", "dynamodb", "logs"]


def test_an_imported_network_that_lacks_facts_is_refused_with_all_of_them() -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier.add_vpc_endpoints(vpc_of(stack), leave_out=["Zzz"])
    names, addresses, tables = caught.value.problems
    assert names.startswith("leave_out must name endpoints of S3, DynamoDb, Sqs,")
    assert addresses.startswith("vpc is imported without its range of addresses")
    assert tables.startswith("vpc is imported without the route tables of its subnets")


def test_an_imported_network_without_these_facts_can_do_without_them() -> None:
    stack = new_stack()
    vpc = vpc_of(stack)
    tier = WorkerTier(stack, "Worker", vpc=vpc)
    WorkerTier.add_vpc_endpoints(vpc, clients=[tier], leave_out=["S3", "DynamoDb"])
    assert services(Synthesized(stack)) == ["autoscaling", "cloudformation", "logs", "sqs"]


def test_endpoints_are_in_isolated_subnets_of_a_network_that_has_no_others() -> None:
    stack = new_stack()
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2, subnet_configuration=ISOLATED_ONLY)
    WorkerTier.add_vpc_endpoints(vpc)
    template = Synthesized(stack)
    endpoints: list[dict[str, Any]] = list(template.all(ENDPOINT).values())
    isolated = [{"Ref": id} for id in template.all("AWS::EC2::Subnet")]
    for endpoint in endpoints:
        if endpoint["VpcEndpointType"] == "Interface":
            assert endpoint["SubnetIds"] == isolated
        else:
            assert len(endpoint["RouteTableIds"]) == 2


def test_a_client_of_an_endpoint_of_unknown_security_groups_is_refused() -> None:
    stack = new_stack()
    vpc = ec2.Vpc(stack, "Vpc", subnet_configuration=ISOLATED_ONLY)
    ec2.CfnVPCEndpoint(
        stack,
        "Raw",
        vpc_id=vpc.vpc_id,
        service_name="com.amazonaws.us-east-1.sqs",
        vpc_endpoint_type="Interface",
    )
    tier = WorkerTier(stack, "Worker", vpc=vpc, vpc_subnets=ISOLATED)
    with pytest.raises(InvalidProps, match="cannot be admitted to an endpoint that is a Cfn"):
        WorkerTier.add_vpc_endpoints(vpc, clients=[tier])
    WorkerTier.add_vpc_endpoints(vpc)
    assert services(Synthesized(stack)) == MINIMUM
