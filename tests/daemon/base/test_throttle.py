"""What repeats is logged once a minute, with its number."""

from __future__ import annotations

from sqsd.base.throttle import LogThrottle


def test_the_first_event_is_logged_whenever_it_comes() -> None:
    assert LogThrottle().admits(0.0) == 1
    assert LogThrottle().admits(-5.0) == 1


def test_within_a_minute_events_are_counted_and_not_logged() -> None:
    throttle = LogThrottle()
    assert [throttle.admits(now) for now in (10.0, 11.0, 69.9, 70.0)] == [1, 0, 0, 3]


def test_after_a_reset_the_next_event_is_logged_as_the_first() -> None:
    throttle = LogThrottle(5.0)
    assert [throttle.admits(0.0), throttle.admits(1.0)] == [1, 0]
    throttle.reset()
    assert throttle.admits(1.5) == 1
