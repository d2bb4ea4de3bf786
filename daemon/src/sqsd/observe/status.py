"""What the daemon says of itself: is it alive, is it ready, what is it doing.

Alive and ready are not one: a daemon whose application is down is alive, for restarting it helps
nobody, and not ready. A queue that refuses is trouble of the queue or of permissions, so it is no
reason to call the process dead either; a receive that hangs is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqsd.base.ports import Clock
from sqsd.cron.schedule import Task, next_after
from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.in_flight import Flight, State
from sqsd.messages.several_queues import AnyDispatcher
from sqsd.observe.metrics import Levels, QueueLevels
from sqsd.observe.observer import Observer

#: Seconds without a completed receive after which polling counts as hung; far above a long poll.
STUCK_SECONDS: Final = 120.0
#: EB's measure of a queue that is not polled (developer guide, "Basic health reporting").
HEALTHY_POLL_SECONDS: Final = 180.0
_FLIGHTS_SHOWN: Final = 200
_OCCURRENCES_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something is well, and why."""

    well: bool
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueIdentity:
    """One of several queues."""

    name: str
    url: str
    weight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What never changes while a daemon runs.

    Args:
        queue_url, fifo: the first queue's.
        queues: with several, all of them, in the order of `Dispatchers.parts`.
    """

    version: str
    tier_name: str
    queue_url: str
    fifo: bool
    http_connections: int
    queues: Sequence[QueueIdentity] = ()


class Status:
    """Reads the parts of a daemon; changes nothing.

    Args:
        tasks: gives the periodic tasks that are enabled now.
        log_lines_dropped: lines that standard output would not take, so far.
        log_trouble: why it takes none now, and the hint; None: it does.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        dispatcher: AnyDispatcher,
        observer: Observer,
        clock: Clock,
        tasks: Callable[[], Sequence[Task]] = tuple,
        log_lines_dropped: Callable[[], int] = lambda: 0,
        log_trouble: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._identity, self._dispatcher, self._observer = identity, dispatcher, observer
        self._clock, self._tasks = clock, tasks
        self._log_lines_dropped, self._log_trouble = log_lines_dropped, log_trouble
        self._started = clock.monotonic()

    # ---- for probes and metrics

    def alive(self) -> Verdict:
        """Polling is not hung: what a supervisor of processes should restart for."""
        if is_stuck(self._dispatcher, self._clock.monotonic()):
            age = self._poll_age()
            return Verdict(
                False, f"no receive has completed for {age:.0f} s, though one should have"
            )
        return Verdict(True, "draining" if self._dispatcher.draining else "alive")

    def ready(self) -> Verdict:
        """Messages are being taken."""
        dispatcher = self._dispatcher
        if dispatcher.draining:
            return Verdict(False, "draining")
        if not dispatcher.gate_is_open:
            return Verdict(False, "the application does not answer")
        if not self._observer.ready:
            return Verdict(False, "no receive has completed yet")
        if dispatcher.held_back:
            return Verdict(False, self._observer.lifecycle or "waiting for the instance's metadata")
        if dispatcher.queue_is_failing:
            return Verdict(False, "the queue refuses receives; see queue.failed in the log")
        return Verdict(True, "ready")

    def polled_lately(self) -> bool:
        """EB's condition on the queue for its `Health` metric; its other one is the application."""
        if self._dispatcher.rightly_idle:  # long requests in all slots, or in a warm pool
            return True
        return self._observer.ready and self._poll_age() <= HEALTHY_POLL_SECONDS

    def levels(self) -> Levels:
        """The levels as of now."""
        observer, now = self._observer, self._clock.monotonic()
        sent = observer.last_cron_send
        if sent is None:  # a leader that has never sent is silent since it leads
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
        """Of each queue, in the order of `Identity.queues`."""
        now = self._clock.monotonic()
        return [
            QueueLevels(part.in_flight, max(0.0, now - part.last_receive))
            for part in self._dispatcher.parts
        ]

    def _poll_age(self) -> float:
        return max(0.0, self._clock.monotonic() - self._dispatcher.last_receive)

    # ---- for people

    def document(self) -> dict[str, Any]:
        """Everything, as JSON values. No body, no handle."""
        identity, levels = self._identity, self.levels()
        alive, ready = self.alive(), self.ready()
        return {
            "version": identity.version,
            "tier_name": identity.tier_name,
            "queue_url": identity.queue_url,
            "uptime_seconds": round(levels.uptime, 1),
            "alive": alive.well,
            "ready": ready.well,
            "reason": ready.reason if alive.well else alive.reason,
            "poll_age_seconds": round(levels.poll_age, 1),
            "gate": {
                "open": levels.gate_open,
                "window": self._dispatcher.window,
                "http_connections": identity.http_connections,
            },
            "in_flight": self._flights(),
            "lanes": self._lanes(self._dispatcher.parts),
            **self._queues(),
            "lifecycle": self._observer.lifecycle,
            "cron": self._cron(levels),
            "totals": self._totals(),
            "log_lines_dropped": levels.log_lines_dropped,
            "log_trouble": self._log_trouble(),
            "last_troubles": [
                {"time": _iso(at), "event": event, **values}
                for at, event, values in reversed(self._observer.troubles)
            ],
        }

    def _flights(self) -> dict[str, Any]:
        flights = self._dispatcher.flights()
        states = Counter(flight.state.value for flight in flights)
        oldest = sorted(flights, key=lambda flight: flight.arrived_at)[:_FLIGHTS_SHOWN]
        now = self._clock.monotonic()
        return {
            "count": self._dispatcher.in_flight,
            "states": dict(states),
            "oldest": [_about(flight, now) for flight in oldest],
        }

    def _lanes(self, parts: Sequence[Dispatcher]) -> dict[str, int]:
        """FIFO: how many messages each group has here, the running one included."""
        held = (State.WAITING, State.KEPT, State.RUNNING)
        return dict(
            Counter(
                flight.message.group_id
                for part in parts
                if part.fifo
                for flight in part.flights()
                if flight.state in held and flight.message.group_id is not None
            )
        )

    def _queues(self) -> dict[str, Any]:
        """With several, what each of them does; groups of two queues may have one name."""
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
                    "lanes": self._lanes([part]),
                }
                for queue, levels, part in zip(
                    several, self.queue_levels(), self._dispatcher.parts, strict=True
                )
            ]
        }

    def _cron(self, levels: Levels) -> dict[str, Any]:
        at = datetime.fromtimestamp(self._clock.time(), UTC)
        upcoming = [(next_after(task, at), task.name) for task in self._tasks()]
        age, since = levels.last_cron_send_age, levels.leader_for
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


def is_stuck(dispatcher: AnyDispatcher, now: float) -> bool:
    """No receive has completed for long, though one should have: there is room and no refusal.

    Of any one queue: another's trouble must not hide it.
    """
    return any(
        now - max(part.last_receive, part.wanting_since or part.last_receive) > STUCK_SECONDS
        and part.wants_messages
        and not part.queue_is_failing
        for part in dispatcher.parts
    )


def _about(flight: Flight, now: float) -> dict[str, Any]:
    message = flight.message
    return {
        "message_id": message.message_id,
        "state": flight.state.value,
        "age_seconds": round(now - flight.arrived_at, 3),
        "receive_count": message.receive_count,
        "group_id": message.group_id,
        "task": flight.task_name,
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
