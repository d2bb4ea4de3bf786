"""Files that a worker's services are made of: values in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from worker_tier_bootstrap import procfile
from worker_tier_bootstrap.platforms import PLATFORMS
from worker_tier_bootstrap.release import CURRENT, Release
from worker_tier_bootstrap.systems import System

HOME: Final = "/opt/worker-tier"
LOGS: Final = "/var/log/worker-tier"
ENVIRONMENT: Final = "/etc/worker-tier/application.env"
SCRIPTS: Final = "/etc/worker-tier/processes"
UNITS: Final = "/etc/systemd/system"
NGINX: Final = "/etc/nginx/nginx.conf"
NGINX_DROP_IN: Final = f"{UNITS}/nginx.service.d/worker-tier.conf"
#: After `drain_timeout` the daemon flushes deletes and gives up its lease; then systemd kills it.
STOP_MARGIN_SECONDS: Final = 30
#: The CloudWatch agent's unit: it goes after the daemon, so that the last lines are shipped too.
LOG_AGENT: Final = "amazon-cloudwatch-agent.service"
LONGEST_RESTART_SECONDS: Final = 60
#: What the daemon may take at most: a request holds a body of 1 MiB a few times over.
LEAST_MEMORY_MIB: Final = 256
MEMORY_MIB_A_REQUEST: Final = 8
#: Seconds by which nginx is more patient than the daemon: only one of them gives a request up.
_PROXY_MARGIN_SECONDS: Final = 10
_HOLE: Final = re.compile(r"@([A-Z][A-Z0-9_]*)@")


@dataclass(frozen=True, kw_only=True)
class Front:
    """What nginx and the daemon's unit take from the daemon's options."""

    http_port: int
    inactivity_timeout: int
    connect_timeout: int
    drain_timeout: int
    http_connections: int
    ipv6: bool


def sqsd_unit(front: Front, release: Release | None, system: System, settings_path: str) -> str:
    """The daemon: started after everything it POSTs to, and so stopped before it."""
    steps = f"RestartSteps=6\nRestartMaxDelaySec={LONGEST_RESTART_SECONDS}\n"
    served = [] if release is None else [*procfile.units(release.processes), "nginx.service"]
    return fill(
        "sqsd.service",
        {
            "SETTINGS_PATH": settings_path,
            "RESTART_STEPS": steps if system.restart_steps else "",
            "MEMORY_MIB": str(LEAST_MEMORY_MIB + MEMORY_MIB_A_REQUEST * front.http_connections),
            "STOP_SECONDS": str(front.drain_timeout + STOP_MARGIN_SECONDS),
            "AFTER": " ".join(
                ["network-online.target", LOG_AGENT, *(served or ["web.service", "nginx.service"])]
            ),
        },
    )


def process_unit(name: str, release: Release) -> str:
    """A process of the Procfile."""
    docker = release.platform == "docker"
    return fill(
        "process.service",
        {
            "NAME": name,
            # Only root may speak to Docker; the container has users of its own.
            "USER": "root" if docker else "webapp",
            "AFTER": "docker.service" if docker else "",
            "SCRIPT": f"{SCRIPTS}/{name}.sh",
        },
    )


def process_script(command: str) -> str:
    """What a process's unit runs. A file, for a shell's and systemd's rules of quoting differ."""
    return f"#!/bin/sh\n# Written by worker-tier-bootstrap from the Procfile.\n{command}\n"


def process_environment(release: Release, directory: str = CURRENT) -> dict[str, str]:
    """What the application, its build and its hooks see, as EB gives it.

    Args:
        directory: where the release is found; its own until it is the current one.
    """
    bins = ":".join(f"{directory}/{place}" for place in (".venv/bin", "node_modules/.bin"))
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "HOME": "/home/webapp",
        "LANG": "C.UTF-8",
        "PATH": f"{bins}:{system}",
        **release.environment,
        "PORT": str(release.port),
    }


def environment_file(values: Mapping[str, str]) -> str:
    """An EnvironmentFile of systemd, which takes a value in double quotes with four escapes."""

    def quoted(value: str) -> str:
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'

    return "".join(f"{name}={quoted(value)}\n" for name, value in values.items())


def nginx_configuration(
    front: Front, release: Release, system: System, additions: Iterable[str] = ()
) -> str:
    """nginx between daemon and application, on loopback only.

    Args:
        additions: the bundle's own files at the level of `http`; what they set replaces ours, for
            nginx refuses a directive that is there twice.
    """
    listen = [f"listen 127.0.0.1:{front.http_port} default_server backlog=1024;"]
    if front.ipv6:
        listen.append(f"listen [::1]:{front.http_port} default_server backlog=1024;")
    seconds = front.inactivity_timeout + _PROXY_MARGIN_SECONDS
    fastcgi = PLATFORMS[release.platform].fastcgi
    text = fill(
        "nginx.conf",
        {
            "USER": system.nginx_user,
            "LISTEN": "\n    ".join(listen),
            "APPLICATION_PORT": str(release.port),
            "READ_SECONDS": str(seconds),
            "CONNECT_SECONDS": str(front.connect_timeout),
            "LOCATION": fill("location-fastcgi.conf" if fastcgi else "location-http.conf", {}),
            "CURRENT": CURRENT,
        },
    )
    taken = {name for addition in additions for name in top_directives(addition)}
    return "".join(
        line for line in text.splitlines(keepends=True) if _http_directive(line) not in taken
    )


def top_directives(text: str) -> set[str]:
    """The directives that a piece of nginx's configuration sets outside of every block."""
    plain = re.sub(r"#[^\n]*", "", text)
    while (shorter := re.sub(r"[^;{}]*\{[^{}]*\}", "", plain)) != plain:
        plain = shorter
    return {statement.split()[0] for statement in plain.split(";") if statement.split()}


def _http_directive(line: str) -> str | None:
    """The directive of a line of ours that stands directly in `http`, by its indentation."""
    found = re.match(r"^  ([a-z_]+) [^{]*;$", line.rstrip("\n"))
    return found[1] if found and found[1] != "include" else None


def nginx_drop_in(release: Release) -> str:
    """nginx goes after the processes, so that it is stopped before them."""
    return fill("nginx.service.d.conf", {"AFTER": " ".join(procfile.units(release.processes))})


def logrotate_configuration() -> str:
    return fill("logrotate.conf", {"LOGS": LOGS})


def log_agent_configuration(log_group: str, names: Iterable[str]) -> str:
    """The CloudWatch agent's: every log in one group, a stream for each instance and log."""
    logs = [f"{LOGS}/{name}.log" for name in ("bootstrap", "sqsd", *names)]
    logs += ["/var/log/nginx/access.log", "/var/log/nginx/error.log"]
    collected = [
        {
            "file_path": path,
            "log_group_name": log_group,
            "log_stream_name": "{instance_id}/" + path.rpartition("/")[2].removesuffix(".log"),
        }
        for path in logs
    ]
    document = {"logs": {"logs_collected": {"files": {"collect_list": collected}}}}
    return json.dumps(document, indent=1) + "\n"


def template(name: str) -> str:
    """The text of a template as it is."""
    path = files("worker_tier_bootstrap").joinpath("templates", name)
    return path.read_text(encoding="utf-8")


def fill(name: str, values: Mapping[str, str]) -> str:
    """A template with its holes filled in one pass, so that a value's own at signs stay."""
    return _HOLE.sub(lambda hole: values[hole[1]], template(name))
