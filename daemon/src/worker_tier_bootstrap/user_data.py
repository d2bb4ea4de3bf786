"""Renders user data, and reads the files back out of rendered user data.

Pure: the text contains the same CDK tokens as the values, and CloudFormation resolves them.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sqsd.contract import CRON_FILE_NAME, LIFECYCLE_HOOK, SETTINGS_PATH, TierSettings
from worker_tier_bootstrap import early, paths
from worker_tier_bootstrap.contract import Application, Instance, S3Object
from worker_tier_bootstrap.systems import MANAGERS, SYSTEMS

#: EC2's limit on user data before it is encoded, in bytes.
USER_DATA_LIMIT_BYTES: Final = 16_384
#: Size reserved for the values of tokens, in bytes: two queue URLs of some 140, names of at most
#: 255, all of them in Base64, by four thirds of their size.
RESERVED_FOR_TOKENS_BYTES: Final = 1_536
CRON_PATH: Final = str(PurePosixPath(SETTINGS_PATH).with_name(CRON_FILE_NAME))
#: Time between a boot's deadline and the end of CloudFormation's wait, in seconds.
_SIGNAL_MARGIN_SECONDS: Final = 45
#: Shortest deadline of a boot, in seconds.
_MIN_DEADLINE_SECONDS: Final = 60
#: Part of the deadline after which a failure to fetch the bundle is signalled to CloudFormation.
_PATIENCE: Final = 0.4
#: Oldest Python that the daemon runs on, and the newest whose program name user data tries.
_PYTHONS: Final = (11, 14)

_PLACEHOLDER = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_HERE_DOCUMENT = re.compile(r"^write_(file|json) (/\S+) \d+ <<'(\w+)'$")
_PACKED_DOCUMENT = re.compile(r"^base64 -d <<'(\w+)' \| gzip -dc \| write_packed (/\S+)$")
#: Template that holds `early.py` as user data carries it; `make bundle` writes it.
PACKED_EARLY: Final = "early.py.gz.b64"

#: Files that only root may read, for they have environment properties. That hides these from other
#: users' files only: every process can read user data itself from the metadata service.
_PRIVATE: Final = frozenset({paths.INSTANCE})
#: Docstrings and comments on their own lines; removing them keeps the program valid.
_REMARK = re.compile(r'^ *(""".*"""|# .*)$')
_LONG_REMARK = re.compile(r'^( *)"""(?:(?!""")[\s\S])*"""\n', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Describes the signal that CloudFormation waits for when it creates or replaces an instance.

    Args:
        stack: id of the stack that holds the Auto Scaling group.
        region: region of the stack.
        resource: the group's logical id.
        awaited: whether CloudFormation waits; it does not for a group that may be empty.
        timeout_seconds: time (s) that CloudFormation waits for an instance.
    """

    stack: str
    region: str
    resource: str
    awaited: bool
    timeout_seconds: int = 600


def render_user_data(
    *,
    settings: TierSettings,
    bundle: S3Object,
    signal: Signal,
    application: Application | None = None,
    application_aws_access: bool = True,
    cron_yaml: str | None = None,
    deferred: Callable[[str], str | None] = lambda _: None,
) -> str:
    """Render the script that turns a fresh instance into a worker.

    Args:
        settings: content of `tier.json`; `cron_file` and `lifecycle_hook` are set here.
        bundle: the daemon's bundle.
        signal: the signal that CloudFormation waits for.
        application: the web application. Default: external; the machine image brings it.
        application_aws_access: whether the application reaches the instance metadata service.
        cron_yaml: text of the periodic tasks, written beside `tier.json`. Default: no tasks.
        deferred: returns what CloudFormation resolves to the Base64 of a text, or None if the text
            is known now. A value that is known at deployment only may hold quotes and line breaks,
            and nothing but Base64 keeps those from being JSON or shell. Default: all is known.

    Raises:
        ValueError: a file holds a NUL character, which a shell script cannot carry, or periodic
            tasks are not known now.
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
        application_aws_access=application_aws_access,
    )
    documents = {SETTINGS_PATH: document, paths.INSTANCE: instance.to_document()}
    written = [_json_document(path, value, deferred) for path, value in documents.items()]
    if cron_yaml is not None:
        if deferred(cron_yaml) is not None:
            raise ValueError("periodic tasks must be known when user data is rendered")
        written.append(_here_document("file", CRON_PATH, cron_yaml))
    values = {
        "BUNDLE_SHA256": bundle.sha256,
        "INSTANCE_PATH": paths.INSTANCE,
        "EARLY_PATH": paths.EARLY,
        "EARLY": _template(PACKED_EARLY),
        **_python_values(),
        "PATIENCE_SECONDS": str(int(instance.deadline_seconds * _PATIENCE)),
        "FILES": "".join(written),
    }
    return _fill(_without_comments(_template("bootstrap.sh")), values)


def _python_values() -> dict[str, str]:
    """Return the values by which the script finds a Python, or installs one."""
    oldest, newest = _PYTHONS
    names = ["python3", *(f"python3.{minor}" for minor in range(newest, oldest - 1, -1))]
    # Systems whose own Python is too old install one by the same command today; another command
    # needs a branch in bootstrap.sh.
    (install,) = {
        (*MANAGERS[system.family].install, *system.python)
        for system in SYSTEMS.values()
        if system.python
    }
    return {
        "PYTHON": f"3.{oldest}",
        "PYTHON_VERSION": f"(3, {oldest})",
        "PYTHON_NAMES": " ".join(names),
        "PACKAGE_MANAGER": install[0],
        "INSTALL_PYTHON": " ".join(install),
        "SYSTEMS": ", ".join(system.name for system in SYSTEMS.values()),
    }


def deadline_seconds(signal_timeout_seconds: int) -> int:
    """Return the time (s) a boot may take so that CloudFormation still waits if it fails."""
    return max(_MIN_DEADLINE_SECONDS, signal_timeout_seconds - _SIGNAL_MARGIN_SECONDS)


def patience_problem(signal: Signal, application: Application | None) -> str | None:
    """Return why the application's start may outlast the boot, or None if it fits."""
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


def size_problem(user_data: str, *, deferred_bytes: int = 0) -> str | None:
    """Return why `user_data`, tokens unresolved, may exceed EC2's limit, or None if it fits.

    Args:
        user_data: the script.
        deferred_bytes: size of what is known of texts that stand in it as one token.
    """
    allowed = USER_DATA_LIMIT_BYTES - RESERVED_FOR_TOKENS_BYTES
    size = len(user_data.encode()) + deferred_bytes
    if size <= allowed:
        return None
    return (
        f"user data is {size} bytes and must be at most {allowed} (EC2 takes"
        f" {USER_DATA_LIMIT_BYTES}, {RESERVED_FOR_TOKENS_BYTES} are reserved for values known at"
        f" deployment); shorten {CRON_FILE_NAME}, the environment properties or the commands that"
        " were added, the only parts that grow"
    )


def files_in_user_data(text: str) -> dict[str, str]:
    """Return path -> content of the files that rendered user data writes, byte for byte.

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
            kind, path, end = start.groups()
            content = "\n".join(_until(lines, end, path))
            found[path] = _line(early.plain(json.loads(content))) if kind == "json" else content
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


def _json_document(
    path: str, document: Mapping[str, object], deferred: Callable[[str], str | None]
) -> str:
    return _here_document("json", path, _line(_with_deferred(document, deferred)))


def _with_deferred(value: Any, deferred: Callable[[str], str | None]) -> Any:
    """Return a JSON value with an object instead of each text that is known at deployment only."""
    match value:
        case str():
            encoded = deferred(value)
            return value if encoded is None else {early.DEFERRED: encoded}
        case Mapping():
            return {name: _with_deferred(inner, deferred) for name, inner in value.items()}
        case list() | tuple():
            return [_with_deferred(inner, deferred) for inner in value]
        case _:
            return value


def _here_document(kind: str, path: str, content: str) -> str:
    if "\0" in content:
        raise ValueError(f"{path} holds a NUL character, which user data cannot carry; remove it")
    end = _end_mark(content)
    # One line break more than the content has, which write_file removes: so a content without a
    # last line break arrives unchanged.
    mode = "0600" if path in _PRIVATE else "0644"
    return f"write_{kind} {path} {mode} <<'{end}'\n{content}\n{end}\n"


def _end_mark(content: str) -> str:
    taken = set(content.split("\n"))
    mark, number = "END_OF_FILE", 1
    while mark in taken:
        number += 1
        mark = f"END_OF_FILE_{number}"
    return mark


def _line(document: object) -> str:
    return json.dumps(document, separators=(",", ":")) + "\n"


def packed_early() -> str:
    """Pack `early.py` into text that a script can carry: without remarks, compressed.

    The packed text is a file of this package and not made at each synth: a compressor's output
    differs between its builds, and any new byte of user data replaces every instance.
    """
    source = Path(__file__).with_name("early.py").read_text(encoding="utf-8")
    content = gzip.compress(without_remarks(source).encode(), mtime=0)
    return base64.encodebytes(content).decode()


def unpacked(text: str) -> str:
    """Return the program that `packed_early` has packed."""
    return gzip.decompress(base64.b64decode(text)).decode()


def without_remarks(source: str) -> str:
    """Remove docstrings, comments and blank lines from Python, and indent by one blank.

    Lines are matched instead of unparsing a syntax tree, though `ast.unparse` packs 4 % smaller:
    from Python 3.12 on it may quote f-strings in a way that Python 3.9, which runs this program,
    cannot read. And the result must not depend on the Python version, so that the test that
    compares it with the packed text passes on each.
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
    """Remove the comments that fill a line from a shell script, except for its first line."""
    return re.sub(r"\n *#[^\n]*(?=\n)", "", script)


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders replaced, in one pass: `@` in a value stays."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


if __name__ == "__main__":
    Path(__file__).with_name("templates").joinpath(PACKED_EARLY).write_text(packed_early())
