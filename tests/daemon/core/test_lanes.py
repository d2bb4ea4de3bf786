"""Lanes of FIFO groups, and the groups that are in trouble."""

from __future__ import annotations

from sqsd.core.flight import Flight
from sqsd.core.lanes import Lanes
from sqsd.core.message import Message


def flight(name: str, group: str | None) -> Flight:
    return Flight(Message(name, f"{name}#1", b"", 1, "s", None, None, 0.0, group), 0.0, 0.0)


def test_the_first_of_a_group_is_its_head_and_the_others_follow_in_order() -> None:
    lanes = Lanes()
    a, b, c, other = flight("a", "g"), flight("b", "g"), flight("c", "g"), flight("d", "h")
    assert [lanes.enter(f) for f in (a, b, other, c)] == [True, False, True, False]
    assert (lanes.has_more(a), lanes.has_more(other)) == (True, False)
    assert lanes.leave(a) is b
    assert lanes.clear(b, trouble_until=0.0) == [c]
    assert lanes.enter(flight("e", "g"))  # the lane was over


def test_a_message_without_a_group_waits_for_nobody() -> None:
    lanes = Lanes()
    first, second = flight("a", None), flight("b", None)
    assert lanes.enter(first)
    assert lanes.enter(second)
    assert not lanes.has_more(first)
    assert lanes.leave(first) is None
    assert lanes.clear(second, trouble_until=9.0) == []
    assert not lanes.are_in_trouble(0.0)


def test_trouble_ends_with_time_or_when_the_group_goes_on() -> None:
    lanes = Lanes()
    for name, until in (("g", 10.0), ("h", 5.0), ("i", 20.0)):
        lanes.clear(flight(name, name), trouble_until=until)
    assert lanes.are_in_trouble(0.0)
    lanes.leave(flight("i", "i"))
    assert lanes.are_in_trouble(9.0)
    assert not lanes.are_in_trouble(10.0)


def test_a_group_that_goes_on_is_in_trouble_no_more() -> None:
    lanes = Lanes()
    lanes.clear(flight("a", "g"), trouble_until=1e9)
    assert lanes.are_in_trouble(0.0)
    lanes.leave(flight("a", "g"))
    assert not lanes.are_in_trouble(0.0)


def test_however_many_groups_are_in_trouble_memory_has_a_bound() -> None:
    lanes = Lanes()
    for n in range(10_500):
        lanes.clear(flight(f"{n}", f"{n}"), trouble_until=1e9)
    assert len(lanes._troubled) == 10_000
