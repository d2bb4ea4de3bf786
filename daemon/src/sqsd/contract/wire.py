"""Names what is sent with a message: headers of the POST, message attributes, the cron body.

Names and values are Elastic Beanstalk's, to the byte; those that EB does not have are marked "ours"
and listed in docs/compatibility.md.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

# ---- the request an application sees -----------------------------------------------------------

#: Default of the option `user_agent`. EB 3.0.5's product token first: frameworks test that the
#: header starts with `aws-sqsd`.
USER_AGENT: Final = "aws-sqsd/3.0.5 (worker-tier)"
HEADER_MESSAGE_ID: Final = "X-Aws-Sqsd-Msgid"
HEADER_RECEIVE_COUNT: Final = "X-Aws-Sqsd-Receive-Count"
HEADER_FIRST_RECEIVED_AT: Final = "X-Aws-Sqsd-First-Received-At"
HEADER_SENT_AT: Final = "X-Aws-Sqsd-Sent-At"
HEADER_QUEUE: Final = "X-Aws-Sqsd-Queue"
HEADER_PATH: Final = "X-Aws-Sqsd-Path"
HEADER_SENDER_ID: Final = "X-Aws-Sqsd-Sender-Id"
HEADER_SCHEDULED_AT: Final = "X-Aws-Sqsd-Scheduled-At"
HEADER_TASK_NAME: Final = "X-Aws-Sqsd-Taskname"
HEADER_ATTRIBUTE_PREFIX: Final = "X-Aws-Sqsd-Attr-"
#: Ours: names the attribute headers whose values had to be percent-encoded to travel in HTTP.
HEADER_ENCODED: Final = "X-Aws-Sqsd-Encoded"
#: Ours: `t=<epoch seconds>,v1=<hex of HMAC-SHA256>`, with a `v1` for each key; what is signed is in
#: `http/signature.py`.
HEADER_SIGNATURE: Final = "X-Aws-Sqsd-Signature"
#: Ours: why the message becomes a dead letter, such as `HTTP 500`; in each POST on
#: `on_dead_letter_path` and in no other.
HEADER_DEAD_LETTER_REASON: Final = "X-Aws-Sqsd-Dead-Letter-Reason"
ACCEPT_ENCODING: Final = "gzip, compressed"
#: Ours: each is sent only if the option `extra_headers` names it.
HEADER_RECEIPT_HANDLE: Final = "X-Aws-Sqsd-Receipt-Handle"
HEADER_VISIBILITY_DEADLINE: Final = "X-Aws-Sqsd-Visibility-Deadline"
HEADER_RECEIVES_LEFT: Final = "X-Aws-Sqsd-Receives-Left"
HEADER_REQUEST_DEADLINE: Final = "X-Aws-Sqsd-Request-Deadline"
HEADER_MESSAGE_GROUP_ID: Final = "X-Aws-Sqsd-Message-Group-Id"
HEADER_MESSAGE_DEDUPLICATION_ID: Final = "X-Aws-Sqsd-Message-Deduplication-Id"
HEADER_XRAY_TRACE: Final = "X-Amzn-Trace-Id"
HEADER_TRACE_PARENT: Final = "traceparent"
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
