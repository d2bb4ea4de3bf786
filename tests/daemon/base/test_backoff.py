"""Capped doubling."""

from __future__ import annotations

import pytest

from sqsd.base.backoff import doubled


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0)])
def test_each_failure_doubles_the_wait(failures: int, seconds: float) -> None:
    assert doubled(0.5, failures, 20.0) == seconds


@pytest.mark.parametrize("failures", [6, 30, 31, 10_000])
def test_no_number_of_failures_exceeds_the_cap(failures: int) -> None:
    assert doubled(0.5, failures, 20.0) == 20.0
