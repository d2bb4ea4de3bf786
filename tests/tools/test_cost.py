"""What the page on cost computes, against figures worked out by hand and a real template."""

from __future__ import annotations

import dataclasses

import pytest
from aws_cdk import App, Stack

from tests.worker_tier.stacks import Synthesized
from tests.worker_tier.variants import build
from tools.reference import cost


def metrics_watched(variant: str) -> int:
    """How many metrics the alarms of a template watch, with those that target tracking makes."""
    stack = Stack(App(), "Test")
    build(stack, variant)
    resources = Synthesized(stack).resources.values()
    watched = 0
    for one in resources:
        properties = one.get("Properties", {})
        if one["Type"] == "AWS::CloudWatch::Alarm":
            metrics = properties.get("Metrics")
            watched += 1 if metrics is None else sum("MetricStat" in metric for metric in metrics)
        tracking = properties.get("TargetTrackingConfiguration")
        if tracking is not None:
            assert tracking["DisableScaleIn"], "a second alarm would scale in"
            metrics = tracking["CustomizedMetricSpecification"]["Metrics"]
            watched += sum("MetricStat" in metric for metric in metrics)
    return watched


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("plain", cost.ALARM_METRICS), ("periodic", cost.ALARM_METRICS_TASKS)],
)
def test_the_metrics_that_alarms_watch_are_those_of_a_template(variant: str, expected: int) -> None:
    assert metrics_watched(variant) == expected


def test_an_idle_daemon_polls_three_times_a_minute() -> None:
    assert cost.requests(cost.IDLE) == 730 * 60 * 3
    assert cost.requests(dataclasses.replace(cost.IDLE, instances=5)) == 5 * 730 * 60 * 3


def test_a_message_costs_a_send_a_share_of_a_receive_and_a_tenth_of_a_delete() -> None:
    load = cost.Load(instances=1, messages=1, batch=2)
    assert cost.requests(load) == pytest.approx(730 * 3600 * (1 + 0.5 + 0.1))


def test_a_leader_alone_reads_no_lease_and_nine_followers_read_five_times_a_second() -> None:
    assert cost.lease_reads(1) == 0
    assert cost.lease_reads(10) / cost.SECONDS == pytest.approx(9 / 1.75)


def test_without_periodic_tasks_nothing_is_paid_for_the_lease() -> None:
    without = dataclasses.replace(cost.BUSY, tasks=None)
    paid = {item.price for item in cost.items(without)}
    assert {"reads", "writes"} & paid == set()
    assert {"reads", "writes"} < {item.price for item in cost.items(cost.BUSY)}


def test_the_page_adds_up() -> None:
    assert cost.total(cost.BUSY) == pytest.approx(sum(i.dollars for i in cost.items(cost.BUSY)))
    assert f"**{cost.total(cost.IDLE):.2f}**" in cost.cost_page()
