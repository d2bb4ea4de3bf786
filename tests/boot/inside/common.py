"""Tests that every system must pass, from a bare image to a drained shutdown."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path

import pytest

from sqsd.contract import SETTINGS_PATH, TierSettings
from tests.boot import metadata_rules
from tests.boot.box import REBOOTED
from tests.boot.scene import SERVICES, Scene
from tests.boot.vpc import ADDRESS, INSTANCE_ID
from worker_tier_bootstrap import paths


def test_a_bare_image_becomes_a_worker(scene: Scene) -> None:
    box, vpc = scene.box, scene.vpc
    vpc.user_data = scene.without_aws_access()
    box.boot()
    said = box.cloud_init()
    seconds = time.time() - box.booted_at
    assert "status: done" in said, f"{said}\n{box.log_tail()}"
    print(f"\n{seconds:.1f} s from power-on to ready: {scene.durations()}")
    assert scene.all_active()
    assert vpc.signals() == [("SUCCESS", INSTANCE_ID)]
    assert {call["auth"] for call in vpc.calls} == {"AWS4-H"}
    assert vpc.refused_metadata == 0
    assert box.run("systemctl is-system-running", check=False).strip() == "running"


def test_python_is_new_enough_and_the_systems_own(scene: Scene) -> None:
    box = scene.box
    python = box.run("readlink /opt/worker-tier/python").strip()
    box.run(f"{python} -c 'import sys; assert sys.version_info >= (3, 11)'")
    if "amzn" in box.read("/etc/os-release"):
        assert python == "/usr/bin/python3.11"
        assert box.read("/var/log/dnf.calls").startswith("dnf -y -q install python3.11\n")


def test_the_log_is_in_the_journal_and_on_the_console_too(scene: Scene) -> None:
    last = "Z == done: the application answered, and the daemon completed a receive"
    assert last in scene.box.log_tail(1)
    # of cloud-final.service, or from cloud-init 24.3 on of cloud-init-main.service
    assert last in scene.box.run("journalctl -b -o cat --no-pager -u 'cloud-*'")
    scene.box.wait(lambda: last in scene.box.console(), 10, "the log's end on the console")


def test_services_were_started_in_order(scene: Scene) -> None:
    show = f"systemctl show -p ActiveEnterTimestampMonotonic --value {' '.join(SERVICES)}"
    times = [int(line) for line in scene.box.run(show).split()]
    assert times == sorted(times)


def test_the_daemon_knows_its_group_and_hook(scene: Scene) -> None:
    settings = TierSettings.from_json(scene.box.read(SETTINGS_PATH))
    assert settings.resources.auto_scaling_group == scene.deployed.group
    assert settings.resources.lifecycle_hook == "drain"


def test_nothing_listens_but_on_loopback(scene: Scene) -> None:
    lines = scene.box.run("ss -Hltn").splitlines()
    local = [line.split()[3].rpartition(":")[0] for line in lines]
    assert set(local) <= {"127.0.0.1", "[::1]", "127.0.0.53%lo", "127.0.0.54"}
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((ADDRESS, 80), 2).close()


def test_the_application_does_not_reach_the_metadata_service_and_the_daemon_does(
    scene: Scene,
) -> None:
    nginx = scene.box.run("ps -o user= -C nginx | sort -u | grep -v root").strip()
    assert [scene.reaches_metadata(user) for user in ("root", "sqsd")] == [True, True]
    assert [scene.reaches_metadata(user) for user in ("webapp", nginx)] == [False, False]


def test_the_rules_leave_no_way_to_the_metadata_service(scene: Scene) -> None:
    source = Path(metadata_rules.__file__).read_text(encoding="utf-8")
    scene.box.write("/usr/local/lib/metadata_rules.py", source)
    command = f"python3 /usr/local/lib/metadata_rules.py {paths.METADATA_RULES}"
    # It makes routers, which the container of a boot may not.
    prepare = "unshare --net --mount sh -c 'mount -o remount,bind,rw /proc/sys && exec"
    tried = json.loads(scene.box.run(f"{prepare} {command} root sqsd webapp nobody'"))
    everything = dict.fromkeys(metadata_rules.WAYS, "reached") | {"udp": "sent"}
    # Without the rules everything is reached: so it is they that refuse.
    assert set(map(str, tried["before"].values())) == {str(everything)}
    after = tried["after"]
    assert after["root"] == after["sqsd"] == everything
    refused = dict.fromkeys(metadata_rules.WAYS, "refused")
    for user in ("webapp", "nobody"):
        assert after[user] == {**refused, "udp": "Operation not permitted"}
    # A datagram that is refused on its way shows only later, if at all.
    assert {**after["container"], "udp": None} == {**refused, "udp": None}


def test_a_message_reaches_the_application_with_elastic_beanstalks_headers(scene: Scene) -> None:
    id = scene.send("message one", **{"with.dots_and_underscores": "yes"})
    scene.box.wait(lambda: "message one" in scene.received(), 20, "the message")
    scene.box.wait(lambda: scene.left() == (0, 0), 10, "the message's deletion")
    lines = scene.received().splitlines()
    at = next(i for i, line in enumerate(lines) if "Received message: message one" in line)
    headers = json.loads(lines[at + 1].partition("Record Http headers: ")[2])
    assert headers["host"] == "localhost"
    assert headers["x-aws-sqsd-msgid"] == id
    assert headers["x-aws-sqsd-receive-count"] == "1"
    assert headers["user-agent"].startswith("aws-sqsd/3.0.5")
    assert headers["x-aws-sqsd-path"] == "/"
    assert headers["x-aws-sqsd-attr-with.dots_and_underscores"] == "yes"
    # nginx stands between
    assert headers["x-forwarded-for"] in ("127.0.0.1", "::1")
    for name in ("x-real-ip", "x-aws-sqsd-queue", "x-aws-sqsd-sender-id", "x-aws-sqsd-sent-at"):
        assert headers[name]


def test_the_largest_message_passes_nginx(scene: Scene) -> None:
    body = "x" * (1024 * 1024)
    scene.sqs.send_message(QueueUrl=scene.deployed.queue_url, MessageBody=body)
    scene.box.wait(lambda: scene.left() == (0, 0), 20, "the largest message's deletion")
    assert [e["status"] for e in scene.events("message.released")] == []


def test_periodic_tasks_fire(scene: Scene) -> None:
    fired = "Received task every-ten-seconds scheduled at "
    scene.box.wait(lambda: fired in scene.received(), 25, "a periodic task")


def test_generated_files_are_good_on_this_system(scene: Scene) -> None:
    box = scene.box
    units = " ".join(f"/etc/systemd/system/{name}.service" for name in ("web", "sqsd"))
    assert box.run(f"systemd-analyze verify --man=no {units} nginx.service") == ""
    found = re.search(r"sqsd.service: ([\d.]+)", box.run("systemd-analyze security sqsd.service"))
    assert found is not None
    assert float(found[1]) < 2.0
    box.run("nginx -t -q && logrotate --debug /etc/worker-tier/logrotate.conf")
    for unit, exposure in (("web", 5.0), ("nginx", 7.0)):
        said = box.run(f"systemd-analyze security {unit}.service")
        found = re.search(rf"{unit}.service: ([\d.]+)", said)
        assert found is not None
        print(f"\nexposure of {unit}: {found[1]}")
        assert float(found[1]) <= exposure
    status = box.run(f"cat /proc/{scene.pid('sqsd')}/status")
    for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"):
        assert line in status
    assert "Uid:\t0\t" not in status


def test_an_application_is_not_started_without_the_rules(scene: Scene) -> None:
    box = scene.box
    # given rules that somebody's firewall has flushed
    box.run("nft flush ruleset")
    assert scene.reaches_metadata("webapp")
    # when the application is started anew, they are back
    box.run("systemctl restart web")
    assert not scene.reaches_metadata("webapp")
    # and where they cannot be loaded, it is not started
    box.run(f"mv {paths.METADATA_RULES} /root/; systemctl restart web", check=False)
    assert box.run("systemctl is-active web", check=False).strip() != "active"
    assert scene.pid("web") == 0
    box.run(f"mv /root/metadata.nft {paths.METADATA_RULES}; systemctl restart web")
    box.wait(scene.all_active, 30, "every service")


def test_a_second_run_changes_nothing(scene: Scene) -> None:
    before, signals = scene.snapshot(), len(scene.vpc.signals())
    started = time.monotonic()
    said = scene.box.run_user_data()
    print(f"\na second run took {time.monotonic() - started:.1f} s")
    assert said.strip().endswith("exit=0"), said
    assert scene.snapshot() == before
    assert len(scene.vpc.signals()) == signals + 1


def test_a_plan_says_that_nothing_is_left_to_do(scene: Scene) -> None:
    lines = scene.box.run("worker-tier-bootstrap plan").splitlines()
    assert len(lines) > 15
    assert [line for line in lines if ": do (" in line and "check the system" not in line] == []


def test_a_reboot_drains_first_and_comes_back_by_itself(scene: Scene) -> None:
    box, signals = scene.box, len(scene.vpc.signals())
    slow = scene.send("slow one", demo="slow")
    box.wait(lambda: "slow one" in scene.received(), 20, "the slow message")
    _, code = box.stop("reboot")
    assert code == REBOOTED
    assert scene.answers(slow) == [200]
    box.boot()
    box.wait(scene.all_active, 60, "every service after the reboot")
    print(f"\n{time.time() - box.booted_at:.1f} s from reboot to ready")
    box.cloud_init()
    assert len(scene.vpc.signals()) == signals
    assert stop_order(scene, "-b -1") == ["sqsd", "nginx", "web"]
    assert scene.reaches_metadata("sqsd")
    assert not scene.reaches_metadata("webapp")
    deleted = [event["message_id"] for event in scene.events("message.deleted")]
    assert len(deleted) == len(set(deleted))
    scene.dispatch("after the reboot")


def test_a_shutdown_answers_what_is_in_flight(scene: Scene) -> None:
    last = scene.send("last one", demo="slow")
    scene.box.wait(lambda: "last one" in scene.received(), 20, "the slow message")
    seconds, code = scene.box.stop("poweroff")
    assert code == 0
    assert 1 < seconds < 30
    assert scene.answers(last) == [200]


def stop_order(scene: Scene, which: str) -> list[str]:
    """The services in the order in which they had stopped."""
    text = scene.box.run(f"journalctl {which} -o cat --no-pager _PID=1 -n 400")
    ended = {}
    for name in SERVICES:
        found = [m.start() for m in re.finditer(rf"{name}.service: Deactivated successfully", text)]
        ended[name] = found[-1]
    return sorted(ended, key=lambda name: ended[name])
