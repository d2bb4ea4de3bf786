"""The platforms as data: one row each, and which row a source bundle asks for.

A Procfile always decides what is started; a row adds packages, a build and defaults. The constructs
read this table too, to tell at synth what an instance would find out later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

#: The one platform that is no source bundle's.
DOCKER: Final = "docker"
#: The text of a file of the bundle by its path, or None where there is no such file.
Read = Callable[[str], str | None]


@dataclass(frozen=True, kw_only=True)
class Platform:
    """One platform.

    Args:
        port: where EB's platform expects the application, unless told otherwise.
        packages: by package manager, besides those of every instance.
        build_packages: packages that only a build needs, and so only when there is one.
        build_tools: their programs; a command that names one needs them too.
        build: shell command run in the bundle as `webapp`, None for none; see `build_of`.
        start: of the process `web` when there is no Procfile. None: a Procfile is needed.
        detected_by: files of which any one asks for this platform.
        proven: how it was tested; `booted` on Debian 12, or `unit`.
        fastcgi: nginx speaks FastCGI to it, not HTTP.
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
    fastcgi: bool = False


PLATFORMS: Final[Mapping[str, Platform]] = {
    "node": Platform(
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
    "python": Platform(
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
        " $1 -m pip install --no-input --disable-pip-version-check gunicorn; }",
        start="python3 -m gunicorn --bind 127.0.0.1:$PORT --workers 1 --threads 15"
        " application:application",
        detected_by=("requirements.txt", "application.py", "Pipfile"),
        proven="booted",
    ),
    "java": Platform(
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
    "go": Platform(
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
    "ruby": Platform(
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
    "php": Platform(
        title="PHP",
        port=9000,
        packages={"apt": ("php-fpm",), "dnf": ("php8.3-fpm",)},
        # Debian's program has its version in its name.
        start="set -- /usr/sbin/php-fpm* && exec $1 -F -O -y /etc/worker-tier/php-fpm.conf",
        fastcgi=True,
        detected_by=("index.php", "composer.json"),
        proven="booted",
    ),
    "dotnet": Platform(
        title=".NET",
        port=5000,
        packages={"apt": ("aspnetcore-runtime-8.0",), "dnf": ("aspnetcore-runtime-8.0",)},
        start="set -- *.runtimeconfig.json"
        ' && exec dotnet "${1%.runtimeconfig.json}.dll" --urls "http://127.0.0.1:$PORT"',
        detected_by=("*.runtimeconfig.json",),
        proven="unit",
    ),
    "docker": Platform(
        title="Docker",
        port=8080,
        packages={"apt": ("docker.io",), "dnf": ("docker",)},
        proven="unit",
    ),
    "procfile": Platform(
        title="plain Procfile",
        port=5000,
        packages={"apt": (), "dnf": ()},
        detected_by=("Procfile",),
        proven="booted",
    ),
}

#: A bundle of several languages is the one that comes first here; `procfile` only when no other.
_ORDER: Final = ("node", "go", "dotnet", "java", "ruby", "php", "python", "procfile")


def detect(names: set[str]) -> str | None:
    """The platform that a bundle's top-level file names ask for, or None."""
    for name in _ORDER:
        if any(_present(pattern, names) for pattern in PLATFORMS[name].detected_by):
            return name
    return None


def _present(pattern: str, names: set[str]) -> bool:
    if pattern.startswith("*"):
        return any(name.endswith(pattern[1:]) for name in names)
    return pattern in names


def build_of(platform: str, family: str, names: set[str], read: Read) -> str | None:
    """The platform's own build command for this bundle, or None when nothing is to be built.

    What a bundle carries with it, such as `node_modules`, is not fetched again.
    """
    match platform:
        case "node":
            wanted = "node_modules" not in names and _has_dependencies(read("package.json"))
        case "python":
            wanted = family == "dnf" or bool(_requirements(read("requirements.txt") or ""))
        case "ruby":
            wanted = "Gemfile" in names and "vendor" not in names
        case "go":
            wanted = "application" not in names
        case _:
            wanted = False
    return PLATFORMS[platform].build if wanted and "Buildfile" not in names else None


def start_of(platform: str, names: set[str], read: Read) -> str | None:
    """What starts the process `web` without a Procfile, or None when that cannot be told."""
    row = PLATFORMS[platform]
    match platform:
        case "node":
            scripts = _json_object(read("package.json")).get("scripts")
            start = scripts.get("start") if isinstance(scripts, dict) else None
            if isinstance(start, str) and re.fullmatch(r"node \S+", start):
                return start  # without npm between systemd and the application
            if start:
                return row.start
            return next((f"node {name}" for name in ("app.js", "server.js") if name in names), None)
        case "python":
            return row.start if "application.py" in names else None
        case "ruby":
            return row.start if "config.ru" in names else None
        case "go":
            return "./application" if "application" in names else row.start
        case "java" if sum(name.endswith(".jar") for name in names) != 1:
            return None
        case _:
            return row.start


def packages_of(platform: str, family: str, commands: list[str]) -> tuple[str, ...]:
    """Packages of a platform for a package manager.

    Args:
        commands: of the build and of the processes; those that name a tool for building bring its
            packages.
    """
    row = PLATFORMS[platform]
    words = {word for command in commands for word in re.findall(r"[\w.-]+", command)}
    builds = words & set(row.build_tools)
    return row.packages[family] + (row.build_packages.get(family, ()) if builds else ())


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
