"""A received message, as SQS describes it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Attribute(NamedTuple):
    """A message attribute.

    `value` is None for binary attributes, which never become headers (EB); `binary` then has the
    value in base64, as SQS sends it.
    """

    data_type: str
    value: str | None
    binary: str | None = None


_NO_ATTRIBUTES: Final[Mapping[str, Attribute]] = MappingProxyType({})


class Refused(NamedTuple):
    """Why SQS did not confirm one entry of a batch. `final`: sending it again cannot succeed."""

    reason: str
    final: bool = False


class Message(NamedTuple):
    """One delivery of one message. A tuple, because one is made of every message received.

    Args:
        message_id: the same for every delivery of a message.
        receipt_handle: of this delivery alone.
        body: as received, in UTF-8.
        receive_count: deliveries so far, this one included.
        sent_at, first_received_at: milliseconds since 1970 by SQS's clock, or None if SQS sent
            none.
        received_at: monotonic seconds at which the receive was *asked for*. Visibility counts from
            no earlier than that, so a deadline computed from it is never too late.
        deduplication_id, trace_header: only when headers are made of them.
        group_id: FIFO message group; fair queues on standard queues have one too.
        follows_damaged: whether an earlier message of its FIFO group came in the same receive and
            could not be read, so that this one would overtake it.
    """

    message_id: str
    receipt_handle: str
    body: bytes
    receive_count: int
    sender_id: str
    sent_at: int | None
    first_received_at: int | None
    received_at: float
    group_id: str | None = None
    attributes: Mapping[str, Attribute] = _NO_ATTRIBUTES
    deduplication_id: str | None = None
    trace_header: str | None = None
    follows_damaged: bool = False
