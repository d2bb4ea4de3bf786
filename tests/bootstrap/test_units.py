"""The files of the services: what they say, and that systemd, nginx and a shell can read them."""

from __future__ import annotations

import configparser
import dataclasses
import json
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd.__main__ import UNUSABLE
from tools.local_aws.ports import free_port
from worker_tier_bootstrap import units
from worker_tier_bootstrap.platforms import PLATFORMS
from worker_tier_bootstrap.release import Release
from worker_tier_bootstrap.systems import SYSTEMS, System

DEBIAN = SYSTEMS["debian-12"]


def proxy(**given: int) -> units.ProxySettings:
    values = {
        "http_port": 80,
        "inactivity_timeout": 299,
        "connect_timeout": 5,
        "drain_timeout": 300,
        "http_connections": 50,
        **given,
    }
    return units.ProxySettings(**values, ipv6=False)


def release(
    platform: str = "node", environment: Mapping[str, str] | None = None, **processes: str
) -> Release:
    return Release(
        id="0123456789abcdef",
        source="1" * 64,
        platform=platform,
        port=3000,
        processes={"web": "node app.js", **processes},
        environment=environment or {},
    )


def php_release() -> Release:
    """A release that PHP-FPM serves as the platform starts it, without a Procfile."""
    start = PLATFORMS["php"].start
    assert start is not None
    return dataclasses.replace(release("php"), processes={"web": start})


# ---- systemd


def test_the_daemon_starts_after_all_it_posts_to_and_so_stops_before() -> None:
    text = units.sqsd_unit(proxy(), release(worker="x"), DEBIAN)
    (after,) = re.findall(r"\nAfter=network-online.target (.*)\n", text)
    assert after == f"{units.LOG_AGENT} web.service worker.service nginx.service"
    drop_in = units.nginx_drop_in(release(worker="x"))
    assert "\nAfter=web.service worker.service\n" in drop_in


@pytest.mark.parametrize(
    ("drain", "stop"), [(0, 30), (300, 330), (7_200, 7_230), (172_800, 172_830)]
)
def test_the_daemon_is_not_killed_before_its_drain_ends(drain: int, stop: int) -> None:
    unit = units.sqsd_unit(proxy(drain_timeout=drain), None, DEBIAN)
    assert f"TimeoutStopSec={stop}\n" in unit
    assert "TimeoutStartSec=300\n" in unit
    assert "WatchdogSec=120\n" in unit


def test_a_daemon_with_unusable_settings_is_not_restarted_and_any_other_with_longer_pauses() -> (
    None
):
    for system in SYSTEMS.values():
        unit = units.sqsd_unit(proxy(), None, system)
        assert "Restart=always\n" in unit
        assert f"RestartPreventExitStatus={UNUSABLE}\n" in unit
        # systemd knows this from 254 on, and warns of it before; boots verify the unit
        assert ("RestartMaxDelaySec=60\n" in unit) == system.restart_steps


def test_the_daemons_memory_is_bounded_by_what_its_connections_may_hold() -> None:
    for connections, mebibytes in ((1, 264), (50, 656)):
        unit = units.sqsd_unit(proxy(http_connections=connections), None, DEBIAN)
        assert f"MemoryMax={mebibytes}M\n" in unit
        assert "TasksMax=256\n" in unit


@pytest.fixture
def unit_files(tmp_path: Path) -> list[Path]:
    """Every unit, with this machine's programs and users in place of an instance's."""
    texts = {
        "sqsd.service": units.sqsd_unit(proxy(), release(), DEBIAN),
        "web.service": units.process_unit("web", release(), DEBIAN, aws_access=False),
        "docker-web.service": units.process_unit("web", release("docker"), DEBIAN),
        "php-web.service": units.process_unit("web", php_release(), DEBIAN),
        **{
            name.replace("@", f"@{process}"): text
            for name, text in units.process_log_units().items()
            for process in ("web", units.PROXY_LOG_NAME)
        },
        "worker-tier-metadata.service": units.fill(
            "metadata.service", {"METADATA_RULES": "/etc/worker-tier/metadata.nft"}
        ),
        "worker-tier-logrotate.service": units.template("logrotate.service"),
        "worker-tier-logrotate.timer": units.template("logrotate.timer"),
    }
    drop_in = tmp_path / "nginx.service.d" / "worker-tier.conf"
    drop_in.parent.mkdir()
    text = units.nginx_drop_in(release(), aws_access=False)
    drop_in.write_text(text.replace("/usr/sbin/nft", "/bin/true"), encoding="utf-8")
    texts["nginx.service"] = "[Service]\nExecStart=/bin/true\n"
    for name, text in texts.items():
        here = text.replace("/opt/worker-tier/python", "/bin/true")
        here = here.replace("/usr/sbin/logrotate", "/bin/true").replace(
            "/usr/sbin/nft", "/bin/true"
        )
        (tmp_path / name).write_text(
            re.sub("(?m)^(Socket)?User=.*", r"\1User=root", here), encoding="utf-8"
        )
    return [tmp_path / name for name in texts]


def test_systemd_understands_every_unit(
    require_tool: Callable[[str], Path], unit_files: list[Path]
) -> None:
    analyze = require_tool("systemd-analyze")
    command = [str(analyze), "verify", "--man=no", *map(str, unit_files)]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    names = {*(path.name for path in unit_files), "worker-tier.conf"}
    ours = [line for line in said.splitlines() if any(name in line for name in names)]
    assert ours == []


#: Name of a unit -> greatest exposure that `systemd-analyze security` may find (0 to 100).
EXPOSURES = {"sqsd.service": 20, "web.service": 55, "worker-tier-log@web.service": 15}


@pytest.mark.parametrize("unit", EXPOSURES)
def test_a_unit_is_confined(
    require_tool: Callable[[str], Path], unit_files: list[Path], unit: str
) -> None:
    analyze = require_tool("systemd-analyze")
    (path,) = [path for path in unit_files if path.name == unit]
    path.write_text(path.read_text().replace("User=root", "User=webapp"), encoding="utf-8")
    threshold = f"--threshold={EXPOSURES[unit]}"
    command = [str(analyze), "security", "--offline=true", threshold, str(path)]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout[-300:]


def test_an_application_keeps_what_real_ones_need() -> None:
    unit = units.process_unit("web", release(), DEBIAN)
    # just-in-time compilers, a browser's sandbox, a GPU, files that hooks leave in /tmp
    for name in ("MemoryDenyWriteExecute", "RestrictNamespaces", "PrivateDevices", "PrivateTmp"):
        assert name not in unit
    # by the manual, it allows no device but the clock
    assert "ProtectClock" not in unit


@settings(deadline=None)  # a shell each time
@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=60))
def test_any_value_survives_an_environment_file(value: str) -> None:
    # systemd's quoting is a shell's for these: double quotes with four escapes
    line = units.environment_file({"NAME": value})
    script = f'{line}printf %s "$NAME"'
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == value


def test_a_process_sees_port_and_its_properties_and_cannot_lose_port() -> None:
    seen = units.process_environment(release(environment={"A": "1", "PATH": "/mine"}))
    assert seen["PORT"] == "3000"
    assert (seen["A"], seen["PATH"]) == ("1", "/mine")


@pytest.mark.parametrize(
    "command",
    [row.start for row in PLATFORMS.values() if row.start]
    + [row.build for row in PLATFORMS.values() if row.build],
)
def test_a_shell_understands_every_command_of_the_platforms(
    require_tool: Callable[[str], Path], command: str
) -> None:
    script = units.process_script(command)
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    shellcheck = [str(require_tool("shellcheck")), "--severity", "warning", "-"]
    completed = subprocess.run(shellcheck, input=script, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout


def test_a_shell_understands_the_command_on_the_instance(
    require_tool: Callable[[str], Path],
) -> None:
    text = units.template("command.sh")
    shellcheck = [str(require_tool("shellcheck")), "-"]
    completed = subprocess.run(shellcheck, input=text, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout


def test_logrotate_understands_its_configuration(
    require_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "logrotate.conf"
    path.write_text(units.logrotate_configuration(), encoding="utf-8")
    path.chmod(0o644)
    command = [str(require_tool("logrotate")), "--debug", "--state", str(tmp_path / "s"), str(path)]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert "error:" not in completed.stderr
    assert "rotating pattern: /var/log/worker-tier/*.log /var/log/nginx/*.log" in completed.stderr


def test_phps_pool_is_as_its_manager_reads_it() -> None:
    # PHP-FPM itself reads it where the platform is booted
    pool = configparser.ConfigParser(comment_prefixes=";", interpolation=None)
    pool.read_string(units.php_fpm_configuration())
    assert pool["global"]["daemonize"] == "no"
    assert pool["www"]["listen"] == "/run/worker-tier/php/fpm.sock"


def test_only_nginx_speaks_to_php_and_a_server_of_a_procfile_has_its_port() -> None:
    text = units.nginx_configuration(proxy(), php_release(), DEBIAN)
    assert "server unix:/run/worker-tier/php/fpm.sock max_fails=0;" in text
    for system in SYSTEMS.values():
        unit = units.process_unit("web", php_release(), system)
        made = f"install -d -o webapp -g {system.nginx_user} -m 0710 /run/worker-tier/php\n"
        assert f"ExecStartPre=+/usr/bin/{made}" in unit
    # what a Procfile starts listens where it is told to
    other = release("php")
    assert "server 127.0.0.1:3000 max_fails=0;" in units.nginx_configuration(proxy(), other, DEBIAN)
    assert "ExecStartPre" not in units.process_unit("web", other, DEBIAN)


# ---- nginx


def usable_here(text: str, directory: Path) -> str:
    """Nginx's configuration with this test's directory in place of an instance's."""
    text = re.sub(r"^user .*\n", "", text, flags=re.MULTILINE)
    for place in ("/run", "/var/log/nginx", "/usr/share/nginx/modules", "modules-enabled"):
        text = text.replace(f"{place}/", f"{directory}/")
    text = text.replace("/etc/nginx//", "/")
    return text.replace(f"include /etc/nginx/{directory}", f"include {directory}")


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
@pytest.mark.parametrize("platform", ["node", "php", "php-fpm"])
def test_nginx_understands_its_configuration(
    require_tool: Callable[[str], Path], tmp_path: Path, system: System, platform: str
) -> None:
    nginx = require_tool("nginx")
    shown = php_release() if platform == "php-fpm" else release(platform)
    text = units.nginx_configuration(proxy(http_port=free_port()), shown, system)
    text = usable_here(text, tmp_path)
    path = tmp_path / "nginx.conf.test"
    path.write_text(text, encoding="utf-8")
    error_log = tmp_path / "error.log"
    command = [
        str(part) for part in (nginx, "-t", "-q", "-p", tmp_path, "-c", path, "-e", error_log)
    ]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr


#: A metric of CloudWatch, as an application forges one.
FORGED = '{"_aws":{"Timestamp":1,"CloudWatchMetrics":[]},"MessagesDeleted":999}'


def record(kind: int, content: bytes) -> bytes:
    """A record of FastCGI, of its first request."""
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def serve_fastcgi(listening: socket.socket) -> None:
    """Answer one request with 200, and with a forged metric on its error stream."""
    connection, _ = listening.accept()
    with listening, connection:  # whatever else is asked for is refused
        connection.recv(65_536)
        answer = b"Status: 200\r\nContent-Type: text/plain\r\n\r\nok"
        connection.sendall(
            record(7, f"hello\n{FORGED}\nbye".encode())
            + record(6, answer)
            + record(3, struct.pack(">IB3x", 0, 0))
        )


def ask(port: int, head: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head)
        answer = b""
        while received := connection.recv(4096):
            answer += received
        return answer


#: Requests of a local process that tries to write a line of its own into the access log.
INJECTIONS = [
    f"GET /?{FORGED} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: {FORGED}\r\n\r\n",
    f"{FORGED}\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nReferer: a\r{FORGED}\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: a\n{FORGED}\r\n\r\n",
    "GET /%0a%7b HTTP/1.1\r\nHost: {\r\nConnection: close\r\nAuthorization: Basic Cns6\r\n\r\n",
]


def test_an_application_and_its_neighbours_forge_no_metric_by_the_logs_of_nginx(
    require_tool: Callable[[str], Path], tmp_path: Path
) -> None:
    # FastCGI's error stream is in nginx's error log as it was sent, with its line feeds
    nginx, port = require_tool("nginx"), free_port()
    listening = socket.create_server(("127.0.0.1", 0))
    shown = dataclasses.replace(release("php"), port=listening.getsockname()[1])
    path = tmp_path / "nginx.conf.test"
    text = units.nginx_configuration(proxy(http_port=port), shown, DEBIAN)
    path.write_text(usable_here(text, tmp_path), encoding="utf-8")
    command = [nginx, "-p", tmp_path, "-c", path, "-e", tmp_path / "early.log"]
    log = [sys.executable, "-m", "worker_tier_bootstrap.application_log", "nginx"]
    close = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with (
        (tmp_path / "nginx.log").open("wb") as target,
        subprocess.Popen(log, stdin=subprocess.PIPE, stdout=target) as copier,
        subprocess.Popen([*map(str, command), "-g", "daemon off;"], stderr=copier.stdin) as server,
        listening,
    ):
        serving = threading.Thread(target=serve_fastcgi, args=(listening,))
        serving.start()
        try:
            wait_for_port(port, server)
            assert b"HTTP/1.1 200" in ask(port, close.encode())
            for head in INJECTIONS:
                ask(port, head.encode())
        finally:
            server.terminate()
            serving.join(20)
    shipped = collected(units.log_agent_configuration("group", ["web"]))
    here = {
        name: (tmp_path / name).read_bytes().splitlines()
        for name in (place.rpartition("/")[2] for place in shipped)
        if (tmp_path / name).exists()
    }
    assert here["access.log"], "nothing was logged"
    assert all(line.startswith(b"127.0.0.1 - ") for line in here["access.log"])
    errors = [line for line in here["nginx.log"] if b"MessagesDeleted" in line]
    assert errors, "nothing was logged"
    assert not [line for line in errors if line.startswith(FORGED[:6].encode())]
    wrapped = f'{{"process":"nginx","log":{FORGED}}}'
    assert wrapped.encode() in errors


def collected(configuration: str) -> list[str]:
    """Paths of the logs that the agent ships."""
    found = json.loads(configuration)["logs"]["logs_collected"]["files"]["collect_list"]
    return [entry["file_path"] for entry in found]


def wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert server.poll() is None, "nginx ended"
        else:
            return


def test_what_nginx_prints_goes_to_its_log_by_a_pipe_that_is_roots() -> None:
    text = units.nginx_drop_in(release())
    pipe, copy = (name.format("nginx") for name in (units.PROCESS_LOG_PIPE, units.PROCESS_LOG))
    assert "\nStandardError=file:/run/worker-tier/log/nginx\n" in text
    assert f"\nRequires={pipe}\n" in text
    assert f"\nWants={copy}\n" in text
    socket_drop_in = units.PROXY_LOG_DROP_IN.splitlines()
    assert "SocketUser=root" in socket_drop_in
    assert "ExecStartPre=/bin/rm -f /run/worker-tier/log/nginx" in socket_drop_in


def test_nginx_waits_longer_than_the_daemon_and_listens_on_loopback_only() -> None:
    text = units.nginx_configuration(proxy(inactivity_timeout=1_800), release(), DEBIAN)
    for name in ("proxy_read_timeout", "proxy_send_timeout", "fastcgi_read_timeout"):
        assert f"  {name} 1810;\n" in text
    assert re.findall(r"listen (\S+)", text) == ["127.0.0.1:80"]
    assert "server_name localhost;" in text
    assert "@" not in text


def test_a_directive_of_the_bundle_replaces_ours_and_no_other() -> None:
    addition = """
# client_body_buffer_size 1k;
client_max_body_size 20m; proxy_read_timeout
  600;
map $a $b { default 1; keepalive_timeout 3; }
server { keepalive_requests 7; location / { proxy_send_timeout 9; } }
"""
    text = units.nginx_configuration(proxy(), release(), DEBIAN, [addition])
    assert "client_max_body_size" not in text
    assert "\n  proxy_read_timeout" not in text
    for ours in ("client_body_buffer_size", "keepalive_timeout", "keepalive_requests"):
        assert f"\n  {ours} " in text
    assert "\n  proxy_send_timeout" in text


def test_every_log_is_shipped_in_a_separate_stream() -> None:
    text = units.log_agent_configuration("group", ["web", "worker"])
    streams = re.findall(r'"log_stream_name": "([^"]+)"', text)
    assert len(set(streams)) == len(streams) == 6
    assert all(stream.startswith("{instance_id}/") for stream in streams)
