"""The instance's nginx must not change or cut the daemon's requests."""

from __future__ import annotations

import re
from itertools import product

import pytest

from worker_tier_bootstrap.platforms import PLATFORMS
from worker_tier_bootstrap.release import Release
from worker_tier_bootstrap.systems import SYSTEMS
from worker_tier_bootstrap.units import ProxySettings, nginx_configuration


def configuration(system: str, platform: str, inactivity_timeout: int) -> str:
    proxy = ProxySettings(
        http_port=80,
        inactivity_timeout=inactivity_timeout,
        connect_timeout=5,
        drain_timeout=300,
        http_connections=50,
        ipv6=True,
    )
    release = Release(
        id="r",
        source="s",
        platform=platform,
        port=8080,
        processes={"web": "run"},
        environment={},
    )
    return nginx_configuration(proxy, release, SYSTEMS[system])


@pytest.mark.parametrize("inactivity_timeout", [1, 299, 36_000])
def test_nginx_waits_longer_than_the_daemon(inactivity_timeout: int) -> None:
    for system, platform in product(SYSTEMS, PLATFORMS):
        text = configuration(system, platform, inactivity_timeout)
        for name in ("proxy_read", "proxy_send", "fastcgi_read", "client_body", "send"):
            (seconds,) = re.findall(rf"^ *{name}_timeout ([0-9]+);", text, re.MULTILINE)
            assert int(seconds) > inactivity_timeout, (system, platform, name)


def test_nginx_passes_on_every_name_that_an_attribute_may_have() -> None:
    for system, platform in product(SYSTEMS, PLATFORMS):
        lines = configuration(system, platform, 299).splitlines()
        assert "  underscores_in_headers on;" in lines, (system, platform)
        assert "  ignore_invalid_headers off;" in lines, (system, platform)
