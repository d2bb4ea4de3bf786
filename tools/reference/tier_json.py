"""docs/reference/tier.schema.json and tier-json.md, from the dataclasses of the contract.

The checks of options are functions that say in words what they allow. `_RULES` has the words and
the JSON Schema that means the same; a test compares both on many values. Words that are not there
are an error, so a new kind of check cannot be forgotten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Final

from sqsd.contract import SETTINGS_VERSION, SHARED_OPTIONS, SqsdOptions, TierResources, TierSettings
from tools.reference.constants import ROOT

SCHEMA_FILE: Final = ROOT / "docs" / "reference" / "tier.schema.json"
TIER_JSON_PAGE: Final = ROOT / "docs" / "reference" / "tier-json.md"

Schema = dict[str, Any]
_OR_NULL: Final = ", or null for none"
#: End of a text. In Python's dialect `$` alone is also before a last line feed.
_END: Final = r"$(?!\n)"
#: Letters of a header's value, without blanks at either end.
_HEADER_TEXT: Final = "[!-~]([ -~]*[!-~])?"
_STATUS: Final = "[2-5](xx|[0-9]{2})"
#: Whole numbers from 0 to 43200, with at most five digits.
_DELAY_SECONDS: Final = "([0-9]{1,4}|[0-3][0-9]{4}|4[0-2][0-9]{3}|43[01][0-9]{2}|43200)"


def _text(pattern: str) -> Schema:
    return {"type": "string", "pattern": f"^{pattern}{_END}"}


def _range(found: re.Match[str]) -> Schema:
    return {"type": "integer", "minimum": int(found["low"]), "maximum": int(found["high"])}


#: Pattern of what a check says -> the schema that means the same.
_RULES: Final[Mapping[str, Callable[[re.Match[str]], Schema]]] = {
    r"a whole number from (?P<low>\d+) to (?P<high>\d+)": _range,
    "true or false": lambda _: {"type": "boolean"},
    "a path that begins with / and has no blanks": lambda _: _text("/[!-~]*"),
    "an absolute path": lambda _: {"type": "string", "pattern": "^/"},
    "a content type such as .*": lambda _: _text(_HEADER_TEXT),
    "a text without control characters, .*": lambda _: _text(_HEADER_TEXT),
    "a host name, with :port if need be": lambda _: _text("[!-+.0-?A-~-]+"),
    "a host name or IPv4 address": lambda _: _text("[!-.0-9;-?A-~]+"),
    "a status such as .*": lambda _: _text(_STATUS),
    "a status or class, =, and seconds .*": lambda _: _text(
        f"{_STATUS}=({_DELAY_SECONDS}|backoff)"
    ),
    "1 to 255 letters, .* that do not begin with : or AWS/": lambda _: _text(
        "(?!AWS/)[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}"
    ),
    # Last, for it matches words that the others are made of: names, separated by "or".
    r"\S+( or \S+)+": lambda found: {"enum": found[0].split(" or ")},
}


class UnknownCheck(ValueError):
    """A check allows something that has no schema here; add its words to `_RULES`."""


def schema() -> Schema:
    """Return the JSON Schema of `tier.json`.

    Raises:
        UnknownCheck: what an option's check allows has no schema here.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tier.json",
        "description": "All settings of `sqsd run`. Generated; see tier-json.md.",
        "type": "object",
        "additionalProperties": False,
        "required": ["version", *_required(TierResources)],
        "properties": {
            "version": {"const": SETTINGS_VERSION, "description": "of this document's form"},
            **{resource.name: _resource_schema(resource) for resource in fields(TierResources)},
            "cron_file": _described(
                _nullable({"type": "string", "minLength": 1}),
                "path of cron.yaml, relative to this file; null without periodic tasks",
            ),
            "options": _options_schema(own_only=False),
            "weight": _weight_schema(),
            "more_queues": {
                "type": "array",
                "description": "further queues of the same daemon",
                "items": _queue_schema(),
            },
        },
    }


def option_schema(option: Field[Any]) -> Schema:
    """Return the schema of one option.

    Raises:
        UnknownCheck: what its check allows has no schema here.
    """
    check = option.metadata["check"]
    allowed: str = check(object())
    if allowed == "a list":
        item = check((object(),)).removeprefix("a list, each ")
        return {"type": "array", "items": _schema_of(item)}
    if allowed.endswith(_OR_NULL):
        return _nullable(_schema_of(allowed.removesuffix(_OR_NULL)))
    return _schema_of(allowed)


def schema_text() -> str:
    """Return the schema as it is in its file."""
    return json.dumps(schema(), indent=2) + "\n"


def tier_json_page() -> str:
    """Return the page."""
    minimal = TierSettings(
        resources=TierResources(
            queue_url="https://sqs.eu-west-1.amazonaws.com/123456789012/work",
            region="eu-west-1",
            tier_name="orders",
        ),
        options=SqsdOptions(http_port=3000),
    ).to_document()
    minimal = {key: value for key, value in minimal.items() if value is not None}
    minimal["options"] = {"http_port": 3000}
    return "\n".join((_INTRODUCTION.format(json.dumps(minimal, indent=2)), *_rows(), _QUEUES))


def _rows() -> Iterator[str]:
    required = schema()["required"]
    for name, found in schema()["properties"].items():
        must = "yes" if name in required else "no"
        yield f"| `{name}` | {must} | {found.get('description', '')} |"


def _schema_of(allowed: str) -> Schema:
    for words, make in _RULES.items():
        if found := re.fullmatch(words, allowed):
            return make(found)
    raise UnknownCheck(f"no schema for what a check allows: {allowed!r}; add it to {__name__}")


def _options_schema(*, own_only: bool) -> Schema:
    return {
        "type": "object",
        "description": "options of the daemon; those that are missing have their default",
        "additionalProperties": False,
        "properties": {
            option.name: _described(option_schema(option), option.metadata["meaning"])
            for option in fields(SqsdOptions)
            if not own_only or option.name not in SHARED_OPTIONS
        },
    }


def _queue_schema() -> Schema:
    text = {"type": "string", "minLength": 1}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["queue_url"],
        "properties": {
            "queue_url": _described(text, "URL of the queue"),
            "weight": _weight_schema(),
            "dead_letter_queue_url": _described(_nullable(text), "URL of its dead-letter queue"),
            "options": _options_schema(own_only=True),
        },
    }


def _weight_schema() -> Schema:
    return _described(
        {"type": "integer", "minimum": 1, "maximum": 100},
        "share of the connections when all queues are full",
    )


def _resource_schema(resource: Field[Any]) -> Schema:
    text = {"type": "string", "minLength": 1}
    optional = resource.default is not MISSING
    return _described(_nullable(text) if optional else text, resource.metadata["meaning"])


def _required(cls: type) -> list[str]:
    return [f.name for f in fields(cls) if f.default is MISSING]


def _nullable(inner: Schema) -> Schema:
    return {"anyOf": [inner, {"type": "null"}]}


def _described(inner: Schema, meaning: str) -> Schema:
    return {"description": meaning, **inner}


_INTRODUCTION: Final = """# `tier.json`

The one settings file of the daemon. The constructs render it, the bootstrap puts it at
`/etc/worker-tier/tier.json`, and the daemon reads nothing else. (Generated from the contract by
`make reference`.) This is enough of one:

```json
{}
```

`sqsd check --settings FILE` names every problem in a file. Its form as a JSON Schema is
[tier.schema.json](tier.schema.json), for editors and for whoever makes the file without the
constructs. The schema checks each value; combinations of values are checked by the daemon alone.

| key | required | meaning |
|---|---|---|"""
_QUEUES: Final = """
[Options of the daemon](options.md) has the keys of `options`, and [queues](../guide/queues.md) an
example with `more_queues`. Unknown keys are errors.
"""
