"""Writes the line that Elastic Beanstalk's daemon has for each POST, at the moment it is made."""

from __future__ import annotations

from collections.abc import Callable

from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Outcome
from sqsd.messages.ports import Application
from sqsd.messages.request import Request
from sqsd.observe.eb_log import EbLog


class PostLog:
    """Implements `messages.ports.Application`: writes a line for each POST, and passes it on.

    Args:
        application: the application that is called.
        log: where the line goes.
        target: the application's address and `http_path`, such as `http://localhost:80/`. EB shows
            that path for periodic tasks too, whose requests go to others.
    """

    def __init__(self, application: Application, log: EbLog, target: str) -> None:
        self._application = application
        self._log = log
        self._target = target

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        self._log.line(f"message: sent to {self._target}")
        self._application.post(request, done)

    def abort(self) -> None:
        self._application.abort()

    async def probe(self, how: Probe) -> bool:
        return await self._application.probe(how)
