"""What can go wrong, as one small tree: callers decide by type, people read the text."""

from __future__ import annotations


class SqsdError(Exception):
    """Base of every error that this package raises on purpose."""


class AwsError(SqsdError):
    """AWS answered a call with an error.

    Args:
        action: the API action, such as `ReceiveMessage`.
        code: the error's name without its namespace, such as `AccessDeniedException`.
        message: AWS's own words.
        status: the HTTP status.
        hint: what to do about it, if that is known (`aws.hints`).
    """

    def __init__(
        self, action: str, code: str, message: str, status: int, hint: str | None = None
    ) -> None:
        self.action, self.code, self.message, self.status = action, code, message, status
        text = f"{action} was refused with {code} (HTTP {status}): {message}"
        super().__init__(f"{text}; {hint}" if hint else text)


class AwsUnreachable(SqsdError):
    """A call to AWS got no usable answer: no connection, a cut answer, or its deadline passed."""

    def __init__(self, action: str, reason: str) -> None:
        self.action, self.reason = action, reason
        super().__init__(f"{action} got no answer: {reason}")


class NoCredentials(SqsdError):
    """The standard credential chain found nothing."""


class InstanceUnknown(SqsdError):
    """The instance metadata service gives no answer: there is none here, or not now."""
