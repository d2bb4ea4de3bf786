"""The guarantee: whatever dies, each occurrence is answered once, and soon. Hours in seconds."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from sqsd.cron.expression import parse_expression
from sqsd.cron.lease import LeaseSettings
from sqsd.cron.occurrence import scheduled_text
from sqsd.cron.schedule import Schedule, Task
from sqsd.testing.clock import run_virtually
from tests.fakes.cron_fleet import EPOCH, Fleet

LEASE = LeaseSettings().lease_seconds
EVERY_5_SECONDS = Schedule((Task(name="often", url="/t", schedule=parse_expression("@every 5s")),))
MINUTELY = Schedule((Task(name="minutely", url="/t", schedule=parse_expression("* * * * *")),))
LONG = (pytest.mark.long, pytest.mark.timeout(600))
#: Four runs of these make the sixty hours.
HOURS = 15 * 3600.0


async def torment(
    fleet: Fleet, chance: random.Random, until: float, *, replaced_after: float | None = None
) -> list[float]:
    """Kill or pause the leader every few seconds.

    Args:
        replaced_after: seconds after which a killed leader is replaced; a leader is then spared
            while no other member is up. Default: it is replaced at once, and no leader is spared.

    Returns: the moments at which a leader was killed or paused.
    """
    loop = asyncio.get_running_loop()
    blows = []
    while loop.time() < until:
        await asyncio.sleep(chance.uniform(3, 30))
        leader = fleet.leader()
        if leader is None or not leader.alive:
            continue
        if replaced_after is not None and not any(m.up for m in fleet.members if m is not leader):
            continue
        blows.append(loop.time())
        if chance.random() >= 0.5:
            leader.pause()
            loop.call_later(chance.uniform(0.5, 25), leader.resume)
            continue
        leader.kill()
        if replaced_after is None:
            fleet.replace(leader)
        else:
            loop.call_later(replaced_after, fleet.replace, leader)
    return blows


@pytest.mark.parametrize(
    ("seed", "faults", "latest"),
    [
        pytest.param(1, 0.05, LEASE + 5, marks=pytest.mark.long),
        pytest.param(2, 0.05, LEASE + 5, marks=pytest.mark.long),
        pytest.param(3, 0.05, LEASE + 5, marks=pytest.mark.timeout(600)),
        pytest.param(4, 0.0, LEASE + 2, marks=pytest.mark.long),
    ],
)
def test_over_sixty_hours_of_dying_leaders_each_occurrence_is_answered_exactly_once(
    seed: int, faults: float, latest: float
) -> None:
    async def scenario() -> tuple[Fleet, list[float]]:
        fleet = Fleet(MINUTELY, size=5, seed=seed, faults=faults)
        blows = await torment(fleet, random.Random(seed), HOURS)
        await asyncio.sleep(120)
        await fleet.end()
        return fleet, blows

    fleet, blows = run_virtually(scenario())
    assert len(blows) > 2_500
    first = min(time for time, _ in fleet.sent)
    expected = [
        scheduled_text(datetime.fromtimestamp(EPOCH + minute * 60, UTC))
        for minute in range(1, int(HOURS // 60))
    ]
    expected = expected[expected.index(first) :]
    assert len(expected) >= 898
    wrong = {time: fleet.answered[time] for time in expected if fleet.answered[time] != 1}
    assert wrong == {}
    assert fleet.suppressed > 0, "no copy was ever made, so nothing was shown"
    assert later_than(latest, fleet, blows) == []


@pytest.mark.parametrize(
    ("size", "hours", "faults", "latest"),
    [
        (2, 3.0, 0.0, LEASE + 2.5),
        (2, 3.0, 0.05, LEASE + 5),
        (5, 1.0, 0.05, LEASE + 5),
        (30, 0.3, 0.05, LEASE + 5),
        (100, 0.15, 0.05, LEASE + 5),
        pytest.param(2, 30.0, 0.05, LEASE + 5, marks=LONG),
        pytest.param(5, 15.0, 0.05, LEASE + 5, marks=LONG),
        pytest.param(30, 3.0, 0.05, LEASE + 5, marks=LONG),
        pytest.param(100, 1.0, 0.05, LEASE + 5, marks=LONG),
    ],
)
def test_in_a_fleet_of_any_size_a_dead_leader_is_followed_within_the_lease_and_5_s(
    size: int, hours: float, faults: float, latest: float
) -> None:
    # given a fleet in which a killed leader has no successor but those that run already
    async def scenario() -> tuple[Fleet, list[float]]:
        fleet = Fleet(EVERY_5_SECONDS, size=size, seed=size, faults=faults)
        chance = random.Random(size)
        blows = await torment(fleet, chance, hours * 3600, replaced_after=20.0)
        await asyncio.sleep(120)
        await fleet.end()
        return fleet, blows

    fleet, blows = run_virtually(scenario())
    assert len(blows) > hours * 100
    # then nothing is missing, and nothing later than promised
    sent = sorted({time for time, _ in fleet.sent})
    times = [datetime.fromisoformat(time.replace(" UTC", "+00:00")) for time in sent]
    assert {(after - before).total_seconds() for before, after in pairwise(times)} == {5.0}
    assert later_than(latest, fleet, blows) == []


def later_than(latest: float, fleet: Fleet, blows: list[float]) -> list[tuple[str, float]]:
    """Occurrences sent so many seconds and more after both their time and the last blow."""
    late = []
    sent_at: dict[str, float] = {}
    for time, at in fleet.sent:
        sent_at[time] = min(at, sent_at.get(time, at))
    for time, at in sent_at.items():
        due = (
            datetime.strptime(time, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp() - EPOCH
        )
        last_blow = max((blow for blow in blows if due - 40 < blow < at), default=0.0)
        late_by = at - max(due, last_blow)
        if late_by > latest:
            late.append((time, round(late_by, 1)))
    return late
