"""The lease: never two holders inside the promise, and always one again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sqsd.cron.lease import (
    FREE,
    Acquire,
    Follower,
    Holder,
    LeaseRecord,
    LeaseRules,
    LeaseSettings,
    Read,
    Renew,
    State,
    Wait,
)

ME = LeaseRules("me")
OTHERS = LeaseRecord(version=7, term=3, holder="other", lease_seconds=10.0)


def follower(**values: object) -> Follower:
    return replace(Follower(next_read=0.0), **values)  # type: ignore[arg-type]


# ---- following


def test_without_an_item_the_lease_is_taken_at_once() -> None:
    state = ME.read(follower(), None, now=100.0, spread=0)
    assert ME.decide(state, 100.0) == Acquire(None)


def test_a_free_lease_is_taken_at_once() -> None:
    free = replace(OTHERS, holder=FREE)
    assert ME.decide(ME.read(follower(), free, 100.0, 0), 100.0) == Acquire(free)


def test_a_held_lease_is_taken_when_seen_unchanged_for_its_length_and_not_before() -> None:
    state: State = ME.read(follower(), OTHERS, 100.0, 0)
    state = ME.read(state, OTHERS, 109.999, 0)
    assert not isinstance(ME.decide(state, 109.999), Acquire)
    state = ME.read(state, OTHERS, 110.0, 0)
    assert ME.decide(state, 110.0) == Acquire(OTHERS)


def test_any_change_begins_the_wait_anew() -> None:
    state: State = ME.read(follower(), OTHERS, 100.0, 0)
    renewed = replace(OTHERS, version=8)
    state = ME.read(state, renewed, 109.0, 0)
    state = ME.read(state, renewed, 118.0, 0)
    assert not isinstance(ME.decide(state, 118.0), Acquire)


def test_the_length_that_counts_is_the_holders_own() -> None:
    long = replace(OTHERS, lease_seconds=60.0)
    state: State = ME.read(follower(), long, 100.0, 0)
    state = ME.read(state, long, 130.0, 0)
    assert not isinstance(ME.decide(state, 130.0), Acquire)
    assert isinstance(ME.decide(ME.read(state, long, 160.0, 0), 160.0), Acquire)


def test_failed_reads_do_not_shorten_the_wait_nor_begin_it_anew() -> None:
    state: State = ME.read(follower(), OTHERS, 100.0, 0)
    for now in (103.0, 105.0, 108.0):
        state = ME.failed(state, now, 0)
    assert ME.decide(ME.read(state, OTHERS, 110.0, 0), 110.0) == Acquire(OTHERS)


def test_an_acquisition_whose_answer_was_lost_is_followed_by_another_at_once() -> None:
    state = ME.failed(ME.read(follower(), None, 100.0, 0), 102.0, 0)
    mine = replace(OTHERS, holder="me", term=4)
    state = ME.read(state, mine, 103.0, 0)
    assert ME.decide(state, 103.0) == Acquire(mine)
    assert not ME.holds(state, 103.0)


def test_each_follower_reads_within_two_seconds_and_at_random_a_quarter_earlier() -> None:
    for spread, seconds in ((0.0, 2.0), (0.5, 1.75), (0.96875, 1.515625)):
        state = ME.read(follower(), OTHERS, 100.0, spread)
        assert ME.decide(state, 100.0) == Wait(100.0 + seconds)
        assert ME.decide(state, 102.0) == Read()


def test_the_last_read_comes_when_the_lease_is_over_and_not_later() -> None:
    state: State = ME.read(follower(), OTHERS, 100.0, 0)
    state = ME.read(state, OTHERS, 109.5, 0)
    assert ME.decide(state, 109.9) == Wait(110.0)
    assert ME.decide(state, 110.0) == Read()


@dataclass(frozen=True)
class Call:
    """How a call ends: `cost` in seconds from its start, or None if it hangs until it is given up.

    A call that fails is made all the same if `made`.
    """

    fails: bool
    cost: float | None
    made: bool = False


SUCCEEDS = st.builds(Call, fails=st.just(False), cost=st.floats(0.001, 0.05))
REFUSED = st.builds(Call, fails=st.just(True), cost=st.floats(0.001, 0.05))
HANGS = st.builds(Call, fails=st.just(True), cost=st.none(), made=st.booleans())


@st.composite
def calls_with_at_most_three_failures(draw: st.DrawFn) -> list[Call]:
    """How calls end; three of 20 may fail, but not three in a row."""
    failing = draw(st.sets(st.integers(0, 19), max_size=3).filter(not_three_in_a_row))
    return [draw(HANGS | REFUSED if n in failing else SUCCEEDS) for n in range(20)]


def not_three_in_a_row(numbers: set[int]) -> bool:
    return not any({n, n + 1, n + 2} <= numbers for n in numbers)


@settings(max_examples=500)
@given(
    calls=calls_with_at_most_three_failures(),
    phase=st.floats(0.0, 1.0),
    spreads=st.lists(st.floats(0.0, 0.999), min_size=30, max_size=30),
)
@example(
    # The worst: a read that just missed the renewal, two that hang, and the last one hangs too.
    calls=[
        *[Call(True, None)] * 2,
        *[Call(False, 0.05)] * 7,
        Call(True, None),
        *[Call(False, 0.05)] * 2,
    ],
    phase=0.0,
    spreads=[0.0] + [0.999] * 29,
)
def test_the_only_follower_has_the_lease_in_time_though_three_calls_fail(
    calls: list[Call], phase: float, spreads: list[float]
) -> None:
    # given a follower that read the lease just before, or some time before, its last renewal
    renewed, item = 100.0, replace(OTHERS, version=8)
    now = renewed - 2.0 * phase
    state: State = ME.read(follower(), OTHERS, now, spreads[0])
    # when its holder dies at once
    outcomes, spread = iter(calls), iter(spreads[1:])
    while not isinstance(state, Holder):
        action = ME.decide(state, now)
        if isinstance(action, Wait):
            now = action.until
            continue
        # calls made before the renewal see the former version, and do not count
        call = next(outcomes) if now >= renewed else Call(False, 0.0)
        started, before = now, item if now >= renewed else OTHERS
        now += ME.call_seconds(state, now) if call.cost is None else call.cost
        if isinstance(action, Acquire) and (not call.fails or call.made):
            assert action.seen == before
            item = replace(before, version=9, term=4, holder="me")
        if call.fails:
            state = ME.failed(state, now, next(spread))
        elif isinstance(action, Acquire):
            state = ME.written(state, item, started)
        else:
            state = ME.read(state, before, now, next(spread))
    # then the follower holds it within the lease + 5 s, with time left to read the task and send
    assert now - renewed <= 15.0 - 3 * 0.05
    assert ME.holds(state, now)


def test_a_call_waits_longer_from_failure_to_failure_and_at_a_cold_start() -> None:
    state: State = ME.read(follower(), OTHERS, 100.0, 0)
    patience = []
    for now in (101.0, 102.0, 103.0, 104.0):
        patience.append(ME.call_seconds(state, now))
        state = ME.failed(state, now, 0)
    assert patience == [0.5, 1.0, 2.0, 2.0]
    assert ME.call_seconds(follower(), 100.0) == 2.0


def test_a_renewal_is_not_waited_for_beyond_the_end_of_the_lease() -> None:
    state = held(100.0)
    for now in (105.0, 105.6, 106.8):
        state = ME.failed(state, now, 0)
    assert ME.call_seconds(state, 106.9) == 2.0
    assert ME.call_seconds(state, 108.0) == 1.0


def test_an_acquisition_that_is_refused_is_followed_by_a_read() -> None:
    state: State = ME.read(follower(), OTHERS, 100.0, 0)
    state = ME.read(state, OTHERS, 110.0, 0)
    assert ME.decide(state, 110.0) == Acquire(OTHERS)
    assert ME.decide(ME.refused(state, 110.1), 110.1) == Read()


# ---- holding

HELD = LeaseRecord(version=8, term=4, holder="me", lease_seconds=10.0)


def held(started: float = 100.0) -> State:
    return ME.written(follower(), HELD, started)


def test_a_lease_counts_from_before_the_write_and_ends_a_second_early() -> None:
    assert ME.holds(held(100.0), 108.999)
    assert not ME.holds(held(100.0), 109.0)


def test_a_holder_renews_every_five_seconds() -> None:
    assert ME.decide(held(), 104.9) == Wait(105.0)
    assert ME.decide(held(), 105.0) == Renew(4)


def test_a_failed_renewal_is_repeated_and_lengthens_nothing() -> None:
    state = ME.failed(held(), 107.0, 0)
    assert ME.decide(state, 107.5) == Renew(4)
    assert ME.holds(state, 108.9)
    assert not ME.holds(state, 109.0)


def test_a_refused_renewal_loses_the_lease_at_once_and_competes_again() -> None:
    state = ME.refused(held(), 105.0)
    assert not ME.holds(state, 105.0)
    assert ME.decide(state, 105.0) == Read()


def test_an_answer_that_comes_too_late_gives_no_lease() -> None:
    state = ME.written(held(100.0), replace(HELD, version=9), 101.0)
    assert not ME.holds(state, 111.0)
    assert ME.decide(state, 111.0) == Read()


def test_a_lease_that_ran_out_is_competed_for_again() -> None:
    assert ME.decide(held(), 109.0) == Read()
    state = ME.read(held(), HELD, 109.5, 0)
    assert ME.decide(state, 109.5) == Acquire(HELD)


def test_a_lease_is_never_taken_up_again_in_a_term_that_was_released() -> None:
    # given a release whose call may still be on its way
    state = ME.read(ME.released(100.0, rest_seconds=0), HELD, 100.1, 0)
    # then only a new term will do: a renewal of the old one could be undone by that release
    assert ME.decide(state, 100.1) == Acquire(HELD)


def test_after_a_release_no_process_holds_it_and_this_one_rests() -> None:
    state = ME.released(100.0, rest_seconds=15)
    assert not ME.holds(state, 100.0)
    assert ME.decide(state, 114.9) == Wait(115.0)
    assert ME.decide(state, 115.0) == Read()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_seconds": 8.0},
        {"renew_seconds": 8.0},
        {"margin_seconds": 0.0},
        {"call_seconds": -1.0},
        {"read_seconds": 0.0},
        {"first_call_seconds": 0.0},
    ],
)
def test_durations_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be above|above 0"):
        LeaseSettings(**wrong)
