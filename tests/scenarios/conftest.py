from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.harness import Tier
from tools.local_aws import LocalAws


@pytest.fixture
def tier(local_aws: LocalAws, tmp_path: Path) -> Iterator[Tier]:
    """A new tier for one test; `set_up` makes its queues."""
    tier = Tier(local_aws, tmp_path)
    try:
        yield tier
    finally:
        tier.tear_down()
