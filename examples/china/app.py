"""The seed of this project: a worker in cn-north-1, without a NAT gateway."""

from __future__ import annotations

from pathlib import Path

import jsii
from aws_cdk import App, Aws, Environment, Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from worker_tier import WorkerApplication, WorkerTier

APPLICATION = Path(__file__).resolve().parents[1] / "node_worker"


class China(Stack):
    def __init__(self, scope: Construct, id: str, *, env: Environment) -> None:
        super().__init__(scope, id, env=env)
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            flow_logs={"Rejected": ec2.FlowLogOptions(traffic_type=ec2.FlowLogTrafficType.REJECT)},
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Workers", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24
                )
            ],
        )
        isolated = ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
        tier = WorkerTier(
            self,
            "Worker",
            vpc=vpc,
            vpc_subnets=isolated,
            application=WorkerApplication.from_asset(str(APPLICATION), port=3000),
            # For accounts that take no other; leave it out where `ec2.amazonaws.com` works.
            instance_principal=iam.ServicePrincipal.from_static_service_principle_name(
                f"ec2.{Aws.URL_SUFFIX}"
            ),
        )
        WorkerTier.add_vpc_endpoints(vpc, subnets=isolated, clients=[tier])

    @property
    @jsii.member(jsii_name="availabilityZones")
    def availability_zones(self) -> list[str]:
        """The region's first two, found at deployment, so that synth asks no account for them."""
        return [Fn.select(number, Fn.get_azs()) for number in range(2)]


if __name__ == "__main__":
    app = App()
    China(app, "ChinaExample", env=Environment(account="111122223333", region="cn-north-1"))
    app.synth()
