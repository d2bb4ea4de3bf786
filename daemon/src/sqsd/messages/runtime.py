"""What every waiting part of this room needs beside its subject."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from sqsd.base.ports import Clock, EventLog


@dataclass(frozen=True, slots=True)
class Runtime:
    """A clock, a log and a source of chance.

    Args:
        jitter: returns numbers from 0 to 1, so that instances do not retry in step.
    """

    clock: Clock
    log: EventLog
    jitter: Callable[[], float] = random.random
