"""User data: values in, text out; and the inverse, which reads the files back out of the text.

Pure: the text holds whatever tokens the values hold, and CloudFormation resolves them.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final

from sqsd.contract import CRON_FILE_NAME, SETTINGS_PATH, TierSettings
from worker_tier_bootstrap.contract import (
    EARLY_PATH,
    INSTANCE_PATH,
    LIFECYCLE_HOOK,
    Application,
    Instance,
    S3Object,
)
from worker_tier_bootstrap.systems import SYSTEMS

#: EC2's limit on user data before it is encoded.
USER_DATA_LIMIT_BYTES: Final = 16_384
#: Room for what tokens become: two queue URLs of some 140 bytes, names of at most 255.
RESERVED_FOR_TOKENS_BYTES: Final = 1_024
CRON_PATH: Final = str(PurePosixPath(SETTINGS_PATH).with_name(CRON_FILE_NAME))
#: Seconds that a boot leaves CloudFormation to hear of its failure.
_SIGNAL_MARGIN_SECONDS: Final = 45
_LEAST_DEADLINE_SECONDS: Final = 60
#: Part of the deadline after which a bundle that cannot be fetched is told to CloudFormation.
_PATIENCE: Final = 0.4

_HOLE = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_HERE_DOCUMENT = re.compile(r"^write_file (/\S+) \d+ <<'(\w+)'$")
_PACKED_DOCUMENT = re.compile(r"^base64 -d <<'(\w+)' \| gzip -dc \| write_packed (/\S+)$")
#: The early part as user data carries it; `make bundle` writes it anew from its source.
PACKED_EARLY: Final = "early.py.gz.b64"

#: Holds the application's properties, which may be what not every user shall read.
_PRIVATE: Final = frozenset({INSTANCE_PATH})
#: What people read and machines do not: each a line of its own, so that Python stays Python.
_REMARK = re.compile(r'^ *(""".*"""|# .*)$')
_LONG_REMARK = re.compile(r'^( *)"""(?:(?!""")[\s\S])*"""\n', re.MULTILINE)

Bundle = S3Object


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What CloudFormation waits for.

    Args:
        stack, region: of the stack that holds the group; the stack's id.
        resource: the group's logical id.
        awaited: False when nothing waits, as for a group that may be empty.
        timeout_seconds: how long it waits for an instance.
    """

    stack: str
    region: str
    resource: str
    awaited: bool
    timeout_seconds: int = 600


def render_user_data(
    *,
    settings: TierSettings,
    bundle: Bundle,
    signal: Signal,
    application: Application | None = None,
    cron_yaml: str | None = None,
) -> str:
    """The script that turns a fresh instance into a worker.

    Args:
        settings: becomes `tier.json`; its `cron_file` and `lifecycle_hook` are set here.
        application: Default: external; somebody else installs it.
        cron_yaml: text of the periodic tasks, written beside `tier.json`. Default: no tasks.

    Raises:
        ValueError: a file holds a NUL, which a shell script cannot carry.
    """
    cron_file = None if cron_yaml is None else CRON_FILE_NAME
    resources = replace(settings.resources, lifecycle_hook=LIFECYCLE_HOOK)
    document = replace(settings, resources=resources, cron_file=cron_file).to_document()
    instance = Instance(
        stack=signal.stack,
        region=signal.region,
        resource=signal.resource,
        awaited=signal.awaited,
        deadline_seconds=deadline_seconds(signal.timeout_seconds),
        bundle=bundle,
        application=application or Application(),
    )
    documents = {
        SETTINGS_PATH: _line(document),
        INSTANCE_PATH: _line(instance.to_document()),
    }
    if cron_yaml is not None:
        documents[CRON_PATH] = cron_yaml
    holes = {
        "BUNDLE_SHA256": bundle.sha256,
        "INSTANCE_PATH": INSTANCE_PATH,
        "EARLY_PATH": EARLY_PATH,
        "EARLY": _template(PACKED_EARLY),
        "SYSTEMS": ", ".join(system.name for system in SYSTEMS.values()),
        "PATIENCE_SECONDS": str(int(instance.deadline_seconds * _PATIENCE)),
        "FILES": "".join(_here_document(path, text) for path, text in documents.items()),
    }
    return _fill(_without_comments(_template("bootstrap.sh")), holes)


def deadline_seconds(signal_timeout_seconds: int) -> int:
    """How long a boot may take, so that its failure is heard before nobody listens any more."""
    return max(_LEAST_DEADLINE_SECONDS, signal_timeout_seconds - _SIGNAL_MARGIN_SECONDS)


def patience_problem(signal: Signal, application: Application | None) -> str | None:
    """Why a slow application would be told too late; None when its start fits into the boot."""
    if application is None or not signal.awaited:
        return None
    allowed = deadline_seconds(signal.timeout_seconds)
    if application.start_timeout <= allowed:
        return None
    return (
        f"start_timeout ({application.start_timeout} s) must be at most {allowed} s, what"
        f" signal_timeout ({signal.timeout_seconds} s) leaves a boot, or CloudFormation stops"
        " waiting before the application is given up; raise one or lower the other"
    )


def size_problem(user_data: str) -> str | None:
    """Why `user_data`, tokens unresolved, may not fit into EC2's limit; None when it fits."""
    allowed = USER_DATA_LIMIT_BYTES - RESERVED_FOR_TOKENS_BYTES
    size = len(user_data.encode())
    if size <= allowed:
        return None
    return (
        f"user data is {size} bytes and must be at most {allowed} (EC2 takes"
        f" {USER_DATA_LIMIT_BYTES}, {RESERVED_FOR_TOKENS_BYTES} are kept for values known at"
        f" deployment); shorten {CRON_FILE_NAME} or the environment properties, the only parts"
        " that grow"
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
        elif packed := _PACKED_DOCUMENT.match(line):
            end, path = packed.groups()
            found[path] = unpacked("\n".join(_until(lines, end, path)))
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
    mode = "0600" if path in _PRIVATE else "0644"
    return f"write_file {path} {mode} <<'{end}'\n{content}\n{end}\n"


def _end_mark(content: str) -> str:
    taken = set(content.split("\n"))
    mark, number = "END_OF_FILE", 1
    while mark in taken:
        number += 1
        mark = f"END_OF_FILE_{number}"
    return mark


def _line(document: Mapping[str, object]) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"


def packed_early() -> str:
    """The early part's program as text that a script can carry: without the remarks, compressed.

    It is kept as a file of this package, not made at each synth: a compressor's output differs
    between its builds, and any new byte of user data replaces every instance.
    """
    source = Path(__file__).with_name("early.py").read_text(encoding="utf-8")
    content = gzip.compress(without_remarks(source).encode(), mtime=0)
    return base64.encodebytes(content).decode()


def unpacked(text: str) -> str:
    """What `packed_early` packed."""
    return gzip.decompress(base64.b64decode(text)).decode()


def without_remarks(source: str) -> str:
    """Python without docstrings, comments and blank lines, indented by one blank. All is found by
    its form, not by a parser whose output may change between versions: the same source must give
    the same user data.
    """
    source = _LONG_REMARK.sub("", source)
    lines = (line for line in source.splitlines() if line.strip() and not _REMARK.match(line))
    return "".join(f"{_dedented(line)}\n" for line in lines)


def _dedented(line: str) -> str:
    text = line.lstrip(" ")
    return " " * ((len(line) - len(text)) // 4) + text


def _template(name: str) -> str:
    return files("worker_tier_bootstrap").joinpath("templates", name).read_text(encoding="utf-8")


def _without_comments(script: str) -> str:
    """Shell without the comments that have lines of their own; the first line stays."""
    return re.sub(r"\n *#[^\n]*(?=\n)", "", script)


def _fill(text: str, values: Mapping[str, str]) -> str:
    """A text with its holes filled in one pass, so that a value's own at signs stay."""
    return _HOLE.sub(lambda hole: values[hole[1]], text)


if __name__ == "__main__":
    Path(__file__).with_name("templates").joinpath(PACKED_EARLY).write_text(packed_early())
