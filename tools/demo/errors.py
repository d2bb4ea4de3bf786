"""What stops a demo."""

from __future__ import annotations


class DemoError(Exception):
    """One message for the person who runs the demo: what happened, the value, the hint."""
