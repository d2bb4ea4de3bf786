"""Checks of single options: each returns None, or a description of what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: A check takes a value and returns None, or a description of what is allowed.
Check = Callable[[Any], str | None]


def whole_number(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        # `True` is an int to Python, but it is not meant as 1.
        right = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if right else f"a whole number from {low} to {high}"

    return check


def or_none(inner: Check) -> Check:
    def check(value: Any) -> str | None:
        allowed = None if value is None else inner(value)
        return None if allowed is None else f"{allowed}, or null for none"

    return check


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def path(value: Any) -> str | None:
    legal = isinstance(value, str) and value.startswith("/") and is_header_text(value)
    return None if legal and " " not in value else "a path that begins with / and has no blanks"


def media_type(value: Any) -> str | None:
    legal = isinstance(value, str) and value.strip() == value != "" and is_header_text(value)
    return None if legal else "a content type such as application/json, without control characters"


def is_loopback(name: str) -> bool:
    """Return whether a host is this machine, so that what is sent to it does not leave it."""
    return name == "localhost" or re.fullmatch(r"127(\.[0-9]{1,3}){3}", name) is not None


def host_header(value: Any) -> str | None:
    legal = isinstance(value, str) and value and is_header_text(value)
    return None if legal and not set(value) & set(" /@,") else "a host name, with :port if need be"


def header_value(value: Any) -> str | None:
    legal = isinstance(value, str) and value.strip() == value != "" and is_header_text(value)
    return None if legal else "a text without control characters, and no blanks around it"


def one_of(*allowed: str) -> Check:
    return lambda value: None if value in allowed else " or ".join(allowed)


def list_of(item: Check) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, tuple):
            return "a list"
        return next((f"a list, each {allowed}" for v in value if (allowed := item(v))), None)

    return check


def status(value: Any) -> str | None:
    legal = isinstance(value, str) and len(value) == 3 and value[0] in "2345"
    if legal and (value[1:] == "xx" or value[1:].isdigit()):
        return None
    return "a status such as '422' or a class such as '4xx', as text"


def status_delay(value: Any) -> str | None:
    allowed = "a status or class, =, and seconds from 0 to 43200 or backoff, such as '409=30'"
    if not isinstance(value, str):
        return allowed
    which, found, delay = value.partition("=")
    seconds = re.fullmatch(r"[0-9]{1,5}", delay) and int(delay) <= 43_200
    legal = found and status(which) is None and (seconds or delay == "backoff")
    return None if legal else allowed


def file_path(value: Any) -> str | None:
    return None if isinstance(value, str) and value.startswith("/") else "an absolute path"


def host(value: Any) -> str | None:
    legal = isinstance(value, str) and value and is_header_text(value)
    return None if legal and not set(value) & set(" /:@") else "a host name or IPv4 address"


def is_header_text(value: str) -> bool:
    return all(" " <= letter <= "~" for letter in value)


def metrics_namespace(value: Any) -> str | None:
    # CloudWatch API reference, PutMetricData: Namespace; AWS/ is for AWS's own services.
    legal = isinstance(value, str) and re.fullmatch(
        r"[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}", value
    )
    if legal and not value.startswith("AWS/"):
        return None
    return "1 to 255 letters, digits or . _ - / # : that do not begin with : or AWS/"
