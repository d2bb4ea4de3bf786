"""What the daemon's suites share: one Hypothesis profile, the same here and in CI."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A shared machine makes single examples slow now and then; that is not what these tests are about.
settings.register_profile(
    "sqsd",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sqsd")
