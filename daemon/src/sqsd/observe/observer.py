"""Counts events on their way to the log, and remembers what the status page shows.

`Observer` stands between the daemon and the chosen log format. It implements `base.ports.EventLog`,
so no other room knows of metrics. The hot path is `message.deleted`: it costs some additions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from sqsd.base.ports import Clock, EventLog
from sqsd.base.redact import redact
from sqsd.base.shortened import shortened
from sqsd.contract import events
from sqsd.observe.counts import MessageCounts, Values, counter
from sqsd.observe.metrics import Metrics

#: Events that are counted and never written: they are frequent, and a single one explains nothing.
_NOT_WRITTEN: Final = frozenset({events.HEARTBEAT_SENT, events.CRON_RECALLED})
#: Events that `/status` shows among the newest failures.
_FAILURES: Final = frozenset(
    {
        events.APPLICATION_REDIRECTS,
        events.COMPANION_FAILED,
        events.CRON_FAILED,
        events.CRON_INVALID,
        events.CRON_MISSED,
        events.DAEMON_FAILED,
        events.DESCRIPTORS_SHORT,
        events.GATE_CLOSED,
        events.GATE_WAITING,
        events.LEASE_FAILED,
        events.LEASE_LOST,
        events.LIFECYCLE_FAILED,
        events.LOOP_LAGGED,
        events.MESSAGE_DAMAGED,
        events.MESSAGE_DEAD_LETTERED,
        events.MESSAGE_DEAD_LETTER_POST_FAILED,
        events.MESSAGE_DELETE_FAILED,
        events.MESSAGE_EXPIRED,
        events.MESSAGE_HELD,
        events.MESSAGE_OVERDUE,
        events.MESSAGE_RELEASED,
        events.MESSAGE_RELEASE_FAILED,
        events.PROXY_NOTICED,
        events.QUEUE_FAILED,
        events.STATUS_FAILED,
        events.TRACING_FAILED,
    }
)
#: Longest value of an event, in characters. The longest hints have half of that.
_LONGEST_VALUE: Final = 2_000
#: Failures that `/status` shows, at most.
_MOST_FAILURES: Final = 20


class Observer:
    """Implements `base.ports.EventLog`: counts each event, then passes it on to `log`."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        #: What has been counted since the process started.
        self.metrics = Metrics()
        #: Whether this process leads: it enqueues periodic tasks.
        self.leader = False
        #: Whether a receive has completed.
        self.ready = False
        #: Why the instance's lifecycle pauses or drains the daemon, or None while it does neither.
        self.lifecycle: str | None = None
        #: Monotonic seconds at which this process became leader, or None while it is not.
        self.leader_since: float | None = None
        #: Problems of the entries of `cron.yaml` that cannot be run.
        self.cron_problems: tuple[str, ...] = ()
        #: Monotonic seconds at which a periodic task's message was last sent, by this process or,
        #: according to the leader table, by a leader before it; or None if no send is known.
        self.last_cron_send: float | None = None
        #: The newest failures, oldest first: epoch seconds, event, values.
        self.failures: deque[tuple[float, str, Values]] = deque(maxlen=_MOST_FAILURES)
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
            events.LEASE_RECOVERED: self._table_recovered,
            **{event: counter(self.metrics, name) for event, name in _COUNTED.items()},
        }

    def emit(self, event: str, /, **values: Any) -> None:
        if event == events.MESSAGE_DELETED:  # one for each message; every other event is rare
            self._deleted(values)
            self._log.emit(event, **values)
            return
        handler = self._handlers.get(event)
        if handler is not None:
            handler(values)
        self._pass_on(event, values)

    def _pass_on(self, event: str, values: dict[str, Any]) -> None:
        reason = values.get("reason")
        if isinstance(reason, str):  # it may quote a request to AWS, secrets included
            values["reason"] = redact(reason)
        for name, value in values.items():
            if isinstance(value, str):  # an error may quote a message as a whole
                values[name] = shortened(value, _LONGEST_VALUE)
        if event in _FAILURES:
            self.failures.append((self._clock.time(), event, values))
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
        # The clock of the process that sent may be ahead of this one's.
        now = self._clock.time()
        ago = max(0.0, now - values.get("sent_at", now))
        sent = self._clock.monotonic() - ago
        if self.last_cron_send is None or sent > self.last_cron_send:
            self.last_cron_send = sent

    def _missed(self, values: Values) -> None:
        self.metrics.cron_missed += values["missed"]

    def _table_failed(self, values: Values) -> None:
        self.metrics.lease_failed += values.get("times", 1)

    def _table_recovered(self, values: Values) -> None:
        self.metrics.lease_failed += values.get("times", 0)

    def _leads(self, _: Values) -> None:
        self.leader = True
        self.leader_since = self._clock.monotonic()
        self.metrics.lease_acquired += 1

    def _lost(self, values: Values) -> None:
        self._follows(values)
        self.metrics.lease_lost += 1

    def _follows(self, _: Values) -> None:
        self.leader = False
        self.leader_since = None

    def _loaded(self, _: Values) -> None:
        """Forget the problems of the file before; `cron.invalid` follows with this file's."""
        self.cron_problems = ()

    def _invalid(self, values: Values) -> None:
        self.cron_problems = tuple(values.get("problems", ()))


#: Events, those of messages apart, that only add one to a counter; its name in `Metrics`.
_COUNTED: Final = {
    events.GATE_CLOSED: "gate_closed",
    events.CRON_FAILED: "cron_failed",
    events.CRON_SKIPPED: "cron_skipped",
    events.DAEMON_FAILED: "defects",
}
