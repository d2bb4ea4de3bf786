"""The daemon, a real nginx and an application: nginx listens when the application does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.harness import Tier, eventually
from tools.demo import proxy
from tools.local_aws.ports import free_port

pytestmark = pytest.mark.local_aws


def test_a_lone_message_outlives_a_restart_of_the_application(
    tier: Tier, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    nginx = proxy.find_nginx() or require_tool("nginx")
    tier.set_up(max_retries=3)
    port = free_port()
    front = proxy.start(
        nginx, port=port, application_port=tier.application.port, directory=tmp_path / "nginx"
    )
    try:
        daemon = tier.start_daemon(http_port=port, max_retries=3)
        tier.send("before")
        daemon.wait_for("message.deleted")
        tier.application.stop()
        tier.send("alone")
        (closed,) = daemon.wait_for("gate.closed")
        assert "a proxy answered for the application" in closed["reason"]
        daemon.wait_for("gate.waiting")  # for ten seconds; three receives take two
        assert tier.counts()["dead"] == 0
        tier.application.start()
        daemon.wait_for("message.deleted", 2)
        post = tier.application.posts[-1]
        assert post.body == b"alone"
        assert int(post.headers["x-aws-sqsd-receive-count"]) <= 3
        eventually(lambda: tier.counts() == {"visible": 0, "in_flight": 0, "dead": 0})
    finally:
        front.stop()
