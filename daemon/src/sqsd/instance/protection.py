"""Decides when a busy instance is protected from scale-in: time in, a call to Auto Scaling out.

Promised: an instance is protected as long as a request runs that began at least
`LONG_JOB_SECONDS` ago, and for `IDLE_SECONDS` after the last one of these. So short jobs cause no
call at all, however many there are, and long ones two calls for each run of them. An idle instance
is unprotected, also by the successor of a daemon that died: what Auto Scaling has is not known at
the start, and is set.

Not promised: protection in the first seconds of a job, or while Auto Scaling refuses.

All times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from sqsd.base.backoff import doubled

#: Age of a request from which it is worth protecting, seconds. A drain finishes shorter ones.
LONG_JOB_SECONDS: Final = 10.0
#: Time after the last long request at which the protection ends, seconds.
IDLE_SECONDS: Final = 60.0
#: First and longest wait after a failed call, seconds.
_FIRST_RETRY_SECONDS: Final = 5.0
_LONGEST_RETRY_SECONDS: Final = 300.0


@dataclass(slots=True)
class Protection:
    """Remembers what Auto Scaling has, as far as it is known.

    Args:
        protected: what was set last, or None if that is not known.
    """

    protected: bool | None = None
    _asked: bool = False
    _long_job_at: float = -inf
    _failures: int = 0
    _next_call_at: float = -inf

    def wanted(self, oldest_request: float | None, now: float) -> bool | None:
        """Return what to set now, or None if nothing is to be called.

        Args:
            oldest_request: when the oldest request that runs was sent, or None if none runs.
        """
        if oldest_request is not None and now - oldest_request >= LONG_JOB_SECONDS:
            self._long_job_at = now
            wanted = True
        else:
            wanted = self.protected is True and now - self._long_job_at < IDLE_SECONDS
        if wanted == self.protected or now < self._next_call_at:
            return None
        return wanted

    def asked(self, protected: bool) -> None:
        """A call is made. Until it has ended, what Auto Scaling has is not known."""
        self.protected = None
        self._asked = self._asked or protected

    def ended(self, protected: bool, now: float, *, ok: bool) -> None:
        """A call that sets `protected` ended."""
        if ok:
            self.protected = protected
            self._failures = 0
            self._next_call_at = -inf
            return
        pause = doubled(_FIRST_RETRY_SECONDS, self._failures, _LONGEST_RETRY_SECONDS)
        self._failures += 1
        self._next_call_at = now + pause

    @property
    def is_left_behind(self) -> bool:
        """Whether the instance may be protected because of this process."""
        return self._asked and self.protected is not False
