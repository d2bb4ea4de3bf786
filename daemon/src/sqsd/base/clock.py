"""The clocks of the machine."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Implements `base.ports.Clock`; its monotonic clock is also that of the event loop."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)
