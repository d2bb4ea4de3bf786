"""Renders the files that a worker's services run by: units, nginx, logrotate, log agent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

from sqsd.contract import SETTINGS_PATH
from worker_tier_bootstrap import paths, procfile
from worker_tier_bootstrap.platforms import PLATFORMS, Platform
from worker_tier_bootstrap.release import Release
from worker_tier_bootstrap.root_environment import PATH, for_root
from worker_tier_bootstrap.systems import System

DAEMON: Final = "sqsd.service"
PROXY: Final = "nginx.service"
#: The CloudWatch agent's unit. The daemon stops before it, so that the last lines are shipped too.
LOG_AGENT: Final = "amazon-cloudwatch-agent.service"
LOGROTATE: Final = "worker-tier-logrotate.service"
LOGROTATE_TIMER: Final = "worker-tier-logrotate.timer"
#: Unit that restricts access to the instance metadata service; see `metadata_access`.
METADATA: Final = "worker-tier-metadata.service"
#: Units that copy what a process prints to its log, by the process's name; see `application_log`.
PROCESS_LOG_PIPE: Final = "worker-tier-log@{}.socket"
PROCESS_LOG: Final = "worker-tier-log@{}.service"
#: Name by which nginx's errors have a log, as a process of the application has one; no process of
#: a Procfile may have it.
PROXY_LOG_NAME: Final = "nginx"
#: Drop-in of the pipe to nginx's log: the application may not write to it by its name. An nginx
#: that ran before there was the pipe has made a file in its place when it was stopped.
PROXY_LOG_DROP_IN: Final = (
    f"[Socket]\nSocketUser=root\nExecStartPre=/bin/rm -f {paths.LOG_PIPES}/{PROXY_LOG_NAME}\n"
)
#: User of the application, its build and its processes.
USER: Final = "webapp"
#: User that the daemon runs as.
DAEMON_USER: Final = "sqsd"
#: Time after `drain_timeout` in which the daemon flushes deletes and releases its lease before
#: systemd kills it, in seconds.
STOP_MARGIN_SECONDS: Final = 30
#: Longest pause between two starts of the daemon, in seconds.
LONGEST_RESTART_SECONDS: Final = 60
#: Memory limit of the daemon without requests, in MiB.
LEAST_MEMORY_MIB: Final = 256
#: Memory limit per request, in MiB: a request holds a body of 1 MiB a few times.
MEMORY_MIB_A_REQUEST: Final = 8
#: Time by which nginx waits longer than the daemon, in seconds, so that only the daemon gives up.
_PROXY_MARGIN_SECONDS: Final = 10
#: Lines of a unit that starts only once the rules are loaded. They are loaded anew because a
#: firewall of the image may have flushed them since the boot; `+` runs the command as root.
_RESTRICT: Final = f"ExecStartPre=+/usr/sbin/nft -f {paths.METADATA_RULES}\n"
_PLACEHOLDER: Final = re.compile(r"@([A-Z][A-Z0-9_]*)@")


@dataclass(frozen=True, kw_only=True)
class ProxySettings:
    """Holds the daemon's options that nginx and the daemon's unit depend on; durations in seconds.

    Args:
        ipv6: whether the instance has the loopback address `::1`.
    """

    http_port: int
    inactivity_timeout: int
    connect_timeout: int
    drain_timeout: int
    http_connections: int
    ipv6: bool


def sqsd_unit(proxy: ProxySettings, release: Release | None, system: System) -> str:
    """Render the daemon's unit, which starts after everything it POSTs to, and so stops before."""
    steps = f"RestartSteps=6\nRestartMaxDelaySec={LONGEST_RESTART_SECONDS}\n"
    served = [] if release is None else [*procfile.units(release.processes), PROXY]
    return fill(
        "sqsd.service",
        {
            "SETTINGS_PATH": SETTINGS_PATH,
            "RESTART_STEPS": steps if system.restart_steps else "",
            "MEMORY_MIB": str(LEAST_MEMORY_MIB + MEMORY_MIB_A_REQUEST * proxy.http_connections),
            "STOP_SECONDS": str(proxy.drain_timeout + STOP_MARGIN_SECONDS),
            "AFTER": " ".join(
                ["network-online.target", LOG_AGENT, *(served or ["web.service", PROXY])]
            ),
        },
    )


def process_unit(name: str, release: Release, system: System, *, aws_access: bool = True) -> str:
    """Render the unit of a process of the Procfile.

    Args:
        aws_access: whether the process reaches the instance metadata service.
    """
    docker = release.platform == Platform.DOCKER
    php = name == procfile.WEB and has_php_socket(release)
    return fill(
        "process.service",
        {
            "NAME": name,
            # Only root may speak to Docker; users inside the container are the image's.
            "USER": "root" if docker else USER,
            "AFTER": "docker.service" if docker else "",
            "LOG_PIPE": PROCESS_LOG_PIPE.format(name),
            "LOG": PROCESS_LOG.format(name),
            "LOG_PIPES": paths.LOG_PIPES,
            "RESTRICT": "" if aws_access else _RESTRICT,
            "PHP": _php_directory(system) if php else "",
            # Docker's client runs as root, with the plugins and credential helpers of the machine.
            "CAPABILITIES": "" if docker else "CapabilityBoundingSet=\n",
            "SCRIPT": f"{paths.SCRIPTS}/{name}.sh",
        },
    )


def process_log_units() -> dict[str, str]:
    """Return name -> text of the template units that copy what processes print to their logs."""
    return {
        PROCESS_LOG_PIPE.format(""): fill(
            "application-log.socket", {"USER": USER, "LOG_PIPES": paths.LOG_PIPES}
        ),
        PROCESS_LOG.format(""): fill("application-log.service", {"LOG_AGENT": LOG_AGENT}),
    }


def has_php_socket(release: Release) -> bool:
    """Whether PHP-FPM serves on its socket; a FastCGI server of a Procfile listens on PORT."""
    started = release.processes[procfile.WEB]
    return release.platform == Platform.PHP and started == PLATFORMS[Platform.PHP].start


def php_fpm_configuration() -> str:
    """Render the configuration of PHP-FPM."""
    return fill("php-fpm.conf", {"SOCKET": paths.PHP_SOCKET})


def process_script(command: str) -> str:
    """Render the script that a process's unit runs.

    It is a file because the shell's rules of quoting differ from systemd's.
    """
    return f"#!/bin/sh\n# Written by worker-tier-bootstrap from the Procfile.\n{command}\n"


def process_environment(release: Release, directory: str = paths.CURRENT) -> dict[str, str]:
    """Return the environment of the application and its build, as EB sets it.

    Args:
        directory: path of the release: its own directory until it is the current release.
    """
    bins = ":".join(f"{directory}/{place}" for place in (".venv/bin", "node_modules/.bin"))
    return {
        "HOME": "/home/webapp",
        "LANG": "C.UTF-8",
        "PATH": f"{bins}:{PATH}",
        **release.environment,
        "PORT": str(release.port),
    }


def docker_environment() -> dict[str, str]:
    """Return the environment of `docker`, which runs as root.

    The container's environment properties are in a file that `docker` passes on.
    """
    return {"HOME": "/root", "LANG": "C.UTF-8", "PATH": PATH}


def hook_environment(release: Release) -> dict[str, str]:
    """Return the environment of the bundle's hooks, which run as root.

    As in EB they get the environment properties, but none by which a program loads code from files
    that the application's user may write to. They begin in the release's directory, from which
    Python 3.11 and later would import for `-c` and `-m` without PYTHONSAFEPATH.
    """
    return {
        **for_root(release.environment),
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": PATH,
        "PYTHONSAFEPATH": "1",
        "PORT": str(release.port),
    }


def environment_file(values: Mapping[str, str]) -> str:
    """Render systemd's EnvironmentFile: values in double quotes, four characters escaped."""

    def quoted(value: str) -> str:
        return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'

    return "".join(f"{name}={quoted(value)}\n" for name, value in values.items())


def nginx_configuration(
    proxy: ProxySettings, release: Release, system: System, additions: Iterable[str] = ()
) -> str:
    """Render the configuration of nginx between daemon and application, on loopback only.

    Args:
        additions: the bundle's own files at the level of `http`. Their directives replace ours,
            because nginx refuses a directive that is set twice.
    """
    listen = [f"listen 127.0.0.1:{proxy.http_port} default_server backlog=1024;"]
    if proxy.ipv6:
        listen.append(f"listen [::1]:{proxy.http_port} default_server backlog=1024;")
    seconds = proxy.inactivity_timeout + _PROXY_MARGIN_SECONDS
    fastcgi = PLATFORMS[release.platform].fastcgi
    port = f"127.0.0.1:{release.port}"
    text = fill(
        "nginx.conf",
        {
            "USER": system.nginx_user,
            "LISTEN": "\n    ".join(listen),
            "APPLICATION": f"unix:{paths.PHP_SOCKET}" if has_php_socket(release) else port,
            "READ_SECONDS": str(seconds),
            "CONNECT_SECONDS": str(proxy.connect_timeout),
            "LOCATION": fill("location-fastcgi.conf" if fastcgi else "location-http.conf", {}),
            "PLATFORM_FILES": release.platform_files,
        },
    )
    taken = {name for addition in additions for name in top_directives(addition)}
    return "".join(
        line for line in text.splitlines(keepends=True) if _http_directive(line) not in taken
    )


def top_directives(text: str) -> set[str]:
    """Return the names of the directives that nginx configuration sets outside of every block."""
    plain = re.sub(r"#[^\n]*", "", text)
    while (shorter := re.sub(r"[^;{}]*\{[^{}]*\}", "", plain)) != plain:
        plain = shorter
    return {statement.split()[0] for statement in plain.split(";") if statement.split()}


def _http_directive(line: str) -> str | None:
    """Return the name of the directive that a line of our template sets in `http`, or None.

    Such a line is recognized by its indentation.
    """
    found = re.match(r"^  ([a-z_]+) [^{]*;$", line.rstrip("\n"))
    return found[1] if found and found[1] != "include" else None


def _php_directory(system: System) -> str:
    """Return the line of a unit that makes the directory of PHP-FPM's socket, for nginx to enter.

    `+` runs the command as root, which owns the directory above.
    """
    command = f"/usr/bin/install -d -o {USER} -g {system.nginx_user} -m 0710"
    return f"ExecStartPre=+{command} {PurePosixPath(paths.PHP_SOCKET).parent}\n"


def nginx_drop_in(release: Release, *, aws_access: bool = True) -> str:
    """Render nginx's drop-in: nginx starts after the processes, and so stops before them.

    Args:
        aws_access: whether nginx, whose configuration the bundle adds to, reaches the instance
            metadata service.
    """
    return fill(
        "nginx.service.d.conf",
        {
            "NAME": PROXY_LOG_NAME,
            "AFTER": " ".join(procfile.units(release.processes)),
            "LOG_PIPE": PROCESS_LOG_PIPE.format(PROXY_LOG_NAME),
            "LOG": PROCESS_LOG.format(PROXY_LOG_NAME),
            "LOG_PIPES": paths.LOG_PIPES,
            "RESTRICT": "" if aws_access else _RESTRICT,
        },
    )


def logrotate_configuration() -> str:
    """Render the configuration that rotates the worker's logs and nginx's by their size."""
    return fill("logrotate.conf", {"LOGS": paths.LOGS})


def log_agent_configuration(log_group: str, names: Iterable[str]) -> str:
    """Render the CloudWatch agent's configuration: one log group, one stream per instance and log.

    What others print is in none of these files but by `application_log`, or behind something that
    makes it no JSON object: a time in the bootstrap's log, an address in nginx's access log.

    Args:
        names: names of the application's processes.
    """
    logs = [f"{paths.LOGS}/{name}.log" for name in ("bootstrap", "sqsd", PROXY_LOG_NAME, *names)]
    logs.append("/var/log/nginx/access.log")
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
    """Return the text of a template as it is."""
    path = files("worker_tier_bootstrap").joinpath("templates", name)
    return path.read_text(encoding="utf-8")


def fill(name: str, values: Mapping[str, str]) -> str:
    """Return a template with its placeholders replaced, in one pass: `@` in a value stays."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template(name))
