"""Finds the platform that a source bundle asks for, and the files that say so.

Elastic Beanstalk is told the platform by whoever creates the environment. Here files tell it, so
that a bundle with files of two platforms is refused until `platform=` decides.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.report import refusal, some
from worker_tier_bootstrap.beanstalk.findings import Finding
from worker_tier_bootstrap.platforms import PLATFORMS, Platform

#: Files that ask for a platform as well, beside `PlatformRow.detected_by`: patterns of paths.
_MORE_MARKS: Final[Mapping[Platform, tuple[str, ...]]] = {
    Platform.DOTNET: ("*/*.runtimeconfig.json", "*.csproj", "*.fsproj", "*.sln"),
    Platform.JAVA: ("pom.xml", "build.gradle", "build.gradle.kts", "gradlew", "mvnw"),
    Platform.PHP: ("artisan", "public/index.php"),
    Platform.PYTHON: ("manage.py", "pyproject.toml"),
    Platform.DOCKER: (
        "Dockerfile",
        "Dockerrun.aws.json",
        "docker-compose.yml",
        "docker-compose.yaml",
    ),
}
#: Marks that projects of other platforms have, too; they count where there is no other mark.
_WEAK: Final = frozenset({"app.js", "server.js", "pyproject.toml"})
_RUNTIME_CONFIG: Final = "*.runtimeconfig.json"


@dataclass(frozen=True, kw_only=True)
class Detection:
    """Says which platform a bundle runs on, and why.

    Args:
        platform: its name, or None if none was found or several were.
        evidence: files that ask for it, or `platform=`.
        findings: why a platform cannot be chosen.
    """

    platform: str | None
    evidence: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


def detect(contents: Contents, chosen: str | None) -> Detection:
    """Find the platform of a bundle.

    Args:
        chosen: the platform that code names, or None.
    """
    if chosen is not None:
        findings = tuple(_dotnet_applications(contents)) if chosen == Platform.DOTNET else ()
        return Detection(platform=chosen, evidence=("platform=",), findings=findings)
    marks = marks_of(contents)
    if len(marks) > 1:
        return Detection(platform=None, findings=(_several(marks),))
    for platform, evidence in marks.items():
        return Detection(
            platform=platform,
            evidence=evidence,
            findings=tuple(_of_one(platform, contents)),
        )
    return Detection(platform=None)


def marks_of(contents: Contents) -> dict[Platform, tuple[str, ...]]:
    """Return platform -> the files that ask for it; a Procfile counts where nothing else does."""
    found = {platform: _marks(platform, contents) for platform in Platform}
    procfile = found.pop(Platform.PROCFILE)
    strong = {p: files for p, files in found.items() if not _WEAK.issuperset(files)}
    weak = {p: files for p, files in found.items() if files}
    return strong or weak or ({Platform.PROCFILE: procfile} if procfile else {})


def _marks(platform: Platform, contents: Contents) -> tuple[str, ...]:
    patterns = (*PLATFORMS[platform].detected_by, *_MORE_MARKS.get(platform, ()))
    return tuple(path for path in contents.files if _matches(path, patterns))


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a path is one of some files; `*` stands for no slash."""
    return any(
        path.count("/") == pattern.count("/") and fnmatch.fnmatchcase(path, pattern)
        for pattern in patterns
    )


def _several(marks: Mapping[Platform, tuple[str, ...]]) -> Finding:
    found = "; ".join(f"{platform} by {some(files)}" for platform, files in marks.items())
    languages = [platform for platform in marks if platform != Platform.DOCKER]
    choice = " or ".join(f'platform="{platform}"' for platform in languages)
    hint = f"pass {choice}"
    if Platform.DOCKER in marks:
        hint += (
            " to run it without Docker, or its image:"
            " WorkerApplication.from_container(DockerImageAsset(...))"
        )
    return refusal(f"the source bundle has files of several platforms: {found}", hint)


def _of_one(platform: Platform, contents: Contents) -> Iterator[Finding]:
    match platform:
        case Platform.DOCKER:
            yield _docker(contents)
        case Platform.DOTNET:
            yield from _dotnet_applications(contents)


# ---- Docker


def _docker(contents: Contents) -> Finding:
    """Return how a bundle of Elastic Beanstalk's Docker platform is run here."""
    compose = next((name for name in contents.names if name.startswith("docker-compose.")), None)
    if contents.has("Dockerrun.aws.json"):
        return _dockerrun(contents.read("Dockerrun.aws.json") or "")
    if compose is not None:
        return refusal(
            f"{compose} describes several containers, and instances run one",
            "pass the image that answers the POSTs by WorkerApplication.from_container(...), and"
            " run the others elsewhere, such as on ECS",
            compose,
        )
    return refusal(
        "a Dockerfile is not built on instances",
        "build its image with the stack: WorkerApplication.from_container("
        'DockerImageAsset(self, "Image", directory=...), port=...) with the port that it EXPOSEs',
        "Dockerfile",
    )


def _dockerrun(text: str) -> Finding:
    name = "Dockerrun.aws.json"
    try:
        document = json.loads(text)
    except ValueError as error:
        return refusal(f"{name} is not JSON: {error}", "correct it", name)
    version = document.get("AWSEBDockerrunVersion") if isinstance(document, dict) else None
    match str(version):
        case "1":
            return refusal(
                f"{name} names one container{_image(document)}, and is not read here",
                "pass its image and the container's port by"
                " WorkerApplication.from_container(IMAGE, port=PORT)",
                name,
            )
        case "2":
            return refusal(
                f"{name} of version 2 describes a task of ECS, and instances run one container",
                "run it on Amazon ECS, or pass the image that answers the POSTs by"
                " WorkerApplication.from_container(...)",
                name,
            )
        case "3":
            return refusal(
                f"{name} of version 3 goes with a docker-compose.yml, and instances run one"
                " container",
                "pass the image that answers the POSTs by WorkerApplication.from_container(...)",
                name,
            )
        case _:
            hint = "write 1, or pass the image by WorkerApplication.from_container(...)"
            return refusal(
                f"AWSEBDockerrunVersion of {name} must be 1, 2 or 3, got {version!r:.40}",
                hint,
                name,
            )


def _image(document: dict[str, object]) -> str:
    image = document.get("Image")
    named = image.get("Name") if isinstance(image, dict) else None
    return f" ({named:.120})" if isinstance(named, str) else ""


# ---- .NET


def _dotnet_applications(contents: Contents) -> Iterator[Finding]:
    """Yield that there are several applications, and nothing says which of them gets the POSTs."""
    patterns = (_RUNTIME_CONFIG, f"*/{_RUNTIME_CONFIG}")
    applications = [path for path in contents.files if _matches(path, patterns)]
    if len(applications) > 1 and not contents.has("Procfile"):
        first = min(applications).removesuffix(".runtimeconfig.json")
        yield refusal(
            f"the source bundle has {len(applications)} .NET applications: {some(applications)}",
            f"add a Procfile that names the one that gets the POSTs, such as `web: dotnet"
            f" ./{first}.dll`",
        )
