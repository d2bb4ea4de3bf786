"""Headers that EB does not send; each is off unless `extra_headers` names it.

`X-Aws-Sqsd-Receipt-Handle`: with it and the queue's URL an application can extend the visibility of
a message itself. A receiver of the header can also delete the message.
`X-Aws-Sqsd-Visibility-Deadline`: when this delivery becomes visible, UTC; heartbeats move it.
`X-Aws-Sqsd-Receives-Left`: how many receives follow if this one fails; 0 on the last attempt.
`X-Aws-Sqsd-Request-Deadline`: when this request is given up if no byte is sent until then, UTC.
`X-Aws-Sqsd-Message-Group-Id`, `-Message-Deduplication-Id`: as sent.
`X-Amzn-Trace-Id`: the message's AWSTraceHeader (X-Ray).
`traceparent`: W3C trace context, from a message attribute of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqsd import contract
from sqsd.contract import SqsdOptions
from sqsd.messages.message import Message

#: Longest trace header that is passed on, in characters. W3C's has 55, and X-Ray's about 100.
_LONGEST_TRACE: Final = 1_024


class _Delivery(NamedTuple):
    """What values are made of: a message, and moments of its delivery in seconds since 1970."""

    message: Message
    receives_left: int
    hidden_until: float
    given_up_at: float


class Extras:
    """Makes the header lines that EB does not send.

    Args:
        names: of `contract.EXTRA_HEADERS`.
        options: of the queue, or None for the defaults.
    """

    def __init__(self, names: tuple[str, ...], options: SqsdOptions | None = None) -> None:
        self._makers = [(name, _VALUES[name]) for name in names]
        self._options = SqsdOptions() if options is None else options

    def lines(self, message: Message, at: float, hidden_until: float) -> list[tuple[str, str]]:
        """Return names and values of headers; `at` and `hidden_until` are seconds since 1970."""
        delivery = _Delivery(
            message,
            max(0, self._options.max_retries - message.receive_count),
            hidden_until,
            at + self._options.inactivity_timeout,
        )
        return [
            (name, value) for name, make in self._makers if (value := make(delivery)) is not None
        ]


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _trace_parent(delivery: _Delivery) -> str | None:
    attribute = delivery.message.attributes.get(contract.HEADER_TRACE_PARENT)
    return None if attribute is None else _trace(attribute.value)


def _trace(value: str | None) -> str | None:
    """Return a trace header, or None for one that is too long to be any."""
    return value if value is not None and len(value) <= _LONGEST_TRACE else None


_VALUES: Final[dict[str, Callable[[_Delivery], str | None]]] = {
    contract.HEADER_RECEIPT_HANDLE: lambda delivery: delivery.message.receipt_handle,
    contract.HEADER_VISIBILITY_DEADLINE: lambda delivery: _moment(delivery.hidden_until),
    contract.HEADER_RECEIVES_LEFT: lambda delivery: str(delivery.receives_left),
    contract.HEADER_REQUEST_DEADLINE: lambda delivery: _moment(delivery.given_up_at),
    contract.HEADER_MESSAGE_GROUP_ID: lambda delivery: delivery.message.group_id,
    contract.HEADER_MESSAGE_DEDUPLICATION_ID: lambda delivery: delivery.message.deduplication_id,
    contract.HEADER_XRAY_TRACE: lambda delivery: _trace(delivery.message.trace_header),
    contract.HEADER_TRACE_PARENT: _trace_parent,
}
