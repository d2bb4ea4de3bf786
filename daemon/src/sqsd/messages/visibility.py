"""When the visibility of a message is extended: a function of its state, the options and the time.

A message is extended at half of its visibility timeout, and again at half of each extension, from
its receive until its delete is confirmed; never past the 12 hours that SQS allows. That holds for
messages that run, and for the two kinds that wait here: for the first of their FIFO group (SQS
would deliver them to no other consumer meanwhile), and held for the application. Without an
extension each wait would cost a receive. A failed extension is tried again soon, and then less and
less often, so that a lasting refusal does not cost a call a second.

With `heartbeat` off no request is kept from its visibility timeout, but what waits here is hidden
all the same: a message that is held or waits for its group, and one that is given up, until its
POST on `on_dead_letter_path` has ended. Released too late, the former would be dead-lettered
untried, and the job of the latter would run again. A message that waited for its group or the gate
is also extended once, when it starts, to restore the visibility that it lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, inf
from typing import Final

from sqsd.base.backoff import doubled
from sqsd.contract import SqsdOptions
from sqsd.messages.in_flight import InFlightMessage, State

#: First wait before a failed extension is tried again, in seconds; doubled with each failure.
_RETRY_SECONDS: Final = 1.0
#: Longest such wait, and the first one where that is shorter, as a share of the visibility timeout.
_RETRY_SHARE: Final = 0.1
#: Deadline of an extension, as a share of the visibility that is left: a call that hangs leaves
#: time for two more.
_CALL_SHARE: Final = 1 / 3
#: Shortest and longest deadline of an extension, in seconds.
_SHORTEST_CALL_SECONDS: Final = 0.3
_LONGEST_CALL_SECONDS: Final = 10.0
#: Least visibility left for a late start, in seconds: the extension must reach SQS within it.
_MARGIN_SECONDS: Final = 2.0
#: The same for short visibility timeouts, as a share of them. The smaller one counts.
_MARGIN_SHARE: Final = 0.2
#: States of messages that are extended with heartbeats off too.
_ALWAYS_EXTENDED: Final = frozenset(
    {State.WAITING, State.HELD, State.DEAD_LETTER_WAITING, State.DEAD_LETTER_POSTING}
)


def delivered(in_flight: InFlightMessage, options: SqsdOptions) -> None:
    """Count the visibility from a new delivery, which its receive hid for `visibility_timeout`."""
    received_at, visibility = in_flight.message.received_at, options.visibility_timeout
    in_flight.hidden_until = received_at + visibility
    in_flight.next_heartbeat_at = received_at + visibility / 2 if options.heartbeat else inf


def started_late(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> None:
    """Extend a message at once that waited here before it starts, if heartbeats are off."""
    if not options.heartbeat:
        in_flight.next_heartbeat_at = now


def is_nearly_over(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> bool:
    """Return whether the visibility of a message that waited here is over, or nearly.

    Another consumer may have the message then, so it must not start.
    """
    visibility = options.visibility_timeout
    if now - in_flight.arrived_at <= visibility / 2:  # the wait of a long poll does not count
        return False
    return now > in_flight.hidden_until - min(_MARGIN_SECONDS, visibility * _MARGIN_SHARE)


def extension_seconds(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> int:
    """Return for how long to hide a message from `now` on.

    0 means that no extension is due, or that SQS allows none any more.
    """
    if (
        in_flight.state is State.RELEASING
        or in_flight.heartbeat_pending
        or now < _due_at(in_flight, options)
    ):
        return 0
    return in_flight.hideable_seconds(options.visibility_timeout, now)


def _due_at(in_flight: InFlightMessage, options: SqsdOptions) -> float:
    due_at = in_flight.next_heartbeat_at
    if due_at == inf and in_flight.state in _ALWAYS_EXTENDED:
        return in_flight.hidden_until - options.visibility_timeout / 2
    return due_at


def call_seconds(extended: Iterable[InFlightMessage], now: float) -> float:
    """Return the deadline of a call that extends these messages, in seconds from `now`."""
    left = min(in_flight.hidden_until for in_flight in extended) - now
    return min(max(left * _CALL_SHARE, _SHORTEST_CALL_SECONDS), _LONGEST_CALL_SECONDS)


def extension_ended(
    in_flight: InFlightMessage, options: SqsdOptions, seconds: int, asked_at: float, *, ok: bool
) -> None:
    """Note the result of an extension by `seconds` that was asked for at `asked_at`."""
    in_flight.heartbeat_pending = False
    if ok:
        in_flight.hidden_until = asked_at + seconds
        in_flight.heartbeat_failures = 0
        again = options.heartbeat or in_flight.state in _ALWAYS_EXTENDED
        in_flight.next_heartbeat_at = asked_at + seconds / 2 if again else inf
        return
    share = options.visibility_timeout * _RETRY_SHARE
    first, longest = min(_RETRY_SECONDS, share), max(_RETRY_SECONDS, share)
    pause = doubled(first, in_flight.heartbeat_failures, longest)
    in_flight.heartbeat_failures += 1
    in_flight.next_heartbeat_at = asked_at + pause


def remaining_seconds(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> int | None:
    """Return for how long to hide a failed message that waits out its visibility, as in EB.

    Returns: seconds from `now`, or None if no extension has moved the end of the visibility: SQS
        needs no call then.
    """
    ends = in_flight.message.received_at + options.visibility_timeout
    if not in_flight.heartbeat_pending and in_flight.hidden_until <= ends:
        return None
    return max(0, ceil(ends - now))
