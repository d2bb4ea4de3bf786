from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import CfnParameter, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk.aws_autoscaling import ScalingInterval, Schedule
from hypothesis import given
from hypothesis import strategies as st

from tests.worker_tier.stacks import (
    Synthesized,
    evaluate,
    new_stack,
    problems_of,
    synthesize,
    tier_with,
    vpc_of,
)
from worker_tier import InvalidProps, PeriodicTask, Side, Trigger, WorkerScaling, WorkerTier
from worker_tier.scaling.figures import ScalingFigures, figures_for_backlog, scaling_figures

POLICY = "AWS::AutoScaling::ScalingPolicy"
ALARM = "AWS::CloudWatch::Alarm"


def expression_of(metrics: list[dict[str, Any]]) -> str:
    """The one expression whose value counts; everything else feeds it."""
    (result,) = [metric for metric in metrics if metric["ReturnData"]]
    return str(result["Expression"])


# ---- figures


def test_as_many_messages_may_wait_as_an_instance_gets_through_in_the_acceptable_latency() -> None:
    figures = scaling_figures(
        http_connections=10,
        acceptable_latency_seconds=60,
        message_processing_seconds=0.5,
        min_capacity=1,
    )
    assert figures == ScalingFigures(backlog_per_instance=1_200, idle_below=5, may_sleep=False)


@given(
    backlog=st.floats(0.1, 1e6),
    connections=st.integers(1, 100),
    instances=st.integers(2, 1_000),
)
def test_what_scales_in_neither_overloads_the_others_nor_scales_out_again(
    backlog: float, connections: int, instances: int
) -> None:
    figures = figures_for_backlog(backlog, http_connections=connections, min_capacity=1)
    assert figures.idle_below is not None
    assert figures.backlog_per_instance is not None
    # given the most that may be outstanding when one instance leaves
    outstanding = figures.idle_below * instances
    # then each message finds a free connection among the others
    assert outstanding <= connections * (instances - 1)
    # and even if all of it waited, the others would not be too few
    assert outstanding / (instances - 1) <= figures.backlog_per_instance * (1 + 1e-9)


@pytest.mark.parametrize(("min_capacity", "may_sleep"), [(0, True), (1, False), (2, False)])
def test_only_a_fleet_that_may_be_empty_sleeps(min_capacity: int, may_sleep: bool) -> None:
    figures = figures_for_backlog(100, http_connections=10, min_capacity=min_capacity)
    assert figures.may_sleep is may_sleep


# ---- what is rendered of them


def test_scaling_out_tracks_waiting_messages_for_each_instance_and_never_scales_in(
    plain: Synthesized,
) -> None:
    policy = plain.one(POLICY, "ScaleOut")
    tracking = policy["TargetTrackingConfiguration"]
    assert policy["PolicyType"] == "TargetTrackingScaling"
    assert tracking["DisableScaleIn"] is True
    assert tracking["TargetValue"] == 3_000
    expression = expression_of(tracking["CustomizedMetricSpecification"]["Metrics"])
    assert evaluate(expression, visible=90, instances=3) == 30
    # an empty group counts as one instance
    assert evaluate(expression, visible=90, instances=0) == 90


def test_scaling_in_counts_messages_in_flight_too(plain: Synthesized) -> None:
    alarm = plain.one(ALARM, "ScaleIn")
    expression = expression_of(alarm["Metrics"])
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    # given nothing that waits but instances that are busy
    busy = evaluate(expression, visible=0, in_flight=100, instances=2)
    idle = evaluate(expression, visible=0, in_flight=10, instances=2)
    assert idle < alarm["Threshold"] <= busy


@pytest.mark.parametrize("instances", [0, 1])
def test_the_last_instance_never_leaves_for_being_idle(plain: Synthesized, instances: int) -> None:
    alarm = plain.one(ALARM, "ScaleIn")
    expression = expression_of(alarm["Metrics"])
    value = evaluate(expression, visible=0, in_flight=0, instances=instances)
    assert value >= alarm["Threshold"]


def test_scaling_in_is_patient_and_takes_one_instance_or_a_tenth(plain: Synthesized) -> None:
    alarm, policy = plain.one(ALARM, "ScaleIn"), plain.one(POLICY, "ScaleIn")
    assert alarm["EvaluationPeriods"] == alarm["DatapointsToAlarm"] == 15
    assert policy["AdjustmentType"] == "PercentChangeInCapacity"
    assert policy["MinAdjustmentMagnitude"] == 1
    assert policy["StepAdjustments"] == [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": -10}]


def test_one_message_wakes_an_empty_fleet_in_a_minute(may_sleep: Synthesized) -> None:
    alarm, policy = may_sleep.one(ALARM, "Wake"), may_sleep.one(POLICY, "Wake")
    expression = expression_of(alarm["Metrics"])
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert alarm["EvaluationPeriods"] == 1
    assert evaluate(expression, visible=1, instances=0) >= alarm["Threshold"]
    assert evaluate(expression, visible=0, instances=0) < alarm["Threshold"]
    assert evaluate(expression, visible=9, instances=1) < alarm["Threshold"]
    # it only ever adds, so it cannot undo what another policy asked for
    assert policy["AdjustmentType"] == "ChangeInCapacity"
    assert policy["StepAdjustments"] == [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}]


@pytest.mark.parametrize("where", ["visible", "in_flight", "delayed"])
def test_a_fleet_sleeps_only_when_no_message_is_left_anywhere(
    may_sleep: Synthesized, where: str
) -> None:
    alarm, policy = may_sleep.one(ALARM, "Sleep"), may_sleep.one(POLICY, "Sleep")
    expression = expression_of(alarm["Metrics"])
    nothing = {"visible": 0, "in_flight": 0, "delayed": 0}
    assert evaluate(expression, **nothing) < alarm["Threshold"]
    assert evaluate(expression, **nothing | {where: 1}) >= alarm["Threshold"]
    assert policy["AdjustmentType"] == "ExactCapacity"
    assert policy["StepAdjustments"] == [{"MetricIntervalUpperBound": 0, "ScalingAdjustment": 0}]


def test_every_alarm_drives_the_policy_of_its_name(may_sleep: Synthesized) -> None:
    for name in ("ScaleIn", "Wake", "Sleep"):
        policy = may_sleep.id_of(POLICY, name)
        assert may_sleep.one(ALARM, name)["AlarmActions"] == [{"Ref": policy}]


def test_no_silence_scales(may_sleep: Synthesized) -> None:
    for name in ("ScaleIn", "Wake", "Sleep"):
        assert may_sleep.one(ALARM, name)["TreatMissingData"] == "notBreaching"


def test_every_metric_is_of_this_queue_or_this_group(may_sleep: Synthesized) -> None:
    queue = may_sleep.id_of("AWS::SQS::Queue", "QueuesQueue")
    group = may_sleep.id_of("AWS::AutoScaling::AutoScalingGroup")
    expected = {
        "AWS/SQS": [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}],
        "AWS/AutoScaling": [{"Name": "AutoScalingGroupName", "Value": {"Ref": group}}],
    }
    measured = [
        metric["MetricStat"]["Metric"]
        for name in ("ScaleIn", "Wake", "Sleep")
        for metric in may_sleep.one(ALARM, name)["Metrics"]
        if "MetricStat" in metric
    ]
    assert measured
    for metric in measured:
        assert metric["Dimensions"] == expected[metric["Namespace"]]


def test_a_fleet_that_never_sleeps_has_neither_wake_nor_sleep(plain: Synthesized) -> None:
    assert len(plain.all(POLICY)) == 2


# ---- what is asked for


def test_the_target_follows_latency_processing_time_and_connections() -> None:
    scaling = WorkerScaling.target_latency(Duration.seconds(60), Duration.millis(500))
    template = synthesize(
        lambda stack: WorkerTier(
            stack, "Worker", vpc=vpc_of(stack), http_connections=10, scaling=scaling
        )
    )
    tracking = template.one(POLICY, "ScaleOut")["TargetTrackingConfiguration"]
    assert tracking["TargetValue"] == 1_200


def test_a_backlog_can_be_named() -> None:
    template = synthesize(
        lambda stack: WorkerTier(
            stack, "Worker", vpc=vpc_of(stack), scaling=WorkerScaling.backlog_per_instance(7)
        )
    )
    tracking = template.one(POLICY, "ScaleOut")["TargetTrackingConfiguration"]
    assert tracking["TargetValue"] == 7


def test_none_makes_neither_policies_nor_their_alarms() -> None:
    template = synthesize(
        lambda stack: WorkerTier(stack, "Worker", vpc=vpc_of(stack), scaling=WorkerScaling.none())
    )
    assert template.all(POLICY) == {}
    assert {id for id in template.all(ALARM) if "Monitoring" not in id} == set()


def test_times_and_backlogs_that_make_no_sense_are_refused() -> None:
    stack = new_stack()
    parameter = CfnParameter(stack, "Seconds", type="Number")
    for scaling, words in [
        (WorkerScaling.backlog_per_instance(0), "must be above 0, got 0"),
        (
            WorkerScaling.target_latency(Duration.seconds(0), Duration.seconds(1)),
            "acceptable_latency must be above 0",
        ),
        (
            WorkerScaling.target_latency(
                Duration.seconds(1), Duration.seconds(parameter.value_as_number)
            ),
            "message_processing_time is known only when the stack is deployed",
        ),
    ]:
        with pytest.raises(InvalidProps, match=words):
            WorkerTier(new_stack(), "Worker", vpc=vpc_of(new_stack()), scaling=scaling)


# ---- other ways of scaling


def test_steps_add_the_more_the_more_messages_wait() -> None:
    template = tier_with(scaling=WorkerScaling.steps([(100, 1), (500, 5)]))
    alarm, policy = template.one(ALARM, "ScaleOut"), template.one(POLICY, "ScaleOut")
    assert alarm["Threshold"] == 100
    assert policy["AdjustmentType"] == "ChangeInCapacity"
    assert policy["StepAdjustments"] == [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 400, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 400, "ScalingAdjustment": 5},
    ]
    # and the way in is as patient as ever, below what scaled out
    assert template.one(ALARM, "ScaleIn")["Threshold"] <= 50


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "WorkerScaling.steps takes 1 to 20 steps, got 0"),
        ([(0, 1)], "waiting messages must be a whole number from 1"),
        ([(1, 0)], "instances must be a whole number from 1"),
        ([(500, 5), (100, 1)], "must rise in both numbers from step to step"),
        ([(100, 5), (500, 5)], "must rise in both numbers from step to step"),
    ],
)
def test_steps_that_make_no_sense_are_refused(steps: list[tuple[int, int]], words: str) -> None:
    (problem,) = problems_of(scaling=WorkerScaling.steps(steps))
    assert words in problem


def test_a_trigger_follows_a_metric_of_the_instances_as_elastic_beanstalk_does() -> None:
    template = tier_with(scaling=WorkerScaling.trigger(Trigger()))
    up, down = template.one(ALARM, "ScaleOut"), template.one(ALARM, "ScaleIn")
    assert (up["Namespace"], up["MetricName"], up["Unit"]) == ("AWS/EC2", "NetworkOut", "Bytes")
    assert (up["Threshold"], down["Threshold"]) == (6_000_000, 2_000_000)
    assert (up["Period"], up["EvaluationPeriods"]) == (300, 1)
    group = template.id_of("AWS::AutoScaling::AutoScalingGroup")
    assert up["Dimensions"] == [{"Name": "AutoScalingGroupName", "Value": {"Ref": group}}]
    for name, change in (("ScaleOut", 1), ("ScaleIn", -1)):
        (step,) = template.one(POLICY, name)["StepAdjustments"]
        assert step["ScalingAdjustment"] == change


def test_a_trigger_that_grows_and_shrinks_at_once_is_refused() -> None:
    trigger = Trigger(
        metric_name="Sleep",
        upper=Side(threshold=1, increment=-1),
        lower=Side(threshold=2, increment=1),
    )
    found = problems_of(scaling=WorkerScaling.trigger(trigger))
    assert len(found) == 3
    assert "MeasureName must be one of CPUUtilization" in found[0]


def test_a_schedule_and_a_metric_of_ones_own_reach_the_group() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), scaling=WorkerScaling.none())
    tier.scale_on_schedule(
        "Morning", schedule=Schedule.cron(hour="7", minute="30"), min_capacity=3, time_zone="CET"
    )
    tier.scale_on_metric(
        "Depth",
        metric=tier.metric_outstanding(),
        scaling_steps=[ScalingInterval(lower=10, change=1), ScalingInterval(upper=0, change=-1)],
    )
    template = Synthesized(stack)
    action = template.one("AWS::AutoScaling::ScheduledAction")
    assert (action["Recurrence"], action["MinSize"], action["TimeZone"]) == ("30 7 * * *", 3, "CET")
    assert template.all(POLICY)


OFF = Schedule.cron(hour="20", minute="0")


@pytest.mark.parametrize(
    "bounds", [{"min_capacity": 0}, {"max_capacity": 0}, {"desired_capacity": 0}]
)
def test_a_schedule_cannot_empty_a_fleet_that_runs_periodic_tasks(bounds: dict[str, Any]) -> None:
    stack = new_stack()
    task = PeriodicTask(name="tick", url="/tick", schedule="* * * * *")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), periodic_tasks=[task])
    with pytest.raises(InvalidProps, match="a fleet that is empty runs no periodic task"):
        tier.scale_on_schedule("Night", schedule=OFF, **bounds)
    assert Synthesized(stack).all("AWS::AutoScaling::ScheduledAction") == {}


def test_a_schedule_cannot_empty_a_fleet_that_nothing_wakes() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    with pytest.raises(InvalidProps, match="nothing would wake an empty fleet"):
        tier.scale_on_schedule("Night", schedule=OFF, min_capacity=0)
    # but it can switch it off, until another schedule switches it on
    tier.scale_on_schedule("Off", schedule=OFF, min_capacity=0, max_capacity=0)
    task = PeriodicTask(name="tick", url="/tick", schedule="* * * * *")
    with pytest.raises(InvalidProps, match="scale_on_schedule empties the fleet"):
        tier.add_periodic_task(task)


def test_a_schedule_can_empty_a_fleet_that_wakes_by_itself() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), min_capacity=0)
    tier.scale_on_schedule("Day", schedule=OFF, min_capacity=2)
    tier.scale_on_schedule("Night", schedule=OFF, min_capacity=0)
    assert len(Synthesized(stack).all("AWS::AutoScaling::ScheduledAction")) == 2


def test_metrics_can_be_put_on_alarms_and_dashboards_of_ones_own() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    metrics: dict[str, cloudwatch.Metric | cloudwatch.MathExpression] = {
        "Backlog": tier.metric_backlog_per_instance(),
        "Outstanding": tier.metric_outstanding(period=Duration.minutes(5), label="all of it"),
        "Age": tier.metric_oldest_message_age(),
        "Dead": tier.metric_dead_letters(),
        "Deleted": tier.metric("MessagesDeleted", statistic="Sum", period=Duration.minutes(5)),
    }
    for id, metric in metrics.items():
        metric.create_alarm(stack, id, threshold=1, evaluation_periods=1)
    template = Synthesized(stack)
    assert template.one(ALARM, "Deleted")["Period"] == 300
    outstanding = template.one(ALARM, "Outstanding")["Metrics"]
    assert {m["MetricStat"]["Period"] for m in outstanding if "MetricStat" in m} == {300}
    assert "all of it" in {m.get("Label") for m in outstanding}
    assert template.one(ALARM, "Deleted")["Namespace"] == "WorkerTier"


def test_a_metric_that_no_daemon_prints_is_refused() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), metrics_namespace=None)
    with pytest.raises(InvalidProps, match="metrics_namespace is None"):
        tier.metric("InFlight", statistic="Maximum")
