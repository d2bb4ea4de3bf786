"""The instances of a fleet: types, their processor, On-Demand or Spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Size, Token
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2

from worker_tier.ranges import UNRESOLVED, in_range, literal_count
from worker_tier.type_checks import checked, example

#: Most instances that Auto Scaling accepts in a group.
MAX_INSTANCES: Final = 10_000
#: Type of an instance when none is chosen.
DEFAULT_INSTANCE_TYPE: Final = "t4g.small"
#: How Spot capacity is chosen among the types when nothing is said.
_STRATEGY: Final = autoscaling.SpotAllocationStrategy.PRICE_CAPACITY_OPTIMIZED
#: Manufacturers of processors, by architecture.
_MANUFACTURERS: Final = {
    ec2.InstanceArchitecture.ARM_64: ["amazon-web-services"],
    ec2.InstanceArchitecture.X86_64: ["amd", "intel"],
}


@example("WorkerCapacity.spot(...)")
@dataclass(frozen=True, kw_only=True)
class WorkerCapacity:
    """A choice of instances; made by the static methods, not by hand."""

    instance_types: tuple[ec2.InstanceType, ...] = ()
    architecture: ec2.InstanceArchitecture | None = None
    vcpus: tuple[int, int] | None = None
    memory: tuple[Size, Size] | None = None
    is_mixed: bool = False
    on_demand_base: int = 0
    on_demand_percentage: int = 100
    allocation_strategy: autoscaling.SpotAllocationStrategy = _STRATEGY
    capacity_rebalance: bool = True

    @staticmethod
    def on_demand(instance_type: ec2.InstanceType) -> WorkerCapacity:
        """Return a capacity of On-Demand Instances of one type."""
        return WorkerCapacity(instance_types=(instance_type,))

    @staticmethod
    @checked
    def spot(
        instance_types: Sequence[ec2.InstanceType],
        *,
        on_demand_base: int = 0,
        on_demand_percentage: int = 0,
        allocation_strategy: autoscaling.SpotAllocationStrategy = _STRATEGY,
        capacity_rebalance: bool = True,
    ) -> WorkerCapacity:
        """Return a capacity of Spot Instances: cheap, and interrupted with two minutes' notice.

        Args:
            instance_types: types of one processor architecture; the more, the fewer interruptions.
            on_demand_base: number of instances that are On-Demand before any is Spot.
            on_demand_percentage: share of those above the base that is On-Demand, 0 to 100.
            allocation_strategy: Default: the types that are cheapest among those least likely to be
                taken back.
            capacity_rebalance: replace an instance at risk before it goes. Default: True.
        """
        return WorkerCapacity(
            instance_types=tuple(instance_types),
            is_mixed=True,
            on_demand_base=on_demand_base,
            on_demand_percentage=on_demand_percentage,
            allocation_strategy=allocation_strategy,
            capacity_rebalance=capacity_rebalance,
        )

    @staticmethod
    def requirements(
        *,
        architecture: ec2.InstanceArchitecture,
        vcpus: tuple[int, int],
        memory: tuple[Size, Size],
        on_demand_base: int = 0,
        on_demand_percentage: int = 0,
    ) -> WorkerCapacity:
        """Return a capacity of any current type with enough virtual processors and memory.

        Args:
            architecture: the architecture that the image is chosen for.
            vcpus, memory: bounds, the least and the most.
            on_demand_base, on_demand_percentage: as in `spot`.
        """
        return WorkerCapacity(
            architecture=architecture,
            vcpus=vcpus,
            memory=memory,
            is_mixed=True,
            on_demand_base=on_demand_base,
            on_demand_percentage=on_demand_percentage,
        )

    def processor(self) -> ec2.InstanceArchitecture:
        """Return the architecture of every instance; for a capacity without problems."""
        return self.architecture or self.instance_types[0].architecture

    @property
    def uses_spot(self) -> bool:
        """Whether EC2 may interrupt any instance."""
        return self.is_mixed and self.on_demand_percentage < 100

    def overrides(self) -> list[autoscaling.LaunchTemplateOverrides]:
        """Return what the group may start instead of the launch template's type."""
        if self.vcpus is None or self.memory is None:
            return [
                autoscaling.LaunchTemplateOverrides(instance_type=kind)
                for kind in self.instance_types
            ]
        group = autoscaling.CfnAutoScalingGroup
        least, most = (size.to_mebibytes() for size in self.memory)
        return [
            autoscaling.LaunchTemplateOverrides(
                instance_requirements=group.InstanceRequirementsProperty(
                    cpu_manufacturers=_MANUFACTURERS[self.processor()],
                    instance_generations=["current"],
                    memory_mib=group.MemoryMiBRequestProperty(min=least, max=most),
                    v_cpu_count=group.VCpuCountRequestProperty(
                        min=self.vcpus[0], max=self.vcpus[1]
                    ),
                )
            )
        ]


def chosen_capacity(
    instance_type: ec2.InstanceType | None, capacity: WorkerCapacity | None
) -> WorkerCapacity:
    """Return what the props of a fleet launch."""
    if capacity is not None:
        return capacity
    if instance_type is None:
        instance_type = ec2.InstanceType(DEFAULT_INSTANCE_TYPE)
    return WorkerCapacity.on_demand(instance_type)


def capacity_problems(capacity: WorkerCapacity | None) -> list[str]:
    """Return everything wrong with a capacity."""
    problems: list[str] = []
    if capacity is None:
        return problems
    in_range("on_demand_base", capacity.on_demand_base, 0, MAX_INSTANCES, problems)
    literal_count("on_demand_percentage", capacity.on_demand_percentage, 0, 100, problems)
    if capacity.vcpus is not None:
        _bounds("vcpus", *capacity.vcpus, problems)
    if capacity.memory is not None:
        least, most = (int(size.to_mebibytes()) for size in capacity.memory)
        _bounds("memory (MiB)", least, most, problems)
    if capacity.architecture is None and not capacity.instance_types:
        problems.append("instance_types must have at least one type, got none; name some")
    kinds = {_architecture("instance_types", kind, problems) for kind in capacity.instance_types}
    if len(kinds - {None}) > 1:
        names = ", ".join(kind.to_string() for kind in capacity.instance_types)
        problems.append(
            f"instance_types must be of one processor architecture, got {names}, but one image"
            " cannot start on all of them; keep either the Graviton types or the x86 types"
        )
    return problems


def instance_type_problems(instance_type: ec2.InstanceType | None) -> list[str]:
    """Return everything wrong with the type of the instances."""
    problems: list[str] = []
    if instance_type is not None:
        _architecture("instance_type", instance_type, problems)
    return problems


def _architecture(
    name: str, instance_type: ec2.InstanceType, problems: list[str]
) -> ec2.InstanceArchitecture | None:
    """Return the processor of a type, or None, and a problem, if the CDK cannot tell it."""
    text = instance_type.to_string()
    if Token.is_unresolved(text):
        problems.append(f"{name} {UNRESOLVED}: the image follows its processor")
        return None
    try:
        return instance_type.architecture
    except RuntimeError:  # of JavaScript
        problems.append(
            f"{name} must be the name of an EC2 instance type, such as"
            f" {DEFAULT_INSTANCE_TYPE}, got {text!r}"
        )
        return None


def _bounds(name: str, low: int, high: int, problems: list[str]) -> None:
    if not 1 <= low <= high:
        problems.append(f"{name} must be at least 1 and at most its own maximum, got {low}, {high}")
