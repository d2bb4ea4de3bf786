"""Whether names of AWS resources can be what they are said to be, before anything is called.

Not in `contract`: at synth they are tokens. AWS would refuse them too, but later, once for each
receive, and in words that do not say which setting is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

#: `eu-west-1`, `us-gov-east-1`, `cn-north-1`, `us-isob-west-1`, `eusc-de-east-1`.
_REGION: Final = re.compile(r"[a-z]{2,5}(-[a-z]+){1,3}-[0-9]{1,2}")
#: The region in a queue's public host name, new form and old; other hosts tell none.
_HOST: Final = re.compile(
    r"(?:sqs(?:-fips)?\.(?P<new>[a-z0-9-]+)|(?P<old>[a-z0-9-]+)\.queue)\.(?:amazonaws|api)\..+"
)


def resource_problems(region: str | None, queue_urls: Mapping[str, str | None]) -> list[str]:
    """Every problem with a region and with queue URLs, by the names of their settings.

    A region that is not set is somebody else's problem.
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
        elif known and (found := _HOST.fullmatch(host)):
            theirs = found["new"] or found["old"]
            if theirs != region:
                problems.append(
                    f"{name} is in region {theirs}, but region is {region}: a queue is only found"
                    f" in its own; set region to {theirs}, or name a queue of {region}"
                )
    return problems


def _host_of_queue(url: str) -> str | None:
    """The host of a URL that can be a queue's, else None."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    name = parts.path.rstrip("/").rpartition("/")[2]
    legal = parts.scheme in ("http", "https") and re.fullmatch(r"[A-Za-z0-9_.-]+", name)
    return host if legal else None
