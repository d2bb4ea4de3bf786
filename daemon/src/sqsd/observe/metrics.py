"""Counters, histograms and levels, cheap enough to update for every message.

Counters and buckets exist from the start, so a message costs a few additions and no allocation. The
readers (`prometheus`, `emf`, `/status`) do the arithmetic. The daemon has one thread, so there are
no locks.

Counters only grow. A level (messages in flight, the gate, ages) is computed when it is read, as
`Levels`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

#: Upper bounds of the buckets of each histogram, seconds. Dwell ranges from milliseconds to the
#: days of a retention period.
DWELL_BOUNDS: Final = (
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0
)  # fmt: skip
APP_BOUNDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0
)  # fmt: skip
DISPATCH_BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
SETTLE_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
LATE_BOUNDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

#: Classes of HTTP status, at the index of the first digit; index 0 is no complete answer.
STATUS_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
#: Most distinct release reasons that are counted. The daemon has fewer; a defect could make more.
_MOST_REASONS: Final = 600
#: Counts the releases whose reason is beyond `_MOST_REASONS`.
OTHER_REASON: Final = "other"


class Histogram:
    """Counts observations by upper bound; the last of `counts` is above every bound."""

    __slots__ = ("bounds", "counts", "highest", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        #: Largest observation so far; represents the bucket that has no bound.
        self.highest = 0.0

    def observe(self, value: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        if value > self.highest:
            self.highest = value

    @property
    def count(self) -> int:
        """Observations so far."""
        return sum(self.counts)


@dataclass(slots=True)
class Metrics:
    """Holds everything that is counted over the life of a process. Durations are in seconds."""

    dwell: Histogram = field(default_factory=lambda: Histogram(DWELL_BOUNDS))
    dispatch: Histogram = field(default_factory=lambda: Histogram(DISPATCH_BOUNDS))
    #: Application time, at the index of `STATUS_CLASSES`.
    app: tuple[Histogram, ...] = field(
        default_factory=lambda: tuple(Histogram(APP_BOUNDS) for _ in STATUS_CLASSES)
    )
    delete: Histogram = field(default_factory=lambda: Histogram(SETTLE_BOUNDS))
    loop_lag: Histogram = field(default_factory=lambda: Histogram(LAG_BOUNDS))
    cron_late: Histogram = field(default_factory=lambda: Histogram(LATE_BOUNDS))
    deleted: int = 0
    delete_failed: int = 0
    released: int = 0
    releases: dict[str, int] = field(default_factory=dict)
    dead_lettered: int = 0
    expired: int = 0
    duplicates: int = 0
    #: Messages answered 200 after their visibility had ended.
    overdue: int = 0
    damaged: int = 0
    attributes_skipped: int = 0
    #: Messages dispatched here that had been received before.
    retries: int = 0
    heartbeats: int = 0
    heartbeats_failed: int = 0
    receives: int = 0
    receives_empty: int = 0
    receives_failed: int = 0
    received: int = 0
    gate_closed: int = 0
    cron_enqueued: int = 0
    cron_repaired: int = 0
    cron_missed: int = 0
    cron_failed: int = 0
    cron_suppressed: int = 0
    cron_skipped: int = 0
    lease_acquired: int = 0
    lease_lost: int = 0
    lease_failed: int = 0
    defects: int = 0

    def release(self, reason: str) -> None:
        """Count one release."""
        self.released += 1
        if reason not in self.releases and len(self.releases) >= _MOST_REASONS:
            reason = OTHER_REASON
        self.releases[reason] = self.releases.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class Levels:
    """Holds the levels of one moment. An age is in seconds, or None if nothing happened yet."""

    in_flight: int
    gate_open: bool
    draining: bool
    leader: bool
    poll_age: float
    uptime: float
    last_cron_send_age: float | None
    log_lines_dropped: int
    #: Seconds since this process became leader, or None while it is not.
    leader_for: float | None = None


@dataclass(frozen=True, slots=True)
class QueueLevels:
    """Holds the levels of one of several queues. The age is in seconds."""

    in_flight: int
    poll_age: float


#: Attribute of `Metrics`, Prometheus name and meaning of each counter, in the order shown.
COUNTERS: Final = (
    ("received", "messages_received", "Messages that SQS handed out to this process."),
    ("deleted", "messages_deleted", "Messages whose deletion SQS confirmed."),
    ("delete_failed", "deletes_failed", "Messages whose deletion was given up."),
    (
        "dead_lettered",
        "messages_dead_lettered",
        "Messages sent to the dead-letter queue from here.",
    ),
    ("expired", "messages_expired", "Messages deleted unposted, past retention_period."),
    ("duplicates", "messages_duplicate", "Deliveries of messages that were held or done here."),
    ("overdue", "messages_overdue", "Messages answered 200 after their visibility had ended."),
    (
        "damaged",
        "messages_damaged",
        "Messages that could not be read, or whose body did not match its checksum.",
    ),
    ("attributes_skipped", "attributes_skipped", "Message attributes that became no header."),
    ("retries", "retries", "Dispatched messages that had been received before."),
    ("heartbeats", "heartbeats", "Visibility extensions that SQS confirmed."),
    ("heartbeats_failed", "heartbeats_failed", "Visibility extensions that failed."),
    ("receives", "receives", "Receive calls that SQS answered."),
    ("receives_empty", "receives_empty", "Receive calls that brought no message."),
    ("receives_failed", "receive_errors", "Receive calls that failed."),
    ("gate_closed", "gate_closed", "Times the application was found to be down."),
    ("cron_enqueued", "cron_enqueued", "Periodic tasks enqueued by this process."),
    (
        "cron_repaired",
        "cron_repaired",
        "Enqueued for a leader that stopped half-way.",
    ),
    ("cron_missed", "cron_missed", "Occurrences given up, too old to catch up."),
    ("cron_failed", "cron_failed", "Failures to enqueue a periodic task."),
    ("cron_suppressed", "cron_suppressed", "Copies of periodic tasks deleted unposted."),
    ("cron_skipped", "cron_skipped", "Occurrences skipped because the one before still runs."),
    ("lease_acquired", "lease_acquired", "Times this process became leader."),
    ("lease_lost", "lease_lost", "Times this process lost the lease without releasing it."),
    ("lease_failed", "lease_errors", "Leader table calls that failed."),
    ("defects", "defects", "Exceptions that are defects of the daemon."),
)
#: Attributes of `COUNTERS` that are shown for each queue where there are several.
QUEUE_COUNTERS: Final = (
    "received",
    "deleted",
    "delete_failed",
    "dead_lettered",
    "expired",
    "duplicates",
    "overdue",
    "retries",
    "heartbeats",
    "heartbeats_failed",
    "receives",
    "receives_empty",
    "receives_failed",
)
