"""Assesses a source bundle: its platform, its processes, and a finding for each of its parts."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker_tier_bootstrap import platforms, procfile
from worker_tier_bootstrap.assessment import contents as bundle_contents
from worker_tier_bootstrap.assessment.config_files import ConfigFile, config_files
from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.detection import Detection, detect
from worker_tier_bootstrap.assessment.ebextensions import ebextensions
from worker_tier_bootstrap.assessment.look_alikes import look_alikes
from worker_tier_bootstrap.assessment.own_build import own_builds
from worker_tier_bootstrap.assessment.platform_directory import platform_directory
from worker_tier_bootstrap.assessment.platform_gaps import platform_gaps
from worker_tier_bootstrap.assessment.report import refusal, warning
from worker_tier_bootstrap.assessment.start_command import Start, start_findings
from worker_tier_bootstrap.assessment.zip_contents import is_usable, zip_contents
from worker_tier_bootstrap.beanstalk.findings import Finding
from worker_tier_bootstrap.beanstalk.options import PROCFILE
from worker_tier_bootstrap.beanstalk.reading import ConfigSettings, Reading, read_config_files
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.platforms import PLATFORMS, Platform
from worker_tier_bootstrap.procfile import BUILDFILE
from worker_tier_bootstrap.untrusted import MAX_FILE_BYTES

#: Files of a bundle that root reads on an instance.
_READ_BY_ROOT: Final = (PROCFILE, BUILDFILE, "package.json", "requirements.txt")


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Holds what is known of a source bundle before it is deployed.

    Args:
        contents: its files.
        platform: the platform that runs it, or None if nothing determines it.
        evidence: files that ask for the platform, or `platform=`.
        starts: its processes, `web` first; empty if nothing says how to start it.
        config_files: what `.ebextensions` asks for.
        findings: one for each part of the bundle that has an effect, a warning or a refusal.
    """

    contents: Contents
    platform: str | None
    evidence: tuple[str, ...]
    starts: tuple[Start, ...]
    config_files: tuple[ConfigFile, ...]
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """Return in a sentence what was chosen, and by which file."""
        row = PLATFORMS.get(self.platform or "")
        title = "no platform" if row is None else row.title
        by = ", ".join(self.evidence[:3])
        count = len(self.contents.files)
        return (
            f"{self.contents.source} runs on {title} by {by}; {self.contents.decided_by} decides"
            f" which files it has ({count})"
        )

    def option_settings(self, decided: Collection[str] = ()) -> Reading | None:
        """Read the option settings of `.ebextensions`, or return None if there are none.

        Args:
            decided: names of the props that are given in code.
        """
        files = [
            ConfigSettings(file.path, file.option_settings, file.mappings)
            for file in self.config_files
            if file.option_settings is not None
        ]
        if not files:
            return None
        own = {PROCFILE} if self.contents.has(PROCFILE) else set()
        return read_config_files(files, decided=own | set(decided))


def assess(path: Path, *, platform: str | None = None) -> Assessment:
    """Read a directory or an archive as a source bundle. What is wrong becomes a finding.

    Args:
        path: a directory, a `.zip` archive, or a `.jar` file.
        platform: the platform that code names, or None to detect it.
    """
    contents = open_bundle(path)
    if not is_usable(contents):
        return _unread(contents)
    detection = _detected(contents, platform)
    starts, start_problems = _starts(contents, detection)
    files = config_files(contents)
    chosen = detection.platform
    findings = [
        *contents.findings,
        *detection.findings,
        *_line_ends(contents),
        *start_problems,
        *look_alikes(contents),
        *platform_directory(contents),
        *ebextensions(contents, files),
    ]
    if chosen is not None and chosen in PLATFORMS and not start_problems:
        findings += platform_gaps(contents, chosen)
        findings += start_findings(contents, chosen, list(starts))
    return Assessment(
        contents=contents,
        platform=chosen,
        evidence=detection.evidence,
        starts=starts,
        config_files=tuple(files),
        findings=tuple(findings),
    )


def _detected(contents: Contents, platform: str | None) -> Detection:
    """Detect the platform; a bundle whose Procfile is written later has that of a Procfile."""
    found = detect(contents, platform)
    builds = own_builds(contents)
    if found.platform is None and not found.findings and builds:
        return Detection(platform=Platform.PROCFILE, evidence=tuple(builds))
    return found


def _unread(contents: Contents) -> Assessment:
    """Return the assessment of a bundle whose files are not known, or cannot be unpacked."""
    return Assessment(
        contents=contents,
        platform=None,
        evidence=(),
        starts=(),
        config_files=(),
        findings=contents.findings,
    )


# ---- which files


def open_bundle(path: Path) -> Contents:
    """Return the files of a source bundle, wherever they come from."""
    if path.is_dir():
        artifact, findings = bundle_contents.artifact_of(path)
        if findings:
            return Contents(
                source=str(path), decided_by="deploy.artifact", findings=tuple(findings)
            )
        if artifact is None:
            return bundle_contents.directory_contents(path)
        return _archive(artifact, f"{artifact} (deploy.artifact)")
    return _archive(path, str(path))


def _archive(path: Path, source: str) -> Contents:
    readers: dict[str, Callable[[Path, str], Contents]] = {
        ".zip": zip_contents,
        ".jar": bundle_contents.jar_contents,
    }
    reader = readers.get(path.suffix.lower())
    if path.is_file() and reader is not None:
        return reader(path, source)
    if path.suffix.lower() == ".war":
        message = f"{path} is a WAR file, which needs Tomcat, and instances have none"
        hint = "pack an executable JAR, or run Tomcat's image by from_container(...)"
    elif path.exists():
        message = f"{path} is not a directory, a .zip archive or a .jar file"
        hint = "name the application's directory, or pack it"
    else:
        message, hint = f"{path} is not a directory, and no archive", "name the application's"
    return bundle_contents.unusable(source, refusal(message, hint))


# ---- how it starts


def _starts(contents: Contents, detection: Detection) -> tuple[tuple[Start, ...], list[Finding]]:
    problems = [*_linked(contents), *_build_problems(contents)]
    if PROCFILE in contents.files:
        found, own = _procfile(contents)
        return found, problems + own
    if detection.findings or detection.platform == Platform.DOCKER:
        return (), problems  # the platform has to be decided first, or is refused
    command = _platform_start(contents, detection.platform)
    if command is not None:
        file = "package.json" if detection.platform == Platform.NODE else "the platform"
        return (Start(process=procfile.WEB, command=command, file=file),), problems
    # A Buildfile or a hook may write the Procfile, as in Elastic Beanstalk.
    return (), problems if own_builds(contents) else [*problems, _no_start(contents)]


def _procfile(contents: Contents) -> tuple[tuple[Start, ...], list[Finding]]:
    try:
        processes = procfile.processes(contents.read(PROCFILE) or "")
    except BootstrapError as error:
        return (), [refusal(error.text, error.hint, PROCFILE)]
    starts = (Start(process=n, command=c, file=PROCFILE) for n, c in processes.items())
    return tuple(starts), []


def _linked(contents: Contents) -> Iterator[Finding]:
    """Yield the files that root reads on an instance, where it follows no link of them."""
    for name in _READ_BY_ROOT:
        file = contents.files.get(name)
        if file is not None and file.link is not None:
            hint = "put the file itself there, since root reads it"
            yield refusal(f"{name} is a link", hint, name)
        elif file is not None and file.size_bytes > MAX_FILE_BYTES:
            yield refusal(
                f"{name} has {file.size_bytes} bytes and may have {MAX_FILE_BYTES}",
                "shorten it",
                name,
            )


def _build_problems(contents: Contents) -> Iterator[Finding]:
    text = contents.read(BUILDFILE)
    if text is not None:
        try:
            procfile.parse(text, BUILDFILE)
        except BootstrapError as error:
            yield refusal(error.text, error.hint, BUILDFILE)
    package = contents.read("package.json")
    if package is not None:
        try:
            json.loads(package.removeprefix("\ufeff"))
        except ValueError as error:
            yield refusal(f"package.json is not JSON: {error}", "correct it", "package.json")


def _platform_start(contents: Contents, platform: str | None) -> str | None:
    if platform is None or platform not in PLATFORMS:
        return None
    return platforms.start_of(platform, contents.names, contents.read)


def _no_start(contents: Contents) -> Finding:
    return refusal(
        "nothing says how to start the application: there is no Procfile, and no file that a"
        f" platform is started by (it has {_first(contents.names)})",
        "add a Procfile with a line such as `web: node app.js`",
    )


def _first(names: set[str]) -> str:
    return ", ".join(sorted(names)[:8])


def _line_ends(contents: Contents) -> Iterator[Finding]:
    for name in (PROCFILE, BUILDFILE):
        if "\r\n" in (contents.read(name) or ""):
            yield warning(
                f"{name} has Windows line ends, which are left out of its commands",
                f"save it with Unix line ends, and write `{name} text eol=lf` in .gitattributes",
                name,
            )
