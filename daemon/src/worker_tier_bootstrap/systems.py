"""Describes everything in which the operating systems differ, in one table.

The constructs read it for machine images, the user data for the way to a new Python, the bootstrap
for packages and units. A new system is a row here, its image in `tests/boot/images.py`, and the row
of `docs/guide/instance.md` that a test prints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from worker_tier_bootstrap.errors import BootstrapError

APT: Final = "apt"
DNF: Final = "dnf"
ARM_64: Final = "arm64"
X86_64: Final = "x86_64"
#: dpkg's letters for half installed, unpacked, half configured, and the two of triggers.
_UNFINISHED: Final = frozenset("HUFWt")


@dataclass(frozen=True, kw_only=True)
class System:
    """Describes one operating system.

    Args:
        name: the system's name for people.
        family: of its package manager; chooses the columns of `PackageManager` and of platforms.
        image_parameters: public parameter of Parameter Store that holds the id of the newest
            machine image, by EC2's name of the processor architecture.
        root_device: device name of the image's root volume, such as `/dev/xvda`.
        nginx_user: user that nginx's workers run as.
        proven: how its boot is tested; `booted` for a boot of the system itself.
        python: packages that bring Python 3.11 or later, where the system's own is older.
        log_agent: packages of the CloudWatch agent, where the system's own repositories have it.
        package_names: this system's packages for a package that `platforms` or the bootstrap names
            for the whole family; an empty tuple where it needs none.
        restart_steps: systemd is 254 or later, which can wait longer before each further restart.
        starts_services_at_install: services start when their package is installed, so the
            bootstrap must prevent it.
        default_sites: nginx configuration of the package, which would also listen on port 80.
    """

    name: str
    family: str
    image_parameters: Mapping[str, str]
    root_device: str
    nginx_user: str
    proven: str
    python: tuple[str, ...] = ()
    log_agent: tuple[str, ...] = ()
    package_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    restart_steps: bool = False
    starts_services_at_install: bool = False
    default_sites: tuple[str, ...] = ()

    @property
    def ships_logs(self) -> bool:
        """Whether the CloudWatch agent is installed, so that logs and metrics reach CloudWatch."""
        return bool(self.log_agent)

    def packages(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return this system's packages for packages that the family names."""
        return tuple(own for name in names for own in self.package_names.get(name, (name,)))


@dataclass(frozen=True, kw_only=True)
class PackageManager:
    """Describes how packages are queried and installed without a question.

    Args:
        refresh: command that fetches the lists of packages; empty where there is none.
        install: command that installs the packages appended to it.
        journal: directory that holds files while an installation is unfinished, or None where no
            such directory is known.
        repair: name of the template of the script that finishes an interrupted installation, or
            None where none is needed. The script gets `install` as its arguments.
        query: command that prints one line per package: dpkg's three letters of its state, a
            blank, and its name.
        environment: variables of `refresh`, `install` and `repair`.
        retry_seconds: pauses (s) between tries while a mirror does not answer.
    """

    refresh: tuple[str, ...]
    install: tuple[str, ...]
    journal: str | None
    repair: str | None
    query: tuple[str, ...]
    environment: Mapping[str, str]
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


def _images(pattern: str, *, x86_64: str = X86_64) -> Mapping[str, str]:
    """Return the parameters of images, by EC2's name of the architecture.

    Args:
        pattern: the parameter, with `{}` for the publisher's name of the architecture.
        x86_64: the publisher's name for x86_64.
    """
    return {ARM_64: pattern.format(ARM_64), X86_64: pattern.format(x86_64)}


_UBUNTU_IMAGES: Final = "/aws/service/canonical/ubuntu/server/{}/stable/current/{{}}/hvm/{}/ami-id"

#: Key -> row. The key is `ID-VERSION_ID` of the system's /etc/os-release.
SYSTEMS: Final[Mapping[str, System]] = {
    "amzn-2023": System(
        name="Amazon Linux 2023",
        family=DNF,
        image_parameters=_images("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-{}"),
        root_device="/dev/xvda",
        nginx_user="nginx",
        python=("python3.11",),
        log_agent=("amazon-cloudwatch-agent",),
        proven="its branch is booted on a Debian 12 with Amazon's names and a stand-in for `dnf`"
        " and `rpm`; Amazon's own packages are not",
    ),
    "debian-12": System(
        name="Debian 12",
        family=APT,
        image_parameters=_images("/aws/service/debian/release/12/latest/{}", x86_64="amd64"),
        root_device="/dev/xvda",
        nginx_user="www-data",
        starts_services_at_install=True,
        default_sites=("/etc/nginx/sites-enabled/default",),
        proven="booted",
    ),
    "debian-13": System(
        name="Debian 13",
        family=APT,
        image_parameters=_images("/aws/service/debian/release/13/latest/{}", x86_64="amd64"),
        root_device="/dev/xvda",
        nginx_user="www-data",
        restart_steps=True,
        starts_services_at_install=True,
        default_sites=("/etc/nginx/sites-enabled/default",),
        proven="booted",
    ),
    "ubuntu-24.04": System(
        name="Ubuntu 24.04",
        family=APT,
        image_parameters=_images(_UBUNTU_IMAGES.format("24.04", "ebs-gp3"), x86_64="amd64"),
        root_device="/dev/sda1",
        nginx_user="www-data",
        restart_steps=True,
        starts_services_at_install=True,
        default_sites=("/etc/nginx/sites-enabled/default",),
        proven="booted",
    ),
}


def system_of(os_release: str) -> System:
    """Find the row of a system by the text of its /etc/os-release.

    Raises:
        BootstrapError: the table has no row for this system.
    """
    values = {}
    for line in os_release.splitlines():
        name, _, value = line.partition("=")
        values[name.strip()] = value.strip().strip("\"'")
    id_and_version = (values.get("ID", ""), values.get("VERSION_ID", ""))
    found = SYSTEMS.get("-".join(id_and_version))
    if found is None:
        known = ", ".join(system.name for system in SYSTEMS.values())
        shown = values.get("PRETTY_NAME") or " ".join(id_and_version).strip() or "unknown"
        raise BootstrapError(
            f"this system is {shown}", hint=f"choose a machine image of one of {known}"
        )
    return found


def installed(listing: str) -> set[str]:
    """Return the names of the installed packages, from the output of a manager's `query`."""
    rows = (line.split() for line in listing.splitlines())
    return {row[1] for row in rows if len(row) == 2 and row[0].startswith("ii")}


def has_unfinished(listing: str) -> bool:
    """Whether a package is half installed or not configured, from the output of `query`.

    The letters of a state are: wanted, state (`ii` is installed), and R for "must be reinstalled".
    """
    states = (line.split()[0] for line in listing.splitlines() if line.strip())
    return any(state[1:2] in _UNFINISHED or state.endswith("R") for state in states)
