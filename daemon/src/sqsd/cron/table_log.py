"""Logs failing calls to the leader table: each kind once a minute, and when it has ended.

A kind is an action with an error's code: a renewal that succeeds says nothing about claims. Every
failure is counted, in `times` of the next event of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqsd.base.errors import AwsError, SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.throttle import LogThrottle
from sqsd.contract import events

#: Hint for a failure about which nothing better is known.
_REPEATED: Final = "none needed if it passes: the call is repeated"
#: Hint for a call that DynamoDB will never accept.
_FINAL: Final = (
    "DynamoDB does not accept this item, so the call is not repeated: look for a name or a schedule"
    " of extreme length in cron.yaml; the message is POSTed, and other tasks go on"
)
#: Ends each hint: what a failure of the table means for the daemon.
_MEANING: Final = "periodic tasks wait, messages do not"


@dataclass(slots=True)
class _Kind:
    """Failures of one action with one code.

    Args:
        unlogged: failures since the last event that was logged.
        lasts: whether the action failed since the end was logged.
    """

    failures: LogThrottle = field(default_factory=LogThrottle)
    ends: LogThrottle = field(default_factory=LogThrottle)
    unlogged: int = 0
    lasts: bool = False

    def logged(self) -> int:
        """Return the failures to log, and count anew."""
        times = self.unlogged
        self.unlogged = 0
        return times


class TableLog:
    """Logs `lease.failed` and `lease.recovered` for one leader table.

    Args:
        hint: returns what to do about an error's code, or None if that is unknown.
    """

    def __init__(
        self, table_name: str, clock: Clock, log: EventLog, hint: Callable[[str], str | None]
    ) -> None:
        self._table_name = table_name
        self._clock = clock
        self._log = log
        self._hint = hint
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def failed(self, error: SqsdError) -> None:
        """Count a call that failed with `error`, and log it if its kind was not for a minute."""
        code = error.code if isinstance(error, AwsError) else type(error).__name__
        action = str(getattr(error, "action", ""))
        kind = self._kinds.setdefault((action, code), _Kind())
        kind.unlogged += 1
        kind.lasts = True
        if kind.failures.admits(self._clock.monotonic()):
            self._log.emit(
                events.LEASE_FAILED,
                table=self._table_name,
                action=action or None,
                code=code,
                times=kind.logged(),
                reason=str(error),
                hint=self._hint_for(error, code),
            )

    def _hint_for(self, error: SqsdError, code: str) -> str:
        if isinstance(error, AwsError) and error.final:
            return _FINAL
        return f"{self._hint(code) or _REPEATED}; {_MEANING}"

    def succeeded(self, action: str) -> None:
        """Log which failures have ended now that a call of `action` succeeded.

        Failures without an action, such as missing credentials, end with any call that succeeds.
        """
        now = self._clock.monotonic()
        for (failed, code), kind in self._kinds.items():
            # Where every tenth call fails, ends are logged as seldom as failures.
            if failed in (action, "") and kind.lasts and kind.ends.admits(now):
                kind.lasts = False
                self._log.emit(
                    events.LEASE_RECOVERED,
                    table=self._table_name,
                    action=failed or None,
                    code=code,
                    times=kind.logged(),
                )
