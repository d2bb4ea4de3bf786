"""User data: values in, text out; and the inverse, which reads the files back out of the text.

Pure: the text holds whatever tokens the values hold, and CloudFormation resolves them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

from sqsd.contract import CRON_FILE_NAME, SETTINGS_PATH, TierSettings

#: EC2's limit on user data before it is encoded.
USER_DATA_LIMIT_BYTES: Final = 16_384
#: Room for what tokens become: two queue URLs of some 140 bytes, names of at most 255.
RESERVED_FOR_TOKENS_BYTES: Final = 1_024
CRON_PATH: Final = str(PurePosixPath(SETTINGS_PATH).with_name(CRON_FILE_NAME))
UNIT_PATH: Final = "/etc/systemd/system/sqsd.service"
#: After `drain_timeout` the daemon flushes deletes and gives up its lease; then systemd kills it.
STOP_MARGIN_SECONDS: Final = 30

_HOLE = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_HERE_DOCUMENT = re.compile(r"^write_file (/\S+) <<'(\w+)'$")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Where an instance finds the daemon's archive, and how it knows that it is the right one."""

    bucket: str
    key: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What CloudFormation waits for.

    Args:
        stack, region: of the stack that holds the group.
        resource: the group's logical id.
        awaited: False when nothing waits, as for a group that may be empty.
    """

    stack: str
    region: str
    resource: str
    awaited: bool


def render_user_data(
    *, settings: TierSettings, bundle: Bundle, signal: Signal, cron_yaml: str | None = None
) -> str:
    """The script that turns a fresh Amazon Linux 2023 instance into a worker.

    Args:
        settings: becomes `tier.json`; its `cron_file` is set here when there is a `cron_yaml`.
        cron_yaml: text of the periodic tasks, written beside `tier.json`. Default: no tasks.

    Raises:
        ValueError: a file holds a NUL, which a shell script cannot carry.
    """
    cron_file = None if cron_yaml is None else CRON_FILE_NAME
    document = replace(settings, cron_file=cron_file).to_document()
    documents = {SETTINGS_PATH: json.dumps(document, indent=1) + "\n"}
    if cron_yaml is not None:
        documents[CRON_PATH] = cron_yaml
    documents[UNIT_PATH] = _unit(settings.options.drain_timeout)
    holes = {
        "REGION": signal.region,
        "STACK": signal.stack,
        "RESOURCE": signal.resource,
        "AWAITED": "true" if signal.awaited else "false",
        "BUNDLE_BUCKET": bundle.bucket,
        "BUNDLE_KEY": bundle.key,
        "BUNDLE_SHA256": bundle.sha256,
        "FILES": "".join(_here_document(path, text) for path, text in documents.items()),
    }
    return _fill("bootstrap.sh", holes)


def size_problem(user_data: str) -> str | None:
    """Why `user_data`, tokens unresolved, may not fit into EC2's limit; None when it fits."""
    allowed = USER_DATA_LIMIT_BYTES - RESERVED_FOR_TOKENS_BYTES
    size = len(user_data.encode())
    if size <= allowed:
        return None
    return (
        f"user data is {size} bytes and must be at most {allowed} (EC2 takes"
        f" {USER_DATA_LIMIT_BYTES}, {RESERVED_FOR_TOKENS_BYTES} are kept for values known at"
        f" deployment); shorten {CRON_FILE_NAME}, the only part that grows"
    )


def files_in_user_data(text: str) -> dict[str, str]:
    """Path -> content of the files that a rendered user data writes, exactly as it writes them.

    Args:
        text: user data as an instance sees it: decoded from Base64, tokens resolved.

    Raises:
        ValueError: a file's here-document does not end.
    """
    # Only line feeds end a line for bash; splitlines() would cut at carriage returns and others.
    lines = iter(text.split("\n"))
    found: dict[str, str] = {}
    for line in lines:
        if start := _HERE_DOCUMENT.match(line):
            path, end = start.groups()
            found[path] = "\n".join(_until(lines, end, path))
    return found


def _until(lines: Iterator[str], end: str, path: str) -> list[str]:
    content: list[str] = []
    for line in lines:
        if line == end:
            return content
        content.append(line)
    raise ValueError(f"user data ends inside the here-document of {path}; {end} is missing")


def _here_document(path: str, content: str) -> str:
    if "\0" in content:
        raise ValueError(f"{path} holds a NUL character, which user data cannot carry; remove it")
    end = _end_mark(content)
    # One line break more than the content has; write_file takes it off again, so that a content
    # without a last line break stays as it is.
    return f"write_file {path} <<'{end}'\n{content}\n{end}\n"


def _end_mark(content: str) -> str:
    taken = set(content.split("\n"))
    mark, number = "END_OF_FILE", 1
    while mark in taken:
        number += 1
        mark = f"END_OF_FILE_{number}"
    return mark


def _unit(drain_timeout: int) -> str:
    return _fill(
        "sqsd.service",
        {
            "SETTINGS_PATH": SETTINGS_PATH,
            "STOP_SECONDS": str(drain_timeout + STOP_MARGIN_SECONDS),
        },
    )


def _fill(template: str, values: Mapping[str, str]) -> str:
    """A template with its holes filled in one pass, so that a value's own at signs stay."""
    text = files("worker_tier").joinpath("templates", template).read_text(encoding="utf-8")
    return _HOLE.sub(lambda hole: values[hole[1]], text)
