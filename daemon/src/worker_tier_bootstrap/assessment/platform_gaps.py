"""Reports what Elastic Beanstalk's platforms do with a bundle and instances do not.

Each check asks what decides on the instance, so that it falls silent once an instance does it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from worker_tier_bootstrap import platforms, units
from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.own_build import builds_itself
from worker_tier_bootstrap.assessment.report import refusal, some, warning
from worker_tier_bootstrap.beanstalk.findings import Finding
from worker_tier_bootstrap.platforms import PLATFORMS, Platform
from worker_tier_bootstrap.procfile import BUILDFILE
from worker_tier_bootstrap.systems import SYSTEMS

#: In the template of nginx's location for PHP: each request runs this one script.
_ONE_SCRIPT: Final = "/index.php;"
_COMPOSER: Final = "composer.json"


def platform_gaps(contents: Contents, platform: str) -> Iterator[Finding]:
    """Yield what a bundle of a platform asks for in vain."""
    match platform:
        case Platform.JAVA:
            yield from _java(contents)
        case Platform.PHP:
            yield from _php(contents)
        case Platform.PYTHON:
            yield from _python(contents)
        case Platform.RUBY:
            yield from _ruby(contents)


def _python(contents: Contents) -> Iterator[Finding]:
    """Yield that dependencies stand in a file that no instance installs."""
    if contents.has("requirements.txt") or builds_itself(contents):
        return
    build = PLATFORMS[Platform.PYTHON].build or ""
    if contents.has("Pipfile") and "Pipfile" not in build:
        yield refusal(
            "the packages of Pipfile are not installed on instances",
            "write them to a requirements.txt: pipenv requirements > requirements.txt",
            "Pipfile",
        )
    elif contents.has("pyproject.toml") and "pyproject" not in build:
        yield warning(
            "the dependencies of pyproject.toml are not installed on instances",
            "write them to a requirements.txt, which is `.` alone for a project that pip can"
            " install",
            "pyproject.toml",
        )


def _ruby(contents: Contents) -> Iterator[Finding]:
    """Yield that a Gemfile's gems are not installed because of a directory of the bundle."""
    if not contents.has("Gemfile") or builds_itself(contents):
        return
    carried = contents.under("vendor/bundle") or contents.under("vendor/cache")
    names = contents.names
    is_built = all(
        platforms.build_of(Platform.RUBY, system, names, contents.read)
        for system in SYSTEMS.values()
    )
    if not is_built and not carried:
        yield refusal(
            "the gems of the Gemfile are not installed, because the bundle has a directory vendor,"
            " which is taken for them",
            "add a Buildfile: `bundle: bundle config set --local path vendor/bundle && bundle"
            " install`",
            "Gemfile",
        )


def _java(contents: Contents) -> Iterator[Finding]:
    """Yield that a build needs a JDK where a runtime is installed only."""
    text = contents.read(BUILDFILE) or ""
    tools = re.findall(r"\b(gradlew?|mvnw?|javac)\b", text)
    if not tools:
        return
    system = next(iter(SYSTEMS.values()))
    runtime = set(platforms.packages_of(Platform.JAVA, system, []))
    if set(platforms.packages_of(Platform.JAVA, system, [text])) <= runtime:
        yield refusal(
            f"the Buildfile calls {tools[0]}, which needs a JDK, and instances install a runtime"
            " only",
            "let its line name javac too, for which instances install the JDK, such as"
            f" `build: javac -version && ./{tools[0]} build`",
            BUILDFILE,
        )


def _php(contents: Contents) -> Iterator[Finding]:
    """Yield what PHP's one script and missing Composer leave undone."""
    build = PLATFORMS[Platform.PHP].build or ""
    needs_composer = contents.has(_COMPOSER) and not contents.has("vendor/autoload.php")
    if needs_composer and "composer" not in build and not builds_itself(contents):
        yield refusal(
            f"the packages of {_COMPOSER} are not installed, for instances do not run Composer",
            "put vendor/ into the bundle, or run Composer in a Buildfile",
            _COMPOSER,
        )
    if _ONE_SCRIPT not in units.template("location-fastcgi.conf"):
        return
    if not contents.has("index.php"):
        yield refusal(
            "each request runs index.php at the top of the bundle, where none is",
            "add one that requires the application's own, such as"
            " `<?php require __DIR__ . '/public/index.php';`",
        )
    scripts = [path for path in contents.files if _is_script(path)]
    if scripts:
        yield warning(
            f"requests to the path of {some(scripts)} run index.php: instances run no other script",
            "let index.php require the script of a path, such as by $_SERVER['REQUEST_URI']",
        )


def _is_script(path: str) -> bool:
    """Return whether Elastic Beanstalk runs the file at this path for requests to that path."""
    directory, name = posixpath.split(path)
    return directory == "" and name.endswith(".php") and name != "index.php"
