"""Several queues behind one application: shares, one gate, one drain, one account of it all."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import pytest

from sqsd import logs
from sqsd.adapters.sqs import SqsQueue
from sqsd.contract import SqsdOptions
from sqsd.core.dispatch import Unreachable
from sqsd.core.gate import Gate
from sqsd.core.message import Message
from sqsd.core.request import Request, RequestBuilder
from sqsd.service.budget import Budget
from sqsd.service.dispatcher import Dispatcher
from sqsd.service.dispatchers import Dispatchers, Readiness
from sqsd.service.gate_keeper import GateKeeper
from sqsd.service.message_counts import QueueObserver
from sqsd.service.observer import Observer
from sqsd.service.status import STUCK_SECONDS, Identity, QueueIdentity, Status, is_stuck
from tests.fakes.application import FakeApplication
from tests.fakes.clock import VirtualClock, in_virtual_time
from tests.fakes.log import RecordingLog
from tests.fakes.sqs import FakeSqs, Refusal

_QUEUE = re.compile(rb"\r\nX-Aws-Sqsd-Queue: ([^\r\n]*)\r\n")


class Tier:
    """Queues `first`, `second`, `third` with these weights; `own` are one queue's own options."""

    def __init__(
        self,
        weights: Sequence[int],
        *,
        own: dict[str, dict[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.application = FakeApplication()
        self.recording = RecordingLog()
        self.log = Observer(self.recording, self.clock)
        self.ready = 0
        self.logs: dict[str, QueueObserver] = {}
        self.options = SqsdOptions(**options)
        names = ("first", "second", "third")[: len(weights)]
        self.queues = {name: FakeSqs(self.clock, fifo=name == "third") for name in names}
        gate = Gate(self.options.http_connections, narrowest=len(weights))
        self.keeper = GateKeeper(gate, self.application, self.clock, self.log, lambda: 0.5)
        self._budget, self._ready = Budget(gate), Readiness(len(weights), self._is_ready)
        self.dispatchers = Dispatchers(
            self.keeper,
            [
                self._part(name, weight, {**options, **(own or {}).get(name, {})})
                for name, weight in zip(names, weights, strict=True)
            ],
        )
        self.status = Status(
            identity=Identity(
                version="1",
                tier_name="orders",
                queue_url=self.queues["first"].url,
                fifo=False,
                http_connections=self.options.http_connections,
                queues=[
                    QueueIdentity(name=name, url=self.queues[name].url, weight=weight)
                    for name, weight in zip(names, weights, strict=True)
                ],
            ),
            dispatcher=self.dispatchers,
            observer=self.log,
            clock=self.clock,
        )
        self.run: asyncio.Task[bool]

    def _part(self, name: str, weight: int, options: dict[str, Any]) -> Dispatcher:
        sqs, chosen, log = self.queues[name], SqsdOptions(**options), QueueObserver(self.log, name)
        self.logs[name] = log
        sqs.url = f"http://127.0.0.1:1/123456789012/{name}"
        return Dispatcher(
            options=chosen,
            queue=SqsQueue(
                sqs.url,
                polls=sqs,
                control=sqs,
                clock=self.clock,
                log=log,
                visibility_timeout=chosen.visibility_timeout,
            ),
            builder=RequestBuilder(chosen, name),
            fifo=name == "third",
            application=self.application,
            clock=self.clock,
            log=log,
            ready=self._ready.one,
            jitter=lambda: 0.5,
            gate=self.keeper,
            share=self._budget.share(weight),
        )

    def _is_ready(self) -> None:
        self.ready += 1

    async def __aenter__(self) -> Self:
        self.run = asyncio.create_task(self.dispatchers.run())
        await self.clock.advance(1.0)  # the gate opens
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.run.cancel()
        await asyncio.gather(self.run, return_exceptions=True)

    async def warm_up(self) -> None:
        """Open the gate to its full width, and let all queues become quiet again."""
        for number in range(8):
            self.queues["first"].send(f"warm up {number}")
        await self.clock.advance(5)
        assert self.dispatchers.window == self.options.http_connections
        self.application.posted.clear()
        self.application.most_at_once = 0

    def send(self, name: str, count: int) -> None:
        for number in range(count):
            self.queues[name].send(f"{name} {number}", group_id=f"group {number}")

    def posted(self) -> Counter[str]:
        """How many requests there were, by queue."""
        return Counter(_queue_of(request) for request in self.application.posted)

    def in_flight(self) -> tuple[int, ...]:
        return tuple(part.in_flight for part in self.dispatchers.parts)

    def receives(self, name: str) -> int:
        return len(self.queues[name].called("ReceiveMessage"))

    async def drain(self) -> bool:
        self.dispatchers.drain()
        async with asyncio.timeout(2_000):
            return await self.run


def _queue_of(request: Request) -> str:
    found = _QUEUE.search(request.head)
    assert found is not None
    return found[1].decode()


# ---- shares


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


# ---- one application, one gate


@in_virtual_time
async def test_an_application_that_is_down_is_probed_once_for_all_and_costs_no_receive() -> None:
    async with Tier((1, 1), http_connections=10, error_visibility_timeout=5) as tier:
        await tier.warm_up()
        tier.application.up = False
        tier.application.answers(Unreachable.REFUSED)
        tier.send("first", 1)
        await tier.clock.advance(0.5)
        assert not tier.dispatchers.gate_is_open
        # what the second queue's open long poll brings is lost on it; after that nothing is asked
        tier.send("second", 20)
        await tier.clock.advance(25)
        before = {name: tier.receives(name) for name in tier.queues}
        tier.application.probes.clear()
        await tier.clock.advance(50)
        assert {name: tier.receives(name) for name in tier.queues} == before
        assert len(tier.application.probes) == 10  # one every 5 s
        assert len(tier.recording.of(logs.GATE_CLOSED)) == 1
        # when it is back, both go on, and the gate opens as wide as there are queues
        tier.application.up = True
        tier.application.answers(200)
        tier.application.posted.clear()
        tier.application.most_at_once = 0
        await tier.clock.advance(20)
        assert tier.posted() == Counter({"first": 1, "second": 20})
        assert len(tier.recording.of(logs.GATE_OPENED)) == 2


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
        assert tier.dispatchers.window == 2
        assert tier.posted() == Counter({"first": 1, "second": 1})
        await tier.clock.advance(10)
        assert tier.dispatchers.window == 40
        assert tier.in_flight()[0] >= 36


# ---- a queue's own trouble


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
        assert {values["queue"] for values in tier.recording.of(logs.QUEUE_FAILED)} == {"second"}
        assert not tier.status.ready().well
        document = tier.status.document()
        refusing = {queue["name"]: queue["refuses_receives"] for queue in document["queues"]}
        assert refusing == {"first": False, "second": True}


class Silent:
    """A queue whose receive never ends."""

    async def receive(self, limit: int, wait_seconds: int) -> list[Message]:
        never: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        return await never


@in_virtual_time
async def test_a_hung_poll_of_one_queue_is_told_though_another_polls_or_refuses() -> None:
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
async def test_a_defect_in_one_queues_dispatcher_ends_them_all_and_is_told() -> None:
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
async def test_a_held_daemon_receives_from_no_queue_until_it_is_resumed() -> None:
    tier = Tier((1, 1))
    tier.dispatchers.hold()
    async with tier:
        tier.send("first", 1)
        tier.send("second", 1)
        await tier.clock.advance(60)
        assert (tier.receives("first"), tier.receives("second")) == (0, 0)
        assert tier.dispatchers.held_back
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
        assert [e["queue"] for e in tier.recording.of(logs.MESSAGE_DELETED)] == ["first"]
        assert [e["queue"] for e in tier.recording.of(logs.MESSAGE_RELEASED)] == ["second"]


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
            (queue["name"], queue["weight"], queue["in_flight"], queue["lanes"])
            for queue in document["queues"]
        ]
        assert shown == [
            ("first", 2, 3, {}),
            ("second", 1, 0, {}),
            ("third", 1, 1, {"customer": 1}),
        ]
        assert document["lanes"] == {"customer": 1}
        assert document["ready"] is False  # nobody told the observer: that is the daemon's wiring
