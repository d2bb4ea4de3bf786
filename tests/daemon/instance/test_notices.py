"""What an instance's notices mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.instance.notices import Advice, Drain, InstanceNotices, Pause, Receive, decide

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
    ("notices", "advice"),
    [
        (InstanceNotices(), Receive()),
        (InstanceNotices(target_state="InService"), Receive()),
        (InstanceNotices(target_state="Detached"), Receive()),
        (
            InstanceNotices(target_state="Warmed:Stopped"),
            Pause("target lifecycle state Warmed:Stopped"),
        ),
        (InstanceNotices(target_state="Standby"), Pause("target lifecycle state Standby")),
        (
            InstanceNotices(target_state="Terminated"),
            Drain("target lifecycle state Terminated", hook_waits=True),
        ),
        (
            InstanceNotices(target_state="Warmed:Terminated"),
            Drain("target lifecycle state Warmed:Terminated", hook_waits=True),
        ),
        (
            InstanceNotices(spot_action="terminate at t", target_state="InService"),
            Drain("Spot interruption: terminate at t", hook_waits=False),
        ),
        (
            InstanceNotices(spot_action="terminate at t", target_state="Terminated"),
            Drain("target lifecycle state Terminated", hook_waits=True),
        ),
    ],
)
def test_each_notice_has_its_advice(notices: InstanceNotices, advice: Advice) -> None:
    assert decide(notices, drain_on_rebalance=False) == advice


@pytest.mark.parametrize("wanted", [True, False])
def test_a_rebalance_recommendation_drains_only_when_that_is_wanted(wanted: bool) -> None:
    advice = decide(
        InstanceNotices(rebalance=True, target_state="InService"), drain_on_rebalance=wanted
    )
    expected = Drain("rebalance recommendation", hook_waits=False) if wanted else Receive()
    assert advice == expected


@given(
    state=st.sampled_from(STATES),
    spot=st.none() | st.just("stop"),
    rebalance=st.booleans(),
    wanted=st.booleans(),
)
def test_a_machine_that_ends_is_always_drained(
    state: str | None, spot: str | None, rebalance: bool, wanted: bool
) -> None:
    notices = InstanceNotices(spot_action=spot, rebalance=rebalance, target_state=state)
    advice = decide(notices, drain_on_rebalance=wanted)
    ends = state in ("Terminated", "Warmed:Terminated") or spot is not None
    assert isinstance(advice, Drain) >= ends
    if isinstance(advice, Drain):
        assert ends or (rebalance and wanted)
