"""Alarms for people; the alarms that scale the fleet are in `scaling`."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from sqsd.contract import metrics as names
from worker_tier.errors import InvalidProps
from worker_tier.monitoring.metrics import TierMetrics
from worker_tier.ranges import seconds_in_range
from worker_tier.type_checks import checked

#: Greatest age of a message that SQS allows, s: its longest retention.
_MAX_AGE_SECONDS: Final = 1_209_600
#: Age of the oldest message that alarms when nothing is said, s.
_DEFAULT_AGE_SECONDS: Final = 3_600
#: Time without a worker that alarms, min: longer than a wake-up takes, a boot included.
_NO_WORKER_MINUTES: Final = 10
#: Silence of a daemon that alarms, min: longer than a lease takes to change hands, and than a
#: deployment's stop and start.
_DAEMON_MINUTES: Final = 5
#: Longest boot that an alarm allows for, min.
_LONGEST_BOOT_MINUTES: Final = 60


class Monitoring(Construct):
    """Alarms on a tier. They exist with and without actions.

    Args:
        metrics: the metrics of the tier.
        runs_tasks: whether it has enabled periodic tasks, so that one daemon must lead.
        silence_alarms: whether a missing metric alarms too. False for a fleet that may be empty,
            and for instances that ship no logs, where silence is usual.
        instance_warmup: time from launch until an instance receives; a daemon may be silent for so
            much longer. Default: 2 min.
        oldest_message_age: age of the oldest message that alarms. Default: 1 hour. It is for
            people, not for scaling: SQS moves a message to the back after three receives.
        alarm_actions: what every alarm does when it fires. Default: no action.

    Raises:
        InvalidProps: `oldest_message_age` is out of range.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        metrics: TierMetrics,
        runs_tasks: bool = False,
        silence_alarms: bool = False,
        instance_warmup: Duration | None = None,
        oldest_message_age: Duration | None = None,
        alarm_actions: Sequence[cloudwatch.IAlarmAction] = (),
    ) -> None:
        super().__init__(scope, id)
        if problems := age_problems(oldest_message_age):
            raise InvalidProps(self.node.path, problems)
        self._metrics = metrics
        self._silence_alarms = silence_alarms
        self._actions = list(alarm_actions)
        warmup = Duration.minutes(2) if instance_warmup is None else instance_warmup
        self._boot_minutes = min(_LONGEST_BOOT_MINUTES, ceil(warmup.to_seconds() / 60))
        #: The alarms by name, which is also the construct id: `DeadLetters`, `OldestMessage`,
        #: `NoWorker`, `NoLeader`, `Unhealthy`. An alarm that has nothing to watch is missing.
        self.alarms: dict[str, cloudwatch.Alarm] = {}
        self._watch_messages(
            _DEFAULT_AGE_SECONDS if oldest_message_age is None else oldest_message_age.to_seconds()
        )
        self._watch_daemons()
        if runs_tasks:
            self.watch_leader()

    @checked
    def add_alarm_action(self, action: cloudwatch.IAlarmAction) -> None:
        """Let every alarm do `action`, such as publishing to a topic, when it fires."""
        self._actions.append(action)
        for alarm in self.alarms.values():
            alarm.add_alarm_action(action)

    def watch_leader(self) -> None:
        """Alarm when no daemon leads: periodic tasks stop then, and nothing else reports it."""
        leader = self._metrics.of_daemon(names.LEADER, cloudwatch.Stats.MAXIMUM)
        if leader is not None and "NoLeader" not in self.alarms:
            self._alarm(
                "NoLeader",
                metric=leader,
                threshold=1,
                minutes=_DAEMON_MINUTES,
                below=True,
                description="No daemon holds the lease: periodic tasks are not enqueued.",
            )

    def _watch_messages(self, age: float) -> None:
        dead_letters = self._metrics.dead_letters()
        if dead_letters is not None:
            self._alarm(
                "DeadLetters",
                metric=dead_letters,
                threshold=1,
                minutes=1,
                description="Messages failed for good and wait in the dead-letter queue.",
            )
        self._alarm(
            "OldestMessage",
            metric=self._metrics.oldest_message_age(),
            threshold=age,
            minutes=5,
            description="The oldest message waits too long: the fleet does not keep up.",
        )
        self._alarm(
            "NoWorker",
            metric=self._metrics.waiting_without_worker(),
            threshold=1,
            minutes=_NO_WORKER_MINUTES,
            description="Messages wait and no instance receives them: see the group's activity, and"
            " the instances' logs.",
        )

    def _watch_daemons(self) -> None:
        wellness = self._metrics.wellness()
        if wellness is not None:
            self._alarm(
                "Unhealthy",
                metric=wellness,
                threshold=1,
                minutes=_DAEMON_MINUTES + self._boot_minutes,
                below=True,
                description="A daemon is silent or does not poll, or its application does not"
                " accept.",
            )

    def _alarm(
        self,
        id: str,
        *,
        metric: cloudwatch.IMetric,
        threshold: float,
        minutes: int,
        description: str,
        below: bool = False,
    ) -> None:
        operators = cloudwatch.ComparisonOperator
        silence = cloudwatch.TreatMissingData
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_description=description,
            comparison_operator=operators.LESS_THAN_THRESHOLD
            if below
            else operators.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=minutes,
            metric=metric,
            threshold=threshold,
            # SQS stops publishing for a queue that is idle for hours; daemons never stop.
            treat_missing_data=silence.BREACHING
            if below and self._silence_alarms
            else silence.NOT_BREACHING,
        )
        if below and isinstance(metric, cloudwatch.Metric):
            # Or it would fire while the first instances boot. An expression names the group anyway.
            group = self._metrics.group
            alarm.node.add_dependency(group.node.default_child or group)
        for action in self._actions:
            alarm.add_alarm_action(action)
        self.alarms[id] = alarm


def age_problems(oldest_message_age: Duration | None) -> list[str]:
    """Return everything wrong with `oldest_message_age`."""
    problems: list[str] = []
    seconds_in_range("oldest_message_age", oldest_message_age, 60, _MAX_AGE_SECONDS, problems)
    return problems
