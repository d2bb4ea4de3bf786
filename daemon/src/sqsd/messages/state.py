"""The life of every message that this process holds: one machine, events in, actions out.

    received --> WAITING --> RUNNING --200--> DELETING --> gone
       |  (its group is busy)   |
       |                        +--any other outcome--> RELEASING --> gone
       |                        +--no connection--> HELD
       |                        +--502, 503, no byte--> SUSPICIOUS --application up--> RELEASING
       |                        |                                 +--application down--> HELD
       |                        +--backpressure_statuses--> POSTPONED --after a pause--> RUNNING
       |                        +--dead_letter_statuses--> DEAD_LETTERING --> DELETING --> gone
       |  (before DEAD_LETTERING, and before RELEASING without a receive left, comes the POST on
       |   on_dead_letter_path: DEAD_LETTER_WAITING, DEAD_LETTER_POSTING; see `dead_letter_posts`)
       +--> DELETING (expired, or answered 200 before) and RELEASING (too late)
       +--> HELD (drain, closed gate) --no receive is open--> RELEASING --> gone
                 +--the gate opens--> RUNNING

Promised, under any order of events:
- a message is deleted only after the application answered it 200 (or a status of
  `delete_statuses`), because it is past its retention period, because it is a copy of a scheduled
  message that has been dispatched, or after the dead-letter queue has taken it;
- one message id is never RUNNING twice at one time in this process;
- of a FIFO message group, one message runs at a time, in the order received;
- a visibility change that failure asks for is not overtaken by a heartbeat of the same message;
- a message is released sooner than its visibility timeout ends only where an option or the
  application says so, or untried; one that met no application is held, and is posted first
  when the gate opens;
- no more than `http_connections` messages are WAITING, HELD, SUSPICIOUS, POSTPONED, RUNNING or
  POSTed on `on_dead_letter_path` (with several queues, in all).

Not promised: that SQS delivers a message once. Two instances may hold copies (standard queues),
and a message whose visibility ran out may run elsewhere. The application must be idempotent.

Times are monotonic seconds, given with each event, except `wall_time`, which retention needs. No
number here is counted up and down: capacity is what the dictionaries leave, so it cannot drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any, Final

from sqsd.contract import BATCH_ENTRIES, SqsdOptions, events
from sqsd.messages import visibility
from sqsd.messages.dead_letter_posts import DeadLetterPost, DeadLetterPosts
from sqsd.messages.expiry import expired_age
from sqsd.messages.gate import Gate
from sqsd.messages.groups import MessageGroups
from sqsd.messages.in_flight import (
    LONGEST_HIDDEN_SECONDS,
    Action,
    ChangeVisibility,
    DeadLetterMessage,
    DeleteMessage,
    InFlightMessage,
    LogEvent,
    Post,
    PostDeadLetter,
    State,
    jitter,
    log_fields,
    overdue,
)
from sqsd.messages.message import Message
from sqsd.messages.outcome import (
    Answered,
    Broken,
    DeadLetter,
    Delete,
    Hold,
    Outcome,
    PostAgain,
    Release,
    Unreachable,
    describe,
    down_seconds,
    is_application_down,
    retry_seconds,
    settle,
    status_is_in,
)
from sqsd.messages.polling import Receive
from sqsd.messages.unsettled import Unsettled

#: A proxy's status for an application that takes long. It says nothing about whether there is one.
_GATEWAY_TIMEOUT: Final = 504
#: Most `max_retries` with which FIFO queues are asked for one message at a time: what is released
#: with a failing first message of its group would not be tried.
_FEW_RECEIVES: Final = 2
#: Least visibility timeout set on a duplicate delivery of a message in process, in seconds.
_DUPLICATE_SECONDS: Final = 1
#: Why a message is released that another consumer may have received by now.
_TOO_LATE: Final = "received too late to start"
#: Why a message is released that waited for the first of its group.
_GROUP_RELEASED: Final = "an earlier message of its group is released"
#: Why a message is released before which its group has one that could not be read.
_FOLLOWS_DAMAGED: Final = "an earlier message of its group is damaged"
_STOPPING: Final = "the daemon is stopping"
_APPLICATION_DOWN: Final = "the application does not answer"
#: Shortest time for which a message that met no application is held before another instance may
#: have it, in seconds; at least its visibility timeout. A restart or a deployment takes less.
_HOLD_SECONDS: Final = 900
#: States of messages that `settle_held` starts or settles.
_FOR_SETTLE_HELD: Final = frozenset(
    {State.HELD, State.SUSPICIOUS, State.POSTPONED, State.DEAD_LETTER_WAITING}
)


class MessageState:
    """All messages of one queue in this process; see the module.

    Every method returns at once, and none raises because of what a message contains.

    Args:
        gate: of the application; shared by its queues.
    """

    def __init__(self, options: SqsdOptions, *, fifo: bool, gate: Gate) -> None:
        self.fifo = fifo
        self.gate = gate
        self.draining = False
        #: The machine goes away, and the application with it.
        self.host_is_leaving = False
        #: Nothing more is tried, not even what has no receive left.
        self._drain_is_over = False
        #: Nothing is to be received for now, though the application is up.
        self.paused = False
        self._options = options
        # A message may have come at the very end of a long poll: the wait there is no delay.
        self._longest_receive = options.wait_time_seconds + options.visibility_timeout / 2
        #: WAITING, HELD, SUSPICIOUS, POSTPONED and RUNNING messages: each occupies a connection.
        self._in_flight: dict[str, InFlightMessage] = {}
        self._unsettled = Unsettled()
        #: Of messages that are given up, or None without `on_dead_letter_path`.
        self._dead_letter_posts = DeadLetterPosts(options) if options.on_dead_letter_path else None
        self._groups = MessageGroups()
        self._receives: list[Receive] = []
        #: FIFO: until when at least two receives are open that ask for more than one message.
        #: Each would bring a group that is visible again before, and cost all of it a receive.
        self._wide_receives_until = 0.0
        #: FIFO: ids of messages of the receive at hand that are tried in spite of a drain.
        self._tried_in_drain: set[str] = set()
        #: Some messages may be in a state of `_FOR_SETTLE_HELD`.
        self.may_hold = False

    # ---- questions

    @property
    def in_flight(self) -> int:
        """How many messages occupy connections."""
        return len(self._in_flight)

    @property
    def running(self) -> int:
        """How many requests the application has."""
        posts = (State.RUNNING, State.DEAD_LETTER_POSTING)
        return sum(in_flight.state in posts for in_flight in self._in_flight.values())

    @property
    def open_receives(self) -> int:
        """How many receives are open."""
        return len(self._receives)

    @property
    def reserved(self) -> int:
        """How many messages open receives have asked for."""
        return sum(receive.limit for receive in self._receives)

    @property
    def wants_messages(self) -> bool:
        """Whether receives should be open: there are connections that no message occupies."""
        if self.draining or self.paused or not self.gate.is_open:
            return False
        return self.gate.limit > len(self._in_flight)

    def capacity(self) -> int:
        """Return how many messages may be asked for, beyond those that open receives asked for."""
        if not self.wants_messages:
            return 0
        return max(0, self.gate.limit - len(self._in_flight) - self.reserved)

    def receive_limit(self, now: float) -> int:
        """Return how many messages one receive may ask for, 1 to 10."""
        wait_seconds = self._options.wait_time_seconds + 1
        if self.fifo and (
            self._options.max_retries <= _FEW_RECEIVES
            or self._groups.may_bring_released(now, wait_seconds)
        ):
            return 1
        return BATCH_ENTRIES

    @property
    def idle(self) -> bool:
        """Whether no message is here, and no call to SQS about one is under way."""
        return not self._in_flight and not self._unsettled.messages

    def messages(self) -> list[InFlightMessage]:
        """Return every message that is here, the unsettled ones included."""
        return [*self._in_flight.values(), *self._unsettled.messages.values()]

    # ---- receives

    def receive_opened(self, receive: Receive) -> None:
        """A receive has been asked for; `receive_ended` follows, whatever becomes of it."""
        self._receives.append(receive)
        self._note_wide_receives()

    def receive_ended(self, receive: Receive) -> None:
        """A receive has ended, and `received` has taken what it brought."""
        self._receives.remove(receive)
        self._note_wide_receives()

    def received(self, messages: Iterable[Message], now: float, wall_time: float) -> list[Action]:
        """An open receive brought `messages`."""
        actions: list[Action] = []
        if self.draining and self.fifo:
            messages = self._note_tried(messages)
        for message in messages:
            self._receive(message, now, wall_time, actions)
        self._tried_in_drain.clear()
        return actions

    def _note_tried(self, messages: Iterable[Message]) -> list[Message]:
        """Note which messages of a receive are tried though the daemon stops.

        Of each group these are all up to the last one that has no receive left.
        """
        received = list(messages)
        groups: set[str | None] = set()
        for message in reversed(received):
            if message.group_id in groups or message.receive_count >= self._options.max_retries:
                groups.add(message.group_id)
                self._tried_in_drain.add(message.message_id)
        return received

    def _note_wide_receives(self) -> None:
        if self.fifo:
            ends = sorted(receive.ends_at for receive in self._receives if receive.limit > 1)
            self._wide_receives_until = ends[-2] if len(ends) > 1 else 0.0

    def _receive(
        self, message: Message, now: float, wall_time: float, actions: list[Action]
    ) -> None:
        message_id = message.message_id
        known = self._in_flight.get(message_id) or self._unsettled.messages.get(message_id)
        if known is not None:
            self._receive_again(known, message, actions)
            return
        sent_at = message.sent_at
        # The two clocks differ: a message from the future has waited for no time.
        dwell_seconds = 0.0 if sent_at is None else max(0.0, wall_time - sent_at / 1000)
        in_flight = InFlightMessage(message, now, dwell_seconds)
        visibility.delivered(in_flight, self._options)
        if self._unsettled.is_done(message_id):
            values = log_fields(in_flight, reason="answered 200")
            actions.append(LogEvent(events.MESSAGE_DUPLICATE, values))
            self._delete(in_flight, actions)
        elif (age := expired_age(message, self._options, wall_time)) is not None:
            values = log_fields(in_flight, age_seconds=age)
            actions.append(LogEvent(events.MESSAGE_EXPIRED, values, in_flight))
            self._delete(in_flight, actions)
        elif message.follows_damaged:
            # SQS delivers it again after the damaged one, and not before that is visible.
            self._release(in_flight, 0, _FOLLOWS_DAMAGED, now, actions)
        elif self.draining and not (
            message_id in self._tried_in_drain if self.fifo else self._is_last_receive(in_flight)
        ):
            self._hold(in_flight)
        elif now - message.received_at > self._longest_receive:
            # The answer took so long that a copy may be delivered before this one is done.
            self._release(in_flight, 0, _TOO_LATE, now, actions)
        elif self.fifo and (earlier := self._unsettled.releasing_of(message.group_id)) is not None:
            # It must not overtake an earlier message of its group that is being released.
            self._release(in_flight, earlier.release_after, _GROUP_RELEASED, now, actions)
        else:
            self._enter(in_flight, now, actions)

    def _receive_again(
        self, in_flight: InFlightMessage, message: Message, actions: list[Action]
    ) -> None:
        """SQS delivered a message that is here once more: a copy, or its visibility ran out.

        An unsettled one needs nothing more: `deleted` and `released` notice that the receipt handle
        they used is no longer the newest.
        """
        in_flight.message = message
        in_flight.hideable_until = message.received_at + LONGEST_HIDDEN_SECONDS
        visibility.delivered(in_flight, self._options)
        if in_flight.state is State.RELEASING:
            in_flight.release_after = max(in_flight.release_after, _DUPLICATE_SECONDS)
        values = log_fields(in_flight, reason=in_flight.state.value)
        actions.append(LogEvent(events.MESSAGE_DUPLICATE, values))

    def _enter(self, in_flight: InFlightMessage, now: float, actions: list[Action]) -> None:
        self._in_flight[in_flight.message.message_id] = in_flight
        if not self.fifo or self._groups.enter(in_flight):
            self._run_or_hold(in_flight, now, actions)

    def _run_or_hold(self, in_flight: InFlightMessage, now: float, actions: list[Action]) -> None:
        if self.gate.is_open and not self._drain_is_over:
            self._run(in_flight, now, actions)
        else:
            self._hold(in_flight)

    def _run(self, in_flight: InFlightMessage, now: float, actions: list[Action]) -> None:
        in_flight.state = State.RUNNING
        in_flight.dispatched_at = now
        actions.append(Post(in_flight))

    # ---- outcomes

    def answered(self, in_flight: InFlightMessage, outcome: Outcome, now: float) -> list[Action]:
        """The request of a RUNNING message ended."""
        actions: list[Action] = []
        in_flight.answered_at = now
        del self._in_flight[in_flight.message.message_id]
        if type(outcome) is Answered:
            in_flight.status = outcome.status
            if outcome.status == 200:  # nearly every message; `settle` would delete it too
                self.gate.answered()
                if now > in_flight.hidden_until:
                    actions.append(overdue(in_flight, now))
                self._delete(in_flight, actions)
                self._run_next_of_group(in_flight, now, actions)
                return actions
        self._update_gate(in_flight, outcome, now, actions)
        settlement = settle(
            outcome,
            self._options,
            receive_count=in_flight.message.receive_count,
            jitter=jitter(in_flight.message),
            postponed=in_flight.postponed,
        )
        match settlement:
            case Delete():
                self._delete(in_flight, actions)
                self._run_next_of_group(in_flight, now, actions)
            case DeadLetter():
                self._dead_letter(in_flight, settlement, now, actions)
            case PostAgain():
                self._postpone(in_flight, settlement, now, actions)
            case Hold(reason=reason):
                self._hold_for_application(in_flight, reason, now, actions)
            case Release() if settlement.unless_down and self._may_hold_for_application(in_flight):
                self._suspect(in_flight, settlement)
            case Release():
                if outcome is Broken.CUT:
                    settlement = self._release_of_cut(in_flight, settlement, now)
                self._release_failed_message(in_flight, settlement, now, actions)
        return actions

    def _dead_letter(
        self,
        in_flight: InFlightMessage,
        dead_letter: DeadLetter,
        now: float,
        actions: list[Action],
    ) -> None:
        """Send a message to the dead-letter queue.

        Its group waits: if that fails, the message must not be overtaken.
        """
        if self._dead_letter_posts is not None:
            self._give_up(in_flight, dead_letter, now)
            return
        self._dead_letter_now(in_flight, dead_letter.reason, actions)

    def _dead_letter_now(
        self, in_flight: InFlightMessage, reason: str, actions: list[Action]
    ) -> None:
        in_flight.state = State.DEAD_LETTERING
        self._unsettled.messages[in_flight.message.message_id] = in_flight
        actions.append(DeadLetterMessage(in_flight, reason))

    def _release_of_cut(self, in_flight: InFlightMessage, release: Release, now: float) -> Release:
        """Return how to release a message whose request was cut, and may still run.

        At once only if the host leaves, and the application with it.
        """
        after = release.after_seconds
        if self.host_is_leaving:
            after = 0
        elif after is None:
            after = max(0, ceil(in_flight.hidden_until - now))
        return Release(after, release.reason)

    def _may_hold_for_application(self, in_flight: InFlightMessage) -> bool:
        """Return whether a message that was sent to the application may be held once it is down.

        Once in a delivery: the message may be what ends the application each time.
        """
        return in_flight.held_since is None and not self.draining

    def _suspect(self, in_flight: InFlightMessage, release: Release) -> None:
        """Decide with the next proof whether a message failed or met no application."""
        in_flight.state = State.SUSPICIOUS
        in_flight.release_if_up = release
        message_id = in_flight.message.message_id
        self._in_flight[message_id] = in_flight
        self.gate.unproven.add(message_id)
        self.may_hold = True

    def _hold_for_application(
        self, in_flight: InFlightMessage, reason: str, now: float, actions: list[Action]
    ) -> None:
        if in_flight.held_since is None:
            in_flight.held_since = now
        self._log_held(in_flight, actions, reason=reason)
        self._hold(in_flight)

    def _postpone(
        self, in_flight: InFlightMessage, again: PostAgain, now: float, actions: list[Action]
    ) -> None:
        """Hold a message until the application is less busy, or release it if that is too long."""
        in_flight.post_at = now + again.after_seconds
        ends = in_flight.hideable_until if self._options.heartbeat else in_flight.hidden_until
        ends_now = self.draining and not self._may_try_in_drain(in_flight)
        if ends_now or in_flight.post_at >= ends:
            self._release_failed_message(in_flight, again.release, now, actions)
            return
        in_flight.postponed += 1
        in_flight.release_if_up = again.release
        self._log_held(
            in_flight, actions, reason=again.release.reason, after_seconds=again.after_seconds
        )
        in_flight.state = State.POSTPONED
        self._in_flight[in_flight.message.message_id] = in_flight
        self.may_hold = True

    def _log_held(self, in_flight: InFlightMessage, actions: list[Action], **more: Any) -> None:
        actions.append(LogEvent(events.MESSAGE_HELD, log_fields(in_flight, **more)))
        in_flight.status = None  # this request is logged; what follows is about another
        in_flight.dispatched_at = 0.0
        in_flight.answered_at = 0.0

    def _release_failed_message(
        self, in_flight: InFlightMessage, release: Release, now: float, actions: list[Action]
    ) -> None:
        after = release.after_seconds
        if after is not None and self.fifo and self._groups.waiting_for(in_flight):
            after = max(after, ceil(self._wide_receives_until - now))
        self._release_group(in_flight, after, release.reason, now, actions)

    def suppressed(self, in_flight: InFlightMessage, now: float) -> list[Action]:
        """A RUNNING message was not sent, as it is a copy of a scheduled one: it is deleted."""
        actions: list[Action] = [LogEvent(events.CRON_SUPPRESSED, log_fields(in_flight))]
        in_flight.answered_at = now
        del self._in_flight[in_flight.message.message_id]
        self._delete(in_flight, actions)
        self._run_next_of_group(in_flight, now, actions)
        return actions

    def _update_gate(
        self, in_flight: InFlightMessage, outcome: Outcome, now: float, actions: list[Action]
    ) -> None:
        busy = self._options.backpressure_statuses
        if busy and type(outcome) is Answered and status_is_in(outcome.status, busy):
            self.gate.busy()
        elif is_application_down(outcome):
            certain = type(outcome) is Unreachable
            if self.gate.application_down(in_flight.message.message_id, now, certain=certain):
                actions.append(LogEvent(events.GATE_CLOSED, {"reason": describe(outcome)}))
        elif type(outcome) is Answered and outcome.status != _GATEWAY_TIMEOUT:
            self.gate.answered()

    def _run_next_of_group(
        self, in_flight: InFlightMessage, now: float, actions: list[Action]
    ) -> None:
        if not self.fifo:
            return
        following = self._groups.done(in_flight)
        if following is None:
            return
        if visibility.is_nearly_over(following, self._options, now):
            # SQS delivers it again, in order.
            self._release_group(following, 0, _TOO_LATE, now, actions)
        else:
            visibility.started_late(following, self._options, now)
            self._run_or_hold(following, now, actions)

    # ---- settling

    def _delete(self, in_flight: InFlightMessage, actions: list[Action]) -> None:
        in_flight.state = State.DELETING
        self._unsettled.messages[in_flight.message.message_id] = in_flight
        actions.append(DeleteMessage(in_flight))

    def _release_group(
        self,
        in_flight: InFlightMessage,
        after: int | None,
        reason: str,
        now: float,
        actions: list[Action],
    ) -> None:
        """Release a message, and those of its group that wait for it: same delay, in order."""
        self._in_flight.pop(in_flight.message.message_id, None)
        self._release(in_flight, after, reason, now, actions)
        if not self.fifo:
            return
        visible_at = in_flight.hidden_until if after is None else now + after
        for waiting in self._groups.release(in_flight, visible_at):
            del self._in_flight[waiting.message.message_id]
            self._release(waiting, after, _GROUP_RELEASED, now, actions)

    def _release(
        self,
        in_flight: InFlightMessage,
        after: int | None,
        reason: str,
        now: float,
        actions: list[Action],
    ) -> None:
        # Where the dead-letter queue took nothing the message has been POSTed.
        given_up = self._dead_letter_posts is not None and self._is_last_receive(in_flight)
        if given_up and in_flight.state is not State.DEAD_LETTERING:
            self._give_up(in_flight, Release(after, reason), now)
        else:
            self._release_now(in_flight, after, reason, now, actions)

    def _release_now(
        self,
        in_flight: InFlightMessage,
        after: int | None,
        reason: str,
        now: float,
        actions: list[Action],
    ) -> None:
        message = in_flight.message
        if after is None:
            after = visibility.remaining_seconds(in_flight, self._options, now)
        elif after:
            after = in_flight.hideable_seconds(after, now)
        left = max(0, self._options.max_retries - message.receive_count)
        values = log_fields(in_flight, reason=reason, after_seconds=after, receives_left=left)
        actions.append(LogEvent(events.MESSAGE_RELEASED, values, None if left else in_flight))
        if after is None:
            return
        in_flight.state = State.RELEASING
        in_flight.release_after = after
        self._unsettled.messages[message.message_id] = in_flight
        if not in_flight.heartbeat_pending:  # else `heartbeats_ended` does, so that it comes last
            actions.append(ChangeVisibility(in_flight, after))

    def deleted(self, in_flight: InFlightMessage, message: Message, now: float) -> list[Action]:
        """SQS confirmed a delete by the receipt handle of `message`."""
        return self._unsettled.deleted(in_flight, message, now)

    def delete_failed(self, in_flight: InFlightMessage, reason: str) -> list[Action]:
        """A delete was given up, after its retries."""
        return self._unsettled.delete_failed(in_flight, reason)

    def released(self, in_flight: InFlightMessage, message: Message, now: float) -> list[Action]:
        """SQS changed the visibility by the receipt handle of `message`."""
        return self._unsettled.released(in_flight, message, now)

    def release_failed(self, in_flight: InFlightMessage, reason: str) -> list[Action]:
        """A release was given up, after its retries."""
        return self._unsettled.release_failed(in_flight, reason)

    def dead_lettered(self, in_flight: InFlightMessage, reason: str, now: float) -> list[Action]:
        """The dead-letter queue has a copy: now, and not before, the original may be deleted."""
        values = log_fields(in_flight, reason=reason)
        in_flight.is_dead_letter = True
        actions: list[Action] = [LogEvent(events.MESSAGE_DEAD_LETTERED, values, in_flight)]
        self._delete(in_flight, actions)
        self._run_next_of_group(in_flight, now, actions)
        return actions

    def dead_letter_failed(
        self, in_flight: InFlightMessage, reason: str, now: float
    ) -> list[Action]:
        """The dead-letter queue could not be reached: release the message, to try again."""
        actions: list[Action] = []
        self._unsettled.messages.pop(in_flight.message.message_id, None)
        message = in_flight.message
        after = retry_seconds(self._options, message.receive_count, jitter(message))
        reason = f"{reason}; the dead-letter queue took nothing"
        self._release_group(in_flight, after, reason, now, actions)
        return actions

    # ---- the POST on `on_dead_letter_path`

    def _give_up(
        self, in_flight: InFlightMessage, settlement: Release | DeadLetter, now: float
    ) -> None:
        """Have a message POSTed on `on_dead_letter_path` before it is settled."""
        assert self._dead_letter_posts is not None
        self._dead_letter_posts.add(in_flight, settlement, now)
        visibility.started_late(in_flight, self._options, now)
        self._in_flight[in_flight.message.message_id] = in_flight
        self.may_hold = True

    def _settle_dead_letter_posts(self, free: int, now: float) -> list[Action]:
        posts, actions = self._dead_letter_posts, list[Action]()
        if posts is None:
            return actions
        # Half is for other messages, and in a drain there are none. Queues have equal parts of it.
        share = 1 if self.draining else 2 * self.gate.narrowest
        most = max(1, self.gate.limit // share)
        hopeless = posts.hopeless(
            now,
            draining=self.draining,
            drain_is_over=self._drain_is_over,
            gate_is_open=self.gate.is_open,
            most=most,
        )
        for post, reason in hopeless:
            self._end_dead_letter_post(post, reason, now, actions)
        if self.gate.is_open:
            actions += [
                PostDeadLetter(post.in_flight, post.settlement.reason)
                for post in posts.start(now, free, most)
            ]
        return actions

    def dead_letter_answered(
        self, in_flight: InFlightMessage, outcome: Outcome, now: float
    ) -> list[Action]:
        """The POST of a message on `on_dead_letter_path` ended."""
        posts, actions = self._dead_letter_posts, list[Action]()
        assert posts is not None
        self._update_gate(in_flight, outcome, now, actions)
        draining = self.draining
        post, pause = posts.answered(in_flight, outcome, now, draining=draining)
        if pause is not None:
            values = log_fields(
                in_flight, reason=describe(outcome), tries=post.tries, after_seconds=pause
            )
            actions.append(LogEvent(events.MESSAGE_DEAD_LETTER_POST_FAILED, values))
            self.may_hold = True
        elif posts.succeeded(outcome):
            self._end_dead_letter_post(post, None, now, actions)
        else:
            self._end_dead_letter_post(post, describe(outcome), now, actions)
        return actions

    def _end_dead_letter_post(
        self, post: DeadLetterPost, failure: str | None, now: float, actions: list[Action]
    ) -> None:
        """Log the end of a POST, and settle its message."""
        in_flight, settlement = post.in_flight, post.settlement
        if failure is None:
            values = log_fields(in_flight, reason=settlement.reason, tries=post.tries)
            actions.append(LogEvent(events.MESSAGE_DEAD_LETTER_POSTED, values))
        else:
            values = log_fields(in_flight, reason=failure, tries=post.tries)
            actions.append(LogEvent(events.MESSAGE_DEAD_LETTER_POST_FAILED, values))
        del self._in_flight[in_flight.message.message_id]
        if isinstance(settlement, Release):
            after = settlement.after_seconds
            self._release_now(in_flight, after, settlement.reason, now, actions)
        else:
            self._dead_letter_now(in_flight, settlement.reason, actions)

    # ---- heartbeats

    def heartbeats(self, now: float) -> list[tuple[InFlightMessage, int]]:
        """Return the messages to extend, each with the seconds to hide it for from `now`."""
        due = []
        for in_flight in self.messages():
            if seconds := visibility.extension_seconds(in_flight, self._options, now):
                in_flight.heartbeat_pending = True
                due.append((in_flight, seconds))
        return due

    def heartbeats_ended(
        self,
        extended: Sequence[tuple[InFlightMessage, int]],
        confirmed: Sequence[bool],
        asked_at: float,
        now: float,
    ) -> list[Action]:
        """A batch of heartbeats ended; `asked_at` is when it was sent."""
        actions: list[Action] = []
        for (in_flight, seconds), ok in zip(extended, confirmed, strict=True):
            visibility.extension_ended(in_flight, self._options, seconds, asked_at, ok=ok)
            if in_flight.state is State.RELEASING:
                after = in_flight.hideable_seconds(in_flight.release_after, now)
                actions.append(ChangeVisibility(in_flight, after))
        return actions

    # ---- pauses, the drain, and held messages

    def pause(self) -> None:
        """Receive nothing until `resume`; the messages that are here are finished."""
        self.paused = True

    def resume(self) -> None:
        """Receive again."""
        self.paused = False

    def drain(self) -> None:
        """Receive nothing more, and hold what has not started, until `settle_held` releases it.

        What has no receive left is tried all the same, and in its group what comes before it, until
        `end_drain`: released, it would be dead-lettered untried.
        """
        self.draining = True
        dropped = set(self._groups.drop_waiting(self._is_last_receive))
        for in_flight in list(self._in_flight.values()):  # in the order received
            if in_flight in dropped:
                self._hold(in_flight)

    def end_drain(self) -> None:
        """Try nothing more: `drain_timeout` has passed, or the end is forced."""
        self._drain_is_over = True
        self.may_hold = True

    def settle_held(self, free: int, now: float) -> list[Action]:
        """Start up to `free` held messages if the gate is open; else release them in time.

        They are released once no receive is open and it is proven that there is no application.
        Before that an open receive would bring them
        back, each time one receive nearer to the dead-letter queue. What was SUSPICIOUS and is
        proven by now is held or released first.
        """
        actions = self._settle_suspicious(now)
        again = self._settle_postponed(free, now)
        free -= sum(isinstance(action, Post) for action in again)
        held = self._settle_held(free, now)
        free -= sum(isinstance(action, Post) for action in held)
        actions += again + held + self._settle_dead_letter_posts(free, now)
        self.may_hold = any(f.state in _FOR_SETTLE_HELD for f in self._in_flight.values())
        return actions

    def _settle_suspicious(self, now: float) -> list[Action]:
        actions: list[Action] = []
        gate = self.gate
        for in_flight in self._in_state(State.SUSPICIOUS):
            release = in_flight.release_if_up
            assert release is not None
            if self.draining:
                gate.unproven.discard(in_flight.message.message_id)
            elif in_flight.message.message_id in gate.unproven:
                continue
            elif gate.proven_down:
                self._hold_for_application(in_flight, release.reason, now, actions)
                continue
            self._release_failed_message(in_flight, release, now, actions)
        return actions

    def _settle_postponed(self, free: int, now: float) -> list[Action]:
        """Post again, in the order of their times, what has waited for a busy application."""
        actions: list[Action] = []
        postponed = self._in_state(State.POSTPONED)
        if self.draining:
            for in_flight in postponed:
                if not self._may_try_in_drain(in_flight):
                    self._release_postponed(in_flight, now, actions)
            postponed = self._in_state(State.POSTPONED)
        due = [in_flight for in_flight in postponed if in_flight.post_at <= now]
        due.sort(key=lambda in_flight: in_flight.post_at)
        if not self.gate.is_open:
            for in_flight in due:
                in_flight.held_since = in_flight.held_since or now
                self._hold(in_flight)
            return actions
        return actions + self._start_held(due, free, now)

    def _may_try_in_drain(self, in_flight: InFlightMessage) -> bool:
        """Return whether a drain goes on with a message that was tried.

        A release would have one that waits for it dead-lettered untried.
        """
        if self._drain_is_over or not self.gate.is_open:
            return False
        return any(map(self._is_last_receive, self._groups.waiting_for(in_flight)))

    def _release_postponed(
        self, in_flight: InFlightMessage, now: float, actions: list[Action]
    ) -> None:
        """Release a message that the application asked for later, for the time that is left."""
        release = in_flight.release_if_up
        assert release is not None
        after = max(0, ceil(in_flight.post_at - now))
        if release.after_seconds is None:
            after = max(after, visibility.remaining_seconds(in_flight, self._options, now) or 0)
        self._release_failed_message(in_flight, Release(after, release.reason), now, actions)

    def _settle_held(self, free: int, now: float) -> list[Action]:
        if self.gate.is_open and not self.draining:
            return self._start_held(self._in_state(State.HELD), free, now)
        actions: list[Action] = []
        if self.gate.is_open and not self._drain_is_over:
            actions = self._start_held(self._held_without_receives(), free, now)
        if not self._receives and (self.draining or self.gate.proven_down):
            actions += self._release_held(now)
        return actions

    def _held_without_receives(self) -> list[InFlightMessage]:
        """Return held messages of which a release would dead-letter one of their group untried."""
        return [
            in_flight
            for in_flight in self._in_state(State.HELD)
            if any(map(self._is_last_receive, (in_flight, *self._groups.waiting_for(in_flight))))
        ]

    def _start_held(self, held: list[InFlightMessage], free: int, now: float) -> list[Action]:
        actions: list[Action] = []
        held.sort(key=lambda in_flight: in_flight.held_since is None)  # stable: tried ones first
        free = max(0, free)
        for in_flight in held[:free]:
            if visibility.is_nearly_over(in_flight, self._options, now):
                self._release_group(in_flight, 0, _TOO_LATE, now, actions)
            else:
                visibility.started_late(in_flight, self._options, now)
                self._run(in_flight, now, actions)
        return actions

    def _release_held(self, now: float) -> list[Action]:
        actions: list[Action] = []
        after, reason = 0, _STOPPING
        if not self.draining:
            after, reason = down_seconds(self._options), _APPLICATION_DOWN
        no_receives_left = set(self._held_without_receives())
        may_try = not self.draining or (self.gate.is_open and not self._drain_is_over)
        for in_flight in self._in_state(State.HELD):
            if may_try and in_flight in no_receives_left:
                continue
            if self.draining or not self._is_held_for_application(in_flight, now):
                self._release_group(in_flight, after, reason, now, actions)
        return actions

    def _is_held_for_application(self, in_flight: InFlightMessage, now: float) -> bool:
        """Return whether a message met no application so shortly ago that it waits for one here."""
        since = in_flight.held_since
        return since is not None and now < since + max(
            _HOLD_SECONDS, self._options.visibility_timeout
        )

    def _hold(self, in_flight: InFlightMessage) -> None:
        in_flight.state = State.HELD
        self._in_flight[in_flight.message.message_id] = in_flight
        self.may_hold = True

    def _in_state(self, state: State) -> list[InFlightMessage]:
        return [in_flight for in_flight in self._in_flight.values() if in_flight.state is state]

    def _is_last_receive(self, in_flight: InFlightMessage) -> bool:
        """Return whether a release would have the message dead-lettered without a try."""
        return in_flight.message.receive_count >= self._options.max_retries
