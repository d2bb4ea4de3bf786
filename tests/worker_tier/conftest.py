"""Templates that many tests read; synthesized once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worker_tier.stacks import CRON_YAML, Synthesized, synthesize, vpc_of
from worker_tier import WorkerTier


@pytest.fixture(scope="session")
def cron_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("application") / "cron.yaml"
    path.write_text(CRON_YAML, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def with_tasks(cron_file: str) -> Synthesized:
    """All defaults, and a periodic task."""
    return synthesize(
        lambda stack: WorkerTier(stack, "Worker", vpc=vpc_of(stack), periodic_tasks=cron_file)
    )


@pytest.fixture(scope="session")
def plain() -> Synthesized:
    """All defaults."""
    return synthesize(lambda stack: WorkerTier(stack, "Worker", vpc=vpc_of(stack)))


@pytest.fixture(scope="session")
def may_sleep() -> Synthesized:
    """A fleet that may be empty."""
    return synthesize(lambda stack: WorkerTier(stack, "Worker", vpc=vpc_of(stack), min_capacity=0))
