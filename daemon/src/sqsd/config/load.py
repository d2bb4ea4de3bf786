"""Loads settings: from `tier.json`, the YAML file of an Elastic Beanstalk instance, and flags.

A file copied from a Beanstalk instance (`/etc/aws-sqsd.d/default.yaml`) works as it is. A flag wins
over the file. `sqsd.contract` checks everything together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqsd import contract
from sqsd.config.beanstalk import from_beanstalk
from sqsd.config.resource_checks import region_of_url, resource_problems
from sqsd.config.yaml_text import UnreadableYaml, read_yaml
from sqsd.contract import InvalidSettings, SqsdOptions, TierResources, TierSettings

#: Names of all options, in the contract's order.
OPTION_NAMES: Final = tuple(f.name for f in fields(SqsdOptions))
#: Names of all resources, in the contract's order.
RESOURCE_NAMES: Final = tuple(f.name for f in fields(TierResources))


def described_resources() -> list[tuple[str, str]]:
    """Return name and meaning of each resource, in the contract's order."""
    return [(f.name, f.metadata["meaning"]) for f in fields(TierResources)]


def described_options() -> list[tuple[str, str, Any]]:
    """Return name, meaning and default of each option, in the contract's order."""
    return [(f.name, f.metadata["meaning"], f.default) for f in fields(SqsdOptions)]


class Draft(NamedTuple):
    """Holds settings that are merged and not checked yet.

    `source` names where they come from, for error texts. `problems` are those of the merge;
    `finish` finds the rest.
    """

    document: dict[str, Any]
    source: str
    problems: tuple[str, ...] = ()

    def text(self, name: str) -> str | None:
        """Return a setting or an option if it is a text that is not empty, else None."""
        options = self.document.get("options")
        value = self.document.get(name)
        if value is None and isinstance(options, dict):
            value = options.get(name)
        return value if isinstance(value, str) and value else None


def draft(path: Path | None, flags: Mapping[str, Any], notes: list[str] | None = None) -> Draft:
    """Merge the settings of a file, if one is named, with flags.

    Args:
        path: `tier.json`, or a `.yaml` or `.yml` file with EB's keys; or None.
        flags: option and resource names with their values, for the flags that were given.
        notes: list to which a sentence is added for each of EB's keys that has no effect here.

    Raises:
        InvalidSettings: the file cannot be read, or is not a settings file.
    """
    document: dict[str, Any] = {"version": contract.SETTINGS_VERSION}
    source = "flags"
    problems: list[str] = []
    if path is not None:
        source = str(path)
        document = _read(path, [] if notes is None else notes, problems)
    options = document.get("options", {})
    if isinstance(options, dict):
        given = {name: flags[name] for name in OPTION_NAMES if name in flags}
        document["options"] = {**options, **given}
    document.update((name, flags[name]) for name in RESOURCE_NAMES if name in flags)
    if "cron_file" in flags:
        document["cron_file"] = flags["cron_file"]
    _fill_in(document)
    return Draft(document, source, tuple(problems))


def finish(draft: Draft) -> TierSettings:
    """Check a draft and return its settings.

    Raises:
        InvalidSettings: with every problem found.
    """
    problems = list(draft.problems)
    read = None
    try:
        read = TierSettings.from_document(draft.document, draft.source)
    except InvalidSettings as error:
        problems += error.problems
    problems += resource_problems(draft.text("region"), _queue_urls(draft.document))
    if problems or read is None:
        raise InvalidSettings(problems, draft.source)
    return read


def load(
    path: Path | None, flags: Mapping[str, Any], notes: list[str] | None = None
) -> TierSettings:
    """Load, merge and check the settings of a file and of flags: `draft`, then `finish`.

    Raises:
        InvalidSettings: with every problem found, also when the file cannot be read.
    """
    return finish(draft(path, flags, notes))


def _queue_urls(document: Mapping[str, Any]) -> dict[str, str]:
    """Return every queue URL that is a text, by the name of its setting."""
    more = document.get("more_queues")
    places = [("", document)] + [
        (f"more_queues[{position}].", queue)
        for position, queue in enumerate(more if isinstance(more, list) else ())
        if isinstance(queue, dict)
    ]
    return {
        f"{prefix}{name}": url
        for prefix, queue in places
        for name in ("queue_url", "dead_letter_queue_url")
        if isinstance(url := queue.get(name), str) and url
    }


def _read(path: Path, notes: list[str], problems: list[str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(
            [f"cannot be read: {error}; name the file with --settings FILE"], str(path)
        ) from error
    if path.suffix not in (".yaml", ".yml"):
        return contract.parse_document(text, str(path))
    try:
        document = read_yaml(text)
    except UnreadableYaml as error:
        raise InvalidSettings([str(error)], str(path)) from error
    if not isinstance(document, dict):
        raise InvalidSettings(["must be a mapping of EB's sqsd keys"], str(path))
    return from_beanstalk(document, notes, problems)


def _fill_in(document: dict[str, Any]) -> None:
    """Derive the region and the tier's name from the queue's URL where they are not set."""
    url = document.get("queue_url")
    if not isinstance(url, str):
        return
    if document.get("region") is None and (region := region_of_url(url)) is not None:
        document["region"] = region
    if document.get("tier_name") is None:
        document["tier_name"] = url.rstrip("/").rpartition("/")[2]
