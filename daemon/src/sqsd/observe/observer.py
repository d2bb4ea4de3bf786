"""Turns events into numbers on their way to the log, and keeps what explains the daemon.

Stands between the service and the chosen log format as one more `ports.EventLog`, so that nothing
else knows of metrics. The hot path is `message.deleted`: a dictionary look-up and some additions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from sqsd.base.ports import Clock, EventLog
from sqsd.base.redact import redact
from sqsd.contract import events
from sqsd.observe.counts import MessageCounts, Values, counter
from sqsd.observe.metrics import Metrics

#: Counted, and written by no log: they come often and say nothing alone.
_NOT_WRITTEN: Final = frozenset({events.HEARTBEAT_SENT, events.CRON_RECALLED})
#: Remembered for `/status`.
_TROUBLE: Final = frozenset(
    {
        events.COMPANION_FAILED,
        events.CRON_FAILED,
        events.CRON_INVALID,
        events.CRON_MISSED,
        events.DAEMON_FAILED,
        events.GATE_CLOSED,
        events.GATE_WAITING,
        events.LEASE_FAILED,
        events.LEASE_LOST,
        events.LIFECYCLE_FAILED,
        events.LOOP_LAGGED,
        events.MESSAGE_DAMAGED,
        events.MESSAGE_DEAD_LETTERED,
        events.MESSAGE_DELETE_FAILED,
        events.MESSAGE_EXPIRED,
        events.MESSAGE_OVERDUE,
        events.MESSAGE_RELEASED,
        events.MESSAGE_RELEASE_FAILED,
        events.PROXY_NOTICED,
        events.QUEUE_FAILED,
        events.STATUS_FAILED,
        events.TRACING_FAILED,
    }
)
_TROUBLES_KEPT: Final = 20


class Observer:
    """Implements `ports.EventLog`: counts an event, then passes it on."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self.metrics = Metrics()
        self.leader = False
        #: A receive has completed.
        self.ready = False
        #: Why the instance's lifecycle has the daemon hold or drain; None: it does not.
        self.lifecycle: str | None = None
        #: Monotonic seconds since which this instance leads; None while it does not.
        self.leader_since: float | None = None
        #: What of `cron.yaml` cannot be run.
        self.cron_problems: tuple[str, ...] = ()
        #: Monotonic seconds of the newest message of a periodic task, also of another's as far as
        #: the leader table tells.
        self.last_cron_send: float | None = None
        #: The newest troubles: epoch seconds, event, values.
        self.troubles: deque[tuple[float, str, Values]] = deque(maxlen=_TROUBLES_KEPT)
        counts = MessageCounts(self.metrics)
        self._deleted = counts.deleted
        self._handlers: dict[str, Callable[[Values], None]] = {
            **counts.handlers,
            events.DAEMON_READY: self._is_ready,
            events.LIFECYCLE_HELD: self._lifecycle,
            events.LIFECYCLE_NOTICED: self._lifecycle,
            events.LIFECYCLE_RESUMED: self._lifecycle,
            events.CRON_ENQUEUED: self._enqueued,
            events.CRON_REPAIRED: self._repaired,
            events.CRON_RECALLED: self._recalled,
            events.CRON_MISSED: self._missed,
            events.CRON_INVALID: self._invalid,
            events.CRON_LOADED: self._loaded,
            events.LEASE_ACQUIRED: self._leads,
            events.LEASE_LOST: self._lost,
            events.LEASE_RELEASED: self._follows,
            events.LEASE_FAILED: self._table_failed,
            events.LEASE_RECOVERED: self._table_works,
            **{event: counter(self.metrics, name) for event, name in _COUNTED.items()},
        }

    def emit(self, event: str, /, **values: Any) -> None:
        if event == events.MESSAGE_DELETED:  # one for each message; all else is seldom
            self._deleted(values)
            self._log.emit(event, **values)
            return
        handler = self._handlers.get(event)
        if handler is not None:
            handler(values)
        self._pass_on(event, values)

    def _pass_on(self, event: str, values: dict[str, Any]) -> None:
        reason = values.get("reason")
        if isinstance(reason, str):  # it may quote what AWS was sent
            values["reason"] = redact(reason)
        if event in _TROUBLE:
            self.troubles.append((self._clock.time(), event, values))
        if event not in _NOT_WRITTEN:
            self._log.emit(event, **values)

    def _is_ready(self, _: Values) -> None:
        self.ready = True

    def _lifecycle(self, values: Values) -> None:
        self.lifecycle = values.get("reason")

    # ---- periodic tasks

    def _enqueued(self, values: Values) -> None:
        self.metrics.cron_enqueued += 1
        self._sent(values)

    def _repaired(self, values: Values) -> None:
        self.metrics.cron_repaired += 1
        self._sent(values)

    def _sent(self, values: Values) -> None:
        self.last_cron_send = self._clock.monotonic()
        late = values.get("late_seconds")
        if late is not None:
            self.metrics.cron_late.observe(max(0.0, late))

    def _recalled(self, values: Values) -> None:
        # The other's clock may be ahead.
        now = self._clock.time()
        ago = max(0.0, now - values.get("sent_at", now))
        sent = self._clock.monotonic() - ago
        if self.last_cron_send is None or sent > self.last_cron_send:
            self.last_cron_send = sent

    def _missed(self, values: Values) -> None:
        self.metrics.cron_missed += values["missed"]

    def _table_failed(self, values: Values) -> None:
        self.metrics.lease_failed += values.get("times", 1)

    def _table_works(self, values: Values) -> None:
        self.metrics.lease_failed += values.get("times", 0)

    def _leads(self, _: Values) -> None:
        self.leader, self.leader_since = True, self._clock.monotonic()
        self.metrics.lease_acquired += 1

    def _lost(self, values: Values) -> None:
        self._follows(values)
        self.metrics.lease_lost += 1

    def _follows(self, _: Values) -> None:
        self.leader, self.leader_since = False, None

    def _loaded(self, _: Values) -> None:
        """Problems of this file are told next."""
        self.cron_problems = ()

    def _invalid(self, values: Values) -> None:
        self.cron_problems = tuple(values.get("problems", ()))


#: Events beside those of messages that only move a counter, with its name in `Metrics`.
_COUNTED: Final = {
    events.GATE_CLOSED: "gate_closed",
    events.CRON_FAILED: "cron_failed",
    events.CRON_SKIPPED: "cron_skipped",
    events.DAEMON_FAILED: "defects",
}
