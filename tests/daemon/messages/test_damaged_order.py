"""A damaged entry of a FIFO receive is not overtaken by what follows in its group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sqsd.contract import events
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier

Damage = Callable[[dict[str, Any]], object]


def in_body(entry: dict[str, Any]) -> object:
    return {**entry, "Body": "damaged"}


def in_count(entry: dict[str, Any]) -> object:
    return {**entry, "Attributes": {**entry["Attributes"], "ApproximateReceiveCount": "x"}}


def in_everything(entry: dict[str, Any]) -> object:
    return "no message at all"


def in_group(entry: dict[str, Any]) -> object:
    return {**entry, "Attributes": {**entry["Attributes"], "MessageGroupId": 7}}


def without_attributes(entry: dict[str, Any]) -> object:
    return {"MessageId": entry["MessageId"], "Body": entry["Body"]}


def damage_once(
    monkeypatch: pytest.MonkeyPatch, tier: RunningTier, body: str, damage: Damage
) -> None:
    """Damage the message with this body in the next receive that brings it, and in no later one."""
    call = tier.sqs.call
    left = [body]

    async def damaging_call(
        action: str, request: dict[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        answer = await call(action, request, timeout=timeout)
        entries = answer.get("Messages") or []
        for position, entry in enumerate(entries):
            if entry["Body"] in left:
                left.remove(entry["Body"])
                entries[position] = damage(entry)
        return answer

    monkeypatch.setattr(tier.sqs, "call", damaging_call)


@pytest.mark.parametrize("damage", [in_body, in_count, in_everything, in_group, without_attributes])
@pytest.mark.parametrize("damaged", ["1", "2"])
@in_virtual_time
async def test_what_follows_a_damaged_message_in_its_group_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, damage: Damage, damaged: str
) -> None:
    tier = RunningTier(fifo=True, visibility_timeout=60, inactivity_timeout=50)
    damage_once(monkeypatch, tier, damaged, damage)
    async with tier:
        await tier.clock.advance(60)
        sent = [tier.sqs.send(str(n), group_id="g") for n in range(1, 5)]
        await tier.clock.advance(10)
        assert len(tier.log.of(events.MESSAGE_DAMAGED)) == 1
        assert tier.application.bodies == [str(n) for n in range(1, int(damaged))]
        await tier.clock.advance(100)
        assert tier.application.bodies == ["1", "2", "3", "4"]
        assert sorted(tier.sqs.deleted) == sorted(sent)
        assert all(event["receive_count"] <= 2 for event in tier.log.of(events.MESSAGE_DELETED))


@pytest.mark.parametrize(
    ("damage", "waits"), [(in_body, False), (in_count, False), (in_everything, True)]
)
@in_virtual_time
async def test_another_group_goes_on_if_the_group_of_the_damaged_message_can_be_read(
    monkeypatch: pytest.MonkeyPatch, damage: Damage, waits: bool
) -> None:
    tier = RunningTier(fifo=True, visibility_timeout=60, inactivity_timeout=50)
    damage_once(monkeypatch, tier, "first", damage)
    async with tier:
        await tier.clock.advance(60)
        tier.sqs.send("first", group_id="g")
        other = tier.sqs.send("other", group_id="h")
        await tier.clock.advance(0.1)
        assert len(tier.log.of(events.MESSAGE_RELEASED)) == (1 if waits else 0)
        await tier.clock.advance(10)
        assert other in tier.sqs.deleted, "released, it is received again at once"
        await tier.clock.advance(100)
        assert tier.application.bodies == ["other", "first"]


@in_virtual_time
async def test_a_standard_queue_has_no_order_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    tier = RunningTier(visibility_timeout=60, inactivity_timeout=50)
    damage_once(monkeypatch, tier, "first", in_body)
    async with tier:
        await tier.warm_up()
        tier.sqs.send("first", group_id="g")
        tier.sqs.send("other", group_id="g")
        await tier.clock.advance(2)
        assert tier.application.bodies == ["other"]
        assert tier.log.of(events.MESSAGE_RELEASED) == []
