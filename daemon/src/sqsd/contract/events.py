"""Names of log events. They are an interface: alarms, dashboards and users' queries read them.

docs/operations.md gives the meaning of each. No event ever carries a body, a credential or a
receipt handle.
"""

from __future__ import annotations

from typing import Final

# ---- the daemon itself
DAEMON_STARTED: Final = "daemon.started"
DAEMON_READY: Final = "daemon.ready"
DAEMON_DRAINING: Final = "daemon.draining"
DAEMON_STOPPED: Final = "daemon.stopped"
DAEMON_FORCED: Final = "daemon.forced"
DAEMON_FAILED: Final = "daemon.failed"
#: The process has no file descriptor left, or its limit on them is too low.
DESCRIPTORS_SHORT: Final = "descriptors.short"
# ---- messages
MESSAGE_DELETED: Final = "message.deleted"
MESSAGE_RELEASED: Final = "message.released"
MESSAGE_HELD: Final = "message.held"
MESSAGE_DEAD_LETTERED: Final = "message.dead_lettered"
MESSAGE_DEAD_LETTER_POSTED: Final = "message.dead_letter_posted"
MESSAGE_DEAD_LETTER_POST_FAILED: Final = "message.dead_letter_post_failed"
MESSAGE_EXPIRED: Final = "message.expired"
MESSAGE_DUPLICATE: Final = "message.duplicate"
MESSAGE_OVERDUE: Final = "message.overdue"
MESSAGE_ATTRIBUTE_SKIPPED: Final = "message.attribute_skipped"
MESSAGE_DELETE_FAILED: Final = "message.delete_failed"
MESSAGE_RELEASE_FAILED: Final = "message.release_failed"
MESSAGE_DAMAGED: Final = "message.damaged"
# ---- the queue and the application
QUEUE_FAILED: Final = "queue.failed"
QUEUE_RECOVERED: Final = "queue.recovered"
GATE_CLOSED: Final = "gate.closed"
GATE_OPENED: Final = "gate.opened"
GATE_WAITING: Final = "gate.waiting"
APPLICATION_REDIRECTS: Final = "application.redirects"
PROXY_NOTICED: Final = "proxy.noticed"
#: Counted and never written: one for each batch of visibility extensions.
HEARTBEAT_SENT: Final = "heartbeat.sent"
# ---- the instance
LIFECYCLE_NOTICED: Final = "lifecycle.noticed"
LIFECYCLE_HELD: Final = "lifecycle.held"
LIFECYCLE_RESUMED: Final = "lifecycle.resumed"
LIFECYCLE_COMPLETED: Final = "lifecycle.completed"
LIFECYCLE_FAILED: Final = "lifecycle.failed"
LIFECYCLE_PROTECTED: Final = "lifecycle.protected"
LIFECYCLE_UNPROTECTED: Final = "lifecycle.unprotected"
# ---- observing the daemon
METRICS_REPORTED: Final = "metrics.reported"
STATUS_FAILED: Final = "status.failed"
LOOP_LAGGED: Final = "loop.lagged"
COMPANION_FAILED: Final = "companion.failed"
LOG_RECOVERED: Final = "log.recovered"
TRACING_FAILED: Final = "tracing.failed"
# ---- periodic tasks
CRON_LOADED: Final = "cron.loaded"
CRON_INVALID: Final = "cron.invalid"
#: Counted and never written: when a task was last sent by any daemon, by the leader table.
CRON_RECALLED: Final = "cron.recalled"
CRON_ENQUEUED: Final = "cron.enqueued"
CRON_REPAIRED: Final = "cron.repaired"
CRON_MISSED: Final = "cron.missed"
CRON_FAILED: Final = "cron.failed"
CRON_SUPPRESSED: Final = "cron.suppressed"
CRON_SKIPPED: Final = "cron.skipped"
LEASE_STARTED: Final = "lease.started"
LEASE_EXPIRED: Final = "lease.expired"
LEASE_CONTESTED: Final = "lease.contested"
LEASE_ACQUIRED: Final = "lease.acquired"
LEASE_LOST: Final = "lease.lost"
LEASE_RELEASED: Final = "lease.released"
LEASE_FAILED: Final = "lease.failed"
LEASE_RECOVERED: Final = "lease.recovered"
LEASE_STOPPED: Final = "lease.stopped"
#: Reason of `lease.released` when the scheduler ends.
STOPPING: Final = "stopping"
