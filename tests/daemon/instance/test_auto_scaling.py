"""The calls to Auto Scaling, on the wire and signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import botocore.auth
import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sqsd.aws.credentials import CredentialSource, Endpoint, Keys
from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.instance.auto_scaling import AutoScalingApi, InstanceProtection, LifecycleHook
from sqsd.testing.clock import FakeClock
from tests.fakes.autoscaling import DENIED, REFUSED, AutoScaling

KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/SECRET", "session-token")


class FixedKeys(CredentialSource):
    async def keys(self, now: float) -> Keys:
        return KEYS


@pytest.fixture
async def service() -> AsyncIterator[AutoScaling]:
    service = AutoScaling()
    await service.start()
    yield service
    await service.stop()


def api_for(port: int) -> AutoScalingApi:
    return AutoScalingApi(
        Endpoint("127.0.0.1", port, "/", None),
        FixedKeys(botocore.session.Session()),
        FakeClock(),
        region="eu-west-1",
    )


def hook_for(port: int) -> LifecycleHook:
    return LifecycleHook(api_for(port), "terminate")


async def test_completing_names_the_group_the_hook_the_instance_and_the_result(
    service: AutoScaling,
) -> None:
    await hook_for(service.port).complete("tier & group", "i-1")
    ((_, body),) = service.requests
    assert parse_qs(body, strict_parsing=True) == {
        "Action": ["CompleteLifecycleAction"],
        "Version": ["2011-01-01"],
        "AutoScalingGroupName": ["tier & group"],
        "LifecycleHookName": ["terminate"],
        "InstanceId": ["i-1"],
        "LifecycleActionResult": ["CONTINUE"],
    }


async def test_a_heartbeat_has_no_result(service: AutoScaling) -> None:
    await hook_for(service.port).heartbeat("tier & group", "i-1")
    ((_, body),) = service.requests
    parameters = parse_qs(body, strict_parsing=True)
    assert parameters["Action"] == ["RecordLifecycleActionHeartbeat"]
    assert "LifecycleActionResult" not in parameters


async def test_what_arrives_has_a_signature_that_holds(
    service: AutoScaling, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hook_for(service.port).complete("tier & group", "i-1")
    ((headers, body),) = service.requests
    assert headers["x-amz-security-token"] == "session-token"
    assert "/eu-west-1/autoscaling/aws4_request" in headers["authorization"]
    # sign what was received, at the time it names, and come to the same
    at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: at, raising=True)
    again = AWSRequest(
        method="POST",
        url=f"http://{headers['host']}/",
        data=body,
        headers={"Host": headers["host"], "Content-Type": headers["content-type"]},
    )
    identity = Credentials(KEYS.access_key, KEYS.secret_key, KEYS.token)
    botocore.auth.SigV4Auth(identity, "autoscaling", "eu-west-1").add_auth(again)
    assert again.headers["Authorization"] == headers["authorization"]


async def test_a_refusal_has_the_code_and_text_of_auto_scaling(service: AutoScaling) -> None:
    service.answer = REFUSED
    with pytest.raises(AwsError, match="No active Lifecycle Action found") as found:
        await hook_for(service.port).complete("tier & group", "i-1")
    assert found.value.code == "ValidationError"


async def test_a_service_that_hangs_is_given_up(
    service: AutoScaling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sqsd.instance.auto_scaling._DEADLINE_SECONDS", 0.1)
    service.answer = None
    with pytest.raises(AwsUnreachable):
        await hook_for(service.port).complete("tier & group", "i-1")


async def test_a_service_that_is_not_there_is_unreachable(service: AutoScaling) -> None:
    port = service.port
    await service.stop()
    with pytest.raises(AwsUnreachable, match="cannot connect"):
        await hook_for(port).complete("tier & group", "i-1")
    await service.start()


async def test_the_secret_key_is_on_no_wire(service: AutoScaling) -> None:
    await hook_for(service.port).complete("tier & group", "i-1")
    sent: Any = service.requests
    assert KEYS.secret_key not in repr(sent)


@pytest.mark.parametrize(("protected", "text"), [(True, "true"), (False, "false")])
async def test_protection_names_the_group_and_the_instance(
    service: AutoScaling, protected: bool, text: str
) -> None:
    await InstanceProtection(api_for(service.port)).protect("a & b", "i-1", protected=protected)
    ((_, body),) = service.requests
    assert parse_qs(body, strict_parsing=True) == {
        "Action": ["SetInstanceProtection"],
        "Version": ["2011-01-01"],
        "AutoScalingGroupName": ["a & b"],
        "InstanceIds.member.1": ["i-1"],
        "ProtectedFromScaleIn": [text],
    }


async def test_a_missing_permission_has_the_statement_to_add(service: AutoScaling) -> None:
    service.answer = DENIED
    with pytest.raises(AwsError, match="autoscaling:SetInstanceProtection") as found:
        await InstanceProtection(api_for(service.port)).protect("orders", "i-1", protected=True)
    assert "autoScalingGroupName/orders" in str(found.value)
    assert found.value.code == "AccessDenied"
