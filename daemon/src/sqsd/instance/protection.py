"""Decides when a busy instance is protected from scale-in: time in, a call to Auto Scaling out.

Promised: an instance is protected as long as a request runs that began at least
`LONG_JOB_SECONDS` ago, and for `IDLE_SECONDS` after the last one of these. So short jobs cause no
call at all, however many there are, and long ones two calls for each run of them, and one every
`CONFIRM_SECONDS`: a protection that was taken away from outside comes back. An idle instance
is unprotected, also by the successor of a daemon that died: what Auto Scaling has is not known at
the start, and is set. A refusal to unprotect delays no protection, and the other way round.

Not promised: protection in the first seconds of a job, or while Auto Scaling refuses.

All times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Final

from sqsd.base.backoff import doubled

#: Age of a request from which it is worth protecting, seconds. A drain finishes shorter ones.
LONG_JOB_SECONDS: Final = 10.0
#: Time after the last long request at which the protection ends, seconds.
IDLE_SECONDS: Final = 60.0
#: Time after which a protection is set once more while a long request runs, seconds. Another
#: program or a person may have taken it away.
CONFIRM_SECONDS: Final = 300.0
#: First and longest wait after a failed call, seconds.
_FIRST_RETRY_SECONDS: Final = 5.0
_LONGEST_RETRY_SECONDS: Final = 300.0


@dataclass(slots=True)
class _Backoff:
    """When a call may be made again after failures."""

    failures: int = 0
    next_call_at: float = -inf

    def failed(self, now: float) -> None:
        pause = doubled(_FIRST_RETRY_SECONDS, self.failures, _LONGEST_RETRY_SECONDS)
        self.failures += 1
        self.next_call_at = now + pause


def _backoffs() -> dict[bool, _Backoff]:
    return {True: _Backoff(), False: _Backoff()}


@dataclass(slots=True)
class Protection:
    """Remembers what Auto Scaling has, as far as it is known.

    Args:
        protected: what was set last, or None if that is not known.
    """

    protected: bool | None = None
    _asked: bool = False
    _long_job_at: float = -inf
    _set_at: float = -inf
    #: Of calls that protect, and of calls that unprotect.
    _backoffs: dict[bool, _Backoff] = field(default_factory=_backoffs)

    def wanted(self, oldest_request: float | None, now: float) -> bool | None:
        """Return what to set now, or None if nothing is to be called.

        Args:
            oldest_request: when the oldest request that runs was sent, or None if none runs.
        """
        busy = oldest_request is not None and now - oldest_request >= LONG_JOB_SECONDS
        if busy:
            self._long_job_at = now
        wanted = busy or (self.protected is True and now - self._long_job_at < IDLE_SECONDS)
        if now < self._backoffs[wanted].next_call_at:
            return None
        confirms = busy and now - self._set_at >= CONFIRM_SECONDS
        return wanted if confirms or wanted != self.protected else None

    def asked(self, protected: bool) -> None:
        """A call is made. Until it has ended, what Auto Scaling has is not known."""
        self.protected = None
        self._asked = self._asked or protected

    def ended(self, protected: bool, now: float, *, ok: bool) -> None:
        """A call that sets `protected` ended."""
        if not ok:
            self._backoffs[protected].failed(now)
            return
        self.protected = protected
        self._set_at = now
        self._backoffs = _backoffs()

    @property
    def was_asked_for(self) -> bool:
        """Whether this process has asked for a protection."""
        return self._asked

    @property
    def is_left_behind(self) -> bool:
        """Whether the instance may be protected because of this process."""
        return self._asked and self.protected is not False
