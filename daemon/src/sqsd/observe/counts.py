"""Counts the outcomes of messages: all of them, and those of each queue where there are several.

The hot path is `MessageCounts.deleted`: it costs some additions for each message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqsd.base.ports import EventLog
from sqsd.contract import events
from sqsd.observe.metrics import Metrics

#: What an event carries: names and values.
Values = Mapping[str, Any]
#: Events that only add one to a counter; its name in `Metrics`.
_COUNTED: Final = {
    events.MESSAGE_EXPIRED: "expired",
    events.MESSAGE_DUPLICATE: "duplicates",
    events.MESSAGE_DAMAGED: "damaged",
    events.MESSAGE_OVERDUE: "overdue",
    events.MESSAGE_ATTRIBUTE_SKIPPED: "attributes_skipped",
    events.CRON_SUPPRESSED: "cron_suppressed",
}


class MessageCounts:
    """Counts events about messages in `metrics`.

    `handlers` maps each event to the method that counts it. `deleted` is not among them: it is
    called for every message, and its caller saves the look-up.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.handlers: dict[str, Callable[[Values], None]] = {
            events.MESSAGE_RELEASED: self._released,
            events.MESSAGE_HELD: self._request_ended,
            events.MESSAGE_DELETE_FAILED: self._delete_failed,
            events.MESSAGE_DEAD_LETTERED: self._dead_lettered,
            events.HEARTBEAT_SENT: self._heartbeat,
            **{event: counter(metrics, name) for event, name in _COUNTED.items()},
        }

    def deleted(self, values: Values) -> None:
        """Count one `message.deleted`."""
        metrics = self._metrics
        metrics.deleted += 1
        status = values.get("status")
        if status is not None:  # or it was not posted: expired, a copy, or done before
            self._dispatched(values, status // 100)
            metrics.delete.observe(values["delete_seconds"])

    def _released(self, values: Values) -> None:
        self._metrics.release(values["reason"])
        self._request_ended(values)

    def _request_ended(self, values: Values) -> None:
        status = values.get("status")
        if status is not None:
            self._dispatched(values, status // 100)
        elif "app_seconds" in values:
            self._dispatched(values, 0)

    def _delete_failed(self, values: Values) -> None:
        self._metrics.delete_failed += 1
        status = values.get("status")
        if status is not None:
            self._dispatched(values, status // 100)

    def _dead_lettered(self, values: Values) -> None:
        self._metrics.dead_lettered += 1
        status = values.get("status")
        if status is not None:
            self._dispatched(values, status // 100)

    def _dispatched(self, values: Values, status_class: int) -> None:
        metrics = self._metrics
        metrics.app[status_class].observe(values["app_seconds"])
        metrics.dwell.observe(values["dwell_seconds"])
        metrics.dispatch.observe(values["dispatch_seconds"])
        if values["receive_count"] > 1:
            metrics.retries += 1

    def _heartbeat(self, values: Values) -> None:
        self._metrics.heartbeats += values["count"] - values["failed"]
        self._metrics.heartbeats_failed += values["failed"]


def counter(metrics: Metrics, name: str) -> Callable[[Values], None]:
    """Return a handler that adds one to the counter `name` of `metrics` at each event."""

    def count(_: Values) -> None:
        setattr(metrics, name, getattr(metrics, name) + 1)

    return count


class QueueObserver:
    """Implements `base.ports.EventLog` for one of several queues.

    Counts the queue's messages, and adds the queue's name to each event that it passes on.
    """

    def __init__(self, log: EventLog, name: str) -> None:
        self._log = log
        self._name = name
        #: What has been counted of this queue since the process started.
        self.metrics = Metrics()
        self._counts = MessageCounts(self.metrics)

    def emit(self, event: str, /, **values: Any) -> None:
        if event == events.MESSAGE_DELETED:
            self._counts.deleted(values)
        else:
            handler = self._counts.handlers.get(event)
            if handler is not None:
                handler(values)
        self._log.emit(event, queue=self._name, **values)
