"""What an instance's own notices mean for a daemon: receive, hold or leave.

EC2 tells an instance of its end before the end: a Spot interruption two minutes ahead, an Auto
Scaling termination for as long as the lifecycle hook holds it. Sources: EC2 user guide, "Spot
Instance interruption notices"; Auto Scaling user guide, "Retrieve the target lifecycle state
through instance metadata".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Target states in which an instance is about to be terminated.
_ENDS: Final = frozenset({"Terminated", "Warmed:Terminated"})
_WARM_POOL: Final = "Warmed:"
_STANDBY: Final = "Standby"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notices:
    """What the metadata service said at one look. None: it says nothing on the matter.

    Args:
        spot_action: `terminate`, `stop` or `hibernate`, with its time if one is given.
        rebalance: EC2 recommends to move work elsewhere.
        target_state: where Auto Scaling is taking the instance, such as `InService`.
    """

    spot_action: str | None = None
    rebalance: bool = False
    target_state: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which instance this is. `auto_scaling_group` None: it shows no tags in its metadata."""

    instance_id: str
    auto_scaling_group: str | None


@dataclass(frozen=True, slots=True)
class Receive:
    """Nothing is the matter."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Receive nothing for now, and be ready to: the instance is kept in reserve."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Drain: the machine goes away. `hooked`: Auto Scaling waits for word before it does."""

    reason: str
    hooked: bool


Course = Receive | Hold | Leave


def decide(notices: Notices, *, drain_on_rebalance: bool) -> Course:
    """What to do on these notices; the nearest end comes first."""
    state = notices.target_state
    if state in _ENDS:
        return Leave(f"target lifecycle state {state}", hooked=True)
    if notices.spot_action is not None:
        return Leave(f"Spot interruption: {notices.spot_action}", hooked=False)
    if notices.rebalance and drain_on_rebalance:
        return Leave("rebalance recommendation", hooked=False)
    if state is not None and (state.startswith(_WARM_POOL) or state == _STANDBY):
        return Hold(f"target lifecycle state {state}")
    return Receive()
