"""Closed sets of options; their values are what `tier.json` and Elastic Beanstalk call them."""

from __future__ import annotations

from enum import StrEnum


class RetryPolicy(StrEnum):
    """How long a failed message waits."""

    #: `error_visibility_timeout` each time.
    EB = "eb"
    #: Twice as long with each receive, with jitter.
    BACKOFF = "backoff"


class LogFormat(StrEnum):
    """What the daemon's lines look like."""

    #: One object a line.
    JSON = "json"
    #: The lines of Elastic Beanstalk's daemon.
    EB = "eb"
