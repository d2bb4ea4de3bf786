"""Single steps of the state machine that a random search takes too seldom."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

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
from sqsd.messages.outcome import Answered
from sqsd.messages.polling import Receive
from sqsd.messages.state import MessageState

NOW, WALL = 1_000.0, 1_800_000_000.0
RECEIVE = Receive(10, 20, NOW)


def opened(*, fifo: bool = False, **options: Any) -> MessageState:
    """A state machine whose gate is open."""
    chosen = SqsdOptions(**options)
    made = MessageState(chosen, fifo=fifo, gate=Gate(chosen.http_connections))
    while made.gate.probed(alive=True, now=0.0) is not None:
        pass
    return made


def message(
    message_id: str, *, delivery: int = 1, group: str | None = None, asked_at: float = NOW
) -> Message:
    return Message(
        message_id, f"{message_id}#{delivery}", b"", delivery, "sender", None, None, asked_at, group
    )


def receive(
    to: MessageState, *messages: Message, now: float = NOW, wall_time: float = WALL
) -> list[Action]:
    """A receive brings these messages."""
    to.receive_opened(RECEIVE)
    actions = to.received(messages, now, wall_time)
    to.receive_ended(RECEIVE)
    return actions


def posted(actions: list[Action]) -> list[InFlightMessage]:
    return [action.in_flight for action in actions if isinstance(action, Post)]


def requested(actions: list[Action]) -> list[Action]:
    """The actions that are calls to SQS."""
    return [action for action in actions if not isinstance(action, LogEvent | Post)]


def event_names(actions: list[Action]) -> list[str]:
    return [action.event for action in actions if isinstance(action, LogEvent)]


def test_a_delete_confirmed_for_an_old_handle_is_made_again() -> None:
    state = opened()
    old, new = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(state, old))
    assert requested(state.answered(in_flight, Answered(200), NOW)) == [DeleteMessage(in_flight)]
    assert requested(receive(state, new)) == []  # one delete is under way, and enough
    assert state.deleted(in_flight, old, NOW) == [DeleteMessage(in_flight)]
    assert not state.idle
    assert event_names(state.deleted(in_flight, new, NOW)) == [events.MESSAGE_DELETED]
    assert state.idle


def test_a_release_made_for_an_old_handle_is_made_again() -> None:
    state = opened(error_visibility_timeout=30)
    old, new = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(state, old))
    assert requested(state.answered(in_flight, Answered(500), NOW)) == [
        ChangeVisibility(in_flight, 30)
    ]
    assert requested(receive(state, new)) == []
    assert state.released(in_flight, old, NOW) == [ChangeVisibility(in_flight, 30)]
    assert state.released(in_flight, new, NOW) == []
    assert state.idle


def test_a_message_delivered_again_during_a_release_without_delay_is_hidden_for_a_second() -> None:
    state = opened(error_visibility_timeout=0)
    old, new = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(state, old))
    state.answered(in_flight, Answered(500), NOW)
    receive(state, new)
    assert state.released(in_flight, old, NOW) == [ChangeVisibility(in_flight, 1)]


def test_the_result_of_an_earlier_delivery_does_not_affect_a_later_one_of_the_same_id() -> None:
    state = opened(error_visibility_timeout=0)
    first, second = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(state, first))
    state.answered(in_flight, Answered(500), NOW)
    state.released(in_flight, first, NOW)
    (again,) = posted(receive(state, second))
    state.answered(again, Answered(200), NOW)
    assert not state.idle
    state.deleted(again, second, NOW)
    assert state.idle


def test_a_group_waits_for_an_earlier_message_that_is_being_released() -> None:
    state = opened(fifo=True, error_visibility_timeout=30)
    (in_flight,) = posted(receive(state, message("1", group="g")))
    state.answered(in_flight, Answered(500), NOW)
    # The change is still on its way when SQS shows both, and others.
    later, other = message("2", group="g"), message("3", group="h")
    actions = receive(state, message("1", delivery=2, group="g"), later, other)
    assert [f.message.message_id for f in posted(actions)] == ["3"]
    (change,) = requested(actions)
    assert isinstance(change, ChangeVisibility)
    assert (change.in_flight.message, change.seconds) == (later, 30)


def test_a_group_waits_until_the_dead_letter_queue_has_taken_its_first_message() -> None:
    state = opened(fifo=True, dead_letter_statuses=("422",))
    state.gate.limit = 2
    first, second = message("1", group="g"), message("2", group="g")
    (in_flight,) = posted(receive(state, first, second))
    actions = state.answered(in_flight, Answered(422), NOW)
    assert requested(actions) == [DeadLetterMessage(in_flight, "HTTP 422")]
    assert posted(actions) == []
    actions = state.dead_lettered(in_flight, "HTTP 422", NOW)
    assert requested(actions) == [DeleteMessage(in_flight)]
    assert [f.message for f in posted(actions)] == [second]


def test_a_group_is_released_with_a_message_that_the_dead_letter_queue_did_not_take() -> None:
    state = opened(fifo=True, dead_letter_statuses=("422",), error_visibility_timeout=30)
    (in_flight,) = posted(receive(state, message("1", group="g"), message("2", group="g")))
    state.answered(in_flight, Answered(422), NOW)
    actions = state.dead_letter_failed(in_flight, "HTTP 422", NOW)
    assert posted(actions) == []
    changes = [action for action in actions if isinstance(action, ChangeVisibility)]
    assert [(x.in_flight.message.message_id, x.seconds) for x in changes] == [("1", 30), ("2", 30)]


def test_a_drain_while_the_first_of_a_group_is_being_dead_lettered_forgets_nothing() -> None:
    state = opened(fifo=True, dead_letter_statuses=("422",))
    first, second = message("1", group="g"), message("2", group="g")
    (in_flight,) = posted(receive(state, first, second))
    state.answered(in_flight, Answered(422), NOW)
    state.drain()
    (change,) = requested(state.settle_held(0, NOW))
    assert isinstance(change, ChangeVisibility)
    assert (change.in_flight.message, change.seconds) == (second, 0)
    state.released(change.in_flight, second, NOW)
    state.dead_lettered(in_flight, "HTTP 422", NOW)
    state.deleted(in_flight, first, NOW)
    assert state.idle


def test_a_held_group_with_one_on_its_last_receive_waits_until_the_application_is_back() -> None:
    state = opened(fifo=True, max_retries=2)
    state.gate.application_down("other", 0.0, certain=True)
    early, last = message("early", group="g"), message("last", delivery=2, group="g")
    assert receive(state, early, last, message("h", group="h")) == []
    actions = state.settle_held(0, NOW + 20)
    back = [a.in_flight.message.message_id for a in actions if isinstance(a, ChangeVisibility)]
    assert back == ["h"]
    while not state.gate.is_open:
        state.gate.probed(alive=True, now=0.0)
    assert [in_flight.message for in_flight in posted(state.settle_held(1, NOW + 21))] == [early]


@pytest.mark.parametrize("heartbeat", [True, False])
def test_a_held_message_is_not_started_once_another_consumer_may_have_it(heartbeat: bool) -> None:
    state = opened(visibility_timeout=60, inactivity_timeout=5, heartbeat=heartbeat)
    state.gate.application_down("other", 0.0, certain=True)
    early, late = message("early"), message("late", asked_at=NOW + 40)
    assert receive(state, early) == []
    assert receive(state, late, now=NOW + 40, wall_time=NOW + 40) == []
    assert len(state.heartbeats(NOW + 35)) == 1, (
        "held: with heartbeats off too"
    )  # no result arrives
    while not state.gate.is_open:
        state.gate.probed(alive=True, now=0.0)
    actions = state.settle_held(2, NOW + 61)
    assert [in_flight.message for in_flight in posted(actions)] == [late]
    (back,) = event_names(actions)
    assert back == events.MESSAGE_RELEASED


@pytest.mark.parametrize(("age", "started"), [(20.0, True), (24.9, True), (25.1, False)])
def test_only_what_no_long_poll_explains_is_too_late_to_start(age: float, started: bool) -> None:
    state = opened(visibility_timeout=10, inactivity_timeout=5, wait_time_seconds=20)
    actions = receive(state, message("m", asked_at=NOW - age))
    assert bool(posted(actions)) is started
    assert bool(requested(actions)) is not started


@pytest.mark.parametrize("heartbeat", [True, False])
@pytest.mark.parametrize(("seconds", "started"), [(277.0, True), (279.0, False)])
def test_what_waited_for_its_group_until_its_visibility_ended_is_released(
    seconds: float, started: bool, heartbeat: bool
) -> None:
    state = opened(fifo=True, visibility_timeout=300, heartbeat=heartbeat)
    # Though asked for 20 s before it came: that was the long poll.
    early = NOW - 20
    batch = [message(str(n), group="g", asked_at=early) for n in range(3)]
    (in_flight,) = posted(receive(state, *batch))
    actions = state.answered(in_flight, Answered(200), NOW + seconds)
    assert len(posted(actions)) == int(started)
    back = [a.in_flight.message for a in actions if isinstance(a, ChangeVisibility)]
    assert back == ([] if started else batch[1:])


def test_a_release_never_asks_for_more_than_sqs_allows() -> None:
    state = opened(error_visibility_timeout=43_200)
    (in_flight,) = posted(receive(state, message("m")))
    (change,) = requested(state.answered(in_flight, Answered(500), NOW + 100))
    assert isinstance(change, ChangeVisibility)
    assert 43_000 < change.seconds < 43_200 - 100


def test_heartbeats_end_before_twelve_hours() -> None:
    state = opened(visibility_timeout=600)
    (in_flight,) = posted(receive(state, message("m")))
    now, last = NOW, NOW + 600
    while now < NOW + 44_000:
        due = state.heartbeats(now)
        if due:
            assert now < last, "it had become visible before"
            last = now + due[0][1]
            state.heartbeats_ended(due, [True], now, now)
        now += 1
    assert NOW + 43_100 < last < NOW + 43_200
    assert [f for f in state.messages() if f.state is State.RUNNING] == [in_flight]


def test_what_was_answered_and_could_not_be_deleted_is_remembered_for_long_but_not_for_ever() -> (
    None
):
    state = opened()
    for n in range(10_001):
        m = message(str(n))
        (in_flight,) = posted(receive(state, m))
        state.answered(in_flight, Answered(200), NOW)
        state.delete_failed(in_flight, "why")
    assert posted(receive(state, message("1", delivery=2))) == []
    assert len(posted(receive(state, message("0", delivery=2)))) == 1


# ---- a 200 that comes after the visibility has ended


def test_a_200_after_the_visibility_ended_is_logged_as_overdue() -> None:
    state = opened(visibility_timeout=30, inactivity_timeout=20)
    (in_flight,) = posted(receive(state, message("m")))
    actions = state.answered(in_flight, Answered(200), NOW + 31)
    assert event_names(actions) == [events.MESSAGE_OVERDUE]
    (note,) = [action for action in actions if isinstance(action, LogEvent)]
    assert note.values["overdue_seconds"] == 1.0
    assert requested(actions) == [DeleteMessage(in_flight)]


def test_a_200_within_the_visibility_or_a_confirmed_heartbeat_is_not_overdue() -> None:
    state = opened(visibility_timeout=30, inactivity_timeout=20)
    (early,) = posted(receive(state, message("early")))
    assert event_names(state.answered(early, Answered(200), NOW + 29)) == []
    extended, lost = posted(receive(state, message("extended"), message("lost")))
    delete_is_pending, *due = state.heartbeats(NOW + 16)[::-1]
    assert delete_is_pending[0] is early
    state.heartbeats_ended(due[::-1], [True, False], NOW + 16, NOW + 16.1)
    assert event_names(state.answered(extended, Answered(200), NOW + 45)) == []
    assert event_names(state.answered(lost, Answered(200), NOW + 45)) == [events.MESSAGE_OVERDUE]


def test_a_newer_delivery_that_came_here_too_is_hidden_anew() -> None:
    state = opened(visibility_timeout=30, inactivity_timeout=20)
    (in_flight,) = posted(receive(state, message("m")))
    receive(state, message("m", delivery=2, asked_at=NOW + 30), now=NOW + 31)
    assert event_names(state.answered(in_flight, Answered(200), NOW + 40)) == []


# ---- what failed after a heartbeat, and what waited for its group


def test_a_failure_left_to_its_visibility_is_visible_when_that_ends_heartbeats_or_not() -> None:
    state = opened(visibility_timeout=300)
    early, late, running = posted(receive(state, message("a"), message("b"), message("c")))
    assert (
        requested(state.answered(early, Answered(500), NOW + 100)) == []
    )  # nothing has moved its end
    due = state.heartbeats(NOW + 150)
    state.heartbeats_ended(due, [True, True], NOW + 150, NOW + 150.1)  # hidden until 450 now
    assert requested(state.answered(late, Answered(500), NOW + 160)) == [
        ChangeVisibility(late, 140)
    ]
    assert requested(state.answered(running, Answered(500), NOW + 400)) == [
        ChangeVisibility(running, 0)
    ]


def test_a_release_during_a_heartbeat_is_made_once_that_has_ended() -> None:
    state = opened(visibility_timeout=300)
    (in_flight,) = posted(receive(state, message("m")))
    due = state.heartbeats(NOW + 150)
    assert requested(state.answered(in_flight, Answered(500), NOW + 160)) == []
    actions = state.heartbeats_ended(due, [False], NOW + 150, NOW + 161)
    assert requested(actions) == [ChangeVisibility(in_flight, 140)]


def test_without_heartbeats_a_message_that_waited_for_its_group_is_extended_once() -> None:
    state = opened(fifo=True, heartbeat=False, visibility_timeout=300, inactivity_timeout=299)
    first, second = message("1", group="g"), message("2", group="g")
    (running,) = posted(receive(state, first, second))
    assert state.heartbeats(NOW + 100) == []
    (waited,) = posted(state.answered(running, Answered(200), NOW + 100))
    state.deleted(running, first, NOW + 100)
    assert state.heartbeats(NOW + 100) == [(waited, 300)]
    state.heartbeats_ended([(waited, 300)], [True], NOW + 100, NOW + 100)
    assert state.heartbeats(NOW + 399) == []


def test_a_heartbeat_that_is_refused_again_and_again_is_asked_for_less_and_less() -> None:
    state = opened(visibility_timeout=300)
    receive(state, message("m"))
    calls, now = [], NOW + 150.0
    while now < NOW + 450:
        if due := state.heartbeats(now):
            calls.append(now)
            state.heartbeats_ended(due, [False], now, now)
        now += 1
    pauses = [later - sooner for sooner, later in pairwise(calls)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 30]
    assert set(pauses[5:]) == {30}


def test_a_message_received_for_the_first_time_is_never_too_old_whatever_the_clock_says() -> None:
    state = opened(retention_period=60, visibility_timeout=5, inactivity_timeout=4)
    received_ms = int((WALL - 3_600) * 1000)  # by SQS's clock, an hour behind ours
    fresh = message("fresh")._replace(first_received_at=received_ms)
    assert len(posted(receive(state, fresh))) == 1
    again = message("again", delivery=2)._replace(first_received_at=received_ms)
    assert event_names(receive(state, again)) == [events.MESSAGE_EXPIRED]


# ---- messages that are given up, and the rest


@pytest.mark.parametrize(
    ("queues", "draining", "most"), [(1, False, 4), (2, False, 2), (3, False, 1), (2, True, 8)]
)
def test_queues_have_equal_parts_of_the_half_that_given_up_messages_may_use(
    queues: int, draining: bool, most: int
) -> None:
    chosen = SqsdOptions(on_dead_letter_path="/dead", http_connections=8, max_retries=1)
    state = MessageState(chosen, fifo=False, gate=Gate(8, narrowest=queues))
    while state.gate.probed(alive=True, now=0.0) is not None:
        pass
    while state.gate.limit < 8:
        state.gate.widen()
    assert state.gate.limit == 8
    sent = posted(receive(state, *(message(str(n)) for n in range(8))))
    for in_flight in sent:
        state.answered(in_flight, Answered(500), NOW + 1)
    if draining:
        state.drain()
    actions = state.settle_held(8, NOW + 1)
    assert sum(isinstance(action, PostDeadLetter) for action in actions) == most
