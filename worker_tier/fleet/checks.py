"""What a fleet's props may be, before anything is built of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import SizeRoundingBehavior
from aws_cdk import aws_ec2 as ec2

from worker_tier.fleet.capacity import capacity_problems
from worker_tier.fleet.machine_image import chosen_image
from worker_tier.options import in_range, seconds_in_range

#: Auto Scaling's limits for an instance's life: a day and a year.
_LIFETIME_SECONDS: Final = (86_400, 31_536_000)
_MAX_WARMUP_SECONDS: Final = 86_400
#: That of the images that can be chosen; a smaller volume does not start.
LEAST_VOLUME_GIBIBYTES: Final = 8
_MAX_VOLUME_GIBIBYTES: Final = 16_384
_MAX_HOPS: Final = 64
_NEED_IOPS: Final = (ec2.EbsDeviceVolumeType.IO1, ec2.EbsDeviceVolumeType.IO2)


def fleet_problems(props: Mapping[str, Any]) -> list[str]:
    """Everything wrong with a fleet's props, by name; an empty list when they can be built."""
    problems = capacity_problems(props["capacity"])
    chosen_image(props["machine_image"], problems)
    if props["root_volume_type"] in _NEED_IOPS:
        problems.append(
            f"root_volume_type is {props['root_volume_type'].value}, which needs a rate of its own"
            " that cannot be given; choose GP3, GP2 or STANDARD"
        )
    if props["capacity"] is not None and props["instance_type"] is not None:
        problems.append(
            "instance_type and capacity both say what to launch; leave one out, or name the type in"
            " capacity"
        )
    if props["role"] is not None and props["instance_principal"] is not None:
        problems.append(
            "instance_principal is for the role that is made here, and role names another; leave"
            " one out"
        )
    in_range(
        "http_put_response_hop_limit", props["http_put_response_hop_limit"], 1, _MAX_HOPS, problems
    )
    lifetime = props["max_instance_lifetime"]
    seconds_in_range("max_instance_lifetime", lifetime, *_LIFETIME_SECONDS, problems)
    seconds_in_range("instance_warmup", props["instance_warmup"], 0, _MAX_WARMUP_SECONDS, problems)
    size = props["root_volume_size"]
    if size is not None and not size.is_unresolved():
        gibibytes = size.to_gibibytes(rounding=SizeRoundingBehavior.NONE)
        if (
            gibibytes != int(gibibytes)
            or not LEAST_VOLUME_GIBIBYTES <= gibibytes <= _MAX_VOLUME_GIBIBYTES
        ):
            problems.append(
                f"root_volume_size must be a whole number of GiB from {LEAST_VOLUME_GIBIBYTES} to"
                f" {_MAX_VOLUME_GIBIBYTES}, got {gibibytes} GiB"
            )
    return problems
