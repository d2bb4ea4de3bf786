"""What a fleet's props may be, before anything is built of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aws_cdk import SizeRoundingBehavior

from worker_tier.capacity import capacity_problems
from worker_tier.options import in_range, seconds_in_range

#: Auto Scaling's limits for an instance's life: a day and a year.
_LIFETIME_SECONDS: Final = (86_400, 31_536_000)
_MAX_WARMUP_SECONDS: Final = 86_400
_MAX_VOLUME_GIBIBYTES: Final = 16_384
_MAX_HOPS: Final = 64


def fleet_problems(props: Mapping[str, Any]) -> list[str]:
    """Everything wrong with a fleet's props, by name; an empty list when they can be built."""
    problems = capacity_problems(props["capacity"])
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
        if gibibytes != int(gibibytes) or not 1 <= gibibytes <= _MAX_VOLUME_GIBIBYTES:
            problems.append(
                "root_volume_size must be a whole number of GiB from 1 to"
                f" {_MAX_VOLUME_GIBIBYTES}, got {gibibytes} GiB"
            )
    return problems
