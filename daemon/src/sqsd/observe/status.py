"""Answers whether the daemon is alive, whether it is ready, and what it is doing.

Alive and ready differ. A daemon whose application is down is alive, because a restart would not
help, but it is not ready. The same holds for a queue that refuses receives: the cause is the queue
or a permission. A receive that hangs makes the process count as dead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqsd.base.ports import Clock
from sqsd.cron.schedule import Task, next_after
from sqsd.messages.dispatching import Dispatching, QueueDispatching, is_stuck
from sqsd.messages.in_flight import InFlightMessage, State
from sqsd.observe.metrics import Levels, QueueLevels
from sqsd.observe.observer import Observer

#: Time without a completed receive from which EB's daemon reports a queue as not polled, seconds
#: (EB developer guide, "Basic health reporting").
HEALTHY_POLL_SECONDS: Final = 180.0
#: Most in-flight messages that are listed.
_MESSAGES_SHOWN: Final = 200
#: Most coming times of periodic tasks that are listed.
_OCCURRENCES_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Verdict:
    """Holds the answer to a probe, and its reason."""

    passes: bool
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueIdentity:
    """Names one of several queues."""

    name: str
    url: str
    weight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonIdentity:
    """Names what never changes while a daemon runs.

    Args:
        version: version of the daemon.
        tier_name: name of the tier.
        queue_url: URL of the first queue.
        fifo: whether the first queue is a FIFO queue.
        http_connections: most requests at one time.
        queues: all queues where there are several, in the order of the dispatcher's `parts`.
    """

    version: str
    tier_name: str
    queue_url: str
    fifo: bool
    http_connections: int
    queues: Sequence[QueueIdentity] = ()


class Status:
    """Reads the parts of a daemon, and changes nothing.

    Args:
        identity: what never changes.
        dispatcher: the dispatcher of one queue, or of several.
        observer: what has been counted and remembered.
        clock: the clock of the daemon.
        tasks: returns the periodic tasks that are enabled now.
        log_lines_dropped: returns how many lines standard output did not take so far.
        log_failure: returns why standard output takes no lines at present, with the hint, or None
            while it does.
    """

    def __init__(
        self,
        *,
        identity: DaemonIdentity,
        dispatcher: Dispatching,
        observer: Observer,
        clock: Clock,
        tasks: Callable[[], Sequence[Task]] = tuple,
        log_lines_dropped: Callable[[], int] = lambda: 0,
        log_failure: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._identity = identity
        self._dispatcher = dispatcher
        self._observer = observer
        self._clock = clock
        self._tasks = tasks
        self._log_lines_dropped = log_lines_dropped
        self._log_failure = log_failure
        self._started = clock.monotonic()

    # ---- for probes and metrics

    def alive(self) -> Verdict:
        """Return whether the process should go on: it need not be restarted while polling works."""
        if is_stuck(self._dispatcher, self._clock.monotonic()):
            age = self._poll_age()
            return Verdict(
                False, f"no receive has completed for {age:.0f} s, though one should have"
            )
        return Verdict(True, "draining" if self._dispatcher.draining else "alive")

    def ready(self) -> Verdict:
        """Return whether messages are being received."""
        dispatcher = self._dispatcher
        if dispatcher.draining:
            return Verdict(False, "draining")
        if not dispatcher.gate_is_open:
            return Verdict(False, "the application does not answer")
        if not self._observer.ready:
            return Verdict(False, "no receive has completed yet")
        if dispatcher.paused:
            return Verdict(False, self._observer.lifecycle or "waiting for the instance's metadata")
        if dispatcher.queue_is_failing:
            return Verdict(False, "the queue refuses receives; see queue.failed in the log")
        return Verdict(True, "ready")

    def polled_lately(self) -> bool:
        """Return whether the queue is polled as EB's `Health` metric wants it: within 3 minutes."""
        # Every connection has a long request, or the instance is in a warm pool.
        if self._dispatcher.needs_no_messages:
            return True
        return self._observer.ready and self._poll_age() <= HEALTHY_POLL_SECONDS

    def levels(self) -> Levels:
        """Return the levels of now."""
        observer = self._observer
        now = self._clock.monotonic()
        sent = observer.last_cron_send
        if sent is None:  # a leader that never sent has been silent since it leads
            sent = observer.leader_since
        return Levels(
            in_flight=self._dispatcher.in_flight,
            gate_open=self._dispatcher.gate_is_open,
            draining=self._dispatcher.draining,
            leader=observer.leader,
            poll_age=self._poll_age(),
            uptime=now - self._started,
            last_cron_send_age=None if sent is None else now - sent,
            log_lines_dropped=self._log_lines_dropped(),
            leader_for=None if observer.leader_since is None else now - observer.leader_since,
        )

    def queue_levels(self) -> list[QueueLevels]:
        """Return the levels of each queue, in the order of `DaemonIdentity.queues`."""
        now = self._clock.monotonic()
        return [
            QueueLevels(part.in_flight, max(0.0, now - part.last_receive))
            for part in self._dispatcher.parts
        ]

    def _poll_age(self) -> float:
        return max(0.0, self._clock.monotonic() - self._dispatcher.last_receive)

    # ---- for people

    def document(self) -> dict[str, Any]:
        """Return everything as JSON values. No body or receipt handle is among them."""
        identity = self._identity
        levels = self.levels()
        alive = self.alive()
        ready = self.ready()
        return {
            "version": identity.version,
            "tier_name": identity.tier_name,
            "queue_url": identity.queue_url,
            "uptime_seconds": round(levels.uptime, 1),
            "alive": alive.passes,
            "ready": ready.passes,
            "reason": ready.reason if alive.passes else alive.reason,
            "poll_age_seconds": round(levels.poll_age, 1),
            "gate": {
                "open": levels.gate_open,
                "limit": self._dispatcher.in_flight_limit,
                "http_connections": identity.http_connections,
            },
            "in_flight": self._in_flight(),
            "message_groups": self._message_groups(self._dispatcher.parts),
            **self._queues(),
            "lifecycle": self._observer.lifecycle,
            "cron": self._cron(levels),
            "totals": self._totals(),
            "log_lines_dropped": levels.log_lines_dropped,
            "log_failure": self._log_failure(),
            "last_failures": [
                {"time": _iso(at), "event": event, **values}
                for at, event, values in reversed(self._observer.failures)
            ],
        }

    def _in_flight(self) -> dict[str, Any]:
        messages = self._dispatcher.messages()
        states = Counter(in_flight.state.value for in_flight in messages)
        oldest = sorted(messages, key=lambda in_flight: in_flight.arrived_at)[:_MESSAGES_SHOWN]
        now = self._clock.monotonic()
        return {
            "count": self._dispatcher.in_flight,
            "states": dict(states),
            "oldest": [_about(in_flight, now) for in_flight in oldest],
        }

    def _message_groups(self, parts: Sequence[QueueDispatching]) -> dict[str, int]:
        """Return how many messages each FIFO message group has here, the running one included."""
        held = (State.WAITING, State.HELD, State.RUNNING)
        return dict(
            Counter(
                in_flight.message.group_id
                for part in parts
                if part.fifo
                for in_flight in part.messages()
                if in_flight.state in held and in_flight.message.group_id is not None
            )
        )

    def _queues(self) -> dict[str, Any]:
        """Return what each queue does, where there are several. Two may have groups of one name."""
        several = self._identity.queues
        if not several:
            return {}
        return {
            "queues": [
                {
                    "name": queue.name,
                    "queue_url": queue.url,
                    "weight": queue.weight,
                    "in_flight": levels.in_flight,
                    "poll_age_seconds": round(levels.poll_age, 1),
                    "refuses_receives": part.queue_is_failing,
                    "message_groups": self._message_groups([part]),
                }
                for queue, levels, part in zip(
                    several, self.queue_levels(), self._dispatcher.parts, strict=True
                )
            ]
        }

    def _cron(self, levels: Levels) -> dict[str, Any]:
        at = datetime.fromtimestamp(self._clock.time(), UTC)
        upcoming = [(next_after(task, at), task.name) for task in self._tasks()]
        age = levels.last_cron_send_age
        since = levels.leader_for
        return {
            "leader": levels.leader,
            "leader_for_seconds": None if since is None else round(since, 1),
            "problems": list(self._observer.cron_problems),
            "last_send_age_seconds": None if age is None else round(age, 1),
            "next": [
                {"task": name, "at": due.strftime("%Y-%m-%dT%H:%M:%SZ")}
                for due, name in sorted(upcoming)[:_OCCURRENCES_SHOWN]
            ],
        }

    def _totals(self) -> dict[str, Any]:
        metrics = self._observer.metrics
        return {
            "received": metrics.received,
            "deleted": metrics.deleted,
            "released": dict(metrics.releases),
            "dead_lettered": metrics.dead_lettered,
            "expired": metrics.expired,
            "receive_errors": metrics.receives_failed,
        }


def _about(in_flight: InFlightMessage, now: float) -> dict[str, Any]:
    message = in_flight.message
    return {
        "message_id": message.message_id,
        "state": in_flight.state.value,
        "age_seconds": round(now - in_flight.arrived_at, 3),
        "receive_count": message.receive_count,
        "group_id": message.group_id,
        "task": in_flight.task_name,
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
