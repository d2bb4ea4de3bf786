"""Elastic Beanstalk's worker tier without Elastic Beanstalk."""

from sqsd import __version__
from worker_tier.application.application import WorkerApplication
from worker_tier.choices import LogFormat, RetryPolicy
from worker_tier.encryption import allow_alarms_to_publish
from worker_tier.errors import InvalidApplication, InvalidProps
from worker_tier.fleet.capacity import WorkerCapacity
from worker_tier.fleet.fleet import WorkerFleet
from worker_tier.fleet.machine_image import WorkerMachineImage
from worker_tier.leader_table import LeaderTable
from worker_tier.monitoring.alarms import Monitoring
from worker_tier.monitoring.dashboard import TierDashboard
from worker_tier.monitoring.metrics import TierMetrics
from worker_tier.periodic import PeriodicTask
from worker_tier.props import TierProps
from worker_tier.queues.dead_letters import DeadLetterQueue
from worker_tier.queues.existing_queue import ExistingQueue
from worker_tier.queues.queues import WorkerQueues
from worker_tier.scaling.figures import ScalingFigures, WorkerScaling
from worker_tier.scaling.scaling import QueueScaling
from worker_tier.scaling.trigger import Side, Trigger
from worker_tier.tier import WorkerTier
from worker_tier_bootstrap.errors import PackagingError
from worker_tier_bootstrap.platforms import Platform

__all__ = [
    "DeadLetterQueue",
    "ExistingQueue",
    "InvalidApplication",
    "InvalidProps",
    "LeaderTable",
    "LogFormat",
    "Monitoring",
    "PackagingError",
    "PeriodicTask",
    "Platform",
    "QueueScaling",
    "RetryPolicy",
    "ScalingFigures",
    "Side",
    "TierDashboard",
    "TierMetrics",
    "TierProps",
    "Trigger",
    "WorkerApplication",
    "WorkerCapacity",
    "WorkerFleet",
    "WorkerMachineImage",
    "WorkerQueues",
    "WorkerScaling",
    "WorkerTier",
    "__version__",
    "allow_alarms_to_publish",
]
