"""What stops a demo."""

from __future__ import annotations


class DemoError(Exception):
    """One message for whoever runs the demo: what happened, the value, the hint."""
