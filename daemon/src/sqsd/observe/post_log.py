"""Writes the line that Elastic Beanstalk's daemon has for each POST, at the moment it is made."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sqsd.contract import HEADER_DEAD_LETTER_REASON, HEADER_PATH
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Outcome
from sqsd.messages.ports import Application
from sqsd.messages.request import Request
from sqsd.observe.eb_log import EbLog, brief

#: The header with the path that a message names, else `http_path`.
_PATH: Final = re.compile(rb"\r\n%b: ([^\r\n]*)\r\n" % HEADER_PATH.encode())
#: Start of the header that only a POST on `on_dead_letter_path` has.
_DEAD_LETTER: Final = f"\r\n{HEADER_DEAD_LETTER_REASON}: ".encode()


class PostLog:
    """Implements `messages.ports.Application`: writes a line for each POST, and passes it on.

    Args:
        application: the application that is called.
        log: where the line goes.
        target: the application's address, such as `http://localhost:80`. The line adds the path
            that the header `X-Aws-Sqsd-Path` has, as in EB: of a message that names a path and is
            no periodic task that is another than the one it is posted to.
    """

    def __init__(self, application: Application, log: EbLog, target: str) -> None:
        self._application = application
        self._log = log
        self._target = target

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        if _DEAD_LETTER not in request.head:  # else it is no dispatch of a message
            found = _PATH.search(request.head)
            path = request.path if found is None else found[1].decode()
            self._log.line(f"message: sent to {self._target}{brief(path)}")
        self._application.post(request, done)

    def abort(self) -> None:
        self._application.abort()

    async def probe(self, how: Probe) -> bool:
        return await self._application.probe(how)
