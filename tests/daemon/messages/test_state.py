"""Single steps of the state that a search by chance meets too seldom."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sqsd.contract import SqsdOptions, events
from sqsd.messages.in_flight import (
    Action,
    ChangeVisibility,
    DeadLetterMessage,
    DeleteMessage,
    InFlightMessage,
    LogEvent,
    Post,
    State,
)
from sqsd.messages.message import Message
from sqsd.messages.outcome import Answered
from sqsd.messages.state import MessageState

NOW, WALL = 1_000.0, 1_800_000_000.0


def state(*, fifo: bool = False, **options: Any) -> MessageState:
    made = MessageState(SqsdOptions(**options), fifo=fifo)
    while made.gate.probed(alive=True) is not None:
        pass
    return made


def message(
    message_id: str, *, delivery: int = 1, group: str | None = None, asked_at: float = NOW
) -> Message:
    return Message(
        message_id, f"{message_id}#{delivery}", b"", delivery, "sender", None, None, asked_at, group
    )


def receive(to: MessageState, *messages: Message, now: float = NOW) -> list[Action]:
    return to.received(messages, now, WALL)


def posted(actions: list[Action]) -> list[InFlightMessage]:
    return [action.in_flight for action in actions if isinstance(action, Post)]


def told(actions: list[Action]) -> list[Action]:
    """What SQS is to be told."""
    return [action for action in actions if not isinstance(action, LogEvent | Post)]


def event_names(actions: list[Action]) -> list[str]:
    return [action.event for action in actions if isinstance(action, LogEvent)]


def test_a_delete_confirmed_for_an_old_handle_is_made_again() -> None:
    c = state()
    old, new = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(c, old))
    assert told(c.answered(in_flight, Answered(200), NOW)) == [DeleteMessage(in_flight)]
    assert told(receive(c, new)) == []  # one delete is under way, and enough
    assert c.settling.deleted(in_flight, old, NOW) == [DeleteMessage(in_flight)]
    assert not c.idle
    assert event_names(c.settling.deleted(in_flight, new, NOW)) == [events.MESSAGE_DELETED]
    assert c.idle


def test_a_release_made_for_an_old_handle_is_made_again() -> None:
    c = state(error_visibility_timeout=30)
    old, new = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(c, old))
    assert told(c.answered(in_flight, Answered(500), NOW)) == [ChangeVisibility(in_flight, 30)]
    assert told(receive(c, new)) == []
    assert c.settling.released(in_flight, old, NOW) == [ChangeVisibility(in_flight, 30)]
    assert c.settling.released(in_flight, new, NOW) == []
    assert c.idle


def test_a_message_delivered_again_while_it_is_returned_at_once_is_put_away_for_a_moment() -> None:
    c = state(error_visibility_timeout=0)
    old, new = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(c, old))
    c.answered(in_flight, Answered(500), NOW)
    receive(c, new)
    assert c.settling.released(in_flight, old, NOW) == [ChangeVisibility(in_flight, 1)]


def test_what_settles_an_earlier_flight_does_not_touch_a_later_one_of_the_same_id() -> None:
    c = state(error_visibility_timeout=0)
    first, second = message("m"), message("m", delivery=2)
    (in_flight,) = posted(receive(c, first))
    c.answered(in_flight, Answered(500), NOW)
    c.settling.released(in_flight, first, NOW)
    (again,) = posted(receive(c, second))
    c.answered(again, Answered(200), NOW)
    assert not c.idle
    c.settling.deleted(again, second, NOW)
    assert c.idle


def test_a_group_waits_for_an_earlier_message_that_is_being_returned() -> None:
    c = state(fifo=True, error_visibility_timeout=30)
    (in_flight,) = posted(receive(c, message("1", group="g")))
    c.answered(in_flight, Answered(500), NOW)
    # The change is still on its way when SQS shows both, and others.
    later, other = message("2", group="g"), message("3", group="h")
    actions = receive(c, message("1", delivery=2, group="g"), later, other)
    assert [f.message.message_id for f in posted(actions)] == ["3"]
    (change,) = told(actions)
    assert isinstance(change, ChangeVisibility)
    assert (change.in_flight.message, change.seconds) == (later, 30)


def test_a_group_waits_until_the_dead_letter_queue_has_taken_its_first_message() -> None:
    c = state(fifo=True, dead_letter_statuses=("422",))
    c.gate.window = 2
    first, second = message("1", group="g"), message("2", group="g")
    (in_flight,) = posted(receive(c, first, second))
    actions = c.answered(in_flight, Answered(422), NOW)
    assert told(actions) == [DeadLetterMessage(in_flight, "HTTP 422")]
    assert posted(actions) == []
    actions = c.dead_lettered(in_flight, "HTTP 422", NOW)
    assert told(actions) == [DeleteMessage(in_flight)]
    assert [f.message for f in posted(actions)] == [second]


def test_a_group_goes_back_with_a_message_that_the_dead_letter_queue_did_not_take() -> None:
    c = state(fifo=True, dead_letter_statuses=("422",), error_visibility_timeout=30)
    (in_flight,) = posted(receive(c, message("1", group="g"), message("2", group="g")))
    c.answered(in_flight, Answered(422), NOW)
    actions = c.dead_letter_failed(in_flight, "HTTP 422", NOW)
    assert posted(actions) == []
    changes = [action for action in actions if isinstance(action, ChangeVisibility)]
    assert [(x.in_flight.message.message_id, x.seconds) for x in changes] == [("1", 30), ("2", 30)]


def test_a_drain_while_the_first_of_a_group_is_being_buried_forgets_nothing() -> None:
    c = state(fifo=True, dead_letter_statuses=("422",))
    first, second = message("1", group="g"), message("2", group="g")
    (in_flight,) = posted(receive(c, first, second))
    c.answered(in_flight, Answered(422), NOW)
    c.drain()
    (change,) = told(c.release_held(NOW))
    assert isinstance(change, ChangeVisibility)
    assert (change.in_flight.message, change.seconds) == (second, 0)
    c.settling.released(change.in_flight, second, NOW)
    c.dead_lettered(in_flight, "HTTP 422", NOW)
    c.settling.deleted(in_flight, first, NOW)
    assert c.idle


def test_a_kept_group_with_one_on_its_last_receive_waits_until_the_application_is_back() -> None:
    c = state(fifo=True, max_retries=2)
    c.gate.application_down("other", certain=True)
    early, last = message("early", group="g"), message("last", delivery=2, group="g")
    assert receive(c, early, last, message("h", group="h")) == []
    actions = c.release_held(NOW + 20)
    back = [a.in_flight.message.message_id for a in actions if isinstance(a, ChangeVisibility)]
    assert back == ["h"]
    while not c.gate.is_open:
        c.gate.probed(alive=True)
    assert [in_flight.message for in_flight in posted(c.start_held(1, NOW + 21))] == [early]


@pytest.mark.parametrize("heartbeat", [True, False])
def test_what_was_kept_is_not_started_once_somebody_else_may_have_it(heartbeat: bool) -> None:
    c = state(visibility_timeout=60, inactivity_timeout=5, heartbeat=heartbeat)
    c.gate.application_down("other", certain=True)
    early, late = message("early"), message("late", asked_at=NOW + 40)
    assert receive(c, early) == []
    assert c.received([late], NOW + 40, NOW + 40) == []
    assert bool(c.heartbeats(NOW + 35)) is heartbeat  # and no word of it arrives
    while not c.gate.is_open:
        c.gate.probed(alive=True)
    actions = c.start_held(2, NOW + 61)
    assert [in_flight.message for in_flight in posted(actions)] == [late]
    (back,) = event_names(actions)
    assert back == events.MESSAGE_RELEASED


@pytest.mark.parametrize(("age", "started"), [(20.0, True), (24.9, True), (25.1, False)])
def test_only_what_no_long_poll_explains_is_too_late_to_start(age: float, started: bool) -> None:
    c = state(visibility_timeout=10, inactivity_timeout=5, wait_time_seconds=20)
    actions = receive(c, message("m", asked_at=NOW - age))
    assert bool(posted(actions)) is started
    assert bool(told(actions)) is not started


@pytest.mark.parametrize("heartbeat", [True, False])
@pytest.mark.parametrize(("seconds", "started"), [(277.0, True), (279.0, False)])
def test_what_waited_for_its_group_until_its_visibility_ended_goes_back(
    seconds: float, started: bool, heartbeat: bool
) -> None:
    c = state(fifo=True, visibility_timeout=300, heartbeat=heartbeat)
    # Though asked for 20 s before it came: that was the long poll.
    early = NOW - 20
    batch = [message(str(n), group="g", asked_at=early) for n in range(3)]
    (in_flight,) = posted(receive(c, *batch))
    actions = c.answered(in_flight, Answered(200), NOW + seconds)
    assert len(posted(actions)) == int(started)
    back = [a.in_flight.message for a in actions if isinstance(a, ChangeVisibility)]
    assert back == ([] if started else batch[1:])


def test_a_release_never_asks_for_more_than_sqs_allows() -> None:
    c = state(error_visibility_timeout=43_200)
    (in_flight,) = posted(receive(c, message("m")))
    (change,) = told(c.answered(in_flight, Answered(500), NOW + 100))
    assert isinstance(change, ChangeVisibility)
    assert 43_000 < change.seconds < 43_200 - 100


def test_heartbeats_end_before_twelve_hours() -> None:
    c = state(visibility_timeout=600)
    (in_flight,) = posted(receive(c, message("m")))
    now, last = NOW, NOW + 600
    while now < NOW + 44_000:
        due = c.heartbeats(now)
        if due:
            assert now < last, "it had become visible before"
            last = now + due[0][1]
            c.heartbeats_ended(due, [True], now, now)
        now += 1
    assert NOW + 43_100 < last < NOW + 43_200
    assert [f for f in c.in_flight_messages() if f.state is State.RUNNING] == [in_flight]


def test_what_was_answered_and_could_not_be_deleted_is_remembered_for_long_but_not_for_ever() -> (
    None
):
    c = state()
    for n in range(10_001):
        m = message(str(n))
        (in_flight,) = posted(receive(c, m))
        c.answered(in_flight, Answered(200), NOW)
        c.settling.delete_failed(in_flight, "why")
    assert posted(receive(c, message("1", delivery=2))) == []
    assert len(posted(receive(c, message("0", delivery=2)))) == 1


# ---- a 200 that comes after the visibility has ended


def test_a_200_after_the_visibility_ended_is_an_outcome_of_its_own() -> None:
    c = state(visibility_timeout=30, inactivity_timeout=20)
    (in_flight,) = posted(receive(c, message("m")))
    actions = c.answered(in_flight, Answered(200), NOW + 31)
    assert event_names(actions) == [events.MESSAGE_OVERDUE]
    (note,) = [action for action in actions if isinstance(action, LogEvent)]
    assert note.values["overdue_seconds"] == 1.0
    assert told(actions) == [DeleteMessage(in_flight)]


def test_a_200_within_the_visibility_or_a_confirmed_heartbeat_is_not_overdue() -> None:
    c = state(visibility_timeout=30, inactivity_timeout=20)
    (early,) = posted(receive(c, message("early")))
    assert event_names(c.answered(early, Answered(200), NOW + 29)) == []
    kept, lost = posted(receive(c, message("kept"), message("lost")))
    delete_is_pending, *beats = c.heartbeats(NOW + 16)[::-1]
    assert delete_is_pending[0] is early
    c.heartbeats_ended(beats[::-1], [True, False], NOW + 16, NOW + 16.1)
    assert event_names(c.answered(kept, Answered(200), NOW + 45)) == []
    assert event_names(c.answered(lost, Answered(200), NOW + 45)) == [events.MESSAGE_OVERDUE]


def test_a_newer_delivery_that_came_here_too_is_hidden_anew() -> None:
    c = state(visibility_timeout=30, inactivity_timeout=20)
    (in_flight,) = posted(receive(c, message("m")))
    receive(c, message("m", delivery=2, asked_at=NOW + 30), now=NOW + 31)
    assert event_names(c.answered(in_flight, Answered(200), NOW + 40)) == []


# ---- what failed after a heartbeat, and what waited for its group


def test_a_failure_left_to_its_visibility_comes_back_when_that_ends_heartbeats_or_not() -> None:
    c = state(visibility_timeout=300)
    early, late, running = posted(receive(c, message("a"), message("b"), message("c")))
    assert told(c.answered(early, Answered(500), NOW + 100)) == []  # nothing has moved its end
    beats = c.heartbeats(NOW + 150)
    c.heartbeats_ended(beats, [True, True], NOW + 150, NOW + 150.1)  # hidden until 450 now
    assert told(c.answered(late, Answered(500), NOW + 160)) == [ChangeVisibility(late, 140)]
    assert told(c.answered(running, Answered(500), NOW + 400)) == [ChangeVisibility(running, 0)]


def test_a_failure_during_a_heartbeat_is_told_once_that_has_ended() -> None:
    c = state(visibility_timeout=300)
    (in_flight,) = posted(receive(c, message("m")))
    beats = c.heartbeats(NOW + 150)
    assert told(c.answered(in_flight, Answered(500), NOW + 160)) == []
    actions = c.heartbeats_ended(beats, [False], NOW + 150, NOW + 161)
    assert told(actions) == [ChangeVisibility(in_flight, 140)]


def test_without_heartbeats_a_message_that_waited_for_its_group_is_extended_once() -> None:
    c = state(fifo=True, heartbeat=False, visibility_timeout=300, inactivity_timeout=299)
    first, second = message("1", group="g"), message("2", group="g")
    (running,) = posted(receive(c, first, second))
    assert c.heartbeats(NOW + 100) == []
    (waited,) = posted(c.answered(running, Answered(200), NOW + 100))
    c.settling.deleted(running, first, NOW + 100)
    assert c.heartbeats(NOW + 100) == [(waited, 300)]
    c.heartbeats_ended([(waited, 300)], [True], NOW + 100, NOW + 100)
    assert c.heartbeats(NOW + 399) == []


def test_a_heartbeat_that_is_refused_again_and_again_is_asked_for_less_and_less() -> None:
    c = state(visibility_timeout=300)
    receive(c, message("m"))
    calls, now = [], NOW + 150.0
    while now < NOW + 450:
        if beats := c.heartbeats(now):
            calls.append(now)
            c.heartbeats_ended(beats, [False], now, now)
        now += 1
    pauses = [later - sooner for sooner, later in pairwise(calls)]
    assert pauses[:6] == [1, 2, 4, 8, 16, 30]
    assert set(pauses[5:]) == {30}


def test_a_message_received_for_the_first_time_is_never_too_old_whatever_the_clock_says() -> None:
    c = state(retention_period=60, visibility_timeout=5, inactivity_timeout=4)
    received_ms = int((WALL - 3_600) * 1000)  # by SQS's clock, an hour behind ours
    fresh = message("fresh")._replace(first_received_at=received_ms)
    assert len(posted(receive(c, fresh))) == 1
    again = message("again", delivery=2)._replace(first_received_at=received_ms)
    assert event_names(receive(c, again)) == [events.MESSAGE_EXPIRED]
