"""A first boot that is cut again and again, and comes to its end all the same."""

from __future__ import annotations

import re

from tests.boot.box import REBOOTED
from tests.boot.scene import Scene
from tests.boot.vpc import INSTANCE_ID

LOG = "/var/log/worker-tier/bootstrap.log"


def reach(scene: Scene, step: str, after: int = 0) -> None:
    mark = re.compile(rf"== \d+/\d+ {step}")
    path = scene.box.root / LOG.lstrip("/")
    scene.box.wait(
        lambda: path.exists() and mark.search(scene.box.read(LOG)[after:]), 60, f"the step {step}"
    )


def stop_dpkg(scene: Scene, package: str) -> None:
    """Return when dpkg stands still, and the package is half unpacked."""
    state = "dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\\n'"
    # A child that was stopped as it became another program has another name: so all go on.
    found = scene.box.run(
        "for _ in $(seq 3000); do"
        f" pkill -STOP -x dpkg && {state} | grep '^.[HU]R {package}$' && exit;"
        " kill -CONT -1; sleep 0.002; done",
        check=False,
    )
    assert found, scene.box.log_tail()


def test_a_reboot_while_packages_are_installed(scene: Scene) -> None:
    scene.box.boot()
    reach(scene, "install packages")
    scene.box.wait(lambda: scene.box.succeeds("pgrep -x dpkg"), 30, "dpkg")
    _, code = scene.box.stop("reboot")
    assert code == REBOOTED
    assert scene.vpc.signals() == []


def test_a_power_cut_while_a_package_is_unpacked(scene: Scene) -> None:
    after = len(scene.box.read(LOG))
    scene.box.boot()
    reach(scene, "install the platform's packages", after)
    stop_dpkg(scene, "nodejs")  # it lacks its dependency at that moment, too
    scene.box.kill()
    assert scene.vpc.signals() == []


def test_a_power_cut_while_that_is_repaired(scene: Scene) -> None:
    after = len(scene.box.read(LOG))
    scene.box.boot()
    reach(scene, "install packages", after)
    stop_dpkg(scene, "libnode108:amd64")
    assert "platform's packages" not in scene.box.read(LOG)[after:]
    scene.box.kill()
    assert scene.vpc.signals() == []


def test_a_power_cut_while_the_daemon_starts(scene: Scene) -> None:
    after = len(scene.box.read(LOG))
    scene.box.boot()
    reach(scene, "start the daemon and wait for its first receive", after)
    scene.box.kill()
    assert scene.vpc.signals() == []


def test_the_next_boot_makes_it_a_worker_and_says_so_once(scene: Scene) -> None:
    scene.box.boot()
    said = scene.box.cloud_init()
    assert "status: done" in said, f"{said}\n{scene.box.log_tail()}"
    assert scene.vpc.signals() == [("SUCCESS", INSTANCE_ID)]
    assert scene.all_active()
    assert not scene.box.succeeds("test -e /usr/sbin/policy-rc.d")
    assert scene.box.run("dpkg --audit") == ""
    scene.dispatch("after three cuts")


def test_one_more_reboot_has_nothing_left_to_go_on_with(scene: Scene) -> None:
    after = len(scene.box.read(LOG))
    _, code = scene.box.stop("reboot")
    assert code == REBOOTED
    scene.box.boot()
    scene.box.wait(scene.all_active, 60, "every service after the reboot")
    scene.box.cloud_init()
    assert scene.box.read(LOG)[after:] == ""
    assert len(scene.vpc.signals()) == 1
