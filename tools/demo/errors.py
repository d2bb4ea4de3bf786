"""What stops a demo."""

from __future__ import annotations


class DemoError(Exception):
    """A failure of the demo as one message: what happened, the value, the hint."""
