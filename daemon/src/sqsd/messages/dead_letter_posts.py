"""The POST on `on_dead_letter_path`: the application learns of a message that is given up.

    failed, no receive left -----+                                  +--> RELEASING (SQS moves it)
    dead_letter_statuses --------+--> WAITING <--> POSTING --ends---+
    released untried, the same --+                                  +--> DEAD_LETTERING

Promised:
- the POST comes before the message is released or sent to the dead-letter queue, so a message is
  lost by neither order: a daemon that dies in between leaves it to SQS;
- the message stays hidden meanwhile and occupies a connection, and no later message of its FIFO
  group is started;
- nothing that becomes of the POST repeats the job, and after `TRIES` tries that are no success,
  `TRY_SECONDS` of them, or `LONGEST_SECONDS` without an application, the message goes on to the
  dead-letter queue without it. That is logged;
- the POSTs run on half of the connections at most (on one of one). While the path does not succeed,
  no more messages than that wait here for a POST either, and the rest goes on: a path that fails or
  hangs stops other messages for `PATIENCE_SECONDS` at most. A slow one that succeeds loses no POST.

Not promised: a POST for what SQS moves by itself, for a daemon that dies between the failed attempt
and the POST, without an application until the end of a drain, or while the path does not succeed
and as many messages as may wait for it do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqsd.base.backoff import doubled
from sqsd.contract import SqsdOptions
from sqsd.messages.in_flight import InFlightMessage, State
from sqsd.messages.outcome import (
    Answered,
    DeadLetter,
    Delete,
    Outcome,
    Release,
    Unreachable,
    settle,
)

#: POSTs of one message that the application took without success. A refused connection is none.
TRIES: Final = 5
#: First wait before the next try, in seconds; doubled with each. `Retry-After` may ask for more.
_FIRST_PAUSE_SECONDS: Final = 1
#: Time from the end of the last attempt for which a message waits for an application, in seconds;
#: at least the visibility timeout. A restart or a deployment of the application takes less.
LONGEST_SECONDS: Final = 900
#: Time from the first try after which no further one begins while the application is up, in
#: seconds. The message occupies a connection meanwhile.
TRY_SECONDS: Final = 300
#: Time from the first try without a success after which the path is not trusted, in seconds.
PATIENCE_SECONDS: Final = 60
STOPPING: Final = "the daemon is stopping"
_NO_APPLICATION: Final = "the application does not answer"
_NO_SUCCESS: Final = "on_dead_letter_path does not succeed, and other messages wait for it"


@dataclass(slots=True, eq=False)
class DeadLetterPost:
    """A POST that is to be made, or runs.

    `settlement` is what becomes of the message afterwards. `first_try_at` is when the first of the
    tries began, or None if none has met an application. Times are monotonic seconds.
    """

    in_flight: InFlightMessage
    settlement: Release | DeadLetter
    since: float
    next_at: float
    first_try_at: float | None = None
    tries: int = 0


class DeadLetterPosts:
    """The POSTs on `on_dead_letter_path` of one queue that have not ended."""

    def __init__(self, options: SqsdOptions) -> None:
        self._options = options
        self._posts: dict[str, DeadLetterPost] = {}
        #: Whether the path took the newest message that it had enough tries or time for.
        self._path_is_trusted = True

    def add(self, in_flight: InFlightMessage, settlement: Release | DeadLetter, now: float) -> None:
        """A message is given up: it is POSTed as soon as there is a connection."""
        in_flight.state = State.DEAD_LETTER_WAITING
        post = DeadLetterPost(in_flight, settlement, now, now)
        self._posts[in_flight.message.message_id] = post

    def hopeless(
        self, now: float, *, draining: bool, drain_is_over: bool, gate_is_open: bool, most: int
    ) -> Iterator[tuple[DeadLetterPost, str]]:
        """Remove and yield what waits and is POSTed no more, each with the reason.

        A drain waits for one try and no second one. At most `most` messages wait for a path that
        is not trusted.
        """
        for post in self._waiting():
            if drain_is_over or (draining and (post.tries or not gate_is_open)):
                yield self._remove(post), STOPPING
            elif not gate_is_open and now >= self._ends_at(post):
                yield self._remove(post), _NO_APPLICATION
        if not gate_is_open:
            for post in self._waiting():
                post.first_try_at = None
            return
        for post in self._excess(now, most):
            yield self._remove(post), _NO_SUCCESS

    def _excess(self, now: float, most: int) -> list[DeadLetterPost]:
        """Return what waits beyond `most` for a path that is not trusted, tried ones first."""
        if len(self._posts) <= most:
            return []
        if any(_tried_seconds(post, now) >= PATIENCE_SECONDS for post in self._posts.values()):
            self._path_is_trusted = False
        if self._path_is_trusted:
            return []
        waiting = sorted(self._waiting(), key=lambda post: -post.tries)
        return waiting[: len(self._posts) - most]

    def start(self, now: float, free: int, most: int) -> list[DeadLetterPost]:
        """Begin up to `free` POSTs, the first one first; at most `most` run at one time."""
        posting = sum(
            post.in_flight.state is State.DEAD_LETTER_POSTING for post in self._posts.values()
        )
        due = [post for post in self._waiting() if post.next_at <= now]
        started = due[: max(0, min(free, most - posting))]
        for post in started:
            post.in_flight.state = State.DEAD_LETTER_POSTING
            if post.first_try_at is None:
                post.first_try_at = now
        return started

    def answered(
        self, in_flight: InFlightMessage, outcome: Outcome, now: float, *, draining: bool
    ) -> tuple[DeadLetterPost, int | None]:
        """A POST ended. Returns it with the seconds until the next try, or None if there is none.

        Without a next try it is removed.
        """
        post = self._posts[in_flight.message.message_id]
        pause = self._note_try(post, outcome)
        post.next_at = now + pause
        succeeded = self.succeeded(outcome)
        if succeeded:
            self._path_is_trusted = True
        elif not draining and post.tries < TRIES and post.next_at < self._tries_end_at(post):
            in_flight.state = State.DEAD_LETTER_WAITING
            return post, pause
        elif not draining:
            self._path_is_trusted = False
        self._remove(post)
        return post, None

    def _note_try(self, post: DeadLetterPost, outcome: Outcome) -> int:
        """Note that a POST ended. Returns the seconds until the next try."""
        if isinstance(outcome, Unreachable):
            post.first_try_at = None  # the time without an application does not count
            return 0
        post.tries += 1
        pause = round(doubled(_FIRST_PAUSE_SECONDS, post.tries - 1, LONGEST_SECONDS))
        if isinstance(outcome, Answered):
            return max(pause, outcome.retry_after or 0)
        return pause

    def succeeded(self, outcome: Outcome) -> bool:
        """Return whether the application took the POST: 200, or a status of `delete_statuses`."""
        return settle(outcome, self._options) == Delete()

    def _waiting(self) -> list[DeadLetterPost]:
        waiting = State.DEAD_LETTER_WAITING
        return [post for post in self._posts.values() if post.in_flight.state is waiting]

    def _remove(self, post: DeadLetterPost) -> DeadLetterPost:
        return self._posts.pop(post.in_flight.message.message_id)

    def _ends_at(self, post: DeadLetterPost) -> float:
        """Return until when an application is waited for: not once SQS hides the message no more.

        Messages that are given up are extended with `heartbeat` off too.
        """
        longest = max(LONGEST_SECONDS, self._options.visibility_timeout)
        return min(post.since + longest, post.in_flight.hideable_until)

    def _tries_end_at(self, post: DeadLetterPost) -> float:
        """Return when no further try begins."""
        if post.first_try_at is None:
            return self._ends_at(post)
        return min(post.first_try_at + TRY_SECONDS, post.in_flight.hideable_until)


def _tried_seconds(post: DeadLetterPost, now: float) -> float:
    """Return for how long a message has been tried."""
    return 0.0 if post.first_try_at is None else now - post.first_try_at
