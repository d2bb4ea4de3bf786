"""The metadata service's protocol, against a server that insists on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sqsd.base.errors import InstanceUnknown
from sqsd.instance.imds import TOKEN_SECONDS, Imds, imds_address, spot_action
from sqsd.instance.notices import InstanceIdentity, InstanceNotices
from sqsd.testing.clock import FakeClock
from tests.fakes.imds import FakeImds

SPOT = '{"action": "terminate", "time": "2026-11-23T08:22:00Z"}'


@pytest.fixture
async def service() -> AsyncIterator[FakeImds]:
    async with FakeImds() as service:
        yield service


async def test_an_instance_without_notices_has_none(service: FakeImds) -> None:
    imds = Imds(FakeClock(), service.address)
    assert await imds.notices(timeout=5) == InstanceNotices()
    assert await imds.identity() == InstanceIdentity("i-0123456789abcdef0", None)
    imds.close()


async def test_the_group_is_read_from_the_instances_own_tag(service: FakeImds) -> None:
    service.values["tags/instance/aws:autoscaling:groupName"] = "tier-Group-1"
    imds = Imds(FakeClock(), service.address)
    assert await imds.identity() == InstanceIdentity("i-0123456789abcdef0", "tier-Group-1")
    imds.close()


async def test_all_three_notices_are_read(service: FakeImds) -> None:
    service.values |= {
        "spot/instance-action": SPOT,
        "events/recommendations/rebalance": '{"noticeTime": "2026-11-23T08:20:00Z"}',
        "autoscaling/target-lifecycle-state": "InService",
    }
    imds = Imds(FakeClock(), service.address)
    assert await imds.notices(timeout=5) == InstanceNotices(
        spot_action="terminate at 2026-11-23T08:22:00Z", rebalance=True, target_state="InService"
    )
    imds.close()


async def test_one_token_and_one_connection_serve_many_polls(service: FakeImds) -> None:
    imds = Imds(FakeClock(), service.address)
    for _ in range(20):
        await imds.notices(timeout=5)
    assert (service.tokens_given, service.connections) == (1, 1)
    imds.close()


async def test_a_token_is_replaced_before_its_time_is_over(service: FakeImds) -> None:
    clock = FakeClock()
    imds = Imds(clock, service.address)
    await imds.notices(timeout=5)
    clock.advance(TOKEN_SECONDS - 301)
    await imds.notices(timeout=5)
    assert service.tokens_given == 1
    clock.advance(2)
    await imds.notices(timeout=5)
    assert service.tokens_given == 2
    imds.close()


async def test_a_token_that_is_refused_is_replaced_at_once(service: FakeImds) -> None:
    imds = Imds(FakeClock(), service.address)
    await imds.notices(timeout=5)
    service.revoke_tokens()
    assert await imds.notices(timeout=5) == InstanceNotices()
    assert service.tokens_given == 2
    imds.close()


@pytest.mark.parametrize("status", [403, 500])
async def test_a_service_that_refuses_is_an_unknown_instance(
    service: FakeImds, status: int
) -> None:
    service.status = status
    imds = Imds(FakeClock(), service.address)
    with pytest.raises(InstanceUnknown, match=str(status)):
        await imds.notices(timeout=5)
    imds.close()


async def test_a_service_that_hangs_is_given_up_in_time(service: FakeImds) -> None:
    service.hang = True
    imds = Imds(FakeClock(), service.address)
    async with asyncio.timeout(5):
        with pytest.raises(InstanceUnknown, match="does not answer"):
            await imds.notices(timeout=0.05)
    # and the next poll opens a new connection
    service.hang = False
    assert await imds.notices(timeout=5) == InstanceNotices()
    assert service.connections == 2
    imds.close()


async def test_a_machine_without_the_service_is_an_unknown_instance() -> None:
    async with FakeImds() as service:
        address = service.address
    with pytest.raises(InstanceUnknown):
        await Imds(FakeClock(), address).notices(timeout=5)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (SPOT, "terminate at 2026-11-23T08:22:00Z"),
        ('{"action": "hibernate"}', "hibernate"),
        ("not JSON", "unknown action"),
        ("[]", "unknown action"),
        ("{}", "unknown action"),
        ('{"action": "a\\nb"}', "a?b"),
    ],
)
def test_a_spot_notice_that_cannot_be_read_is_still_a_notice(document: str, said: str) -> None:
    assert spot_action(document) == said


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, None),
        ({"AWS_EC2_METADATA_DISABLED": "True"}, None),
        ({"AWS_EC2_METADATA_DISABLED": "false"}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, "http://127.0.0.1:1"),
    ],
)
def test_the_variables_of_the_sdks_are_obeyed(
    environment: dict[str, str], address: str | None
) -> None:
    assert imds_address(environment) == address
