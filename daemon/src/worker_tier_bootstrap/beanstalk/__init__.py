"""Reads Elastic Beanstalk's option settings in every form that people have, without the CDK.

`read_settings` takes text or data and returns typed settings with a finding for each option: where
it stands, whether it is honoured, passed over or refused, and a hint. `OPTIONS` is the table of
outcomes. The constructs and the generated page of the documentation read both.
"""

from worker_tier_bootstrap.beanstalk.documents import UnreadableDocument, decoded
from worker_tier_bootstrap.beanstalk.findings import (
    Finding,
    Outcome,
    Place,
    refusals,
    sentences,
    warnings,
)
from worker_tier_bootstrap.beanstalk.functions import Reference, Text
from worker_tier_bootstrap.beanstalk.options import IMAGE, OPTIONS, PROCFILE, Option
from worker_tier_bootstrap.beanstalk.reading import Reading, read_settings
from worker_tier_bootstrap.beanstalk.settings import (
    DeploymentSettings,
    EnvironmentSettings,
    NetworkSettings,
    Origin,
    ScheduledAction,
    SpotSettings,
    TriggerSettings,
)

__all__ = [
    "IMAGE",
    "OPTIONS",
    "PROCFILE",
    "DeploymentSettings",
    "EnvironmentSettings",
    "Finding",
    "NetworkSettings",
    "Option",
    "Origin",
    "Outcome",
    "Place",
    "Reading",
    "Reference",
    "ScheduledAction",
    "SpotSettings",
    "Text",
    "TriggerSettings",
    "UnreadableDocument",
    "decoded",
    "read_settings",
    "refusals",
    "sentences",
    "warnings",
]
