"""The lease: never two holders inside the promise, and always one again."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from sqsd.cron.lease import (
    FREE,
    Acquire,
    Election,
    Follower,
    LeaseRecord,
    LeaseSettings,
    Read,
    Register,
    Renew,
    State,
    Wait,
)

ME = Election("me")
OTHERS = LeaseRecord(version=7, term=3, holder="other", lease_seconds=10.0, epoch=2, fleet=3)


def follower(**values: object) -> Follower:
    return replace(Follower(next_read=0.0, registered=2), **values)  # type: ignore[arg-type]


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


def test_a_new_census_is_answered_once() -> None:
    state: State = ME.read(follower(registered=1), OTHERS, 100.0, 0)
    assert ME.decide(state, 100.0) == Register(2)
    state = ME.registered(state, 2, replace(OTHERS, census=1), 100.1, 0)
    assert isinstance(ME.decide(state, 100.1), Wait)
    state = ME.read(state, OTHERS, 103.1, 0)
    assert isinstance(ME.decide(state, 103.1), Wait)


def watch(fleet: int, ordinal: int, seconds: float, *, dies_at: float = 1e9) -> list[float]:
    """When one of so many followers looks at a lease renewed at 1.7 s, 6.7 s and so on."""
    state = follower(ordinal=ordinal, next_read=100.0 + ordinal * 0.7)
    looks: list[float] = []
    while True:
        action = ME.decide(state, now := state.next_read)
        if now > 100 + seconds or isinstance(action, Acquire):
            return looks
        assert isinstance(action, Read)
        looks.append(now)
        version = int((min(now, dies_at) - 96.7) // 5)
        after = ME.read(state, replace(OTHERS, fleet=fleet, version=version), now, 0.5)
        assert isinstance(after, Follower)
        state = after


@pytest.mark.parametrize("fleet", range(1, 9))
def test_a_fleet_reads_once_a_second_at_the_most_and_sees_each_renewal_soon(fleet: int) -> None:
    # given time to find out when the renewals are
    looks = sorted(
        look for n in range(1, fleet + 1) for look in watch(fleet, n, 1_060) if look > 160
    )
    # then together they keep to the budget
    assert len(looks) <= 900
    # and the first look after each renewal comes soon, or is the next follower's
    renewals = [101.7 + 5 * n for n in range(12, 190)]
    waits = [min(look for look in looks if look >= at) - at for at in renewals]
    assert max(waits) <= 2.5
    assert sorted(waits)[len(waits) // 2] <= 1.2 + 0.2
    # and a release at any moment is seen in about the time between two looks
    gaps = [after - before for before, after in itertools.pairwise(looks)]
    assert max(gaps) <= 2.0 + 1.0


@pytest.mark.parametrize("fleet", range(1, 9))
def test_a_lease_that_is_not_renewed_is_looked_for_once_a_second_and_then_taken(
    fleet: int,
) -> None:
    for n in range(1, fleet + 1):
        looks = watch(fleet, n, 1_060, dies_at=601.7)
        first = min(look for look in looks if look >= 601.7)
        assert first - 601.7 <= 10.3
        assert looks[-1] >= first + LeaseSettings().renew_seconds
        assert len([look for look in looks if look > 601.7]) <= 9


def test_a_large_fleet_reads_twice_in_twice_the_time_to_see_an_end_of_a_lease_soon() -> None:
    state: State = ME.read(follower(), replace(OTHERS, fleet=40), 100.0, 0)
    assert ME.decide(state, 100.0) == Wait(110.0)
    state = ME.read(state, replace(OTHERS, fleet=40, version=9), 110.0, 0)
    assert ME.decide(state, 110.0) == Wait(180.0)


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


def test_an_acquisition_that_is_refused_is_followed_by_a_look() -> None:
    state: State = ME.read(follower(), OTHERS, 100.0, 0, started=99.9)
    state = ME.read(state, OTHERS, 108.0, 0, started=107.9)
    # a look since the renewal was due showed no change, so the acquisition is the last look
    assert not isinstance(ME.decide(state, 109.9), Acquire)
    assert ME.decide(state, 110.0) == Acquire(OTHERS)
    assert ME.decide(ME.refused(state, 110.1), 110.1) == Read()


# ---- holding

HELD = LeaseRecord(version=8, term=4, holder="me", lease_seconds=10.0)


def held(started: float = 100.0) -> State:
    return ME.written(follower(), HELD, started, census=True)


def test_a_lease_counts_from_before_the_write_and_ends_a_second_early() -> None:
    assert ME.holds(held(100.0), 108.999)
    assert not ME.holds(held(100.0), 109.0)


def test_a_holder_renews_every_five_seconds() -> None:
    assert ME.decide(held(), 104.9) == Wait(105.0)
    assert ME.decide(held(), 105.0) == Renew(4, census=False)


def test_a_failed_renewal_is_repeated_and_lengthens_nothing() -> None:
    state = ME.failed(held(), 107.0, 0)
    assert ME.decide(state, 107.5) == Renew(4, census=False)
    assert ME.holds(state, 108.9)
    assert not ME.holds(state, 109.0)


def test_a_refused_renewal_loses_the_lease_at_once_and_competes_again() -> None:
    state = ME.refused(held(), 105.0)
    assert not ME.holds(state, 105.0)
    assert ME.decide(state, 105.0) == Read()


def test_an_answer_that_comes_too_late_gives_no_lease() -> None:
    state = ME.written(held(100.0), replace(HELD, version=9), 101.0, census=False)
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


def test_a_census_is_opened_every_two_minutes_with_a_renewal() -> None:
    state = held(100.0)
    opened = []
    for now in range(105, 400, 5):
        action = ME.decide(state, float(now))
        assert isinstance(action, Renew)
        opened += [now] * action.census
        state = ME.written(state, replace(HELD, version=now), float(now), action.census)
    assert opened == [220, 340]


def test_after_a_release_nobody_holds_it_and_the_process_rests() -> None:
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
    ],
)
def test_durations_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be above|above 0"):
        LeaseSettings(**wrong)
