"""Pulls a container's image; from Amazon ECR with the credentials of the instance's role."""

from __future__ import annotations

import json
import re
import tempfile
from typing import Final

from worker_tier_bootstrap import build, early
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.contract import CONTAINER
from worker_tier_bootstrap.errors import BootstrapError

#: Host and region of a private registry (AWS General Reference, "Amazon ECR endpoints and quotas"):
#: for IPv4, or for IPv4 and IPv6, and with FIPS 140-3.
_ECR: Final = re.compile(
    r"(\d{12}\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)"
    r"\.(?:amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn))/"
)
_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


def pull_skip(boot: Boot) -> str | None:
    if boot.application.kind != CONTAINER:
        return "there is none"
    return build.built_skip(boot)


def pull(boot: Boot) -> None:
    """Start Docker and pull the image, before anything is stopped for it."""
    image = boot.application.image
    assert image is not None
    machine = boot.machine
    machine.run(
        ["systemctl", "enable", "--now", "-q", "docker.service"],
        hint="see journalctl -u docker",
    )
    # Not in root's own configuration: the token expires after twelve hours.
    with tempfile.TemporaryDirectory(prefix="worker-tier-docker-") as directory:
        login = credentials(image)
        if login is not None:
            machine.write(f"{directory}/config.json", login, 0o600)
        machine.run(
            ["docker", "--config", directory, "pull", "-q", image],
            hint="check the image's name and tag, and that the instance's role may pull it",
        )


def credentials(image: str) -> str | None:
    """Return Docker's configuration with a login for a private ECR registry.

    Returns:
        The text of `config.json`, or None if the image is in another registry.

    Raises:
        BootstrapError: the role may not log in.
    """
    found = _ECR.match(image)
    if found is None:
        return None
    host, region = found.groups()
    try:
        response = early.json_call("ecr", f"api.ecr.{region}.{early.domain()}", region, _TARGET, {})
        token = json.loads(response)["authorizationData"][0]["authorizationToken"]
    except (early.Refused, LookupError, ValueError) as error:
        raise BootstrapError(
            f"no login for {host}: {error}",
            hint="let the instance's role call ecr:GetAuthorizationToken",
        ) from error
    return json.dumps({"auths": {host: {"auth": token}}})
