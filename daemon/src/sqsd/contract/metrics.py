"""Names of the CloudWatch metrics that the daemon prints. They are an interface.

The daemon writes them (`sqsd.observe.emf`); the constructs' alarms and dashboard, and users' own,
read them. docs/observability.md gives the unit and the meaning of each. Elastic Beanstalk's
`Health` keeps EB's own namespace and dimension.
"""

from __future__ import annotations

from typing import Final

# ---- namespaces and dimensions -----------------------------------------------------------------

#: Namespace of EB's health metric (EB developer guide, "Basic health reporting").
HEALTH_NAMESPACE: Final = "ElasticBeanstalk/SQSD"
#: EB's health metric: 1 while a daemon and its application are well, else 0.
HEALTH_METRIC: Final = "Health"
#: Dimension of the health metric; its value is the tier's name.
HEALTH_DIMENSION: Final = "EnvironmentName"
#: Dimension of every other metric; its value is the tier's name.
TIER_DIMENSION: Final = "TierName"
#: Second dimension of the metrics of one queue, where a daemon has several.
QUEUE_DIMENSION: Final = "QueueName"

# ---- counts since the line before --------------------------------------------------------------

MESSAGES_RECEIVED: Final = "MessagesReceived"
MESSAGES_DELETED: Final = "MessagesDeleted"
MESSAGES_RELEASED: Final = "MessagesReleased"
MESSAGES_DEAD_LETTERED: Final = "MessagesDeadLettered"
MESSAGES_EXPIRED: Final = "MessagesExpired"
MESSAGES_DUPLICATE: Final = "MessagesDuplicate"
MESSAGES_OVERDUE: Final = "MessagesOverdue"
DELETES_FAILED: Final = "DeletesFailed"
RETRIES: Final = "Retries"
HEARTBEATS: Final = "Heartbeats"
HEARTBEATS_FAILED: Final = "HeartbeatsFailed"
RECEIVE_ERRORS: Final = "ReceiveErrors"
CRON_ENQUEUED: Final = "CronEnqueued"
CRON_REPAIRED: Final = "CronRepaired"
CRON_MISSED: Final = "CronMissed"
CRON_FAILED: Final = "CronFailed"
CRON_SUPPRESSED: Final = "CronSuppressed"
DEFECTS: Final = "Defects"
LOG_LINES_DROPPED: Final = "LogLinesDropped"

# ---- levels as of now --------------------------------------------------------------------------

IN_FLIGHT: Final = "InFlight"
GATE_OPEN: Final = "GateOpen"
LEADER: Final = "Leader"
POLL_AGE: Final = "PollAge"
LEADER_FOR: Final = "LeaderFor"
LAST_CRON_SEND_AGE: Final = "LastCronSendAge"

# ---- durations, in seconds ---------------------------------------------------------------------

DWELL: Final = "Dwell"
RECEIVE_TO_DISPATCH: Final = "ReceiveToDispatch"
DELETE_TIME: Final = "DeleteTime"
LOOP_LAG: Final = "LoopLag"
CRON_LATE_BY: Final = "CronLateBy"
#: The application's time by the first digit of its status; `None` where no complete answer came.
APP_TIME_NONE: Final = "AppTimeNone"
APP_TIME_1XX: Final = "AppTime1xx"
APP_TIME_2XX: Final = "AppTime2xx"
APP_TIME_3XX: Final = "AppTime3xx"
APP_TIME_4XX: Final = "AppTime4xx"
APP_TIME_5XX: Final = "AppTime5xx"
#: All six, at the index of the status's first digit; 0 is `AppTimeNone`.
APP_TIMES: Final = (
    APP_TIME_NONE,
    APP_TIME_1XX,
    APP_TIME_2XX,
    APP_TIME_3XX,
    APP_TIME_4XX,
    APP_TIME_5XX,
)
