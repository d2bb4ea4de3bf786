"""Several queues under one budget of connections: what each gets, and what is lent."""

from __future__ import annotations

from collections import Counter

import pytest

from sqsd.testing.clock import in_virtual_time
from tests.daemon.messages.queues import Tier


@pytest.mark.parametrize(
    ("weights", "shares"), [((3, 1), (30, 10)), ((1, 1), (20, 20)), ((5, 2, 1), (25, 10, 5))]
)
def test_full_queues_share_the_connections_by_weight(
    weights: tuple[int, ...], shares: tuple[int, ...]
) -> None:
    @in_virtual_time
    async def run() -> None:
        async with Tier(weights, http_connections=40) as tier:
            await tier.warm_up()
            tier.application.seconds = 0.5
            for name in tier.queues:
                tier.send(name, 3_000)
            await tier.clock.advance(5)
            tier.application.posted.clear()
            await tier.clock.advance(20)
            served, ideal = tier.posted(), 20 / 0.5
            for name, share in zip(tier.queues, shares, strict=True):
                assert served[name] == pytest.approx(share * ideal, rel=0.1), served
            # and no connection was spared
            assert sum(served.values()) >= 0.93 * 40 * ideal
            assert tier.application.most_at_once <= 40

    run()


@in_virtual_time
async def test_what_an_idle_queue_leaves_is_lent_all_but_its_long_poll() -> None:
    async with Tier((1, 9), http_connections=10) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        tier.send("first", 30)
        await tier.clock.advance(30)
        assert tier.in_flight() == (9, 0)


@in_virtual_time
async def test_an_idle_queues_message_is_posted_at_once_while_another_is_saturated() -> None:
    async with Tier((1, 1), http_connections=10) as tier:
        await tier.warm_up()
        tier.application.answers(None)  # and nothing ever comes free
        tier.send("first", 100)
        await tier.clock.advance(60)
        tier.queues["second"].send("urgent")
        await tier.clock.advance(0.01)
        assert tier.application.bodies[-1] == "urgent"


@in_virtual_time
async def test_a_queue_that_fills_late_gets_its_share_as_requests_end() -> None:
    async with Tier((1, 1), http_connections=20) as tier:
        await tier.warm_up()
        tier.application.seconds = 10.0
        tier.send("first", 1_000)
        await tier.clock.advance(15)
        assert tier.in_flight()[0] >= 18
        tier.send("second", 1_000)
        await tier.clock.advance(25)
        assert tier.in_flight() == (10, 10)


@in_virtual_time
async def test_a_trickle_takes_no_more_of_a_full_queues_connections_than_it_uses() -> None:
    async with Tier((1, 1), http_connections=20) as tier:
        await tier.warm_up()
        tier.application.seconds = 0.1
        tier.send("first", 8_000)
        await tier.clock.advance(2)
        tier.application.posted.clear()
        for number in range(20):
            tier.queues["second"].send(f"now and then {number}")
            await tier.clock.advance(1)
        served = tier.posted()
        assert served["second"] == 20
        assert served["first"] >= 0.85 * 20 * 20 / 0.1


@in_virtual_time
async def test_only_a_receive_for_a_single_message_holds_its_connection_for_long() -> None:
    async with Tier((1, 1), http_connections=50) as tier:
        await tier.warm_up()
        for _ in range(5):  # from full to quiet and back
            tier.send("first", 400)
            tier.send("second", 30)
            await tier.clock.advance(30)
        calls = [c.request for sqs in tier.queues.values() for c in sqs.called("ReceiveMessage")]
        waits = {(c["MaxNumberOfMessages"] > 1, c["WaitTimeSeconds"]) for c in calls}
        assert waits == {(False, 20), (False, 1), (True, 1)}  # 1 s for the very first, too


@in_virtual_time
async def test_idle_queues_cost_three_receives_a_minute_each() -> None:
    async with Tier((1, 1, 1), http_connections=10) as tier:
        await tier.clock.advance(60)
        before = {name: tier.receives(name) for name in tier.queues}
        await tier.clock.advance(600)
        assert {name: tier.receives(name) - before[name] for name in tier.queues} == {
            "first": 30,
            "second": 30,
            "third": 30,
        }


@in_virtual_time
async def test_with_as_many_connections_as_queues_each_has_one() -> None:
    async with Tier((100, 1, 1), http_connections=3) as tier:
        await tier.warm_up()
        tier.application.seconds = 0.1
        for name in tier.queues:
            tier.send(name, 50)
        await tier.clock.advance(8)
        assert tier.posted() == Counter({"first": 50, "second": 50, "third": 50})
        assert tier.application.most_at_once == 3


@in_virtual_time
async def test_each_queue_has_its_own_options() -> None:
    own = {"second": {"visibility_timeout": 900, "http_path": "/slow", "mime_type": "text/plain"}}
    async with Tier((1, 1), own=own, http_path="/quick") as tier:
        tier.send("first", 1)
        tier.send("second", 1)
        await tier.clock.advance(1)
        assert [request.path for request in tier.application.posted] == ["/quick", "/slow"]
        for name, seconds in (("first", 300), ("second", 900)):
            for call in tier.queues[name].called("ReceiveMessage"):
                assert call.request["VisibilityTimeout"] == seconds
