"""Readiness, liveness, and what the status page shows."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from sqsd.contract import events
from sqsd.messages.dispatching import STUCK_SECONDS
from sqsd.messages.message import Message
from sqsd.messages.outcome import Unreachable
from sqsd.testing.clock import in_virtual_time
from tests.daemon.observe.observed import World


@in_virtual_time
async def test_ready_means_that_messages_are_being_taken() -> None:
    world = World()
    world.application.up = False
    async with world.running():
        await world.clock.advance(5)
        assert world.pages["/readyz"]() == (503, *world.pages["/readyz"]()[1:])
        assert "application" in world.pages["/readyz"]().body
        world.application.up = True
        await world.clock.advance(60)
        assert world.pages["/readyz"]().status == 200
        world.dispatcher.drain()
        assert world.pages["/readyz"]().body == "draining\n"
        assert world.pages["/healthz"]().status == 200


@in_virtual_time
async def test_alive_ends_when_a_receive_hangs_and_not_when_the_application_is_down() -> None:
    async with World().running() as world:
        await world.clock.advance(30)
        world.application.up = False
        world.application.answers(Unreachable.REFUSED)
        world.sqs.send("work")
        await world.clock.advance(10 * STUCK_SECONDS)
        assert world.pages["/healthz"]().status == 200
        assert not world.status.polled_lately()
        # the application comes back, but receives hang for ever, deadline and all
        world.application.up = True
        world.application.answers(200)
        await world.clock.advance(30)
        assert world.status.polled_lately()
        hung: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def hang(limit: int, wait_seconds: int) -> list[Message]:
            await hung
            return []

        world.dispatcher._queue.receive = hang  # type: ignore[method-assign]
        await world.clock.advance(STUCK_SECONDS + 60)
        page = world.pages["/healthz"]()
        assert page.status == 503
        assert "no receive has completed" in page.body


@in_virtual_time
async def test_the_status_shows_what_is_in_flight_and_since_when() -> None:
    async with World(fifo=True).running() as world:
        world.application.answers(None)
        await world.clock.advance(1)
        for number in range(3):
            world.sqs.send(f"work {number}", group_id=f"group {number % 2}")
        await world.clock.advance(45)
        document = world.document()
        in_flight = document["in_flight"]
        assert in_flight["count"] == len(world.application.running) >= 1
        assert in_flight["states"]["running"] == in_flight["count"]
        assert 20 < in_flight["oldest"][0]["age_seconds"] < 46
        assert in_flight["oldest"][0]["message_id"] in world.application.running
        assert sum(document["message_groups"].values()) == in_flight["count"]
        assert document["gate"]["open"] is True
        assert document["version"] == "1.2.3"


@in_virtual_time
async def test_the_status_shows_when_each_task_is_next() -> None:
    async with World().running() as world:
        assert datetime.fromtimestamp(world.clock.time(), UTC).hour == 0
        assert world.document()["cron"]["next"] == [
            {"task": "soon", "at": "2026-01-01T00:05:00Z"},
            {"task": "late", "at": "2026-01-01T12:00:00Z"},
        ]


@in_virtual_time
async def test_the_status_remembers_the_newest_failures_and_no_more() -> None:
    async with World(error_visibility_timeout=0).running() as world:
        world.application.answers(500)
        world.sqs.send("work")
        await world.clock.advance(30)
        failures = world.document()["last_failures"]
        assert len(failures) == 20
        assert {failure["event"] for failure in failures} == {events.MESSAGE_RELEASED}
        assert [t["time"] for t in failures] == sorted((t["time"] for t in failures), reverse=True)


@in_virtual_time
async def test_the_metrics_page_can_be_read_by_prometheus_while_messages_flow() -> None:
    async with World().running() as world:
        for number in range(7):
            world.sqs.send(f"work {number}")
        await world.clock.advance(5)
        page = world.pages["/metrics"]()
        found = {f.name: f for f in text_string_to_metric_families(page.body)}
        assert found["sqsd_messages_deleted"].samples[0].value == 7
