"""What becomes of a message once its request has ended: see docs/explain/compatibility.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

from sqsd.base.backoff import doubled
from sqsd.contract import SqsdOptions


@dataclass(frozen=True, slots=True)
class Answered:
    """The application answered completely.

    `retry_after` is the header of that name in seconds, or None if it is absent or makes no sense.
    """

    status: int
    retry_after: int | None = None


class Unreachable(Enum):
    """No connection could be made, so no request was sent."""

    REFUSED = "connection refused"
    CONNECT_TIMEOUT = "connect timeout"
    NO_DESCRIPTOR = "this process has no file descriptor left"


class Broken(Enum):
    """The request was sent without a complete answer; the application may have done the work."""

    INACTIVE = "no byte for inactivity_timeout"
    CLOSED = "connection closed without a complete answer"
    UNANSWERED = "connection closed without one byte of an answer"
    MALFORMED = "the answer was not HTTP"
    CUT = "stopped before the answer came"
    DEFECT = "the daemon could not make a request of it"


Outcome = Answered | Unreachable | Broken


class Suppressed(Enum):
    """No request was sent, because the message needs none."""

    COPY = "a copy of a scheduled message that was dispatched"


@dataclass(frozen=True, slots=True)
class Delete:
    """The work is done."""


@dataclass(frozen=True, slots=True)
class Release:
    """Try again later: after so many seconds, or, if None, when the visibility timeout ends.

    With `unless_down` that needs proof that the application is up; without the message is held.
    """

    after_seconds: int | None
    reason: str
    unless_down: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """There is no application: the message is posted again once there is one."""

    reason: str


@dataclass(frozen=True, slots=True)
class PostAgain:
    """The application is busy: hold the message and post it again after so many seconds.

    `release` is what becomes of it where it cannot be held for so long.
    """

    after_seconds: int
    release: Release


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Another try is of no use: the message belongs in the dead-letter queue now."""

    reason: str


Settlement = Delete | Release | Hold | PostAgain | DeadLetter

_DONE: Final = Delete()
#: Statuses with which a proxy reports a missing application; an application may send them too.
#: 504 is not one of them: the proxy has an application, which may still be doing the work.
APPLICATION_DOWN_STATUSES: Final = frozenset({502, 503})
#: Value of `retry_policy` and `status_delays` for waits that double.
BACKOFF: Final = "backoff"
#: SQS's longest visibility timeout, in seconds; also the longest time one delivery may be hidden.
LONGEST_VISIBILITY: Final = 43_200
#: Receives after which a failed message may be visible at once, if a delay of 0 is asked for.
_PROMPT_RECEIVES: Final = 3
#: Least wait after each further receive, in seconds. The message would be POSTed as fast as SQS
#: delivers it, until it is a dead letter.
_LEAST_RETRY_SECONDS: Final = 1
#: First wait with `retry_policy: backoff` if error_visibility_timeout is unset, in seconds.
_BACKOFF_SECONDS: Final = 2
#: First and longest wait of a message that met a status of `backpressure_statuses` without
#: `Retry-After`, in seconds; the first is also the least that `Retry-After` can ask for.
_BUSY_SECONDS: Final = 1
_LONGEST_BUSY_SECONDS: Final = 60
#: Longest wait with `retry_policy: backoff`, in seconds.
_LONGEST_BACKOFF: Final = 3_600
#: Delay of a message that is released for lack of an application, in seconds: another instance
#: may have one.
_DOWN_RELEASE_SECONDS: Final = 1


def settle(
    outcome: Outcome,
    options: SqsdOptions,
    *,
    receive_count: int = 1,
    jitter: float = 1.0,
    postponed: int = 0,
) -> Settlement:
    """Decide what becomes of a message: 200 deletes it, all else releases or holds it.

    A release uses `error_visibility_timeout`; if that is unset, the visibility of the message is
    not changed, as EB was seen to do. `Retry-After` on 429 and 503 takes precedence over either.
    Without a connection the message is not to blame and is held. A 502, a 503 and a connection that
    ended without one byte leave open whether there is an application: the message is held if there
    is none, and else a failure like any. The options `retry_policy`, `status_delays`,
    `delete_statuses`, `dead_letter_statuses` and `backpressure_statuses` change this. Source: EB
    developer guide, "Elastic Beanstalk worker environments".

    Args:
        receive_count: of this delivery, from 1.
        postponed: how often this delivery met a status of `backpressure_statuses` before.
        jitter: 0 to 1, so that messages which failed together do not come back together.
    """
    match outcome:
        case Answered(status=200):
            return _DONE
        case Answered(status=status) if status_is_in(status, options.delete_statuses):
            return _DONE
        case Answered(status=status) if status_is_in(status, options.dead_letter_statuses):
            return DeadLetter(f"HTTP {status}")
        case Answered(status=status) if status_is_in(status, options.backpressure_statuses):
            return _post_again(outcome, options, receive_count, jitter, postponed)
        case Answered(status=(429 | 503) as status, retry_after=int(seconds)):
            asked = min(seconds, LONGEST_VISIBILITY)
            return Release(_paced(asked, receive_count), f"HTTP {status}")
        case Answered(status=status) if how := _delay_of(status, options.status_delays):
            if how == BACKOFF:
                return Release(_backoff_seconds(options, receive_count, jitter), f"HTTP {status}")
            return Release(_paced(int(how), receive_count), f"HTTP {status}")
        case Answered(status=status) if status in APPLICATION_DOWN_STATUSES:
            after = retry_seconds(options, receive_count, jitter)
            return Release(after, f"HTTP {status}", unless_down=True)
        case Answered(status=status):
            return Release(retry_seconds(options, receive_count, jitter), f"HTTP {status}")
        case Unreachable():
            return Hold(outcome.value)
        case Broken.UNANSWERED:
            after = retry_seconds(options, receive_count, jitter)
            return Release(after, outcome.value, unless_down=True)
        case Broken():
            return Release(retry_seconds(options, receive_count, jitter), outcome.value)
        case _:
            assert_never(outcome)


def describe(outcome: Outcome) -> str:
    """Return a short text for an outcome, for the log."""
    return f"HTTP {outcome.status}" if isinstance(outcome, Answered) else outcome.value


def down_seconds(options: SqsdOptions) -> int:
    """Return for how long to release a message that was held for lack of an application."""
    after = options.error_visibility_timeout
    return _DOWN_RELEASE_SECONDS if after is None else after


def retry_seconds(options: SqsdOptions, receive_count: int, jitter: float) -> int | None:
    """Return for how long to release a failed message if nothing asks for another time.

    None leaves it to its visibility timeout.
    """
    if options.retry_policy == BACKOFF:
        return _backoff_seconds(options, receive_count, jitter)
    after = options.error_visibility_timeout
    return None if after is None else _paced(after, receive_count)


def _paced(seconds: int, receive_count: int) -> int:
    """Return a delay that was asked for, or a second in place of 0 after some receives."""
    return seconds or (_LEAST_RETRY_SECONDS if receive_count > _PROMPT_RECEIVES else 0)


def _post_again(
    answer: Answered, options: SqsdOptions, receive_count: int, jitter: float, postponed: int
) -> PostAgain:
    reason = f"HTTP {answer.status}"
    if answer.retry_after is None:
        pause = doubled(_BUSY_SECONDS, postponed, _LONGEST_BUSY_SECONDS)
        failed = retry_seconds(options, receive_count, jitter)
        return PostAgain(round(pause), Release(failed, reason))
    seconds = min(answer.retry_after, LONGEST_VISIBILITY)
    return PostAgain(max(_BUSY_SECONDS, seconds), Release(seconds, reason))


def _backoff_seconds(options: SqsdOptions, receive_count: int, jitter: float) -> int:
    first = options.error_visibility_timeout or _BACKOFF_SECONDS
    whole = doubled(first, max(receive_count, 1) - 1, _LONGEST_BACKOFF)
    return max(1, round(whole * (0.5 + jitter / 2)))


def _delay_of(status: int, delays: tuple[str, ...]) -> str | None:
    """Return the entry of `status_delays` for a status, else the one for its class, else None."""
    if not delays:
        return None
    by_status = dict(delay.split("=", 1) for delay in delays)
    return by_status.get(str(status)) or by_status.get(f"{status // 100}xx")


def status_is_in(status: int, statuses: tuple[str, ...]) -> bool:
    """Return whether a status is listed, by itself (`422`) or by its class (`4xx`)."""
    return bool(statuses) and (str(status) in statuses or f"{status // 100}xx" in statuses)


def is_application_down(outcome: Outcome) -> bool:
    """Return whether the outcome is a sign, or with `Unreachable` proof, of no application."""
    match outcome:
        case Unreachable() | Broken.UNANSWERED:
            return True
        case Answered(status=status):
            return status in APPLICATION_DOWN_STATUSES
        case _:
            return False
