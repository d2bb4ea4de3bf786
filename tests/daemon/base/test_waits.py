"""Waits end with the first of several, or at their deadline, and leave nothing running."""

from __future__ import annotations

import asyncio

import pytest

from sqsd.base.waits import first_of, within


async def test_the_first_ends_the_wait_and_the_rest_is_cancelled() -> None:
    never = asyncio.Event()
    cancelled: list[str] = []

    async def hanging() -> None:
        try:
            await never.wait()
        except asyncio.CancelledError:
            cancelled.append("hanging")
            raise

    await first_of(hanging(), asyncio.sleep(0))
    assert cancelled == ["hanging"]


async def test_a_cancelled_wait_cancels_what_it_waits_for() -> None:
    never = asyncio.Event()
    waiting = asyncio.create_task(first_of(never.wait(), never.wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_deadline_returns_whether_it_was_met() -> None:
    never = asyncio.Event()
    assert await within(5.0, asyncio.sleep(0)) is True
    assert await within(0.0, never.wait()) is False
