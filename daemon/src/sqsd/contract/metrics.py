"""Names of the CloudWatch metrics that the daemon prints. They are an interface.

The daemon writes them (`sqsd.observe.emf`); the constructs' alarms and dashboard, and users' own,
read them. The page docs/reference/metrics.md is generated from the descriptions. `Health` is
Elastic Beanstalk's and keeps EB's own namespace and dimension.
"""

from __future__ import annotations

from typing import Final

# ---- namespaces and dimensions -----------------------------------------------------------------

#: Namespace of EB's health metric (EB developer guide, "Basic health reporting").
HEALTH_NAMESPACE: Final = "ElasticBeanstalk/SQSD"
HEALTH_METRIC: Final = "Health"
"""Elastic Beanstalk's health metric, in its own namespace and dimension: 1 while the application's
port accepts and the queue was polled within 3 minutes, else 0."""
#: Dimension of the health metric; its value is the tier's name.
HEALTH_DIMENSION: Final = "EnvironmentName"
#: Dimension of every other metric; its value is the tier's name.
TIER_DIMENSION: Final = "TierName"
#: Second dimension of the metrics of one queue, where a daemon has several.
QUEUE_DIMENSION: Final = "QueueName"

# ---- counts since the line before --------------------------------------------------------------

MESSAGES_RECEIVED: Final = "MessagesReceived"
"""Messages that SQS handed out to this daemon."""
MESSAGES_DELETED: Final = "MessagesDeleted"
"""Messages whose deletion SQS confirmed."""
MESSAGES_RELEASED: Final = "MessagesReleased"
"""Messages that were released, for whatever reason."""
MESSAGES_DEAD_LETTERED: Final = "MessagesDeadLettered"
"""Messages that the daemon itself sent to the dead-letter queue, by `dead_letter_statuses`. SQS's
own moves are not among them."""
MESSAGES_EXPIRED: Final = "MessagesExpired"
"""Messages that were deleted without a POST, past `retention_period`."""
MESSAGES_DUPLICATE: Final = "MessagesDuplicate"
"""Deliveries of messages that were in process or done here."""
MESSAGES_OVERDUE: Final = "MessagesOverdue"
"""Messages that were answered 200 after their visibility had ended, so another instance may have
run them too."""
DELETES_FAILED: Final = "DeletesFailed"
"""Deletes that were given up after eight tries."""
RETRIES: Final = "Retries"
"""Dispatched messages that had been received before."""
HEARTBEATS: Final = "Heartbeats"
"""Extensions of visibility that SQS confirmed."""
HEARTBEATS_FAILED: Final = "HeartbeatsFailed"
"""Extensions of visibility that failed."""
RECEIVE_ERRORS: Final = "ReceiveErrors"
"""Receives that failed."""
CRON_ENQUEUED: Final = "CronEnqueued"
"""Periodic tasks that were enqueued."""
CRON_REPAIRED: Final = "CronRepaired"
"""Periodic tasks that were enqueued for a leader that had stopped half-way."""
CRON_MISSED: Final = "CronMissed"
"""Occurrences that were given up: older than `catch_up`, or followed by a newer one with `catch_up:
latest`."""
CRON_FAILED: Final = "CronFailed"
"""Failures to enqueue a periodic task."""
CRON_SUPPRESSED: Final = "CronSuppressed"
"""Copies of occurrences that were deleted without a POST."""
DEFECTS: Final = "Defects"
"""Exceptions that are defects of the daemon."""
LOG_LINES_DROPPED: Final = "LogLinesDropped"
"""Lines that standard output would not take."""

# ---- levels as of now --------------------------------------------------------------------------

IN_FLIGHT: Final = "InFlight"
"""Messages that this daemon has now: posted, waiting for their group, or held."""
GATE_OPEN: Final = "GateOpen"
"""1 while the application is up, else 0."""
LEADER: Final = "Leader"
"""1 while this daemon enqueues periodic tasks, else 0. `Maximum` over the tier below 1 means that
there is no leader, which the alarm `NoLeader` watches."""
POLL_AGE: Final = "PollAge"
"""Time since SQS last answered a receive."""
LEADER_FOR: Final = "LeaderFor"
"""Time since this daemon became leader. It is absent while the daemon is not."""
LAST_CRON_SEND_AGE: Final = "LastCronSendAge"
"""Time since a task was last enqueued, as far as this daemon knows: by itself, or by a leader
before it. For a leader that knows of none it is the time since it leads; it is absent in other
daemons. `Minimum` over the tier above the longest pause between tasks is an alarm on silence."""

# ---- durations, in seconds ---------------------------------------------------------------------

DWELL: Final = "Dwell"
"""Time from sent to received, by SQS's clock and this instance's."""
RECEIVE_TO_DISPATCH: Final = "ReceiveToDispatch"
"""Time from received to POSTed."""
DELETE_TIME: Final = "DeleteTime"
"""Time from the application's 200 to the confirmed delete."""
LOOP_LAG: Final = "LoopLag"
"""How late the event loop was, measured each second. What blocks it delays heartbeats."""
CRON_LATE_BY: Final = "CronLateBy"
"""Time from the due time of a task to its message being sent."""
APP_TIME_NONE: Final = "AppTimeNone"
"""The application's time where no complete answer came."""
APP_TIME_1XX: Final = "AppTime1xx"
"""The application's time until a final answer with a status of 100 to 199."""
APP_TIME_2XX: Final = "AppTime2xx"
"""The application's time until an answer with a status of 200 to 299."""
APP_TIME_3XX: Final = "AppTime3xx"
"""The application's time until an answer with a status of 300 to 399."""
APP_TIME_4XX: Final = "AppTime4xx"
"""The application's time until an answer with a status of 400 to 499."""
APP_TIME_5XX: Final = "AppTime5xx"
"""The application's time until an answer with a status of 500 to 599."""
#: All six, at the index of the status's first digit; 0 is `AppTimeNone`.
APP_TIMES: Final = (
    APP_TIME_NONE,
    APP_TIME_1XX,
    APP_TIME_2XX,
    APP_TIME_3XX,
    APP_TIME_4XX,
    APP_TIME_5XX,
)
