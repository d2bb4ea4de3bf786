"""Every rolling update awaits the instances that it started, whatever else it says."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import Duration, aws_autoscaling

from tests.worker_tier.stacks import GROUP, Synthesized, new_stack, tier_with, vpc_of
from worker_tier import InvalidProps, WorkerTier

rolling = aws_autoscaling.UpdatePolicy.rolling_update


def update_of(template: Synthesized) -> dict[str, Any]:
    policy = template.resources[template.id_of(GROUP)]["UpdatePolicy"]
    return dict(policy["AutoScalingRollingUpdate"])


def problems_of_fleet(**props: Any) -> tuple[str, ...]:
    stack = new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    assert caught.value.path == "Test/Worker/Fleet"
    return caught.value.problems


def test_a_batch_of_ten_is_awaited_as_a_single_instance_is() -> None:
    update = update_of(
        tier_with(
            update_policy=rolling(max_batch_size=10),
            min_capacity=3,
            max_capacity=20,
            signal_timeout=Duration.minutes(20),
        )
    )
    assert update["MaxBatchSize"] == 10
    assert update["WaitOnResourceSignals"] is True
    assert update["PauseTime"] == "PT20M"
    assert update["MinInstancesInService"] == 3
    assert "AlarmNotification" in update["SuspendProcesses"]


def test_signals_are_awaited_even_if_the_policy_says_not_to() -> None:
    update = update_of(tier_with(update_policy=rolling(wait_on_resource_signals=False)))
    assert update["WaitOnResourceSignals"] is True
    assert update["PauseTime"] == "PT10M"


def test_what_a_policy_says_itself_stays() -> None:
    processes = aws_autoscaling.ScalingProcess
    update = update_of(
        tier_with(
            max_capacity=10,
            update_policy=rolling(
                max_batch_size=2,
                min_instances_in_service=5,
                min_success_percentage=90,
                pause_time=Duration.minutes(10),
                suspend_processes=[processes.ALARM_NOTIFICATION],
            ),
        )
    )
    assert (update["MaxBatchSize"], update["MinInstancesInService"]) == (2, 5)
    assert update["MinSuccessfulInstancesPercent"] == 90
    assert update["SuspendProcesses"] == ["AlarmNotification"]
    assert update["PauseTime"] == "PT10M"


def test_a_fleet_of_fixed_size_can_be_replaced_in_batches() -> None:
    update = update_of(
        tier_with(update_policy=rolling(max_batch_size=3), min_capacity=4, max_capacity=4)
    )
    assert update["MinInstancesInService"] == 3


def test_a_fleet_that_may_be_empty_gives_each_batch_its_warm_up() -> None:
    update = update_of(tier_with(update_policy=rolling(max_batch_size=3), min_capacity=0))
    assert "WaitOnResourceSignals" not in update
    assert (update["PauseTime"], update["MinInstancesInService"]) == ("PT2M", 0)


def test_the_other_kinds_of_updates_stay_as_they_are() -> None:
    template = tier_with(update_policy=aws_autoscaling.UpdatePolicy.replacing_update())
    resource = template.resources[template.id_of(GROUP)]
    assert resource["UpdatePolicy"]["AutoScalingReplacingUpdate"] == {"WillReplace": True}
    assert "AutoScalingRollingUpdate" not in resource["UpdatePolicy"]
    # the new group's instances are awaited when it is created
    assert resource["CreationPolicy"]["ResourceSignal"] == {"Count": 1, "Timeout": "PT10M"}


def test_a_schedule_does_not_reset_the_size_in_a_deployment() -> None:
    template = tier_with(update_policy=rolling(max_batch_size=3))
    policy = template.resources[template.id_of(GROUP)]["UpdatePolicy"]
    assert policy["AutoScalingScheduledAction"] == {"IgnoreUnmodifiedGroupSizeProperties": True}


@pytest.mark.parametrize(
    ("options", "props", "words"),
    [
        (
            {"min_instances_in_service": 4},
            {"max_capacity": 4},
            "min_instances_in_service of update_policy must be 0 to 3, below max_capacity (4)",
        ),
        ({"max_batch_size": 0}, {}, "max_batch_size of update_policy must be 1 to 100, got 0"),
        ({"max_batch_size": 101}, {}, "max_batch_size of update_policy must be 1 to 100, got 101"),
        (
            {"pause_time": Duration.minutes(5)},
            {},
            "pause_time of update_policy (300 s) must be signal_timeout (600 s)",
        ),
        (
            {"suspend_processes": [aws_autoscaling.ScalingProcess.LAUNCH]},
            {},
            "update_policy suspends Launch, without which no instance can be replaced",
        ),
        (
            {"wait_on_resource_signals": True},
            {"min_capacity": 0},
            "wait_on_resource_signals of update_policy is about signals, and a fleet that may be",
        ),
        (
            {"min_success_percentage": 50},
            {"min_capacity": 0},
            "min_success_percentage of update_policy is about signals, and a fleet that may be",
        ),
    ],
)
def test_a_policy_that_contradicts_the_fleet_is_refused(
    options: dict[str, Any], props: dict[str, Any], words: str
) -> None:
    (problem,) = problems_of_fleet(update_policy=rolling(**options), **props)
    assert problem.startswith(words)


def test_all_contradictions_of_a_policy_are_reported_at_once() -> None:
    policy = rolling(max_batch_size=0, min_instances_in_service=9, pause_time=Duration.minutes(61))
    assert len(problems_of_fleet(update_policy=policy)) == 3
