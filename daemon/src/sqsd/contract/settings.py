"""Reads and writes the settings document `tier.json`: resources, options, queues.

The constructs render it, the bootstrap completes it, the daemon reads it.
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
#: Path of `tier.json` on an instance.
SETTINGS_PATH: Final = "/etc/worker-tier/tier.json"


def _resource(meaning: str, default: Any = MISSING) -> Any:
    """Define a field with its meaning, which the command line and the reference show."""
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True, slots=True)
class TierResources:
    """Holds what only CloudFormation knows. In a template these are tokens, so nothing is checked.

    A launch template cannot name the group that refers to it, so the bootstrap adds
    `auto_scaling_group`; while it is None, the daemon reads the instance's tag
    `aws:autoscaling:groupName`.
    """

    queue_url: str = _resource("URL of the work queue")
    region: str = _resource("region of the queue, the table and the group")
    tier_name: str = _resource("name of the tier in metrics and logs: the stack's name")
    dead_letter_queue_url: str | None = _resource(
        "URL of the dead-letter queue; none if there is none", None
    )
    leader_table: str | None = _resource(
        "name of the leader table; none without periodic tasks", None
    )
    lifecycle_hook: str | None = _resource(
        "name of the group's hook on termination, which the daemon extends while it drains and then"
        " completes; none if there is no hook",
        None,
    )
    auto_scaling_group: str | None = _resource(
        "name of the Auto Scaling group; by default the instance's own, by its tag", None
    )
    log_group: str | None = _resource(
        "CloudWatch Logs group that the instance's agent ships logs and metrics to; none if logs"
        " stay on the instance",
        None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSettings:
    """Describes a further queue that the same daemon receives messages from.

    Args:
        queue_url: URL of the queue.
        weight: 1 to 100; when all queues are full, connections are shared by weight.
        dead_letter_queue_url: URL of its dead-letter queue, or None if there is none.
        options: options that differ from `TierSettings.options`, by name. None of
            `SHARED_OPTIONS`.

    Raises:
        InvalidSettings: with every problem found. Combinations with the tier's own options are
            checked by `TierSettings`.
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
    """Holds the content of `tier.json`: all settings of `sqsd run`.

    Args:
        resources: names and URLs that only CloudFormation knows, the first queue included.
        options: the daemon's options.
        cron_file: path of the periodic tasks' file, or None if there are none. A relative path
            starts at the directory of `tier.json`. If the file has an enabled task,
            `resources.leader_table` must be set.
        weight: weight of the first queue; see `QueueSettings`.
        more_queues: further queues.

    Raises:
        InvalidSettings: the queues contradict each other or the options.
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
        """Return all options of one of `more_queues`."""
        return replace(self.options, **queue.options)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON object of `tier.json`; options at their default are written too.

        Keys for several queues are written only where there are several: a new key would replace
        the instances of every other tier.
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
    def from_other_release(cls, text: str, source: str = "tier.json") -> Self:
        """Read `tier.json` of another release of worker-tier, as far as this release knows it.

        Keys and options that are unknown here are left out, and so are options whose value is not
        allowed here. For the bootstrap, which returns to the files of an earlier release; a daemon
        reads its own release's file by `from_json`.

        Raises:
            InvalidSettings: what is left is not enough.
        """
        document = parse_document(text, source)
        resources = {f.name for f in fields(TierResources)}
        known = {name: value for name, value in document.items() if name in resources | _OTHER_KEYS}
        given = document.get("options")
        given = _with_tuples(given) if isinstance(given, dict) else {}
        names = {f.name for f in fields(SqsdOptions)}
        options = {
            name: value
            for name, value in given.items()
            if name in names and not value_problems({name: value})
        }
        return cls.from_document({**known, "version": SETTINGS_VERSION, "options": options}, source)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], source: str) -> Self:
        """Read settings from an object that `to_document` returned.

        Raises:
            InvalidSettings: names `source` and lists every problem found.
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
        if isinstance(given, Mapping) and not document.get("dead_letter_queue_url"):
            problems += [
                f"{name} {verb} dead_letter_queue_url; name the queue"
                for name, verb, _ in _NEED_DEAD_LETTERS
                if given.get(name)
            ]
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


#: Options that are of no use without a dead-letter queue, each with its verb and its value for off.
_NEED_DEAD_LETTERS: Final = (
    ("dead_letter_statuses", "need", "[]"),
    ("on_dead_letter_path", "needs", "null"),
)
#: Keys of `tier.json` besides the names of `TierResources`.
_OTHER_KEYS: Final = frozenset({"version", "cron_file", "options", "weight", "more_queues"})


def parse_document(text: str, source: str) -> dict[str, Any]:
    """Parse a text that is a JSON object.

    Raises:
        InvalidSettings: the text is not JSON, or not an object.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidSettings([f"not JSON: {error}"], source) from error
    except RecursionError as error:
        raise InvalidSettings(["not JSON of settings: nested too deeply"], source) from error
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
    return f"{name} must be a non-empty string, got {value!r}"


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
    """Return options with tuples in place of JSON's lists, because options are immutable."""
    return {n: tuple(v) if isinstance(v, list) else v for n, v in document.items()}


# ---- several queues


def _read_queues(documents: Any, problems: list[str]) -> tuple[QueueSettings, ...]:
    """Return the queues that can be read; adds the problems of those that cannot."""
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
    """Return problems of the queues together, or of a queue with the options it inherits."""
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
        if not queue.dead_letter_queue_url:
            problems += [
                f"queue {queue.queue_url}: {name} {verb} dead_letter_queue_url; name the queue,"
                f" or set its {name} to {off}"
                for name, verb, off in _NEED_DEAD_LETTERS
                if getattr(chosen, name)
            ]
    return problems


def _weight_problems(weight: Any) -> list[str]:
    allowed = _WEIGHT(weight)
    return [f"weight must be {allowed}, got {weight!r}"] if allowed else []


def _called(url: Any) -> str:
    name = url.rstrip("/").rpartition("/")[2] if isinstance(url, str) else ""
    return f" ({name})" if name else ""


_WEIGHT: Final = check.whole_number(1, 100)
