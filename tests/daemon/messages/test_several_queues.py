"""Several queues that share one application: shares, one gate, one drain, one account of it all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sqsd.contract import events
from sqsd.messages.dispatching import STUCK_SECONDS, is_stuck
from sqsd.messages.in_flight import State
from sqsd.messages.message import Message
from sqsd.messages.outcome import Unreachable
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Refusal
from tests.daemon.messages.queues import Tier

# ---- one application, one gate


@in_virtual_time
async def test_an_application_that_is_down_is_probed_once_for_all_and_costs_no_receive() -> None:
    async with Tier((1, 1), http_connections=10, error_visibility_timeout=5) as tier:
        await tier.warm_up()
        await tier.lose_application("first")
        # what the second queue's open long poll brings goes back; after that nothing is asked
        tier.send("second", 20)
        await tier.clock.advance(25)
        before = {name: tier.receives(name) for name in tier.queues}
        tier.application.probes.clear()
        await tier.clock.advance(50)
        assert {name: tier.receives(name) for name in tier.queues} == before
        assert len(tier.application.probes) == 10  # one every 5 s
        assert len(tier.recording.of(events.GATE_CLOSED)) == 1
        # when it is back, both go on, and the gate opens as wide as there are queues
        tier.application.up = True
        tier.application.answers(200)
        tier.application.posted.clear()
        tier.application.most_at_once = 0
        await tier.clock.advance(20)
        assert tier.posted() == Counter({"first": 1, "second": 20})
        assert len(tier.recording.of(events.GATE_OPENED)) == 2


@in_virtual_time
async def test_a_gate_that_opens_again_under_full_queues_serves_both_from_the_start() -> None:
    async with Tier((50, 1), http_connections=40, error_visibility_timeout=1) as tier:
        tier.application.seconds = 0.2
        tier.send("first", 5_000)
        tier.send("second", 1_000)
        await tier.clock.advance(10)
        tier.application.answers(Unreachable.REFUSED)
        tier.application.up = False
        await tier.clock.advance(10)
        tier.application.answers(200)
        tier.application.up = True
        tier.application.posted.clear()
        while len(tier.application.posted) < 2:
            await tier.clock.advance(0.05)
        assert tier.dispatchers.in_flight_limit == 2
        assert tier.posted() == Counter({"first": 1, "second": 1})
        await tier.clock.advance(10)
        assert tier.dispatchers.in_flight_limit == 40
        assert tier.in_flight()[0] >= 36


# ---- failures of one queue


@in_virtual_time
async def test_a_queue_that_refuses_is_named_and_hinders_no_other() -> None:
    async with Tier((1, 9), http_connections=10) as tier:
        await tier.warm_up()
        tier.queues["second"].fault("ReceiveMessage", *[Refusal("AccessDenied", "no")] * 1_000)
        await tier.clock.advance(30)
        tier.application.seconds = 0.1
        tier.send("first", 800)
        await tier.clock.advance(10.5)
        assert tier.posted() == Counter({"first": 800})
        assert {values["queue"] for values in tier.recording.of(events.QUEUE_FAILED)} == {"second"}
        assert not tier.status.ready().passes
        document = tier.status.document()
        refusing = {queue["name"]: queue["refuses_receives"] for queue in document["queues"]}
        assert refusing == {"first": False, "second": True}


class Silent:
    """A queue whose receive never ends."""

    async def receive(self, limit: int, wait_seconds: int) -> list[Message]:
        never: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        return await never


@in_virtual_time
async def test_a_hung_poll_of_one_queue_is_noticed_though_another_polls_or_refuses() -> None:
    tier = Tier((1, 1, 1), http_connections=10)
    silent: Any = Silent()
    tier.dispatchers.parts[1]._receiver._queue = silent
    async with tier:
        tier.queues["third"].fault("ReceiveMessage", *[Refusal("AccessDenied", "no")] * 1_000)
        await tier.clock.advance(STUCK_SECONDS - 10)
        assert not is_stuck(tier.dispatchers, tier.clock.monotonic())
        await tier.clock.advance(20)
        assert is_stuck(tier.dispatchers, tier.clock.monotonic())
        assert tier.status.alive().reason.startswith("no receive has completed for 13")


@in_virtual_time
async def test_a_defect_in_one_queues_dispatcher_ends_them_all_and_is_raised() -> None:
    class Defect(Exception):
        pass

    async with Tier((1, 1)) as tier:
        part: Any = tier.dispatchers.parts[1]
        part._finish = _raising(Defect)
        part.drain()
        await tier.clock.advance(60)
        assert tier.run.done()
        with pytest.raises(Defect):
            tier.run.result()


def _raising(error: type[Exception]) -> Callable[[], Any]:
    async def finish() -> bool:
        raise error

    return finish


@in_virtual_time
async def test_what_every_queue_holds_for_the_application_starts_within_one_limit() -> None:
    async with Tier((1, 1, 1), http_connections=20, max_retries=1) as tier:
        await tier.warm_up()
        for _ in range(3):  # their demand grows, and with it the receives that are open
            tier.send("first", 20)
            tier.send("second", 20)
            await tier.clock.advance(0.2)
        await tier.lose_application("third")
        tier.send("first", 3)
        tier.send("second", 3)
        await tier.clock.advance(0.5)
        held = [Counter(f.state for f in p.messages())[State.HELD] for p in tier.dispatchers.parts]
        assert held == [3, 3, 1]
        posted = len(tier.application.posted)
        tier.application.up = True
        tier.application.seconds = 1.0
        tier.application.answers(200)
        tier.application.most_at_once = 0
        while len(tier.application.posted) == posted:
            await tier.clock.advance(0.05)
        assert tier.application.most_at_once <= 3, "as many as there are queues go first"
        await tier.clock.advance(60)
        assert [sqs.bodies() for sqs in tier.queues.values()] == [[], [], []]


# ---- life


@in_virtual_time
async def test_the_daemon_is_ready_once_every_queue_has_answered_a_receive() -> None:
    tier = Tier((1, 1))
    tier.queues["second"].fault("ReceiveMessage", *[Refusal("AccessDenied", "no")] * 3)
    async with tier:
        await tier.clock.advance(1)
        assert tier.receives("first") > 0
        assert tier.ready == 0
        await tier.clock.advance(60)
        assert tier.ready == 1


@in_virtual_time
async def test_a_paused_daemon_receives_from_no_queue_until_it_is_resumed() -> None:
    tier = Tier((1, 1))
    tier.dispatchers.pause()
    async with tier:
        tier.send("first", 1)
        tier.send("second", 1)
        await tier.clock.advance(60)
        assert (tier.receives("first"), tier.receives("second")) == (0, 0)
        assert tier.dispatchers.paused
        tier.dispatchers.resume()
        await tier.clock.advance(1)
        assert tier.posted() == Counter({"first": 1, "second": 1})


@in_virtual_time
async def test_a_drain_finishes_what_every_queue_has_in_flight() -> None:
    async with Tier((1, 1), http_connections=10) as tier:
        await tier.warm_up()
        tier.application.seconds = 20.0
        tier.send("first", 4)
        tier.send("second", 4)
        await tier.clock.advance(2)
        in_flight = tier.dispatchers.in_flight
        assert in_flight == len(tier.application.running) >= 8
        assert await tier.drain() is True
        assert tier.dispatchers.draining
        deleted = sum(len(sqs.deleted) for sqs in tier.queues.values())
        assert deleted == 8 + in_flight  # those of the warm-up too


@in_virtual_time
async def test_a_drain_is_not_clean_when_one_queues_request_had_to_be_cut() -> None:
    async with Tier((1, 1), drain_timeout=5) as tier:
        tier.application.answers(200, None)
        tier.send("first", 1)
        await tier.clock.advance(1)
        tier.send("second", 1)
        await tier.clock.advance(1)
        assert tier.in_flight() == (0, 1)
        assert await tier.drain() is False
        assert tier.queues["second"].bodies() == ["second 0"]


# ---- what is said


@in_virtual_time
async def test_every_event_about_a_message_names_its_queue() -> None:
    async with Tier((1, 1), error_visibility_timeout=60) as tier:
        tier.application.answers(200, 500)
        tier.send("first", 1)
        await tier.clock.advance(1)
        tier.send("second", 1)
        await tier.clock.advance(1)
        assert [e["queue"] for e in tier.recording.of(events.MESSAGE_DELETED)] == ["first"]
        assert [e["queue"] for e in tier.recording.of(events.MESSAGE_RELEASED)] == ["second"]


@in_virtual_time
async def test_messages_are_counted_for_their_queue_and_for_all() -> None:
    async with Tier((1, 1), error_visibility_timeout=60) as tier:
        tier.send("first", 3)
        await tier.clock.advance(1)
        tier.application.answers(500)
        tier.send("second", 2)
        await tier.clock.advance(1)
        first, second = (tier.logs[name].metrics for name in ("first", "second"))
        assert (first.deleted, first.released, first.app[2].count) == (3, 0, 3)
        assert (second.deleted, second.released, second.app[5].count) == (0, 2, 2)
        assert (tier.log.metrics.deleted, tier.log.metrics.released) == (3, 2)
        assert [levels.in_flight for levels in tier.status.queue_levels()] == [0, 0]


@in_virtual_time
async def test_the_status_page_shows_each_queue_and_the_sum() -> None:
    async with Tier((2, 1, 1), http_connections=20) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        tier.send("first", 3)
        tier.queues["third"].send("in order", group_id="customer")
        await tier.clock.advance(5)
        document = tier.status.document()
        assert document["in_flight"]["count"] == 4
        shown = [
            (queue["name"], queue["weight"], queue["in_flight"], queue["message_groups"])
            for queue in document["queues"]
        ]
        assert shown == [
            ("first", 2, 3, {}),
            ("second", 1, 0, {}),
            ("third", 1, 1, {"customer": 1}),
        ]
        assert document["message_groups"] == {"customer": 1}
        assert document["ready"] is False  # the daemon, which is not here, would report it
