"""Finds start commands whose program or file will not be on an instance.

It reads plain commands only: what a shell makes of variables, pipes and substitutions is not known
here, and a command that uses them is passed over from there on.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.own_build import builds_itself
from worker_tier_bootstrap.assessment.report import warning
from worker_tier_bootstrap.beanstalk.findings import Finding
from worker_tier_bootstrap.platforms import PLATFORMS, Platform

#: Programs whose first argument that is no option is a file of the application.
_INTERPRETERS: Final = frozenset(
    {"bash", "dotnet", "node", "nodejs", "php", "python", "python3", "ruby", "sh"}
)
#: Options of interpreters after which the next word is no file of the application.
_OTHER_MODES: Final = frozenset({"-c", "-e", "-m", "--eval", "-p", "-r", "--require", "--import"})
#: Program -> package of npm that has it, where their names differ.
_NPM_PACKAGES: Final = {
    "nest": "@nestjs/cli",
    "ng": "@angular/cli",
    "sequelize": "sequelize-cli",
    "strapi": "@strapi/strapi",
    "tsc": "typescript",
    "babel-node": "@babel/node",
}
#: Program of Python -> the distribution that has it.
_PYTHON_PROGRAMS: Final = {
    "celery": "celery",
    "daphne": "daphne",
    "flask": "flask",
    "gunicorn": "gunicorn",
    "hypercorn": "hypercorn",
    "uvicorn": "uvicorn",
    "uwsgi": "uwsgi",
    "waitress-serve": "waitress",
}
#: Scripts of a package.json that `npm install` runs.
_NPM_BUILDS: Final = ("preinstall", "install", "postinstall", "prepare")
#: What ends a simple command in a shell.
_SEPARATORS: Final = re.compile(r"&&|\|\||[;|&\n]")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_VARIABLE: Final = re.compile(r"[$`*?{}<>]")


@dataclass(frozen=True, kw_only=True)
class Start:
    """Is a process, its command, and the file that says so."""

    process: str
    command: str
    file: str


def start_findings(contents: Contents, platform: str, starts: list[Start]) -> Iterator[Finding]:
    """Yield a warning for each command that lacks its program or its file on an instance."""
    for start in starts:
        yield from _file(contents, platform, start)
        yield from _program(contents, platform, start)


def builds(contents: Contents, platform: str) -> bool:
    """Return whether something in the bundle may make files before its processes start."""
    if builds_itself(contents):
        return True
    scripts = _package(contents).get("scripts")
    has_scripts = isinstance(scripts, dict) and any(name in scripts for name in _NPM_BUILDS)
    return platform == Platform.GO or (platform == Platform.NODE and has_scripts)


# ---- files


def _file(contents: Contents, platform: str, start: Start) -> Iterator[Finding]:
    command, file = _resolved(contents, start)
    path = _file_of(_words(command))
    if path is None or contents.has(path) or contents.under(path):
        return
    if contents.is_left_out(path):
        yield warning(
            f"{file} starts {path} as {start.process}, which is not in the source bundle:"
            f" {contents.decided_by} leaves it out",
            f"let it in, such as by an .ebignore of your own, or make it in a Buildfile: `build:"
            f" ...` that writes {path}",
            file,
        )
    elif not builds(contents, platform):
        yield warning(
            f"{file} starts {path} as {start.process}, which is not in the source bundle, and"
            " nothing in it makes the file on an instance",
            "correct the path, put the file into the bundle, or make it in a Buildfile",
            file,
        )


def _file_of(words: list[str]) -> str | None:
    """Return the file of the application that a simple command runs, or None."""
    if not words:
        return None
    program, *arguments = words
    if program.startswith("./") or ("/" in program and not program.startswith(("/", "."))):
        return _plain(program)
    if program == "java":
        return _after(arguments, "-jar")
    if program not in _INTERPRETERS:
        return None
    for argument in arguments:
        if argument.split("=")[0] in _OTHER_MODES:
            return None
        if not argument.startswith("-"):
            path = _plain(argument)
            # `node dist/main` runs dist/main.js, and `dotnet run` is a command.
            has_suffix = path is not None and "." in posixpath.basename(path)
            return path if has_suffix else None
    return None


def _after(arguments: list[str], option: str) -> str | None:
    if option not in arguments[:-1]:
        return None
    return _plain(arguments[arguments.index(option) + 1])


def _plain(path: str) -> str | None:
    """Return a path inside of the bundle, or None for one that a shell expands or that leaves."""
    if _VARIABLE.search(path) or path.startswith(("/", "~")):
        return None
    normal = posixpath.normpath(path)
    return None if normal.startswith("..") else normal


# ---- programs


def _program(contents: Contents, platform: str, start: Start) -> Iterator[Finding]:
    command, file = _resolved(contents, start)
    words = _words(command)
    program = words[0] if words else ""
    if program == "npx" and len(words) > 1:
        program = words[1]
    if builds_itself(contents):
        return  # which may install it
    yield from _npm_program(contents, start, program, file)
    yield from _python_program(contents, platform, start, program, file)


def _npm_program(contents: Contents, start: Start, program: str, file: str) -> Iterator[Finding]:
    package = _NPM_PACKAGES.get(program, program)
    document = _package(contents)
    in_development = package in _names(document, "devDependencies")
    installed = package in _names(document, "dependencies")
    if in_development and not installed and not contents.has(f"node_modules/.bin/{program}"):
        yield warning(
            f"{file} starts {program} as {start.process}, which is a development dependency: an"
            " instance installs those of production only",
            f"move {package} to `dependencies` of package.json, or start what a build makes",
            file,
        )


def _python_program(
    contents: Contents, platform: str, start: Start, program: str, file: str
) -> Iterator[Finding]:
    distribution = _PYTHON_PROGRAMS.get(program)
    if distribution is None:
        return
    if platform != Platform.PYTHON:
        title = PLATFORMS[platform].title
        yield warning(
            f"{file} starts {program} as {start.process}, which the platform {title} does not"
            " install",
            f'pass platform="{Platform.PYTHON}", or install it in .platform/hooks/prebuild',
            file,
        )
    elif distribution != "gunicorn" and not _requires(contents, distribution):
        yield warning(
            f"{file} starts {program} as {start.process}, which requirements.txt does not name",
            f"add {distribution} to requirements.txt, unless another requirement brings it",
            file,
        )


def _requires(contents: Contents, distribution: str) -> bool:
    text = (contents.read("requirements.txt") or "").lower()
    # Files of more requirements are not read: they may name it.
    pattern = rf"^\s*({re.escape(distribution)}\b|-r|-c|\.|--requirement)"
    return bool(re.search(pattern, text, re.MULTILINE))


# ---- commands


def _resolved(contents: Contents, start: Start) -> tuple[str, str]:
    """Return a command and its file; `npm start` is what package.json says."""
    words = _words(start.command)
    name = _npm_script(words)
    scripts = _package(contents).get("scripts")
    script = scripts.get(name) if name and isinstance(scripts, dict) else None
    if isinstance(script, str):
        return script, "package.json"
    return start.command, start.file


def _npm_script(words: list[str]) -> str | None:
    match words:
        case ["npm" | "yarn" | "pnpm", "start", *_]:
            return "start"
        case ["npm" | "yarn" | "pnpm", "run", name, *_]:
            return name
        case _:
            return None


def _words(command: str) -> list[str]:
    """Return the words of a command's first program, without `exec` and variables before it."""
    first = _SEPARATORS.split(command, maxsplit=1)[0]
    try:
        words = shlex.split(first)
    except ValueError:
        return []
    while words and (words[0] in ("exec", "env") or _ASSIGNMENT.fullmatch(words[0])):
        words.pop(0)
    return words


def _package(contents: Contents) -> Mapping[str, Any]:
    try:
        document = json.loads(contents.read("package.json") or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _names(document: Mapping[str, Any], key: str) -> set[str]:
    value = document.get(key)
    return set(value) if isinstance(value, dict) else set()
