"""MessageGroups of FIFO groups, and the groups that are in trouble."""

from __future__ import annotations

from sqsd.messages.groups import MessageGroups
from sqsd.messages.in_flight import InFlightMessage
from sqsd.messages.message import Message


def in_flight(name: str, group: str | None) -> InFlightMessage:
    return InFlightMessage(
        Message(name, f"{name}#1", b"", 1, "s", None, None, 0.0, group), 0.0, 0.0
    )


def test_the_first_of_a_group_is_its_head_and_the_others_follow_in_order() -> None:
    lanes = MessageGroups()
    a, b, c, other = (
        in_flight("a", "g"),
        in_flight("b", "g"),
        in_flight("c", "g"),
        in_flight("d", "h"),
    )
    assert [lanes.enter(f) for f in (a, b, other, c)] == [True, False, True, False]
    assert (lanes.behind(a), lanes.behind(other)) == ([b, c], [])
    assert lanes.leave(a) is b
    assert lanes.clear(b, back_at=0.0) == [c]
    assert lanes.enter(in_flight("e", "g"))  # the lane was over


def test_a_message_without_a_group_waits_for_nobody() -> None:
    lanes = MessageGroups()
    first, second = in_flight("a", None), in_flight("b", None)
    assert lanes.enter(first)
    assert lanes.enter(second)
    assert lanes.behind(first) == []
    assert lanes.leave(first) is None
    assert lanes.clear(second, back_at=9.0) == []
    assert not lanes.may_return(0.0, 20.0)


def test_trouble_begins_with_the_receives_that_may_bring_the_group_and_ends_with_time() -> None:
    lanes = MessageGroups()
    for name, back_at in (("g", 100.0), ("h", 1_000.0)):
        lanes.clear(in_flight(name, name), back_at)
    in_trouble = [t for t in range(0, 2_000, 10) if lanes.may_return(t, 20.0)]
    assert in_trouble == [*range(80, 400, 10), *range(980, 1_300, 10)]
    assert not lanes._back_at


def test_a_group_that_gets_on_is_in_trouble_no_more() -> None:
    lanes = MessageGroups()
    lanes.clear(in_flight("a", "g"), 0.0)
    lanes.clear(in_flight("b", "h"), 10.0)
    assert lanes.may_return(1.0, 0.0)
    lanes.leave(in_flight("a", "g"))
    assert not lanes.may_return(1.0, 0.0)
    lanes.leave(in_flight("b", "h"))
    assert not lanes.may_return(11.0, 0.0)


def test_a_group_that_fails_once_more_is_expected_at_its_new_time() -> None:
    lanes = MessageGroups()
    lanes.clear(in_flight("a", "g"), 10.0)
    assert lanes.may_return(11.0, 0.0)
    lanes.clear(in_flight("a", "g"), 1_000.0)
    assert not lanes.may_return(500.0, 20.0)
    assert lanes.may_return(900.0, 200.0)
    assert lanes.may_return(1_299.0, 0.0)
    assert not lanes.may_return(1_301.0, 0.0)


def test_however_many_groups_are_in_trouble_memory_has_a_bound() -> None:
    lanes = MessageGroups()
    for n in range(10_500):
        lanes.clear(in_flight(f"{n}", f"{n}"), back_at=n)
    assert len(lanes._back_at) == len(lanes._coming) == 10_000
    assert not lanes.may_return(1e9, 0.0)
    assert (lanes._back_at, lanes._coming, lanes._trouble) == ({}, [], {})
