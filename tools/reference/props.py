"""docs/reference/props.md, from the descriptions in worker_tier/props.py.

They are read from the source without importing it, so no CDK is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Final

import griffe

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "reference" / "props.md"
_MODULE: Final = "worker_tier.props"
_TIER: Final = "TierProps"
#: Title of the props that have no default.
_REQUIRED: Final = "Required"
_REQUIRED_TYPE: Final = re.compile(r"Required\[(?P<type>.*)\]")
#: Width of prose in the documents, columns.
_WIDTH: Final = 100
_INTRODUCTION: Final = """# Props of `WorkerTier`

Generated from `worker_tier/props.py` by `make reference`; `help(WorkerTier)` prints the same.

For every prop `None` means the default, except for `metrics_namespace` and `status_port`, which
`None` switches off. Durations that become options of the daemon are whole seconds.
"""
#: A description: meaning, then the name in Elastic Beanstalk, the default, and when to choose
#: otherwise, as far as it has them.
_DESCRIPTION: Final = re.compile(
    r"(?P<meaning>.*?)(?: Elastic Beanstalk: (?P<eb_name>`\w+`)\.)?"
    r"(?: Default: (?P<default>.*?)\.(?: (?P<advice>.*))?)?"
)


class UndescribedProp(ValueError):
    """A prop without a description, or with one that does not say its default."""


@dataclass(frozen=True, kw_only=True)
class Prop:
    """A prop as its page shows it. Texts are in Markdown, `default` without a full stop."""

    name: str
    type: str
    meaning: str
    default: str | None
    eb_name: str | None
    advice: str | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of props that stand together."""

    name: str
    summary: str
    props: tuple[Prop, ...]


def props_page() -> str:
    """Return the page.

    Raises:
        UndescribedProp: a prop has no description, or is optional and does not say its default.
    """
    sections = [_INTRODUCTION]
    for group in groups():
        title = _REQUIRED if group.name == _TIER else group.summary.rstrip(".")
        sections.append(f"## {title}\n\n`worker_tier.props.{group.name}`\n")
        sections += map(_section, group.props)
    return "\n".join(sections)


def groups() -> tuple[Group, ...]:
    """Return the groups of a tier's props, those of the tier itself first."""
    module = griffe.load(_MODULE, search_paths=[ROOT], allow_inspection=False)
    found = {name: c for name, c in module.members.items() if isinstance(c, griffe.Class)}
    return tuple(_groups(_TIER, found))


def _groups(name: str, found: Mapping[str, griffe.Class]) -> Iterator[Group]:
    group = found[name]
    keys = [key for key in group.members.values() if isinstance(key, griffe.Attribute)]
    if keys:
        yield Group(
            name=name, summary=_text(group).partition(". ")[0], props=tuple(map(_prop, keys))
        )
    for base in map(str, group.bases):
        if base in found:
            yield from _groups(base, found)


def _prop(key: griffe.Attribute) -> Prop:
    found = _DESCRIPTION.fullmatch(_text(key))
    required = _REQUIRED_TYPE.fullmatch(str(key.annotation))
    if found is None or (found["default"] is None and required is None):
        raise UndescribedProp(f'{key.path} does not say its default: end it with "Default: ..."')
    return Prop(
        name=key.name,
        type=str(key.annotation) if required is None else required["type"],
        meaning=found["meaning"],
        default=found["default"],
        eb_name=found["eb_name"],
        advice=found["advice"],
    )


def _text(described: griffe.Class | griffe.Attribute) -> str:
    if described.docstring is None:
        raise UndescribedProp(f"{described.path} has no description; write one below it")
    return " ".join(described.docstring.value.split())


def _section(prop: Prop) -> str:
    facts = [f"Type: `{prop.type}`"]
    facts.append("required" if prop.default is None else f"default: {prop.default}")
    if prop.eb_name is not None:
        facts.append(f"Elastic Beanstalk: {prop.eb_name}")
    text = " ".join(filter(None, [prop.meaning, prop.advice]))
    return f"### `{prop.name}`\n\n{_wrapped('; '.join(facts) + '.')}\n\n{_wrapped(text)}\n"


def _wrapped(text: str) -> str:
    return fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
