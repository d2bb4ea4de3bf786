from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import Duration
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns

from tests.worker_tier.stacks import Synthesized, new_stack, vpc_of
from worker_tier import WorkerTier

KIND = "AWS::CloudWatch::Alarm"


def test_one_dead_letter_alarms(plain: Synthesized) -> None:
    alarm = plain.one(KIND, "DeadLetters")
    dead = plain.id_of("AWS::SQS::Queue", "DeadLetterQueue")
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": [dead, "QueueName"]}}
    ]
    assert (alarm["Threshold"], alarm["EvaluationPeriods"], alarm["Period"]) == (1, 1, 60)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


@pytest.mark.parametrize(
    ("props", "seconds"), [({}, 3_600), ({"oldest_message_age": Duration.minutes(5)}, 300)]
)
def test_a_message_that_waits_too_long_alarms(props: dict[str, Any], seconds: int) -> None:
    stack = new_stack()
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    alarm = Synthesized(stack).one(KIND, "OldestMessage")
    assert alarm["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert alarm["Threshold"] == seconds


def test_silence_is_no_alarm(plain: Synthesized) -> None:
    alarms = plain.all(KIND)
    assert alarms
    assert {alarm["TreatMissingData"] for alarm in alarms.values()} == {"notBreaching"}


def test_alarms_do_what_they_are_told_at_once_and_later() -> None:
    stack = new_stack()
    at_once, later = sns.Topic(stack, "AtOnce"), sns.Topic(stack, "Later")
    tier = WorkerTier(
        stack, "Worker", vpc=vpc_of(stack), alarm_actions=[actions.SnsAction(at_once)]
    )
    tier.add_alarm_action(actions.SnsAction(later))
    template = Synthesized(stack)
    topics = [
        {"Ref": template.id_of("AWS::SNS::Topic", "AtOnce")},
        {"Ref": template.id_of("AWS::SNS::Topic", "Later")},
    ]
    assert set(tier.alarms) == {"DeadLetters", "OldestMessage"}
    for name in tier.alarms:
        assert template.one(KIND, name)["AlarmActions"] == topics
