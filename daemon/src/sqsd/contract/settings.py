"""What the daemon and the constructs share: options, headers, table keys, `tier.json`.

The daemon reads what is written down here, so it owns it; the constructs import this module and
render it. Standard library only, for it is also loaded by `cdk synth` (ADR 3).

Names, defaults and ranges of options are Elastic Beanstalk's (EB developer guide, general options,
namespace `aws:elasticbeanstalk:sqsd`); durations are whole seconds. What EB has no name for is
marked "ours" and listed in docs/compatibility.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any, Final, Self

from sqsd.contract import checks as check
from sqsd.contract.options import SHARED_OPTIONS, InvalidSettings, SqsdOptions, value_problems

# ---- settings file ---------------------------------------------------------------------------

SETTINGS_VERSION: Final = 1
#: Where an instance keeps the file that the constructs render.
SETTINGS_PATH: Final = "/etc/worker-tier/tier.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TierResources:
    """What only CloudFormation knows. In a template these are tokens, so nothing is checked."""

    queue_url: str
    region: str
    #: Names the tier in metrics and logs: the stack's name.
    tier_name: str
    dead_letter_queue_url: str | None = None
    leader_table: str | None = None
    #: The group's hook on termination: the daemon holds it while it drains, and completes it then.
    lifecycle_hook: str | None = None
    #: The group's name; without it the daemon asks the instance's tag `aws:autoscaling:groupName`,
    #: for a launch template cannot name the group that refers to it.
    auto_scaling_group: str | None = None
    #: CloudWatch Logs group to which the instance's agent ships the daemon's lines, with metrics.
    log_group: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSettings:
    """A queue besides the first one, which the same daemon takes messages from.

    Args:
        weight: 1 to 100; when all queues are full, connections are shared by weight.
        options: those that are not as in `TierSettings.options`, by name. None of
            `SHARED_OPTIONS`.

    Raises:
        InvalidSettings: with every problem found; a combination with the tier's own options is
            looked at by `TierSettings`.
    """

    queue_url: str
    weight: int = 1
    dead_letter_queue_url: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = _weight_problems(self.weight)
        for name in sorted(self.options.keys() & SHARED_OPTIONS):
            problems.append(
                f"option {name} cannot be chosen for one queue, for all share one application and"
                " one process; set it in the options of the tier"
            )
        known = {f.name for f in fields(SqsdOptions)} - SHARED_OPTIONS
        problems += _unknown_keys(self.options, known | SHARED_OPTIONS, "option")
        own = {name: value for name, value in self.options.items() if name in known}
        if problems := problems + value_problems(own):
            raise InvalidSettings(problems, f"queue {self.queue_url}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TierSettings:
    """All that `sqsd run` is told: the content of `tier.json`.

    `cron_file` is read when the daemon starts; a relative path counts from the settings file's own
    directory. With a cron file that holds an enabled task, `resources.leader_table` is needed.

    `weight` is the first queue's, that of `resources`; see `QueueSettings` for `more_queues`.

    Raises:
        InvalidSettings: the queues do not fit together.
    """

    resources: TierResources
    options: SqsdOptions = field(default_factory=SqsdOptions)
    cron_file: str | None = None
    weight: int = 1
    more_queues: tuple[QueueSettings, ...] = ()

    def __post_init__(self) -> None:
        problems = _weight_problems(self.weight)
        urls = [self.resources.queue_url, *(queue.queue_url for queue in self.more_queues)]
        problems += _queues_problems(urls, self.options, self.more_queues)
        if problems:
            raise InvalidSettings(problems, "tier settings")

    def options_of(self, queue: QueueSettings) -> SqsdOptions:
        """All options of one of `more_queues`."""
        return replace(self.options, **queue.options)

    def to_document(self) -> dict[str, Any]:
        """The JSON object of `tier.json`; options at their default are written too.

        With one queue it is what it was before there could be several, so that nobody's instances
        are replaced for a file that means the same.
        """
        several = {"weight": self.weight, "more_queues": [asdict(q) for q in self.more_queues]}
        return {
            "version": SETTINGS_VERSION,
            **asdict(self.resources),
            "cron_file": self.cron_file,
            "options": asdict(self.options),
            **(several if self.more_queues or self.weight != 1 else {}),
        }

    @classmethod
    def from_json(cls, text: str, source: str = "tier.json") -> Self:
        """Read `tier.json`.

        Raises:
            InvalidSettings: names `source` and lists every problem found.
        """
        return cls.from_document(parse_document(text, source), source)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], source: str) -> Self:
        """Read settings from the object that `to_document` gives.

        Raises:
            InvalidSettings: as `from_json` does.
        """
        problems = _version_problems(document)
        known = {f.name: f for f in fields(TierResources)}
        problems += _unknown_keys(document, _OTHER_KEYS | known.keys(), "key")
        problems += [
            problem for name, f in known.items() if (problem := _text_problem(document, name, f))
        ]
        cron_file = document.get("cron_file")
        if cron_file is not None and not (isinstance(cron_file, str) and cron_file):
            problems.append(f"cron_file must be a path or null, got {cron_file!r}")
        weight = document.get("weight", 1)
        problems += _weight_problems(weight)
        options = _read_options(document.get("options", {}), problems)
        more = document.get("more_queues", [])
        queues = _read_queues(more, problems)
        urls = [q.get("queue_url") for q in (document, *_listed(more)) if isinstance(q, Mapping)]
        problems += _queues_problems(urls, options, queues)
        given = document.get("options")
        buries = isinstance(given, Mapping) and given.get("dead_letter_statuses")
        if buries and not document.get("dead_letter_queue_url"):
            problems.append("dead_letter_statuses need dead_letter_queue_url; name the queue")
        if problems or options is None:
            raise InvalidSettings(problems, source)
        resources = TierResources(**{name: document.get(name) for name in known})  # type: ignore[arg-type]
        return cls(
            resources=resources,
            options=options,
            cron_file=cron_file,
            weight=weight,
            more_queues=queues,
        )


#: Keys of `tier.json` besides those of `TierResources`.
_OTHER_KEYS: Final = frozenset({"version", "cron_file", "options", "weight", "more_queues"})


def parse_document(text: str, source: str) -> dict[str, Any]:
    """The JSON object in a text.

    Raises:
        InvalidSettings: there is none.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidSettings([f"not JSON: {error}"], source) from error
    if not isinstance(document, dict):
        raise InvalidSettings([f"must be a JSON object, got {document!r:.60}"], source)
    return document


def _version_problems(document: Mapping[str, Any]) -> list[str]:
    version = document.get("version")
    if version == SETTINGS_VERSION:
        return []
    return [
        f"version must be {SETTINGS_VERSION}, got {version!r}: deploy the stack again with the"
        " worker-tier release that this daemon belongs to"
    ]


def _unknown_keys(document: Mapping[str, Any], known: AbstractSet[str], what: str) -> list[str]:
    return [
        f"unknown {what} {name!r}; known: {', '.join(sorted(known))}"
        for name in sorted(document.keys() - known)
    ]


def _text_problem(document: Mapping[str, Any], name: str, f: Field[Any]) -> str | None:
    value = document.get(name)
    if value is None and f.default is not MISSING:
        return None
    if isinstance(value, str) and value:
        return None
    return f"{name} must be a text that is not empty, got {value!r}"


def _read_options(document: Any, problems: list[str]) -> SqsdOptions | None:
    if not isinstance(document, dict):
        problems.append(f"options must be a JSON object, got {document!r:.60}")
        return None
    known = {f.name for f in fields(SqsdOptions)}
    problems += _unknown_keys(document, known, "option")
    try:
        return SqsdOptions(**{n: v for n, v in _with_tuples(document).items() if n in known})
    except InvalidSettings as error:
        problems.extend(error.problems)
        return None


def _with_tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists only; options are values, so theirs are tuples."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in document.items()}


# ---- several queues


def _read_queues(documents: Any, problems: list[str]) -> tuple[QueueSettings, ...]:
    """Those that can be read; the problems of the others are added."""
    if not isinstance(documents, list):
        problems.append(f"more_queues must be a list of JSON objects, got {documents!r:.60}")
    queues = []
    for position, document in enumerate(_listed(documents)):
        found: list[str] = []
        if queue := _read_queue(document, found):
            queues.append(queue)
        url = document.get("queue_url") if isinstance(document, dict) else None
        problems += [f"more_queues[{position}]{_called(url)}: {problem}" for problem in found]
    return tuple(queues)


def _read_queue(document: Any, problems: list[str]) -> QueueSettings | None:
    if not isinstance(document, dict):
        problems.append(f"must be a JSON object, got {document!r:.60}")
        return None
    known = {f.name: f for f in fields(QueueSettings)}
    problems += _unknown_keys(document, known.keys(), "key")
    for name in ("queue_url", "dead_letter_queue_url"):
        if problem := _text_problem(document, name, known[name]):
            problems.append(problem)
    chosen = {name: value for name, value in document.items() if name in known}
    options = chosen.setdefault("options", {})
    if not isinstance(options, dict):
        problems.append(f"options must be a JSON object, got {options!r:.60}")
        options = {}
    try:
        queue = QueueSettings(**{"queue_url": "", **chosen, "options": _with_tuples(options)})
    except InvalidSettings as error:
        problems.extend(error.problems)
        return None
    return None if problems else queue


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _queues_problems(
    urls: Sequence[Any], options: SqsdOptions | None, queues: Sequence[QueueSettings]
) -> list[str]:
    """What is wrong with the queues together, or with one and the options it takes over."""
    problems = [
        f"queue {url} is named {urls.count(url)} times; name each queue once"
        for url in dict.fromkeys(url for url in urls if isinstance(url, str))
        if urls.count(url) > 1
    ]
    if options is None:
        return problems
    if options.http_connections < len(urls):
        problems.append(
            f"http_connections ({options.http_connections}) must be at least the number of queues"
            f" ({len(urls)}), for each keeps a long poll open; raise it, or name fewer queues"
        )
    for queue in queues:
        try:
            chosen = replace(options, **queue.options)
        except InvalidSettings as error:
            problems += [f"queue {queue.queue_url}: {problem}" for problem in error.problems]
            continue
        if chosen.dead_letter_statuses and not queue.dead_letter_queue_url:
            problems.append(
                f"queue {queue.queue_url}: dead_letter_statuses need dead_letter_queue_url; name"
                " the queue, or set its dead_letter_statuses to []"
            )
    return problems


def _weight_problems(weight: Any) -> list[str]:
    allowed = _WEIGHT(weight)
    return [f"weight must be {allowed}, got {weight!r}"] if allowed else []


def _called(url: Any) -> str:
    name = url.rstrip("/").rpartition("/")[2] if isinstance(url, str) else ""
    return f" ({name})" if name else ""


_WEIGHT: Final = check.whole_number(1, 100)
