"""The typed result of reading a settings document: what a tier can be made from, without the CDK.

Fields that stand for one prop have the prop's name. Durations are whole seconds, as in Elastic
Beanstalk. None stands for an option that the document does not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from worker_tier_bootstrap.beanstalk.findings import NOWHERE, Place
from worker_tier_bootstrap.beanstalk.functions import Text


@dataclass(frozen=True, kw_only=True)
class TriggerSettings:
    """Holds `aws:autoscaling:trigger`, with its defaults.

    Args:
        unit: the unit of the metric, or None for the one with which EC2 publishes it.
        upper_increment: instances to add, or percent of them.
        lower_increment: instances to remove, or percent of them, negative.
    """

    metric_name: str = "NetworkOut"
    statistic: str = "Average"
    unit: str | None = None
    period_minutes: int = 5
    evaluation_periods: int = 1
    upper_threshold: float = 6_000_000
    upper_increment: int = 1
    upper_percent: bool = False
    lower_threshold: float = 2_000_000
    lower_increment: int = -1
    lower_percent: bool = False


@dataclass(frozen=True, kw_only=True)
class SpotSettings:
    """Holds what `aws:ec2:instances` says of Spot instances."""

    on_demand_base: int
    on_demand_percentage: int
    allocation_strategy: str
    capacity_rebalance: bool


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Holds the network of `aws:ec2:vpc`."""

    vpc_id: str
    subnet_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DeploymentSettings:
    """Holds `aws:elasticbeanstalk:command`: how Elastic Beanstalk deployed.

    Args:
        batch_size: instances, or percent of them.
    """

    policy: str
    batch_size: int
    batch_size_type: str


@dataclass(frozen=True, kw_only=True)
class ScheduledAction:
    """Holds one recurrent action of `aws:autoscaling:scheduledaction`.

    Args:
        name: the ResourceName that its options share.
        recurrence: a cron expression, in UTC.
    """

    name: str
    recurrence: str
    min_capacity: int | None = None
    max_capacity: int | None = None
    desired_capacity: int | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Names the option that a field was read from.

    Args:
        value: as it was written, for messages.
        place: where it stands in the document.
    """

    namespace: str
    option: str
    value: str
    place: Place = NOWHERE

    def __str__(self) -> str:
        return f"{self.namespace}:{self.option} ({self.value})"

    @property
    def with_place(self) -> str:
        """Return the option with its value, and with its line if the document is a text."""
        place = "" if self.place.line is None else f", {self.place}"
        return f"{self.namespace}:{self.option} ({self.value}{place})"


@dataclass(frozen=True, kw_only=True)
class EnvironmentSettings:
    """Holds what an environment's option settings ask of a tier.

    Args:
        sqsd: the daemon's options by their names here, such as `http_path`.
        instance_types: of which the first is started, or all with `spot`; empty if not set.
        root_volume_size: GiB.
        security_group: its id.
        signal_timeout: seconds.
        log_retention: days; set only where lines were streamed.
        environment: environment properties, less PORT.
        port: the environment property PORT.
        secrets: name of an environment variable -> ARN of its secret.
        origins: field, or key of `sqsd` -> the options that it was read from.
    """

    sqsd: Mapping[str, int | str] = field(default_factory=dict)
    min_capacity: int | None = None
    max_capacity: int | None = None
    single_instance: bool = False
    trigger: TriggerSettings | None = None
    instance_types: tuple[str, ...] = ()
    spot: SpotSettings | None = None
    root_volume_size: int | None = None
    root_volume_type: str | None = None
    detailed_monitoring: bool | None = None
    security_group: str | None = None
    network: NetworkSettings | None = None
    associate_public_ip_address: bool | None = None
    deployment: DeploymentSettings | None = None
    signal_timeout: int | None = None
    log_retention: int | None = None
    health_path: str | None = None
    environment: Mapping[str, Text] = field(default_factory=dict)
    port: int | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    scheduled_actions: tuple[ScheduledAction, ...] = ()
    origins: Mapping[str, tuple[Origin, ...]] = field(default_factory=dict)
