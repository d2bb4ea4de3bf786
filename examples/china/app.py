"""The seed of this project: a worker in cn-north-1, without a NAT gateway."""

from __future__ import annotations

import jsii
from aws_cdk import App, Aws, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from worker_tier import WorkerTier


class China(Stack):
    def __init__(self, scope: Construct, id: str, *, env: Environment) -> None:
        super().__init__(scope, id, env=env)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Workers", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24
                )
            ],
        )
        isolated = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        WorkerTier.add_vpc_endpoints(vpc, subnets=isolated)
        WorkerTier(
            self,
            "Worker",
            vpc=vpc,
            vpc_subnets=isolated,
            # For accounts that take no other; leave it out where `ec2.amazonaws.com` works.
            instance_principal=iam.ServicePrincipal.from_static_service_principle_name(
                f"ec2.{Aws.URL_SUFFIX}"
            ),
        )

    @property
    @jsii.member(jsii_name="availabilityZones")
    def availability_zones(self) -> list[str]:
        """Named, so that synth asks no account for them."""
        return ["cn-north-1a", "cn-north-1b"]


if __name__ == "__main__":
    app = App()
    China(app, "ChinaExample", env=Environment(account="111122223333", region="cn-north-1"))
    app.synth()
