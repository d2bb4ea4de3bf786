"""Source bundles: processes, platforms, and what may be unpacked."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_tier_bootstrap import platforms, procfile
from worker_tier_bootstrap.bundle import Entry, archive_of
from worker_tier_bootstrap.contract import (
    BUNDLE,
    Application,
    Instance,
    S3Object,
    application_problems,
)
from worker_tier_bootstrap.errors import BootstrapError, InvalidInstance
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.release import plan_release, release_id
from worker_tier_bootstrap.source_bundle import unpack
from worker_tier_bootstrap.systems import SYSTEMS, installed, system_of

OBJECT = S3Object(bucket="b", key="k", sha256="1" * 64)


def test_the_web_process_comes_first_and_is_called_web() -> None:
    assert list(procfile.processes("worker: a\nweb: b\n")) == ["web", "worker"]
    assert procfile.processes("app: node app.js\nother: x") == {"web": "node app.js", "other": "x"}


def test_every_unreadable_line_is_reported() -> None:
    with pytest.raises(BootstrapError) as caught:
        procfile.processes("web node\n\n# fine\nweb: a\nweb: b\n../x: y\n")
    assert "line 1 is not" in caught.value.text
    assert "line 5 names web a second time" in caught.value.text
    assert "line 6 is not" in caught.value.text


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("sqsd", "the daemon"),
        ("nginx", "nginx"),
        ("bootstrap", "the bootstrap's log"),
        ("access", "a log of nginx"),
        ("error", "a log of nginx"),
        ("worker-tier-logrotate", "a unit of worker-tier"),
        ("worker-tier-build", "a unit of worker-tier"),
        ("worker-tier-anything", "a unit of worker-tier"),
        ("amazon-cloudwatch-agent", "the CloudWatch agent"),
        ("docker", "Docker"),
        ("systemd-journald", "a unit of systemd"),
    ],
)
def test_a_process_with_a_name_of_ours_is_refused(name: str, what: str) -> None:
    text = f"web: x\nSQSD: fine\n{name}: sleep 1000\n"
    with pytest.raises(BootstrapError) as caught:
        procfile.processes(text)
    assert f"line 3: the name {name} is taken by {what}" in caught.value.text
    assert "give the process another name" in caught.value.text


def test_a_first_process_with_a_name_of_ours_is_refused_though_it_would_be_called_web() -> None:
    with pytest.raises(BootstrapError, match="line 1: the name nginx is taken"):
        procfile.processes("nginx: nginx -g 'daemon off;'\nother: x\n")


def test_commands_of_a_buildfile_may_have_any_name() -> None:
    assert procfile.parse("docker: true\nnginx: true\n", "Buildfile") == {
        "docker": "true",
        "nginx": "true",
    }


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True),
        st.from_regex(r"[!-~][ -~]{0,40}[!-~]", fullmatch=True),
        min_size=1,
    )
)
def test_any_procfile_is_read_back(commands: dict[str, str]) -> None:
    text = "".join(f"{name}: {command}\n" for name, command in commands.items())
    assert procfile.parse(text, "Procfile") == commands


def plan(
    tmp_path: Path, files: dict[str, str], *, system: str = "debian-12", platform: str | None = None
) -> tuple[dict[str, str], str, int, str | None]:
    directory = tmp_path / "app"
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    application = Application(kind=BUNDLE, bundle=OBJECT, platform=platform)
    machine = Machine(deadline_seconds=10, root=tmp_path)
    release, build = plan_release(application, machine, "/app", SYSTEMS[system])
    return dict(release.processes), release.platform, release.port, build


@pytest.mark.parametrize(
    ("files", "platform", "port", "start", "builds"),
    [
        ({"app.js": ""}, "node", 8080, "node app.js", False),
        ({"package.json": '{"scripts": {"start": "node x.js"}}'}, "node", 8080, "node x.js", False),
        ({"package.json": '{"scripts": {"start": "next"}}'}, "node", 8080, "npm start", False),
        (
            {"package.json": '{"dependencies": {"a": "1"}}', "server.js": ""},
            "node",
            8080,
            "node server.js",
            True,
        ),
        ({"application.py": ""}, "python", 8000, "python3 -m gunicorn", False),
        ({"application.py": "", "requirements.txt": "flask"}, "python", 8000, "python3", True),
        ({"go.mod": ""}, "go", 5000, "bin/application", True),
        ({"app.jar": ""}, "java", 5000, "exec java -jar", False),
        ({"config.ru": ""}, "ruby", 8080, "puma", False),
        ({"index.php": ""}, "php", 9000, "set -- /usr/sbin/php-fpm*", False),
        ({"my.runtimeconfig.json": ""}, "dotnet", 5000, "set -- *.runtimeconfig.json", False),
        ({"Procfile": "web: ./run"}, "procfile", 5000, "./run", False),
        # a Procfile decides what is started, and the other files what it is built with
        ({"Procfile": "web: ./run", "app.js": ""}, "node", 8080, "./run", False),
    ],
)
def test_a_platform_is_detected_by_its_files(
    tmp_path: Path, files: dict[str, str], platform: str, port: int, start: str, builds: bool
) -> None:
    commands, found, its_port, build = plan(tmp_path, files)
    assert (found, its_port) == (platform, port)
    assert commands["web"].startswith(start)
    assert (build is not None) == builds


def test_a_buildfile_replaces_the_platforms_build(tmp_path: Path) -> None:
    files = {"go.mod": "", "Buildfile": "make: true", "Procfile": "web: ./run"}
    assert plan(tmp_path, files)[3] is None


@pytest.mark.parametrize("files", [{}, {"README": ""}, {"a.jar": "", "b.jar": ""}])
def test_a_bundle_without_a_start_command_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(BootstrapError, match="nothing says how to start") as caught:
        plan(tmp_path, files)
    assert "Procfile" in caught.value.hint


def test_tools_for_building_are_installed_only_where_they_are_named() -> None:
    packages = platforms.packages_of
    debian = SYSTEMS["debian-12"]
    assert packages("node", debian, ["node app.js"]) == ("nodejs",)
    assert packages("node", debian, ["npm start"]) == ("nodejs", "npm")
    assert packages("go", debian, ["go build"]) == ("golang-go",)
    assert packages("java", debian, ["javac A.java && jar cf x A"])[-1] == "default-jdk-headless"
    assert packages("node", SYSTEMS["amzn-2023"], ["echo building; exit 7"]) == ("nodejs22",)


def test_every_platform_has_packages_for_every_family_and_a_default_port() -> None:
    families = {system.family for system in SYSTEMS.values()}
    for row in platforms.PLATFORMS.values():
        assert set(row.packages) == families
        assert set(row.build_packages) in (set(), families)
        assert 1024 <= row.port <= 65_535
        assert row.proven in (
            "booted",
            "booted with a stand-in for `docker`",
            "unit tests only",
        )


def test_systems_are_recognized_by_their_release_file() -> None:
    assert system_of('ID="amzn"\nVERSION_ID="2023"\n').nginx_user == "nginx"
    assert system_of("ID=debian\nVERSION_ID='12'\n").family == "apt"
    with pytest.raises(BootstrapError, match="this system is Arch") as caught:
        system_of("ID=arch\nPRETTY_NAME=Arch\n")
    assert "Debian 12" in caught.value.hint


def test_a_package_counts_as_installed_only_when_it_wholly_is() -> None:
    assert installed("ii  nginx\nrc  old\nun  none\niU  half\n") == {"nginx"}


def test_a_release_changes_with_everything_that_makes_it() -> None:
    base = Application(kind=BUNDLE, bundle=OBJECT)
    others = [
        Application(kind=BUNDLE, bundle=S3Object(bucket="b", key="k", sha256="2" * 64)),
        Application(kind=BUNDLE, bundle=OBJECT, port=1),
        Application(kind=BUNDLE, bundle=OBJECT, platform="node"),
        Application(kind=BUNDLE, bundle=OBJECT, environment={"A": "1"}),
    ]
    ids = {release_id(application) for application in [base, *others]}
    assert len(ids) == 5
    # and not with where the bundle was uploaded
    moved = Application(kind=BUNDLE, bundle=S3Object(bucket="c", key="x", sha256="1" * 64))
    assert release_id(moved) == release_id(base)


def test_links_and_permissions_are_unpacked(tmp_path: Path) -> None:
    archive = archive_of(
        {
            "run": Entry(content=b"#!/bin/sh\n", executable=True),
            "deep/data": b"1",
            "link": Entry(content=b"deep/data", link=True),
        }
    )
    (tmp_path / "a.zip").write_bytes(archive.content)
    target = tmp_path / "out"
    target.mkdir()
    unpack(tmp_path / "a.zip", target)
    assert stat.S_IMODE((target / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "deep/data").stat().st_mode) == 0o644
    assert (target / "link").readlink() == Path("deep/data")


@pytest.mark.parametrize(
    "entries",
    [
        {"/etc/passwd": b"x"},
        {"a/../../b": b"x"},
        {"out": Entry(content=b"/etc", link=True), "out/cron.d": b"x"},
    ],
)
def test_nothing_is_written_outside_of_the_release(
    tmp_path: Path, entries: dict[str, bytes | Entry]
) -> None:
    (tmp_path / "a.zip").write_bytes(archive_of(entries).content)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(BootstrapError, match="directory"):
        unpack(tmp_path / "a.zip", target)
    assert not (tmp_path / "b").exists()


def test_a_damaged_archive_is_reported(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("a", "content" * 100)
    content = bytearray(buffer.getvalue())
    content[60] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BootstrapError, match="no readable ZIP archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_all_problems_of_an_application_are_reported_at_once() -> None:
    problems = application_problems(
        {
            "kind": "bundle",
            "port": 0,
            "platform": "cobol",
            "environment": {"1A": "x", "B": "two\nlines", "PORT": "1"},
            "start_timeout": 0,
            "colour": "red",
        }
    )
    text = "\n".join(problems)
    for word in ("bundle", "port must", "cobol", "'1A'", "B must be", "PORT is set", "colour"):
        assert word in text
    assert "start_timeout must" in text


def test_environment_properties_are_bounded_as_in_elastic_beanstalk() -> None:
    (problem,) = application_problems({"kind": "external", "environment": {"A": "x" * 4_096}})
    assert "take 4098 bytes and may take 4096" in problem


SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DB_PASSWORD": f"{SECRET}\nsecond line"}, "got a text of 27 characters in 2 lines"),
        ({"DB_PASSWORD": f"-----BEGIN KEY-----\r\n{SECRET}\r\n"}, "in 2 lines"),
        ({"DB_PASSWORD": f"{SECRET}\0"}, "got a text of 16 characters with a NUL"),
        ({"DB_PASSWORD": [SECRET]}, "got a list"),
        ({"DB_PASSWORD": {"value": SECRET}}, "got an object"),
        ({"DB_PASSWORD": None}, "got null"),
        ({"DB_PASSWORD": 7_352_841}, "got a number"),
        ({"DB_PASSWORD": True}, "got true or false"),
        ({f"DB_PASSWORD={SECRET}": ""}, "'DB_PASSWORD=...' must have a name"),
        ({f"DB_PASSWORD={SECRET}": f"{SECRET}\n"}, "'DB_PASSWORD=...' must have a name"),
        ([f"DB_PASSWORD={SECRET}"], "must be an object, got a list"),
        (f"DB_PASSWORD={SECRET}", "must be an object, got a text of 27 characters"),
    ],
)
def test_no_problem_of_the_environment_shows_a_value(environment: Any, words: str) -> None:
    problems = application_problems({"kind": "external", "environment": environment})
    assert words in problems[0]
    assert SECRET not in str(problems)
    assert "7352841" not in str(problems)


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "application": [{"environment": {"DB_PASSWORD": SECRET}}]},
        {"version": 1, "application": f"DB_PASSWORD={SECRET}"},
        [{"DB_PASSWORD": SECRET}],
    ],
)
def test_no_problem_of_an_instance_json_shows_a_value_of_its_application(document: Any) -> None:
    with pytest.raises(InvalidInstance) as caught:
        Instance.from_json(json.dumps(document))
    assert SECRET not in str(caught.value)
