"""VPC endpoints for networks without a way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import aws_ec2 as ec2

#: The interface endpoints that the CDK knows.
_SERVICE: Final = ec2.InterfaceVpcEndpointAwsService


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


#: Construct ids of the gateway endpoints, which are free of charge.
GATEWAYS: Final = ("S3", "DynamoDb")


def add_vpc_endpoints(
    vpc: ec2.Vpc,
    *,
    subnets: ec2.SubnetSelection | None = None,
    session_manager: bool = False,
    encryption_key: bool = False,
    container: bool = False,
    secrets: bool = False,
    clients: Sequence[ec2.IConnectable] | None = None,
) -> None:
    """Give a network of this app every endpoint that an isolated tier needs.

    Args:
        subnets: subnets of the interface endpoints. Default: private subnets.
        session_manager, encryption_key, container, secrets: as for `required_interface_endpoints`.
        clients: connectables that may reach the interface endpoints, such as a tier. Default: all
            in the network.
    """
    gateways = (
        ec2.GatewayVpcEndpointAwsService.S3,
        ec2.GatewayVpcEndpointAwsService.DYNAMODB,
    )
    for name, service in zip(GATEWAYS, gateways, strict=True):
        vpc.add_gateway_endpoint(name, service=service)
    needed = required_interface_endpoints(
        session_manager=session_manager,
        encryption_key=encryption_key,
        container=container,
        secrets=secrets,
    )
    for id, interface in needed.items():
        endpoint = vpc.add_interface_endpoint(
            id, service=interface, subnets=subnets, open=clients is None
        )
        for client in () if clients is None else clients:
            endpoint.connections.allow_default_port_from(client)
