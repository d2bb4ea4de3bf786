"""Where settings come from: `tier.json`, the YAML file of an Elastic Beanstalk instance, flags.

A file copied from a Beanstalk instance (`/etc/aws-sqsd.d/default.yaml`) works as it is. Flags come
before what a file says; all is checked together, in `sqsd.contract`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import yaml

from sqsd import contract
from sqsd.contract import InvalidSettings, SqsdOptions, TierResources, TierSettings

OPTION_NAMES: Final = tuple(f.name for f in fields(SqsdOptions))
RESOURCE_NAMES: Final = tuple(f.name for f in fields(TierResources))
#: EB's keys that are ours by another name.
_EB_RESOURCES: Final = {"registry_table": "leader_table", "environment_name": "tier_name"}
#: EB's keys with nothing to set here, and why.
_EB_WITHOUT_EFFECT: Final = {
    "threads": "there are no threads",
    "keepalive": "connections are always kept",
    "sqs_batch_delete": "deletes are always batched",
    "sqs_ssl": "the endpoint's scheme decides",
    "dynamodb_ssl": "the endpoint's scheme decides",
    "sqs_verify_checksums": "checksums are always verified",
    "verbose": "every outcome is one line",
    "debug": "every outcome is one line",
    "quiet": "every outcome is one line",
    "message_resend_grace_period": "set catch_up in cron.yaml",
    "healthcheck": "the port is probed",
}
#: `sqs.eu-west-1.amazonaws.com`, `.com.cn`, `sqs-fips.`, and the old `eu-west-1.queue.` form.
_REGION_IN_HOST: Final = re.compile(
    r"https?://(?:sqs(?:-fips)?\.(?P<new>[a-z0-9-]+)|(?P<old>[a-z0-9-]+)\.queue)\.(?:amazonaws|api)\."
)


def described_options() -> list[tuple[str, str, Any]]:
    """Each option's name, meaning and default, in the contract's order."""
    return [(f.name, f.metadata["meaning"], f.default) for f in fields(SqsdOptions)]


def load(
    path: Path | None, flags: Mapping[str, Any], notes: list[str] | None = None
) -> TierSettings:
    """Read settings from a file, if one is named, and from flags.

    Args:
        path: `tier.json`, or a `.yaml` or `.yml` file with EB's keys.
        flags: option and resource names with their values; what was not given is left out.
        notes: takes a sentence for each of EB's keys that has no effect here.

    Raises:
        InvalidSettings: with every problem found, also when the file cannot be read.
    """
    document: dict[str, Any] = {"version": contract.SETTINGS_VERSION}
    source = "flags"
    if path is not None:
        source, document = str(path), _read(path, [] if notes is None else notes)
    options = document.get("options", {})
    if isinstance(options, dict):
        given = {name: flags[name] for name in OPTION_NAMES if name in flags}
        document["options"] = {**options, **given}
    document.update((name, flags[name]) for name in RESOURCE_NAMES if name in flags)
    if "cron_file" in flags:
        document["cron_file"] = flags["cron_file"]
    _fill_in(document)
    return TierSettings.from_document(document, source)


def _read(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(
            [f"cannot be read: {error}; name the file with --settings FILE"], str(path)
        ) from error
    if path.suffix not in (".yaml", ".yml"):
        return contract.parse_document(text, str(path))
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidSettings([f"not YAML: {' '.join(str(error).split())}"], str(path)) from error
    if not isinstance(document, dict):
        raise InvalidSettings(["must be a mapping of EB's sqsd keys"], str(path))
    return _from_beanstalk(document, str(path), notes)


def _from_beanstalk(document: dict[Any, Any], source: str, notes: list[str]) -> dict[str, Any]:
    """EB's flat keys as the object of `tier.json`."""
    result: dict[str, Any] = {"version": contract.SETTINGS_VERSION}
    options: dict[str, Any] = {}
    problems = []
    for key, value in document.items():
        name = str(key).strip(":")  # Ruby writes symbols as `:queue_url:`
        if name == "http_url":
            if value not in ("http://localhost", "http://127.0.0.1"):
                problems.append(f"http_url must be http://localhost, got {value!r}")
        elif name in OPTION_NAMES:
            off = name == "error_visibility_timeout" and isinstance(value, int) and value < 0
            options[name] = None if off else value  # a negative number is EB's "off"
        elif name in RESOURCE_NAMES or name == "cron_file":
            result[name] = value
        elif name in _EB_RESOURCES:
            result[_EB_RESOURCES[name]] = value
        else:
            why = _EB_WITHOUT_EFFECT.get(name, "this daemon has no such setting")
            notes.append(f"{name} has no effect: {why}")
    if problems:
        raise InvalidSettings(problems, source)
    if "inactivity_timeout" not in options and "visibility_timeout" in options:
        # EB's daemon takes the one for the other.
        options["inactivity_timeout"] = options["visibility_timeout"]
    result["options"] = options
    return result


def _fill_in(document: dict[str, Any]) -> None:
    """What the queue's URL tells: the region, and a name for metrics and logs."""
    url = document.get("queue_url")
    if not isinstance(url, str):
        return
    if document.get("region") is None and (found := _REGION_IN_HOST.match(url)):
        document["region"] = found["new"] or found["old"]
    if document.get("tier_name") is None:
        document["tier_name"] = url.rstrip("/").rpartition("/")[2]
