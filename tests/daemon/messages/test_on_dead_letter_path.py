"""`on_dead_letter_path`: the application is POSTed what is given up, and the message goes on."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import h11
import pytest

from sqsd import contract
from sqsd.contract import InvalidSettings, Occurrence, SqsdOptions, TierSettings, events
from sqsd.http.signature import RequestSigner, signed_text
from sqsd.messages.dead_letter_posts import LONGEST_SECONDS, TRIES
from sqsd.messages.message import Attribute
from sqsd.messages.outcome import Answered, Broken, Outcome, Unreachable
from sqsd.messages.request import Request, RequestBuilder
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Refusal
from tests.daemon.messages.requests import PLAIN, cron, parsed, text, value, values
from tests.fakes.running_tier import RunningTier

DEAD = "/dead"
REASON = contract.HEADER_DEAD_LETTER_REASON


def tier_on(path: str | None = DEAD, **options: Any) -> RunningTier:
    """A tier whose messages have one receive."""
    chosen = {"max_retries": 1, "max_receives": 1, "error_visibility_timeout": 5} | options
    return RunningTier(on_dead_letter_path=path, **chosen)


def paths(tier: RunningTier) -> list[str]:
    return [request.path for request in tier.application.posted]


def failures(tier: RunningTier) -> list[tuple[str, int]]:
    found = tier.log.of(events.MESSAGE_DEAD_LETTER_POST_FAILED)
    return [(event["reason"], event["tries"]) for event in found]


def posts(tier: RunningTier) -> list[tuple[bytes, str]]:
    """Return the message id and the path of each POST."""
    found = tier.application.posted
    return [(value(request, contract.HEADER_MESSAGE_ID), request.path) for request in found]


def slow_down(monkeypatch: pytest.MonkeyPatch, tier: RunningTier, seconds: float) -> None:
    """Have each call to SQS but a receive take a time."""
    call = tier.sqs.call

    async def slow_call(action: str, request: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        if action != "ReceiveMessage":
            await asyncio.sleep(seconds)
        return await call(action, request, timeout=timeout)

    monkeypatch.setattr(tier.sqs, "call", slow_call)


async def until_dead(tier: RunningTier, *bodies: str, seconds: float = 30) -> None:
    await tier.clock.advance(seconds)
    assert tier.sqs.dead_letters == list(bodies)


# ---- the request


def test_the_request_is_that_of_the_message_with_another_path_and_the_reason() -> None:
    builder = RequestBuilder(SqsdOptions(on_dead_letter_path=DEAD), "work")
    message = PLAIN._replace(attributes={"kind": text("order")})
    before = parsed(builder.build(message))
    after = parsed(builder.build_dead_letter(message, "HTTP 500", 0.0, 0.0))
    assert (before[0].target, after[0].target) == (b"/", b"/dead")
    assert [header for header in after[1] if header not in before[1]] == [
        (REASON.lower(), b"HTTP 500")
    ]
    assert [header for header in before[1] if header not in after[1]] == []
    assert after[2] == before[2] == PLAIN.body


def test_a_periodic_task_is_named_with_the_path_it_failed_on() -> None:
    builder = RequestBuilder(SqsdOptions(on_dead_letter_path=DEAD), "work")
    message = PLAIN._replace(attributes=cron(path="/tick", name="tick"))
    request = builder.build_dead_letter(message, "HTTP 500", 0.0, 0.0)
    assert parsed(request)[0].target == b"/dead"
    assert value(request, contract.HEADER_PATH) == b"/tick"
    assert value(request, contract.HEADER_TASK_NAME) == b"tick"
    assert request.body == b""


def test_a_signature_is_of_the_path_that_is_posted_to_and_of_the_reason() -> None:
    key = b"0123456789abcdef"
    builder = RequestBuilder(SqsdOptions(on_dead_letter_path=DEAD), "work")
    request = builder.build_dead_letter(PLAIN, "HTTP 500", 0.0, 0.0)
    signed = request._replace(head=RequestSigner([key]).signed(request.head, request.body, 7))
    head, headers, body = parsed(signed)
    assert head.target == b"/dead"
    sent = [(name.encode(), value) for name, value in headers if "signature" not in name]
    assert (REASON.lower().encode(), b"HTTP 500") in sent
    text_signed = signed_text(b"POST", b"/dead", sent, body, 7)
    expected = hmac.new(key, text_signed, hashlib.sha256).hexdigest()
    assert value(signed, contract.HEADER_SIGNATURE) == f"t=7,v1={expected}".encode()
    reasonless = [header for header in sent if header[0] != REASON.lower().encode()]
    assert signed_text(b"POST", b"/dead", reasonless, body, 7) != text_signed


@pytest.mark.parametrize(
    "attributes",
    [
        {REASON: text("forged")},
        {"x\r\nX-Aws-Sqsd-Dead-Letter-Reason": text("forged")},
        {"x": text("y\r\nX-Aws-Sqsd-Dead-Letter-Reason: forged")},
        {**cron(path=DEAD), "x": text("forged")},
        cron(path="/dead HTTP/1.1\r\nX-Aws-Sqsd-Dead-Letter-Reason: forged\r\n"),
        cron(name="x\r\nX-Aws-Sqsd-Dead-Letter-Reason: forged"),
    ],
)
def test_a_sender_cannot_forge_the_reason(attributes: dict[str, Attribute]) -> None:
    builder = RequestBuilder(SqsdOptions(on_dead_letter_path=DEAD), "work")
    request = builder.build(PLAIN._replace(attributes=attributes))
    assert values(request, REASON) == []


def test_a_reason_cannot_end_its_header() -> None:
    builder = RequestBuilder(SqsdOptions(on_dead_letter_path=DEAD), "work")
    request = builder.build_dead_letter(PLAIN, "x\r\nX-Other: y", 0.0, 0.0)
    head = parsed(request)[0]
    assert isinstance(head, h11.Request)
    assert values(request, "X-Other") == []


# ---- when it is made


@in_virtual_time
async def test_without_the_option_nothing_is_posted_of_a_dead_letter() -> None:
    async with tier_on(None) as tier:
        tier.application.answers(500)
        tier.sqs.send("bad")
        await until_dead(tier, "bad")
        assert paths(tier) == ["/"]


@in_virtual_time
async def test_the_last_failed_attempt_is_posted_once_and_the_message_is_dead_lettered() -> None:
    async with tier_on(max_retries=3, max_receives=3) as tier:
        tier.application.answers(500, 503, 500, 200)
        sent = tier.sqs.send("bad")
        await until_dead(tier, "bad", seconds=60)
        assert paths(tier) == ["/", "/", "/", DEAD]
        assert value(tier.application.posted[-1], REASON) == b"HTTP 500"
        assert value(tier.application.posted[-1], contract.HEADER_RECEIVE_COUNT) == b"3"
        (posted,) = tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)
        assert (posted["message_id"], posted["status"], posted["tries"]) == (sent, 500, 1)
        (*_, released) = tier.log.of(events.MESSAGE_RELEASED)
        assert (released["reason"], released["receives_left"]) == ("HTTP 500", 0)
        assert sent not in tier.sqs.deleted


@in_virtual_time
async def test_a_message_that_succeeds_at_last_is_not_posted_there() -> None:
    async with tier_on(max_retries=3, max_receives=3) as tier:
        tier.application.answers(500, 500, 200)
        sent = tier.sqs.send("late")
        await tier.clock.advance(60)
        assert sent in tier.sqs.deleted
        assert paths(tier) == ["/", "/", "/"]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Broken.INACTIVE, b"no byte for inactivity_timeout"),
        (Broken.CLOSED, b"connection closed without a complete answer"),
        (302, b"HTTP 302"),
        (503, b"HTTP 503"),
    ],
)
def test_any_failure_of_the_last_attempt_is_posted(outcome: Outcome | int, reason: bytes) -> None:
    @in_virtual_time
    async def fail() -> None:
        async with tier_on() as tier:
            tier.application.answers(outcome, 200)
            tier.sqs.send("bad")
            await until_dead(tier, "bad")
            assert paths(tier) == ["/", DEAD]
            assert value(tier.application.posted[-1], REASON) == reason

    fail()


@in_virtual_time
async def test_a_status_that_dead_letters_at_once_is_posted_before_the_queue_has_it() -> None:
    async with tier_on(max_retries=10, dead_letter_statuses=("422",)) as tier:
        tier.application.answers(422, None)
        sent = tier.sqs.send("bad")
        await tier.clock.advance(1)
        assert paths(tier) == ["/", DEAD]
        assert tier.sqs.called("SendMessage") == []
        tier.application.finish(sent, 200)
        await tier.clock.advance(1)
        assert len(tier.sqs.called("SendMessage")) == 1
        assert tier.sqs.deleted == [sent]
        names = [name for name, _ in tier.log.events if name.startswith("message.dead")]
        assert names == [events.MESSAGE_DEAD_LETTER_POSTED, events.MESSAGE_DEAD_LETTERED]


@in_virtual_time
async def test_a_dead_letter_queue_that_takes_nothing_costs_no_second_post_of_one_receive() -> None:
    async with tier_on(dead_letter_statuses=("422",)) as tier:
        tier.sqs.fault("SendMessage", *[Refusal("AccessDenied", status=403)] * 9)
        tier.application.answers(422, 200)
        tier.sqs.send("bad")
        await until_dead(tier, "bad", seconds=60)
        assert paths(tier) == ["/", DEAD]


@in_virtual_time
async def test_expired_messages_are_deleted_without_a_post() -> None:
    async with tier_on(
        max_retries=2,
        max_receives=2,
        visibility_timeout=20,
        inactivity_timeout=10,
        retention_period=60,
        error_visibility_timeout=100,
    ) as tier:
        tier.application.answers(500)
        sent = tier.sqs.send("old")
        await tier.clock.advance(200)
        assert tier.sqs.deleted == [sent]
        assert paths(tier) == ["/"]


# ---- while it is made


@in_virtual_time
async def test_the_message_stays_hidden_and_occupies_one_connection() -> None:
    async with tier_on(http_connections=2, visibility_timeout=20, inactivity_timeout=10) as tier:
        await tier.warm_up()
        tier.application.answers(500, None)
        bad = tier.sqs.send("bad")
        await tier.clock.advance(1)
        tier.application.answers(None)
        for n in range(3):
            tier.sqs.send(f"good {n}")
        await tier.clock.advance(100)
        assert len(tier.application.running) == tier.dispatcher.in_flight == 2
        assert tier.sqs.hidden_for(bad) > 0
        assert tier.sqs.dead_letters == []


@pytest.mark.parametrize("statuses", [(), ("422",)])
def test_the_next_message_of_a_group_waits_for_the_post(statuses: tuple[str, ...]) -> None:
    @in_virtual_time
    async def fail() -> None:
        options: dict[str, Any] = {
            "max_retries": 3,
            "max_receives": 3,
            "dead_letter_statuses": statuses,
        }
        async with tier_on(fifo=True, **options) as tier:
            tries = 1 if statuses else 3
            tier.application.answers(*[422] * tries, None)
            first = tier.sqs.send("first", group_id="g")
            second = tier.sqs.send("second", group_id="g")
            await tier.clock.advance(60)
            assert paths(tier) == ["/"] * tries + [DEAD]
            tier.application.answers(200)
            assert "second" not in tier.application.bodies
            tier.application.finish(first, 200)
            await tier.clock.advance(60)
            assert tier.application.bodies[-1] == "second"
            assert second in tier.sqs.deleted

    fail()


# ---- when it fails


@in_virtual_time
async def test_a_post_that_fails_is_tried_again_and_never_the_job() -> None:
    async with tier_on() as tier:
        tier.application.answers(500, 500, Broken.CLOSED, 404, 200)
        tier.sqs.send("bad")
        await until_dead(tier, "bad", seconds=60)
        assert paths(tier) == ["/", DEAD, DEAD, DEAD, DEAD]
        found = tier.log.of(events.MESSAGE_DEAD_LETTER_POST_FAILED)
        assert [(e["reason"], e["tries"], e["after_seconds"]) for e in found] == [
            ("HTTP 500", 1, 1),
            ("connection closed without a complete answer", 2, 2),
            ("HTTP 404", 3, 4),
        ]


@in_virtual_time
async def test_a_post_that_fails_each_time_is_given_up_and_logged() -> None:
    async with tier_on() as tier:
        tier.application.answers(500)
        tier.sqs.send("bad")
        await until_dead(tier, "bad", seconds=60)
        assert paths(tier) == ["/", *[DEAD] * TRIES]
        assert failures(tier) == [("HTTP 500", tries) for tries in range(1, TRIES + 1)]
        assert "after_seconds" not in tier.log.of(events.MESSAGE_DEAD_LETTER_POST_FAILED)[-1]
        assert tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED) == []


@in_virtual_time
async def test_an_application_that_hangs_keeps_no_message_from_the_dead_letters_for_ever() -> None:
    async with tier_on(visibility_timeout=20, inactivity_timeout=10) as tier:
        tier.application.answers(500, Broken.INACTIVE)
        tier.application.seconds = 299
        tier.sqs.send("bad")
        await tier.clock.advance(299 + 299 + 60)
        assert tier.sqs.dead_letters == ["bad"]
        assert failures(tier) == [("no byte for inactivity_timeout", 1)]


@in_virtual_time
async def test_retry_after_is_waited_for_as_long_as_there_is_time() -> None:
    async with tier_on() as tier:
        tier.application.answers(500, Answered(503, retry_after=100), 200)
        tier.sqs.send("bad")
        await tier.clock.advance(99)
        assert paths(tier) == ["/", DEAD]
        await until_dead(tier, "bad")
        assert paths(tier) == ["/", DEAD, DEAD]


@in_virtual_time
async def test_without_an_application_the_post_waits_for_it() -> None:
    async with tier_on() as tier:
        tier.application.answers(500, Unreachable.REFUSED)
        tier.application.up = False
        sent = tier.sqs.send("bad")
        await tier.clock.advance(600)
        assert not tier.dispatcher.gate_is_open
        assert tier.sqs.dead_letters == []
        assert tier.sqs.receive_count(sent) == 1
        tier.application_is_back()
        await until_dead(tier, "bad")
        assert paths(tier) == ["/", DEAD, DEAD]
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)) == 1


@in_virtual_time
async def test_an_application_that_never_returns_is_waited_for_at_most_15_minutes() -> None:
    async with tier_on() as tier:
        tier.application.answers(500, Unreachable.REFUSED)
        tier.application.up = False
        tier.sqs.send("bad")
        await tier.clock.advance(LONGEST_SECONDS - 10)
        assert tier.sqs.dead_letters == []
        await tier.clock.advance(60)
        assert failures(tier) == [("connection refused", 0), ("the application does not answer", 0)]
        tier.application_is_back()
        await until_dead(tier, "bad")
        assert paths(tier) == ["/", DEAD]


@pytest.mark.parametrize("seconds", [0.01, 4.0])
def test_a_message_without_heartbeats_is_not_run_again_while_its_post_fails(seconds: float) -> None:
    @in_virtual_time
    async def fail() -> None:
        async with tier_on(
            heartbeat=False,
            visibility_timeout=10,
            inactivity_timeout=5,
            max_retries=9,
            max_receives=9,
            dead_letter_statuses=("422",),
        ) as tier:
            tier.application.seconds = seconds
            tier.application.answers(422, 500)
            tier.sqs.send("bad")
            await tier.clock.advance(60)
            assert paths(tier).count("/") == 1
            assert paths(tier).count(DEAD) >= 2
            assert tier.log.of(events.MESSAGE_DUPLICATE) == [], "no other daemon had it either"
            assert len(tier.sqs.called("SendMessage")) == 1

    fail()


@in_virtual_time
async def test_an_application_is_waited_for_as_long_as_a_message_is_hidden_anyway() -> None:
    async with tier_on(visibility_timeout=3_600) as tier:
        tier.application.answers(500, Unreachable.REFUSED)
        tier.application.up = False
        tier.sqs.send("bad")
        await tier.clock.advance(LONGEST_SECONDS + 600)
        tier.application_is_back()
        await until_dead(tier, "bad")
        assert paths(tier) == ["/", DEAD, DEAD]


@pytest.mark.parametrize("held_seconds", [600.0, LONGEST_SECONDS - 10, LONGEST_SECONDS + 600])
@in_virtual_time
async def test_the_time_of_the_post_begins_with_the_last_attempt_and_not_with_a_hold_before_it(
    held_seconds: float,
) -> None:
    async with tier_on() as tier:
        tier.application.up = False
        tier.application.answers(Unreachable.REFUSED)
        tier.sqs.send("bad")
        await tier.clock.advance(held_seconds)
        # when the last attempt fails, and the first POST meets a busy application
        tier.application.up = True
        tier.application.seconds = 15.0
        made = len(tier.application.posted)
        tier.application.answers(500, 503, 200)
        await tier.clock.advance(100)
        assert paths(tier)[made:] == ["/", DEAD, DEAD]
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)) == 1


@in_virtual_time
async def test_a_refused_connection_after_a_hold_is_no_try_and_waits() -> None:
    async with tier_on() as tier:
        tier.application.up = False
        tier.application.answers(Unreachable.REFUSED)
        tier.sqs.send("bad")
        await tier.clock.advance(LONGEST_SECONDS - 10)
        tier.application.up = True
        tier.application.seconds = 15.0
        made = len(tier.application.posted)
        tier.application.answers(500, Unreachable.REFUSED)
        while len(tier.application.posted) < made + 2:
            await tier.clock.advance(0.1)
        tier.application.up = False
        await tier.clock.advance(100)
        assert tier.sqs.dead_letters == []
        tier.application_is_back()
        await until_dead(tier, "bad", seconds=60)
        (posted,) = tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)
        assert posted["tries"] == 1


# ---- without heartbeats


@pytest.mark.parametrize("seconds", [30.0, 50.0, 70.0, 250.0])
@in_virtual_time
async def test_without_heartbeats_a_message_stays_hidden_while_its_post_hangs(
    seconds: float,
) -> None:
    async with tier_on(
        heartbeat=False,
        visibility_timeout=60,
        inactivity_timeout=50,
        max_retries=10,
        max_receives=10,
        dead_letter_statuses=("422",),
    ) as tier:
        tier.application.answers(422, None)
        sent = tier.sqs.send("job")
        await tier.clock.advance(1)
        assert paths(tier) == ["/", DEAD]
        await tier.clock.advance(seconds)
        assert tier.sqs.hidden_for(sent) > 0
        assert tier.sqs.receive_count(sent) == 1, "no other daemon had it"
        tier.application.answers(200)
        tier.application.finish(sent, 200)
        await tier.clock.advance(200)
        assert paths(tier) == ["/", DEAD]
        assert len(tier.sqs.called("SendMessage")) == 1


@in_virtual_time
async def test_without_heartbeats_the_job_itself_is_still_never_extended() -> None:
    async with RunningTier(heartbeat=False, visibility_timeout=60, inactivity_timeout=50) as tier:
        tier.application.answers(None)
        tier.sqs.send("job")
        await tier.clock.advance(58)
        assert tier.sqs.called("ChangeMessageVisibilityBatch") == []


# ---- a path that does not succeed


BUSY: dict[str, Any] = {"http_connections": 10, "dead_letter_statuses": ("422",), "max_retries": 10}


class Selective:
    """An application whose path fails: `bad` jobs are given up, the rest succeeds."""

    def __init__(self, tier: RunningTier, answer: Outcome | int | None, seconds: float) -> None:
        self._tier = tier
        self.answer = answer
        self._seconds = seconds
        self._post = tier.application.post
        self.good = 0
        tier.application.post = self.post  # type: ignore[method-assign]

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        application = self._tier.application
        application.seconds = 0.01
        if request.path == DEAD:
            application.seconds = self._seconds
            application.answers(self.answer)
        elif request.body.startswith(b"bad"):
            application.answers(422)
        else:
            application.answers(200)
            self.good += 1
        self._post(request, done)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answered(503, retry_after=600), 0.01),
        (Answered(503, retry_after=100), 0.01),
        (Broken.INACTIVE, 299.0),
        (None, 0.0),
        (404, 0.01),
        (Broken.CLOSED, 5.0),
    ],
)
@in_virtual_time
async def test_a_path_that_fails_or_hangs_stops_other_messages_for_a_minute_at_most(
    answer: Outcome | int | None, seconds: float
) -> None:
    async with tier_on(**BUSY, max_receives=10) as tier:
        await tier.warm_up()
        application = Selective(tier, answer, seconds)
        sent = 0
        for tick in range(30):  # fifteen minutes of bad messages among good ones
            for n in range(4):
                tier.sqs.send(f"bad {tick} {n}")
                tier.sqs.send(f"good {tick} {n}")
                sent += 1
            await tier.clock.advance(30)
            if tick >= 2:
                assert application.good >= sent - 4 * 2, tick
        assert application.good >= sent - 4
        assert len(tier.dispatcher.messages()) <= 5
        assert len(tier.sqs.dead_letters) + len(tier.dispatcher.messages()) == sent


@in_virtual_time
async def test_a_path_that_is_slow_but_succeeds_loses_no_post() -> None:
    async with tier_on(**BUSY, max_receives=10) as tier:
        await tier.warm_up()
        Selective(tier, 200, 8.0)
        for n in range(60):
            tier.sqs.send(f"bad {n}")
        await tier.clock.advance(200)
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)) == 60
        assert failures(tier) == []


@in_virtual_time
async def test_given_up_messages_are_posted_on_half_of_the_connections() -> None:
    async with tier_on(**BUSY, max_receives=10) as tier:
        await tier.warm_up()
        Selective(tier, None, 0.0)
        for n in range(10):
            tier.sqs.send(f"bad {n}")
        await tier.clock.advance(5)
        assert len(tier.application.running) == 5


@in_virtual_time
async def test_a_path_that_succeeds_again_is_posted_everything_again() -> None:
    async with tier_on(**BUSY, max_receives=10) as tier:
        await tier.warm_up()
        application = Selective(tier, 404, 0.01)
        for n in range(10):
            tier.sqs.send(f"bad {n}")
        await tier.clock.advance(60)
        assert tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED) == []
        tried = {message_id for message_id, path in posts(tier) if path == DEAD}
        assert len(tried) == 10, "each is POSTed at least once"
        application.answer = 200
        tier.sqs.send("bad, and posted")
        await tier.clock.advance(1)
        for n in range(20):
            tier.sqs.send(f"bad again {n}")
        await tier.clock.advance(60)
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)) == 21


# ---- when the daemon stops


@in_virtual_time
async def test_a_drain_waits_for_the_post() -> None:
    async with tier_on() as tier:
        tier.application.answers(500, 200)
        tier.application.seconds = 5
        tier.sqs.send("bad")
        await tier.clock.advance(1)
        assert await tier.drain() is True
        assert paths(tier) == ["/", DEAD]
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)) == 1


@in_virtual_time
async def test_a_drain_posts_on_every_connection() -> None:
    async with tier_on(http_connections=3) as tier:
        await tier.warm_up()
        tier.application.answers(500, 500, 500, 200)
        tier.application.seconds = 4
        for n in range(3):
            tier.sqs.send(f"bad {n}")
        await tier.clock.advance(1)
        began = tier.clock.monotonic()
        assert await tier.drain() is True
        assert tier.clock.monotonic() - began < 8
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)) == 3


@in_virtual_time
async def test_a_drain_makes_no_second_try() -> None:
    async with tier_on() as tier:
        tier.application.answers(500)
        tier.application.seconds = 5
        tier.sqs.send("bad")
        await tier.clock.advance(1)
        assert await tier.drain() is True
        assert paths(tier) == ["/", DEAD]
        assert failures(tier) == [("HTTP 500", 1)]
        assert len(tier.log.of(events.MESSAGE_RELEASED)) == 1


@in_virtual_time
async def test_a_drain_that_begins_between_two_tries_releases_the_message() -> None:
    async with tier_on() as tier:
        tier.application.answers(500)
        tier.sqs.send("bad")
        await tier.clock.advance(2)
        made = len(tier.application.posted)
        assert await tier.drain() is True
        assert len(tier.application.posted) == made
        assert failures(tier)[-1][0] == "the daemon is stopping"
        assert len(tier.log.of(events.MESSAGE_RELEASED)) == 1


@in_virtual_time
async def test_the_end_of_the_drain_cuts_a_post_that_hangs() -> None:
    async with tier_on(drain_timeout=30) as tier:
        tier.application.answers(500, None)
        tier.sqs.send("bad")
        await tier.clock.advance(2)
        assert paths(tier) == ["/", DEAD]
        assert await tier.drain() is False
        assert failures(tier) == [("stopped before the answer came", 1)]
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert (released["reason"], released["after_seconds"]) == ("HTTP 500", 5)


@in_virtual_time
async def test_a_job_that_the_end_of_a_drain_cuts_is_released_without_a_post() -> None:
    async with tier_on(drain_timeout=30) as tier:
        tier.application.answers(None)
        tier.sqs.send("slow")
        await tier.clock.advance(2)
        assert await tier.drain() is False
        assert paths(tier) == ["/"]
        assert failures(tier) == [("the daemon is stopping", 0)]
        assert len(tier.log.of(events.MESSAGE_RELEASED)) == 1


@pytest.mark.parametrize("path", [DEAD, None])
@pytest.mark.parametrize("call_seconds", [0.02, 0.9, 3.0])
@pytest.mark.parametrize("drains", [True, False])
@in_virtual_time
async def test_a_forced_end_dead_letters_first_what_is_given_up(
    monkeypatch: pytest.MonkeyPatch, path: str | None, call_seconds: float, drains: bool
) -> None:
    async with tier_on(path, max_retries=10, dead_letter_statuses=("422",)) as tier:
        slow_down(monkeypatch, tier, call_seconds)
        tier.application.seconds = 1.0
        tier.application.answers(422, None)
        sent = tier.sqs.send("job")
        await tier.clock.advance(2.01 if path is None else 5)
        if drains:
            tier.dispatcher.drain()
            await tier.clock.advance(0.0 if path is None else 2)
        await tier.force()
        assert tier.sqs.dead_letters == ["job"]
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_a_forced_end_waits_no_longer_than_the_time_for_settling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tier_on(max_retries=10, dead_letter_statuses=("422",)) as tier:
        slow_down(monkeypatch, tier, 1_000.0)
        tier.application.answers(422, None)
        tier.sqs.send("job")
        await tier.clock.advance(2)
        began = tier.clock.monotonic()
        await tier.force()
        assert 9 < tier.clock.monotonic() - began < 13


# ---- settings


@pytest.mark.parametrize("path", ["dead", "", "/a b", "/a\r\nX: y", 7, True])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    with pytest.raises(InvalidSettings, match="on_dead_letter_path must be a path"):
        SqsdOptions(on_dead_letter_path=path)


def test_without_a_dead_letter_queue_no_attempt_is_the_last_so_it_is_refused() -> None:
    document: dict[str, Any] = {
        "version": 1,
        "queue_url": "https://q/1/a",
        "region": "eu-west-1",
        "tier_name": "orders",
        "options": {"on_dead_letter_path": DEAD, "http_connections": 5},
    }
    with pytest.raises(InvalidSettings, match="on_dead_letter_path needs dead_letter_queue_url"):
        TierSettings.from_document(document, "tier.json")
    document["dead_letter_queue_url"] = "https://q/1/dead"
    document["more_queues"] = [{"queue_url": "https://q/1/b"}]
    with pytest.raises(InvalidSettings) as caught:
        TierSettings.from_document(document, "tier.json")
    assert caught.value.problems == (
        "queue https://q/1/b: on_dead_letter_path needs dead_letter_queue_url; name the queue, or"
        " set its on_dead_letter_path to null",
    )
    document["more_queues"][0]["options"] = {"on_dead_letter_path": None}
    TierSettings.from_document(document, "tier.json")


# ---- with the rest of the daemon


def test_what_comes_by_sns_is_taken_out_of_its_envelope_as_before() -> None:
    envelope = {"Type": "Notification", "TopicArn": "arn:aws:sns:::t", "Message": "published"}
    builder = RequestBuilder(SqsdOptions(on_dead_letter_path=DEAD, via_sns=True), "work")
    message = PLAIN._replace(body=json.dumps(envelope).encode())
    assert builder.build_dead_letter(message, "HTTP 500", 0.0, 0.0).body == b"published"


class Copies:
    """Knows no copies, and notes what became of a scheduled message."""

    def __init__(self) -> None:
        self.recorded: list[str] = []

    async def is_duplicate(
        self, occurrence: Occurrence, message_id: str, sent_at: int | None = None
    ) -> bool:
        return False

    async def completed(self, occurrence: Occurrence, message_id: str) -> None:
        self.recorded.append("completed")

    async def abandoned(self, occurrence: Occurrence, message_id: str) -> None:
        self.recorded.append("abandoned")


@in_virtual_time
async def test_a_periodic_task_is_given_up_once_its_post_has_ended() -> None:
    copies = Copies()
    async with tier_on(duplicates=copies) as tier:
        tier.application.answers(500, None)
        attributes: dict[str, dict[str, Any]] = {
            name: {"DataType": "String", "StringValue": attribute.value}
            for name, attribute in cron(path="/tick").items()
        }
        nonce = {"DataType": "String", "StringValue": "0123456789abcdef" * 2}
        attributes[contract.ATTRIBUTE_NONCE] = nonce
        sent = tier.sqs.send(contract.CRON_BODY, attributes=attributes)
        await tier.clock.advance(1)
        assert paths(tier) == ["/tick", DEAD]
        assert copies.recorded == []
        tier.application.finish(sent, 200)
        await tier.clock.advance(1)
        assert copies.recorded == ["abandoned"]


@in_virtual_time
async def test_a_message_that_no_request_can_be_made_of_goes_on_to_the_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defect(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RequestBuilder, "build_dead_letter", defect)
    async with tier_on() as tier:
        tier.application.answers(500)
        tier.sqs.send("bad")
        await until_dead(tier, "bad", seconds=60)
        assert failures(tier)[-1] == ("the daemon could not make a request of it", TRIES)
        assert len(tier.log.of(events.DAEMON_FAILED)) == TRIES


@in_virtual_time
async def test_a_drain_without_an_application_waits_for_no_post() -> None:
    async with tier_on() as tier:
        tier.application.answers(500, Unreachable.REFUSED)
        tier.application.up = False
        tier.sqs.send("bad")
        await tier.clock.advance(5)
        assert not tier.dispatcher.gate_is_open
        began = tier.clock.monotonic()
        assert await tier.drain() is True
        assert tier.clock.monotonic() - began < 30
        assert failures(tier)[-1] == ("the daemon is stopping", 0)
        assert len(tier.log.of(events.MESSAGE_RELEASED)) == 1


@in_virtual_time
async def test_a_message_that_is_released_untried_on_its_last_receive_is_posted_too() -> None:
    # given a group of which the first has receives left and the second none
    async with tier_on(
        fifo=True, max_retries=3, max_receives=3, visibility_timeout=30, inactivity_timeout=29
    ) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        first = tier.sqs.send("first", group_id="g")
        second = tier.sqs.send("second", group_id="g")
        tier.sqs.set_receive_count(second, 2)
        await tier.clock.advance(1)
        assert tier.dispatcher.in_flight == 2
        # when the first fails, so that both are released
        tier.application.answers(200)
        tier.application.finish(first, 500)
        await tier.clock.advance(60)
        # then the application learns of the second, which SQS moves
        dead = [request for request in tier.application.posted if request.path == DEAD]
        assert [request.body for request in dead] == [b"second"]
        assert value(dead[0], REASON) == b"an earlier message of its group is released"
        assert tier.sqs.dead_letters == ["second"]
        assert first in tier.sqs.deleted


@in_virtual_time
async def test_an_application_that_is_back_gets_one_post_first() -> None:
    async with tier_on() as tier:
        await tier.warm_up()
        tier.application.seconds = 1.0
        tier.application.answers(*[500] * 8, Unreachable.REFUSED)
        for n in range(8):
            tier.sqs.send(f"bad {n}")
        await tier.clock.advance(1.5)
        tier.application.up = False
        await tier.clock.advance(5)
        assert not tier.dispatcher.gate_is_open
        made = len(tier.application.posted)
        tier.application.most_at_once = 0
        tier.application_is_back()
        while len(tier.application.posted) == made:
            await tier.clock.advance(0.1)
        assert tier.application.most_at_once == 1
        await tier.clock.advance(60)
        assert len(tier.log.of(events.MESSAGE_DEAD_LETTER_POSTED)) == 8
