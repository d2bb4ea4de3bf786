"""Everything in which the operating systems differ, in one table.

`packages` of a platform are in `platforms`, by the same `family`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from worker_tier_bootstrap.errors import BootstrapError

APT: Final = "apt"
DNF: Final = "dnf"
#: dpkg's letters for half installed, unpacked, half configured, and the two of triggers.
_UNFINISHED: Final = frozenset("HUFWt")


@dataclass(frozen=True, kw_only=True)
class System:
    """One operating system.

    Args:
        family: of its package manager; chooses the columns of `PackageManager` and of platforms.
        nginx_user: as whom nginx's workers run.
        python: packages that bring Python 3.11 or later, where the system's own is older.
        starts_services_at_install: the unit must be masked while its package is installed.
        restart_steps: systemd is 254 or later, which waits ever longer between restarts.
        log_agent: packages of the CloudWatch agent, where the system's own repositories have it.
        default_sites: nginx configuration of the package, which would also listen on port 80.
        proven: how the boot was tested.
    """

    name: str
    family: str
    nginx_user: str
    proven: str
    python: tuple[str, ...] = ()
    log_agent: tuple[str, ...] = ()
    restart_steps: bool = False
    starts_services_at_install: bool = False
    default_sites: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PackageManager:
    """How packages are asked for and installed, without a question ever."""

    refresh: tuple[str, ...]
    install: tuple[str, ...]
    #: Where a run keeps what it has not finished, and the template of the script that finishes it.
    #: The script gets `install` as its arguments. None: no need of one is known.
    journal: str | None
    repair: str | None
    #: Prints one line per package: dpkg's three letters of its state, and its name.
    query: tuple[str, ...]
    environment: Mapping[str, str]
    #: Seconds between tries when a mirror does not answer or another process holds the lock.
    retry_seconds: tuple[int, ...] = (5, 15)


MANAGERS: Final = {
    APT: PackageManager(
        # Without the error mode, a mirror that does not answer counts as success.
        refresh=("apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"),
        install=(
            "apt-get",
            "-qq",
            "-y",
            "-o",
            "Dpkg::Use-Pty=0",
            "-o",
            "DPkg::Lock::Timeout=120",
            "-o",
            "Dpkg::Options::=--force-confold",
            "--no-install-recommends",
            "install",
        ),
        journal="/var/lib/dpkg/updates",
        repair="repair-apt.sh",
        query=("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\\n"),
        environment={"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"},
    ),
    DNF: PackageManager(
        refresh=(),
        install=("dnf", "-y", "-q", "install"),
        journal=None,
        repair=None,
        query=("rpm", "-qa", "--qf", "ii  %{NAME}\\n"),
        environment={},
    ),
}

#: By ID and VERSION_ID of /etc/os-release.
SYSTEMS: Final[Mapping[tuple[str, str], System]] = {
    ("amzn", "2023"): System(
        name="Amazon Linux 2023",
        family=DNF,
        nginx_user="nginx",
        python=("python3.11",),
        log_agent=("amazon-cloudwatch-agent",),
        proven="on Debian 12 with Amazon's names and a stand-in for dnf",
    ),
    ("debian", "12"): System(
        name="Debian 12",
        family=APT,
        nginx_user="www-data",
        starts_services_at_install=True,
        default_sites=("/etc/nginx/sites-enabled/default",),
        proven="booted",
    ),
    ("debian", "13"): System(
        name="Debian 13",
        family=APT,
        nginx_user="www-data",
        restart_steps=True,
        starts_services_at_install=True,
        default_sites=("/etc/nginx/sites-enabled/default",),
        proven="booted",
    ),
    ("ubuntu", "24.04"): System(
        name="Ubuntu 24.04",
        family=APT,
        nginx_user="www-data",
        restart_steps=True,
        starts_services_at_install=True,
        default_sites=("/etc/nginx/sites-enabled/default",),
        proven="booted",
    ),
}


def system_of(os_release: str) -> System:
    """The row for the text of /etc/os-release.

    Raises:
        BootstrapError: it is none of ours.
    """
    values = {}
    for line in os_release.splitlines():
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip().strip("\"'")
    key = (values.get("ID", ""), values.get("VERSION_ID", ""))
    if key not in SYSTEMS:
        known = ", ".join(system.name for system in SYSTEMS.values())
        raise BootstrapError(
            f"this system is {values.get('PRETTY_NAME') or ' '.join(key).strip() or 'unknown'}",
            hint=f"choose a machine image of one of {known}",
        )
    return SYSTEMS[key]


def installed(answer: str) -> set[str]:
    """The installed packages by what a manager's `query` printed."""
    rows = (line.split() for line in answer.splitlines())
    return {row[1] for row in rows if len(row) == 2 and row[0].startswith("ii")}


def has_unfinished(answer: str) -> bool:
    """Whether a package is half installed or not configured, by what a manager's `query` printed.

    The letters: wanted, state (`ii` is installed), and R where it must be installed again.
    """
    states = (line.split()[0] for line in answer.splitlines() if line.strip())
    return any(state[1:2] in _UNFINISHED or state.endswith("R") for state in states)
