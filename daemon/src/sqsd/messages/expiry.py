"""How old a message may be: EB's `RetentionPeriod`, a function of the message and the time."""

from __future__ import annotations

from sqsd.contract import SqsdOptions
from sqsd.messages.message import Message


def expired_age(message: Message, options: SqsdOptions, wall_time: float) -> int | None:
    """Seconds since its first receive, when those are too many; None: it may be dispatched."""
    first = message.first_received_at
    # What is received for the first time was so just now, whatever the clocks say.
    if not options.delete_expired or first is None or message.receive_count <= 1:
        return None
    age = wall_time - first / 1000
    return int(age) if age > options.retention_period else None
