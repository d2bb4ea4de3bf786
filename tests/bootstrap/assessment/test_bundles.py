"""Bundles in the layouts that public samples have, from their files to the plan on an instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bootstrap.assessment.bundles import refused, warned, write
from worker_tier_bootstrap.assessment import Assessment, assess, pack
from worker_tier_bootstrap.contract import BUNDLE, Application, S3Object
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.release import plan_release
from worker_tier_bootstrap.source_bundle import unpack
from worker_tier_bootstrap.systems import SYSTEMS

GUNICORN = (
    "python3 -m gunicorn --bind 127.0.0.1:$PORT --workers 1 --threads 15 application:application"
)
LOCATION = "location / {\n  proxy_pass http://127.0.0.1:8080;\n}\n"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A source bundle, and what must become of it.

    Args:
        chosen: the platform that code names.
        web: the command of `web`, or None if it is not asked for.
        refused: words of each refusal, in order.
        warned: words of each warning, in order.
    """

    name: str
    files: dict[str, str]
    platform: str | None
    chosen: str | None = None
    web: str | None = None
    refused: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()


BUNDLES = [
    # ---- Node.js
    Bundle(
        name="express",
        files={
            "package.json": '{"scripts": {"start": "node app.js"},'
            ' "dependencies": {"express": "4"}}',
            "package-lock.json": "{}",
            "app.js": "",
            "cron.yaml": "version: 1\n",
        },
        platform="node",
        web="node app.js",
    ),
    Bundle(
        name="nest, built by a Buildfile",
        files={
            "package.json": '{"scripts": {"start:prod": "node dist/main", "build": "nest build"},'
            ' "dependencies": {"@nestjs/core": "10"}, "devDependencies": {"@nestjs/cli": "10"}}',
            "Procfile": "web: npm run start:prod",
            "Buildfile": "build: npm ci && npm run build",
            "src/main.ts": "",
        },
        platform="node",
        web="npm run start:prod",
    ),
    Bundle(
        name="nest, started by its development tool",
        files={
            "package.json": '{"scripts": {"start": "nest start"},'
            ' "devDependencies": {"@nestjs/cli": "10"}}',
            "src/main.ts": "",
        },
        platform="node",
        web="npm start",
        warned=("package.json starts nest as web, which is a development dependency",),
    ),
    Bundle(
        name="node with a start file that is not there",
        files={"package.json": '{"scripts": {"start": "node dist/main.js"}}'},
        platform="node",
        web="node dist/main.js",
        warned=("package.json starts dist/main.js as web, which is not in the source bundle",),
    ),
    Bundle(
        name="node whose file postinstall builds",
        files={
            "package.json": '{"scripts": {"start": "node dist/main.js", "postinstall": "tsc"}}',
        },
        platform="node",
        web="node dist/main.js",
    ),
    Bundle(
        name="node without a word on how it starts",
        files={"package.json": '{"name": "x"}', "index.js": ""},
        platform="node",
        refused=("nothing says how to start the application: there is no Procfile",),
    ),
    Bundle(
        name="node with a broken package.json",
        files={"package.json": '{"scripts": {', "app.js": ""},
        platform="node",
        refused=("package.json is not JSON",),
    ),
    # ---- Python
    Bundle(
        name="flask",
        files={"application.py": "", "requirements.txt": "flask\n", ".ebextensions/x.config": ""},
        platform="python",
        web=GUNICORN,
        warned=(".ebextensions/x.config is empty",),
    ),
    Bundle(
        name="fastapi",
        files={
            "main.py": "",
            "requirements.txt": "fastapi\nuvicorn[standard]\n",
            "Procfile": "web: uvicorn main:app --port $PORT",
        },
        platform="python",
        web="uvicorn main:app --port $PORT",
    ),
    Bundle(
        name="fastapi without its server",
        files={
            "main.py": "",
            "requirements.txt": "fastapi\n",
            "Procfile": "web: uvicorn main:app --port $PORT",
        },
        platform="python",
        warned=("Procfile starts uvicorn as web, which requirements.txt does not name",),
    ),
    Bundle(
        name="django with a front end",
        files={
            "manage.py": "",
            "proj/wsgi.py": "",
            "requirements.txt": "django\n",
            "package.json": '{"devDependencies": {"webpack": "5"}}',
            "Procfile": "web: gunicorn --bind :$PORT proj.wsgi",
        },
        platform=None,
        refused=(
            "files of several platforms: node by package.json; python by manage.py,"
            ' requirements.txt; pass platform="node" or platform="python"',
        ),
    ),
    Bundle(
        name="django with a front end, decided",
        files={
            "manage.py": "",
            "requirements.txt": "django\n",
            "package.json": "{}",
            "Procfile": "web: gunicorn --bind :$PORT proj.wsgi\nworker: celery -A proj worker",
        },
        chosen="python",
        platform="python",
        web="gunicorn --bind :$PORT proj.wsgi",
        warned=("Procfile starts celery as worker, which requirements.txt does not name",),
    ),
    Bundle(
        name="django that code takes for node",
        files={
            "manage.py": "",
            "requirements.txt": "django\n",
            "package.json": "{}",
            "Procfile": "web: gunicorn --bind :$PORT proj.wsgi",
        },
        chosen="node",
        platform="node",
        warned=("Procfile starts gunicorn as web, which the platform Node.js does not install",),
    ),
    Bundle(
        name="pipenv",
        files={"Pipfile": "[packages]\nflask = '*'\n", "Pipfile.lock": "{}", "application.py": ""},
        platform="python",
        refused=("the packages of Pipfile are not installed on instances",),
    ),
    Bundle(
        name="poetry",
        files={"pyproject.toml": "[tool.poetry]\n", "application.py": ""},
        platform="python",
        warned=("the dependencies of pyproject.toml are not installed on instances",),
    ),
    Bundle(
        name="a node application with python tooling",
        files={
            "package.json": '{"scripts": {"start": "node a.js"}}',
            "a.js": "",
            "pyproject.toml": "",
        },
        platform="node",
        web="node a.js",
    ),
    # ---- Ruby
    Bundle(
        name="rails new",
        files={
            "Gemfile": "gem 'rails'",
            "Gemfile.lock": "",
            "config.ru": "",
            "vendor/.keep": "",
        },
        platform="ruby",
        refused=("the gems of the Gemfile are not installed, because the bundle has a directory"
        " vendor",),
    ),
    Bundle(
        name="rails with its gems",
        files={"Gemfile": "gem 'rails'", "config.ru": "", "vendor/cache/rails-7.gem": ""},
        platform="ruby",
        web="puma --bind tcp://127.0.0.1:$PORT config.ru",
    ),
    Bundle(
        name="rails with webpack",
        files={
            "Gemfile": "",
            "config.ru": "",
            "package.json": "{}",
            "Procfile": "web: bin/rails s",
        },
        platform=None,
        refused=("node by package.json; ruby by Gemfile, config.ru",),
    ),
    # ---- PHP
    Bundle(
        name="php with one script",
        files={"index.php": "<?php", "cron.yaml": "version: 1\n"},
        platform="php",
    ),
    Bundle(
        name="php with a script for each path",
        files={"index.php": "<?php", "scheduled.php": "<?php"},
        platform="php",
        warned=("requests to the path of scheduled.php run index.php",),
    ),
    Bundle(
        name="laravel",
        files={
            "artisan": "",
            "composer.json": "{}",
            "public/index.php": "<?php",
            "package.json": '{"private": true}',
            ".platform/nginx/conf.d/elasticbeanstalk/laravel.conf": LOCATION,
        },
        platform=None,
        refused=(
            'pass platform="node" or platform="php"',
            "laravel.conf declares `location /`, which worker-tier's server has already",
        ),
    ),
    Bundle(
        name="laravel, decided",
        files={
            "artisan": "",
            "composer.json": "{}",
            "public/index.php": "<?php",
            "package.json": "{}",
        },
        chosen="php",
        platform="php",
        refused=(
            "the packages of composer.json are not installed",
            "each request runs index.php at the top of the bundle, where none is",
        ),
    ),
    # ---- Java
    Bundle(
        name="a jar",
        files={"app.jar": "PK", ".ebextensions/nginx/conf.d/x.conf": ""},
        platform="java",
        web="exec java -jar ./*.jar",
        warned=("Elastic Beanstalk reads it on Amazon Linux 1 only",),
    ),
    Bundle(
        name="two jars",
        files={"a.jar": "PK", "b.jar": "PK"},
        platform="java",
        refused=("nothing says how to start the application",),
    ),
    Bundle(
        name="gradle, built on the instance",
        files={
            "build.gradle": "",
            "gradlew": "#!/bin/sh\n",
            "Buildfile": "build: ./gradlew build",
            "Procfile": "web: java -jar build/libs/app.jar",
        },
        platform="java",
        refused=("the Buildfile calls gradlew, which needs a JDK",),
    ),
    Bundle(
        name="gradle whose Buildfile asks for a JDK",
        files={
            "build.gradle": "",
            "gradlew": "#!/bin/sh\n",
            "Buildfile": "build: javac -version && ./gradlew build",
            "Procfile": "web: java -jar build/libs/app.jar",
        },
        platform="java",
        web="java -jar build/libs/app.jar",
    ),
    # ---- Go, .NET, Procfile
    Bundle(
        name="go",
        files={"go.mod": "module x", "main.go": "package main"},
        platform="go",
        web="bin/application",
    ),
    Bundle(
        name="go with a binary that is missing",
        files={"Procfile": "web: bin/server --port $PORT", "README.md": ""},
        platform="procfile",
        warned=("Procfile starts bin/server as web, which is not in the source bundle",),
    ),
    Bundle(
        name="dotnet, published",
        files={"app.runtimeconfig.json": "{}", "app.dll": "MZ"},
        platform="dotnet",
    ),
    Bundle(
        name="two dotnet applications in folders",
        files={
            "site/site.runtimeconfig.json": "{}",
            "site/site.dll": "",
            "jobs/jobs.runtimeconfig.json": "{}",
            "aws-windows-deployment-manifest.json": "{}",
        },
        platform="dotnet",
        refused=(
            "the source bundle has 2 .NET applications: jobs/jobs.runtimeconfig.json,"
            " site/site.runtimeconfig.json; add a Procfile",
        ),
        warned=("aws-windows-deployment-manifest.json is not read, so it deploys nothing",),
    ),
    Bundle(
        name="two dotnet applications with a Procfile",
        files={
            "site/site.runtimeconfig.json": "{}",
            "site/site.dll": "",
            "jobs/jobs.runtimeconfig.json": "{}",
            "jobs/jobs.dll": "",
            "Procfile": "web: dotnet site/site.dll\njobs: dotnet jobs/jobs.dll",
        },
        platform="dotnet",
        web="dotnet site/site.dll",
    ),
    Bundle(
        name="a plain Procfile of Windows",
        files={"Procfile": "web: ./run\r\nworker: ./run work\r\n", "run": "#!/bin/sh\n"},
        platform="procfile",
        web="./run",
        warned=("Procfile has Windows line ends, which are left out of its commands",),
    ),
    Bundle(
        name="a Procfile that a Buildfile writes",
        files={"Buildfile": "procfile: ./configure > Procfile", "configure": "#!/bin/sh\n"},
        platform="procfile",
    ),
    Bundle(
        name="a platform's start that a hook writes",
        files={
            "Gemfile": "",
            ".platform/hooks/prebuild/1.sh": "#!/bin/sh\necho 'run: x' > Procfile",
        },
        platform="ruby",
        warned=("is not executable, and is run all the same",),
    ),
    # ---- Docker
    Bundle(
        name="a Dockerfile",
        files={"Dockerfile": "FROM node:20\nEXPOSE 3000\n", "src/x": ""},
        platform="docker",
        refused=("a Dockerfile is not built on instances; build its image with the stack:",),
    ),
    Bundle(
        name="a Dockerfile beside node",
        files={"Dockerfile": "FROM node:20", "package.json": "{}", "server.js": ""},
        platform=None,
        refused=(
            "node by package.json, server.js; docker by Dockerfile; pass platform=\"node\" to run"
            " it without Docker, or its image",
        ),
    ),
    Bundle(
        name="compose",
        files={"docker-compose.yml": "services: {}"},
        platform="docker",
        refused=("docker-compose.yml describes several containers",),
    ),
    Bundle(
        name="Dockerrun v1",
        files={
            "Dockerrun.aws.json": '{"AWSEBDockerrunVersion": "1",'
            ' "Image": {"Name": "example/app"}}',
        },
        platform="docker",
        refused=("names one container (example/app), and is not read here; pass its image",),
    ),
    Bundle(
        name="Dockerrun v2",
        files={"Dockerrun.aws.json": '{"AWSEBDockerrunVersion": 2, "containerDefinitions": []}'},
        platform="docker",
        refused=("of version 2 describes a task of ECS",),
    ),
    Bundle(
        name="Dockerrun of no version",
        files={"Dockerrun.aws.json": "{}"},
        platform="docker",
        refused=("AWSEBDockerrunVersion of Dockerrun.aws.json must be 1, 2 or 3, got None",),
    ),
]  # fmt: skip


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_a_bundle_is_assessed_and_planned(tmp_path: Path, bundle: Bundle) -> None:
    found = assess(write(tmp_path / "app", bundle.files), platform=bundle.chosen)
    assert found.platform == bundle.platform
    assert_says(refused(found), bundle.refused)
    assert_says(warned(found), bundle.warned)
    if bundle.web is not None:
        assert (found.starts[0].process, found.starts[0].command) == ("web", bundle.web)
    if not bundle.refused and found.starts:
        assert planned(found, tmp_path) == {start.process: start.command for start in found.starts}


def assert_says(texts: list[str], words: tuple[str, ...]) -> None:
    assert len(texts) == len(words), texts
    for text, part in zip(texts, words, strict=True):
        assert part in text


def planned(found: Assessment, tmp_path: Path) -> dict[str, str]:
    """What an instance starts, from the archive and the platform that synth hands over."""
    archive = pack(found.contents, tmp_path / "bundle.zip").path
    (tmp_path / "machine/app").mkdir(parents=True)
    unpack(archive, tmp_path / "machine/app")
    application = Application(
        kind=BUNDLE,
        bundle=S3Object(bucket="b", key="k", sha256="1" * 64),
        platform=found.platform,
    )
    machine = Machine(deadline_seconds=10, root=tmp_path / "machine")
    release, _ = plan_release(application, machine, "/app", SYSTEMS["debian-12"])
    assert release.platform == found.platform
    return dict(release.processes)


def test_the_summary_names_the_platform_and_what_decided(tmp_path: Path) -> None:
    write(tmp_path / "app", {"package.json": "{}", "app.js": "", ".ebignore": "x"})
    assert assess(tmp_path / "app").summary == (
        f"{tmp_path}/app runs on Node.js by app.js, package.json; .ebignore decides which files it"
        " has (2)"
    )
    assert "runs on Go by platform=" in assess(tmp_path / "app", platform="go").summary


def test_a_start_file_that_an_ignore_file_leaves_out_is_named_with_that_file(
    tmp_path: Path,
) -> None:
    files = {"package.json": '{"scripts": {"start": "node dist/main.js", "build": "tsc"}}'}
    write(tmp_path, files | {".gitignore": "dist/\n", "dist/main.js": ""})
    (warning,) = warned(assess(tmp_path))
    assert "package.json starts dist/main.js as web, which is not in the source bundle" in warning
    assert ".gitignore leaves it out" in warning
    (tmp_path / ".ebignore").write_text("node_modules\n")
    assert not warned(assess(tmp_path))


@pytest.mark.parametrize(
    "command",
    [
        "node $MAIN", "cd src && node app.js", "python3 -m app", "node -e 1", "java -jar *.jar",
        "/usr/bin/app", "node dist/main", "sh -c 'node x.js'", "npm run prod", "\"broken", "exec",
        "bundle exec puma", "java -cp x Main", "../x/run.sh",
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_read_for_certain_is_no_warning(
    tmp_path: Path, command: str
) -> None:
    write(tmp_path, {"Procfile": f"web: {command}", "app.txt": ""})
    assert not warned(assess(tmp_path))


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("node app.js", "app.js"),
        ("NODE_ENV=x exec node --max-old-space-size=99 lib/a.js --port 1", "lib/a.js"),
        ("python3 -u worker.py | tee log", "worker.py"),
        ("java -Xmx1g -jar target/app.jar", "target/app.jar"),
        ("./bin/run", "bin/run"),
        ("bash scripts/start.sh", "scripts/start.sh"),
        ("dotnet ./site/app.dll --urls x", "site/app.dll"),
    ],
)
def test_the_file_of_a_command_must_be_in_the_bundle(
    tmp_path: Path, command: str, path: str
) -> None:
    write(tmp_path, {"Procfile": f"web: {command}", "x.txt": ""})
    (warning,) = warned(assess(tmp_path))
    assert warning.startswith(f"Procfile starts {path} as web, which is not in the source bundle")
    write(tmp_path, {path: ""})
    assert not warned(assess(tmp_path))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("cron.yml", "cron.yaml"),
        ("Cron.yaml", "cron.yaml"),
        ("procfile", "Procfile"),
        ("Procfile.txt", "Procfile"),
        ("buildfile", "Buildfile"),
        ("dockerrun.aws.json", "Dockerrun.aws.json"),
        ("Dockerrun.json", "Dockerrun.aws.json"),
        (".ebextension/a.config", ".ebextensions"),
        ("ebextensions/a.config", ".ebextensions"),
        (".ebextentions/a.config", ".ebextensions"),
        (".EBExtensions/a.config", ".ebextensions"),
        (".platforms/hooks/prebuild/a.sh", ".platform"),
        ("platform/hooks/prebuild/a.sh", ".platform"),
    ],
)
def test_what_looks_like_elastic_beanstalks_and_is_not_read_is_a_warning(
    tmp_path: Path, name: str, read: str
) -> None:
    write(tmp_path, {"app.js": "", name: ""})
    (warning,) = warned(assess(tmp_path))
    assert warning.startswith(name.partition("/")[0])
    assert "is not read" in warning
    assert f"call it {read}" in warning


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("env.yaml", "SolutionStack: x", "WorkerTier.from_option_settings"),
        ("aws-windows-deployment-manifest.json", "{}", "instances run Linux"),
        ("buildspec.yml", "eb_codebuild_settings:\n  Image: x", "nothing is built here"),
    ],
)
def test_what_elastic_beanstalk_reads_and_instances_do_not_is_a_warning(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    write(tmp_path, {"app.js": "", name: content})
    (warning,) = warned(assess(tmp_path))
    assert warning.startswith(name)
    assert says in warning


def test_a_buildspec_of_codebuild_alone_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"app.js": "", "buildspec.yml": "version: 0.2"})
    assert not warned(assess(tmp_path))


@pytest.mark.parametrize("name", ["Procfile.dev", "platform/index.js", "crontab", "extensions/a"])
def test_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"app.js": "", name: ""})
    assert not warned(assess(tmp_path))
