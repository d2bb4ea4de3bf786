"""Finds the files of a bundle that instances run before its processes start."""

from __future__ import annotations

from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.platforms import HOOKS_BEFORE_START, PLATFORM_DIRECTORY
from worker_tier_bootstrap.procfile import BUILDFILE


def own_builds(contents: Contents) -> list[str]:
    """Return the Buildfile and the hooks that run before the processes start.

    What they install or write, such as a Procfile, is not known at synth.
    """
    hooks = contents.linked(PLATFORM_DIRECTORY)
    before = tuple(f"{PLATFORM_DIRECTORY}/{place}/" for place in HOOKS_BEFORE_START)
    found = [BUILDFILE] if contents.has(BUILDFILE) else []
    return found + [path for path in hooks if path.startswith(before)]


def builds_itself(contents: Contents) -> bool:
    """Return whether something of the bundle runs before its processes start."""
    return bool(own_builds(contents))
