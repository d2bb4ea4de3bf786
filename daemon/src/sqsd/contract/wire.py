"""What travels with a message: headers of the POST, message attributes, the cron body.

Names and values are Elastic Beanstalk's, to the byte; those that EB does not have are marked "ours"
and listed in docs/compatibility.md.
"""

from __future__ import annotations

from typing import Final

# ---- the request an application sees -----------------------------------------------------------

#: EB 3.0.4's product token first: frameworks test that the header starts with `aws-sqsd`.
USER_AGENT: Final = "aws-sqsd/3.0.4 (worker-tier)"
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
#: Ours: `t=<epoch seconds>,v1=<hex of HMAC-SHA256 over "<t>.POST.<path>." and the body>`.
HEADER_SIGNATURE: Final = "X-Aws-Sqsd-Signature"
ACCEPT_ENCODING: Final = "gzip, compressed"

# ---- periodic tasks ----------------------------------------------------------------------------

CRON_FILE_NAME: Final = "cron.yaml"
CRON_BODY: Final = "elasticbeanstalk scheduled job"
#: Attributes that begin with this are the daemon's own and never become headers.
RESERVED_ATTRIBUTE_PREFIX: Final = "beanstalk.sqsd"
ATTRIBUTE_PATH: Final = "beanstalk.sqsd.path"
ATTRIBUTE_TASK_NAME: Final = "beanstalk.sqsd.task_name"
ATTRIBUTE_SCHEDULED_TIME: Final = "beanstalk.sqsd.scheduled_time"
#: How `scheduled_time` is written: `2017-03-22 23:10:00 UTC`.
SCHEDULED_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S UTC"

# ---- dead letters that the daemon sends ------------------------------------------------------

#: Why a message of `dead_letter_statuses` was given up, and its id in the work queue.
ATTRIBUTE_REASON: Final = "worker-tier.reason"
ATTRIBUTE_FIRST_MESSAGE_ID: Final = "worker-tier.message_id"
