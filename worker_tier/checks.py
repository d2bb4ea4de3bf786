"""Checks all props of a tier before anything is built, so that one error has every problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from sqsd import contract
from worker_tier.application.image import processor_of
from worker_tier.encryption import key_problems
from worker_tier.errors import InvalidProps
from worker_tier.fleet.capacity import MAX_INSTANCES, capacity_problems, chosen_capacity
from worker_tier.fleet.checks import MAX_WARMUP_SECONDS, fleet_problems, subnet_problems
from worker_tier.fleet.updates import MAX_PAUSE_SECONDS
from worker_tier.monitoring.alarms import age_problems
from worker_tier.options import sqsd_options
from worker_tier.periodic import Tasks, decoded, read_tasks
from worker_tier.props import CommonProps, TierProps, sqsd_props
from worker_tier.props_types import checked_props
from worker_tier.queues.checks import queue_problems
from worker_tier.queues.dead_letters import DeadLetterQueue
from worker_tier.queues.existing_queue import account_problem, described
from worker_tier.ranges import duration_seconds, literal_count
from worker_tier.removal import removal_problems
from worker_tier.scaling.figures import ScalingFigures, WorkerScaling, decide_figures

#: Greatest number of instances when nothing is said.
_DEFAULT_MAX_CAPACITY: Final = 4
#: How long a deployment waits for an instance when nothing is said, s.
_DEFAULT_SIGNAL_TIMEOUT_SECONDS: Final = 600
#: Time from launch until an instance receives when nothing is said, s.
_DEFAULT_WARMUP_SECONDS: Final = 120
#: Greatest `max_retries` in Elastic Beanstalk.
_MOST_RETRIES: Final = 100
_NO_ALARMS: Final = (
    "alarm_actions are given and there are no alarms, because of single_instance or alarms=False;"
    " set alarms=True or leave alarm_actions out"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was decided from a tier's props once they passed every check."""

    options: contract.SqsdOptions
    min_capacity: int
    max_capacity: int
    signal_timeout: Duration
    warmup: Duration
    figures: ScalingFigures | None
    tasks: Tasks
    alarms: bool
    removal_policy: RemovalPolicy


def make_plan(scope: Construct, props: TierProps, problems: list[str]) -> Plan:
    """Check the props of a tier, and decide what they leave open.

    A value that cannot be used is replaced by its default, so that the checks after it can run.
    Nothing is built from it, because every problem raises.

    Args:
        scope: the tier, for its region and its path in the error.
        props: as they were given, with what the source bundle sets.
        problems: found so far.

    Raises:
        InvalidProps: with every problem found.
    """
    props = checked_props(props, TierProps, "WorkerTier", problems)
    options = _options(props, problems)
    problems += queue_problems(scope, props, retention_period=props.get("retention_period"))
    problems += _metrics_problems(scope, props) + _action_problems(props)
    problems += fleet_problems(props) + removal_problems(props)
    problems += subnet_problems(props.get("vpc"), props.get("vpc_subnets"))
    problems += _application_problems(props)
    problems += key_problems(scope, props.get("encryption_key"))
    problems += age_problems(props.get("oldest_message_age"))
    problems += _image_problems(props)
    low, high = _capacity(props, problems)
    tasks = _tasks(props, low, problems)
    plan = Plan(
        options=options,
        min_capacity=low,
        max_capacity=high,
        signal_timeout=_signal_timeout(props, problems),
        warmup=_warmup(props, problems),
        figures=_figures(props, options, low, problems),
        tasks=tasks,
        alarms=_alarms(props),
        removal_policy=_removal_policy(props),
    )
    if problems:
        raise InvalidProps(scope.node.path, problems)
    return plan


def empty_fleet_problem(tasks: Tasks) -> str:
    """Return why periodic tasks and a fleet that may be empty exclude each other."""
    return (
        f"min_capacity is 0, but {tasks.source} has enabled tasks, and a fleet that sleeps"
        " runs no periodic task; set min_capacity to 1 or more, or disable the tasks"
    )


# ---- what is stored


def _removal_policy(props: CommonProps) -> RemovalPolicy:
    given = props.get("removal_policy")
    return RemovalPolicy.DESTROY if given is None else given


# ---- the daemon's options


def _options(props: CommonProps, problems: list[str]) -> contract.SqsdOptions:
    given = sqsd_props(props)
    given["max_retries"] = _max_retries(props, problems)
    options = sqsd_options(given, problems)
    if options is None:
        return contract.SqsdOptions()
    problems += _dead_letter_problems(props, options) + _port_problems(props, options)
    problems += _protection_problems(props, options)
    return options


def _max_retries(props: CommonProps, problems: list[str]) -> int | None:
    """Return a new queue's as given, or that of a queue that exists, which a prop cannot change."""
    queue = props.get("queue")
    given = props.get("max_retries")
    if queue is None:
        if given is not None and not _has_dead_letters(props):
            problems.append(
                "max_retries counts receives before the dead-letter queue, and dead_letter_queue is"
                " DeadLetterQueue.none(); leave one of the two out"
            )
        return given
    facts = described(queue, [])
    if given is not None and (facts is None or given != facts.max_receive_count):
        problems.append(
            "max_retries cannot be set for a queue that exists: it is the maxReceiveCount of that"
            " queue's redrive policy; change it there"
        )
    if facts is None or facts.max_receive_count is None:
        return None
    # A queue may allow more than Elastic Beanstalk's option; that only delays dead letters.
    return min(facts.max_receive_count, _MOST_RETRIES)


def _has_dead_letters(props: CommonProps) -> bool:
    queue = props.get("queue")
    if queue is None:
        chosen = props.get("dead_letter_queue")
        return not (isinstance(chosen, DeadLetterQueue) and chosen.queue is None)
    facts = described(queue, [])
    return facts is None or facts.dead_letter_queue is not None


def _dead_letter_problems(props: CommonProps, options: contract.SqsdOptions) -> list[str]:
    if _has_dead_letters(props):
        return []
    needs = []
    if options.dead_letter_statuses:
        needs.append(f"dead_letter_statuses ({', '.join(options.dead_letter_statuses)}) need")
    if options.on_dead_letter_path is not None:
        needs.append(f"on_dead_letter_path ({options.on_dead_letter_path}) needs")
    return [
        f"{need} a dead-letter queue, and there is none; give the queue one by dead_letter_queue"
        " or, if it exists, by a redrive policy"
        for need in needs
    ]


def _application_problems(props: CommonProps) -> list[str]:
    """Return what the static methods of `WorkerApplication` would have refused."""
    application = props.get("application")
    return [] if application is None else application.problems()


def _port_problems(props: CommonProps, options: contract.SqsdOptions) -> list[str]:
    application = props.get("application")
    port = None if application is None else application.listens_on()
    if port != options.http_port:
        return []
    return [
        f"the application's port ({port}) must not be http_port ({options.http_port}), on which"
        " nginx stands before it; give the application another port"
    ]


def _protection_problems(props: CommonProps, options: contract.SqsdOptions) -> list[str]:
    if not (options.protect_busy_instance and props.get("scale_in_protection")):
        return []
    return [
        "scale_in_protection protects every instance for good, and protect_busy_instance takes that"
        " away from an idle one; leave one of the two out"
    ]


# ---- the fleet, its size and its scaling


def _image_problems(props: CommonProps) -> list[str]:
    """Return why instances cannot run the image of the application: it is for other processors."""
    application = props.get("application")
    platform = None if application is None else application.image_platform
    wanted = processor_of(platform)
    capacity = chosen_capacity(props.get("instance_type"), props.get("capacity"))
    if wanted is None or capacity_problems(capacity):
        return []
    found = capacity.processor()
    if found == wanted:
        return []
    return [
        f"the application's image is for {platform}, and the instances have {found.name}"
        " processors; build it for those, or choose an instance_type with the image's"
    ]


def _capacity(props: CommonProps, problems: list[str]) -> tuple[int, int]:
    """Return the least and the greatest number of instances."""
    if props.get("single_instance"):
        problems += _single_instance_problems(props)
        return 1, 1
    least = props.get("min_capacity")
    low = _count("min_capacity", least, 1, bounds=(0, MAX_INSTANCES), problems=problems)
    most = props.get("max_capacity")
    default = max(_DEFAULT_MAX_CAPACITY, low)
    high = _count("max_capacity", most, default, bounds=(1, MAX_INSTANCES), problems=problems)
    if low > high:
        problems.append(
            f"min_capacity ({low}) must be at most max_capacity ({high}); lower one or raise the"
            " other"
        )
    return low, high


def _single_instance_problems(props: CommonProps) -> list[str]:
    meaningless = {
        "min_capacity": props.get("min_capacity"),
        "max_capacity": props.get("max_capacity"),
        "scaling": props.get("scaling"),
    }
    return [
        f"{name} cannot be set with single_instance, which is one instance and no scaling;"
        " leave one of the two out"
        for name, value in meaningless.items()
        if value is not None
    ]


def _signal_timeout(props: CommonProps, problems: list[str]) -> Duration:
    given = props.get("signal_timeout")
    bounds = (1, MAX_PAUSE_SECONDS)
    return _time("signal_timeout", given, _DEFAULT_SIGNAL_TIMEOUT_SECONDS, bounds, problems)


def _warmup(props: CommonProps, problems: list[str]) -> Duration:
    given = props.get("default_instance_warmup")
    bounds = (0, MAX_WARMUP_SECONDS)
    return _time("default_instance_warmup", given, _DEFAULT_WARMUP_SECONDS, bounds, problems)


def _figures(
    props: CommonProps, options: contract.SqsdOptions, min_capacity: int, problems: list[str]
) -> ScalingFigures | None:
    return decide_figures(
        _scaling(props),
        http_connections=options.http_connections,
        min_capacity=min_capacity,
        problems=problems,
    )


def _scaling(props: CommonProps) -> WorkerScaling:
    if props.get("single_instance"):
        return WorkerScaling.none()
    chosen = props.get("scaling")
    return WorkerScaling() if chosen is None else chosen


def _count(
    name: str, given: object, default: int, *, bounds: tuple[int, int], problems: list[str]
) -> int:
    """Return a number in range, or its default if it is not given or, with a problem, unusable."""
    if given is None:
        return default
    count = literal_count(name, given, *bounds, problems)
    return default if count is None else count


def _time(
    name: str, given: Duration | None, default: int, bounds: tuple[int, int], problems: list[str]
) -> Duration:
    """Return a time in range, or its default if it is not given or, with a problem, unusable."""
    seconds = default if given is None else duration_seconds(name, given, problems)
    if seconds is not None:
        seconds = literal_count(f"{name} (seconds)", seconds, *bounds, problems)
    return Duration.seconds(default if seconds is None else seconds)


# ---- periodic tasks


def _tasks(props: CommonProps, min_capacity: int, problems: list[str]) -> Tasks:
    """Return the tasks that were given, or those of the application's bundle."""
    given = props.get("periodic_tasks")
    application = props.get("application")
    bundled = application.cron_yaml if application is not None else None
    if given is None and bundled is not None:
        source, content = bundled
        tasks = decoded(content, source, problems)
    else:
        tasks = read_tasks(given, problems)
    if min_capacity == 0 and tasks.enabled:
        problems.append(empty_fleet_problem(tasks))
    return tasks


# ---- what watches the queue


def _alarms(props: CommonProps) -> bool:
    """Return whether there are alarms for people."""
    chosen = props.get("alarms")
    return not props.get("single_instance") if chosen is None else chosen


def _metrics_problems(scope: Construct, props: CommonProps) -> list[str]:
    """Return why the queue's metrics cannot be read although something watches them."""
    queue = props.get("queue")
    if queue is None or not (_scaling(props).enabled or _alarms(props)):
        return []
    return account_problem(scope, queue)


def _action_problems(props: CommonProps) -> list[str]:
    return [_NO_ALARMS] if props.get("alarm_actions") and not _alarms(props) else []
