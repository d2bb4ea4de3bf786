"""Sharing the connections to one application: no queue starves, no connection lies idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import BATCH_ENTRIES
from sqsd.messages.fair_share import Demand, Usage, capacity

QUIET, ALL = 1, 100


def usage(weight: int = 1, *, used: int = 0, wanted: int = ALL) -> Usage:
    return Usage(weight, used, 0, wanted)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[int, list[Usage]]:
    """A limit of at least the number of queues, and usages that are within it together."""
    queues = draw(st.integers(1, 6))
    limit = draw(st.integers(queues, 100))
    usages, left = [], limit
    for _ in range(queues):
        in_flight = draw(st.integers(0, left))
        reserved = draw(st.integers(0, min(BATCH_ENTRIES, left - in_flight)))
        left -= in_flight + reserved
        usages.append(
            Usage(draw(st.integers(1, 100)), in_flight, reserved, draw(st.integers(1, 100)))
        )
    return limit, usages


def test_what_a_quiet_queue_does_not_use_is_lent() -> None:
    # all but the one message of its long poll
    assert capacity(50, [usage(used=0), usage(weight=3, wanted=QUIET)], 0) == 49


@pytest.mark.parametrize(
    ("weights", "shares"),
    [((1, 1), (25, 25)), ((3, 1), (38, 12)), ((1, 1, 3), (10, 10, 30)), ((100, 1), (49, 1))],
)
def test_queues_that_want_everything_share_by_weight(
    weights: tuple[int, ...], shares: tuple[int, ...]
) -> None:
    usages = [usage(weight) for weight in weights]
    assert tuple(capacity(50, usages, i) for i in range(len(usages))) == shares


def test_what_one_queue_does_not_want_is_divided_by_weight() -> None:
    usages = [usage(1), usage(2), usage(10, wanted=20)]
    assert [capacity(50, usages, i) for i in range(3)] == [10, 20, 20]


def test_a_borrower_gets_no_more_until_the_owner_has_its_share() -> None:
    borrower, owner = usage(1, used=48), usage(1, used=1)
    assert capacity(50, [borrower, owner], 0) == 0
    assert capacity(50, [borrower, owner], 1) == 1


def test_requests_that_run_long_in_a_quiet_queue_leave_no_connection_unused() -> None:
    # the shares of two queues include connections that the third uses: they divide what is free
    usages = [usage(3, used=18), usage(1, used=0), usage(1, used=20, wanted=QUIET)]
    capacities = [capacity(50, usages, i) for i in range(3)]
    assert capacities == [5, 7, 0]


def test_a_quiet_queue_with_requests_in_flight_has_its_long_poll_too() -> None:
    assert capacity(50, [usage(used=30), Usage(1, 5, 0, QUIET)], 1) == 1
    assert capacity(50, [usage(used=30), Usage(1, 5, 1, QUIET)], 1) == 0


def test_below_one_connection_a_queue_the_first_to_ask_gets_what_is_free() -> None:
    usages = [usage(used=1, wanted=QUIET), usage(used=0, wanted=QUIET), usage(used=0)]
    assert [capacity(2, usages, i) for i in range(3)] == [1, 1, 1]
    assert capacity(2, [usage(used=1), usage(used=1), usage(used=0)], 2) == 0


# ---- properties


@given(scene=scenes(), order=st.permutations(range(6)))
def test_in_any_order_of_asking_all_queues_together_never_use_more_than_the_limit(
    scene: tuple[int, list[Usage]], order: list[int]
) -> None:
    limit, usages = scene
    for position in [p for p in order if p < len(usages)]:
        asked = capacity(limit, usages, position)
        assert asked >= 0
        mine = usages[position]
        usages[position] = mine._replace(reserved=mine.reserved + asked)
    assert sum(c.used for c in usages) <= limit


@given(scene=scenes())
def test_a_connection_that_is_free_and_wanted_is_given_to_a_queue(
    scene: tuple[int, list[Usage]],
) -> None:
    limit, usages = scene
    # every queue takes all it is given: then either nothing is free, or no queue wants more
    for position, mine in enumerate(usages):
        usages[position] = mine._replace(reserved=mine.reserved + capacity(limit, usages, position))
    free = limit - sum(c.used for c in usages)
    assert free == 0 or not any(c.used < c.demand for c in usages)


@given(scene=scenes())
def test_no_queue_is_given_more_than_it_wants(scene: tuple[int, list[Usage]]) -> None:
    limit, usages = scene
    for position, mine in enumerate(usages):
        asked = capacity(limit, usages, position)
        assert asked == 0 or mine.used + asked <= mine.demand


@given(
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    spare=st.integers(0, 95),
    steps=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["ask", "end"]), st.integers(1, 100)),
        max_size=60,
    ),
)
def test_a_queue_that_uses_nothing_can_always_open_a_poll_whatever_other_queues_do(
    weights: list[int], spare: int, steps: list[tuple[int, str, int]]
) -> None:
    limit = len(weights) + spare
    usages = [usage(weight, wanted=QUIET) for weight in weights]
    for number, step, value in steps:
        position = number % len(usages)
        mine = usages[position]
        if step == "ask":
            usages[position] = mine = mine._replace(wanted=value)
            asked = min(capacity(limit, usages, position), 1 + value % 10)
            usages[position] = mine._replace(in_flight=mine.in_flight + asked)
        else:
            usages[position] = mine._replace(in_flight=max(0, mine.in_flight - value))
        assert sum(c.used for c in usages) <= limit
        for idle, c in enumerate(usages):
            assert c.used or capacity(limit, usages, idle) >= 1


@given(
    weights=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    data=st.data(),
)
def test_a_busy_queue_reaches_its_share_as_connections_come_free(
    weights: list[int], data: st.DataObject
) -> None:
    limit = data.draw(st.integers(len(weights), 100))
    late = data.draw(st.integers(0, len(weights) - 1))
    usages = [usage(weight) for weight in weights]
    # given other queues that use all connections but one, and receive again whenever they may
    usages[late] = usages[late]._replace(wanted=QUIET)
    for position in range(len(usages)):
        usages[position] = usages[position]._replace(in_flight=capacity(limit, usages, position))
    usages[late] = usages[late]._replace(wanted=ALL)
    # when each running message ends once, in turn, and the other queues ask first
    for position in range(len(usages)):
        for _ in range(usages[position].in_flight):
            mine = usages[position]
            usages[position] = mine._replace(in_flight=mine.in_flight - 1)
            for asking in [p for p in range(len(usages)) if p != late] + [late]:
                asked = capacity(limit, usages, asking)
                taker = usages[asking]
                usages[asking] = taker._replace(in_flight=taker.in_flight + asked)
    # then it has its share, to a connection
    assert usages[late].in_flight >= max(1, limit * weights[late] // sum(weights) - len(weights))
    assert sum(c.used for c in usages) == limit


# ---- demand


def test_a_full_receive_doubles_the_demand_and_an_empty_one_ends_it() -> None:
    demand = Demand(50)
    assert demand.wanted == 1
    wants = []
    for _ in range(7):
        demand.received(demand.limit, demand.limit)
        wants.append((demand.wanted, demand.limit))
    assert wants == [(2, 2), (4, 4), (8, 8), (16, 10), (32, 10), (50, 10), (50, 10)]
    demand.received(10, 0)
    assert demand.wanted == 1


def test_a_partial_receive_leaves_a_demand_for_twice_as_much() -> None:
    demand = Demand(50, wanted=50)
    demand.received(10, 3)
    assert (demand.wanted, demand.limit) == (6, 6)


def test_a_queue_that_refuses_wants_only_its_next_try() -> None:
    demand = Demand(50, wanted=50)
    demand.receive_failed()
    assert demand.wanted == 1


@given(
    connections=st.integers(1, 100),
    receives=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 10))),
)
def test_a_demand_stays_within_the_connections_and_above_zero(
    connections: int, receives: list[tuple[int, int]]
) -> None:
    demand = Demand(connections)
    for asked, got in receives:
        demand.received(asked, min(asked, got))
        assert 1 <= demand.limit <= min(BATCH_ENTRIES, connections)
        assert 1 <= demand.wanted <= connections
