"""Mistakes of people and networks, and attacks of what a bundle depends on.

Each mistake ends in a failed signal and an error with a hint; no attack reaches root.

These need a real system; the rest is in `tests/bootstrap/test_mistakes.py`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.boot.inside.changes import sample
from tests.boot.scene import Scene
from worker_tier_bootstrap.bundle import Entry

QUICK = {"port": 3000, "start_timeout": 3}
LOG = "/var/log/worker-tier/bootstrap.log"


def app(text: str, **more: object) -> Callable[[Scene], str]:
    return lambda scene: scene.bundle(sample(**{"app.js": text}), **{**QUICK, **more})


def files(**more: str | Entry) -> Callable[[Scene], str]:
    return lambda scene: scene.bundle(sample(**more), **QUICK)


LISTEN = "require('http').createServer((q,s)=>s.end()).listen({}, '127.0.0.1')"
HOOK = "#!/bin/sh\necho cannot migrate\nexit 4\n"
#: (what is wrong, user data, what the reason says, what the hint says)
MISTAKES = [
    (
        "nothing says what to start",
        lambda scene: scene.bundle({"README": "hello"}, **QUICK),
        "step unpack: nothing says how to start the application: its bundle has no Procfile",
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
        # systemd waits a second before each of the starts that are counted
        app("console.error('missing DATABASE_URL'); process.exit(2)", start_timeout=8),
        "the application exits as soon as it is started, last with exit code 2",
        "missing DATABASE_URL",
    ),
    (
        "an application that never opens its port",
        app("setInterval(() => {}, 1000)"),
        "the application does not listen on PORT 3000 within 3 s",
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
        "the application listens on PORT 3000 but has not answered well within 3 s",
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
        "configuration that nginx refuses",
        files(**{".platform/nginx/conf.d/mine.conf": "no_such_directive on;\n"}),
        "step activate the release: `nginx -t -q` ended with exit code 1",
        "no_such_directive",
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
    ("user_data", "reason", "hint"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_reported_and_the_old_release_still_runs(
    running: Scene, user_data: Callable[[Scene], str], reason: str, hint: str
) -> None:
    running.vpc.user_data = user_data(running)
    with one_failure(running):
        said = running.box.run_user_data()
    assert said.strip().endswith("exit=1"), said
    text = "\n".join(line.partition("Z ")[2] for line in said.splitlines())
    reported = text[text.rindex("== failed: ") :]
    assert reason in reported
    assert hint in reported
    assert running.all_active()


def test_a_full_disk_is_reported(running: Scene) -> None:
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


def with_deadline(user_data: str, seconds: int) -> str:
    """User data with another time limit of the boot."""
    changed, count = re.subn(
        r'("deadline_seconds": ?)\d+', lambda found: f"{found[1]}{seconds}", user_data
    )
    assert count == 1
    return changed


def test_a_silent_mirror_is_reported(running: Scene) -> None:
    repository = running.vpc.repository
    running.vpc.repository = running.vpc.directory
    try:
        # PHP is the one platform that is not on the disk; there is no time for another try
        text = running.bundle({"index.php": ""}, **{**QUICK, "port": 9000})
        running.vpc.user_data = with_deadline(text, 9)
        with one_failure(running):
            said = running.box.run_user_data()
    finally:
        running.vpc.repository = repository
    assert "step install the platform's packages: `apt-get" in said
    assert "let the subnet reach the system's package mirror" in said
    assert running.all_active()


def test_an_instance_without_a_role_signals_its_failure_by_its_identity(running: Scene) -> None:
    # given an instance that has nothing yet, and no role
    running.vpc.role = None
    running.box.run("rm -rf /opt/worker-tier/bundles")
    with one_failure(running):
        said = _until_signalled(running, running.deployed.user_data)
    assert "the instance has no role that gives it keys" in said
    assert "attach an instance profile" in said
    # CloudFormation was spoken to as cfn-signal does
    assert running.vpc.called("SignalResource")[-1]["auth"] == "CFN_V1"
    running.vpc.role = "worker"


def test_a_missing_bucket_is_signalled_and_tried_again(running: Scene) -> None:
    with one_failure(running):
        said = _until_signalled(running, running.with_bucket("no-such-bucket"))
    assert "NoSuchBucket" in said or "HTTP 404" in said
    assert "next try in 2 s" in said


def _until_signalled(scene: Scene, user_data: str) -> str:
    """Run user data that would try for ever; kill it once it has signalled, return its log."""
    # at once, not after its patience
    scene.vpc.user_data = re.sub(r"-ge \d+ \]", "-ge 0 ]", user_data)
    before, log = len(scene.vpc.signals()), scene.box.read(LOG)
    runner = threading.Thread(target=scene.box.run_user_data, daemon=True)
    runner.start()
    scene.box.wait(lambda: len(scene.vpc.signals()) > before, 30, "a signal")
    scene.box.run("pkill -9 -f root/user-data", check=False)
    runner.join(30)
    assert not runner.is_alive()
    return scene.box.read(LOG)[len(log) :]


# ---- attacks


#: What a dependency's install script does as the application's user: it writes hooks and settings
#: of nginx, programs with the names of the system's, and goes on in the background, where it
#: replaces directories by links to /etc.
ATTACK = """\
mkdir -p .platform/hooks/predeploy .platform/hooks/postdeploy .platform/nginx/conf.d bin \\
  node_modules/.bin
for hook in predeploy postdeploy; do
  printf '#!/bin/sh\\nid > /root/attacked-by-hook\\n' > .platform/hooks/$hook/01.sh
done
printf 'access_log /etc/cron.d/attacked-by-build;\\n' > .platform/nginx/conf.d/evil.conf
for program in systemctl nginx id python3; do
  printf '#!/bin/sh\\ntouch /root/attacked-by-path\\n' > node_modules/.bin/$program
  chmod +x node_modules/.bin/$program
done
echo "open('/root/attacked-by-import', 'w')" > evil.py
i=0
while [ $i -lt 300 ]; do
  mkdir d$i
  echo mine > d$i/shadow
  i=$((i + 1))
done
setsid sh -c 'exec 2> /dev/null; trap "" TERM HUP; while :; do
  for d in d*; do mv -T $d .$d; ln -s /etc $d; rm $d; mv -T .$d $d; done; done' attacker &
ls -d .platform node_modules/.bin/id d299/shadow
"""
#: An application that writes configuration of nginx into its release, and then works.
WRITER = """\
const fs = require('node:fs');
try {
  fs.mkdirSync('.platform/nginx/conf.d', {recursive: true});
  fs.writeFileSync('.platform/nginx/conf.d/evil.conf', 'access_log /etc/cron.d/attacked-by-app;');
} catch (error) { console.log(`refused: ${error.code}`); }
require('./sample.js');
"""


def attacking(**more: str | Entry) -> dict[str, str | Entry]:
    """The sample application with that dependency."""
    given = {"app.js": WRITER, "sample.js": sample()["app.js"], "attack.sh": ATTACK}
    return sample(**given, Buildfile="make: sh attack.sh || :\n", **more)


def assert_nobody_became_root(scene: Scene) -> None:
    scene.box.run("systemctl restart nginx")
    found = "ls -d /root/attacked-* /etc/cron.d/attacked-*"
    assert scene.box.run(f"{found} 2> /dev/null", check=False) == ""
    owners = "find /etc ! -user root -printf '%p %u\\n'"
    assert scene.box.run(owners) == ""
    assert scene.box.run("pgrep -f attacker", check=False) == ""


@pytest.mark.parametrize("has_hooks", [False, True], ids=["no .platform", "hooks"])
def test_no_script_of_a_dependency_and_no_application_becomes_root(
    running: Scene, has_hooks: bool
) -> None:
    # given a hook of the bundle that uses programs of the system
    hook = "#!/bin/bash\nset -e\nid -un > /root/hook\npython3 -c 'import json'\n"
    hook += "systemctl is-system-running > /dev/null || :\n"
    files = {".platform/hooks/predeploy/00.sh": hook + "python3 -c 'import evil' || :\n"}
    running.vpc.user_data = running.bundle(
        attacking(**(files if has_hooks else {})),
        environment={"PYTHONPATH": "/var/app/staging", "BASH_ENV": "/var/app/staging/evil.py"},
        port=3000,
    )
    said = running.box.run_user_data()
    assert "d299/shadow" in said, "the attack did not run"
    assert_nobody_became_root(running)
    # and the deployment goes on, for these files are the application's own affair
    assert said.strip().endswith("exit=0"), said[-4000:]
    assert "refused: E" in running.box.read("/var/log/worker-tier/web.log")
    if has_hooks:
        assert running.box.read("/root/hook") == "root\n"
        assert "without the properties BASH_ENV, PYTHONPATH" in said
    running.dispatch(f"after the attack, hooks {has_hooks}")
