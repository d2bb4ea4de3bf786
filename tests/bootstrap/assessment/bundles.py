"""Makes source bundles: directories, repositories of git, and archives."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from worker_tier_bootstrap.assessment import Assessment, assess
from worker_tier_bootstrap.beanstalk import Outcome, refusals, warnings
from worker_tier_bootstrap.beanstalk.findings import Finding

NODE = {"package.json": '{"scripts": {"start": "node app.js"}}', "app.js": ""}


def write(directory: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a directory; a path that ends with `*` is executable."""
    for name, content in files.items():
        path = directory / name.rstrip("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        if name.endswith("*"):
            path.chmod(0o755)
    directory.mkdir(exist_ok=True)
    return directory


def git(directory: Path, *arguments: str) -> str:
    """Run git with an identity, and no configuration of this machine."""
    settings = ["user.name=test", "user.email=test@example.com", "protocol.file.allow=always"]
    options = [option for setting in settings for option in ("-c", setting)]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(directory)}
    done = subprocess.run(
        ["git", *options, "-C", str(directory), *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return done.stdout


def commit(directory: Path) -> Path:
    """Make a repository of a directory, and commit all that git does not ignore."""
    git(directory, "init", "-q")
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", "all")
    return directory


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def names(path: Path) -> set[str]:
    """The paths of the files that a bundle has."""
    return set(assess(path).contents.files)


def refused(assessment: Assessment) -> list[str]:
    return [str(finding) for finding in refusals(assessment.findings)]


def warned(assessment: Assessment) -> list[str]:
    return [str(finding) for finding in warnings(assessment.findings)]


def about(assessment: Assessment, file: str) -> list[Finding]:
    """The findings about a file of the bundle that say what becomes of it."""
    return [f for f in assessment.findings if f.place.file == file and says_something(f)]


def says_something(finding: Finding) -> bool:
    return finding.outcome is not Outcome.PASSED_OVER or finding.loses
