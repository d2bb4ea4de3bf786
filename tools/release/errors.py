"""What stops a release, in a sentence for the person who runs it."""

from __future__ import annotations


class ReleaseError(Exception):
    """The release cannot go on; the text says why and what to do."""
