"""What the constructs tell the bootstrap: paths, and the file `instance.json`.

The bootstrap reads it, so it owns it; the constructs import what describes (this module,
`platforms`, `procfile`) and nothing that acts. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from worker_tier_bootstrap.errors import InvalidInstance
from worker_tier_bootstrap.platforms import DOCKER, PLATFORMS

INSTANCE_VERSION: Final = 1
#: Where user data writes what this module describes.
INSTANCE_PATH: Final = "/etc/worker-tier/instance.json"
EARLY_PATH: Final = "/opt/worker-tier/early.py"
#: The hook on termination that the group has, and the daemon completes.
LIFECYCLE_HOOK: Final = "drain"

EXTERNAL: Final = "external"
BUNDLE: Final = "bundle"
CONTAINER: Final = "container"
KINDS: Final = (EXTERNAL, BUNDLE, CONTAINER)

#: EB's limit for all environment properties together, names and values.
ENVIRONMENT_LIMIT_BYTES: Final = 4_096
DEFAULT_START_TIMEOUT: Final = 120
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Registry, path, tag and digest; what is no name of an image would be a word of a shell's.
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")


@dataclass(frozen=True, kw_only=True)
class S3Object:
    """An object of which the content is known."""

    bucket: str
    key: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Application:
    """The web application on an instance.

    Args:
        kind: `external`: somebody else installs it; `bundle`: EB's source bundle; `container`.
        bundle: where a `bundle` is.
        platform: a name of `platforms.PLATFORMS`. None: detected from the bundle's files.
        image: of a `container`.
        port: where it listens, given to it as PORT. None: its platform's default.
        environment: environment properties, for the application, its build and its hooks.
        start_timeout: seconds in which it must answer after a start.
    """

    kind: str = EXTERNAL
    bundle: S3Object | None = None
    platform: str | None = None
    image: str | None = None
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    start_timeout: int = DEFAULT_START_TIMEOUT


@dataclass(frozen=True, kw_only=True)
class Instance:
    """All that the bootstrap is told: the content of `instance.json`.

    Args:
        stack: id of the stack that holds the group.
        resource: the group's logical id.
        awaited: whether CloudFormation waits for this instance's signal.
        deadline_seconds: in which the boot must end, so that a failure is told before
            CloudFormation stops waiting.
        bundle: daemon and bootstrap.
    """

    stack: str
    region: str
    resource: str
    awaited: bool
    deadline_seconds: int
    bundle: S3Object
    application: Application = Application()

    def to_document(self) -> dict[str, Any]:
        """The JSON object of `instance.json`."""
        return {"version": INSTANCE_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, text: str, source: str = INSTANCE_PATH) -> Self:
        """Read `instance.json`.

        Raises:
            InvalidInstance: with every problem found.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InvalidInstance(source, [f"not JSON: {error}"]) from error
        problems = _problems(document)
        if problems:
            raise InvalidInstance(source, problems)
        application = dict(document["application"])
        if application.get("bundle") is not None:
            application["bundle"] = S3Object(**application["bundle"])
        rest = {k: v for k, v in document.items() if k not in ("version", "application", "bundle")}
        return cls(
            **rest,
            bundle=S3Object(**document["bundle"]),
            application=Application(**application),
        )


def _problems(document: Any) -> list[str]:
    if not isinstance(document, dict):
        return [f"must be a JSON object, got {document!r:.60}"]
    if document.get("version") != INSTANCE_VERSION:
        return [f"version must be {INSTANCE_VERSION}, got {document.get('version')!r}"]
    kinds = {
        "stack": str,
        "region": str,
        "resource": str,
        "awaited": bool,
        "deadline_seconds": int,
        "bundle": dict,
        "application": dict,
    }
    problems = [
        f"{name} must be {kind.__name__}, got {document.get(name)!r:.60}"
        for name, kind in kinds.items()
        if type(document.get(name)) is not kind
    ]
    problems += _unknown(document, {*kinds, "version"}, "")
    if not problems:
        problems += _object_problems(document["bundle"], "bundle")
        problems += application_problems(document["application"])
    return problems


def application_problems(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with an application's description, at synth as on the instance."""
    known = set(Application.__dataclass_fields__)
    problems = _unknown(document, known, "application.")
    kind, port = document.get("kind"), document.get("port")
    if kind not in KINDS:
        problems.append(f"application.kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == BUNDLE:
        problems += _object_problems(document.get("bundle"), "application.bundle")
    image = document.get("image")
    if kind == CONTAINER and not (isinstance(image, str) and _IMAGE.fullmatch(image)):
        problems.append(
            "application.image must name an image, such as public.ecr.aws/nginx/nginx:1.27,"
            f" got {image!r:.80}"
        )
    platform = document.get("platform")
    if platform == DOCKER and kind != CONTAINER:
        problems.append(
            "application.platform docker is for an image; pass it by WorkerApplication"
            ".from_container"
        )
    elif platform is not None and platform not in PLATFORMS:
        allowed = ", ".join(sorted(PLATFORMS.keys() - {DOCKER}))
        problems.append(f"application.platform must be one of {allowed}, got {platform!r}")
    if port is not None and not (type(port) is int and 1 <= port <= 65_535):
        problems.append(f"application.port must be 1 to 65535, got {port!r}")
    timeout = document.get("start_timeout", DEFAULT_START_TIMEOUT)
    if not (type(timeout) is int and 1 <= timeout <= 3_600):
        problems.append(f"application.start_timeout must be 1 to 3600 seconds, got {timeout!r}")
    return problems + environment_problems(document.get("environment", {}))


def environment_problems(environment: Any) -> list[str]:
    """What is wrong with environment properties; EB's limits, and what systemd cannot carry."""
    if not isinstance(environment, Mapping):
        return [f"application.environment must be an object, got {environment!r:.60}"]
    problems = []
    size = 0
    for name, value in environment.items():
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            problems.append(f"environment property {name!r} must have a name of letters, digits, _")
        elif name == "PORT":
            problems.append("environment property PORT is set by the tier; set port instead")
        if not isinstance(value, str) or any(c in value for c in "\0\r\n"):
            problems.append(f"environment property {name} must be text of one line, got {value!r}")
        else:
            size += len(str(name).encode()) + len(value.encode()) + 1
    if size > ENVIRONMENT_LIMIT_BYTES:
        problems.append(
            f"environment properties take {size} bytes and may take {ENVIRONMENT_LIMIT_BYTES};"
            " keep large values in Parameter Store and name them instead"
        )
    return problems


def _object_problems(document: Any, what: str) -> list[str]:
    if not isinstance(document, dict):
        return [f"{what} must be an object with bucket, key and sha256, got {document!r:.60}"]
    names = ("bucket", "key", "sha256")
    problems = [
        f"{what}.{name} must be a text that is not empty, got {document.get(name)!r}"
        for name in names
        if not (isinstance(document.get(name), str) and document.get(name))
    ]
    return problems + _unknown(document, set(names), f"{what}.")


def _unknown(document: Mapping[str, Any], known: set[str], prefix: str) -> list[str]:
    return [f"unknown key {prefix}{name}" for name in sorted(document.keys() - known)]
