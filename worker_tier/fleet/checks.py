"""What the props of a fleet may be, checked before anything is built from them."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, Size, SizeRoundingBehavior
from aws_cdk import aws_ec2 as ec2

from worker_tier.fleet.capacity import capacity_problems, instance_type_problems
from worker_tier.fleet.machine_image import chosen_image
from worker_tier.props import InstanceProps
from worker_tier.ranges import UNRESOLVED, in_range, seconds_in_range

#: Limits of Auto Scaling for the life of an instance: a day and a year, s.
_LIFETIME_SECONDS: Final = (86_400, 31_536_000)
#: Longest warm-up that Auto Scaling accepts: a day, s.
MAX_WARMUP_SECONDS: Final = 86_400
#: Size of the images that can be chosen, GiB; a smaller volume does not start.
LEAST_VOLUME_GIBIBYTES: Final = 8
#: Largest volume of EBS's general purpose types, GiB.
_MAX_VOLUME_GIBIBYTES: Final = 16_384
#: Most hops that EC2 accepts for a response of the metadata service.
_MAX_HOPS: Final = 64
#: Volume types that need a rate of input and output, which no prop gives.
_NEED_IOPS: Final = (ec2.EbsDeviceVolumeType.IO1, ec2.EbsDeviceVolumeType.IO2)


def fleet_problems(props: InstanceProps) -> list[str]:
    """Return everything wrong with the props of a fleet, by name."""
    problems = capacity_problems(props.get("capacity"))
    problems += instance_type_problems(props.get("instance_type"))
    chosen_image(props.get("machine_image"), problems)
    problems += _contradictions(props)
    hops = props.get("http_put_response_hop_limit")
    in_range("http_put_response_hop_limit", hops, 1, _MAX_HOPS, problems)
    lifetime = props.get("max_instance_lifetime")
    seconds_in_range("max_instance_lifetime", lifetime, *_LIFETIME_SECONDS, problems)
    problems += _volume_problems(props.get("root_volume_size"))
    return problems


def subnet_problems(vpc: ec2.IVpc | None, selection: ec2.SubnetSelection | None) -> list[str]:
    """Return why a network has no subnets of a selection."""
    if vpc is None or selection is None:
        return []
    reason = ""
    if selection.subnets:
        return []  # they need no further choice, and an imported one may have no zone
    try:
        selected = vpc.select_subnets(
            availability_zones=selection.availability_zones,
            one_per_az=selection.one_per_az,
            subnet_filters=selection.subnet_filters,
            subnet_group_name=selection.subnet_group_name,
            subnets=selection.subnets,
            subnet_type=selection.subnet_type,
        )
        if selected.subnet_ids or selected.is_pending_lookup:
            return []
    except RuntimeError as error:  # of JavaScript
        reason = f": {str(error).splitlines()[0].partition(': ')[2]}"
    return [f"vpc_subnets selects no subnet of the network{reason}; select others"]


def warmup_problems(instance_warmup: Duration | None) -> list[str]:
    """Return everything wrong with the warm-up of a fleet."""
    problems: list[str] = []
    seconds_in_range("instance_warmup", instance_warmup, 0, MAX_WARMUP_SECONDS, problems)
    return problems


def _contradictions(props: InstanceProps) -> list[str]:
    problems: list[str] = []
    volume_type = props.get("root_volume_type")
    if volume_type is not None and volume_type in _NEED_IOPS:
        problems.append(
            f"root_volume_type is {volume_type.value}, which needs a rate of input and output that"
            " cannot be given; choose GP3, GP2 or STANDARD"
        )
    if props.get("capacity") is not None and props.get("instance_type") is not None:
        problems.append(
            "instance_type and capacity both say what to launch; leave one out, or name the type in"
            " capacity"
        )
    if props.get("role") is not None and props.get("instance_principal") is not None:
        problems.append(
            "instance_principal is for the role that is made here, and role names another; leave"
            " one out"
        )
    return problems


def _volume_problems(size: Size | None) -> list[str]:
    if size is None:
        return []
    try:
        gibibytes = size.to_gibibytes(rounding=SizeRoundingBehavior.NONE)
    except RuntimeError:  # of JavaScript, for a token in another unit
        return [f"root_volume_size {UNRESOLVED}, or a parameter in Size.gibibytes(...)"]
    if size.is_unresolved():
        return []
    in_bounds = LEAST_VOLUME_GIBIBYTES <= gibibytes <= _MAX_VOLUME_GIBIBYTES
    if in_bounds and gibibytes == int(gibibytes):
        return []
    return [
        f"root_volume_size must be a whole number of GiB from {LEAST_VOLUME_GIBIBYTES} to"
        f" {_MAX_VOLUME_GIBIBYTES}, got {gibibytes} GiB"
    ]
