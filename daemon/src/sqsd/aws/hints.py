"""What to do about a refusal of AWS, in words for the log: AWS says what is wrong, seldom the hint.

Decided by the error's code alone. What passes by itself, such as throttling, has no hint here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqsd.contract import ENQUEUE_ACTIONS, QUEUE_ACTIONS

_NO_QUEUE: Final = frozenset(
    {"QueueDoesNotExist", "NonExistentQueue", "AWS.SimpleQueueService.NonExistentQueue"}
)
_FORBIDDEN: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "NotAuthorized"}
)
_UNKNOWN_KEYS: Final = frozenset({"UnrecognizedClientException", "InvalidClientTokenId"})
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})
_SIGNATURE: Final = frozenset(
    {"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed"}
)
#: nginx and its kin, by default.
PICKY_PROXY: Final = (
    "unless told otherwise it leaves out headers of attributes whose names hold _ or . and gives up"
    " after 60 s: set underscores_in_headers on, ignore_invalid_headers off, and proxy_read_timeout"
    " above inactivity_timeout; add_header Via '1.1 worker-tier' always, once that is done, ends"
    " this line"
)


def hint_for_keys(code: str) -> str | None:
    """What to do when AWS refuses the keys themselves, whatever was asked for."""
    if code in _UNKNOWN_KEYS:
        return (
            "AWS does not know the access key: correct AWS_ACCESS_KEY_ID or the profile, or give"
            " the instance a role; keys are asked for anew before each try"
        )
    if code in _EXPIRED:
        return (
            "the session has ended: renew it where the keys come from, or give the instance a"
            " role; keys are asked for anew before each try"
        )
    if code in _SIGNATURE:
        return (
            "the secret key is wrong, or this machine's clock; the clock is corrected by AWS's"
            " own from now on, so a wrong secret key is left: correct AWS_SECRET_ACCESS_KEY"
        )
    return None


def hint_for_queue(action: str, code: str, url: str) -> str | None:
    """What to do when SQS refuses a call about the queue at `url`; None: nothing, or unknown."""
    if code in _NO_QUEUE:
        return (
            f"there is no queue {url} in the region of the settings: correct queue_url or region,"
            " or deploy the stack that has it"
        )
    if code == "InvalidAddress":
        return f"{url} is in another region than the settings: correct region or queue_url"
    if code in _FORBIDDEN:
        return statement(_needed(action), "sqs", url.rstrip("/").rpartition("/")[2])
    if code.startswith(("KMS.", "Kms")):
        return (
            'allow the instance\'s role "kms:Decrypt", and to send "kms:GenerateDataKey", on the'
            f" key of {url}; see that the key is enabled"
        )
    return hint_for_keys(code)


def statement(
    actions: Sequence[str], service: str, resource: str, whose: str = "the instance's role"
) -> str:
    """A policy statement to add, without account and partition, which are not known here."""
    listed = '", "'.join(actions)
    return (
        f'add to {whose} {{"Effect": "Allow", "Action": ["{listed}"],'
        f' "Resource": "arn:*:{service}:*:*:{resource}"}}'
    )


def _needed(action: str) -> Sequence[str]:
    """IAM has no actions for batches: `sqs:DeleteMessage` allows `DeleteMessageBatch`."""
    wanted = f"sqs:{action.removesuffix('Batch')}"
    for actions in (QUEUE_ACTIONS, ENQUEUE_ACTIONS):
        if wanted in actions:
            return actions
    return (wanted,)
