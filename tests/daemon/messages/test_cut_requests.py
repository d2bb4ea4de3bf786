"""Requests that the daemon cuts: they may still run in the application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sqsd.contract import events
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier


async def cut(tier: RunningTier, how: str) -> None:
    """Drain a tier whose request never ends, and cut it."""
    if how == "drain_timeout":
        assert await tier.drain() is False
        return
    ended = asyncio.create_task(tier.drain())
    await tier.clock.advance(tier.options.drain_timeout)
    ended.cancel()  # as a second signal does
    await asyncio.gather(ended, return_exceptions=True)


@pytest.mark.parametrize("how", ["drain_timeout", "second signal"])
@pytest.mark.parametrize("seconds", [1.0, 100.0, 290.0, 400.0, 1_000.0])
@in_virtual_time
async def test_a_cut_request_leaves_its_message_to_the_visibility_that_is_left(
    how: str, seconds: float
) -> None:
    async with RunningTier(drain_timeout=5) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("long")
        await tier.clock.advance(seconds)
        await cut(tier, how)
        assert tier.application.running == []
        assert 100 < tier.sqs.hidden_for(sent) <= 300
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["reason"] == "stopped before the answer came"


@pytest.mark.parametrize("how", ["drain_timeout", "second signal"])
@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        ({"error_visibility_timeout": 30}, 20, 30),
        ({"error_visibility_timeout": 0}, 0, 0),
        ({"retry_policy": "backoff", "error_visibility_timeout": 60}, 20, 60),
    ],
)
@in_virtual_time
async def test_options_decide_about_a_cut_request_as_about_any_failure(
    how: str, options: dict[str, Any], least: float, most: float
) -> None:
    async with RunningTier(drain_timeout=5, **options) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("long")
        await tier.clock.advance(400)
        await cut(tier, how)
        assert least <= tier.sqs.hidden_for(sent) <= most


@pytest.mark.parametrize("how", ["drain_timeout", "second signal"])
@pytest.mark.parametrize("error_visibility_timeout", [None, 30])
@in_virtual_time
async def test_a_request_that_is_cut_because_its_host_leaves_is_released_at_once(
    how: str, error_visibility_timeout: int | None
) -> None:
    async with RunningTier(
        drain_timeout=5, error_visibility_timeout=error_visibility_timeout
    ) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("long")
        await tier.clock.advance(20)
        tier.dispatcher.host_is_leaving()
        await cut(tier, how)
        assert tier.sqs.hidden_for(sent) == 0
        assert tier.sqs.receive_count(sent) == 1
