"""VPC endpoints for networks without a way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from constructs import IConstruct

from worker_tier.errors import InvalidProps
from worker_tier.type_checks import checked

#: The interface endpoints that the CDK knows.
_SERVICE: Final = ec2.InterfaceVpcEndpointAwsService


@checked
def required_interface_endpoints(
    *,
    session_manager: bool = False,
    encryption_key: bool = False,
    container: bool = False,
    secrets: bool = False,
) -> dict[str, ec2.InterfaceVpcEndpointAwsService]:
    """Return, by construct id, the interface endpoints that an isolated tier needs.

    S3 (the bundle, Amazon Linux's packages) and DynamoDB (the lease) have gateway endpoints, which
    are free of charge. CloudWatch needs none, because metrics travel as log lines.

    Args:
        session_manager: include the three of Session Manager.
        encryption_key: include that of KMS, for applications that use the key themselves; SQS,
            DynamoDB and CloudWatch Logs call KMS on their side.
        container: include the two of ECR, from which images are pulled; layers come from S3.
        secrets: include those of Secrets Manager and Parameter Store.
    """
    services = {
        "Sqs": _SERVICE.SQS,
        "CloudFormation": _SERVICE.CLOUDFORMATION,
        "CloudWatchLogs": _SERVICE.CLOUDWATCH_LOGS,
        "AutoScaling": _SERVICE.AUTOSCALING,
    }
    if encryption_key:
        services["Kms"] = _SERVICE.KMS
    if container:
        services |= {"Ecr": _SERVICE.ECR, "EcrDocker": _SERVICE.ECR_DOCKER}
    if secrets:
        services |= {"SecretsManager": _SERVICE.SECRETS_MANAGER, "Ssm": _SERVICE.SSM}
    if session_manager:
        services |= {
            "Ssm": _SERVICE.SSM,
            "SsmMessages": _SERVICE.SSM_MESSAGES,
            "Ec2Messages": _SERVICE.EC2_MESSAGES,
        }
    return services


#: The gateway endpoints, which are free of charge, by construct id.
_GATEWAYS: Final = {
    "S3": ec2.GatewayVpcEndpointAwsService.S3,
    "DynamoDb": ec2.GatewayVpcEndpointAwsService.DYNAMODB,
}
#: Construct ids of the gateway endpoints.
GATEWAYS: Final = tuple(_GATEWAYS)


@checked
def add_vpc_endpoints(
    vpc: ec2.IVpc,
    *,
    subnets: ec2.SubnetSelection | None = None,
    session_manager: bool = False,
    encryption_key: bool = False,
    container: bool = False,
    secrets: bool = False,
    clients: Sequence[ec2.IConnectable] | None = None,
    leave_out: Sequence[str] = (),
) -> None:
    """Give a network every endpoint that an isolated tier needs and that it does not have yet.

    What this app made before is found, by whichever name, and used: a second endpoint of a service
    would be refused by the deployment, for two of them cannot have one private name. An imported
    network may have endpoints that the app cannot see; `leave_out` names those.

    Args:
        vpc: the network, of any stack of this app, or imported with its route tables.
        subnets: subnets of the interface endpoints. Default: private subnets, else isolated ones.
        session_manager, encryption_key, container, secrets: as for `required_interface_endpoints`.
        clients: connectables that may reach the interface endpoints, such as a tier. Default: all
            in the network.
        leave_out: ids of endpoints that the network has already: `S3`, `DynamoDb`, or a key of
            `required_interface_endpoints`.

    Raises:
        InvalidProps: an id is unknown; or the network is imported without what endpoints need.
    """
    needed = required_interface_endpoints(
        session_manager=session_manager,
        encryption_key=encryption_key,
        container=container,
        secrets=secrets,
    )
    if problems := [*_unknown(leave_out), *_network_problems(vpc, clients, leave_out)]:
        raise InvalidProps(vpc.node.path, problems)
    present = _endpoints_of(vpc)
    for id, gateway in _GATEWAYS.items():
        if id not in leave_out and _found(present, "Gateway", _short_name(gateway)) is None:
            vpc.add_gateway_endpoint(_free_id(vpc, id), service=gateway)
    for id, interface in needed.items():
        if id not in leave_out:
            endpoint = _found(present, "Interface", interface.short_name)
            if endpoint is None:
                endpoint = vpc.add_interface_endpoint(
                    _free_id(vpc, id), service=interface, subnets=subnets, open=clients is None
                )
            _admit(endpoint, () if clients is None else clients)


def _admit(endpoint: IConstruct, clients: Sequence[ec2.IConnectable]) -> None:
    """Let clients reach an interface endpoint.

    The rules are made from the clients' side, in their stack: it depends on that of the network,
    and rules on the other side would make the two depend on each other.

    Raises:
        InvalidProps: the endpoint is an L1 construct, whose security groups are unknown.
    """
    if clients and not isinstance(endpoint, ec2.InterfaceVpcEndpoint):
        raise InvalidProps(
            endpoint.node.path,
            [
                "clients cannot be admitted to an endpoint that is a CfnVPCEndpoint; make it an"
                " ec2.InterfaceVpcEndpoint, or admit the tier's security group where it is made"
            ],
        )
    for client in clients:
        client.connections.allow_to_default_port(cast(ec2.InterfaceVpcEndpoint, endpoint))


def _endpoints_of(vpc: ec2.IVpc) -> dict[tuple[str, str], IConstruct]:
    """Return the endpoints of a network that this app makes, by kind and name of the service."""
    found: dict[tuple[str, str], IConstruct] = {}
    for construct in vpc.node.root.node.find_all():
        if isinstance(construct, ec2.CfnVPCEndpoint) and construct.vpc_id == vpc.vpc_id:
            service = Stack.of(construct).resolve(construct.service_name)
            kind = construct.vpc_endpoint_type or "Gateway"
            owner = construct.node.scope
            found[kind, _text(service)] = owner if isinstance(owner, ec2.VpcEndpoint) else construct
    return found


def _found(
    present: Mapping[tuple[str, str], IConstruct], kind: str, short_name: str
) -> IConstruct | None:
    """Return the endpoint of a service; names begin with a domain and a region."""
    for (found_kind, service), endpoint in present.items():
        if found_kind == kind and service.endswith(f".{short_name}"):
            return endpoint
    return None


def _short_name(service: ec2.GatewayVpcEndpointAwsService) -> str:
    return service.name.rpartition(".")[2]


def _text(value: object) -> str:
    """Return the text of a resolved value, references left out."""
    if isinstance(value, Mapping) and "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(part if isinstance(part, str) else "" for part in parts)
    return str(value)


def _free_id(vpc: ec2.IVpc, id: str) -> str:
    """Return a construct id for an endpoint that nothing else in the network has."""
    return id if vpc.node.try_find_child(id) is None else f"WorkerTier{id}"


def _unknown(leave_out: Sequence[str]) -> Iterator[str]:
    everything = required_interface_endpoints(
        session_manager=True, encryption_key=True, container=True, secrets=True
    )
    known = (*GATEWAYS, *everything)
    for id in leave_out:
        if id not in known:
            yield f"leave_out must name endpoints of {', '.join(known)}, got {id!r}"


def _network_problems(
    vpc: ec2.IVpc, clients: Sequence[ec2.IConnectable] | None, leave_out: Sequence[str]
) -> Iterator[str]:
    """Yield what an imported network does not say and endpoints need."""
    if isinstance(vpc, ec2.Vpc):
        return
    if clients is None:
        try:
            vpc.vpc_cidr_block  # noqa: B018 - the CDK raises if it does not know it
        except RuntimeError:
            yield (
                "vpc is imported without its range of addresses, so the endpoints cannot admit all"
                " of it; import it with vpc_cidr_block=..., or name who may reach them:"
                " clients=[tier]"
            )
    gateways = [id for id in GATEWAYS if id not in leave_out]
    subnets = [*vpc.private_subnets, *vpc.isolated_subnets, *vpc.public_subnets]
    if gateways and not all(_has_route_table(subnet) for subnet in subnets):
        yield (
            "vpc is imported without the route tables of its subnets, which"
            f" {' and '.join(gateways)} need; import it with private_subnet_route_table_ids=... and"
            f" so on, or leave them out: leave_out={gateways!r}"
        )


def _has_route_table(subnet: ec2.ISubnet) -> bool:
    try:
        return bool(subnet.route_table.route_table_id)
    except RuntimeError:  # of JavaScript: there is none
        return False
