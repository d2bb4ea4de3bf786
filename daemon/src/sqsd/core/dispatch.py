"""What becomes of a message once its request ended: the outcome table of docs/compatibility.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from sqsd.contract import SqsdOptions


@dataclass(frozen=True, slots=True)
class Answered:
    """The application answered, completely. `retry_after` is its header in seconds, if sensible."""

    status: int
    retry_after: int | None = None


class Unreachable(Enum):
    """No connection could be made, so no request was sent."""

    REFUSED = "connection refused"
    CONNECT_TIMEOUT = "connect timeout"


class Broken(Enum):
    """The request was sent, and no complete answer came; the application may have done the work."""

    INACTIVE = "no byte for inactivity_timeout"
    CLOSED = "connection closed without a complete answer"
    MALFORMED = "the answer was not HTTP"
    CUT = "stopped before the answer came"


Outcome = Answered | Unreachable | Broken


@dataclass(frozen=True, slots=True)
class Delete:
    """The work is done."""


@dataclass(frozen=True, slots=True)
class Release:
    """Try again later. `after_seconds` None: leave the visibility timeout to run out."""

    after_seconds: int | None
    reason: str


_DONE: Final = Delete()
#: A proxy's words for "nobody behind me": says nothing about the message.
APPLICATION_DOWN_STATUSES: Final = frozenset({502, 503, 504})
#: SQS's longest visibility timeout, seconds; also the longest a delivery may be held altogether.
LONGEST_VISIBILITY: Final = 43_200
#: A message that met a missing application comes back soon, for another instance may have one.
_DOWN_RELEASE_SECONDS: Final = 1


def settle(outcome: Outcome, options: SqsdOptions) -> Delete | Release:
    """200 deletes, all else releases (EB developer guide, "Elastic Beanstalk worker environments").

    A release uses `error_visibility_timeout`; where that is unset the message is left alone, which
    is what EB was seen to do. `Retry-After` on 429 and 503 comes before either.
    """
    match outcome:
        case Answered(status=200):
            return _DONE
        case Answered(status=(429 | 503) as status, retry_after=int(seconds)):
            return Release(min(seconds, LONGEST_VISIBILITY), f"HTTP {status}")
        case Answered(status=status):
            return Release(options.error_visibility_timeout, f"HTTP {status}")
        case Unreachable():
            after = options.error_visibility_timeout
            return Release(_DOWN_RELEASE_SECONDS if after is None else after, outcome.value)
        case Broken():
            return Release(options.error_visibility_timeout, outcome.value)
        case _:
            assert_never(outcome)


def is_application_down(outcome: Outcome) -> bool:
    """Whether the outcome speaks of the application rather than of the message."""
    match outcome:
        case Unreachable():
            return True
        case Answered(status=status):
            return status in APPLICATION_DOWN_STATUSES
        case _:
            return False
