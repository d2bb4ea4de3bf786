"""docs/reference/options.md, from the definitions in sqsd/contract/options.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, fields
from typing import Any, Final

from sqsd.contract import SHARED_OPTIONS, SqsdOptions
from tools.reference.constants import ROOT

OPTIONS_PAGE: Final = ROOT / "docs" / "reference" / "options.md"
_INTRODUCTION: Final = """# Options of the daemon

Generated from `sqsd/contract/options.py` by `make reference`.

```sh
sqsd run --queue-url "$QUEUE_URL" --http-port 3000 --visibility-timeout 600
```

Every option is a key of `options` in [`tier.json`](tier-json.md), a flag of [`sqsd run`](cli.md)
with hyphens, and a [prop](props.md) of `WorkerTier` by the same name. Durations are whole seconds,
and `Duration` in the props. Names with an entry in the second column, their ranges and their
defaults are Elastic Beanstalk's. [Configuration](../guide/configure.md) says when to change what.

| option | EB's name | default | allowed | meaning |
|---|---|---|---|---|
"""
_LISTS: Final = """
Lists of statuses hold texts: `"422"` for one, `"4xx"` for a class.

With several queues a queue may have its own value of every option but these, which are about the
application or the process:
"""


def options_page() -> str:
    """Return the page."""
    rows = "\n".join(map(_row, fields(SqsdOptions)))
    return f"{_INTRODUCTION}{rows}\n{_LISTS}\n" + "\n".join(_shared()) + "\n"


def _row(option: Field[Any]) -> str:
    eb_name = option.metadata["eb_name"]
    return (
        f"| `{option.name}` | {f'`{eb_name}`' if eb_name else '-'} | {_shown(option.default)} |"
        f" {_allowed(option)} | {option.metadata['meaning']} |"
    )


def _allowed(option: Field[Any]) -> str:
    """Return what the option's check allows, for lists what it allows of an item."""
    check = option.metadata["check"]
    allowed: str = check(object())
    return check((object(),)) if allowed == "a list" else allowed


def _shown(default: Any) -> str:
    match default:
        case None | ():
            return "none"
        case bool():
            return str(default).lower()
        case str():
            return f"`{default}`"
        case _:
            return str(default)


def _shared() -> Iterator[str]:
    for option in fields(SqsdOptions):
        if option.name in SHARED_OPTIONS:
            yield f"- `{option.name}`"
