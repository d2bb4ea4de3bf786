"""Checks what users add to the scaling of a tier: schedules, and steps on a metric of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from aws_cdk import aws_autoscaling as autoscaling

from worker_tier.fleet.capacity import MAX_INSTANCES
from worker_tier.ranges import in_range, literal_count

#: Fewest steps that a policy of the CDK has; one of them may change nothing.
_FEWEST_STEPS: Final = 2
#: Most periods that a policy may wait for: a day of minutes, which CloudWatch bounds an alarm by.
_MOST_PERIODS: Final = 1_440


def schedule_problems(
    id: str,
    sizes: Mapping[str, int | None],
    start_time: datetime | None,
    end_time: datetime | None,
    *,
    taken: bool,
) -> list[str]:
    """Return everything wrong with a scheduled action.

    Args:
        sizes: the least, the wanted and the greatest number of instances by name, in this order.
        taken: whether another schedule of the tier has the id.
    """
    problems = _id_problems(id, "schedule", taken)
    given = {name: size for name, size in sizes.items() if size is not None}
    if not given:
        problems.append(f"{', '.join(sizes)} are missing; give at least one of them")
    counts = {
        name: literal_count(name, size, 0, MAX_INSTANCES, problems) for name, size in given.items()
    }
    known = [(name, count) for name, count in counts.items() if count is not None]
    problems += [
        f"{low} ({less}) must be at most {high} ({more}); lower one or raise the other"
        for (low, less), (high, more) in pairwise(known)
        if less > more
    ]
    return problems + list(_time_problems({"start_time": start_time, "end_time": end_time}))


def _time_problems(times: Mapping[str, datetime | None]) -> Iterator[str]:
    given = {name: time for name, time in times.items() if time is not None}
    naive = {name: time for name, time in given.items() if time.tzinfo is None}
    for name, time in naive.items():
        yield f"{name} must have a time zone, got {time!r}; add one, such as tzinfo=datetime.UTC"
    if len(given) == len(times) and not naive:
        start, end = given.values()
        if start >= end:
            yield f"start_time ({start}) must be before end_time ({end}); exchange them"


def metric_problems(
    id: str,
    steps: Sequence[autoscaling.ScalingInterval],
    evaluation_periods: int | None,
    *,
    taken: bool,
) -> list[str]:
    """Return everything wrong with a step policy on a metric.

    Args:
        taken: whether another policy of the tier has the id.
    """
    problems = _id_problems(id, "policy", taken)
    in_range("evaluation_periods", evaluation_periods, 1, _MOST_PERIODS, problems)
    if len(steps) < _FEWEST_STEPS:
        problems.append(
            f"scaling_steps must be at least two, got {len(steps)}; add one that changes nothing,"
            " such as autoscaling.ScalingInterval(change=0, upper=...)"
        )
    return [*problems, *_repeated(steps)]


def _repeated(steps: Sequence[autoscaling.ScalingInterval]) -> Iterator[str]:
    """Yield each bound that two steps share, of which the CDK would pass one over."""
    for bounds in ([one.lower for one in steps], [one.upper for one in steps]):
        for bound in sorted({one for one in bounds if one is not None and bounds.count(one) > 1}):
            yield f"scaling_steps overlap at {bound:g}; let each value belong to one step"


def _id_problems(id: str, kind: str, taken: bool) -> list[str]:
    if not id:
        return ["id must not be empty; name it"]
    return [f"id is taken by another {kind}; choose another"] if taken else []
