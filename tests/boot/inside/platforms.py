"""Each platform that Debian can install: one small application, built, started and answering."""

from __future__ import annotations

import json
import re

import pytest

from tests.boot.inside.changes import SAMPLE, sample
from tests.boot.scene import Scene
from worker_tier_bootstrap.bundle import Entry, archive_of
from worker_tier_bootstrap.contract import CONTAINER
from worker_tier_bootstrap.platforms import PLATFORMS

LOG = "/tmp/sample-app.log"
PYTHON_SAMPLE = SAMPLE.parent / "python_worker" / "application.py"

GO = """\
package main

import ("io"; "net/http"; "os")

func main() {
  http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
    body, _ := io.ReadAll(r.Body)
    file, _ := os.OpenFile("/tmp/sample-app.log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0644)
    file.Write(append(body, '\\n')); file.Close()
  })
  http.ListenAndServe("127.0.0.1:" + os.Getenv("PORT"), nil)
}
"""
JAVA = """\
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.file.*;

public class App {
  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(System.getenv("PORT"));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.createContext("/", exchange -> {
      byte[] body = exchange.getRequestBody().readAllBytes();
      Files.write(Path.of("/tmp/sample-app.log"), body,
          StandardOpenOption.CREATE, StandardOpenOption.APPEND);
      exchange.sendResponseHeaders(200, -1);
      exchange.close();
    });
    server.start();
  }
}
"""
RUBY = """\
run lambda { |env|
  File.open('/tmp/sample-app.log', 'a') { |file| file.puts env['rack.input'].read }
  [200, {'content-type' => 'text/plain'}, ['ok']]
}
"""
#: A metric of CloudWatch, as an application forges one.
FORGED = '{"_aws":{"CloudWatchMetrics":[]},"MessagesDeleted":999}'
PHP = f"""\
<?php
error_log("hello\\n" . '{FORGED}' . "\\nbye");
file_put_contents('/tmp/sample-app.log', file_get_contents('php://input') . "\\n", FILE_APPEND);
echo 'ok';
"""
#: The requirement is in the bundle, for the instance reaches no package index.
WHEEL = {
    "greeting.py": b"WORD = 'hello'\n",
    "greeting-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
    "greeting-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: a test\n"
    b"Root-Is-Purelib: true\nTag: py3-none-any\n",
    "greeting-1.0.dist-info/RECORD": b"",
}
PYTHON = PYTHON_SAMPLE.read_text(encoding="utf-8")
BUNDLES: dict[str, dict[str, str | Entry]] = {
    "node": sample(),
    "python": {
        "application.py": PYTHON + "\n\nimport greeting\n\nassert greeting.WORD == 'hello'\n",
        "requirements.txt": "./wheels/greeting-1.0-py3-none-any.whl\n",
        "wheels/greeting-1.0-py3-none-any.whl": Entry(content=archive_of(WHEEL).content),
    },
    "ruby": {"config.ru": RUBY},
    "php": {"index.php": PHP},
    "go": {"go.mod": "module sample\n", "main.go": GO},
    "java": {
        "Buildfile": "compile: javac App.java && jar cfe app.jar App *.class && rm *.class\n",
        "Procfile": "web: java -jar app.jar\n",
        "App.java": JAVA,
        # what a bundle for this platform is known by
        "lib.jar": "",
    },
    "procfile": {"Procfile": "web: exec python3 run.py\n", "run.py": PYTHON},
}
BUNDLES["node"].pop("Procfile")
#: Stand-in for Docker, which is too large for a test: it takes the same arguments, and runs no
#: container, but a program with the capabilities of one.
DOCKER = """\
#!/bin/sh
echo "$*" >> /var/log/docker.calls
[ "$1" = run ] || exit 0
rights=
drop=
while [ $# -gt 1 ]; do
  case "$1 $2" in
    "--env-file "*) environment=$2 ;;
    "--cap-drop ALL") drop=-all ;;
    "--cap-add "*) rights=$rights,+$(echo "$2" | tr A-Z a-z) ;;
    "--security-opt no-new-privileges") more=--no-new-privs ;;
  esac
  shift
done
set -a
. "$environment"
exec setpriv $more ${drop:+--bounding-set=$drop$rights} \\
  python3 /root/docker/usr/share/application.py
"""
PACKAGE = """\
Package: docker.io
Version: 1
Architecture: all
Maintainer: a test <test@example.com>
Description: stands for Docker
"""
#: What the root of a container tries, by the calls of usual images at their start.
IMAGE = """\
import json, os, signal, socket, stat, tempfile, time

def may(call):
    try:
        call()
    except OSError:
        return False
    return True

def give():
    path = tempfile.mkdtemp()
    os.chown(path, 33, 33)
    os.chmod(path, 0o700)
    with open(path + "/x", "w"):
        pass

child = os.fork()
if child == 0:
    os.setgroups([])
    os.setgid(33)
    os.setuid(33)
    time.sleep(60)
while "Uid:\\t33" not in open(f"/proc/{child}/status").read():
    pass
listen = lambda: socket.socket().bind(("127.0.0.1", 80))
raw = lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
device = lambda: os.mknod("/root/device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
found = {
    "listens on port 80": may(listen),
    "gives its files away": may(give),
    "becomes another user": True,
    "ends processes of that user": may(lambda: os.kill(child, signal.SIGKILL)),
    "makes a device": may(device),
    "sends raw packets": may(raw),
    "changes its root": may(lambda: os.chroot("/root")),
    "renames the host": may(lambda: socket.sethostname("x")),
}
print(json.dumps(found))
"""
UNIT = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true

[Install]
WantedBy=basic.target
"""


def test_the_instance_is_up(scene: Scene) -> None:
    scene.box.boot()
    assert "status: done" in scene.box.cloud_init(), scene.box.log_tail()


@pytest.mark.parametrize("platform", BUNDLES)
def test_a_platform_is_detected_built_and_started_on_its_own_port(
    scene: Scene, platform: str
) -> None:
    scene.box.run(f"rm -f {LOG}; touch {LOG}; chmod 666 {LOG}")
    scene.vpc.user_data = scene.bundle(BUNDLES[platform], port=None)
    said = scene.box.run_user_data()
    assert said.strip().endswith("exit=0"), said[-4000:]
    row = PLATFORMS[platform]
    assert row.proven == "booted"
    assert f"platform {row.title}, PORT {row.port}, processes web" in said
    scene.dispatch(f"a message for {platform}")
    scene.box.wait(lambda: scene.left() == (0, 0), 10, "the message's deletion")
    print(f"\n{platform}: {scene.durations()}")
    if platform == "php":
        check_that_only_nginx_reaches_php(scene)
        check_that_no_metric_is_forged(scene)


def check_that_only_nginx_reaches_php(scene: Scene) -> None:
    assert ":9000 " not in scene.box.run("ss -Hltn")
    connect = (
        "import socket; socket.socket(socket.AF_UNIX).connect('/run/worker-tier/php/fpm.sock')"
    )
    users = ("www-data", "nobody", "sqsd")
    reached = [scene.box.succeeds(f'runuser -u {u} -- python3 -c "{connect}"') for u in users]
    assert reached == [True, False, False]


def check_that_no_metric_is_forged(scene: Scene) -> None:
    lines = scene.box.read("/var/log/worker-tier/nginx.log").splitlines()
    assert f'{{"process":"nginx","log":{FORGED}}}' in lines
    logs = scene.box.run("cat /var/log/nginx/* /var/log/worker-tier/*.log")
    assert FORGED not in logs.splitlines()
    # the application may not write to that log by the name of its pipe
    assert not scene.box.succeeds("runuser -u webapp -- sh -c ': > /run/worker-tier/log/nginx'")


def test_a_container_is_pulled_and_started(scene: Scene) -> None:
    box, place = scene.box, "/root/docker"
    for name, text in (
        ("DEBIAN/control", PACKAGE),
        ("usr/bin/docker", DOCKER),
        ("lib/systemd/system/docker.service", UNIT),
        ("usr/share/application.py", PYTHON),
    ):
        box.write(f"{place}/{name}", text, 0o755 if "/bin/" in name else 0o644)
    box.run(f"dpkg-deb -b {place} /root/docker.deb && dpkg -i /root/docker.deb && rm -f {LOG}")
    image = "registry.test/worker:1"
    scene.vpc.user_data = scene.with_application(
        kind=CONTAINER, image=image, port=8081, platform=None
    )
    said = box.run_user_data()
    assert said.strip().endswith("exit=0"), said[-4000:]
    scene.dispatch("a message for a container")
    pull, *_, started = box.read("/var/log/docker.calls").splitlines()
    assert pull.endswith(f"pull -q {image}")
    assert started.endswith(f"--publish 127.0.0.1:8081:8081 {image}")
    assert scene.all_active()
    # it may do what images do at their start, and no more
    status = box.run(f"cat /proc/{scene.pid('web')}/status")
    assert "NoNewPrivs:\t1\n" in status
    (bounding,) = re.findall(r"CapBnd:\t([0-9a-f]+)", status)
    box.write("/root/image.py", IMAGE)
    rights = ",".join(f"+{name.lower()}" for name in re.findall(r"--cap-add (\S+)", started))
    limits = f"--no-new-privs --bounding-set=-all,{rights}"
    assert box.run(f"setpriv {limits} cat /proc/self/status").count(f"CapBnd:\t{bounding}\n") == 1
    said = box.run(f"unshare --net setpriv {limits} python3 /root/image.py")
    assert json.loads(said) == {
        "listens on port 80": True,
        "gives its files away": True,
        "becomes another user": True,
        "ends processes of that user": True,
        "makes a device": False,
        "sends raw packets": False,
        "changes its root": False,
        "renames the host": False,
    }


def test_every_platform_that_says_it_was_booted_was(scene: Scene) -> None:
    assert {name for name, row in PLATFORMS.items() if row.proven == "booted"} == set(BUNDLES)
