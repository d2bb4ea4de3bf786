"""Names of log events. They are an interface: alarms, dashboards and users' queries read them.

Each has a description: what happened, and after "Hint:" what to do about it. The page
docs/reference/events.md is generated from them. No event ever carries a body, a credential or a
receipt handle.
"""

from __future__ import annotations

from typing import Final

# ---- the daemon itself
DAEMON_STARTED: Final = "daemon.started"
"""The settings are good, and the daemon begins."""
DAEMON_READY: Final = "daemon.ready"
"""The first receive of every queue completed: messages are being taken."""
DAEMON_DRAINING: Final = "daemon.draining"
"""The daemon was asked to stop: it receives nothing more and finishes what runs. `reason` says what
asked."""
DAEMON_STOPPED: Final = "daemon.stopped"
"""The daemon has ended. `clean` says whether every message in flight was finished. Hint: With
`clean: false` raise `drain_timeout`."""
DAEMON_FORCED: Final = "daemon.forced"
"""A second signal cut the requests in flight, as the end of `drain_timeout` does."""
DAEMON_FAILED: Final = "daemon.failed"
"""The daemon ended because of a defect in it. Hint: Report the line with its `reason`."""
DESCRIPTORS_SHORT: Final = "descriptors.short"
"""The process has no file descriptor left, or its `limit` is below what `http_connections` and the
daemon's own connections need (`needed`): `http_connections` in the line is then how many requests
run at one time. Idle connections were closed. Hint: Raise the limit as `reason` says."""
# ---- messages
MESSAGE_DELETED: Final = "message.deleted"
"""The application answered 200, and SQS confirmed the delete."""
MESSAGE_RELEASED: Final = "message.released"
"""The request failed, or the message was released untried. `reason` and `status` say why,
`after_seconds` when the message is visible again (null: when its visibility ends), `receives_left`
how often it will still be received. Hint: Read your application's log at that time."""
MESSAGE_HELD: Final = "message.held"
"""The message waits here, hidden, and is posted again by this daemon: after `after_seconds` because
its status is one of `backpressure_statuses`, or first when the gate opens because its request found
no application, for `reason`. `message.released` follows if that takes more than 15 minutes (on its
last receive: 12 hours, SQS's limit), or if the daemon stops. Hint: As for `gate.closed`."""
MESSAGE_DEAD_LETTERED: Final = "message.dead_lettered"
"""The answer's status is one of `dead_letter_statuses`, so the daemon sent a copy to the
dead-letter queue and deleted the message. The copy has the reason as an attribute."""
MESSAGE_DEAD_LETTER_POSTED: Final = "message.dead_letter_posted"
"""The application was POSTed a message that is given up, on `on_dead_letter_path`. `reason` is why
it is given up, `status` that of its last attempt."""
MESSAGE_DEAD_LETTER_POST_FAILED: Final = "message.dead_letter_post_failed"
"""The POST on `on_dead_letter_path` failed, for `reason`, after so many `tries`; the next one comes
`after_seconds`. Without `after_seconds` there is none, and the message goes on to the dead letters;
with 0 `tries` it was not POSTed. Hint: Read the application's log for that path."""
MESSAGE_EXPIRED: Final = "message.expired"
"""The message was older than `retention_period`, and was deleted without a POST. Hint: The tier did
not keep up for days, or the option is too low."""
MESSAGE_DUPLICATE: Final = "message.duplicate"
"""SQS delivered the message again while this daemon had it in process, or after its 200. Hint: If
it is frequent, `visibility_timeout` is too short for the load, or heartbeats fail."""
MESSAGE_OVERDUE: Final = "message.overdue"
"""The application answered 200, but `overdue_seconds` after the visibility had ended: another
instance may have run the message too. Hint: Heartbeats failed (`queue.failed`), `heartbeat` is off,
or the daemon got no CPU (`loop.lagged`)."""
MESSAGE_ATTRIBUTE_SKIPPED: Final = "message.attribute_skipped"
"""A message attribute became no header; `reason` says why."""
MESSAGE_DELETE_FAILED: Final = "message.delete_failed"
"""SQS did not confirm a delete, for `reason`. The message is recognized when it comes back, and is
not posted again. Hint: Read `reason`, and `queue.failed`."""
MESSAGE_RELEASE_FAILED: Final = "message.release_failed"
"""SQS would not change the visibility. The message comes back when its visibility ends. Hint: Read
`reason`."""
MESSAGE_DAMAGED: Final = "message.damaged"
"""An entry of a receive cannot be read, or its body does not have the MD5 that SQS gave; `reason`
names the part. The message comes back after its visibility. On a FIFO queue what follows it in its
group is released and comes after it."""
# ---- the queue and the application
QUEUE_FAILED: Final = "queue.failed"
"""SQS refuses a call or cannot be reached. It is logged once a minute, and SQS is asked ever more
seldom, up to every 20 s. Hint: `reason` names the queue, the action and the hint: a statement that
the role needs, a region, keys."""
QUEUE_RECOVERED: Final = "queue.recovered"
"""SQS answers again."""
GATE_CLOSED: Final = "gate.closed"
"""The application is down, and nothing is received until it is back. Hint: `systemctl status web`,
and the proxy's log."""
GATE_OPENED: Final = "gate.opened"
"""The application is back, and messages are received again. Before the first of these events the
daemon has not seen the application yet, and `/readyz` says so."""
GATE_WAITING: Final = "gate.waiting"
"""The application has not answered for 10 s. It is logged again each minute, and nothing is
received. Hint: Start the application, or correct `http_port` or `health_path`."""
APPLICATION_REDIRECTS: Final = "application.redirects"
"""A POST was answered by a redirect, which is a failure. `reason` says where it leads. It is logged
at most once a minute. Hint: Exempt the daemon's requests from the redirect, as `hint` says."""
PROXY_NOTICED: Final = "proxy.noticed"
"""The application is behind an nginx that this project did not set up. It may leave out headers,
and give up before `inactivity_timeout`. Hint: `hint` names the settings."""
HEARTBEAT_SENT: Final = "heartbeat.sent"
"""A batch of visibility extensions was sent. It is counted in the metrics and never written."""
# ---- the instance
LIFECYCLE_NOTICED: Final = "lifecycle.noticed"
"""The instance is to go (Spot notice, rebalance, Auto Scaling), or must not start yet."""
LIFECYCLE_HELD: Final = "lifecycle.held"
"""The instance is in a warm pool, so nothing is received."""
LIFECYCLE_RESUMED: Final = "lifecycle.resumed"
"""The instance is in service again, and messages are received."""
LIFECYCLE_COMPLETED: Final = "lifecycle.completed"
"""The termination hook was completed."""
LIFECYCLE_FAILED: Final = "lifecycle.failed"
"""The termination hook could not be completed; or the protection from scale-in could not be set,
which is logged once a minute, with the number of `times`, and for an instance that is not in
service yet only after five minutes. Hint: The role lacks the action, as `reason` says, or the hook
is gone."""
LIFECYCLE_PROTECTED: Final = "lifecycle.protected"
"""With `protect_busy_instance`: a request has run for 10 s, so a scale-in leaves this instance."""
LIFECYCLE_UNPROTECTED: Final = "lifecycle.unprotected"
"""With `protect_busy_instance`: no long request has run for a minute, or the daemon stops, so a
scale-in may take this instance."""
# ---- observing the daemon
METRICS_REPORTED: Final = "metrics.reported"
"""The metrics of the last minute, in CloudWatch's embedded metric format, were written."""
STATUS_FAILED: Final = "status.failed"
"""The status page could not open its port. Messages go on. Hint: Another program has
`status_port`."""
LOOP_LAGGED: Final = "loop.lagged"
"""The daemon did not get to run for a second or more. It is logged at most once a minute. Hint: Use
a larger instance, or fewer workers of the application: both share its cores."""
COMPANION_FAILED: Final = "companion.failed"
"""Something beside the messages broke; `reason` says what. Messages go on. Hint: Report it."""
LOG_RECOVERED: Final = "log.recovered"
"""Standard output takes lines again. The line says how many were lost, and why. Hint: `reason` has
the hint. While it lasts, the page `/status` shows it as `log_failure`."""
TRACING_FAILED: Final = "tracing.failed"
"""Traces cannot be exported. Messages go on. Hint: Install what `reason` names."""
# ---- periodic tasks
CRON_LOADED: Final = "cron.loaded"
"""The tasks that run, at the start and whenever the file was replaced. `warnings` lists what may
not be meant, such as a `url` without its leading slash. Hint: Write the file as the warning
says."""
CRON_INVALID: Final = "cron.invalid"
"""Parts of the file cannot be run. It is logged once a minute; the other tasks go on, and if there
are none the last valid ones. Hint: `sqsd check`."""
CRON_RECALLED: Final = "cron.recalled"
"""The leader table says when a task was last sent by any daemon. It is counted in the metrics and
never written."""
CRON_ENQUEUED: Final = "cron.enqueued"
"""The message of an occurrence was sent."""
CRON_REPAIRED: Final = "cron.repaired"
"""The message of an occurrence was sent for a leader that had died after claiming it."""
CRON_MISSED: Final = "cron.missed"
"""Occurrences were given up: too late for `catch_up`, or followed by a newer one with `catch_up:
latest`."""
CRON_FAILED: Final = "cron.failed"
"""A task could not be enqueued, and is tried again; or its item in the table was unreadable, and
was replaced. Hint: Read `reason`."""
CRON_SUPPRESSED: Final = "cron.suppressed"
"""A copy of an occurrence was deleted without a POST."""
CRON_SKIPPED: Final = "cron.skipped"
"""An occurrence was left out by `overlap: skip`, because the one before it still runs."""
LEASE_STARTED: Final = "lease.started"
"""This instance competes for the lead."""
LEASE_EXPIRED: Final = "lease.expired"
"""The lease of another instance ran out, and this one tries to follow."""
LEASE_CONTESTED: Final = "lease.contested"
"""A third instance was faster to take the lease."""
LEASE_ACQUIRED: Final = "lease.acquired"
"""This instance leads: it enqueues the periodic tasks."""
LEASE_LOST: Final = "lease.lost"
"""This instance leads no longer, without having released the lease; `reason` says why."""
LEASE_RELEASED: Final = "lease.released"
"""This instance released the lease; `reason` says why."""
LEASE_FAILED: Final = "lease.failed"
"""The leader table refuses an action. Each action and code is logged at most once a minute, with
the number of calls, the table and the statement that the role needs. Hint: Follow the hint in
`reason`."""
LEASE_RECOVERED: Final = "lease.recovered"
"""The leader table takes the action again."""
LEASE_STOPPED: Final = "lease.stopped"
"""This instance no longer competes for the lead."""
#: Reason of `lease.released` when the scheduler ends.
STOPPING: Final = "stopping"
