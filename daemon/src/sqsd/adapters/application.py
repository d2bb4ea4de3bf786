"""The application on localhost: POSTs over a pool of kept connections, and probes for the gate."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from sqsd.adapters.http1 import Answer, Connection, Failure
from sqsd.contract import USER_AGENT, SqsdOptions
from sqsd.core.dispatch import (
    APPLICATION_DOWN_STATUSES,
    Answered,
    Broken,
    Outcome,
    Unreachable,
)
from sqsd.core.request import Request

#: Frameworks bind one or the other; the name itself is not resolved, for that can block.
_LOOPBACK: Final = ("127.0.0.1", "::1")
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_BROKEN: Final = {
    Failure.INACTIVE: Broken.INACTIVE,
    Failure.CLOSED: Broken.CLOSED,
    Failure.UNSENT: Broken.CLOSED,
    Failure.MALFORMED: Broken.MALFORMED,
    Failure.ABORTED: Broken.CUT,
}
Done = Callable[[Outcome], None]


class LocalApplication:
    """Implements `ports.Application`: at most as many connections as requests were asked for."""

    def __init__(self, options: SqsdOptions) -> None:
        self._port = options.http_port
        self._connect_timeout = float(options.connect_timeout)
        self._inactivity = float(options.inactivity_timeout)
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()

    def post(self, request: Request, done: Done) -> None:
        """Send a request on an idle connection or a new one; `done` is called exactly once."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.reusable:
                self._send(connection, request, done, fresh=False)
                return
        task = self._loop.create_task(self._connect_and_send(request, done), name="connect")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def abort(self) -> None:
        """Give up every request in flight; each ends as `Broken.CUT`."""
        for task in list(self._connecting):
            task.cancel()
        for connection in list(self._busy):
            connection.abort()

    def close(self) -> None:
        """Abort, and close idle connections too."""
        self.abort()
        while self._idle:
            self._idle.pop().abort()

    async def probe(self, *, needs_answer: bool) -> bool:
        """Whether the application is there: its port accepts and, if asked, a GET is answered.

        Any answer but a proxy's 502, 503 or 504 will do: an application need not have a page at /.
        """
        try:
            connection = await self._connect()
        except OSError:
            return False
        if not needs_answer:
            connection.abort()
            return True
        port = "" if self._port == 80 else f":{self._port}"
        request = (
            f"GET / HTTP/1.1\r\nHost: localhost{port}\r\nUser-Agent: {USER_AGENT}\r\n"
            "Connection: close\r\n\r\n"
        )
        answer = await connection.request(request.encode(), self._connect_timeout)
        return isinstance(answer, Answer) and answer.status not in APPLICATION_DOWN_STATUSES

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
                self.post(request, done)
            else:
                done(_BROKEN[result])  # type: ignore[index]

        connection.exchange(request.head + request.body, finished, self._inactivity)

    async def _connect_and_send(self, request: Request, done: Done) -> None:
        try:
            connection = await self._connect()
        except asyncio.CancelledError:
            done(Broken.CUT)
            raise
        except TimeoutError:
            done(Unreachable.CONNECT_TIMEOUT)
        except OSError:
            done(Unreachable.REFUSED)
        else:
            self._send(connection, request, done, fresh=True)

    async def _connect(self) -> Connection:
        """A new connection.

        Raises:
            TimeoutError: after `connect_timeout` seconds.
            OSError: refused on each loopback address; the first refusal is told.
        """
        refused: OSError | None = None
        async with asyncio.timeout(self._connect_timeout):
            for address in _LOOPBACK:
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
    return Answered(answer.status, int(found[1]) if found else None)


_OK: Final = Answered(200)
