"""The steps that change what runs: files of the services, started in order. `back` undoes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from worker_tier_bootstrap import procfile, units
from worker_tier_bootstrap.boot import SETTINGS_PATH, Boot
from worker_tier_bootstrap.errors import BootstrapError, CommandFailed
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.readiness import wait_for_application
from worker_tier_bootstrap.release import (
    CURRENT,
    DEPLOYED,
    RECORDS,
    RELEASES,
    STAGING,
    Deployed,
    Release,
)

STATE: Final = "/var/lib/worker-tier/units"
DAEMON: Final = "sqsd.service"
_PROXY: Final = "nginx.service"
_BUNDLES: Final = "/var/app/bundles"
_TIMER: Final = "worker-tier-logrotate.timer"
_AGENT: Final = "/opt/aws/amazon-cloudwatch-agent"
_AGENT_CONFIGURATION: Final = "/etc/worker-tier/amazon-cloudwatch-agent.json"
#: What was started, told by a digest. True for as long as the units are up: a reboot starts them by
#: the same files, and whatever is going to change these removes the mark first.
_APPLICATION_MARK: Final = "/var/lib/worker-tier/application"
_DAEMON_MARK: Final = "/var/lib/worker-tier/daemon"
_AGENT_MARK: Final = "/var/lib/worker-tier/agent"
_NGINX_ROTATION: Final = "/etc/logrotate.d/nginx"
_SYSTEM_UNITS: Final = ("/usr/lib/systemd/system", "/lib/systemd/system")


# ---- files


def service_files(boot: Boot, release: Release | None) -> dict[str, tuple[str, int]]:
    """Path -> (text, mode) of every file by which services run, for a release or for none."""
    front = boot.front
    found = {
        f"{units.UNITS}/{DAEMON}": (
            units.sqsd_unit(front, release, boot.system, SETTINGS_PATH),
            0o644,
        ),
        "/etc/worker-tier/logrotate.conf": (units.logrotate_configuration(), 0o644),
        f"{units.UNITS}/worker-tier-logrotate.service": (
            units.template("logrotate.service"),
            0o644,
        ),
        f"{units.UNITS}/{_TIMER}": (units.template("logrotate.timer"), 0o644),
    }
    if release is None:
        return found
    environment = units.process_environment(release)
    # Properties may be secrets, and systemd reads them as root.
    found[units.ENVIRONMENT] = (units.environment_file(environment), 0o600)
    for name, command in release.processes.items():
        found[f"{units.UNITS}/{name}.service"] = (units.process_unit(name, release), 0o644)
        found[f"{units.SCRIPTS}/{name}.sh"] = (units.process_script(command), 0o644)
    if release.platform == "docker":
        lines = "".join(f"{k}={v}\n" for k, v in release.environment.items())
        found["/etc/worker-tier/container.env"] = (f"{lines}PORT={release.port}\n", 0o600)
    if release.platform == "php":
        pool = units.template("php-fpm.conf").replace("$PORT", str(release.port))
        found["/etc/worker-tier/php-fpm.conf"] = (pool, 0o644)
    additions = _nginx_additions(boot.machine, release)
    text = units.nginx_configuration(front, release, boot.system, additions)
    found[units.NGINX] = (text, 0o644)
    # Two that rotate the same files by different rules would each spoil the other's.
    found[_NGINX_ROTATION] = ("# nginx's logs are rotated by worker-tier-logrotate.timer.\n", 0o644)
    found[units.NGINX_DROP_IN] = (units.nginx_drop_in(release), 0o644)
    return found


def _nginx_additions(machine: Machine, release: Release) -> list[str]:
    directory = f"{release.directory}/.platform/nginx/conf.d"
    names = [name for name in machine.names(directory) if name.endswith(".conf")]
    return [machine.read(f"{directory}/{name}") or "" for name in names]


def files_skip(boot: Boot) -> str | None:
    """Nothing to do when every file says what it should, and the release is the current one."""
    release = boot.release
    if boot.has_application and (release is None or not boot.runs_already):
        return None
    wanted = service_files(boot, release)
    same = all(boot.machine.read(path) == text for path, (text, _) in wanted.items())
    return "they say what they should" if same else None


def check_names(boot: Boot) -> None:
    """A process must not take the name of a unit that is not ours."""
    if not boot.has_application:
        return
    ours = set((boot.machine.read(STATE) or "").split())
    for unit in procfile.units(boot.need_release().processes):
        taken = unit in (DAEMON, _PROXY) or any(
            boot.machine.path(f"{place}/{unit}").exists() for place in _SYSTEM_UNITS
        )
        if taken and unit not in ours:
            raise BootstrapError(
                f"the Procfile's process {unit.removesuffix('.service')} would replace the"
                f" system's own {unit}",
                hint="give the process another name",
            )


def stop_daemon(boot: Boot) -> None:
    """It finishes what is in flight, so that nothing is cut by the restart of the application."""
    boot.machine.run(["systemctl", "stop", DAEMON], hint="look at /var/log/worker-tier/sqsd.log")


def stop_skip(boot: Boot) -> str | None:
    if not boot.machine.succeeds(["systemctl", "is-active", "-q", DAEMON]):
        return "it does not run"
    if daemon_start_skip(boot) is not None and files_skip(boot) is not None:
        return "nothing changes for it"
    return None


def forget_what_changes(boot: Boot) -> None:
    """Before anything is changed: what was started is no longer what the files say."""
    machine = boot.machine
    marks: Mapping[str, str | None] = {
        _APPLICATION_MARK: None if boot.release is None else _application_mark(boot),
        _DAEMON_MARK: _daemon_mark(boot, ""),
    }
    for path, wanted in marks.items():
        if wanted is None or not (machine.read(path) or "").startswith(wanted):
            machine.remove(path)


def enter(boot: Boot, release: Release | None) -> None:
    """Make a release the current one: its link, its files, and systemd's knowledge of them."""
    machine = boot.machine
    if release is not None:
        machine.link(CURRENT, release.directory)
        _own_nginx(boot)
    machine.path(units.LOGS).mkdir(parents=True, exist_ok=True)
    wanted = service_files(boot, release)
    for path, (text, mode) in wanted.items():
        machine.write(path, text, mode)
    _forget_old_units(boot, release)
    machine.run(["systemctl", "daemon-reload"], hint="look at the units named above")
    if release is not None:
        machine.run(
            ["nginx", "-t", "-q"],
            hint="correct the files of .platform/nginx/conf.d that are named above",
        )


def _own_nginx(boot: Boot) -> None:
    for path in boot.system.default_sites:
        boot.machine.remove(path)


def _forget_old_units(boot: Boot, release: Release | None) -> None:
    """Stop and remove the processes that another release had and this one has not."""
    machine = boot.machine
    old = (machine.read(STATE) or "").split()
    new = [] if release is None else procfile.units(release.processes)
    for unit in old:
        if unit not in new:
            machine.run(["systemctl", "disable", "--now", "-q", unit], hint="stop it by hand")
            machine.remove(f"{units.UNITS}/{unit}")
            machine.remove(f"{units.SCRIPTS}/{unit.removesuffix('.service')}.sh")
    machine.write(STATE, "".join(f"{unit}\n" for unit in new))


# ---- the application


def application_skip(boot: Boot) -> str | None:
    if not boot.has_application:
        return "the application is external"
    names = [*procfile.units(boot.need_release().processes), _PROXY]
    running = all(boot.machine.succeeds(["systemctl", "is-active", "-q", name]) for name in names)
    if running and boot.machine.read(_APPLICATION_MARK) == _application_mark(boot):
        return "it runs, and nothing changed for it"
    return None


def _application_mark(boot: Boot) -> str:
    """Changes with everything that the application and nginx were started by."""
    files = service_files(boot, boot.need_release())
    parts = [text for path, (text, _) in sorted(files.items()) if not path.endswith(DAEMON)]
    return _digest([boot.release_id, *parts])


def _daemon_mark(boot: Boot, group: str | None = None) -> str:
    """Changes with everything that the daemon was started by.

    Args:
        group: the group's name as it ends the mark. Default: the settings'; user data writes these
            without it, and a later step adds it.
    """
    unit = units.sqsd_unit(boot.front, boot.release, boot.system, SETTINGS_PATH)
    cron = boot.machine.read(cron_path(boot)) or ""
    tier = {name: value for name, value in boot.tier.items() if name != "auto_scaling_group"}
    digest = _digest([boot.instance.bundle.sha256, unit, json.dumps(tier, sort_keys=True), cron])
    return f"{digest} {boot.tier.get('auto_scaling_group') if group is None else group}"


def cron_path(boot: Boot) -> str:
    return f"/etc/worker-tier/{boot.tier.get('cron_file') or 'cron.yaml'}"


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def start_application(boot: Boot, release: Release) -> None:
    """Start every process, then nginx, and wait until the application answers through it."""
    machine = boot.machine
    machine.remove(_APPLICATION_MARK)
    names = procfile.units(release.processes)
    hint = "look at the log of the process in /var/log/worker-tier"
    # Crashes before this start do not count for it.
    machine.run(
        ["sh", "-c", f"systemctl reset-failed {' '.join(names)} 2>/dev/null || :"], hint=hint
    )
    machine.run(["systemctl", "enable", "-q", *names, _PROXY], hint=hint)
    machine.run(["systemctl", "restart", *names], hint=hint)
    # Not reloaded: where the image's own nginx has all addresses, it could not listen on one.
    machine.run(["systemctl", "restart", _PROXY], hint="look at journalctl -u nginx")
    wait_for_application(boot, release)
    if release == boot.release:
        machine.write(_APPLICATION_MARK, _application_mark(boot))


# ---- the daemon


def daemon_start_skip(boot: Boot) -> str | None:
    running = boot.machine.succeeds(["systemctl", "is-active", "-q", DAEMON])
    if running and boot.machine.read(_DAEMON_MARK) == _daemon_mark(boot):
        return "it runs, and nothing changed for it"
    return None


def start_daemon(boot: Boot) -> None:
    """systemd returns when the daemon says that it completed a receive (Type=notify)."""
    machine = boot.machine
    machine.run(["sh", "-c", f"systemctl reset-failed {DAEMON} 2>/dev/null || :"], hint="")
    machine.run(["systemctl", "enable", "-q", DAEMON, _TIMER], hint="look at systemctl status")
    machine.run(["systemctl", "start", _TIMER], hint="look at systemctl status")
    before = machine.size(f"{units.LOGS}/sqsd.log")
    try:
        machine.run(
            ["systemctl", "restart", DAEMON],
            hint="see what it logs: the queue must be reachable, its role must allow to receive,"
            " and the application must accept connections",
        )
    except CommandFailed as error:
        said = machine.tail(f"{units.LOGS}/sqsd.log", since=before)
        error.output = "\n".join([*error.output.splitlines(), said])
        with contextlib.suppress(CommandFailed):
            machine.run(["systemctl", "stop", "--no-block", DAEMON], hint="")
        raise
    machine.write(_DAEMON_MARK, _daemon_mark(boot))


def agent_skip(boot: Boot) -> str | None:
    if boot.log_group is None:
        return "no log group is given"
    if not boot.machine.path(f"{_AGENT}/bin/amazon-cloudwatch-agent-ctl").exists():
        return "the CloudWatch agent is not installed"
    shipped = boot.machine.read(_AGENT_MARK) == _digest([_agent_text(boot)])
    return "it ships these logs" if shipped else None


def start_agent(boot: Boot) -> None:
    """A worker whose logs stay on the instance works all the same, so this only warns."""
    text = _agent_text(boot)
    boot.machine.write(_AGENT_CONFIGURATION, text)
    try:
        boot.machine.run(
            [
                f"{_AGENT}/bin/amazon-cloudwatch-agent-ctl",
                *("-a", "append-config", "-m", "ec2", "-s"),
                *("-c", f"file:{_AGENT_CONFIGURATION}"),
            ],
            hint="look at /opt/aws/amazon-cloudwatch-agent/logs, then run the user data again",
        )
    except CommandFailed as error:
        boot.machine.say(f"logs stay on this instance: {error}")
    else:
        boot.machine.write(_AGENT_MARK, _digest([text]))


def _agent_text(boot: Boot) -> str:
    assert boot.log_group is not None
    names = [] if boot.release is None else list(boot.release.processes)
    return units.log_agent_configuration(boot.log_group, names)


# ---- the end


def finish_skip(boot: Boot) -> str | None:
    if boot.deployed != _now_deployed(boot) or (boot.has_application and not boot.runs_already):
        return None
    return None if _leftovers(boot) else "nothing is left of earlier boots"


def finish(boot: Boot) -> None:
    """This is what runs now; keep its release and the one before it, and nothing of older ones."""
    boot.machine.write(DEPLOYED, _now_deployed(boot).to_json())
    for path in _leftovers(boot):
        boot.machine.remove(path)


def _now_deployed(boot: Boot) -> Deployed:
    machine = boot.machine
    return Deployed(
        instance=boot.instance_id,
        release=boot.release_id if boot.has_application else None,
        daemon=boot.daemon_home,
        settings=machine.read(SETTINGS_PATH) or "",
        cron=machine.read(cron_path(boot)),
    )


def _leftovers(boot: Boot) -> list[str]:
    machine, bundle = boot.machine, boot.application.bundle
    kept = {boot.release_id} if boot.has_application else set()
    if boot.deployed is not None and boot.deployed.release is not None:
        kept.add(boot.deployed.release)
    found = [STAGING] if machine.path(STAGING).is_symlink() else []
    found += [f"{RELEASES}/{id}" for id in machine.names(RELEASES) if id not in kept]
    found += [f"{RECORDS}/{name}" for name in machine.names(RECORDS) if name[:-5] not in kept]
    archive = None if bundle is None else f"{bundle.sha256}.zip"
    found += [f"{_BUNDLES}/{name}" for name in machine.names(_BUNDLES) if name != archive]
    daemon = boot.instance.bundle.sha256[:16]
    places = f"{units.HOME}/bundles"
    return found + [f"{places}/{name}" for name in machine.names(places) if name != daemon]
