"""What an instance's notices mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.instance.notices import Course, Hold, Leave, Notices, Receive, decide

STATES = [
    None,
    "InService",
    "Detached",
    "Standby",
    "Terminated",
    "Warmed:Stopped",
    "Warmed:Running",
    "Warmed:Hibernated",
    "Warmed:Terminated",
]


@pytest.mark.parametrize(
    ("notices", "course"),
    [
        (Notices(), Receive()),
        (Notices(target_state="InService"), Receive()),
        (Notices(target_state="Detached"), Receive()),
        (Notices(target_state="Warmed:Stopped"), Hold("target lifecycle state Warmed:Stopped")),
        (Notices(target_state="Standby"), Hold("target lifecycle state Standby")),
        (
            Notices(target_state="Terminated"),
            Leave("target lifecycle state Terminated", hooked=True),
        ),
        (
            Notices(target_state="Warmed:Terminated"),
            Leave("target lifecycle state Warmed:Terminated", hooked=True),
        ),
        (
            Notices(spot_action="terminate at t", target_state="InService"),
            Leave("Spot interruption: terminate at t", hooked=False),
        ),
        (
            Notices(spot_action="terminate at t", target_state="Terminated"),
            Leave("target lifecycle state Terminated", hooked=True),
        ),
    ],
)
def test_each_notice_has_its_course(notices: Notices, course: Course) -> None:
    assert decide(notices, drain_on_rebalance=False) == course


@pytest.mark.parametrize("wanted", [True, False])
def test_a_rebalance_recommendation_drains_only_when_that_is_wanted(wanted: bool) -> None:
    course = decide(Notices(rebalance=True, target_state="InService"), drain_on_rebalance=wanted)
    expected = Leave("rebalance recommendation", hooked=False) if wanted else Receive()
    assert course == expected


@given(
    state=st.sampled_from(STATES),
    spot=st.none() | st.just("stop"),
    rebalance=st.booleans(),
    wanted=st.booleans(),
)
def test_a_machine_that_ends_is_always_left(
    state: str | None, spot: str | None, rebalance: bool, wanted: bool
) -> None:
    notices = Notices(spot_action=spot, rebalance=rebalance, target_state=state)
    course = decide(notices, drain_on_rebalance=wanted)
    ends = state in ("Terminated", "Warmed:Terminated") or spot is not None
    assert isinstance(course, Leave) >= ends
    if isinstance(course, Leave):
        assert ends or (rebalance and wanted)
