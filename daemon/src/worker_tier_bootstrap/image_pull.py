"""Pulling a container's image, from Amazon ECR by the instance's role."""

from __future__ import annotations

import json
import re
import tempfile
from typing import Final

from worker_tier_bootstrap import early
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import BootstrapError

_ECR: Final = re.compile(r"(\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?)/")
_TARGET: Final = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"


def pull(boot: Boot) -> None:
    """Start Docker, and have the image here before anything is stopped for it."""
    image = boot.application.image
    assert image is not None
    machine = boot.machine
    machine.run(
        ["systemctl", "enable", "--now", "-q", "docker.service"],
        hint="look at journalctl -u docker",
    )
    # Apart from root's own configuration: the token is good for twelve hours and nothing else.
    with tempfile.TemporaryDirectory(prefix="worker-tier-docker-") as directory:
        login = credentials(image)
        if login is not None:
            machine.write(f"{directory}/config.json", login, 0o600)
        machine.run(
            ["docker", "--config", directory, "pull", "-q", image],
            hint="check the image's name and tag, and that the instance's role may pull it",
        )


def credentials(image: str) -> str | None:
    """Docker's configuration for the image's registry; None where it is not ECR's private one.

    Raises:
        BootstrapError: the role may not log in.
    """
    found = _ECR.match(image)
    if found is None:
        return None
    host, region = found.groups()
    try:
        answer = early.json_call("ecr", f"api.ecr.{region}.{early.domain()}", region, _TARGET, {})
        token = json.loads(answer)["authorizationData"][0]["authorizationToken"]
    except (early.Refused, LookupError, ValueError) as error:
        raise BootstrapError(
            f"no login for {host}: {error}",
            hint="let the instance's role call ecr:GetAuthorizationToken",
        ) from error
    return json.dumps({"auths": {host: {"auth": token}}})
