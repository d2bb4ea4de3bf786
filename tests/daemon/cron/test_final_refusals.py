"""A refusal that no repetition can change is no outage: messages and other tasks go on at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sqsd.base.errors import AwsError
from sqsd.contract import events
from tests.daemon.cron.schedulers import Tier, schedule, sent_for, virtually

TWO = schedule(
    'name: tick, url: /tick, schedule: "* * * * *"', 'name: bad, url: /bad, schedule: "* * * * *"'
)

FINAL = ("ValidationException", "SerializationException", "InvalidParameterValue")
PASSING = (
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "InternalServerError",
    "AccessDeniedException",  # a permission may be added at any time
    "ResourceNotFoundException",
    "ExpiredTokenException",
)


def refusing(code: str, needle: str = "") -> Callable[..., Any]:
    """Refuse every call whose request has `needle` in it."""

    async def around(action: str, request: Mapping[str, Any], apply: Callable[[], Any]) -> Any:
        if needle in str(request):
            raise AwsError(action, code, "refused", 400)
        return apply()

    return around


@pytest.mark.parametrize(
    ("code", "at_once"), [*((code, True) for code in FINAL), *((code, False) for code in PASSING)]
)
def test_a_message_waits_for_an_outage_and_not_for_a_final_refusal(
    code: str, at_once: bool
) -> None:
    async def scenario() -> None:
        tier = Tier()
        await asyncio.sleep(1)
        tier.dynamodb.around = refusing(code)
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert not await tier.guard.is_duplicate(sent_for(1), "m1")
        assert (loop.time() - started < 0.1) is at_once
        started = loop.time()
        await tier.guard.completed(sent_for(1), "m1")
        assert (loop.time() - started < 0.1) is at_once
        tier.dynamodb.around = None
        await tier.drain()

    virtually(scenario)


def test_a_final_refusal_is_logged_with_what_it_means() -> None:
    async def scenario() -> None:
        tier = Tier()
        await asyncio.sleep(1)
        tier.dynamodb.around = refusing("ValidationException", "run#")
        await tier.guard.is_duplicate(sent_for(1), "m1")
        (event,) = tier.log.of(events.LEASE_FAILED)
        assert "not repeated" in event["hint"]
        assert "is repeated" not in event["hint"]
        await tier.drain()

    virtually(scenario)


def test_one_task_that_the_table_refuses_takes_the_lead_from_no_other() -> None:
    async def scenario() -> None:
        tier = Tier(TWO)
        tier.dynamodb.around = refusing("ValidationException", "task#bad")
        await asyncio.sleep(301)
        await tier.drain()
        assert len(tier.sender.times("tick")) == 5
        assert tier.sender.times("bad") == []
        assert len(tier.log.of(events.LEASE_ACQUIRED)) == 1

    virtually(scenario)


def test_one_task_that_the_queue_refuses_takes_the_lead_from_no_other() -> None:
    async def scenario() -> None:
        tier = Tier(TWO)
        send = tier.sender.send

        async def refuse(**message: Any) -> str:
            if "/bad" in str(message):
                raise AwsError("SendMessage", "InvalidParameterValue", "too long", 400)
            return await send(**message)

        tier.sender.send = refuse  # type: ignore[method-assign]
        await asyncio.sleep(301)
        await tier.drain()
        assert len(tier.sender.times("tick")) == 5
        assert len(tier.log.of(events.LEASE_ACQUIRED)) == 1
        failures = tier.log.of(events.CRON_FAILED)
        assert {event["task"] for event in failures} == {"bad"}

    virtually(scenario)
