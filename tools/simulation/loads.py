"""What arrives, and how the application takes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_HOUR: Final = 3_600.0
#: Ours in other ways: steps on all waiting messages, a fleet that may be empty, one no larger than
#: the message groups can use.
STEPS: Final = "worker-tier, steps"
ZERO: Final = "worker-tier, min 0"
BOUNDED: Final = "worker-tier, max 2"


@dataclass(frozen=True, kw_only=True)
class Load:
    """A load on a tier.

    Args:
        rate: messages a second at a time in seconds.
        seconds: how long it lasts.
        mean_seconds: what the application takes for a message, on average, at a time.
        expected_seconds: what the operator believes it takes, and bases `target_latency` on.
        message_bytes: that leave an instance for one: calls to SQS, what the application sends.
        poison: share of messages that fail each time.
        groups: message groups of a FIFO queue, each taking its messages one at a time; 0: no FIFO.
        also: contenders besides the usual three, by their names.
    """

    name: str
    rate: Callable[[float], float]
    seconds: float
    mean_seconds: Callable[[float], float] = lambda at: 2.0
    expected_seconds: float = 2.0
    message_bytes: int = 10_000
    poison: float = 0.0
    groups: int = 0
    also: tuple[str, ...] = ()


def _step(at: float) -> float:
    return 20.0 if _HOUR / 2 <= at < 2 * _HOUR else 2.0


def _ramp(at: float) -> float:
    return 2.0 + 23.0 * min(1.0, at / (2 * _HOUR)) if at < 2.5 * _HOUR else 2.0


def _spike(at: float) -> float:
    return 60.0 if _HOUR <= at < _HOUR + 600 else 2.0


def _diurnal(at: float) -> float:
    # a day in six hours
    return 2.0 + 18.0 * max(0.0, math.sin(2 * math.pi * at / (6 * _HOUR)))


def _slow(at: float) -> float:
    return 10.0 if _HOUR <= at < 2 * _HOUR else 2.0


def _seldom(at: float) -> float:
    # a single message or two, and a batch two hours later; nothing else all day
    if _HOUR / 2 <= at < _HOUR / 2 + 2:
        return 1.0
    return 10.0 if 2.5 * _HOUR <= at < 2.5 * _HOUR + 60 else 0.0


LOADS: Final = (
    Load(name="step", rate=_step, seconds=3 * _HOUR, also=(STEPS,)),
    Load(name="step, small", rate=_step, seconds=3 * _HOUR, message_bytes=1_000),
    Load(name="ramp", rate=_ramp, seconds=3.5 * _HOUR),
    Load(name="spike", rate=_spike, seconds=3 * _HOUR, also=(STEPS,)),
    Load(name="diurnal", rate=_diurnal, seconds=6 * _HOUR),
    Load(name="poison", rate=lambda at: 6.0, seconds=3 * _HOUR, poison=0.02),
    Load(name="slow app", rate=lambda at: 4.0, seconds=3 * _HOUR, mean_seconds=_slow),
    Load(
        name="long jobs",
        rate=lambda at: 0.2 if _HOUR / 2 <= at < 1.5 * _HOUR else 0.02,
        seconds=4 * _HOUR,
        mean_seconds=lambda at: 240.0,
        expected_seconds=240.0,
    ),
    Load(name="seldom", rate=_seldom, seconds=6 * _HOUR, also=(ZERO,)),
    Load(
        name="fifo",
        rate=lambda at: 12.0 if _HOUR / 2 <= at < _HOUR else 4.0,
        seconds=3 * _HOUR,
        groups=20,
        also=(BOUNDED,),
    ),
)
