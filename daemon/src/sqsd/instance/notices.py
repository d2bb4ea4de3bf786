"""Decides what a daemon does on the notices of its instance: receive, pause or drain.

EC2 announces the end of an instance: a Spot interruption two minutes before, an Auto Scaling
termination for as long as the lifecycle hook waits. Sources: EC2 user guide, "Spot Instance
interruption notices"; Auto Scaling user guide, "Retrieve the target lifecycle state through
instance metadata".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Target lifecycle states of an instance that is about to be terminated.
_ENDS: Final = frozenset({"Terminated", "Warmed:Terminated"})
#: Prefix of the target lifecycle states of a warm pool.
_WARM_POOL: Final = "Warmed:"
#: Target lifecycle state of an instance in standby.
_STANDBY: Final = "Standby"


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceNotices:
    """Holds what one poll of the metadata service returned.

    Args:
        spot_action: `terminate`, `stop` or `hibernate`, with its time if EC2 gives one, or None if
            there is no Spot notice.
        rebalance: whether EC2 recommends to move work elsewhere.
        target_state: the target lifecycle state, such as `InService`, or None outside of an Auto
            Scaling group.
    """

    spot_action: str | None = None
    rebalance: bool = False
    target_state: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceIdentity:
    """Names the instance; `auto_scaling_group` is None if its metadata shows no instance tags."""

    instance_id: str
    auto_scaling_group: str | None


@dataclass(frozen=True, slots=True)
class Receive:
    """Advises to receive messages: nothing speaks against it."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Advises to receive nothing for now: the instance is held in reserve."""

    reason: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Advises to drain, because the machine goes away.

    `hook_waits` is whether Auto Scaling waits for `CompleteLifecycleAction` before it does.
    """

    reason: str
    hook_waits: bool


#: What the notices advise.
Advice = Receive | Pause | Drain


def decide(notices: InstanceNotices, *, drain_on_rebalance: bool) -> Advice:
    """Return what the notices advise. The notice with the nearest end decides."""
    state = notices.target_state
    if state in _ENDS:
        return Drain(f"target lifecycle state {state}", hook_waits=True)
    if notices.spot_action is not None:
        return Drain(f"Spot interruption: {notices.spot_action}", hook_waits=False)
    if notices.rebalance and drain_on_rebalance:
        return Drain("rebalance recommendation", hook_waits=False)
    if state is not None and (state.startswith(_WARM_POOL) or state == _STANDBY):
        return Pause(f"target lifecycle state {state}")
    return Receive()
