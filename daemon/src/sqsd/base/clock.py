"""The machine's own clocks."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Implements `ports.Clock`; its monotonic clock is the event loop's."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)
