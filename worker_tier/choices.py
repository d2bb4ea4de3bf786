"""Enumerations for props; their values are those of tier.json and Elastic Beanstalk."""

from __future__ import annotations

from enum import StrEnum


class RetryPolicy(StrEnum):
    """How the delay of a failed message grows."""

    #: The delay is `error_visibility_timeout` each time.
    EB = "eb"
    #: The delay doubles with each receive, with jitter.
    BACKOFF = "backoff"


class LogFormat(StrEnum):
    """Format of the daemon's log."""

    #: One JSON object a line.
    JSON = "json"
    #: The lines of Elastic Beanstalk's daemon.
    EB = "eb"
