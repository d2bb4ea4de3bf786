"""An instance whose application changes, breaks, is killed, and leaves."""

from __future__ import annotations

import re
import subprocess
import threading
import time

from tests.boot.box import REBOOTED
from tests.boot.scene import Scene
from tools.local_aws.instance import REPOSITORY
from worker_tier_bootstrap.bundle import Entry

SAMPLE = REPOSITORY / "examples" / "node_worker"
#: All that EB allows in a value of an environment property.
AWKWARD = "a b _ . : / = + \\ - @ ' \" $HOME `id` %h #"


def sample(**more: str | Entry) -> dict[str, str | Entry]:
    """The sample application's files, and others."""
    files = {path.name: Entry(content=path.read_bytes()) for path in SAMPLE.iterdir()}
    return {**files, **more}


#: A process that prints a metric of CloudWatch, writes to its output by name, and says good-bye.
WORKER = """\
console.log(JSON.stringify({_aws: {CloudWatchMetrics: []}, MessagesDeleted: 1}));
require('fs').writeFileSync('/dev/stdout', 'written by name\\n');
process.on('SIGTERM', () => { console.log('the last line'); process.exit(0); });
setInterval(() => {}, 1000);
"""


def hook(text: str) -> str:
    return f"#!/bin/bash\nset -eu\n{text}\n"


#: What the log has of the worker's metric: no metric.
WRAPPED = '{"process":"worker","log":{"_aws":{"CloudWatchMetrics":[]},"MessagesDeleted":1}}'


def worker_lines(scene: Scene) -> list[str]:
    return scene.box.read("/var/log/worker-tier/worker.log").splitlines()


def log(scene: Scene) -> str:
    return scene.box.read("/var/log/worker-tier/bootstrap.log")


def test_the_first_release_runs(scene: Scene) -> None:
    scene.box.boot()
    assert "status: done" in scene.box.cloud_init(), scene.box.log_tail()
    seconds = time.time() - scene.box.booted_at
    print(f"\n{seconds:.1f} s, with packages in the image: {scene.durations()}")
    scene.dispatch("first")
    # as in Elastic Beanstalk, the application may use the role
    assert scene.reaches_metadata("webapp")


def test_a_killed_daemon_is_restarted_and_dispatches_again(scene: Scene) -> None:
    old = scene.pid("sqsd")
    scene.box.run(f"kill -9 {old}")
    scene.box.wait(lambda: scene.pid("sqsd") not in (0, old) and scene.all_active(), 30, "sqsd")
    scene.dispatch("after kill -9")


def test_a_killed_application_is_restarted_and_messages_wait_for_it(scene: Scene) -> None:
    scene.box.run("systemctl kill -s KILL web")
    scene.send("sent while the application was dead")
    found = "sent while the application was dead"
    scene.box.wait(lambda: found in scene.received(), 30, "the message")


def test_a_daemon_that_hangs_is_restarted_by_systemd(scene: Scene) -> None:
    box = scene.box
    box.run(
        "mkdir -p /run/systemd/system/sqsd.service.d;"
        "printf '[Service]\\nWatchdogSec=3\\n' > /run/systemd/system/sqsd.service.d/test.conf;"
        "systemctl daemon-reload; systemctl restart sqsd"
    )
    old = scene.pid("sqsd")
    box.run(f"kill -STOP {old}")
    box.wait(lambda: scene.pid("sqsd") not in (0, old) and scene.all_active(), 40, "a new sqsd")
    assert "Watchdog timeout" in box.run("journalctl -u sqsd --no-pager -n 50")
    box.run("rm -r /run/systemd/system/sqsd.service.d; systemctl daemon-reload")
    box.run("systemctl restart sqsd")


def test_an_update_to_a_broken_application_restores_the_old_one_and_signals_failure(
    scene: Scene,
) -> None:
    signals = len(scene.vpc.signals())
    link = scene.box.run("readlink /var/app/current")
    scene.vpc.user_data = scene.bundle(
        sample(**{"app.js": "console.error('no such setting'); process.exit(3);"}), port=3000
    )
    said = scene.box.run_user_data()
    assert said.strip().endswith("exit=1")
    assert "step start the application: the application exits as soon as it is started" in said
    assert "exit code 3" in said
    assert "no such setting" in said
    assert [status for status, _ in scene.vpc.signals()[signals:]] == ["FAILURE"]
    # the old release answers
    assert scene.box.run("readlink /var/app/current") == link
    assert scene.all_active()
    scene.dispatch("after a broken update")
    # and the end of the log is where it outlives the instance
    (events,) = scene.vpc.called("Logs_20140328.PutLogEvents")
    assert events["logGroupName"] == scene.deployed.log_group
    assert any("exit code 3" in event["message"] for event in events["logEvents"])


def test_a_failed_build_never_touches_what_runs(scene: Scene) -> None:
    pids = scene.pid("web"), scene.pid("sqsd")
    scene.vpc.user_data = scene.bundle(sample(Buildfile="make: echo building; exit 7\n"), port=3000)
    said = scene.box.run_user_data()
    assert "make of the Buildfile: echo building; exit 7` ended with exit code 7" in said
    assert (scene.pid("web"), scene.pid("sqsd")) == pids


def test_a_full_bundle_does_what_elastic_beanstalk_does(scene: Scene) -> None:
    platform = ".platform/hooks/{}".format
    where = 'echo "$0 $PWD $PORT $(id -un) $AWKWARD" >> /var/log/hooks.log'
    script = Entry(content=hook(where).encode(), executable=True)
    files = sample(
        Procfile="# two of them\nworker: exec node worker.js\nweb: node app.js\n",
        Buildfile='make: echo "built in $PWD as $(id -un)" > built.txt\n',
    )
    for phase in ("prebuild", "predeploy", "postdeploy"):
        files[platform(f"{phase}/01.sh")] = script
    files[".platform/confighooks/predeploy/01.sh"] = hook("echo config >> /var/log/hooks.log")
    files["worker.js"] = WORKER
    files[".platform/nginx/conf.d/more.conf"] = "client_max_body_size 20m;\n"
    environment = {"AWKWARD": AWKWARD}
    scene.vpc.user_data = scene.bundle(files, port=3100, environment=environment)
    said = scene.box.run_user_data()
    assert said.strip().endswith("exit=0"), said
    lines = scene.box.read("/var/log/hooks.log").splitlines()
    release = scene.box.run("readlink /var/app/current").strip()
    assert [line.split()[0].split("/")[-2] for line in lines] == [
        "prebuild",
        "predeploy",
        "postdeploy",
    ]
    assert all(line.endswith(f" 3100 root {AWKWARD}") for line in lines)
    assert scene.box.read(f"{release}/built.txt").endswith("as webapp\n")
    assert scene.box.run("systemctl is-active worker").strip() == "active"
    assert worker_lines(scene) == [WRAPPED, "written by name"]
    web = scene.box.run(f"tr '\\0' '\\n' < /proc/{scene.pid('web')}/environ")
    assert f"AWKWARD={AWKWARD}\n" in web
    assert "PORT=3100\n" in web
    assert scene.box.run("nginx -T 2>/dev/null").count("client_max_body_size") == 1
    scene.dispatch("for the full bundle")


def test_a_change_of_properties_runs_the_config_hooks_only(scene: Scene) -> None:
    text = scene.vpc.user_data
    scene.vpc.user_data = text.replace("3100", "3200")
    before = scene.box.read("/var/log/hooks.log")
    said = scene.box.run_user_data()
    assert said.strip().endswith("exit=0"), said
    assert scene.box.read("/var/log/hooks.log") == before + "config\n"
    scene.dispatch("on another port")


def test_a_change_of_the_daemons_options_leaves_the_application_running(scene: Scene) -> None:
    web, daemon = scene.pid("web"), scene.pid("sqsd")
    text = scene.vpc.user_data
    scene.vpc.user_data = text.replace('"http_connections":50', '"http_connections":20')
    assert scene.vpc.user_data != text
    assert scene.box.run_user_data().strip().endswith("exit=0")
    assert scene.pid("web") == web
    assert scene.pid("sqsd") != daemon
    assert scene.events("daemon.started")[-1]["http_connections"] == 20


def test_a_boot_killed_at_any_step_is_finished_by_the_next_run(scene: Scene) -> None:
    steps = (
        "put the daemon in place",
        "fetch the source bundle",
        "unpack",
        "record the release",
        "activate the release",
        "start the application",
        "start the daemon",
        "finish",
    )
    for number, step in enumerate(steps):
        scene.vpc.user_data = scene.bundle(sample(version=f"{number}\n"), port=3000)
        _kill_at(scene, step)
    said = scene.box.run_user_data()
    assert said.strip().endswith("exit=0"), said
    assert scene.box.run("cat /var/app/current/version").strip() == str(len(steps) - 1)
    # of those that were killed, at most the one before is left
    assert len(scene.box.run("ls /var/app/releases").split()) <= 2
    assert scene.box.run("find / -xdev -name '*.worker-tier-new' -o -name '*.part'").strip() == ""
    assert scene.all_active()
    # the process that an earlier Procfile had is gone, and its log to the last line written
    assert not scene.box.succeeds("systemctl cat worker.service")
    assert not scene.box.succeeds("systemctl is-active worker-tier-log@worker.socket")
    assert worker_lines(scene)[-1] == "the last line"
    scene.dispatch("after many kills")


def _kill_at(scene: Scene, step: str) -> None:
    """Start a run in the background, and kill all of it when its log names the step."""
    before = len(log(scene))
    runner = threading.Thread(target=scene.box.run_user_data, daemon=True)
    runner.start()
    mark = re.compile(rf"== \d+/\d+ {re.escape(step)}")
    scene.box.wait(lambda: mark.search(log(scene)[before:]), 60, f"the step {step}")
    kill = "pkill -9 -f 'user-data|worker_tier_bootstrap run'; sleep 0.2"
    scene.box.run(kill, check=False)
    runner.join(30)
    assert not runner.is_alive()


def test_a_disk_of_a_used_instance_boots_as_another_one(scene: Scene) -> None:
    signals = len(scene.vpc.signals())
    scene.vpc.instance_id = "i-0fedcba9876543210"
    _, code = scene.box.stop("reboot")
    assert code == REBOOTED
    scene.box.boot()
    assert "status: done" in scene.box.cloud_init(), scene.box.log_tail()
    seconds = time.time() - scene.box.booted_at
    print(f"\n{seconds:.1f} s from power-on to ready on a used disk")
    assert scene.vpc.signals()[signals:] == [("SUCCESS", "i-0fedcba9876543210")]
    assert scene.all_active()


def test_an_instance_that_auto_scaling_ends_drains_and_says_so(scene: Scene) -> None:
    box, vpc = scene.box, scene.vpc
    last = scene.send("the last message", demo="slow")
    box.wait(lambda: "the last message" in scene.received(), 20, "the slow message")
    vpc.lifecycle_state = "Terminated"
    sent = time.time()
    box.wait(lambda: vpc.called("CompleteLifecycleAction"), 30, "the end of the hook")
    (complete,) = vpc.called("CompleteLifecycleAction")
    assert complete["AutoScalingGroupName"] == scene.deployed.group
    assert complete["LifecycleHookName"] == "drain"
    assert complete["InstanceId"] == "i-0fedcba9876543210"
    assert complete["at"] - sent < 20
    # by then it was answered and deleted
    assert scene.answers(last) == [200]
    # a message that arrives now is left to another instance
    other = scene.send("for another instance")
    _, code = box.stop("poweroff")
    assert code == 0
    assert scene.left()[0] >= 1
    assert other not in scene.box.read("/var/log/worker-tier/sqsd.log")


def test_services_had_stopped_in_order(scene: Scene) -> None:
    journal = ["journalctl", "-D", str(scene.box.root / "var/log/journal"), "-o", "cat"]
    text = subprocess.run(journal, capture_output=True, text=True, check=True).stdout
    last = [text.rindex(f"{name}.service: Deactivated") for name in ("sqsd", "nginx", "web")]
    assert last == sorted(last)
