"""Lanes of FIFO groups, and the groups that are in trouble."""

from __future__ import annotations

from sqsd.messages.groups import Lanes
from sqsd.messages.in_flight import Flight
from sqsd.messages.message import Message


def flight(name: str, group: str | None) -> Flight:
    return Flight(Message(name, f"{name}#1", b"", 1, "s", None, None, 0.0, group), 0.0, 0.0)


def test_the_first_of_a_group_is_its_head_and_the_others_follow_in_order() -> None:
    lanes = Lanes()
    a, b, c, other = flight("a", "g"), flight("b", "g"), flight("c", "g"), flight("d", "h")
    assert [lanes.enter(f) for f in (a, b, other, c)] == [True, False, True, False]
    assert (lanes.behind(a), lanes.behind(other)) == ([b, c], [])
    assert lanes.leave(a) is b
    assert lanes.clear(b, back_at=0.0) == [c]
    assert lanes.enter(flight("e", "g"))  # the lane was over


def test_a_message_without_a_group_waits_for_nobody() -> None:
    lanes = Lanes()
    first, second = flight("a", None), flight("b", None)
    assert lanes.enter(first)
    assert lanes.enter(second)
    assert lanes.behind(first) == []
    assert lanes.leave(first) is None
    assert lanes.clear(second, back_at=9.0) == []
    assert not lanes.are_in_trouble(0.0, 20.0)


def test_trouble_begins_with_the_receives_that_may_bring_the_group_and_ends_with_time() -> None:
    lanes = Lanes()
    for name, back_at in (("g", 100.0), ("h", 1_000.0)):
        lanes.clear(flight(name, name), back_at)
    in_trouble = [t for t in range(0, 2_000, 10) if lanes.are_in_trouble(t, 20.0)]
    assert in_trouble == [*range(80, 400, 10), *range(980, 1_300, 10)]
    assert not lanes._back_at


def test_a_group_that_gets_on_is_in_trouble_no_more() -> None:
    lanes = Lanes()
    lanes.clear(flight("a", "g"), 0.0)
    lanes.clear(flight("b", "h"), 10.0)
    assert lanes.are_in_trouble(1.0, 0.0)
    lanes.leave(flight("a", "g"))
    assert not lanes.are_in_trouble(1.0, 0.0)
    lanes.leave(flight("b", "h"))
    assert not lanes.are_in_trouble(11.0, 0.0)


def test_a_group_that_fails_once_more_is_expected_at_its_new_time() -> None:
    lanes = Lanes()
    lanes.clear(flight("a", "g"), 10.0)
    assert lanes.are_in_trouble(11.0, 0.0)
    lanes.clear(flight("a", "g"), 1_000.0)
    assert not lanes.are_in_trouble(500.0, 20.0)
    assert lanes.are_in_trouble(900.0, 200.0)
    assert lanes.are_in_trouble(1_299.0, 0.0)
    assert not lanes.are_in_trouble(1_301.0, 0.0)


def test_however_many_groups_are_in_trouble_memory_has_a_bound() -> None:
    lanes = Lanes()
    for n in range(10_500):
        lanes.clear(flight(f"{n}", f"{n}"), back_at=n)
    assert len(lanes._back_at) == len(lanes._coming) == 10_000
    assert not lanes.are_in_trouble(1e9, 0.0)
    assert (lanes._back_at, lanes._coming, lanes._trouble) == ({}, [], {})
