"""What root runs and includes comes from the archive, whatever a build or the application writes.

The attacks themselves run on a booted system, in `tests/boot/inside/mistakes.py`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bootstrap.conftest import Bundles
from tests.fakes.machine import FakeMachine
from worker_tier_bootstrap import __main__ as command
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.bundle import Entry
from worker_tier_bootstrap.contract import CONTAINER, Application
from worker_tier_bootstrap.root_environment import for_root, withheld

APP: dict[str, bytes | Entry] = {"app.js": b"", "Procfile": b"web: node app.js\n"}
BUILT: dict[str, bytes | Entry] = {**APP, "Buildfile": b"make: ./make\n"}
HOOK = b"#!/bin/sh\n"


def run(machine: FakeMachine, application: Application) -> int:
    machine.configure(application)
    return command.main(["run"], machine)


def outcome(machine: FakeMachine) -> str:
    return machine.read("/run/worker-tier/outcome") or ""


def when(machine: FakeMachine, program: str, action: Callable[[Path], None]) -> None:
    """Call `action` with the release's directory when a command of this program runs."""
    usual = machine.run

    def run(words: list[str], **given: object) -> str:
        if str(words[0]).endswith(program):
            (release,) = machine.path(paths.RELEASES).iterdir()
            action(release)
        return usual(words, **given)  # type: ignore[arg-type]

    machine.run = run  # type: ignore[assignment, method-assign]


def hooks_that_ran(machine: FakeMachine) -> list[str]:
    root = str(machine.path("/"))
    return [Path(words).name for words in machine.commands if words.startswith(root)]


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("has_platform_files", [False, True])
def test_a_hook_that_a_build_writes_is_not_run_by_root(
    machine: FakeMachine, bundles: Bundles, has_platform_files: bool
) -> None:
    files = dict(BUILT)
    if has_platform_files:
        files[".platform/hooks/predeploy/01.sh"] = HOOK

    # given a build that replaces what it can of the release
    def attack(release: Path) -> None:
        link = release / ".platform"
        if link.is_symlink():
            link.unlink()
        write(release / ".platform/hooks/predeploy/02.sh", HOOK)
        write(release / ".platform/hooks/postdeploy/03.sh", HOOK)
        write(release / ".platform/nginx/conf.d/a.conf", b"client_max_body_size 20m;")

    when(machine, "systemd-run", attack)
    assert run(machine, bundles(files)) == 0, outcome(machine)
    assert machine.built, "nothing was built"
    assert hooks_that_ran(machine) == (["01.sh"] if has_platform_files else [])
    nginx = machine.read(paths.NGINX) or ""
    assert "client_max_body_size 1m;" in nginx
    assert "/var/app/current" not in nginx
    assert "/var/app/releases" not in nginx


def test_what_a_prebuild_hook_of_root_writes_below_platform_counts(
    machine: FakeMachine, bundles: Bundles
) -> None:
    # as in Elastic Beanstalk, where nginx's files are copied after these hooks
    def write_more(release: Path) -> None:
        # the link of a fake machine begins at the real root
        target = machine.path(str((release / ".platform").readlink()))
        write(target / "nginx/conf.d/made.conf", b"client_max_body_size 20m;")
        write(target / "hooks/predeploy/02.sh", HOOK)

    when(machine, "01.sh", write_more)
    files = {**APP, ".platform/hooks/prebuild/01.sh": HOOK}
    assert run(machine, bundles(files)) == 0, outcome(machine)
    assert hooks_that_ran(machine) == ["01.sh", "02.sh"]
    nginx = machine.read(paths.NGINX) or ""
    assert "client_max_body_size" not in nginx
    release_id = machine.path(paths.CURRENT).readlink().name
    assert f"include /var/app/platform/{release_id}/nginx/conf.d/*.conf;" in nginx


def test_platform_files_of_releases_that_are_gone_are_removed(
    machine: FakeMachine, bundles: Bundles
) -> None:
    for content in (b"1", b"2", b"3"):
        assert run(machine, bundles({**APP, "app.js": content})) == 0
    assert machine.names(paths.PLATFORM_FILES) == machine.names(paths.RELEASES)
    assert len(machine.names(paths.RELEASES)) == 2


# ---- what root runs by


@pytest.mark.parametrize("phase", ["prebuild", "predeploy", "postdeploy"])
def test_a_hook_finds_no_program_of_the_application_and_loads_no_code_of_it(
    machine: FakeMachine, bundles: Bundles, phase: str
) -> None:
    properties = {
        "PYTHONPATH": "/var/app/current",
        "NODE_OPTIONS": "--require ./x.js",
        "LD_PRELOAD": "/var/app/current/x.so",
        "BASH_ENV": "/var/app/current/env",
        "PATH": "/var/app/current/bin:/usr/bin",
        "HOME": "/home/webapp",
        "DATABASE_URL": "postgres://db",
        "NODE_ENV": "test",
    }
    files = {**BUILT, f".platform/hooks/{phase}/1.sh": HOOK}
    assert run(machine, bundles(files, environment=properties)) == 0, outcome(machine)
    (environment,) = [
        given["environment"] for words, given in machine.given.items() if words.endswith("1.sh")
    ]
    assert environment == {
        "DATABASE_URL": "postgres://db",
        "NODE_ENV": "test",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONSAFEPATH": "1",
        "PORT": "8080",
    }
    # which is not silent, and shows no value
    (line,) = {line for line in machine.logged if "without the properties" in line}
    assert "BASH_ENV, HOME, LD_PRELOAD, NODE_OPTIONS, PATH, PYTHONPATH" in line
    # the build, which is the application's user, has them all
    ((_, variables),) = machine.built
    for name, value in properties.items():
        assert f'{name}="{value}"\n' in variables


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True), st.text()))
def test_each_property_is_given_to_root_unchanged_or_withheld_by_name(
    properties: dict[str, str],
) -> None:
    hidden = {name: properties[name] for name in withheld(properties)}
    assert {**hidden, **for_root(properties)} == properties
    assert hidden.keys().isdisjoint(for_root(properties))


@pytest.mark.parametrize(
    "name",
    [
        *("LD_LIBRARY_PATH", "PYTHONSTARTUP", "PYTHONHOME", "BASH_ENV", "ENV", "PERL5OPT"),
        *("JAVA_TOOL_OPTIONS", "NODE_PATH", "npm_config_script_shell", "GIT_SSH_COMMAND"),
        *("AWS_CONFIG_FILE", "PATH", "SHELLOPTS", "GCONV_PATH", "DOTNET_STARTUP_HOOKS"),
        *("RUBYOPT", "PHPRC", "TAR_OPTIONS", "APT_CONFIG", "WGETRC", "CURL_HOME", "RSYNC_RSH"),
        *("PSQLRC", "PGSYSCONFDIR", "INPUTRC", "SSH_ASKPASS", "SUDO_ASKPASS", "LESS", "GNUPGHOME"),
        *("ANSIBLE_CONFIG", "MYSQL_HOME", "TERMINFO", "XDG_CONFIG_HOME", "VIMINIT", "LESSOPEN"),
    ],
)
def test_a_property_by_which_a_program_loads_code_is_withheld_from_root(name: str) -> None:
    assert withheld({name: "x"}) == [name]


@pytest.mark.parametrize(
    "name", ["AWS_REGION", "DATABASE_URL", "NODE_ENV", "RACK_ENV", "MODE", "http_proxy", "HOMEPAGE"]
)
def test_other_properties_reach_hooks(name: str) -> None:
    assert for_root({name: "x"}) == {name: "x"}


def test_docker_which_runs_as_root_gets_no_property_but_the_containers_file(
    machine: FakeMachine,
) -> None:
    application = Application(
        kind=CONTAINER, image="registry/a:1", environment={"LD_PRELOAD": "/x.so", "A": "1"}
    )
    assert run(machine, application) == 0, outcome(machine)
    assert machine.read(paths.ENVIRONMENT) == (
        'HOME="/root"\nLANG="C.UTF-8"\n'
        'PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"\n'
    )
    assert machine.read(paths.CONTAINER_ENVIRONMENT) == "LD_PRELOAD=/x.so\nA=1\nPORT=8080\n"


# ---- the build


def test_a_build_runs_as_the_applications_user_in_a_unit_that_ends_with_all_its_processes(
    machine: FakeMachine, bundles: Bundles
) -> None:
    files = {**APP, "Buildfile": b'make: ./make "$HOME" %n ${X}\n'}
    assert run(machine, bundles(files, environment={"TOKEN": "hush"})) == 0, outcome(machine)
    (words,) = [words for words in machine.commands if words.startswith("systemd-run")]
    release = machine.path(paths.CURRENT).readlink()
    arguments = shlex.split(words)
    for argument in (
        "--wait",
        "--unit=worker-tier-build.service",
        "--property=User=webapp",
        f"--property=WorkingDirectory={release}",
        "--property=KillMode=control-group",
        "--property=NoNewPrivileges=yes",
    ):
        assert argument in arguments
    # nobody sees a property on a command line or in a unit, and systemd expands nothing
    ((script, variables),) = machine.built
    assert script.endswith('\n./make "$HOME" %n ${X}\n')
    assert 'TOKEN="hush"\n' in variables
    assert f'PATH="{release}/.venv/bin:{release}/node_modules/.bin:/usr/local/sbin:' in variables
    assert not any("hush" in words for words in machine.commands)
    assert machine.read(paths.BUILD_ENVIRONMENT) is None
    # what an earlier boot left is ended before, and what this one left after
    stops = [i for i, words in enumerate(machine.commands) if "stop worker-tier-build" in words]
    assert stops[0] < machine.commands.index(words) < stops[-1]


def test_a_build_that_fails_leaves_no_environment_behind(
    machine: FakeMachine, bundles: Bundles
) -> None:
    machine.failing["systemd-run"] = "no"
    assert run(machine, bundles(BUILT, environment={"TOKEN": "hush"})) == 1
    assert machine.read(paths.BUILD_ENVIRONMENT) is None
    assert "worker-tier-build.service" in machine.commands[-1]


# ---- the Procfile


@pytest.mark.parametrize("source", ["Buildfile", "prebuild", "predeploy"])
def test_a_procfile_that_a_build_or_a_hook_writes_decides_what_is_started(
    machine: FakeMachine, bundles: Bundles, source: str
) -> None:
    hook = f".platform/hooks/{source}/1.sh"
    files: dict[str, bytes | Entry] = {"run.py": b""}
    files |= {source: b"make: ./make\n"} if source == "Buildfile" else {hook: HOOK}
    when(
        machine,
        "systemd-run" if source == "Buildfile" else "1.sh",
        lambda release: write(release / "Procfile", b"web: python3 run.py\nworker: ./work\n"),
    )
    assert run(machine, bundles(files)) == 0, outcome(machine)
    assert machine.running >= {"web.service", "worker.service"}
    assert (machine.read("/etc/worker-tier/processes/web.sh") or "").endswith("python3 run.py\n")
    assert "User=webapp\n" in (machine.read("/etc/systemd/system/worker.service") or "")


def test_a_build_that_was_to_write_a_procfile_and_did_not_is_reported(
    machine: FakeMachine, bundles: Bundles
) -> None:
    assert run(machine, bundles({"run.py": b"", "Buildfile": b"make: ./make\n"})) == 1
    assert "step record the release: nothing says how to start" in outcome(machine)


def test_a_procfile_that_a_build_makes_a_link_is_not_read(
    machine: FakeMachine, bundles: Bundles
) -> None:
    machine.write("/etc/shadow", "web: secret\n")

    def attack(release: Path) -> None:
        (release / "Procfile").unlink()
        (release / "Procfile").symlink_to(machine.path("/etc/shadow"))

    when(machine, "systemd-run", attack)
    assert run(machine, bundles(BUILT)) == 1
    assert "Procfile of the application must be a regular file" in outcome(machine)
    assert "secret" not in outcome(machine) + "".join(machine.logged)
