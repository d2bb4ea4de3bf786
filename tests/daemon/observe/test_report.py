"""The metrics of each minute, and `Health`."""

from __future__ import annotations

import asyncio
import json

from sqsd.observe.emf import EmfReport
from sqsd.observe.report import REPORT_SECONDS, Telemetry
from sqsd.observe.status import HEALTHY_POLL_SECONDS
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Refusal
from tests.daemon.observe.observed import World


def reporting(world: World) -> tuple[list[str], asyncio.Task[None]]:
    """The lines that a report prints while its task runs."""
    lines: list[str] = []
    telemetry = Telemetry(
        report=EmfReport("WorkerTier", "orders"),
        observer=world.log,
        status=world.status,
        application=world.application,
        clock=world.clock,
        write=lines.append,
    )
    return lines, asyncio.create_task(telemetry.run(None))


@in_virtual_time
async def test_a_report_comes_each_minute_and_a_last_one_at_the_end() -> None:
    async with World().running() as world:
        lines, task = reporting(world)
        world.sqs.send("work")
        await world.clock.advance(REPORT_SECONDS - 1)
        assert lines == []
        await world.clock.advance(2)
        assert json.loads(lines[0])["MessagesDeleted"] == 1
        assert json.loads(lines[1])["Health"] == 1
        await world.clock.advance(REPORT_SECONDS)
        assert len(lines) == 4
        world.sqs.send("last work")
        await world.clock.advance(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert json.loads(lines[4])["MessagesDeleted"] == 1


@in_virtual_time
async def test_health_is_0_while_the_application_is_down_or_the_queue_is_not_polled() -> None:
    async with World().running() as world:
        lines, task = reporting(world)

        async def health_after(seconds: float) -> int:
            await world.clock.advance(seconds)
            value: int = json.loads(lines[-1])["Health"]
            return value

        assert await health_after(REPORT_SECONDS + 1) == 1
        world.application.up = False
        assert await health_after(REPORT_SECONDS) == 0
        world.application.up = True
        assert await health_after(REPORT_SECONDS) == 1
        # EB counts a queue as polled for three minutes
        world.sqs.fault("ReceiveMessage", *[Refusal("AccessDenied", "no")] * 1_000)
        assert await health_after(HEALTHY_POLL_SECONDS - 60) == 1
        assert await health_after(HEALTHY_POLL_SECONDS) == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
