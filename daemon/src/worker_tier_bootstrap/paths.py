"""Defines every path on an instance once.

Templates repeat some of them, and `tests/bootstrap/test_paths.py` compares them with this module.
"""

from __future__ import annotations

from typing import Final

# ---- what user data writes ---------------------------------------------------------------------

#: Directory of `tier.json`, `instance.json`, `cron.yaml` and of the files made from them.
CONFIGURATION: Final = "/etc/worker-tier"
INSTANCE: Final = f"{CONFIGURATION}/instance.json"
#: The program that reaches AWS before the daemon's bundle is there.
EARLY: Final = "/opt/worker-tier/early.py"
#: Reason why the last boot failed, one line or more; user data passes it on.
OUTCOME: Final = "/run/worker-tier/outcome"
#: Script and environment of a command that runs as the application's user during a build.
BUILD_SCRIPT: Final = "/run/worker-tier/build.sh"
BUILD_ENVIRONMENT: Final = "/run/worker-tier/build.env"

# ---- the daemon --------------------------------------------------------------------------------

HOME: Final = "/opt/worker-tier"
#: Link to the unpacked bundle that the daemon runs from.
DAEMON: Final = f"{HOME}/daemon"
#: Directory of the unpacked bundles of the daemon, by the first 16 digits of their SHA-256.
DAEMON_BUNDLES: Final = f"{HOME}/bundles"
#: The one version of gunicorn that a build installs where neither the system nor the bundle has it.
GUNICORN_LOCK: Final = f"{DAEMON}/worker_tier_bootstrap/templates/gunicorn.txt"
COMMAND: Final = "/usr/local/bin/worker-tier-bootstrap"

# ---- the application ---------------------------------------------------------------------------

APPLICATION: Final = "/var/app"
#: Directory of the source bundles as they were fetched, by their SHA-256.
SOURCE_BUNDLES: Final = f"{APPLICATION}/bundles"
#: Directory of the unpacked releases, by their id.
RELEASES: Final = f"{APPLICATION}/releases"
#: Directory of what root runs and nginx includes of each release, by the release's id.
PLATFORM_FILES: Final = f"{APPLICATION}/platform"
#: Link to the release that is being built.
STAGING: Final = f"{APPLICATION}/staging"
#: Link to the release that runs.
CURRENT: Final = f"{APPLICATION}/current"

# ---- files of the services ---------------------------------------------------------------------

LOGS: Final = "/var/log/worker-tier"
#: Directory of the pipes from the application's processes to their logs.
LOG_PIPES: Final = "/run/worker-tier/log"
DAEMON_LOG: Final = f"{LOGS}/sqsd.log"
ENVIRONMENT: Final = f"{CONFIGURATION}/application.env"
CONTAINER_ENVIRONMENT: Final = f"{CONFIGURATION}/container.env"
SCRIPTS: Final = f"{CONFIGURATION}/processes"
PHP_FPM: Final = f"{CONFIGURATION}/php-fpm.conf"
#: Socket on which PHP-FPM listens; only nginx may enter its directory.
PHP_SOCKET: Final = "/run/worker-tier/php/fpm.sock"
LOGROTATE: Final = f"{CONFIGURATION}/logrotate.conf"
#: Rules of nftables by which only some users reach the instance metadata service.
METADATA_RULES: Final = f"{CONFIGURATION}/metadata.nft"
LOG_AGENT: Final = f"{CONFIGURATION}/amazon-cloudwatch-agent.json"
UNITS: Final = "/etc/systemd/system"
#: Directories of units that others bring: packages, administrators, generators.
SYSTEM_UNITS: Final = (
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/local/lib/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/run/systemd/generator.early",
    "/run/systemd/generator.late",
)
NGINX: Final = "/etc/nginx/nginx.conf"
NGINX_DROP_IN: Final = f"{UNITS}/nginx.service.d/worker-tier.conf"
NGINX_LOG_DROP_IN: Final = f"{UNITS}/worker-tier-log@nginx.socket.d/worker-tier.conf"
NGINX_ROTATION: Final = "/etc/logrotate.d/nginx"

# ---- what a boot leaves for the next one -------------------------------------------------------

STATE: Final = "/var/lib/worker-tier"
#: Directory of one record per release that was built to its end.
RECORDS: Final = f"{STATE}/releases"
#: Record of what the last successful boot deployed.
DEPLOYED: Final = f"{STATE}/deployed.json"
#: Names of the units of the application's processes, one a line.
PROCESS_UNITS: Final = f"{STATE}/units"
#: The instance's Auto Scaling group, which never changes.
GROUP: Final = f"{STATE}/group.json"
#: Digests of what the running services were started with; see `marks`.
APPLICATION_MARK: Final = f"{STATE}/application"
DAEMON_MARK: Final = f"{STATE}/daemon"
LOG_AGENT_MARK: Final = f"{STATE}/agent"

# ---- the system's own --------------------------------------------------------------------------

OS_RELEASE: Final = "/etc/os-release"
#: The instance's id, as cloud-init writes it.
INSTANCE_ID: Final = "/var/lib/cloud/data/instance-id"
#: Debian's switch that keeps services from starting at their installation.
SERVICE_POLICY: Final = "/usr/sbin/policy-rc.d"
LOG_AGENT_HOME: Final = "/opt/aws/amazon-cloudwatch-agent"
