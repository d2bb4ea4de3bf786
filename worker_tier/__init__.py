"""Elastic Beanstalk's worker tier without Elastic Beanstalk."""

from worker_tier.errors import InvalidProps, PackagingError
from worker_tier.fleet import WorkerFleet
from worker_tier.leader_table import LeaderTable
from worker_tier.monitoring import Monitoring
from worker_tier.queues import WorkerQueues
from worker_tier.scaling import QueueScaling, ScalingFigures, WorkerScaling
from worker_tier.tier import WorkerTier

__all__ = [
    "InvalidProps",
    "LeaderTable",
    "Monitoring",
    "PackagingError",
    "QueueScaling",
    "ScalingFigures",
    "WorkerFleet",
    "WorkerQueues",
    "WorkerScaling",
    "WorkerTier",
]
