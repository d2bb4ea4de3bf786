"""The application: POSTs over a pool of kept connections, and probes for the gate."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from copy import copy
from email.utils import parsedate_to_datetime
from functools import partial
from math import ceil
from typing import Final

from sqsd.contract import USER_AGENT, SqsdOptions
from sqsd.http.http1 import Answer, Connection, Failure
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import (
    APPLICATION_DOWN_STATUSES,
    Answered,
    Broken,
    Outcome,
    Unreachable,
)
from sqsd.messages.request import Request

#: Frameworks bind one or the other; the name itself is not resolved, for that can block.
_LOOPBACK: Final = ("127.0.0.1", "::1")
_RETRY_AFTER: Final = re.compile(
    rb"\r\nretry-after:[ \t]*([^\r\n]{1,64}?)[ \t]*\r\n", re.IGNORECASE
)
#: Proxies of this family leave out header names with `_` or `.` unless they are told otherwise.
_PICKY_PROXY: Final = re.compile(
    rb"\r\nserver:[ \t]*((?:nginx|openresty|tengine)[!-~]{0,40})", re.IGNORECASE
)
#: What the instance's own nginx says of itself, which is told.
_OWN_PROXY: Final = re.compile(rb"\r\nvia:[^\r\n]*worker-tier", re.IGNORECASE)
#: Seconds for a page that nobody promised; a proxy without an application answers at once.
_LOOK_SECONDS: Final = 1.0
_BROKEN: Final = {
    Failure.INACTIVE: Broken.INACTIVE,
    Failure.CLOSED: Broken.CLOSED,
    Failure.UNSENT: Broken.CLOSED,
    Failure.MALFORMED: Broken.MALFORMED,
    Failure.ABORTED: Broken.CUT,
}
Done = Callable[[Outcome], None]


class LocalApplication:
    """Implements `ports.Application`: at most as many connections as requests were asked for.

    Args:
        proxy_noticed: called with what a proxy calls itself that a probe met and that is known to
            leave out headers; each time.
    """

    def __init__(
        self, options: SqsdOptions, proxy_noticed: Callable[[str], None] = lambda name: None
    ) -> None:
        self._proxy_noticed = proxy_noticed
        self._host, self._port = options.http_host, options.http_port
        self._addresses = _LOOPBACK if self._host == "localhost" else (self._host,)
        self._health_path = options.health_path
        self._connect_timeout = float(options.connect_timeout)
        self._inactivity = float(options.inactivity_timeout)
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._connecting: set[asyncio.Task[Connection]] = set()

    def with_inactivity_timeout(self, seconds: int) -> LocalApplication:
        """The same application over the same connections, with another limit for its requests."""
        other = copy(self)
        other._inactivity = float(seconds)
        return other

    def post(self, request: Request, done: Done) -> None:
        """Send a request on an idle connection or a new one; `done` is called exactly once."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.reusable:
                self._send(connection, request, done, fresh=False)
                return
        self._post_afresh(request, done)

    def _post_afresh(self, request: Request, done: Done) -> None:
        task = self._loop.create_task(self._connect(), name="connect")
        self._connecting.add(task)
        task.add_done_callback(partial(self._connected, request, done))

    def abort(self) -> None:
        """Give up every request in flight; each ends as `Broken.CUT`."""
        # Forgotten, so that one which has connected this very moment sends nothing any more.
        connecting = list(self._connecting)
        self._connecting.clear()
        for task in connecting:
            task.cancel()
        for connection in list(self._busy):
            connection.abort()

    def close(self) -> None:
        """Abort, and close idle connections too."""
        self.abort()
        while self._idle:
            self._idle.pop().abort()

    async def probe(self, how: Probe) -> bool:
        """See `messages.gate`. With `health_path` that page must answer 2xx, always."""
        try:
            connection = await self._connect()
        except OSError:
            return False
        if how is Probe.PORT and self._health_path is None:
            connection.abort()
            return True
        must_answer = how is Probe.ANSWER or self._health_path is not None
        seconds = self._connect_timeout if must_answer else _LOOK_SECONDS
        port = "" if self._port == 80 else f":{self._port}"
        request = (
            f"GET {self._health_path or '/'} HTTP/1.1\r\nHost: {self._host}{port}\r\n"
            f"User-Agent: {USER_AGENT}\r\nConnection: close\r\n\r\n"
        )
        try:
            async with asyncio.timeout(seconds):
                answer = await connection.request(request.encode(), seconds)
        except TimeoutError:  # a page without an end has a status all the same
            status = connection.status
        else:
            status = answer.status if isinstance(answer, Answer) else 0
            if isinstance(answer, Answer):
                self._look_for_proxy(answer)
        connection.abort()  # should the application not close what it was asked to close
        if not status:
            return not must_answer
        if self._health_path is None:
            return status not in APPLICATION_DOWN_STATUSES
        return 200 <= status < 300

    def _look_for_proxy(self, answer: Answer) -> None:
        found = _PICKY_PROXY.search(answer.head)
        if found is not None and _OWN_PROXY.search(answer.head) is None:
            self._proxy_noticed(found[1].decode("ascii"))

    def _send(self, connection: Connection, request: Request, done: Done, *, fresh: bool) -> None:
        busy = self._busy
        busy.add(connection)

        def finished(result: Answer | Failure) -> None:
            busy.discard(connection)
            if type(result) is Answer:
                if connection.reusable:
                    self._idle.append(connection)
                done(_answered(result))
            elif result is Failure.UNSENT and not fresh:
                # The server closed the idle connection as we wrote: not one byte reached it.
                self._post_afresh(request, done)
            else:
                done(_BROKEN[result])  # type: ignore[index]

        connection.exchange(request.head + request.body, finished, self._inactivity)

    def _connected(self, request: Request, done: Done, task: asyncio.Task[Connection]) -> None:
        wanted = task in self._connecting
        self._connecting.discard(task)
        error = None if task.cancelled() else task.exception()
        if not wanted or task.cancelled():
            if error is None and not task.cancelled():
                task.result().abort()
            done(Broken.CUT)
        elif error is None:
            self._send(task.result(), request, done, fresh=True)
        elif isinstance(error, OSError):
            late = isinstance(error, TimeoutError)
            done(Unreachable.CONNECT_TIMEOUT if late else Unreachable.REFUSED)
        else:
            raise error

    async def _connect(self) -> Connection:
        """A new connection.

        Raises:
            TimeoutError: after `connect_timeout` seconds.
            OSError: refused on each loopback address; the first refusal is told.
        """
        refused: OSError | None = None
        async with asyncio.timeout(self._connect_timeout):
            for address in self._addresses:
                try:
                    _, connection = await self._loop.create_connection(
                        lambda: Connection(self._loop, keep_body=False), address, self._port
                    )
                except OSError as error:
                    refused = refused or error
                else:
                    return connection
        assert refused is not None
        raise refused


def _answered(answer: Answer) -> Answered:
    if answer.status == 200:
        return _OK
    found = _RETRY_AFTER.search(answer.head)
    if found is None:
        return Answered(answer.status)
    return Answered(answer.status, retry_after_seconds(found[1].decode("latin-1"), time.time()))


def retry_after_seconds(value: str, now: float) -> int | None:
    """The seconds that a `Retry-After` header names, itself or as a date (RFC 9110, 10.2.3).

    None for what is neither, and for a date that has passed.

    Args:
        now: epoch seconds; the application is on this machine, so one clock serves both.
    """
    if value.isdecimal() and value.isascii():
        return int(value[:9])
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    seconds = ceil(at - now)
    return seconds if seconds > 0 else None


_OK: Final = Answered(200)
