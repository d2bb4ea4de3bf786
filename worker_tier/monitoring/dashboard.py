"""One page that answers: is it keeping up, why not, what failed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, cast

import jsii
from aws_cdk import Aws
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from sqsd.contract import events
from sqsd.contract import metrics as names
from worker_tier.monitoring.metrics import TierMetrics
from worker_tier.type_checks import checked

#: Width of a dashboard, and height of its row of lights, in CloudWatch's grid units.
_WIDTH: Final = 24
_LIGHTS_HEIGHT: Final = 3
#: Metrics of the daemon that count how messages ended.
_ENDS: Final = (
    names.MESSAGES_DELETED,
    names.MESSAGES_RELEASED,
    names.MESSAGES_DEAD_LETTERED,
    names.MESSAGES_EXPIRED,
)
#: Metrics of the daemon that count what became of occurrences.
_PERIODIC: Final = (names.CRON_ENQUEUED, names.CRON_MISSED, names.CRON_FAILED)
#: Log events that report a failure.
_FAILURES: Final = (
    events.MESSAGE_RELEASED,
    events.MESSAGE_DEAD_LETTERED,
    events.MESSAGE_EXPIRED,
    events.MESSAGE_DELETE_FAILED,
    events.GATE_CLOSED,
    events.QUEUE_FAILED,
    events.CRON_FAILED,
    events.CRON_MISSED,
    events.LEASE_LOST,
    events.DAEMON_FAILED,
)


class TierDashboard(Construct):
    """A dashboard of a tier.

    Args:
        metrics: the metrics of the tier.
        alarms: alarms to show as a row of lights, as they are when the template is written. An
            alarm that is added to a live view, such as `Monitoring.alarms.values()`, is shown too.
        log_group: the log group of the daemons' lines, or None to leave the table of failures out.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        metrics: TierMetrics,
        alarms: Collection[cloudwatch.IAlarm],
        log_group: logs.ILogGroup | None,
    ) -> None:
        super().__init__(scope, id)
        self._metrics = metrics
        #: The page; more widgets can be added.
        self.dashboard = cloudwatch.Dashboard(self, "Dashboard")
        self._show_progress(alarms)
        self._show_causes()
        self._show_failures(log_group)

    def _show_progress(self, alarms: Collection[cloudwatch.IAlarm]) -> None:
        metrics = self._metrics
        self._row("Is it keeping up?")
        self.dashboard.add_widgets(cast(cloudwatch.IWidget, _Lights(alarms)))
        self._graphs(
            self._graph("Messages", [metrics.visible(), metrics.in_flight(), metrics.delayed()]),
            self._graph("Oldest message, seconds", [metrics.oldest_message_age()]),
            self._graph("Waiting for each instance", [metrics.backlog_per_instance()]),
        )

    def _show_causes(self) -> None:
        gate = [self._of(names.GATE_OPEN, "Minimum"), self._metrics.health()]
        self._row("Why not?")
        self._graphs(
            self._graph("Instances in service", [self._metrics.instances()]),
            self._graph("Application, seconds (2xx, p50 p99; 5xx, p99)", self._latencies()),
            self._graph("Gate open, daemons well", gate),
        )

    def _show_failures(self, log_group: logs.ILogGroup | None) -> None:
        self._row("What failed?")
        self._graphs(
            self._graph("In the dead-letter queue", [self._metrics.dead_letters()]),
            self._graph("Ends of messages", [self._of(name, "Sum") for name in _ENDS]),
            self._graph("Periodic tasks", [self._of(name, "Sum") for name in _PERIODIC]),
        )
        if log_group is not None:
            self.dashboard.add_widgets(_failures(log_group))

    def _row(self, question: str) -> None:
        self.dashboard.add_widgets(
            cloudwatch.TextWidget(markdown=f"## {question}", width=_WIDTH, height=1)
        )

    def _latencies(self) -> list[cloudwatch.IMetric | None]:
        return [
            self._of(names.APP_TIME_2XX, "p50"),
            self._of(names.APP_TIME_2XX, "p99"),
            self._of(names.APP_TIME_5XX, "p99"),
        ]

    def _of(self, name: str, statistic: str) -> cloudwatch.IMetric | None:
        return self._metrics.of_daemon(name, statistic)

    def _graphs(self, *graphs: cloudwatch.GraphWidget | None) -> None:
        """Add the graphs that show anything: CloudWatch refuses a page with an empty graph."""
        self.dashboard.add_widgets(*(graph for graph in graphs if graph is not None))

    def _graph(
        self, title: str, metrics: Iterable[cloudwatch.IMetric | None]
    ) -> cloudwatch.GraphWidget | None:
        shown = [metric for metric in metrics if metric is not None]
        if not shown:
            return None
        return cloudwatch.GraphWidget(
            title=title,
            left=shown,
            left_y_axis=cloudwatch.YAxisProps(min=0, show_units=False),
            width=_WIDTH // 3,
            height=6,
        )


@jsii.implements(cloudwatch.IWidget)
class _Lights:
    """A light for each alarm that exists when the template is written; without any, nothing."""

    def __init__(self, alarms: Collection[cloudwatch.IAlarm]) -> None:
        self._alarms = alarms
        self._place = (0.0, 0.0)

    @property
    @jsii.member(jsii_name="width")
    def width(self) -> float:
        return _WIDTH

    @property
    @jsii.member(jsii_name="height")
    def height(self) -> float:
        return _LIGHTS_HEIGHT

    @property
    @jsii.member(jsii_name="warnings")
    def warnings(self) -> list[str]:
        return []

    @property
    @jsii.member(jsii_name="warningsV2")
    def warnings_v2(self) -> dict[str, str]:
        return {}

    @jsii.member(jsii_name="position")
    def position(self, x: float, y: float) -> None:
        self._place = (x, y)

    @jsii.member(jsii_name="toJson")
    def to_json(self) -> list[Any]:
        if not self._alarms:
            return []
        widget = cloudwatch.AlarmStatusWidget(
            alarms=list(self._alarms), width=_WIDTH, height=_LIGHTS_HEIGHT
        )
        widget.position(*self._place)
        return list(widget.to_json())


def _failures(log_group: logs.ILogGroup) -> cloudwatch.LogQueryWidget:
    names = ", ".join(f'"{name}"' for name in _FAILURES)
    return cloudwatch.LogQueryWidget(
        title="Failures, the newest first",
        log_group_names=[log_group.log_group_name],
        query_lines=[
            "fields time, event, message_id, status, receive_count, reason",
            f"filter event in [{names}]",
            "sort @timestamp desc",
            "limit 50",
        ],
        region=Aws.REGION,
        width=_WIDTH,
        height=8,
    )
