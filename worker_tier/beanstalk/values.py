"""Readers of option values: text in, as Elastic Beanstalk writes all of them, the value out.

Each raises `Unusable` for a text that the option does not accept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs

#: Retention of a log group in days, as the option has it -> as the CDK has it.
_RETENTION: Final[dict[int, logs.RetentionDays]] = {
    int(name): getattr(logs.RetentionDays, member)
    for name, member in {
        "1": "ONE_DAY", "3": "THREE_DAYS", "5": "FIVE_DAYS", "7": "ONE_WEEK", "14": "TWO_WEEKS",
        "30": "ONE_MONTH", "60": "TWO_MONTHS", "90": "THREE_MONTHS", "120": "FOUR_MONTHS",
        "150": "FIVE_MONTHS", "180": "SIX_MONTHS", "365": "ONE_YEAR", "400": "THIRTEEN_MONTHS",
        "545": "EIGHTEEN_MONTHS", "731": "TWO_YEARS", "1827": "FIVE_YEARS", "3653": "TEN_YEARS",
    }.items()
}  # fmt: skip
#: Ways to allocate Spot capacity, by their names in Elastic Beanstalk.
_STRATEGIES: Final = (
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "lowest-price",
    "price-capacity-optimized",
)


class Unusable(ValueError):
    """A value that an option does not accept; the text says what it accepts."""


def whole(value: Any) -> int:
    """Read a whole number."""
    if isinstance(value, bool) or not str(value).strip().lstrip("-").isdecimal():
        raise Unusable("must be a whole number")
    return int(value)


def boolean(value: Any) -> bool:
    """Read `true` or `false`, in any case."""
    text = str(value).lower()
    if text not in ("true", "false"):
        raise Unusable("must be true or false")
    return text == "true"


def names(value: Any) -> list[str]:
    """Read a list, or names separated by commas."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return [part.strip() for part in parts if part.strip()]


def change(value: Any) -> tuple[int, bool]:
    """Read an increment such as `2` or `-10%`: the number, and whether it is in percent."""
    text = str(value).strip()
    return whole(text.removesuffix("%")), text.endswith("%")


def days(value: Any) -> logs.RetentionDays:
    """Read a retention in days."""
    number = whole(value)
    if number not in _RETENTION:
        raise Unusable(f"must be one of {', '.join(map(str, _RETENTION))} days")
    return _RETENTION[number]


def one_of(*allowed: str) -> Callable[[Any], str]:
    """Return a reader of one of the `allowed` values, in upper or lower case."""

    def read(value: Any) -> str:
        text = str(value)
        for name in allowed:
            if text.lower() == name.lower():
                return name
        raise Unusable(f"must be {' or '.join(allowed)}")

    return read


def path(value: Any) -> str:
    """Read a path. Elastic Beanstalk accepts a URL too, of which an instance uses the path only."""
    text = str(value)
    if not text.startswith("/"):
        raise Unusable("must be a path that begins with /")
    return text


def volume_type(value: Any) -> ec2.EbsDeviceVolumeType:
    """Read the type of a root volume."""
    name = one_of("gp3", "gp2", "standard")(value)
    return ec2.EbsDeviceVolumeType[name.upper()]


def allocation(value: Any) -> autoscaling.SpotAllocationStrategy:
    """Read how Spot capacity is allocated."""
    name = one_of(*_STRATEGIES)(value)
    return autoscaling.SpotAllocationStrategy[name.upper().replace("-", "_")]
