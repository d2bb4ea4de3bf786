"""What people and networks get wrong: each ends in a failed signal and a sentence that helps."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.bootstrap.inside.changes import sample
from tests.bootstrap.scene import Scene, empty_zip
from worker_tier.assets import Entry

QUICK = {"port": 3000, "start_timeout": 6}
_FAILED = re.compile(r"^\S+ == failed: (.*)$", re.MULTILINE)


def app(text: str, **more: object) -> Callable[[Scene], str]:
    return lambda scene: scene.bundle(sample(**{"app.js": text}), **{**QUICK, **more})


def files(**more: str | Entry) -> Callable[[Scene], str]:
    return lambda scene: scene.bundle(sample(**more), **QUICK)


LISTEN = "require('http').createServer((q,s)=>s.end()).listen({}, '127.0.0.1')"
HOOK = "#!/bin/sh\necho cannot migrate\nexit 4\n"
#: (what is wrong, user data, what the reason says, what the cure says)
MISTAKES = [
    (
        "nothing says what to start",
        lambda scene: scene.bundle({"README": "hello"}, **QUICK),
        "step unpack: nothing says how to start the application: its bundle has no Procfile",
        "add a Procfile",
    ),
    (
        "an empty bundle",
        lambda scene: scene.archive(empty_zip(), **QUICK),
        "it has no file",
        "add a Procfile",
    ),
    (
        "an archive that is none",
        lambda scene: scene.archive(b"this is not an archive", **QUICK),
        "step unpack: the source bundle is no readable ZIP archive",
        "upload it again",
    ),
    (
        "an application that exits at once",
        app("console.error('missing DATABASE_URL'); process.exit(2)"),
        "the application exits as soon as it is started, last with exit code 2",
        "missing DATABASE_URL",
    ),
    (
        "an application that never opens its port",
        app("setInterval(() => {}, 1000)"),
        "the application does not listen on PORT 3000 within 6 s",
        "let it listen on the port in the variable PORT",
    ),
    (
        "an application that listens on another port",
        app(LISTEN.format(4567)),
        "the application listens on port 4567 instead of PORT 3000",
        "set port=4567",
    ),
    (
        "an application that does not answer",
        app("require('net').createServer(() => {}).listen(3000, '127.0.0.1')"),
        "the application listens on PORT 3000 but has not answered well within 6 s",
        "longer start_timeout",
    ),
    (
        "a hook that fails",
        files(**{".platform/hooks/predeploy/01_migrate.sh": HOOK}),
        "step run predeploy hooks: `.platform/hooks/predeploy/01_migrate.sh` ended with exit code"
        " 4",
        "cannot migrate",
    ),
    (
        "a postdeploy hook that fails",
        files(**{".platform/hooks/postdeploy/01_warm.sh": HOOK}),
        "step run postdeploy hooks",
        "cannot migrate",
    ),
    (
        "a hook that no system can run",
        files(**{".platform/hooks/prebuild/01.sh": "\x7fELF nonsense"}),
        "`.platform/hooks/prebuild/01.sh` cannot be run",
        "#!/bin/bash",
    ),
    (
        "a build that fails",
        files(Buildfile="make: echo no compiler here; exit 5\n"),
        "step build: `make of the Buildfile: echo no compiler here; exit 5` ended with exit code 5",
        "no compiler here",
    ),
    (
        "a Procfile that cannot be read",
        files(Procfile="web node app.js\n"),
        "Procfile: line 1 is not `name: command`",
        "correct the Procfile",
    ),
    (
        "a process called as a unit of the system",
        files(Procfile="web: node app.js\ndbus: sleep 1000\n"),
        "the Procfile's process dbus would replace the system's own dbus.service",
        "give the process another name",
    ),
    (
        "configuration that nginx refuses",
        files(**{".platform/nginx/conf.d/mine.conf": "no_such_directive on;\n"}),
        "step enter the release: `nginx -t -q` ended with exit code 1",
        "no_such_directive",
    ),
    (
        "a path that leaves the bundle",
        lambda scene: scene.bundle({"Procfile": "web: true", "../../etc/cron.d/x": "x"}, **QUICK),
        "the source bundle holds the path '../../etc/cron.d/x', which leaves its directory",
        "pack the bundle from inside its directory",
    ),
    (
        "a bundle that is not there",
        lambda scene: scene.told(
            kind="bundle",
            bundle={"bucket": "applications", "key": "gone.zip", "sha256": "0" * 64},
        ),
        "the source bundle cannot be fetched: s3://applications/gone.zip: HTTP 404",
        "check that the object is there",
    ),
    (
        "a bundle that was changed on its way",
        lambda scene: scene.archive(b"x" * 10, **QUICK).replace(
            hashlib.sha256(b"x" * 10).hexdigest() + '"}', "f" * 64 + '"}'
        ),
        "instead of " + "f" * 64,
        "",
    ),
]


@pytest.fixture(scope="session", autouse=True)
def running(scene: Scene) -> Scene:
    """An instance with a good release, to which everything below returns."""
    scene.box.boot()
    assert "status: done" in scene.box.cloud_init(), scene.box.log_tail()
    return scene


@contextmanager
def one_failure(scene: Scene) -> Iterator[None]:
    before = len(scene.vpc.signals())
    yield
    assert [status for status, _ in scene.vpc.signals()[before:]] == ["FAILURE"]


@pytest.mark.parametrize(
    ("user_data", "reason", "cure"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_told_and_the_old_release_goes_on(
    running: Scene, user_data: Callable[[Scene], str], reason: str, cure: str
) -> None:
    running.vpc.user_data = user_data(running)
    with one_failure(running):
        said = running.box.run_user_data()
    assert said.strip().endswith("exit=1"), said
    text = "\n".join(line.partition("Z ")[2] for line in said.splitlines())
    told = text[text.rindex("== failed: ") :]
    assert reason in told
    assert cure in told
    assert running.all_active()


def test_a_full_disk_is_told(running: Scene) -> None:
    running.box.run("mount -t tmpfs -o size=1m tmpfs /var/app/releases")
    try:
        running.vpc.user_data = running.bundle(
            sample(large="x" * 5_000_000), **{**QUICK, "port": 3001}
        )
        with one_failure(running):
            said = running.box.run_user_data()
    finally:
        running.box.run("umount /var/app/releases")
    assert "the source bundle unpacks to 4 MiB" in said or "the disk is full" in said
    assert "give instances a larger root_volume_size" in said
    assert running.all_active()


def test_a_mirror_that_does_not_answer_is_told(running: Scene) -> None:
    repository = running.vpc.repository
    running.vpc.repository = running.vpc.directory
    try:
        running.vpc.user_data = running.bundle(
            {"application.py": "", "Procfile": "web: true"}, **QUICK
        )
        with one_failure(running):
            said = running.box.run_user_data()
    finally:
        running.vpc.repository = repository
    assert "step install the platform's packages: `apt-get" in said
    assert "let the subnet reach the system's package mirror" in said


def test_an_instance_without_a_role_is_told_by_its_identity(running: Scene) -> None:
    # given an instance that has nothing yet, and no role
    running.vpc.role = None
    deployed = running.deployed.user_data
    running.vpc.user_data = re.sub(r"-ge \d+ \]", "-ge 0 ]", deployed)
    running.box.run("rm -rf /opt/worker-tier/bundles")
    with one_failure(running):
        said = running.box.as_service(_for_seconds(running, 8))
    assert "the instance has no role that gives it keys" in said
    assert "attach an instance profile" in said
    # CloudFormation was spoken to as cfn-signal does
    assert running.vpc.called("SignalResource")[-1]["auth"] == "CFN_V1"
    running.vpc.role = "worker"


def test_a_bucket_that_is_not_there_is_told_and_tried_again(running: Scene) -> None:
    deployed = running.deployed.user_data.replace("cdk-hnb659fds-assets", "no-such-bucket")
    running.vpc.user_data = re.sub(r"-ge \d+ \]", "-ge 0 ]", deployed)
    with one_failure(running):
        said = running.box.as_service(_for_seconds(running, 8))
    assert "NoSuchBucket" in said or "HTTP 404" in said
    assert "next try in 2 s" in said
    assert "next try in 4 s" in said


def _for_seconds(scene: Scene, seconds: int) -> str:
    """The user data, which would go on for ever, cut after so long."""
    scene.box.write("/root/user-data", scene.vpc.user_data)
    return f"timeout -s KILL {seconds} bash /root/user-data; pkill -9 -f root/user-data; true"
