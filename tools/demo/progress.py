"""Turns the daemon's events into the numbers on the screen. Pure: events in, numbers out."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqsd.contract import events

#: Seconds over which the current throughput is taken.
_WINDOW_SECONDS = 2.0


@dataclass
class Progress:
    """What the daemon has logged so far."""

    #: Ids of producer's messages, one entry per delete after an answer of 200.
    answered: list[str] = field(default_factory=list)
    expired: set[str] = field(default_factory=set)
    #: Periodic tasks answered 200.
    tasks_answered: int = 0
    #: Requests that were not answered 200, by status; None is no answer.
    failed: Counter[int | None] = field(default_factory=Counter)
    cron_fired: int = 0
    started: bool = False
    #: What went wrong, as the daemon logged it; the newest last.
    failures: list[str] = field(default_factory=list)
    _dispatch_seconds: list[float] = field(default_factory=list)
    #: Seconds since 1970 of each answer 200, in order.
    _answered_at: list[float] = field(default_factory=list)

    def note(self, event: Mapping[str, Any]) -> None:
        """Take in one event."""
        match event.get("event"):
            case events.MESSAGE_DELETED if event.get("status") == 200:
                self._note_answer(event)
            case events.MESSAGE_RELEASED:
                self.failed[event.get("status")] += 1
                self._note_dispatch(event)
            case events.MESSAGE_EXPIRED:
                self.expired.add(str(event["message_id"]))
            case events.CRON_ENQUEUED | events.CRON_REPAIRED:
                self.cron_fired += 1
            case events.DAEMON_STARTED:
                self.started = True
            case (
                events.QUEUE_FAILED | events.CRON_FAILED | events.LEASE_FAILED | events.GATE_CLOSED
            ):
                self.failures.append(f"{event['event']}: {event.get('reason', event)}")

    def _note_answer(self, event: Mapping[str, Any]) -> None:
        if "task" in event:
            self.tasks_answered += 1
            return
        self.answered.append(str(event["message_id"]))
        self._answered_at.append(datetime.fromisoformat(event["time"]).timestamp())
        self._note_dispatch(event)

    def _note_dispatch(self, event: Mapping[str, Any]) -> None:
        if (seconds := event.get("dispatch_seconds")) is not None:
            self._dispatch_seconds.append(float(seconds))

    @property
    def retried(self) -> int:
        """How often a message was returned to the queue."""
        return self.failed.total()

    def rate(self, now: float) -> float:
        """Messages answered 200 per second, lately; `now` in seconds since 1970."""
        since = bisect_left(self._answered_at, now - _WINDOW_SECONDS)
        return (len(self._answered_at) - since) / _WINDOW_SECONDS

    def average_rate(self, since: float) -> float:
        """Messages answered 200 per second from `since` to the last answer."""
        first = bisect_left(self._answered_at, since)
        answers = len(self._answered_at) - first
        seconds = self._answered_at[-1] - since if answers else 0.0
        return answers / seconds if seconds > 0 else 0.0

    def peak_rate(self) -> float:
        """The most messages that were answered 200 within any one second."""
        return peak(self._answered_at)

    def latency(self, quantile: float) -> float | None:
        """Seconds from receive to POST, the `quantile` of all dispatches, or None without any."""
        return percentile(sorted(self._dispatch_seconds), quantile)


def peak(moments: Sequence[float], window_seconds: float = 1.0) -> int:
    """The most of these ascending moments that lie within any window of that length."""
    most = start = 0
    for end, moment in enumerate(moments):
        while moment - moments[start] >= window_seconds:
            start += 1
        most = max(most, end - start + 1)
    return most


def percentile(ascending: Sequence[float], quantile: float) -> float | None:
    """The smallest value that a share of `quantile` (above 0, up to 1) does not exceed."""
    if not ascending:
        return None
    return ascending[max(0, math.ceil(quantile * len(ascending)) - 1)]
