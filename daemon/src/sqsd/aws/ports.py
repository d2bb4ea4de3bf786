"""Ports to AWS services, for the rooms that call them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol


class AwsApi(Protocol):
    """Calls one AWS service in one region: signed, over pooled connections, with a deadline."""

    def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> Awaitable[dict[str, Any]]:
        """Make one call and return its answer. The call is never retried; it may start at once.

        Args:
            action: such as `ReceiveMessage`.
            request: the action's JSON object.
            timeout: deadline of the call, seconds from now.

        Raises:
            AwsError: AWS refused the call.
            AwsUnreachable: there was no usable answer within `timeout`.
        """


class TimedApi(AwsApi, Protocol):
    """Calls one AWS service, and knows its clock."""

    @property
    def clock_offset(self) -> float:
        """Seconds by which AWS's clock is ahead of this machine's; 0 until that is known."""
