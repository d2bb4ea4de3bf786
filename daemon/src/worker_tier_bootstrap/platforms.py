"""Describes the platforms, one row each, and finds the row that a source bundle asks for.

A Procfile always decides what is started; a row adds packages, a build and defaults. The constructs
read this table too, so that synth reports what an instance would find out minutes later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worker_tier_bootstrap import paths
from worker_tier_bootstrap.systems import System

#: Reads a file of the bundle: takes its path, returns its text, or None where there is no file.
Read = Callable[[str], str | None]

#: Directory of a bundle whose files root executes and nginx includes.
PLATFORM_DIRECTORY: Final = ".platform"
#: Directories of hooks in it, which root executes: for a new bundle, and for new settings only.
HOOKS: Final = "hooks"
CONFIGHOOKS: Final = "confighooks"
#: Directories of hooks that run before the application starts, below `PLATFORM_DIRECTORY`.
HOOKS_BEFORE_START: Final = tuple(
    f"{place}/{phase}" for place in (HOOKS, CONFIGHOOKS) for phase in ("prebuild", "predeploy")
)


class Platform(StrEnum):
    """Names of the platforms.

    The order matters: a bundle with files of several platforms gets the first of them.
    """

    NODE = "node"
    GO = "go"
    DOTNET = "dotnet"
    JAVA = "java"
    RUBY = "ruby"
    PHP = "php"
    PYTHON = "python"
    #: Runs an image; the only platform that takes no source bundle.
    DOCKER = "docker"
    PROCFILE = "procfile"


@dataclass(frozen=True, kw_only=True)
class PlatformRow:
    """Describes one platform: its packages, its build, its start, its defaults.

    Args:
        title: the platform's name for people.
        port: where EB's platform expects the application unless `port` is given.
        packages: packages of the application's processes, by the family of the package manager;
            `System.package_names` may replace them for one system.
        proven: how it was tested; `booted` means on Debian 12.
        build_packages: packages that only a build needs, by family.
        build_tools: programs of `build_packages`; a command that names one needs them too.
        build: shell command that `webapp` runs in the bundle, or None if there is nothing to
            build; `build_of` decides whether a bundle needs it.
        start: command of the process `web` when there is no Procfile, or None if the platform
            needs a Procfile.
        detected_by: top-level files of a bundle; any one of them asks for this platform.
        environment: environment properties that the platform sets; the tier's own replace them.
        own_services: systemd's patterns of services that the packages bring and that would run
            beside `web.service` after a reboot.
        fastcgi: whether nginx speaks FastCGI to the application instead of HTTP.
    """

    title: str
    port: int
    packages: Mapping[str, tuple[str, ...]]
    proven: str
    build_packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    build_tools: tuple[str, ...] = ()
    build: str | None = None
    start: str | None = None
    detected_by: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    own_services: tuple[str, ...] = ()
    fastcgi: bool = False


#: Name -> row.
PLATFORMS: Final[Mapping[str, PlatformRow]] = {
    Platform.NODE: PlatformRow(
        title="Node.js",
        port=8080,
        packages={"apt": ("nodejs",), "dnf": ("nodejs22",)},
        build_packages={"apt": ("npm",), "dnf": ("nodejs22-npm",)},
        build_tools=("npm", "npx"),
        build="if [ -e package-lock.json ]; then npm ci --omit=dev;"
        " else npm install --omit=dev; fi",
        start="npm start",
        detected_by=("package.json", "app.js", "server.js"),
        environment={"NODE_ENV": "production"},
        proven="booted",
    ),
    Platform.GO: PlatformRow(
        title="Go",
        port=5000,
        packages={"apt": (), "dnf": ()},
        build_packages={"apt": ("golang-go",), "dnf": ("golang",)},
        build_tools=("go",),
        build="mkdir -p bin && go build -o bin/application .",
        start="bin/application",
        detected_by=("go.mod", "application.go"),
        # A static program needs no C compiler to be built.
        environment={"GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"},
        proven="booted",
    ),
    Platform.DOTNET: PlatformRow(
        title=".NET",
        port=5000,
        packages={"apt": ("aspnetcore-runtime-8.0",), "dnf": ("aspnetcore-runtime-8.0",)},
        start="set -- *.runtimeconfig.json"
        ' && exec dotnet "${1%.runtimeconfig.json}.dll" --urls "http://127.0.0.1:$PORT"',
        detected_by=("*.runtimeconfig.json",),
        proven="unit tests only",
    ),
    Platform.JAVA: PlatformRow(
        title="Java",
        port=5000,
        packages={
            "apt": ("default-jre-headless",),
            "dnf": ("java-21-amazon-corretto-headless",),
        },
        build_packages={
            "apt": ("default-jdk-headless",),
            "dnf": ("java-21-amazon-corretto-devel",),
        },
        build_tools=("javac", "jar"),
        start="exec java -jar ./*.jar",
        detected_by=("*.jar",),
        proven="booted",
    ),
    Platform.RUBY: PlatformRow(
        title="Ruby",
        port=8080,
        packages={"apt": ("ruby", "puma"), "dnf": ("ruby3.2", "ruby3.2-rubygem-bundler")},
        build_packages={
            "apt": ("ruby-bundler", "ruby-dev", "build-essential"),
            "dnf": ("ruby3.2-devel", "gcc", "make"),
        },
        build_tools=("bundle", "gem"),
        build="bundle config set --local path vendor/bundle"
        " && bundle config set --local without development:test && bundle install",
        start="puma --bind tcp://127.0.0.1:$PORT config.ru",
        detected_by=("config.ru", "Gemfile"),
        environment={"RACK_ENV": "production"},
        proven="booted",
    ),
    Platform.PHP: PlatformRow(
        title="PHP",
        port=9000,
        packages={"apt": ("php-fpm",), "dnf": ("php8.3-fpm",)},
        # Debian's program has its version in its name.
        start=f"set -- /usr/sbin/php-fpm* && exec $1 -F -O -y {paths.PHP_FPM}",
        fastcgi=True,
        own_services=("php*-fpm.service",),
        detected_by=("index.php", "composer.json"),
        proven="booted",
    ),
    Platform.PYTHON: PlatformRow(
        title="Python",
        port=8000,
        packages={"apt": ("python3", "gunicorn"), "dnf": ("python3.11",)},
        build_packages={"apt": ("python3-venv",), "dnf": ("python3.11-pip",)},
        build_tools=("pip", "venv"),
        # Amazon Linux has no package of gunicorn; a bundle that requires it decides its version.
        build="$WORKER_TIER_PYTHON -m venv --system-site-packages .venv && set -- .venv/bin/python"
        " && if [ -s requirements.txt ]; then"
        " $1 -m pip install --no-input --disable-pip-version-check -r requirements.txt; fi"
        " && { $1 -c 'import gunicorn' 2>/dev/null ||"
        " $1 -m pip install --no-input --disable-pip-version-check --no-deps --require-hashes"
        f" --only-binary :all: -r {paths.GUNICORN_LOCK}; }}",
        start="python3 -m gunicorn --bind 127.0.0.1:$PORT --workers 1 --threads 15"
        " application:application",
        detected_by=("requirements.txt", "application.py", "Pipfile"),
        proven="booted",
    ),
    Platform.DOCKER: PlatformRow(
        title="Docker",
        port=8080,
        packages={"apt": ("docker.io",), "dnf": ("docker",)},
        proven="booted with a stand-in for `docker`",
    ),
    Platform.PROCFILE: PlatformRow(
        title="plain Procfile",
        port=5000,
        packages={"apt": (), "dnf": ()},
        detected_by=("Procfile",),
        proven="booted",
    ),
}


def detect(names: set[str]) -> Platform | None:
    """Return the platform that a bundle's top-level file names ask for, or None."""
    for name in Platform:
        if any(_present(pattern, names) for pattern in PLATFORMS[name].detected_by):
            return name
    return None


def _present(pattern: str, names: set[str]) -> bool:
    if pattern.startswith("*"):
        return any(name.endswith(pattern[1:]) for name in names)
    return pattern in names


def build_of(platform: str, system: System, names: set[str], read: Read) -> str | None:
    """Return the platform's own build command for a bundle, or None if there is nothing to build.

    What the bundle brings along, such as `node_modules`, is not fetched again.
    """
    row = PLATFORMS[platform]
    match platform:
        case Platform.NODE:
            needed = "node_modules" not in names and _has_dependencies(read("package.json"))
        case Platform.PYTHON:
            has_server = "gunicorn" in system.packages(row.packages[system.family])
            needed = not has_server or bool(_requirements(read("requirements.txt") or ""))
        case Platform.RUBY:
            needed = "Gemfile" in names and "vendor" not in names
        case Platform.GO:
            needed = "application" not in names
        case _:
            needed = False
    return row.build if needed and "Buildfile" not in names else None


def start_of(platform: str, names: set[str], read: Read) -> str | None:
    """Return the command of `web` without a Procfile, or None if nothing determines it."""
    row = PLATFORMS[platform]
    match platform:
        case Platform.NODE:
            return _node_start(row, names, read)
        case Platform.PYTHON:
            return row.start if "application.py" in names else None
        case Platform.RUBY:
            return row.start if "config.ru" in names else None
        case Platform.GO:
            return "./application" if "application" in names else row.start
        case Platform.JAVA if sum(name.endswith(".jar") for name in names) != 1:
            return None
        case _:
            return row.start


def _node_start(row: PlatformRow, names: set[str], read: Read) -> str | None:
    scripts = _json_object(read("package.json")).get("scripts")
    start = scripts.get("start") if isinstance(scripts, dict) else None
    if isinstance(start, str) and re.fullmatch(r"node \S+", start):
        return start  # without npm between systemd and the application
    if start:
        return row.start
    return next((f"node {name}" for name in ("app.js", "server.js") if name in names), None)


def packages_of(platform: str, system: System, commands: list[str]) -> tuple[str, ...]:
    """Return the packages of a platform on a system.

    Args:
        commands: of the build and of the processes; a command that names a build tool adds the
            packages of the build.
    """
    row = PLATFORMS[platform]
    programs = {word for command in commands for word in re.findall(r"[\w.-]+", command)}
    builds = not programs.isdisjoint(row.build_tools)
    names = row.packages[system.family]
    return system.packages(names + (row.build_packages.get(system.family, ()) if builds else ()))


def _has_dependencies(package: str | None) -> bool:
    return bool(_json_object(package).get("dependencies"))


def _json_object(text: str | None) -> dict[str, object]:
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _requirements(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
