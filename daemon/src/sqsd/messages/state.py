"""The life of every message that this process holds: one machine, events in, actions out.

    received --> WAITING --> RUNNING --200--> DELETING --> gone
       |  (FIFO lane is busy)   |
       |                        +--any other outcome--> RELEASING --> gone
       |                        +--dead_letter_statuses--> DEAD_LETTERING --> DELETING --> gone
       +--> DELETING (expired, or answered 200 before) and RELEASING (too late)
       +--> HELD (drain, closed gate) --no receive is open--> RELEASING --> gone
                 +--the gate opens--> RUNNING

Promised, under any order of events:
- a message is deleted only after the application answered it 200 (or a status of
  `delete_statuses`), because it is past its retention period, because it is a copy of a scheduled
  one that has been dispatched, or after the dead-letter queue has taken it;
- one message id is never RUNNING twice at one time in this process;
- of a FIFO group, one message runs at a time, in the order received;
- a visibility change that failure asks for is not overtaken by a heartbeat of the same message;
- no more than `http_connections` messages are WAITING or RUNNING (with several queues, in all:
  `slots`).

Not promised: that SQS delivers a message once. Two instances may hold copies (standard queues),
and a message whose visibility ran out may run elsewhere. The application must be idempotent.

Times are monotonic seconds, given with each event, save `wall_time`, which retention needs. No
number here is counted up and down: room is what the dictionaries leave, so it cannot drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final

from sqsd.contract import SqsdOptions, events
from sqsd.messages import visibility as heartbeat
from sqsd.messages.expiry import expired_age
from sqsd.messages.gate import Gate
from sqsd.messages.groups import MessageGroups
from sqsd.messages.in_flight import (
    LONGEST_HOLD_SECONDS,
    Action,
    ChangeVisibility,
    DeadLetterMessage,
    DeleteMessage,
    InFlightMessage,
    LogEvent,
    Post,
    State,
    jitter,
    log_fields,
    overdue,
)
from sqsd.messages.message import Message
from sqsd.messages.outcome import (
    Answered,
    DeadLetter,
    Delete,
    Outcome,
    Release,
    Unreachable,
    describe,
    down_seconds,
    is_application_down,
    settle,
)
from sqsd.messages.polling import BATCH
from sqsd.messages.unsettled import Unsettled

#: Seconds a second delivery of a message that is held here is put away for.
_DUPLICATE_SECONDS: Final = 1
#: Why a message goes back that somebody else may have by now.
_TOO_LATE: Final = "received too late to start"
_GROUP_RELEASED: Final = "an earlier message of its group goes back"


class MessageState:
    """See the module. All methods return at once and never raise on what a message holds.

    Args:
        gate: shared by the queues of one application; None: one of its own.
    """

    def __init__(self, options: SqsdOptions, *, fifo: bool, gate: Gate | None = None) -> None:
        self._options, self.fifo = options, fifo
        # A message may have come at the very end of a long poll: waiting there is no age.
        self._longest_receive = options.wait_time_seconds + options.visibility_timeout / 2
        self.gate = Gate(options.http_connections) if gate is None else gate
        self.draining = False
        #: Receive nothing for now, though the application is up.
        self.is_paused = False
        self._held: dict[str, InFlightMessage] = {}  # WAITING, HELD and RUNNING: these occupy slots
        self.settling = Unsettled()
        self._lanes = MessageGroups()
        #: FIFO: until when several receives are open that ask for more than one message. Each would
        #: bring a group that goes back earlier, and cost all of it a receive.
        self.wide_receives_until = 0.0
        #: There may be some that are HELD.
        self.has_held = False

    # ---- what the shell asks

    def room(self, reserved: int) -> int:
        """How many messages may be asked for, when `reserved` have been asked for already."""
        if self.draining or self.is_paused or not self.gate.is_open:
            return 0
        return max(0, self.gate.window - len(self._held) - reserved)

    def batch(self, now: float) -> int:
        """How many messages one receive should ask for at the most."""
        ahead = self._options.wait_time_seconds + 1
        return 1 if self.fifo and self._lanes.may_return(now, ahead) else BATCH

    @property
    def in_flight(self) -> int:
        return len(self._held)

    @property
    def running(self) -> int:
        """How many of these the application has."""
        return sum(in_flight.state is State.RUNNING for in_flight in self._held.values())

    @property
    def idle(self) -> bool:
        """Nothing is held and nothing is left to tell SQS."""
        return not self._held and not self.settling.in_flight_messages

    def in_flight_messages(self) -> list[InFlightMessage]:
        """All that this process holds, what is being settled included."""
        return [*self._held.values(), *self.settling.in_flight_messages.values()]

    # ---- receives

    def received(self, messages: Iterable[Message], now: float, wall_time: float) -> list[Action]:
        actions: list[Action] = []
        for message in messages:
            self._receive(message, now, wall_time, actions)
        return actions

    def _receive(
        self, message: Message, now: float, wall_time: float, actions: list[Action]
    ) -> None:
        known = self._held.get(message.message_id) or self.settling.in_flight_messages.get(
            message.message_id
        )
        if known is not None:
            self._receive_again(known, message, actions)
            return
        sent_at = message.sent_at
        # The two clocks are not one: a message from the future has waited for no time.
        dwell = 0.0 if sent_at is None else max(0.0, wall_time - sent_at / 1000)
        in_flight = InFlightMessage(message, now, dwell)
        heartbeat.begin(in_flight, self._options)
        if message.message_id in self.settling.answered:
            actions.append(
                LogEvent(events.MESSAGE_DUPLICATE, log_fields(in_flight, reason="answered 200"))
            )
            self._delete(in_flight, actions)
        elif (age := expired_age(message, self._options, wall_time)) is not None:
            actions.append(
                LogEvent(events.MESSAGE_EXPIRED, log_fields(in_flight, age_seconds=age), in_flight)
            )
            self._delete(in_flight, actions)
        elif self.draining and (self.fifo or not self._is_last_chance(in_flight)):
            self._hold(in_flight)
        elif now - message.received_at > self._longest_receive:
            # The answer took so long that another copy may be out before this one is done.
            self._release(in_flight, 0, _TOO_LATE, now, actions)
        elif self.fifo and (ahead := self.settling.releasing_of(message.group_id)) is not None:
            # It must not overtake an earlier message of its group that is on its way back.
            self._release(in_flight, ahead.release_after, _GROUP_RELEASED, now, actions)
        else:
            self._enter(in_flight, now, actions)

    def _receive_again(
        self, in_flight: InFlightMessage, message: Message, actions: list[Action]
    ) -> None:
        """SQS delivered what is held here once more: its visibility ran out, or it is a copy.

        One that is being settled needs nothing here: `deleted` and `released` see that the handle
        they used is no longer the newest.
        """
        in_flight.message = message
        in_flight.hold_until = message.received_at + LONGEST_HOLD_SECONDS
        heartbeat.begin(in_flight, self._options)
        if in_flight.state is State.RELEASING:
            in_flight.release_after = max(in_flight.release_after, _DUPLICATE_SECONDS)
        actions.append(
            LogEvent(events.MESSAGE_DUPLICATE, log_fields(in_flight, reason=in_flight.state.value))
        )

    def _enter(self, in_flight: InFlightMessage, now: float, actions: list[Action]) -> None:
        self._held[in_flight.message.message_id] = in_flight
        if not self.fifo or self._lanes.enter(in_flight):
            self._run_or_hold(in_flight, now, actions)

    def _run_or_hold(self, in_flight: InFlightMessage, now: float, actions: list[Action]) -> None:
        if self.gate.is_open:
            self._run(in_flight, now, actions)
        else:
            self._hold(in_flight)

    def _run(self, in_flight: InFlightMessage, now: float, actions: list[Action]) -> None:
        in_flight.state, in_flight.dispatched_at = State.RUNNING, now
        actions.append(Post(in_flight))

    # ---- answers

    def answered(self, in_flight: InFlightMessage, outcome: Outcome, now: float) -> list[Action]:
        """The request of a RUNNING message ended."""
        actions: list[Action] = []
        in_flight.answered_at = now
        del self._held[in_flight.message.message_id]
        if type(outcome) is Answered:
            in_flight.status = outcome.status
            if outcome.status == 200:  # what nearly every message gets, and needs no deciding
                self.gate.worked()
                if now > in_flight.hidden_until:
                    actions.append(overdue(in_flight, now))
                self._delete(in_flight, actions)
                self._next_of_group(in_flight, now, actions)
                return actions
        self._update_gate(in_flight, outcome, actions)
        settlement = settle(
            outcome,
            self._options,
            receive_count=in_flight.message.receive_count,
            jitter=jitter(in_flight.message),
        )
        match settlement:
            case Delete():
                self._delete(in_flight, actions)
                self._next_of_group(in_flight, now, actions)
            case DeadLetter(reason=reason):
                in_flight.state = State.DEAD_LETTERING
                self.settling.in_flight_messages[in_flight.message.message_id] = in_flight
                # Its group waits: should this fail, it comes back and must not be overtaken.
                actions.append(DeadLetterMessage(in_flight, reason))
            case Release(after_seconds=after, reason=reason):
                if after is not None and self.fifo and self._lanes.behind(in_flight):
                    after = max(after, ceil(self.wide_receives_until - now))
                self._release_group(in_flight, after, reason, now, actions)
        return actions

    def suppressed(self, in_flight: InFlightMessage, now: float) -> list[Action]:
        """A RUNNING message turned out to be a copy of a scheduled one: delete without a POST."""
        actions: list[Action] = [LogEvent(events.CRON_SUPPRESSED, log_fields(in_flight))]
        in_flight.answered_at = now
        del self._held[in_flight.message.message_id]
        self._delete(in_flight, actions)
        self._next_of_group(in_flight, now, actions)
        return actions

    def _update_gate(
        self, in_flight: InFlightMessage, outcome: Outcome, actions: list[Action]
    ) -> None:
        if is_application_down(outcome):
            certain = type(outcome) is Unreachable
            if self.gate.application_down(in_flight.message.message_id, certain=certain):
                actions.append(LogEvent(events.GATE_CLOSED, {"reason": describe(outcome)}))
        elif type(outcome) is Answered:
            self.gate.worked()

    def _next_of_group(self, in_flight: InFlightMessage, now: float, actions: list[Action]) -> None:
        if not self.fifo:
            return
        following = self._lanes.leave(in_flight)
        if following is None:
            return
        if heartbeat.is_spent(following, self._options, now):
            # SQS gives it again, in order.
            self._release_group(following, 0, _TOO_LATE, now, actions)
        else:
            heartbeat.waited(following, self._options, now)
            self._run_or_hold(following, now, actions)

    def _release_group(
        self,
        in_flight: InFlightMessage,
        after: int | None,
        reason: str,
        now: float,
        actions: list[Action],
    ) -> None:
        """Release it and those behind it, which must not overtake it: same delay, in order."""
        self._held.pop(in_flight.message.message_id, None)
        self._release(in_flight, after, reason, now, actions)
        if not self.fifo:
            return
        back_at = in_flight.hidden_until if after is None else now + after
        for waiting in self._lanes.clear(in_flight, back_at):
            del self._held[waiting.message.message_id]
            self._release(waiting, after, _GROUP_RELEASED, now, actions)

    # ---- settling

    def _delete(self, in_flight: InFlightMessage, actions: list[Action]) -> None:
        in_flight.state = State.DELETING
        self.settling.in_flight_messages[in_flight.message.message_id] = in_flight
        actions.append(DeleteMessage(in_flight))

    def _release(
        self,
        in_flight: InFlightMessage,
        after: int | None,
        reason: str,
        now: float,
        actions: list[Action],
    ) -> None:
        message = in_flight.message
        if after is None:
            after = heartbeat.left_of_visibility(in_flight, self._options, now)
        elif after:
            after = in_flight.hideable(after, now)
        left = max(0, self._options.max_retries - message.receive_count)
        values = log_fields(in_flight, reason=reason, after_seconds=after, receives_left=left)
        actions.append(LogEvent(events.MESSAGE_RELEASED, values, None if left else in_flight))
        if after is None:
            return
        in_flight.state, in_flight.release_after = State.RELEASING, after
        self.settling.in_flight_messages[in_flight.message.message_id] = in_flight
        if (
            not in_flight.heartbeat_pending
        ):  # else `heartbeats_ended` sends it, so that the heartbeat cannot come last
            actions.append(ChangeVisibility(in_flight, after))

    def dead_lettered(self, in_flight: InFlightMessage, reason: str, now: float) -> list[Action]:
        """The dead-letter queue has a copy: now, and not before, the original may go."""
        values = log_fields(in_flight, reason=reason)
        actions: list[Action] = [LogEvent(events.MESSAGE_DEAD_LETTERED, values, in_flight)]
        self._delete(in_flight, actions)
        self._next_of_group(in_flight, now, actions)
        return actions

    def dead_letter_failed(
        self, in_flight: InFlightMessage, reason: str, now: float
    ) -> list[Action]:
        """The dead-letter queue could not be reached: as with any failed message, try again."""
        actions: list[Action] = []
        self.settling.in_flight_messages.pop(in_flight.message.message_id, None)
        after = self._options.error_visibility_timeout
        reason = f"{reason}; the dead-letter queue took nothing"
        self._release_group(in_flight, after, reason, now, actions)
        return actions

    # ---- heartbeats

    def heartbeats(self, now: float) -> list[tuple[InFlightMessage, int]]:
        """Messages whose visibility is half gone, each with the seconds to hide it for from now."""
        due = []
        for in_flight in [*self._held.values(), *self.settling.in_flight_messages.values()]:
            if seconds := heartbeat.due_seconds(in_flight, self._options, now):
                in_flight.heartbeat_pending = True
                due.append((in_flight, seconds))
        return due

    def heartbeats_ended(
        self,
        in_flight_messages: Sequence[tuple[InFlightMessage, int]],
        worked: Sequence[bool],
        asked_at: float,
        now: float,
    ) -> list[Action]:
        """A batch of heartbeats ended; `asked_at` is when it was sent."""
        actions: list[Action] = []
        for (in_flight, seconds), ok in zip(in_flight_messages, worked, strict=True):
            heartbeat.ended(in_flight, self._options, seconds, asked_at, ok=ok)
            if in_flight.state is State.RELEASING:
                after = in_flight.hideable(in_flight.release_after, now)
                actions.append(ChangeVisibility(in_flight, after))
        return actions

    # ---- what is neither started nor returned for now

    def drain(self) -> None:
        """Start nothing more; what has not been started is kept, for `release_held`."""
        self.draining = True
        for in_flight in self._held.values():
            if in_flight.state is State.WAITING:
                self._hold(in_flight)
        self._lanes.leave_heads()

    def _hold(self, in_flight: InFlightMessage) -> None:
        in_flight.state = State.HELD
        self._held[in_flight.message.message_id] = in_flight
        self.has_held = True

    def _held_messages(self) -> list[InFlightMessage]:
        return [in_flight for in_flight in self._held.values() if in_flight.state is State.HELD]

    def _is_last_chance(self, in_flight: InFlightMessage) -> bool:
        """Returned, it would be dead-lettered without having been tried."""
        return in_flight.message.receive_count >= self._options.max_retries

    def start_held(self, room: int, now: float) -> list[Action]:
        """The gate is open: start up to so many."""
        actions: list[Action] = []
        kept, room = self._held_messages(), max(0, room)
        for in_flight in kept[:room]:
            if heartbeat.is_spent(in_flight, self._options, now):
                self._release_group(in_flight, 0, _TOO_LATE, now, actions)
            else:
                heartbeat.waited(in_flight, self._options, now)
                self._run(in_flight, now, actions)
        self.has_held = len(kept) > room
        return actions

    def release_held(self, now: float) -> list[Action]:
        """No receive is open that would bring back what is returned now."""
        actions: list[Action] = []
        after, reason = 0, "the daemon is stopping"
        if not self.draining:
            after, reason = down_seconds(self._options), "the application does not answer"
        for in_flight in self._held_messages():
            group = (in_flight, *self._lanes.behind(in_flight))
            if self.draining or not any(map(self._is_last_chance, group)):
                self._release_group(in_flight, after, reason, now, actions)
        self.has_held = bool(self._held_messages())
        return actions
