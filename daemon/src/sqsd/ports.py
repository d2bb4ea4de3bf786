"""What the service needs of the outside world. `adapters` implement it; tests have fakes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Clock(Protocol):
    """The two times and the one way of waiting; a test moves all three by hand."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps: for deadlines and durations."""

    def time(self) -> float:
        """Seconds since 1970 UTC by the wall clock: for schedules and message ages."""

    async def sleep(self, seconds: float) -> None:
        """Wait by the monotonic clock."""


class AwsApi(Protocol):
    """One AWS service in one region, by its JSON protocol: signed, pooled, with a hard deadline."""

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """Make one call and give its answer; never retried here.

        Args:
            action: such as `ReceiveMessage`.
            request: the action's JSON object.
            timeout: seconds from now after which the call is given up, whatever its state.

        Raises:
            AwsError: AWS refused the call.
            AwsUnreachable: there was no usable answer within `timeout`.
        """


class EventLog(Protocol):
    """Where events go: one line each, named in `sqsd.logs`."""

    def emit(self, event: str, /, **values: Any) -> None:
        """Write one event; never raises, never blocks on a reader."""
