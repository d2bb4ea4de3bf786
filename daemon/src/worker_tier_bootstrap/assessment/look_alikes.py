"""Finds files of Elastic Beanstalk, and those that look like them, that are not read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from worker_tier_bootstrap.assessment.config_files import DIRECTORY
from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.report import warning
from worker_tier_bootstrap.beanstalk.findings import Finding

#: Name that is read -> what resembles it, in lower case, and what is lost meanwhile.
_FILES: Final = {
    "cron.yaml": (r"\.?crons?\.ya?ml", "there are no periodic tasks by it"),
    "Procfile": (r"procfile(\.txt|\.yml|\.yaml)?|proc_file", "it starts no process"),
    "Buildfile": (r"buildfile(\.txt)?|build_file", "it builds nothing"),
    "Dockerrun.aws.json": (r"docker-?run.*\.(json|ya?ml)", "it runs no container"),
}
#: Name of a file that Elastic Beanstalk or its CLI reads -> what is lost, and what to do.
_UNREAD: Final = {
    "env.yaml": (
        "its option settings, links and platform have no effect",
        'pass the file: WorkerTier.from_option_settings(..., Path("env.yaml"), ...)',
    ),
    "aws-windows-deployment-manifest.json": (
        "it deploys nothing: instances run Linux",
        "publish the application for Linux, and name what is started in a Procfile",
    ),
}
#: Settings of the EB CLI in a buildspec.yml, by which it builds the bundle before it deploys it.
_CODEBUILD: Final = "eb_codebuild_settings"
#: Directory that is read -> what resembles it, in lower case.
_DIRECTORIES: Final = {
    ".ebextensions": r"\.?_?eb[-_]?exten[st]ions?",
    ".platform": r"\.?platforms?",
}
#: A directory of hooks whose name is not hidden is one of Elastic Beanstalk only if it has these.
_HOOKS: Final = re.compile(
    r"platforms?/(hooks|confighooks)/(prebuild|predeploy|postdeploy)/", re.IGNORECASE
)


def look_alikes(contents: Contents) -> Iterator[Finding]:
    """Yield a warning for each file or directory at the top that is almost one that is read."""
    for name in sorted(contents.names):
        is_file = name in contents.files
        if is_file and contents.files[name].link is not None and name == DIRECTORY:
            yield _linked(name)
        elif is_file:
            yield from _file(name)
            yield from _unread(name, contents)
        else:
            yield from _directory(name, contents)


def _linked(name: str) -> Finding:
    hint = "put the directory itself into the bundle"
    return warning(f"{name} is a link, whose files are not read", hint, name)


def _file(name: str) -> Iterator[Finding]:
    for read, (pattern, lost) in _FILES.items():
        if name != read and re.fullmatch(pattern, name.lower()):
            yield warning(f"{name} is not read, so {lost}", f"call it {read}", name)


def _unread(name: str, contents: Contents) -> Iterator[Finding]:
    if name in _UNREAD:
        lost, hint = _UNREAD[name]
        yield warning(f"{name} is not read, so {lost}", hint, name)
    elif name == "buildspec.yml" and _CODEBUILD in (contents.read(name) or ""):
        yield warning(
            f"{name} has {_CODEBUILD}, by which the EB CLI builds it; nothing is built here",
            "build before the stack is synthesized, or write a Buildfile",
            name,
        )


def _directory(name: str, contents: Contents) -> Iterator[Finding]:
    for read, pattern in _DIRECTORIES.items():
        if name == read or not re.fullmatch(pattern, name.lower()):
            continue
        paths = contents.under(name)
        is_common = read == ".platform" and not name.startswith(".")
        if not is_common or any(_HOOKS.match(path) for path in paths):
            message = f"{name}/ is not read, so its {len(paths)} files have no effect"
            yield warning(message, f"call it {read}", paths[0])
