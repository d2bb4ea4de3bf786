"""How old a message may be: EB's `RetentionPeriod`, a function of the message and the time."""

from __future__ import annotations

from sqsd.contract import SqsdOptions
from sqsd.messages.message import Message


def expired_age(message: Message, options: SqsdOptions, wall_time: float) -> int | None:
    """Return the seconds since a message's first receive if they exceed `retention_period`.

    Returns None if the message may be dispatched.

    Args:
        wall_time: seconds since 1970, by SQS's clock.
    """
    first = message.first_received_at
    # A message received for the first time was received just now, whatever the clocks show.
    if not options.delete_expired or first is None or message.receive_count <= 1:
        return None
    age = wall_time - first / 1000
    return int(age) if age > options.retention_period else None
