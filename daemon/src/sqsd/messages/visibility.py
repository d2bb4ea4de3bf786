"""When the visibility of a message is extended: a function of its state, options and the time.

At half the visibility, and again at half of each extension, from its receive until its delete is
confirmed; never past the 12 hours that SQS allows. That is for what runs. Nothing waits to run but
what its FIFO group holds back, which SQS would give to nobody else meanwhile either, and what is
kept for the moment: without an extension each wait would cost a receive. An extension that failed
is tried again soon, and then less and less often, for a refusal that stays must not cost a call a
second.

With `heartbeat` off nothing is extended but, once, a message that had to wait, for its group or the
gate: the time it waited would be missing at the end of its request.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Final

from sqsd.contract import SqsdOptions
from sqsd.messages.in_flight import InFlightMessage, State

#: Seconds before an extension that failed is tried again; doubled up to a share of the visibility.
_RETRY_SECONDS: Final = 1.0
_RETRY_SHARE: Final = 0.1
#: Of the visibility that is left when a message starts late: an extension must get there in it.
_MARGIN_SECONDS: Final = 2.0
_MARGIN_SHARE: Final = 0.2


def begin(in_flight: InFlightMessage, options: SqsdOptions) -> None:
    """A delivery arrived: hidden by its receive, for `visibility_timeout`."""
    received_at, visibility = in_flight.message.received_at, options.visibility_timeout
    in_flight.hidden_until = received_at + visibility
    in_flight.next_heartbeat_at = received_at + visibility / 2 if options.heartbeat else inf


def waited(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> None:
    """It starts only now, though it has been here for a while."""
    if not options.heartbeat:
        in_flight.next_heartbeat_at = now


def is_spent(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> bool:
    """It has waited here until its visibility ended, or nearly: somebody else may have it."""
    visibility = options.visibility_timeout
    if now - in_flight.arrived_at <= visibility / 2:  # a long poll's wait is no age
        return False
    return now > in_flight.hidden_until - min(_MARGIN_SECONDS, visibility * _MARGIN_SHARE)


def due_seconds(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> int:
    """For how long it is to be hidden from now; 0: no extension is due, or none is possible."""
    if (
        in_flight.state is State.RELEASING
        or in_flight.heartbeat_pending
        or now < in_flight.next_heartbeat_at
    ):
        return 0
    return in_flight.hideable(options.visibility_timeout, now)


def ended(
    in_flight: InFlightMessage, options: SqsdOptions, seconds: int, asked_at: float, *, ok: bool
) -> None:
    """An extension by so many seconds, asked for at `asked_at`, was confirmed or not."""
    in_flight.heartbeat_pending = False
    if ok:
        in_flight.hidden_until, in_flight.heartbeat_failures = asked_at + seconds, 0
        in_flight.next_heartbeat_at = asked_at + seconds / 2 if options.heartbeat else inf
        return
    pause = _RETRY_SECONDS * 2.0 ** min(in_flight.heartbeat_failures, 16)
    in_flight.heartbeat_failures += 1
    in_flight.next_heartbeat_at = asked_at + min(
        pause, max(1.0, options.visibility_timeout * _RETRY_SHARE)
    )


def left_of_visibility(in_flight: InFlightMessage, options: SqsdOptions, now: float) -> int | None:
    """Seconds to hide a failed message that is to wait out its visibility, as in EB.

    None where no extension has moved that end: then there is nothing to tell SQS.
    """
    ends = in_flight.message.received_at + options.visibility_timeout
    if not in_flight.heartbeat_pending and in_flight.hidden_until <= ends:
        return None
    return max(0, ceil(ends - now))
