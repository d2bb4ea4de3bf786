"""Checks regions and queue URLs before AWS is called.

AWS would refuse a wrong one too, but later, once for each receive, and without naming the setting.
The checks are not in `contract`, because at synth these values are tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

#: A region: `eu-west-1`, `us-gov-east-1`, `cn-north-1`, `us-isob-west-1`, `eusc-de-east-1`.
_REGION: Final = re.compile(r"[a-z]{2,5}(-[a-z]+){1,3}-[0-9]{1,2}")
#: The region in the public host name of a queue: `sqs.eu-west-1.amazonaws.com`, `.com.cn`,
#: `sqs-fips.`, and the old form `eu-west-1.queue.`.
_HOST: Final = re.compile(
    r"(?:sqs(?:-fips)?\.(?P<new>[a-z0-9-]+)|(?P<old>[a-z0-9-]+)\.queue)\.(?:amazonaws|api)\..+"
)


def resource_problems(region: str | None, queue_urls: Mapping[str, str | None]) -> list[str]:
    """Return every problem with a region and with queue URLs.

    Args:
        region: the region of the settings, or None if it is not set, which is not reported here.
        queue_urls: name of the setting -> URL, or None if it is not set.
    """
    problems = []
    known = region is not None and _REGION.fullmatch(region) is not None
    if region is not None and not known:
        problems.append(
            f"region must have the form of eu-west-1, got {region!r}: name the region that the"
            " queue is in"
        )
    for name, url in queue_urls.items():
        if url is None:
            continue
        host = _host_of_queue(url)
        if host is None:
            problems.append(
                f"{name} must be a URL such as"
                f" https://sqs.eu-west-1.amazonaws.com/123456789012/work, got {url!r}"
            )
        elif known and (theirs := _region_of_host(host)) not in (None, region):
            problems.append(
                f"{name} is in region {theirs}, but region is {region}: a queue is only found"
                f" in its own; set region to {theirs}, or name a queue of {region}"
            )
    return problems


def _region_of_host(host: str) -> str | None:
    """Return the region in the public host name of a queue, or None if the host names none."""
    found = _HOST.fullmatch(host)
    return None if found is None else found["new"] or found["old"]


def region_of_url(url: str) -> str | None:
    """Return the region in a queue's public URL, or None if it names none."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return None if host is None else _region_of_host(host)


def _host_of_queue(url: str) -> str | None:
    """Return the host of a URL that can be a queue's, or None if it cannot."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    name = parts.path.rstrip("/").rpartition("/")[2]
    legal = parts.scheme in ("http", "https") and re.fullmatch(r"[A-Za-z0-9_.-]+", name)
    return host if legal else None
