"""Errors that the daemon raises on purpose. Callers decide by type; the text is for people."""

from __future__ import annotations

from typing import Final

#: Codes with which AWS's services refuse a call for lack of a permission.
ACCESS_DENIED_CODES: Final = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "NotAuthorized"}
)
#: Codes with which DynamoDB and SQS refuse what a call says: repeating it is in vain. Missing
#: permissions, tables and queues are not among them, for an operator may add them at any time.
_FINAL_CODES: Final = frozenset(
    {
        "InvalidAttributeValue",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "ItemCollectionSizeLimitExceededException",
        "SerializationException",
        "ValidationError",
        "ValidationException",
    }
)


class SqsdError(Exception):
    """Is the base of every error that this package raises on purpose."""


class AwsError(SqsdError):
    """AWS answered a call with an error.

    Args:
        action: the API action, such as `ReceiveMessage`.
        code: the error's name without its namespace, such as `AccessDeniedException`.
        message: the text of the error.
        status: the HTTP status.
        hint: what to do about it, or None if that is not known (see `aws.hints`).
    """

    def __init__(
        self, action: str, code: str, message: str, status: int, hint: str | None = None
    ) -> None:
        self.action = action
        self.code = code
        self.message = message
        self.status = status
        text = f"{action} was refused with {code} (HTTP {status}): {message}"
        super().__init__(f"{text}; {hint}" if hint else text)

    @property
    def final(self) -> bool:
        """Whether the same call will be refused again, because of what it says."""
        return self.code in _FINAL_CODES


class AwsUnreachable(SqsdError):
    """A call to AWS got no usable answer.

    There was no connection, the answer was cut, or the deadline passed.

    Args:
        action: the API action, such as `ReceiveMessage`.
        reason: what happened.
    """

    def __init__(self, action: str, reason: str) -> None:
        self.action = action
        self.reason = reason
        super().__init__(f"{action} got no answer: {reason}")


class NoCredentials(SqsdError):
    """The standard credential chain found no keys."""


class InstanceUnknown(SqsdError):
    """The instance metadata service did not answer: there is none, or it fails at present."""
