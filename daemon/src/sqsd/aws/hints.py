"""Gives a hint for an error of AWS: AWS says what is wrong, but rarely what to do about it.

The error's code alone decides. An error that passes by itself, such as throttling, has no hint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqsd.base.errors import ACCESS_DENIED_CODES
from sqsd.contract import ENQUEUE_ACTIONS, LEADER_TABLE_ACTIONS, QUEUE_ACTIONS

#: Codes for a queue that does not exist.
_NO_QUEUE: Final = frozenset(
    {"QueueDoesNotExist", "NonExistentQueue", "AWS.SimpleQueueService.NonExistentQueue"}
)
#: Codes for a table that does not exist.
_NO_TABLE: Final = frozenset({"ResourceNotFoundException", "TableNotFoundException"})
#: Codes for an access key that AWS does not know.
_UNKNOWN_KEYS: Final = frozenset({"UnrecognizedClientException", "InvalidClientTokenId"})
#: Codes for a session token that has expired.
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})
#: Codes for a signature that is wrong, by its key or its time.
_SIGNATURE: Final = frozenset(
    {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed"}
)
#: What to do about an nginx, or a derivative, with default settings.
PICKY_PROXY: Final = (
    "by default it leaves out headers of attributes whose names hold _ or . and gives up"
    " after 60 s: set underscores_in_headers on, ignore_invalid_headers off, and proxy_read_timeout"
    " above inactivity_timeout; add_header Via '1.1 worker-tier' always, once that is done, ends"
    " this line"
)
#: What to do about an application that redirects POSTs.
REDIRECT: Final = (
    "a redirect is not followed and counts as a failure: the daemon speaks plain HTTP on this"
    " machine, so exempt its requests (User-Agent aws-sqsd) from a redirect to https or to a login,"
    " or set http_path to the path that answers itself"
)


def hint_for_keys(code: str) -> str | None:
    """Return what to do if AWS refuses the keys, whatever the call; None for any other code."""
    if code in _UNKNOWN_KEYS:
        return (
            "AWS does not know the access key: correct AWS_ACCESS_KEY_ID or the profile, or give"
            " the instance a role; keys are loaded again before each try"
        )
    if code in _EXPIRED:
        return (
            "the session has ended: renew it where the keys come from, or give the instance a"
            " role; keys are loaded again before each try"
        )
    if code in _SIGNATURE:
        return (
            "the secret key is wrong, or this machine's clock; the clock is corrected by AWS's"
            " own from now on, so a wrong secret key is left: correct AWS_SECRET_ACCESS_KEY"
        )
    return None


def hint_for_queue(action: str, code: str, url: str) -> str | None:
    """Return what to do if SQS refuses a call about the queue at `url`; None if it is unknown."""
    if code in _NO_QUEUE:
        return (
            f"there is no queue {url} in the region of the settings: correct queue_url or region,"
            " or deploy the stack that has it"
        )
    if code == "InvalidAddress":
        return f"{url} is in another region than the settings: correct region or queue_url"
    if code in ACCESS_DENIED_CODES:
        return statement(_needed(action), "sqs", url.rstrip("/").rpartition("/")[2])
    if code.startswith(("KMS.", "Kms")):
        return (
            'allow the instance\'s role "kms:Decrypt", and to send "kms:GenerateDataKey", on the'
            f" key of {url}; see that the key is enabled"
        )
    return hint_for_keys(code)


def hint_for_leader_table(code: str, table: str) -> str | None:
    """Return what to do when DynamoDB refuses a call about `table`, or None if that is unknown."""
    needed = statement(LEADER_TABLE_ACTIONS, "dynamodb", f"table/{table}")
    if code in _NO_TABLE:
        return (
            f"there is no table {table} in this region: deploy the stack that has it, or correct"
            f" leader_table in the settings, and {needed}"
        )
    if code in ACCESS_DENIED_CODES:
        return needed
    return hint_for_keys(code)


def statement(
    actions: Sequence[str], service: str, resource: str, whose: str = "the instance's role"
) -> str:
    """Return the policy statement to add. Account and partition are not known, so they are `*`."""
    listed = '", "'.join(actions)
    return (
        f'add to {whose} {{"Effect": "Allow", "Action": ["{listed}"],'
        f' "Resource": "arn:*:{service}:*:*:{resource}"}}'
    )


def _needed(action: str) -> Sequence[str]:
    """Return the IAM actions that allow a call: `sqs:DeleteMessage` allows `DeleteMessageBatch`."""
    wanted = f"sqs:{action.removesuffix('Batch')}"
    for actions in (QUEUE_ACTIONS, ENQUEUE_ACTIONS):
        if wanted in actions:
            return actions
    return (wanted,)
