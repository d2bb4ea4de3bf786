"""The web application, in memory."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Final

from sqsd.contract import HEADER_MESSAGE_ID
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Answered, Broken, Outcome
from sqsd.messages.request import Request

_MESSAGE_ID: Final = re.compile(rb"\r\n%b: ([^\r\n]*)\r\n" % HEADER_MESSAGE_ID.encode())


class FakeApplication:
    """Implements `messages.ports.Application` in memory: answers 200 unless a test says otherwise.

    It fails the test if a message is posted while a request for the same message runs.
    """

    def __init__(self) -> None:
        self._outcomes: deque[Outcome | None] = deque([Answered(200)])
        self._running: dict[str, Callable[[Outcome], None]] = {}
        self._failing: dict[bytes, Outcome] = {}
        #: Time that each request takes, seconds.
        self.seconds = 0.01
        #: Whether probes find the application up.
        self.up = True
        #: Whether it answers a GET; without an answer only `Probe.ANSWER` finds it down.
        self.answers_probes = True
        #: Whether probes get no result for ever.
        self.probes_hang = False
        #: All requests, oldest first.
        self.posted: list[Request] = []
        #: All probes, oldest first.
        self.probes: list[Probe] = []
        #: Most requests that ran at one time.
        self.most_at_once = 0

    def answers(self, *outcomes: Outcome | int | None) -> None:
        """Set the outcomes of the next requests, one each; the last is repeated for ever.

        Args:
            outcomes: an HTTP status; an outcome such as `Unreachable.REFUSED`; or None for a
                request that runs until `finish` is called.
        """
        self._outcomes = deque(Answered(o) if isinstance(o, int) else o for o in outcomes)

    def fail(self, *bodies: str) -> None:
        """Answer 500 to messages with one of these bodies, whatever `answers` says."""
        self.fails_with(500, *bodies)

    def fails_with(self, outcome: Outcome | int, *bodies: str) -> None:
        """End the requests of messages with one of these bodies so, whatever `answers` says."""
        chosen = Answered(outcome) if isinstance(outcome, int) else outcome
        self._failing.update((body.encode(), chosen) for body in bodies)

    @property
    def running(self) -> list[str]:
        """Ids of the messages whose requests run, oldest first."""
        return list(self._running)

    @property
    def bodies(self) -> list[str]:
        """Bodies of all requests, oldest first."""
        return [request.body.decode() for request in self.posted]

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        """Take a request; `done` is called with its outcome after `seconds`."""
        found = _MESSAGE_ID.search(request.head)
        assert found is not None
        message_id = found[1].decode()
        assert message_id not in self._running, f"{message_id} runs twice at one time"
        self.posted.append(request)
        self._running[message_id] = done
        self.most_at_once = max(self.most_at_once, len(self._running))
        outcome = self._outcomes.popleft() if len(self._outcomes) > 1 else self._outcomes[0]
        outcome = self._failing.get(request.body, outcome)
        if outcome is not None:
            asyncio.get_running_loop().call_later(self.seconds, self.finish, message_id, outcome)

    def finish(self, message_id: str, outcome: Outcome | int) -> None:
        """End the request of a message with an outcome; does nothing if it does not run."""
        done = self._running.pop(message_id, None)
        if done is not None:
            done(Answered(outcome) if isinstance(outcome, int) else outcome)

    def abort(self) -> None:
        """End every running request as `Broken.CUT`."""
        for message_id in list(self._running):
            self.finish(message_id, Broken.CUT)

    async def probe(self, how: Probe) -> bool:
        """Return whether the application is up."""
        self.probes.append(how)
        await asyncio.sleep(0)
        if self.probes_hang:
            await asyncio.get_running_loop().create_future()
        return self.up and (self.answers_probes or how is not Probe.ANSWER)
