"""Takes the instance metadata service, and so the role's credentials, away from the application.

Promised with `application_aws_access=False`: only root, the daemon's user and EC2 Instance Connect
can begin a connection to the service, and no container can. The rules are loaded before anything of
the application runs, its build included; after a reboot before there is a network; and again before
each start of a process, which does not start without them. Not promised: hooks run as root and have
access, and so does whoever becomes root.
"""

from __future__ import annotations

from typing import Final

from worker_tier_bootstrap import paths, units
from worker_tier_bootstrap.boot import Boot

#: User of the SSH daemon's program that asks the metadata service for the keys of EC2 Instance
#: Connect; it exists where that is installed.
_INSTANCE_CONNECT_USER: Final = "ec2-instance-connect"
_TABLE: Final = ("inet", "worker_tier")
_UNIT_PATH: Final = f"{paths.UNITS}/{units.METADATA}"


def access_skip(boot: Boot) -> str | None:
    if boot.instance.application_aws_access:
        return None if _is_restricted(boot) else "the application may use the instance's role"
    files = _files(boot)
    is_current = all(boot.machine.read(path) == text for path, text in files.items())
    return "only root and the daemon reach it" if is_current and _is_loaded(boot) else None


def set_access(boot: Boot) -> None:
    """Load the rules, now and at every boot; or remove them where the application has access."""
    if boot.instance.application_aws_access:
        _allow(boot)
    else:
        _restrict(boot)


def _restrict(boot: Boot) -> None:
    machine = boot.machine
    for path, text in _files(boot).items():
        machine.write(path, text)
    hint = "the kernel must know nftables; use the system's own machine image"
    # Directly, for here its error is seen; the unit does the same at every boot.
    machine.run(["nft", "-f", paths.METADATA_RULES], hint=hint)
    hint = f"see systemctl status {units.METADATA}"
    machine.run(["systemctl", "daemon-reload"], hint=hint)
    machine.run(["systemctl", "enable", "-q", units.METADATA], hint=hint)
    machine.run(["systemctl", "restart", units.METADATA], hint=hint)


def _allow(boot: Boot) -> None:
    machine = boot.machine
    hint = f"see systemctl status {units.METADATA}"
    if machine.path(_UNIT_PATH).exists():
        machine.run(["systemctl", "disable", "--now", "-q", units.METADATA], hint=hint)
    if _is_loaded(boot):
        machine.run(["nft", "delete", "table", *_TABLE], hint="see nft list ruleset")
    machine.remove(paths.METADATA_RULES)
    machine.remove(_UNIT_PATH)
    machine.run(["systemctl", "daemon-reload"], hint=hint)


def _files(boot: Boot) -> dict[str, str]:
    """Return path -> text of the rules and of the unit that loads them."""
    users = ["root", units.DAEMON_USER]
    if boot.machine.has_user(_INSTANCE_CONNECT_USER):
        users.append(_INSTANCE_CONNECT_USER)
    quoted = ", ".join(f'"{user}"' for user in users)
    return {
        paths.METADATA_RULES: units.fill("metadata.nft", {"USERS": quoted}),
        _UNIT_PATH: units.fill("metadata.service", {"METADATA_RULES": paths.METADATA_RULES}),
    }


def _is_restricted(boot: Boot) -> bool:
    """Whether an earlier boot has restricted access, perhaps not to its end."""
    return any(boot.machine.path(path).exists() for path in (paths.METADATA_RULES, _UNIT_PATH))


def _is_loaded(boot: Boot) -> bool:
    return boot.machine.succeeds(["nft", "list", "table", *_TABLE])
