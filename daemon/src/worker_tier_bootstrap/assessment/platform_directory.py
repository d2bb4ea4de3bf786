"""Reports what becomes of each file of `.platform`: hooks, and nginx's configuration.

Source: EB developer guide, "Platform hooks" and "Reverse proxy configuration".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.report import effect, refusal, warning
from worker_tier_bootstrap.beanstalk.findings import Finding
from worker_tier_bootstrap.platforms import CONFIGHOOKS, HOOKS, PLATFORM_DIRECTORY

PLATFORM: Final = PLATFORM_DIRECTORY
PHASES: Final = ("prebuild", "predeploy", "postdeploy")
_HOOK_DIRECTORIES: Final = (HOOKS, CONFIGHOOKS)
#: Beginning of an executable program of Linux.
_ELF: Final = b"\x7fELF"
#: What Elastic Beanstalk's own instances have and ours have not -> what to use in its place.
_MISSING: Final = {
    "/opt/elasticbeanstalk/bin/get-config": "read the variable itself, which a hook has: $NAME",
    "/opt/elasticbeanstalk/": "leave the line out; a hook has environment properties as variables",
    "/var/app/venv": "use .venv/bin of the application's directory",
    "aws-sqsd": "set the daemon's options by props of the tier",
}
#: How much of a hook is read, in bytes.
_HOOK_BYTES: Final = 262_144
#: Beginning of a location of our nginx configuration, which no other file may declare again.
_ROOT_LOCATION: Final = re.compile(r"^\s*location\s+/\s*\{", re.MULTILINE)
#: A variable of Elastic Beanstalk's nginx.conf that ours does not define.
_UPGRADE: Final = "$connection_upgrade"
_COMMENT: Final = re.compile(r"#[^\n]*")


def platform_directory(contents: Contents) -> Iterator[Finding]:
    """Yield a finding for each file of `.platform`."""
    files = contents.linked(PLATFORM)
    texts = {path: contents.read(file) or "" for path, file in files.items()}
    if PLATFORM in contents.files:
        yield effect(f"{PLATFORM} is a link, which is followed", PLATFORM)
    for path in texts:
        parts = path.split("/")[1:]
        match parts:
            case ["hooks" | "confighooks", phase, _] if phase in PHASES:
                yield from _hook(path, files[path], contents)
            case ["hooks" | "confighooks", phase, _, *_] if phase in PHASES:
                yield refusal(
                    f"{path} is in a directory among hooks, which an instance would run as a hook",
                    f"move the directory to {PLATFORM}/scripts, and name its files in a hook",
                    path,
                )
            case ["nginx", "nginx.conf"]:
                yield _nginx_conf(path)
            case ["nginx", "conf.d", name] if name.endswith(".conf"):
                yield effect(f"nginx reads {path} at the level of http", path)
            case ["nginx", "conf.d", "elasticbeanstalk", name] if name.endswith(".conf"):
                yield from _server_file(path, texts)
            case _:
                yield _other(path, parts, texts)


# ---- hooks


def _hook(path: str, real: str, contents: Contents) -> Iterator[Finding]:
    file = contents.files[real]
    yield effect(f"{path} runs as root in its phase", path)
    try:
        begin = contents.read_bytes(real, _HOOK_BYTES) or b""
    except OSError:
        return  # the list of files has reported it
    if file.executable is False:
        yield warning(
            f"{path} is not executable, and is run all the same, as in Elastic Beanstalk",
            f"make it executable: git update-index --chmod=+x {path}",
            path,
        )
    if begin.startswith(_ELF):
        return
    yield from _missing_paths(path, begin.decode(errors="replace"))
    first = begin.partition(b"\n")[0]
    if first.endswith(b"\r") or b"\r\n" in begin:
        yield warning(
            f"{path} has Windows line ends, with which it fails on an instance",
            f"save it with Unix line ends, and write `{PLATFORM}/** text eol=lf` in .gitattributes",
            path,
        )
    if not first.startswith(b"#!"):
        yield warning(
            f"{path} is run as a hook and begins with no line such as #!/bin/bash, so it fails",
            "add the line, or move the file out of the directory if it is no hook",
            path,
        )


def _missing_paths(path: str, text: str) -> Iterator[Finding]:
    """Yield the lines of a hook that use what only Elastic Beanstalk's own instances have."""
    for line in text.splitlines():
        used = next((place for place in _MISSING if place in line), None)
        if used is not None and not line.lstrip().startswith("#"):
            yield warning(
                f"{path} uses {used}, which instances do not have: {line.strip()!r:.120}",
                _MISSING[used],
                path,
            )


# ---- nginx


def _nginx_conf(path: str) -> Finding:
    return warning(
        f"{path} is not used; instances have worker-tier's own nginx.conf, which passes what the"
        " daemon sends",
        "write the directives that the application needs in .platform/nginx/conf.d/NAME.conf, at"
        " the level of http",
        path,
    )


def _server_file(path: str, texts: dict[str, str]) -> Iterator[Finding]:
    plain = _COMMENT.sub("", texts[path])
    refused = False
    if _ROOT_LOCATION.search(plain):
        refused = True
        yield refusal(
            f"{path} declares `location /`, which worker-tier's server has already, so nginx would"
            " not start",
            "remove the location; write directives that are for all requests without it, or for"
            " some of them in a location of their path",
            path,
        )
    if _UPGRADE in plain and not _defines_upgrade(texts):
        refused = True
        yield refusal(
            f"{path} uses {_UPGRADE}, which is a variable of Elastic Beanstalk's own nginx.conf, so"
            " nginx would not start",
            "define it in .platform/nginx/conf.d/upgrade.conf: map $http_upgrade"
            f" {_UPGRADE} {{ default upgrade; '' close; }}, or remove the lines: the daemon never"
            " upgrades a connection",
            path,
        )
    if not refused:
        yield effect(f"nginx reads {path} inside of its server", path)


def _defines_upgrade(texts: dict[str, str]) -> bool:
    """Return whether the bundle defines the variable at the level of http itself."""
    return any(
        re.search(rf"\bmap\s+\S+\s+{re.escape(_UPGRADE)}\s", _COMMENT.sub("", text))
        for path, text in texts.items()
        if path.startswith(f"{PLATFORM}/nginx/conf.d/")
    )


# ---- files that are neither hooks nor configuration of nginx


def _other(path: str, parts: list[str], texts: dict[str, str]) -> Finding:
    name = posixpath.basename(path)
    users = [user for user, text in texts.items() if user != path and name in text]
    if users and not _is_hook_place(parts):
        return effect(f"{users[0]} names {path}", path)
    return warning(f"{path} has no effect: {_reason(parts)}", _hint(parts), path)


def _is_hook_place(parts: list[str]) -> bool:
    return parts[0] in _HOOK_DIRECTORIES and len(parts) == 2


def _reason(parts: list[str]) -> str:
    if parts[0] in _HOOK_DIRECTORIES:
        return f"hooks are the files of {parts[0]}/{', '.join(PHASES)} themselves"
    if parts[0] in ("httpd", "apache"):
        return "nginx stands before the application, not Apache"
    if parts[0] == "nginx":
        return "nginx reads *.conf in conf.d and conf.d/elasticbeanstalk only"
    return f"nothing in {PLATFORM} names it"


def _hint(parts: list[str]) -> str:
    if parts[0] in ("httpd", "apache"):
        return "write the directives for nginx in .platform/nginx/conf.d"
    if parts[0] == "nginx":
        return "give it a name such as .platform/nginx/conf.d/NAME.conf, or remove it"
    return f"move it to {PLATFORM}/hooks/{PHASES[0]}, or another phase, or remove it"
