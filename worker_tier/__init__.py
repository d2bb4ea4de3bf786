"""Elastic Beanstalk's worker tier without Elastic Beanstalk."""

from worker_tier.encryption import admit_alarms
from worker_tier.errors import InvalidApplication, InvalidProps, PackagingError
from worker_tier.fleet import WorkerFleet
from worker_tier.leader_table import LeaderTable
from worker_tier.monitoring.alarms import Monitoring
from worker_tier.monitoring.dashboard import TierDashboard
from worker_tier.monitoring.metrics import TierMetrics
from worker_tier.props.application import WorkerApplication
from worker_tier.props.capacity import WorkerCapacity
from worker_tier.props.choices import LogFormat, Platform, RetryPolicy
from worker_tier.props.dead_letters import DeadLetterQueue
from worker_tier.props.existing_queue import ExistingQueue
from worker_tier.props.machine_image import WorkerMachineImage
from worker_tier.props.periodic import PeriodicTask
from worker_tier.props.scaling_figures import ScalingFigures, WorkerScaling
from worker_tier.props.tier import TierProps
from worker_tier.props.trigger import Side, Trigger
from worker_tier.queues import WorkerQueues
from worker_tier.scaling import QueueScaling
from worker_tier.tier import WorkerTier

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
    "admit_alarms",
]
