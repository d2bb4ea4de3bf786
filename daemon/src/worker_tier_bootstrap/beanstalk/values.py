"""Values of option settings: text in, as Elastic Beanstalk stores all of them, the value out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

#: Days for which CloudWatch retains lines, of those that Elastic Beanstalk offers.
RETENTION_DAYS: Final = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653
)  # fmt: skip
#: `MeasureName` in `aws:autoscaling:trigger`, less those of load balancers.
MEASURES: Final = (
    "CPUUtilization",
    "NetworkIn",
    "NetworkOut",
    "DiskWriteOps",
    "DiskReadBytes",
    "DiskReadOps",
    "DiskWriteBytes",
)
STATISTICS: Final = ("Minimum", "Maximum", "Sum", "Average")
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
    return tuple(instance_type(name) for name in names(text))


def change(text: str) -> tuple[int, bool]:
    """Return the number of an increment such as `2` or `-10%`, and whether it is in percent."""
    plain = text.strip()
    return whole(plain.removesuffix("%")), plain.endswith("%")


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
    """Return a time of ISO 8601, in UTC unless it names another zone."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidValue("must be a time such as 2026-04-28T04:07:02Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
