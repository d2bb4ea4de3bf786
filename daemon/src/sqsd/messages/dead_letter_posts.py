"""The POST on `on_dead_letter_path`: the application learns of a message that is given up.

    failed, no receive left -----+                                  +--> RELEASING (SQS moves it)
    dead_letter_statuses --------+--> WAITING <--> POSTING --ends---+
    released untried, the same --+                                  +--> DEAD_LETTERING

Promised:
- the POST comes before the message is released or sent to the dead-letter queue, so a message is
  lost by neither order: a daemon that dies in between leaves it to SQS;
- the message stays hidden meanwhile and occupies a connection, and no later message of its FIFO
  group is started;
- nothing that becomes of the POST repeats the job, and after `LONGEST_SECONDS`, or `TRIES` answers
  that are no success, the message goes on to the dead-letter queue without it. That is logged.

Not promised: a POST for what SQS moves by itself, for a daemon that dies between the failed attempt
and the POST, or without an application until the end of a drain.
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
#: Time from the end of the last attempt after which no further try begins, in seconds; at least
#: the visibility timeout. A restart or a deployment of the application takes less.
LONGEST_SECONDS: Final = 900
STOPPING: Final = "the daemon is stopping"
_NO_APPLICATION: Final = "the application does not answer"


@dataclass(slots=True, eq=False)
class DeadLetterPost:
    """A POST that is to be made, or runs.

    `settlement` is what becomes of the message afterwards. Times are monotonic seconds.
    """

    in_flight: InFlightMessage
    settlement: Release | DeadLetter
    since: float
    next_at: float
    tries: int = 0


class DeadLetterPosts:
    """The POSTs on `on_dead_letter_path` of one queue that have not ended."""

    def __init__(self, options: SqsdOptions) -> None:
        self._options = options
        self._posts: dict[str, DeadLetterPost] = {}

    def add(self, in_flight: InFlightMessage, settlement: Release | DeadLetter, now: float) -> None:
        """A message is given up: it is POSTed as soon as there is a connection."""
        in_flight.state = State.DEAD_LETTER_WAITING
        since = now if in_flight.held_since is None else in_flight.held_since
        post = DeadLetterPost(in_flight, settlement, since, now)
        self._posts[in_flight.message.message_id] = post

    def hopeless(
        self, now: float, *, draining: bool, drain_is_over: bool, gate_is_open: bool
    ) -> Iterator[tuple[DeadLetterPost, str]]:
        """Remove and yield what waits and is POSTed no more, each with the reason.

        A drain waits for one try and no second one.
        """
        for post in self._waiting():
            if drain_is_over or (draining and (post.tries or not gate_is_open)):
                yield self._remove(post), STOPPING
            elif not gate_is_open and now >= self._ends_at(post):
                yield self._remove(post), _NO_APPLICATION

    def due(self, now: float) -> list[DeadLetterPost]:
        """Return what may be POSTed now, the first one first."""
        return [post for post in self._waiting() if post.next_at <= now]

    def answered(
        self, in_flight: InFlightMessage, outcome: Outcome, now: float, *, draining: bool
    ) -> tuple[DeadLetterPost, int | None]:
        """A POST ended. Returns it with the seconds until the next try, or None if there is none.

        Without a next try it is removed.
        """
        post = self._posts[in_flight.message.message_id]
        if isinstance(outcome, Unreachable):
            pause = 0
        else:
            post.tries += 1
            pause = round(doubled(_FIRST_PAUSE_SECONDS, post.tries - 1, LONGEST_SECONDS))
        if isinstance(outcome, Answered):
            pause = max(pause, outcome.retry_after or 0)
        post.next_at = now + pause
        if (
            self.succeeded(outcome)
            or draining
            or post.tries >= TRIES
            or post.next_at >= self._ends_at(post)
        ):
            self._remove(post)
            return post, None
        in_flight.state = State.DEAD_LETTER_WAITING
        return post, pause

    def succeeded(self, outcome: Outcome) -> bool:
        """Return whether the application took the POST: 200, or a status of `delete_statuses`."""
        return settle(outcome, self._options) == Delete()

    def _waiting(self) -> list[DeadLetterPost]:
        waiting = State.DEAD_LETTER_WAITING
        return [post for post in self._posts.values() if post.in_flight.state is waiting]

    def _remove(self, post: DeadLetterPost) -> DeadLetterPost:
        return self._posts.pop(post.in_flight.message.message_id)

    def _ends_at(self, post: DeadLetterPost) -> float:
        """Return when no further try begins: not once SQS may deliver the message again."""
        longest = max(LONGEST_SECONDS, self._options.visibility_timeout)
        in_flight = post.in_flight
        hidden = in_flight.hideable_until if self._options.heartbeat else in_flight.hidden_until
        return min(post.since + longest, hidden)
