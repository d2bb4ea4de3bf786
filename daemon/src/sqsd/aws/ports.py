"""One AWS service as its callers see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class AwsApi(Protocol):
    """One AWS service in one region, by its JSON protocol: signed, pooled, with a hard deadline."""

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """Make one call and return its answer; nothing is retried here.

        Args:
            action: such as `ReceiveMessage`.
            request: the action's JSON object.
            timeout: seconds from now after which the call is given up, whatever its state.

        Raises:
            AwsError: AWS refused the call.
            AwsUnreachable: there was no usable answer within `timeout`.
        """


class TimedApi(AwsApi, Protocol):
    """An AWS service whose clock is known too."""

    @property
    def clock_offset(self) -> float:
        """Seconds by which AWS's clock is ahead of this machine's; 0 while that is not known."""
