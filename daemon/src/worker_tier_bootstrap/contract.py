"""Defines the file `instance.json`, which the constructs hand to the bootstrap in user data.

The bootstrap reads it, so it owns it. The constructs import what describes (this module,
`platforms`, `systems`, `procfile`) and nothing that acts. What the daemon reads too, such as
`tier.json`, is in `sqsd.contract`. Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from worker_tier_bootstrap import paths
from worker_tier_bootstrap.errors import InvalidInstance
from worker_tier_bootstrap.platforms import PLATFORMS, Platform

INSTANCE_VERSION: Final = 1

# Kinds of application.
EXTERNAL: Final = "external"
BUNDLE: Final = "bundle"
CONTAINER: Final = "container"
KINDS: Final = (EXTERNAL, BUNDLE, CONTAINER)

#: EB's limit for all environment properties together, names and values, in bytes.
ENVIRONMENT_LIMIT_BYTES: Final = 4_096
#: Default of `Application.start_timeout`, in seconds.
DEFAULT_START_TIMEOUT: Final = 120
#: What to do about a secret in an environment property, which user data would show.
ARN_HINT: Final = (
    "write the ARN as its value, let the application read the secret when it starts, and grant it"
    " to the tier, as in secret.grant_read(tier)"
)
#: Beginning of a text in whose place CloudFormation writes a secret.
DYNAMIC_REFERENCE: Final = "{{resolve:"
#: Name of an environment property.
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What a value of each type is called where it must not be shown.
_KINDS_OF_VALUES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}
#: Registry, path, tag and digest of an image. Strict, because the name is passed to a shell.
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}")


@dataclass(frozen=True, kw_only=True)
class S3Object:
    """Names an object in S3 whose content is known by its SHA-256."""

    bucket: str
    key: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Application:
    """Describes the web application on an instance.

    Args:
        kind: `external` if the machine image or the user installs it, `bundle` for EB's source
            bundle, `container` for an image.
        bundle: the source bundle of kind `bundle`.
        platform: a name of `platforms.Platform`, or None to detect it from the bundle's files.
        image: name of the image of kind `container`.
        port: port that the application listens on, which it gets as PORT, or None for its
            platform's default.
        environment: environment properties for the application, its build and its hooks.
        start_timeout: time (s) in which the application must answer after a start, 1 to 3600.
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
    """Holds the content of `instance.json`: everything that the bootstrap knows before it starts.

    Args:
        stack: id of the stack that holds the Auto Scaling group.
        region: region of the stack.
        resource: the group's logical id.
        awaited: whether CloudFormation waits for this instance's signal.
        deadline_seconds: time (s) in which the boot must end, so that CloudFormation still waits
            when a failure is signalled.
        bundle: the daemon's bundle, which holds the bootstrap too.
        application: the web application on the instance.
        application_aws_access: whether the application reaches the instance metadata service, and
            by it the role's credentials.
    """

    stack: str
    region: str
    resource: str
    awaited: bool
    deadline_seconds: int
    bundle: S3Object
    application: Application = Application()
    application_aws_access: bool = True

    def to_document(self) -> dict[str, Any]:
        """Return the JSON object of `instance.json`."""
        return {"version": INSTANCE_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, text: str, source: str = paths.INSTANCE) -> Self:
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
        return [f"must be a JSON object, got {kind_of(document)}"]
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
        "application_aws_access": bool,
    }
    problems = [
        f"{name} must be {kind.__name__}, got {kind_of(document.get(name))}"
        for name, kind in kinds.items()
        if type(document.get(name)) is not kind
    ]
    problems += _unknown(document, {*kinds, "version"}, "")
    if not problems:
        problems += _object_problems(document["bundle"], "bundle")
        problems += application_problems(document["application"])
    return problems


def application_problems(document: Mapping[str, Any]) -> list[str]:
    """Return every problem of an application's description; used at synth and on the instance."""
    kind, port = document.get("kind"), document.get("port")
    problems = _unknown(document, set(Application.__dataclass_fields__), "application.")
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
    problems += _platform_problems(document.get("platform"), kind)
    if port is not None and not (type(port) is int and 1 <= port <= 65_535):
        problems.append(f"application.port must be 1 to 65535, got {port!r}")
    timeout = document.get("start_timeout", DEFAULT_START_TIMEOUT)
    if not (type(timeout) is int and 1 <= timeout <= 3_600):
        problems.append(f"application.start_timeout must be 1 to 3600 seconds, got {timeout!r}")
    return problems + environment_problems(document.get("environment", {}))


def _platform_problems(platform: Any, kind: Any) -> list[str]:
    if platform == Platform.DOCKER and kind != CONTAINER:
        return [
            "application.platform docker is for an image; pass it by WorkerApplication"
            ".from_container"
        ]
    if platform is not None and platform not in PLATFORMS:
        allowed = ", ".join(sorted(PLATFORMS.keys() - {Platform.DOCKER}))
        return [f"application.platform must be one of {allowed}, got {platform!r}"]
    return []


def reference_problems(environment: Mapping[str, object]) -> list[str]:
    """Return a problem for each property in whose place CloudFormation would write a secret.

    That is for synth. On an instance nothing resolves such a text, and a value may hold it.
    """
    return [
        f"environment property {_shown_name(name)} holds a dynamic reference,"
        f" {{{{resolve:...}}}}, which would put a secret into the template; {ARN_HINT}"
        for name, value in environment.items()
        if isinstance(value, str) and DYNAMIC_REFERENCE in value
    ]


def environment_problems(environment: Any) -> list[str]:
    """Return every problem of environment properties: EB's limits, and systemd's."""
    if not isinstance(environment, Mapping):
        return [f"application.environment must be an object, got {kind_of(environment)}"]
    problems = []
    size = 0
    for name, value in environment.items():
        shown = name
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            shown = _without_value(name)
            problems.append(f"environment property {shown} must have a name of letters, digits, _")
        elif name == "PORT":
            problems.append("environment property PORT is set by the tier; set port instead")
        if not isinstance(value, str) or any(c in value for c in "\0\r\n"):
            kind = kind_of(value)
            problems.append(f"environment property {shown} must be text of one line, got {kind}")
        elif _has_surrogate(value):
            kind = kind_of(value)
            problems.append(
                f"environment property {shown} must be text that UTF-8 can have, got {kind}"
                " with half a character"
            )
        else:
            size += len(str(name).encode()) + len(value.encode()) + 1
    if size > ENVIRONMENT_LIMIT_BYTES:
        problems.append(
            f"environment properties take {size} bytes and may take {ENVIRONMENT_LIMIT_BYTES};"
            " put large values into Parameter Store and name them instead"
        )
    return problems


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def kind_of(value: Any) -> str:
    """Return what a value is and how long, and never the value: it may be a secret."""
    if not isinstance(value, str):
        return _KINDS_OF_VALUES.get(type(value), f"a {type(value).__name__}")
    lines = len(value.splitlines())
    more = f" in {lines} lines" if lines > 1 else ""
    return f"a text of {len(value)} characters{more}{' with a NUL' if chr(0) in value else ''}"


def _shown_name(name: Any) -> str:
    is_name = isinstance(name, str) and _NAME.fullmatch(name) is not None
    return str(name) if is_name else _without_value(name)


def _without_value(name: Any) -> str:
    """Return the name of a property as it may be shown: `NAME=value` is a mistake for one."""
    if not isinstance(name, str):
        return kind_of(name)
    before, equals, _ = name.partition("=")
    return repr(before + ("=..." if equals else ""))


def _object_problems(document: Any, what: str) -> list[str]:
    if not isinstance(document, dict):
        return [f"{what} must be an object with bucket, key and sha256, got {document!r:.60}"]
    names = ("bucket", "key", "sha256")
    problems = [
        f"{what}.{name} must be a non-empty string, got {document.get(name)!r}"
        for name in names
        if not (isinstance(document.get(name), str) and document.get(name))
    ]
    return problems + _unknown(document, set(names), f"{what}.")


def _unknown(document: Mapping[str, Any], known: set[str], prefix: str) -> list[str]:
    return [f"unknown key {prefix}{name}" for name in sorted(document.keys() - known)]
