"""What instances a fleet is made of: named or described, on demand or spot."""

from __future__ import annotations

import pytest
from aws_cdk import Size, aws_autoscaling
from aws_cdk import aws_ec2 as ec2

from tests.worker_tier.stacks import (
    GROUP,
    problems_of,
    tier_with,
)
from worker_tier import WorkerCapacity

SPOT = WorkerCapacity.spot(
    [ec2.InstanceType("t4g.small"), ec2.InstanceType("m7g.medium")], on_demand_base=1
)


def test_spot_spreads_over_types_and_replaces_instances_at_risk_before_they_go() -> None:
    template = tier_with(capacity=SPOT)
    group = template.one(GROUP)
    policy = group["MixedInstancesPolicy"]
    assert "LaunchTemplate" not in group
    overrides = policy["LaunchTemplate"]["Overrides"]
    assert [override["InstanceType"] for override in overrides] == ["t4g.small", "m7g.medium"]
    assert policy["InstancesDistribution"] == {
        "OnDemandBaseCapacity": 1,
        "OnDemandPercentageAboveBaseCapacity": 0,
        "SpotAllocationStrategy": "price-capacity-optimized",
    }
    assert group["CapacityRebalance"] is True
    # the hook, the signals and the metrics are the same as on demand
    assert group["LifecycleHookSpecificationList"]
    assert template.resources[template.id_of(GROUP)]["CreationPolicy"]


def test_a_capacity_can_be_described_instead_of_named() -> None:
    capacity = WorkerCapacity.requirements(
        architecture=ec2.InstanceArchitecture.ARM_64,
        vcpus=(2, 4),
        memory=(Size.gibibytes(2), Size.gibibytes(16)),
    )
    template = tier_with(capacity=capacity)
    (override,) = template.one(GROUP)["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    requirements = override["InstanceRequirements"]
    assert requirements["VCpuCount"] == {"Min": 2, "Max": 4}
    assert requirements["MemoryMiB"] == {"Min": 2_048, "Max": 16_384}
    assert requirements["CpuManufacturers"] == ["amazon-web-services"]
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert "InstanceType" not in data
    assert template.document["Parameters"][data["ImageId"]["Ref"]]["Default"].endswith("arm64")


@pytest.mark.parametrize(
    ("capacity", "words"),
    [
        (WorkerCapacity.spot([]), "instance_types must have at least one type"),
        (
            WorkerCapacity.spot([ec2.InstanceType("t4g.small"), ec2.InstanceType("t3.small")]),
            "instance_types must be of one processor architecture, got t4g.small, t3.small",
        ),
        (
            WorkerCapacity.spot([ec2.InstanceType("t4g.small")], on_demand_percentage=101),
            "on_demand_percentage must be a whole number from 0 to 100, got 101",
        ),
        (
            WorkerCapacity.requirements(
                architecture=ec2.InstanceArchitecture.X86_64,
                vcpus=(4, 2),
                memory=(Size.gibibytes(1), Size.gibibytes(2)),
            ),
            "vcpus must be at least 1 and at most its own maximum, got 4, 2",
        ),
    ],
)
def test_a_capacity_that_cannot_start_is_refused(capacity: WorkerCapacity, words: str) -> None:
    (problem,) = problems_of(capacity=capacity)
    assert words in problem


def test_one_way_of_naming_the_type_is_enough() -> None:
    (problem,) = problems_of(capacity=SPOT, instance_type=ec2.InstanceType("t4g.small"))
    assert problem.startswith("instance_type and capacity both say what to launch")


def test_how_spot_instances_are_chosen_can_be_chosen() -> None:
    capacity = WorkerCapacity.spot(
        [ec2.InstanceType("t4g.small")],
        allocation_strategy=aws_autoscaling.SpotAllocationStrategy.LOWEST_PRICE,
        capacity_rebalance=False,
    )
    group = tier_with(capacity=capacity).one(GROUP)
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["SpotAllocationStrategy"] == "lowest-price"
    assert "CapacityRebalance" not in group
