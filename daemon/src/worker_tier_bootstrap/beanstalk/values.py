"""Values of option settings: text in, as Elastic Beanstalk stores all of them, the value out.

Sources of ranges: Elastic Beanstalk developer guide, "General options for all environments";
CloudWatch and EC2 Auto Scaling API references for what only a deployment would refuse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sqsd.cron.expression import (
    SHORTCUTS,
    CronExpression,
    InvalidExpression,
    parse_expression,
)

#: Days for which CloudWatch retains lines, of those that Elastic Beanstalk offers.
RETENTION_DAYS: Final = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653
)  # fmt: skip
#: `MeasureName` in `aws:autoscaling:trigger`, less those of load balancers; each with the unit with
#: which EC2 publishes it. An alarm with another unit never has a value.
MEASURES: Final = {
    "CPUUtilization": "Percent",
    "NetworkIn": "Bytes",
    "NetworkOut": "Bytes",
    "DiskWriteOps": "Count",
    "DiskReadBytes": "Bytes",
    "DiskReadOps": "Count",
    "DiskWriteBytes": "Bytes",
}
#: Values of `MeasureName` that a load balancer publishes, and a worker has none.
BALANCER_MEASURES: Final = (
    "Latency",
    "RequestCount",
    "HealthyHostCount",
    "UnhealthyHostCount",
    "TargetResponseTime",
)
STATISTICS: Final = ("Minimum", "Maximum", "Sum", "Average")
#: Most instances of a group, and of a scheduled action.
MOST_INSTANCES: Final = 10_000
#: Most types that one group starts.
MOST_TYPES: Final = 40
#: Longest `BreachDuration` and `Period`, min, and most `EvaluationPeriods`.
MOST_PERIODS: Final = 600
#: Highest threshold of a trigger, in the unit of its metric.
HIGHEST_THRESHOLD: Final = 20_000_000
#: Longest time that an alarm evaluates with periods below an hour, and with longer ones, s.
_LONGEST_ALARM: Final = 86_400
_LONGEST_ALARM_OF_HOURS: Final = 604_800
#: Longest `Timeout` of a command, s.
LONGEST_COMMAND: Final = 3_600
#: Elastic Beanstalk's spot allocation strategies.
STRATEGIES: Final = (
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "lowest-price",
    "price-capacity-optimized",
)
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,12}")
#: A family with its generation and a size, as the CDK reads them.
_INSTANCE_TYPE: Final = re.compile(r"[a-z]+[0-9]+[a-z-]*\.[a-z0-9-]+")
#: A time as W3C's profile of ISO 8601 has it, with a second of one digit as in the guide's example.
_MOMENT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d?)(?:\.\d+)?)? ?(Z|[+-]\d\d:\d\d)?)?"
)
_VPC: Final = re.compile(r"vpc-[0-9A-Za-z]+")
_SUBNET: Final = re.compile(r"subnet-[0-9A-Za-z]+")
#: A health check's target with a protocol and a port, such as `HTTP:80/health`.
_TARGET: Final = re.compile(r"([A-Za-z]+):(\d+)(/.*)?")


class InvalidValue(ValueError):
    """Reports a value that an option does not take; the text says what it takes."""


def whole(text: str) -> int:
    """Return a whole number."""
    if not _WHOLE.fullmatch(text.strip()):
        raise InvalidValue("must be a whole number")
    return int(text)


def count(text: str) -> int:
    """Return a whole number from 0."""
    number = whole(text)
    if number < 0:
        raise InvalidValue("must be a whole number from 0")
    return number


def between(low: int, high: int, unit: str = "") -> Callable[[str], int]:
    """Return a function that reads a whole number of a range, whose unit is for messages."""

    def read(text: str) -> int:
        found = whole(text)
        if not low <= found <= high:
            raise InvalidValue(
                f"must be a whole number{unit and f' of {unit}'} from {low} to {high}"
            )
        return found

    return read


def threshold(text: str) -> float:
    """Return the threshold of a trigger."""
    found = number(text)
    if not 0 <= found <= HIGHEST_THRESHOLD:
        raise InvalidValue(f"must be a number from 0 to {HIGHEST_THRESHOLD}")
    return found


def number(text: str) -> float:
    """Return a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidValue("has a value of another kind, must be a number")
    return value


def boolean(text: str) -> bool:
    """Return whether the text is `true` and not `false`, in any case."""
    plain = text.strip().lower()
    if plain not in ("true", "false"):
        raise InvalidValue("must be true or false")
    return plain == "true"


def names(text: str) -> tuple[str, ...]:
    """Return the names between commas, without empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def instance_type(text: str) -> str:
    """Return the name of an instance type that the CDK takes, such as `t3.small`."""
    plain = text.strip()
    if not _INSTANCE_TYPE.fullmatch(plain):
        raise InvalidValue("must be an instance type, such as t3.small")
    return plain


def instance_types(text: str) -> tuple[str, ...]:
    """Return the instance types between commas."""
    found = tuple(instance_type(name) for name in names(text))
    if not 1 <= len(found) <= MOST_TYPES:
        raise InvalidValue(f"must have 1 to {MOST_TYPES} instance types")
    return found


def increase(text: str) -> tuple[int, bool]:
    """Return how much an increment such as `2` or `10%` adds, and whether it is in percent."""
    found = _change(text)
    if found[0] <= 0:
        raise InvalidValue("must be above 0, for the fleet grows by it")
    return found


def decrease(text: str) -> tuple[int, bool]:
    """Return how much an increment such as `-2` or `-10%` removes, and whether it is in percent."""
    found = _change(text)
    if found[0] >= 0:
        raise InvalidValue("must be below 0, for the fleet shrinks by it")
    return found


def _change(text: str) -> tuple[int, bool]:
    plain = text.strip()
    return whole(plain.removesuffix("%")), plain.endswith("%")


def longest_alarm_seconds(period_minutes: int) -> int:
    """Return how long an alarm with such periods may evaluate, in seconds.

    Source: CloudWatch API reference, `PutMetricAlarm`, `EvaluationPeriods`.
    """
    return _LONGEST_ALARM if period_minutes < 60 else _LONGEST_ALARM_OF_HOURS


def days(text: str) -> int:
    """Return days that CloudWatch offers for a log group."""
    found = whole(text)
    if found not in RETENTION_DAYS:
        raise InvalidValue(f"must be one of {', '.join(map(str, RETENTION_DAYS))} days")
    return found


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a function that reads one of some names, in any case."""

    def read(text: str) -> str:
        for name in allowed:
            if text.strip().lower() == name.lower():
                return name
        raise InvalidValue(f"must be {' or '.join(allowed)}")

    return read


def health_path(text: str) -> str | None:
    """Return the path of a health check, or None for the check that the port accepts.

    Elastic Beanstalk takes a protocol and a port before it; an instance checks port 80 only.
    """
    plain = text.strip()
    match = _TARGET.fullmatch(plain)
    if match is None:
        if not plain.startswith("/"):
            raise InvalidValue("must be a path that begins with /")
        return plain
    protocol, port, path = match[1].upper(), match[2], match[3]
    if protocol == "TCP" and port == "80" and path is None:
        return None
    if protocol == "HTTP" and port == "80" and path is not None:
        return path
    raise InvalidValue(
        "must be a path that begins with /, for the daemon checks port 80 by HTTP only"
    )


def arn(text: str) -> str:
    """Return the ARN of a secret or of a parameter."""
    plain = text.strip()
    if not re.fullmatch(r"arn:[\w-]+:(secretsmanager|ssm):[^:\s]+:\d{12}:\S+", plain):
        raise InvalidValue(
            "must be the ARN of a secret of Secrets Manager or of a parameter of Parameter Store"
        )
    return plain


def moment(text: str) -> datetime:
    """Return a time of W3C's profile of ISO 8601, in UTC unless it names another zone.

    A date without a time is its midnight. Fractions of a second are dropped.
    """
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        raise InvalidValue("must be a time such as 2026-04-28T04:07:02Z")
    *fields, zone = match.groups()
    try:
        found = datetime(*(int(field or 0) for field in fields), tzinfo=UTC)  # type: ignore[misc,arg-type]
        return found if zone in (None, "Z") else found - _offset(zone)
    except (ValueError, OverflowError):
        raise InvalidValue("must be a time of the calendar, such as 2026-04-28T04:07:02Z") from None


def _offset(zone: str) -> timedelta:
    hours, minutes = int(zone[1:3]), int(zone[4:])
    if hours > 23 or minutes > 59:
        raise ValueError(zone)
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def vpc(text: str) -> str:
    """Return the id of a network."""
    plain = text.strip()
    if not _VPC.fullmatch(plain):
        raise InvalidValue("must be the id of a VPC, such as vpc-0a1b2c3d")
    return plain


def subnets(text: str) -> tuple[str, ...]:
    """Return the ids of subnets between commas."""
    found = names(text)
    if not found or not all(_SUBNET.fullmatch(name) for name in found):
        raise InvalidValue(
            "must be ids of subnets with commas between them, such as subnet-0a1b2c3d"
        )
    return found


def recurrence(text: str) -> str:
    """Return five fields of cron, which is what Auto Scaling documents and nothing else."""
    plain = text.strip()
    example = SHORTCUTS.get(plain.lower(), "0 8 * * 1-5")
    try:
        found = parse_expression(plain)
    except InvalidExpression as error:
        raise InvalidValue(f"must be five fields of cron: {error}") from None
    if not isinstance(found, CronExpression) or plain.startswith("@"):
        raise InvalidValue(f'must be five fields of cron, such as "{example}"')
    return plain
