"""FIFO message groups, and the groups whose first message was released."""

from __future__ import annotations

from sqsd.messages.groups import MessageGroups
from sqsd.messages.in_flight import InFlightMessage
from sqsd.messages.message import Message


def in_flight(name: str, group: str | None) -> InFlightMessage:
    return InFlightMessage(
        Message(name, f"{name}#1", b"", 1, "s", None, None, 0.0, group), 0.0, 0.0
    )


def test_the_first_message_of_a_group_runs_and_the_rest_follows_in_order() -> None:
    groups = MessageGroups()
    a, b, c, other = (
        in_flight("a", "g"),
        in_flight("b", "g"),
        in_flight("c", "g"),
        in_flight("d", "h"),
    )
    assert [groups.enter(f) for f in (a, b, other, c)] == [True, False, True, False]
    assert (groups.waiting_for(a), groups.waiting_for(other)) == ([b, c], [])
    assert groups.done(a) is b
    assert groups.release(b, visible_at=0.0) == [c]
    assert groups.enter(in_flight("e", "g"))  # the group was closed


def test_a_message_without_a_group_never_waits() -> None:
    groups = MessageGroups()
    first, second = in_flight("a", None), in_flight("b", None)
    assert groups.enter(first)
    assert groups.enter(second)
    assert groups.waiting_for(first) == []
    assert groups.done(first) is None
    assert groups.release(second, visible_at=9.0) == []
    assert not groups.may_bring_released(0.0, 20.0)


def test_a_released_group_is_expected_by_the_receives_that_may_bring_it_for_five_minutes() -> None:
    groups = MessageGroups()
    for name, back_at in (("g", 100.0), ("h", 1_000.0)):
        groups.release(in_flight(name, name), back_at)
    expected = [t for t in range(0, 2_000, 10) if groups.may_bring_released(t, 20.0)]
    assert expected == [*range(80, 400, 10), *range(980, 1_300, 10)]
    assert not groups._visible_at


def test_a_group_whose_first_message_is_done_is_expected_no_more() -> None:
    groups = MessageGroups()
    groups.release(in_flight("a", "g"), 0.0)
    groups.release(in_flight("b", "h"), 10.0)
    assert groups.may_bring_released(1.0, 0.0)
    groups.done(in_flight("a", "g"))
    assert not groups.may_bring_released(1.0, 0.0)
    groups.done(in_flight("b", "h"))
    assert not groups.may_bring_released(11.0, 0.0)


def test_a_group_that_is_released_again_is_expected_at_its_new_time() -> None:
    groups = MessageGroups()
    groups.release(in_flight("a", "g"), 10.0)
    assert groups.may_bring_released(11.0, 0.0)
    groups.release(in_flight("a", "g"), 1_000.0)
    assert not groups.may_bring_released(500.0, 20.0)
    assert groups.may_bring_released(900.0, 200.0)
    assert groups.may_bring_released(1_299.0, 0.0)
    assert not groups.may_bring_released(1_301.0, 0.0)


def test_however_many_groups_are_released_memory_is_bounded() -> None:
    groups = MessageGroups()
    for n in range(10_500):
        groups.release(in_flight(f"{n}", f"{n}"), visible_at=n)
    assert len(groups._visible_at) == len(groups._upcoming) == 10_000
    assert not groups.may_bring_released(1e9, 0.0)
    assert (groups._visible_at, groups._upcoming, groups._expected) == ({}, [], {})
