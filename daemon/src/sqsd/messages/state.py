"""The life of every message that this process holds: one machine, events in, actions out.

    received --> WAITING --> RUNNING --200--> DELETING --> gone
       |  (FIFO lane is busy)   |
       |                        +--any other outcome--> RELEASING --> gone
       |                        +--dead_letter_statuses--> BURYING --> DELETING --> gone
       +--> DELETING (expired, or answered 200 before) and RELEASING (too late)
       +--> KEPT (drain, closed gate) --no receive is open--> RELEASING --> gone
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
from sqsd.messages.groups import Lanes
from sqsd.messages.in_flight import (
    LONGEST_HOLD_SECONDS,
    Action,
    Bury,
    ChangeVisibility,
    DeleteMessage,
    Flight,
    Note,
    Post,
    State,
    about,
    jitter,
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
from sqsd.messages.unsettled import Settling

#: Seconds a second delivery of a message that is held here is put away for.
_BOUNCE_SECONDS: Final = 1
#: Why a message goes back that somebody else may have by now.
_TOO_LATE: Final = "received too late to start"
_BEHIND: Final = "an earlier message of its group goes back"


class Consumer:
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
        self.held_back = False
        self._held: dict[str, Flight] = {}  # WAITING, KEPT and RUNNING: these occupy slots
        self.settling = Settling()
        self._lanes = Lanes()
        #: FIFO: until when several receives are open that ask for more than one message. Each would
        #: bring a group that goes back earlier, and cost all of it a receive.
        self.crowded_until = 0.0
        #: There may be some that are KEPT.
        self.keeps = False

    # ---- what the shell asks

    def room(self, reserved: int) -> int:
        """How many messages may be asked for, when `reserved` have been asked for already."""
        if self.draining or self.held_back or not self.gate.is_open:
            return 0
        return max(0, self.gate.window - len(self._held) - reserved)

    def batch(self, now: float) -> int:
        """How many messages one receive should ask for at the most."""
        ahead = self._options.wait_time_seconds + 1
        return 1 if self.fifo and self._lanes.are_in_trouble(now, ahead) else BATCH

    @property
    def in_flight(self) -> int:
        return len(self._held)

    @property
    def running(self) -> int:
        """How many of these the application has."""
        return sum(flight.state is State.RUNNING for flight in self._held.values())

    @property
    def idle(self) -> bool:
        """Nothing is held and nothing is left to tell SQS."""
        return not self._held and not self.settling.flights

    def flights(self) -> list[Flight]:
        """All that this process holds, what is being settled included."""
        return [*self._held.values(), *self.settling.flights.values()]

    # ---- receives

    def received(self, messages: Iterable[Message], now: float, wall_time: float) -> list[Action]:
        actions: list[Action] = []
        for message in messages:
            self._receive(message, now, wall_time, actions)
        return actions

    def _receive(
        self, message: Message, now: float, wall_time: float, actions: list[Action]
    ) -> None:
        known = self._held.get(message.message_id) or self.settling.flights.get(message.message_id)
        if known is not None:
            self._receive_again(known, message, actions)
            return
        sent_at = message.sent_at
        # The two clocks are not one: a message from the future has waited for no time.
        dwell = 0.0 if sent_at is None else max(0.0, wall_time - sent_at / 1000)
        flight = Flight(message, now, dwell)
        heartbeat.begin(flight, self._options)
        if message.message_id in self.settling.answered:
            actions.append(Note(events.MESSAGE_DUPLICATE, about(flight, reason="answered 200")))
            self._delete(flight, actions)
        elif (age := expired_age(message, self._options, wall_time)) is not None:
            actions.append(Note(events.MESSAGE_EXPIRED, about(flight, age_seconds=age), flight))
            self._delete(flight, actions)
        elif self.draining and (self.fifo or not self._is_last_chance(flight)):
            self._keep(flight)
        elif now - message.received_at > self._longest_receive:
            # The answer took so long that another copy may be out before this one is done.
            self._release(flight, 0, _TOO_LATE, now, actions)
        elif self.fifo and (ahead := self.settling.returning(message.group_id)) is not None:
            # It must not overtake an earlier message of its group that is on its way back.
            self._release(flight, ahead.release_after, _BEHIND, now, actions)
        else:
            self._enter(flight, now, actions)

    def _receive_again(self, flight: Flight, message: Message, actions: list[Action]) -> None:
        """SQS delivered what is held here once more: its visibility ran out, or it is a copy.

        One that is being settled needs nothing here: `deleted` and `released` see that the handle
        they used is no longer the newest.
        """
        flight.message = message
        flight.hold_until = message.received_at + LONGEST_HOLD_SECONDS
        heartbeat.begin(flight, self._options)
        if flight.state is State.RELEASING:
            flight.release_after = max(flight.release_after, _BOUNCE_SECONDS)
        actions.append(Note(events.MESSAGE_DUPLICATE, about(flight, reason=flight.state.value)))

    def _enter(self, flight: Flight, now: float, actions: list[Action]) -> None:
        self._held[flight.message.message_id] = flight
        if not self.fifo or self._lanes.enter(flight):
            self._run_or_keep(flight, now, actions)

    def _run_or_keep(self, flight: Flight, now: float, actions: list[Action]) -> None:
        if self.gate.is_open:
            self._run(flight, now, actions)
        else:
            self._keep(flight)

    def _run(self, flight: Flight, now: float, actions: list[Action]) -> None:
        flight.state, flight.dispatched_at = State.RUNNING, now
        actions.append(Post(flight))

    # ---- answers

    def answered(self, flight: Flight, outcome: Outcome, now: float) -> list[Action]:
        """The request of a RUNNING message ended."""
        actions: list[Action] = []
        flight.answered_at = now
        del self._held[flight.message.message_id]
        if type(outcome) is Answered:
            flight.status = outcome.status
            if outcome.status == 200:  # what nearly every message gets, and needs no deciding
                self.gate.worked()
                if now > flight.hidden_until:
                    actions.append(overdue(flight, now))
                self._delete(flight, actions)
                self._next_in_lane(flight, now, actions)
                return actions
        self._tell_gate(flight, outcome, actions)
        settlement = settle(
            outcome,
            self._options,
            receive_count=flight.message.receive_count,
            jitter=jitter(flight.message),
        )
        match settlement:
            case Delete():
                self._delete(flight, actions)
                self._next_in_lane(flight, now, actions)
            case DeadLetter(reason=reason):
                flight.state = State.BURYING
                self.settling.flights[flight.message.message_id] = flight
                # Its group waits: should this fail, it comes back and must not be overtaken.
                actions.append(Bury(flight, reason))
            case Release(after_seconds=after, reason=reason):
                if after is not None and self.fifo and self._lanes.behind(flight):
                    after = max(after, ceil(self.crowded_until - now))
                self._send_back(flight, after, reason, now, actions)
        return actions

    def suppressed(self, flight: Flight, now: float) -> list[Action]:
        """A RUNNING message turned out to be a copy of a scheduled one: delete without a POST."""
        actions: list[Action] = [Note(events.CRON_SUPPRESSED, about(flight))]
        flight.answered_at = now
        del self._held[flight.message.message_id]
        self._delete(flight, actions)
        self._next_in_lane(flight, now, actions)
        return actions

    def _tell_gate(self, flight: Flight, outcome: Outcome, actions: list[Action]) -> None:
        if is_application_down(outcome):
            certain = type(outcome) is Unreachable
            if self.gate.application_down(flight.message.message_id, certain=certain):
                actions.append(Note(events.GATE_CLOSED, {"reason": describe(outcome)}))
        elif type(outcome) is Answered:
            self.gate.worked()

    def _next_in_lane(self, flight: Flight, now: float, actions: list[Action]) -> None:
        if not self.fifo:
            return
        following = self._lanes.leave(flight)
        if following is None:
            return
        if heartbeat.is_spent(following, self._options, now):
            # SQS gives it again, in order.
            self._send_back(following, 0, _TOO_LATE, now, actions)
        else:
            heartbeat.waited(following, self._options, now)
            self._run_or_keep(following, now, actions)

    def _send_back(
        self, flight: Flight, after: int | None, reason: str, now: float, actions: list[Action]
    ) -> None:
        """Release it and those behind it, which must not overtake it: same delay, in order."""
        self._held.pop(flight.message.message_id, None)
        self._release(flight, after, reason, now, actions)
        if not self.fifo:
            return
        back_at = flight.hidden_until if after is None else now + after
        for waiting in self._lanes.clear(flight, back_at):
            del self._held[waiting.message.message_id]
            self._release(waiting, after, _BEHIND, now, actions)

    # ---- settling

    def _delete(self, flight: Flight, actions: list[Action]) -> None:
        flight.state = State.DELETING
        self.settling.flights[flight.message.message_id] = flight
        actions.append(DeleteMessage(flight))

    def _release(
        self, flight: Flight, after: int | None, reason: str, now: float, actions: list[Action]
    ) -> None:
        message = flight.message
        if after is None:
            after = heartbeat.left_of_visibility(flight, self._options, now)
        elif after:
            after = flight.hideable(after, now)
        left = max(0, self._options.max_retries - message.receive_count)
        values = about(flight, reason=reason, after_seconds=after, receives_left=left)
        actions.append(Note(events.MESSAGE_RELEASED, values, None if left else flight))
        if after is None:
            return
        flight.state, flight.release_after = State.RELEASING, after
        self.settling.flights[flight.message.message_id] = flight
        if not flight.beating:  # else `beaten` sends it, so that the heartbeat cannot come last
            actions.append(ChangeVisibility(flight, after))

    def buried(self, flight: Flight, reason: str, now: float) -> list[Action]:
        """The dead-letter queue has a copy: now, and not before, the original may go."""
        values = about(flight, reason=reason)
        actions: list[Action] = [Note(events.MESSAGE_DEAD_LETTERED, values, flight)]
        self._delete(flight, actions)
        self._next_in_lane(flight, now, actions)
        return actions

    def bury_failed(self, flight: Flight, reason: str, now: float) -> list[Action]:
        """The dead-letter queue could not be reached: as with any failed message, try again."""
        actions: list[Action] = []
        self.settling.flights.pop(flight.message.message_id, None)
        after = self._options.error_visibility_timeout
        reason = f"{reason}; the dead-letter queue took nothing"
        self._send_back(flight, after, reason, now, actions)
        return actions

    # ---- heartbeats

    def heartbeats(self, now: float) -> list[tuple[Flight, int]]:
        """Messages whose visibility is half gone, each with the seconds to hide it for from now."""
        due = []
        for flight in [*self._held.values(), *self.settling.flights.values()]:
            if seconds := heartbeat.due_seconds(flight, self._options, now):
                flight.beating = True
                due.append((flight, seconds))
        return due

    def beaten(
        self,
        flights: Sequence[tuple[Flight, int]],
        worked: Sequence[bool],
        asked_at: float,
        now: float,
    ) -> list[Action]:
        """A batch of heartbeats ended; `asked_at` is when it was sent."""
        actions: list[Action] = []
        for (flight, seconds), ok in zip(flights, worked, strict=True):
            heartbeat.ended(flight, self._options, seconds, asked_at, ok=ok)
            if flight.state is State.RELEASING:
                after = flight.hideable(flight.release_after, now)
                actions.append(ChangeVisibility(flight, after))
        return actions

    # ---- what is neither started nor returned for now

    def drain(self) -> None:
        """Start nothing more; what has not been started is kept, for `give_back`."""
        self.draining = True
        for flight in self._held.values():
            if flight.state is State.WAITING:
                self._keep(flight)
        self._lanes.leave_heads()

    def _keep(self, flight: Flight) -> None:
        flight.state = State.KEPT
        self._held[flight.message.message_id] = flight
        self.keeps = True

    def _kept(self) -> list[Flight]:
        return [flight for flight in self._held.values() if flight.state is State.KEPT]

    def _is_last_chance(self, flight: Flight) -> bool:
        """Returned, it would be dead-lettered without having been tried."""
        return flight.message.receive_count >= self._options.max_retries

    def start_kept(self, room: int, now: float) -> list[Action]:
        """The gate is open: start up to so many."""
        actions: list[Action] = []
        kept, room = self._kept(), max(0, room)
        for flight in kept[:room]:
            if heartbeat.is_spent(flight, self._options, now):
                self._send_back(flight, 0, _TOO_LATE, now, actions)
            else:
                heartbeat.waited(flight, self._options, now)
                self._run(flight, now, actions)
        self.keeps = len(kept) > room
        return actions

    def give_back(self, now: float) -> list[Action]:
        """No receive is open that would bring back what is returned now."""
        actions: list[Action] = []
        after, reason = 0, "the daemon is stopping"
        if not self.draining:
            after, reason = down_seconds(self._options), "the application does not answer"
        for flight in self._kept():
            group = (flight, *self._lanes.behind(flight))
            if self.draining or not any(map(self._is_last_chance, group)):
                self._send_back(flight, after, reason, now, actions)
        self.keeps = bool(self._kept())
        return actions
