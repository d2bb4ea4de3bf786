"""Ports of the loopback address."""

from __future__ import annotations

import argparse
import socket


def free_port() -> int:
    """A port without a listener now; another program may still take it before its user does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether someone accepts connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_argument(text: str) -> int:
    """Read a port for argparse.

    Raises:
        argparse.ArgumentTypeError: it is no number from 1 to 65535.
    """
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"must be a port from 1 to 65535, got {text!r}")
    return int(text)
