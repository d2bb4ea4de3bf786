"""Checks all props before anything is built, so that everything wrong is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from aws_cdk import Duration
from constructs import Construct

from sqsd import contract
from worker_tier.application.application import WorkerApplication
from worker_tier.errors import InvalidProps
from worker_tier.fleet.checks import fleet_problems
from worker_tier.monitoring.alarms import age_problems
from worker_tier.options import (
    OPTION_NAMES,
    duration_seconds,
    literal_count,
    sqsd_options,
    taken_by,
)
from worker_tier.periodic import Tasks, read_tasks
from worker_tier.queues.checks import queue_problems
from worker_tier.queues.dead_letters import DeadLetterQueue
from worker_tier.queues.existing_queue import account_problem, described
from worker_tier.scaling.figures import ScalingFigures, WorkerScaling, decide_figures

_MAX_INSTANCES: Final = 10_000
_DEFAULT_MAX_CAPACITY: Final = 4
_DEFAULT_SIGNAL_TIMEOUT_SECONDS: Final = 600
#: CloudFormation's, for the pause of a rolling update; a creation policy alone may wait 12 h.
_MAX_SIGNAL_TIMEOUT_SECONDS: Final = 3_600
_DEFAULT_WARMUP_SECONDS: Final = 120
_MAX_WARMUP_SECONDS: Final = 86_400
_FLEET: Final = (
    "capacity",
    "instance_type",
    "role",
    "instance_principal",
    "http_put_response_hop_limit",
    "max_instance_lifetime",
    "machine_image",
    "root_volume_size",
    "root_volume_type",
)
_NO_ALARMS: Final = (
    "alarm_actions are given and there are no alarms, because of single_instance or alarms=False;"
    " set alarms=True or leave alarm_actions out"
)
#: What an environment of one instance has no use for.
_NOT_SINGLE: Final = ("min_capacity", "max_capacity", "scaling")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Props that were found good, in the words the parts understand."""

    options: contract.SqsdOptions
    min_capacity: int
    max_capacity: int
    signal_timeout_seconds: int
    warmup_seconds: int
    figures: ScalingFigures | None
    tasks: Tasks


def make_plan(scope: Construct, props: Mapping[str, Any]) -> Plan:
    """Check the props of a tier.

    Args:
        scope: the tier, for its place in the error and its region.
        props: by name, None for those that were not given.

    Raises:
        InvalidProps: with every problem found.
    """
    problems: list[str] = []
    given = {name: props[name] for name in OPTION_NAMES}
    given["max_retries"] = _max_retries(props, problems)
    checked = sqsd_options(given, problems)
    problems += queue_problems(scope=scope, **taken_by(queue_problems, props))
    if props["queue"] is not None and _watches(props):
        problems += account_problem(scope, props["queue"])
    problems += fleet_problems({**{name: props[name] for name in _FLEET}, "instance_warmup": None})
    problems += age_problems(props["oldest_message_age"])
    low, high = _capacity(props, problems)
    tasks = read_tasks(props["periodic_tasks"], problems)
    if low == 0 and tasks.enabled:
        problems.append(empty_fleet_problem(tasks))
    timeout = _whole_seconds(
        "signal_timeout",
        props["signal_timeout"],
        _DEFAULT_SIGNAL_TIMEOUT_SECONDS,
        (1, _MAX_SIGNAL_TIMEOUT_SECONDS),
        problems,
    )
    warmup = _whole_seconds(
        "default_instance_warmup",
        props["default_instance_warmup"],
        _DEFAULT_WARMUP_SECONDS,
        (0, _MAX_WARMUP_SECONDS),
        problems,
    )
    scaling = WorkerScaling.none() if props["single_instance"] else props["scaling"]
    figures = decide_figures(
        scaling or WorkerScaling(),
        # What follows from unusable options is not worth a second message.
        http_connections=(checked or contract.SqsdOptions()).http_connections,
        min_capacity=low or 0,
        problems=problems,
    )
    if checked is not None:
        problems += _dead_letter_problems(props, checked)
        problems += _port_problems(props["application"], checked)
    if props["alarm_actions"] and not _alarms(props):
        problems.append(_NO_ALARMS)
    if problems or None in (checked, low, high, timeout, warmup):
        raise InvalidProps(scope.node.path, problems)
    assert checked is not None
    assert low is not None
    assert high is not None
    assert timeout is not None
    assert warmup is not None
    return Plan(
        options=checked,
        min_capacity=low,
        max_capacity=high,
        signal_timeout_seconds=timeout,
        warmup_seconds=warmup,
        figures=figures,
        tasks=tasks,
    )


def _port_problems(
    application: WorkerApplication | None, options: contract.SqsdOptions
) -> list[str]:
    port = None if application is None else application.listens_on()
    if port != options.http_port:
        return []
    return [
        f"the application's port ({port}) must not be http_port ({options.http_port}), on which"
        " nginx stands before it; give the application another port"
    ]


def empty_fleet_problem(tasks: Tasks) -> str:
    """Why periodic tasks and a fleet that may be empty do not go together."""
    return (
        f"min_capacity is 0, but {tasks.source} has enabled tasks, and a fleet that sleeps"
        " runs no periodic task; set min_capacity to 1 or more, or disable the tasks"
    )


def _watches(props: Mapping[str, Any]) -> bool:
    """Whether anything reads the queue's metrics."""
    single, scaling = props["single_instance"], props["scaling"]
    scales = not single and (scaling is None or scaling.enabled)
    return scales or _alarms(props)


def _alarms(props: Mapping[str, Any]) -> bool:
    """Whether people are told."""
    chosen = props["alarms"]
    return not props["single_instance"] if chosen is None else bool(chosen)


def _capacity(props: Mapping[str, Any], problems: list[str]) -> tuple[int | None, int | None]:
    """The least and the greatest number of instances."""
    if props["single_instance"]:
        problems += [
            f"{name} cannot be set with single_instance, which is one instance and no scaling;"
            " leave one of the two out"
            for name in _NOT_SINGLE
            if props[name] is not None
        ]
        return 1, 1
    chosen = (props["min_capacity"], props["max_capacity"])
    given = [value if value is not None else d for value, d in zip(chosen, (1, None), strict=True)]
    low = literal_count("min_capacity", given[0], 0, _MAX_INSTANCES, problems)
    default_high = max(_DEFAULT_MAX_CAPACITY, low or 0)
    high = literal_count(
        "max_capacity",
        default_high if given[1] is None else given[1],
        1,
        _MAX_INSTANCES,
        problems,
    )
    if low is not None and high is not None and low > high:
        problems.append(
            f"min_capacity ({low}) must be at most max_capacity ({high}); lower one or raise the"
            " other"
        )
    return low, high


def _whole_seconds(
    name: str,
    value: Duration | None,
    default: int,
    bounds: tuple[int, int],
    problems: list[str],
) -> int | None:
    if value is None:
        return default
    seconds = duration_seconds(name, value, problems)
    if seconds is None:
        return None
    return literal_count(f"{name} (seconds)", seconds, *bounds, problems)


def _max_retries(props: Mapping[str, Any], problems: list[str]) -> int | None:
    """A new queue's, as it is given; an existing one's own, which a prop cannot change."""
    queue, given = props["queue"], cast("int | None", props["max_retries"])
    if queue is None:
        if given is not None and not _has_dead_letters(props):
            problems.append(
                "max_retries counts receives before the dead-letter queue, and dead_letter_queue is"
                " DeadLetterQueue.none(); leave one of the two out"
            )
        return given
    if given is not None:
        problems.append(
            "max_retries cannot be set for a queue that exists: it is the maxReceiveCount of that"
            " queue's redrive policy; change it there"
        )
    facts = described(queue, [])
    if facts is None or facts.max_receive_count is None:
        return None
    # Elastic Beanstalk's option ends at 100; what a queue allows above only delays dead letters.
    return min(facts.max_receive_count, 100)


def _has_dead_letters(props: Mapping[str, Any]) -> bool:
    if props["queue"] is None:
        chosen = props["dead_letter_queue"]
        return not (isinstance(chosen, DeadLetterQueue) and chosen.queue is None)
    facts = described(props["queue"], [])
    return facts is None or facts.dead_letter_queue is not None


def _dead_letter_problems(props: Mapping[str, Any], options: contract.SqsdOptions) -> list[str]:
    if not options.dead_letter_statuses or _has_dead_letters(props):
        return []
    return [
        f"dead_letter_statuses ({', '.join(options.dead_letter_statuses)}) need a dead-letter"
        " queue, and there is none; give the queue one by dead_letter_queue or, if it exists, by a"
        " redrive policy"
    ]
