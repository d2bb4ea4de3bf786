"""Sharing the slots of one application between queues: nobody starves, nothing lies idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.messages.fair_share import Demand, Usage, room
from sqsd.messages.polling import BATCH

QUIET, ALL = 1, 100


def claim(weight: int = 1, *, used: int = 0, want: int = ALL) -> Usage:
    return Usage(weight, used, 0, want)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[int, list[Usage]]:
    """A window at least as wide as there are queues, of which no more than that is used."""
    queues = draw(st.integers(1, 6))
    window = draw(st.integers(queues, 100))
    claims, left = [], window
    for _ in range(queues):
        in_flight = draw(st.integers(0, left))
        reserved = draw(st.integers(0, min(BATCH, left - in_flight)))
        left -= in_flight + reserved
        claims.append(
            Usage(draw(st.integers(1, 100)), in_flight, reserved, draw(st.integers(1, 100)))
        )
    return window, claims


def test_what_a_quiet_queue_leaves_is_lent() -> None:
    # all but the one message of its long poll
    assert room(50, [claim(used=0), claim(weight=3, want=QUIET)], 0) == 49


@pytest.mark.parametrize(
    ("weights", "shares"),
    [((1, 1), (25, 25)), ((3, 1), (38, 12)), ((1, 1, 3), (10, 10, 30)), ((100, 1), (49, 1))],
)
def test_queues_that_want_everything_share_by_weight(
    weights: tuple[int, ...], shares: tuple[int, ...]
) -> None:
    claims = [claim(weight) for weight in weights]
    assert tuple(room(50, claims, i) for i in range(len(claims))) == shares


def test_what_one_queue_leaves_the_others_share_by_weight() -> None:
    claims = [claim(1), claim(2), claim(10, want=20)]
    assert [room(50, claims, i) for i in range(3)] == [10, 20, 20]


def test_a_borrower_gets_no_more_until_the_owner_has_its_share() -> None:
    borrower, owner = claim(1, used=48), claim(1, used=1)
    assert room(50, [borrower, owner], 0) == 0
    assert room(50, [borrower, owner], 1) == 1


def test_requests_that_run_long_in_a_quiet_queue_leave_no_slot_unused() -> None:
    # the shares of both others count on slots that the third one holds: they divide what is left
    claims = [claim(3, used=18), claim(1, used=0), claim(1, used=20, want=QUIET)]
    rooms = [room(50, claims, i) for i in range(3)]
    assert rooms == [5, 7, 0]


def test_a_quiet_queue_with_requests_in_flight_has_its_long_poll_too() -> None:
    assert room(50, [claim(used=30), Usage(1, 5, 0, QUIET)], 1) == 1
    assert room(50, [claim(used=30), Usage(1, 5, 1, QUIET)], 1) == 0


def test_in_a_window_narrower_than_the_queues_the_first_to_ask_gets_what_is_free() -> None:
    claims = [claim(used=1, want=QUIET), claim(used=0, want=QUIET), claim(used=0)]
    assert [room(2, claims, i) for i in range(3)] == [1, 1, 1]
    assert room(2, [claim(used=1), claim(used=1), claim(used=0)], 2) == 0


# ---- properties


@given(scene=scenes(), order=st.permutations(range(6)))
def test_however_they_ask_all_together_never_hold_more_than_the_window(
    scene: tuple[int, list[Usage]], order: list[int]
) -> None:
    window, claims = scene
    for position in [p for p in order if p < len(claims)]:
        asked = room(window, claims, position)
        assert asked >= 0
        mine = claims[position]
        claims[position] = mine._replace(reserved=mine.reserved + asked)
    assert sum(c.used for c in claims) <= window


@given(scene=scenes())
def test_a_slot_that_is_free_and_wanted_is_given_to_somebody(
    scene: tuple[int, list[Usage]],
) -> None:
    window, claims = scene
    # every queue takes all it is given: then either nothing is free, or nobody wants more
    for position, mine in enumerate(claims):
        claims[position] = mine._replace(reserved=mine.reserved + room(window, claims, position))
    free = window - sum(c.used for c in claims)
    assert free == 0 or not any(c.used < c.demand for c in claims)


@given(scene=scenes())
def test_no_queue_is_given_more_than_it_wants(scene: tuple[int, list[Usage]]) -> None:
    window, claims = scene
    for position, mine in enumerate(claims):
        asked = room(window, claims, position)
        assert asked == 0 or mine.used + asked <= mine.demand


@given(
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    spare=st.integers(0, 95),
    steps=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["ask", "end"]), st.integers(1, 100)),
        max_size=60,
    ),
)
def test_a_queue_that_holds_nothing_can_always_open_a_poll_whatever_the_others_did(
    weights: list[int], spare: int, steps: list[tuple[int, str, int]]
) -> None:
    window = len(weights) + spare
    claims = [claim(weight, want=QUIET) for weight in weights]
    for number, step, value in steps:
        position = number % len(claims)
        mine = claims[position]
        if step == "ask":
            claims[position] = mine = mine._replace(want=value)
            asked = min(room(window, claims, position), 1 + value % 10)
            claims[position] = mine._replace(in_flight=mine.in_flight + asked)
        else:
            claims[position] = mine._replace(in_flight=max(0, mine.in_flight - value))
        assert sum(c.used for c in claims) <= window
        for idle, c in enumerate(claims):
            assert c.used or room(window, claims, idle) >= 1


@given(
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    data=st.data(),
)
def test_a_hungry_queue_reaches_its_share_as_slots_come_free(
    weights: list[int], data: st.DataObject
) -> None:
    window = data.draw(st.integers(len(weights), 100))
    late = data.draw(st.integers(0, len(weights) - 1))
    claims = [claim(weight) for weight in weights]
    # given that the others have taken all but its poll, and take whatever they may again
    claims[late] = claims[late]._replace(want=QUIET)
    for position in range(len(claims)):
        claims[position] = claims[position]._replace(in_flight=room(window, claims, position))
    claims[late] = claims[late]._replace(want=ALL)
    # when each running message ends once, one after another, and the others ask first
    for position in range(len(claims)):
        for _ in range(claims[position].in_flight):
            mine = claims[position]
            claims[position] = mine._replace(in_flight=mine.in_flight - 1)
            for asking in [p for p in range(len(claims)) if p != late] + [late]:
                asked = room(window, claims, asking)
                taker = claims[asking]
                claims[asking] = taker._replace(in_flight=taker.in_flight + asked)
    # then it has its share, to a slot
    assert claims[late].in_flight >= max(1, window * weights[late] // sum(weights) - len(weights))
    assert sum(c.used for c in claims) == window


# ---- appetite


def test_a_full_receive_doubles_the_appetite_and_an_empty_one_ends_it() -> None:
    appetite = Demand(50)
    assert appetite.want == 1
    wants = []
    for _ in range(7):
        appetite.polled(appetite.limit, appetite.limit)
        wants.append((appetite.want, appetite.limit))
    assert wants == [(2, 2), (4, 4), (8, 8), (16, 10), (32, 10), (50, 10), (50, 10)]
    appetite.polled(10, 0)
    assert appetite.want == 1


def test_a_partial_receive_leaves_an_appetite_for_twice_as_much() -> None:
    appetite = Demand(50, want=50)
    appetite.polled(10, 3)
    assert (appetite.want, appetite.limit) == (6, 6)


def test_a_queue_that_refuses_wants_only_its_next_try() -> None:
    appetite = Demand(50, want=50)
    appetite.failed()
    assert appetite.want == 1


@given(slots=st.integers(1, 100), polls=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 10))))
def test_an_appetite_stays_within_the_slots_and_never_dies(
    slots: int, polls: list[tuple[int, int]]
) -> None:
    appetite = Demand(slots)
    for asked, got in polls:
        appetite.polled(asked, min(asked, got))
        assert 1 <= appetite.limit <= min(BATCH, slots)
        assert 1 <= appetite.want <= slots
