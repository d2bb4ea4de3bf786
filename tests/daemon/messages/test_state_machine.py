"""The state machine under any interleaving, between a model of SQS and an application.

The test receives, answers, settles, extends, drains and lets time pass in any order, with every
call to SQS split in two (sent, then ended), so that anything may happen in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sqsd.contract import SqsdOptions, events
from sqsd.messages.gate import Gate
from sqsd.messages.in_flight import (
    Action,
    ChangeVisibility,
    DeadLetterMessage,
    DeleteMessage,
    InFlightMessage,
    LogEvent,
    Post,
    PostDeadLetter,
    State,
)
from sqsd.messages.message import Message
from sqsd.messages.outcome import LONGEST_VISIBILITY, Answered, Broken, Outcome, Unreachable
from sqsd.messages.polling import Receive
from sqsd.messages.state import MessageState
from tests.daemon.messages.queue_model import Stored, take, visible

WALL = 1_800_000_000.0
RETENTION = 3_600
FAILURES: list[Outcome] = [
    *(Answered(status) for status in (500, 204, 422, 502, 503, 504)),
    Answered(429, retry_after=43_200),
    Answered(409),
    Answered(409, retry_after=43_000),
    Answered(503, retry_after=5),
    Unreachable.REFUSED,
    Broken.INACTIVE,
    Broken.CLOSED,
    Broken.UNANSWERED,
]
#: Why a message is released that was not started.
UNTRIED = ("the daemon is stopping", "the application does not answer")


class Dispatching(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.stored: list[Stored] = []
        self.receives: list[Receive] = []
        self.running: dict[str, InFlightMessage] = {}
        #: What is being POSTed on `on_dead_letter_path`.
        self.posting: dict[str, InFlightMessage] = {}
        #: What the application answered 200, or was suppressed or expired: may be deleted.
        self.done: set[str] = set()
        self.failed: set[InFlightMessage] = set()
        #: Some were started later than they came.
        self.waited = False
        self.to_delete: list[InFlightMessage] = []
        self.to_change: list[ChangeVisibility] = []
        self.dead_lettering: list[tuple[InFlightMessage, str]] = []
        self.deletes: list[tuple[InFlightMessage, Message]] = []
        self.changes: list[tuple[ChangeVisibility, Message]] = []
        self.heartbeats: list[tuple[list[tuple[InFlightMessage, int]], list[Message], float]] = []

    @initialize(
        connections=st.integers(1, 5),
        fifo=st.booleans(),
        visibility=st.sampled_from([2, 10, 60, 300]),
        error_visibility=st.sampled_from([None, 0, 30, LONGEST_VISIBILITY]),
        heartbeat=st.booleans(),
        wait=st.sampled_from([0, 20]),
        retries=st.sampled_from([1, 2, 10]),
        on_dead_letter_path=st.sampled_from([None, "/dead"]),
    )
    def start(
        self,
        connections: int,
        fifo: bool,
        visibility: int,
        error_visibility: int | None,
        heartbeat: bool,
        wait: int,
        retries: int,
        on_dead_letter_path: str | None,
    ) -> None:
        self.fifo = fifo
        self.options = SqsdOptions(
            http_connections=connections,
            visibility_timeout=visibility,
            inactivity_timeout=1,
            error_visibility_timeout=error_visibility,
            heartbeat=heartbeat,
            retention_period=RETENTION,
            dead_letter_statuses=("422",),
            backpressure_statuses=("409",),
            wait_time_seconds=wait,
            max_retries=retries,
            on_dead_letter_path=on_dead_letter_path,
        )
        self.state = MessageState(self.options, fifo=fifo, gate=Gate(connections))
        while self.state.gate.probed(alive=True, now=0.0) is not None:
            pass

    # ---- the world

    @rule(group=st.sampled_from([None, "a", "b"]))
    def send(self, group: str | None) -> None:
        number = len(self.stored)
        self.stored.append(Stored(number, (group or "a") if self.fifo else group))

    @rule(seconds=st.sampled_from([0.01, 0.6, 1.1, 5.0, 31.0, 160.0, 4_000.0, 43_300.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.state.gate.is_open)
    @rule(alive=st.booleans())
    def probe(self, alive: bool) -> None:
        self.state.gate.probed(alive, self.now)

    @precondition(lambda self: self.state.gate.is_open and self.state.gate.unproven)
    @rule(alive=st.booleans())
    def probe_suspicion(self, alive: bool) -> None:
        self.state.gate.suspicion_probed(alive, set(self.state.gate.unproven))

    # ---- receiving, in two halves

    @rule(limit=st.integers(1, 10))
    def ask(self, limit: int) -> None:
        capacity = self.state.capacity()
        assert capacity <= self.options.http_connections - sum(r.limit for r in self.receives)
        if capacity:
            receive = Receive(min(capacity, limit), self.options.wait_time_seconds, self.now)
            self.receives.append(receive)
            self.state.receive_opened(receive)

    @precondition(lambda self: self.receives)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        receive = self.receives.pop(data.draw(st.integers(0, len(self.receives) - 1)))
        late = data.draw(st.booleans(), label="SQS delivered when asked, the answer came only now")
        messages = [
            self._deliver(stored, receive.opened_at, late)
            for stored in visible(self.stored, self.now, fifo=self.fifo)[: receive.limit]
        ]
        self._do(self.state.received(messages, self.now, WALL + self.now))
        self.state.receive_ended(receive)

    @precondition(lambda self: self.running and not self.fifo)
    @rule(data=st.data())
    def deliver_a_copy(self, data: st.DataObject) -> None:
        """A standard queue may deliver what is in flight once more."""
        stored = self._of(data.draw(st.sampled_from(sorted(self.running))))
        if not stored.deleted:
            message = self._deliver(stored, self.now, late=False)
            self._do(self.state.received([message], self.now, WALL + self.now))

    def _deliver(self, stored: Stored, asked_at: float, late: bool) -> Message:
        at = asked_at if late else self.now
        stored.count += 1
        stored.visible_at = at + self.options.visibility_timeout
        stored.first_received = at if stored.first_received is None else stored.first_received
        if WALL + self.now - (WALL + stored.first_received) > RETENTION:
            self.done.add(stored.message_id)
        message = Message(
            stored.message_id,
            f"{stored.message_id}#{stored.count}",
            b"body",
            stored.count,
            "sender",
            int((WALL + at) * 1000),
            int((WALL + stored.first_received) * 1000),
            asked_at,
            stored.group,
        )
        stored.handles.append(message)
        return message

    def _of(self, message_id: str) -> Stored:
        return self.stored[int(message_id[1:])]

    # ---- the application

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=st.sampled_from([Answered(200), Answered(200), *FAILURES]))
    def answer(self, data: st.DataObject, outcome: Outcome) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.running)))
        in_flight = self.running.pop(message_id)
        if outcome == Answered(200):
            self.done.add(message_id)
        self._do(self.state.answered(in_flight, outcome, self.now))
        waits = in_flight.state in (
            State.HELD,
            State.SUSPICIOUS,
            State.POSTPONED,
            State.DEAD_LETTER_WAITING,
        )
        if outcome not in (Answered(200), Answered(422)) and not waits:
            self.failed.add(in_flight)  # with 422 it is hidden while it is being dead-lettered

    @precondition(lambda self: self.posting)
    @rule(data=st.data(), outcome=st.sampled_from([Answered(200), *FAILURES]))
    def answer_dead_letter(self, data: st.DataObject, outcome: Outcome) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.posting)))
        in_flight = self.posting.pop(message_id)
        self._do(self.state.dead_letter_answered(in_flight, outcome, self.now))
        if in_flight.state is State.RELEASING:
            self.failed.add(in_flight)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def suppress(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.running)))
        self.done.add(message_id)
        self._do(self.state.suppressed(self.running.pop(message_id), self.now))

    @precondition(lambda self: self.dead_lettering)
    @rule(data=st.data(), worked=st.booleans())
    def end_dead_letter(self, data: st.DataObject, worked: bool) -> None:
        in_flight, reason = self.dead_lettering.pop(
            data.draw(st.integers(0, len(self.dead_lettering) - 1))
        )
        if worked:
            self.done.add(in_flight.message.message_id)
            self._do(self.state.dead_lettered(in_flight, reason, self.now))
        else:
            self.failed.add(in_flight)
            self._do(self.state.dead_letter_failed(in_flight, reason, self.now))

    # ---- settling, in two halves

    @precondition(lambda self: self.to_delete)
    @rule()
    def begin_delete(self) -> None:
        in_flight = self.to_delete.pop(0)
        self.deletes.append((in_flight, in_flight.message))

    @precondition(lambda self: self.deletes)
    @rule(data=st.data(), worked=st.booleans(), confirmed=st.booleans())
    def end_delete(self, data: st.DataObject, worked: bool, confirmed: bool) -> None:
        in_flight, message = self.deletes.pop(data.draw(st.integers(0, len(self.deletes) - 1)))
        stored = self._of(message.message_id)
        if worked and message is stored.handles[-1]:  # an old handle deletes nothing
            stored.deleted = True
        if worked and confirmed:
            self._do(self.state.deleted(in_flight, message, self.now))
        else:
            self._do(self.state.delete_failed(in_flight, "why"))

    @precondition(lambda self: self.to_change)
    @rule()
    def begin_change(self) -> None:
        change = self.to_change.pop(0)
        self.changes.append((change, change.in_flight.message))

    @precondition(lambda self: self.changes)
    @rule(data=st.data(), worked=st.booleans())
    def end_change(self, data: st.DataObject, worked: bool) -> None:
        change, message = self.changes.pop(data.draw(st.integers(0, len(self.changes) - 1)))
        if worked:
            self._hide(message, change.seconds)
            self._do(self.state.released(change.in_flight, message, self.now))
        else:
            self._do(self.state.release_failed(change.in_flight, "why"))

    @rule()
    def begin_heartbeats(self) -> None:
        due = self.state.heartbeats(self.now)
        waits = {State.HELD, State.DEAD_LETTER_WAITING, State.DEAD_LETTER_POSTING}
        if self.options.on_dead_letter_path:  # the rest of their life
            waits |= {State.DEAD_LETTERING, State.DELETING}
        others = [in_flight for in_flight, _ in due if in_flight.state not in waits]
        assert not others or self.options.heartbeat or self.fifo or self.waited  # for these, once
        for in_flight, seconds in due:
            assert in_flight.state is not State.RELEASING
            assert in_flight not in self.failed, "a heartbeat after a failure"
            assert not any(
                in_flight is heartbeat_pending
                for heartbeat_pending, _ in self._heartbeats_pending()
            ), "two at one time"
            self._assert_within_twelve_hours(in_flight, seconds)
        if due:
            self.heartbeats.append((due, [in_flight.message for in_flight, _ in due], self.now))

    @precondition(lambda self: self.heartbeats)
    @rule(data=st.data(), worked=st.booleans())
    def end_heartbeats(self, data: st.DataObject, worked: bool) -> None:
        due, messages, at = self.heartbeats.pop(data.draw(st.integers(0, len(self.heartbeats) - 1)))
        if worked:
            for (_, seconds), message in zip(due, messages, strict=True):
                self._hide(message, seconds)
        self._do(self.state.heartbeats_ended(due, [worked] * len(due), at, self.now))

    def _hide(self, message: Message, seconds: int) -> None:
        stored = self._of(message.message_id)
        if message is stored.handles[-1] and stored.visible_at > self.now:
            stored.visible_at = self.now + seconds

    def _heartbeats_pending(self) -> list[tuple[InFlightMessage, int]]:
        return [pair for due, _, _ in self.heartbeats for pair in due]

    @rule()
    def drain(self) -> None:
        self.state.drain()

    @rule()
    def settle_held(self) -> None:
        """Held messages start, or are released; `_do` checks that no open receive brings them."""
        open_now = self._is_open() and not self.state.draining
        self.waited |= open_now and self.state.may_hold
        free = self.state.gate.limit - len(self.running) - len(self.posting)
        self._do(self.state.settle_held(free, self.now))
        if open_now:
            assert len(self.running) + len(self.posting) <= self.options.http_connections

    @precondition(lambda self: not self.state.draining)
    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        if paused:
            self.state.pause()
            assert self.state.capacity() == 0
        else:
            self.state.resume()

    def _is_open(self) -> bool:
        return self.state.gate.is_open

    # ---- what is promised of every action

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Post(in_flight=in_flight):
                    self._check_post(in_flight)
                case PostDeadLetter(in_flight=in_flight):
                    self._check_dead_letter_post(in_flight)
                case DeleteMessage(in_flight=in_flight):
                    message_id = in_flight.message.message_id
                    assert message_id in self.done, f"{message_id} deleted without a 200"
                    self._assert_not_settling(in_flight)
                    self.to_delete.append(in_flight)
                case ChangeVisibility(in_flight=in_flight, seconds=seconds):
                    assert in_flight.state is State.RELEASING
                    assert not any(
                        in_flight is heartbeat_pending
                        for heartbeat_pending, _ in self._heartbeats_pending()
                    )
                    self._assert_within_twelve_hours(in_flight, seconds)
                    self._assert_not_settling(in_flight)
                    self.to_change.append(action)
                case DeadLetterMessage(in_flight=in_flight, reason=reason):
                    self.dead_lettering.append((in_flight, reason))
                case LogEvent(event=event, values=values):
                    assert not {"body", "receipt_handle"} & values.keys()
                    assert event != events.MESSAGE_EXPIRED or values["age_seconds"] >= RETENTION
                    if values.get("reason") in UNTRIED:
                        assert not self.receives, "an open receive would bring it again"
                        assert self.state.draining or values["receives_left"]

    def _check_post(self, in_flight: InFlightMessage) -> None:
        message = in_flight.message
        assert self._is_open()
        assert not self.state.draining or self._has_no_receive_left(message)
        assert message.message_id not in self.running, "one id runs twice at one time"
        assert message.message_id not in self.done, "posted though it was done"
        if self.fifo:
            mine = self._of(message.message_id)
            for other in self.stored[: mine.number]:
                if other.group == mine.group:
                    assert other.message_id in self.done, f"{mine} overtakes {other}"
            running = {self._of(message_id).group for message_id in self.running}
            assert mine.group not in running, "two of a group at one time"
        self.running[message.message_id] = in_flight

    def _check_dead_letter_post(self, in_flight: InFlightMessage) -> None:
        message_id = in_flight.message.message_id
        assert self.options.on_dead_letter_path
        assert self._is_open()
        assert message_id not in self.posting, "one id is posted twice at one time"
        assert message_id not in self.running, "posted as given up while it runs"
        assert message_id not in self.done, "posted as given up though it was done"
        self._assert_not_settling(in_flight)
        self.posting[message_id] = in_flight

    def _has_no_receive_left(self, message: Message) -> bool:
        """Whether a release of this message would have one dead-lettered untried."""
        here = [
            f.message for f in self.state.messages() if f.state in (State.RUNNING, State.WAITING)
        ]
        group = [m for m in here if self.fifo and m.group_id == message.group_id]
        return any(m.receive_count >= self.options.max_retries for m in (message, *group))

    def _assert_not_settling(self, in_flight: InFlightMessage) -> None:
        pending = [
            *self.to_delete,
            *(change.in_flight for change in self.to_change),
            *(in_flight for in_flight, _ in self.deletes),
            *(change.in_flight for change, _ in self.changes),
        ]
        assert not any(in_flight is other for other in pending), (
            "two calls about one message at one time"
        )

    def _assert_within_twelve_hours(self, in_flight: InFlightMessage, seconds: int) -> None:
        assert seconds >= 0
        age = self.now - in_flight.message.received_at
        if seconds and age < LONGEST_VISIBILITY:  # older ones are visible anyway
            assert age + seconds < LONGEST_VISIBILITY, "SQS would refuse to hide it for so long"

    # ---- what is promised at any time

    @invariant()
    def running_is_what_the_application_has(self) -> None:
        if hasattr(self, "state"):
            running = [f for f in self.state.messages() if f.state is State.RUNNING]
            assert {f.message.message_id: f for f in running} == self.running
            posting = [f for f in self.state.messages() if f.state is State.DEAD_LETTER_POSTING]
            assert {f.message.message_id: f for f in posting} == self.posting
            assert self.state.running == len(running) + len(posting)

    @invariant()
    def no_more_is_held_than_there_are_connections(self) -> None:
        if hasattr(self, "state"):
            assert self.state.in_flight <= self.options.http_connections

    @invariant()
    def a_closed_gate_or_a_drain_has_no_capacity(self) -> None:
        if hasattr(self, "state") and (self.state.draining or not self.state.gate.is_open):
            assert self.state.capacity() == 0

    def teardown(self) -> None:
        """Once everything is answered and confirmed, nothing is left here."""
        if not hasattr(self, "state"):
            return
        self.state.drain()
        self.state.end_drain()
        for receive in take(self.receives):
            self.state.receive_ended(receive)
        self._do(self.state.settle_held(0, self.now))
        while self.running or self.posting or self.heartbeats or self._settles_left():
            for message_id in sorted(self.posting):
                in_flight = self.posting.pop(message_id)
                self._do(self.state.dead_letter_answered(in_flight, Broken.CUT, self.now))
            for message_id in sorted(self.running):
                self.done.add(message_id)
                in_flight = self.running.pop(message_id)
                self._do(self.state.answered(in_flight, Answered(200), self.now))
            for due, _, at in take(self.heartbeats):
                self._do(self.state.heartbeats_ended(due, [True] * len(due), at, self.now))
            for in_flight, reason in take(self.dead_lettering):
                self.done.add(in_flight.message.message_id)
                self._do(self.state.dead_lettered(in_flight, reason, self.now))
            for in_flight in take(self.to_delete):
                self._do(self.state.deleted(in_flight, in_flight.message, self.now))
            for change in take(self.to_change):
                self._do(self.state.released(change.in_flight, change.in_flight.message, self.now))
            for in_flight, message in take(self.deletes):
                self._do(self.state.deleted(in_flight, message, self.now))
            for change, message in take(self.changes):
                self._do(self.state.released(change.in_flight, message, self.now))
        assert self.state.in_flight == 0
        assert self.state.idle

    def _settles_left(self) -> bool:
        return bool(
            self.dead_lettering or self.to_delete or self.to_change or self.deletes or self.changes
        )


TestDispatching = Dispatching.TestCase
TestDispatching.settings = settings(deadline=None, max_examples=150, stateful_step_count=50)
