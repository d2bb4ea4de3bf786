"""What to do when the process has no file descriptor left: close idle connections, and say so.

A connection that fails for lack of a descriptor looks like an application that is down. It is not:
the descriptors are in use here, and some of them by idle connections.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from sqsd.base.ports import Clock, EventLog
from sqsd.base.throttle import LogThrottle
from sqsd.contract import events

#: Descriptors needed beside the connections to the application: calls to AWS, the status port,
#: metadata, log and event loop.
BESIDE_CONNECTIONS: Final = 64
#: Descriptors that are needed beside them at least: 16 connections of the status port, some 16 to
#: AWS, the reserve, and what the process has open.
_AT_LEAST_BESIDE: Final = 48
#: Descriptors set aside, and freed when there is no other.
_RESERVE: Final = 4
#: Time that the event loop needs to close what was aborted, in seconds.
_CLOSING_SECONDS: Final = 0.01
_HINT: Final = (
    "raise the limit (LimitNOFILE= in a systemd unit, --ulimit nofile= of a container), or lower"
    " http_connections"
)

T = TypeVar("T")


def is_exhausted(error: object) -> bool:
    """Return whether an error says that the process, or the system, has no descriptor left."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def usable_connections(http_connections: int, *, fewest: int = 1) -> int:
    """Return how many connections to the application there may be, and raise the limit for them.

    That is `http_connections`, or what is left of a limit that is too low, but at least `fewest`.
    With more, requests fail for want of a descriptor, again and again.
    """
    limit = _raised_limit(http_connections + BESIDE_CONNECTIONS)
    if limit is None:
        return http_connections
    return max(fewest, min(http_connections, limit - _AT_LEAST_BESIDE))


def _raised_limit(needed: int) -> int | None:
    """Raise the limit to `needed` as far as the system allows. Returns it, or None for no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised <= soft:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised


class Descriptors:
    """Keeps some file descriptors in reserve, and frees more when there is none."""

    def __init__(self, clock: Clock, log: EventLog) -> None:
        self._clock = clock
        self._log = log
        self._throttle = LogThrottle()
        self._idle: list[Callable[[], None]] = []
        self._reserve: list[int] = []
        self._refill()

    def check(self, http_connections: int) -> None:
        """Log it if the limit is too low for `http_connections`, those of the settings."""
        needed = http_connections + BESIDE_CONNECTIONS
        limit = _raised_limit(needed)
        if limit is not None and limit < needed:
            usable = usable_connections(http_connections)
            self._log.emit(
                events.DESCRIPTORS_SHORT,
                limit=limit,
                needed=needed,
                http_connections=usable,
                reason=f"at most {usable} requests run at one time; {_HINT}",
            )

    def when_short(self, close_idle: Callable[[], None]) -> None:
        """Have `close_idle` called when there is no descriptor left."""
        self._idle.append(close_idle)

    def note(self) -> None:
        """Log, once a minute, that there is no descriptor left."""
        times = self._throttle.admits(self._clock.monotonic())
        if times:
            self._log.emit(
                events.DESCRIPTORS_SHORT,
                limit=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                times=times,
                reason=f"every file descriptor is in use; {_HINT}",
            )

    async def connected(self, connect: Callable[[], Awaitable[T]]) -> T:
        """Return what `connect` returns; if it met no descriptor left, free some and call it again.

        Raises:
            OSError: the second call failed, or the first one for another reason.
        """
        try:
            return await connect()
        except OSError as error:
            if not is_exhausted(error):
                raise
        await self._free()
        return await connect()

    async def _free(self) -> None:
        """Close idle connections and the reserve, so that a connection can be tried again."""
        self.close()
        for close_idle in self._idle:
            close_idle()
        await asyncio.sleep(_CLOSING_SECONDS)
        self.note()
        # What a caller needs now is taken before this.
        asyncio.get_running_loop().call_later(1.0, self._refill)

    def close(self) -> None:
        """Close the reserve."""
        while self._reserve:
            os.close(self._reserve.pop())

    def _refill(self) -> None:
        try:
            while len(self._reserve) < _RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return  # at the next shortage it is tried again
