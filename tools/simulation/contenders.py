"""Whose policies are compared; each is synthesized, and read back out of its template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_ecs_patterns as patterns
from aws_cdk.assertions import Template

from sqsd.contract import SqsdOptions
from tools.simulation.loads import BOUNDED, STEPS, ZERO, Load
from tools.simulation.policies import Scaler, read_group, read_tasks
from worker_tier import Trigger, WorkerApplication, WorkerScaling, WorkerTier

CONNECTIONS: Final = 10
LATENCY: Final = 60.0
MOST: Final = 12
#: EB's default `Cooldown`, which its own template would have and a trigger here does not.
_EB_COOLDOWN: Final = 360.0
#: ECS's default time between SIGTERM and SIGKILL.
_ECS_STOP_TIMEOUT: Final = 30.0
_BOOT_SECONDS: Final = 120.0
_TASK_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Policies, and what happens at the edges of an instance's life."""

    name: str
    scaler: Callable[[], Scaler]
    grace: float
    boot: float


def contenders(load: Load) -> list[Contender]:
    """Ours, Elastic Beanstalk's defaults, the CDK's pattern for queues, and what the load adds."""
    latency = WorkerScaling.target_latency(
        Duration.seconds(int(LATENCY)), Duration.millis(round(load.expected_seconds * 1_000))
    )
    ways: dict[str, Callable[[], Mapping[str, Any]]] = {
        STEPS: lambda: _tier(WorkerScaling.steps([(100, 1), (500, 5)])),
        ZERO: lambda: _tier(latency, min_capacity=0),
        BOUNDED: lambda: _tier(latency, max_capacity=2),
    }
    more = [_ours(name, ways[name]()) for name in load.also]
    beanstalk = _tier(WorkerScaling.trigger(Trigger()))
    tasks = _queue_processing()
    return [
        _ours("worker-tier", _tier(latency)),
        *more,
        Contender(
            name="Elastic Beanstalk",
            scaler=lambda: _cooled(read_group(beanstalk)),
            grace=0.0,
            boot=_BOOT_SECONDS,
        ),
        Contender(
            name="QueueProcessing",
            scaler=lambda: read_tasks(tasks, _TASK_SECONDS),
            grace=_ECS_STOP_TIMEOUT,
            boot=_TASK_SECONDS,
        ),
    ]


def _ours(name: str, resources: Mapping[str, Any]) -> Contender:
    return Contender(
        name=name,
        scaler=lambda: read_group(resources),
        # The daemon renews the hook for so long.
        grace=float(SqsdOptions().drain_timeout),
        boot=_BOOT_SECONDS,
    )


def _cooled(scaler: Scaler) -> Scaler:
    scaler.cooldown = _EB_COOLDOWN
    return scaler


def _tier(
    scaling: WorkerScaling, *, min_capacity: int | None = None, max_capacity: int = MOST
) -> Mapping[str, Any]:
    stack = Stack(App(), "Tier")
    WorkerTier(
        stack,
        "Worker",
        vpc=ec2.Vpc(stack, "Vpc", max_azs=2),
        scaling=scaling,
        http_connections=CONNECTIONS,
        application=WorkerApplication.external(),
        min_capacity=min_capacity,
        max_capacity=max_capacity,
    )
    return _resources(stack)


def _queue_processing() -> Mapping[str, Any]:
    stack = Stack(App(), "Tasks")
    patterns.QueueProcessingFargateService(
        stack,
        "Service",
        vpc=ec2.Vpc(stack, "Vpc", max_azs=2),
        image=ecs.ContainerImage.from_registry("worker"),
        max_scaling_capacity=MOST,
        min_scaling_capacity=1,
    )
    return _resources(stack)


def _resources(stack: Stack) -> Mapping[str, Any]:
    resources: Mapping[str, Any] = Template.from_stack(stack).to_json()["Resources"]
    return resources
