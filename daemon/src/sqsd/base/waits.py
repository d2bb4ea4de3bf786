"""Waits for the first of several awaitables, or for one with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

from sqsd.base.ports import Clock


async def first_of(*waiting: Coroutine[Any, Any, object]) -> None:
    """Wait until the first coroutine ends; the rest are cancelled and awaited."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def within(seconds: float, wait: Awaitable[object]) -> bool:
    """Wait for at most `seconds`. Returns whether `wait` ended in time; if not, it is cancelled."""
    try:
        async with asyncio.timeout(seconds):
            await wait
    except TimeoutError:
        return False
    return True


async def pause(clock: Clock, seconds: float, wake: asyncio.Event) -> None:
    """Wait for `seconds` by `clock`, or until `wake` is set; then clear `wake`."""

    def slept(_: object) -> None:
        wake.set()

    sleeping = asyncio.ensure_future(clock.sleep(max(seconds, 0)))
    sleeping.add_done_callback(slept)
    try:
        await wake.wait()
    finally:
        sleeping.remove_done_callback(slept)
        sleeping.cancel()
        wake.clear()
