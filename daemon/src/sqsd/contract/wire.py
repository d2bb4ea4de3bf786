"""Names what is sent with a message: headers of the POST, message attributes, the cron body.

Names and values are Elastic Beanstalk's, to the byte; those that EB does not have are marked "ours"
and listed in docs/explain/compatibility.md. The page docs/reference/headers.md is generated from
the descriptions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

# ---- the request an application sees -----------------------------------------------------------

#: Default of the option `user_agent`. EB 3.0.5's product token first: frameworks test that the
#: header starts with `aws-sqsd`.
USER_AGENT: Final = "aws-sqsd/3.0.5 (worker-tier)"
HEADER_MESSAGE_ID: Final = "X-Aws-Sqsd-Msgid"
"""Id of the message. It is the same for every delivery, so an application can recognize a message
that it has processed before."""
HEADER_RECEIVE_COUNT: Final = "X-Aws-Sqsd-Receive-Count"
"""How often SQS has handed out the message, this delivery included; 1 at the first."""
HEADER_FIRST_RECEIVED_AT: Final = "X-Aws-Sqsd-First-Received-At"
"""When SQS handed out the message for the first time: `2026-01-01T00:00:00Z`, UTC."""
HEADER_SENT_AT: Final = "X-Aws-Sqsd-Sent-At"
"""When the message was sent to the queue: `2026-01-01T00:00:00Z`, UTC."""
HEADER_QUEUE: Final = "X-Aws-Sqsd-Queue"
"""Name of the queue."""
HEADER_PATH: Final = "X-Aws-Sqsd-Path"
"""Path that the message is POSTed to."""
HEADER_SENDER_ID: Final = "X-Aws-Sqsd-Sender-Id"
"""Who sent the message, as SQS has it: an account, a user or a role session."""
HEADER_SCHEDULED_AT: Final = "X-Aws-Sqsd-Scheduled-At"
"""Due time of a periodic task's occurrence, UTC. Only messages of periodic tasks have it."""
HEADER_TASK_NAME: Final = "X-Aws-Sqsd-Taskname"
"""Name of the periodic task. Only messages of periodic tasks have it."""
HEADER_ATTRIBUTE_PREFIX: Final = "X-Aws-Sqsd-Attr-"
"""Prefix of a header for each message attribute of type String or Number, followed by its name with
each part in title case."""
HEADER_ENCODED: Final = "X-Aws-Sqsd-Encoded"
"""Ours: names the attribute headers whose values had to be percent-encoded to travel in HTTP. It is
sent only where there are any."""
HEADER_SIGNATURE: Final = "X-Aws-Sqsd-Signature"
"""Ours, with `signing_key_file`: `t=<epoch seconds>,v1=<hex of HMAC-SHA256>`, with a `v1` for each
key. Method, path, body and all headers of the daemon are signed."""
HEADER_DEAD_LETTER_REASON: Final = "X-Aws-Sqsd-Dead-Letter-Reason"
"""Ours, in each POST on `on_dead_letter_path` and in no other: why the message becomes a dead
letter, such as `HTTP 500`."""
ACCEPT_ENCODING: Final = "gzip, compressed"
HEADER_RECEIPT_HANDLE: Final = "X-Aws-Sqsd-Receipt-Handle"
"""Ours, in `extra_headers`: receipt handle of this delivery. With it and the queue's URL an
application can extend the visibility itself; whoever sees it can delete the message."""
HEADER_VISIBILITY_DEADLINE: Final = "X-Aws-Sqsd-Visibility-Deadline"
"""Ours, in `extra_headers`: until when SQS hides this delivery, UTC. Heartbeats move it."""
HEADER_RECEIVES_LEFT: Final = "X-Aws-Sqsd-Receives-Left"
"""Ours, in `extra_headers`: how many receives follow if this one fails, by `max_retries`. It is 0
on the last attempt, so that an application can record a failure for good."""
HEADER_REQUEST_DEADLINE: Final = "X-Aws-Sqsd-Request-Deadline"
"""Ours, in `extra_headers`: when this request is given up if the application sends no byte until
then (`inactivity_timeout`), UTC. The end of a drain may come sooner."""
HEADER_MESSAGE_GROUP_ID: Final = "X-Aws-Sqsd-Message-Group-Id"
"""Ours, in `extra_headers`: `MessageGroupId`, as sent."""
HEADER_MESSAGE_DEDUPLICATION_ID: Final = "X-Aws-Sqsd-Message-Deduplication-Id"
"""Ours, in `extra_headers`: `MessageDeduplicationId`, as sent."""
HEADER_XRAY_TRACE: Final = "X-Amzn-Trace-Id"
"""Ours, in `extra_headers`: the message's `AWSTraceHeader`, for X-Ray."""
HEADER_TRACE_PARENT: Final = "traceparent"
"""Ours, in `extra_headers`: W3C trace context, from a message attribute of that name."""
EXTRA_HEADERS: Final = (
    HEADER_RECEIPT_HANDLE,
    HEADER_VISIBILITY_DEADLINE,
    HEADER_RECEIVES_LEFT,
    HEADER_REQUEST_DEADLINE,
    HEADER_MESSAGE_GROUP_ID,
    HEADER_MESSAGE_DEDUPLICATION_ID,
    HEADER_XRAY_TRACE,
    HEADER_TRACE_PARENT,
)

# ---- periodic tasks ----------------------------------------------------------------------------

CRON_FILE_NAME: Final = "cron.yaml"
CRON_BODY: Final = "elasticbeanstalk scheduled job"
#: Prefix of the attributes that belong to the daemon and never become headers.
RESERVED_ATTRIBUTE_PREFIX: Final = "beanstalk.sqsd"
ATTRIBUTE_PATH: Final = "beanstalk.sqsd.path"
ATTRIBUTE_TASK_NAME: Final = "beanstalk.sqsd.task_name"
ATTRIBUTE_SCHEDULED_TIME: Final = "beanstalk.sqsd.scheduled_time"
#: Ours: a random number of the claim, in hexadecimal. Whoever may only send cannot know it.
ATTRIBUTE_NONCE: Final = "beanstalk.sqsd.nonce"
#: Length of a nonce: 32 hexadecimal digits.
NONCE_DIGITS: Final = 32
_HEXADECIMAL: Final = frozenset("0123456789abcdef")
#: Longest name of a task, in characters.
TASK_NAME_MAX_LETTERS: Final = 256
#: Format of `scheduled_time`: `2017-03-22 23:10:00 UTC`.
SCHEDULED_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S UTC"


class Occurrence(NamedTuple):
    """One due time of a periodic task, as a scheduler claimed it.

    Args:
        task: the task's name.
        scheduled: the due time, aware.
        nonce: the claim's random number, or None if a release without nonces claimed it.
    """

    task: str
    scheduled: datetime
    nonce: str | None


def is_nonce(text: str) -> bool:
    """Return whether a text has the form of a nonce."""
    return len(text) == NONCE_DIGITS and _HEXADECIMAL.issuperset(text)


# ---- dead letters that the daemon sends ------------------------------------------------------

#: Why the daemon dead-lettered the message, by `dead_letter_statuses`.
ATTRIBUTE_REASON: Final = "worker-tier.reason"
#: The message's id in the work queue.
ATTRIBUTE_FIRST_MESSAGE_ID: Final = "worker-tier.message_id"

# ---- SQS's own limits --------------------------------------------------------------------------

#: Most messages that one receive may ask for, and most entries of one batch call.
BATCH_ENTRIES: Final = 10
