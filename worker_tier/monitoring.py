"""Alarms that people are woken by; those that scale the fleet are in `scaling`."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class Monitoring(Construct):
    """Alarms on a tier's queues. They exist with and without actions.

    Args:
        queue: the work queue.
        dead_letter_queue: where its failing messages end.
        oldest_message_age: age of the oldest waiting message that alarms. Default: 1 hour. It is
            for people, not for scaling: SQS moves a message to the back after three receives.
        alarm_actions: what every alarm does when it fires. Default: nothing.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        queue: sqs.IQueue,
        dead_letter_queue: sqs.IQueue,
        oldest_message_age: Duration | None = None,
        alarm_actions: Sequence[cloudwatch.IAlarmAction] = (),
    ) -> None:
        super().__init__(scope, id)
        age = oldest_message_age or Duration.hours(1)
        #: By name, which is also the construct id: `DeadLetters`, `OldestMessage`.
        self.alarms: dict[str, cloudwatch.Alarm] = {
            "DeadLetters": self._alarm(
                "DeadLetters",
                # What SQS itself moves here is not counted as sent, so this counts what is there.
                metric=dead_letter_queue.metric_approximate_number_of_messages_visible(
                    period=Duration.minutes(1), statistic=cloudwatch.Stats.MAXIMUM
                ),
                threshold=1,
                minutes=1,
                description="Messages failed for good and wait in the dead-letter queue.",
            ),
            "OldestMessage": self._alarm(
                "OldestMessage",
                metric=queue.metric_approximate_age_of_oldest_message(
                    period=Duration.minutes(1), statistic=cloudwatch.Stats.MAXIMUM
                ),
                threshold=age.to_seconds(),
                minutes=5,
                description="The oldest message waits too long: the fleet does not keep up.",
            ),
        }
        for action in alarm_actions:
            self.add_alarm_action(action)

    def add_alarm_action(self, action: cloudwatch.IAlarmAction) -> None:
        """Let every alarm do `action`, such as telling a topic, when it fires."""
        for alarm in self.alarms.values():
            alarm.add_alarm_action(action)

    def _alarm(
        self,
        id: str,
        *,
        metric: cloudwatch.IMetric,
        threshold: float,
        minutes: int,
        description: str,
    ) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            id,
            alarm_description=description,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=minutes,
            metric=metric,
            threshold=threshold,
            # SQS stops publishing for a queue that is idle for hours.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
