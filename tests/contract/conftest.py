"""Fixtures of more than one module here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.user_data import Instance


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)
