"""Determines the files that services run by, for a release: their paths, texts and modes."""

from __future__ import annotations

from pathlib import PurePosixPath

from sqsd.contract import CRON_FILE_NAME, SETTINGS_PATH, TierSettings
from worker_tier_bootstrap import paths, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.platforms import Platform
from worker_tier_bootstrap.release import Release

#: (text, mode) of a file.
Content = tuple[str, int]


def service_files(boot: Boot, release: Release | None) -> dict[str, Content]:
    """Return path -> content of every file that services run by.

    Args:
        release: the release to run, or None if the application is external.
    """
    found: dict[str, Content] = {
        f"{paths.UNITS}/{units.DAEMON}": (units.sqsd_unit(boot.proxy, release, boot.system), 0o644),
        paths.LOGROTATE: (units.logrotate_configuration(), 0o644),
        f"{paths.UNITS}/{units.LOGROTATE}": (units.template("logrotate.service"), 0o644),
        f"{paths.UNITS}/{units.LOGROTATE_TIMER}": (units.template("logrotate.timer"), 0o644),
    }
    if release is not None:
        found |= _process_files(boot, release)
        found |= _nginx_files(boot, release)
    return found


def _process_files(boot: Boot, release: Release) -> dict[str, Content]:
    aws_access = boot.instance.application_aws_access
    is_container = release.platform == Platform.DOCKER
    environment = units.docker_environment() if is_container else units.process_environment(release)
    # Root's, as systemd reads it; yet every process can read the properties in user data.
    found = {paths.ENVIRONMENT: (units.environment_file(environment), 0o600)}
    for name, text in units.process_log_units().items():
        found[f"{paths.UNITS}/{name}"] = (text, 0o644)
    for name, command in release.processes.items():
        found[f"{paths.UNITS}/{name}.service"] = (
            units.process_unit(name, release, boot.system, aws_access=aws_access),
            0o644,
        )
        found[f"{paths.SCRIPTS}/{name}.sh"] = (units.process_script(command), 0o644)
    if is_container:
        lines = "".join(f"{k}={v}\n" for k, v in release.environment.items())
        found[paths.CONTAINER_ENVIRONMENT] = (f"{lines}PORT={release.port}\n", 0o600)
    if units.has_php_socket(release):
        found[paths.PHP_FPM] = (units.php_fpm_configuration(), 0o644)
    return found


def _nginx_files(boot: Boot, release: Release) -> dict[str, Content]:
    additions = _nginx_additions(boot.machine, release)
    text = units.nginx_configuration(boot.proxy, release, boot.system, additions)
    # Two rules that rotate the same files would interfere with each other.
    rotation = f"# nginx's logs are rotated by {units.LOGROTATE_TIMER}.\n"
    return {
        paths.NGINX: (text, 0o644),
        paths.NGINX_ROTATION: (rotation, 0o644),
        paths.NGINX_LOG_DROP_IN: (units.PROXY_LOG_DROP_IN, 0o644),
        paths.NGINX_DROP_IN: (
            units.nginx_drop_in(release, aws_access=boot.instance.application_aws_access),
            0o644,
        ),
    }


def _nginx_additions(machine: Machine, release: Release) -> list[str]:
    directory = f"{release.platform_files}/nginx/conf.d"
    names = [name for name in machine.names(directory) if name.endswith(".conf")]
    return [machine.read(f"{directory}/{name}") or "" for name in names]


def are_current(boot: Boot) -> bool:
    """Whether every file has its text already, and the release is the current one."""
    release = boot.release
    if boot.has_application and (release is None or not boot.runs_already):
        return False
    wanted = service_files(boot, release)
    return all(boot.machine.read(path) == text for path, (text, _) in wanted.items())


def check_names(boot: Boot) -> None:
    """Check that no process takes the name of a unit that the bootstrap did not write.

    Raises:
        BootstrapError: the Procfile names such a process.
    """
    if not boot.has_application:
        return
    taken = [name for name in boot.need_release().processes if _is_taken(boot.machine, name)]
    if taken:
        raise BootstrapError(
            f"the Procfile's processes {', '.join(taken)} would replace the system's own units",
            hint="give them other names",
        )


def _is_taken(machine: Machine, name: str) -> bool:
    """Whether there is a unit of this name that the bootstrap did not write.

    A unit of ours is known by its script, because a boot that was killed may not have noted it.
    """
    texts = [
        machine.read(f"{place}/{name}.service") for place in (paths.UNITS, *paths.SYSTEM_UNITS)
    ]
    return any(text is not None and f"{paths.SCRIPTS}/{name}.sh" not in text for text in texts)


def process_units(machine: Machine) -> list[str]:
    """Return the names of the processes' units that the bootstrap has written."""
    return (machine.read(paths.PROCESS_UNITS) or "").split()


def cron_path(settings: TierSettings) -> str:
    """Return the path of the periodic tasks' file, which exists only if there are tasks."""
    return str(PurePosixPath(SETTINGS_PATH).with_name(settings.cron_file or CRON_FILE_NAME))
