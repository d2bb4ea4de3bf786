"""Reads the configuration files of `.ebextensions` into typed values, in Elastic Beanstalk's order.

A file is YAML or JSON, its name ends with `.config`, and files are read in the order of their
names. Keys take effect as in `KEYS`, whatever their order in a file.

Sources: EB developer guide, "Advanced environment customization with configuration files" and
"Customizing software on Linux servers"; CloudFormation user guide, `AWS::CloudFormation::Init`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from worker_tier_bootstrap.assessment.contents import Contents
from worker_tier_bootstrap.assessment.report import refusal, warning
from worker_tier_bootstrap.beanstalk.documents import (
    FUNCTIONS,
    Entry,
    Items,
    Node,
    Scalar,
    Table,
    UnreadableDocument,
    Unusable,
    read_document,
    shown,
)
from worker_tier_bootstrap.beanstalk.findings import Finding, Place

T = TypeVar("T")

DIRECTORY: Final = ".ebextensions"
SUFFIX: Final = ".config"
#: Keys that customize an instance, in the order in which Elastic Beanstalk carries them out.
KEYS: Final = (
    "packages",
    "groups",
    "users",
    "sources",
    "files",
    "commands",
    "services",
    "container_commands",
)
#: Parts of a CloudFormation template that a file may hold.
TEMPLATE_KEYS: Final = ("Resources", "Outputs", "Parameters", "Mappings", "Conditions")
_OPTION_SETTINGS: Final = "option_settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Is a package to install.

    Args:
        manager: yum, apt, rpm, rubygems, python or another one.
        versions: versions or URLs; empty for the newest.
    """

    manager: str
    name: str
    versions: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Is a group of the system; `gid` is empty if the system chooses its number."""

    name: str
    gid: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Is a user of the system; `uid` and `home` are empty if the system chooses them."""

    name: str
    uid: str
    groups: tuple[str, ...]
    home: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Is an archive that is fetched from a URL and unpacked into a directory."""

    directory: str
    url: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredFile:
    """Is a file to write.

    Args:
        content: its text, or None if it is fetched.
        source: the URL that it is fetched from, or an empty text.
        encoding: `base64`, or an empty text for plain content.
        authentication: name of the credentials for the URL, or an empty text.
    """

    path: str
    mode: str
    owner: str
    group: str
    content: str | None
    source: str
    encoding: str
    authentication: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Is a command of `commands` or `container_commands`.

    Args:
        command: a line for the shell, or the arguments of a program.
        test: a command that must succeed, or else this one is left out; empty without one.
        cwd: its directory, or an empty text.
        environment: variables for it.
        ignore_errors: whether the deployment goes on if it fails.
        leader_only: whether one instance of a deployment runs it.
    """

    name: str
    command: str | tuple[str, ...]
    test: str
    cwd: str
    environment: Mapping[str, str]
    ignore_errors: bool
    leader_only: bool
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Is a service of the system.

    Args:
        enabled: whether it starts with the system, or None to leave that as it is.
        running: whether it runs after the deployment, or None to leave that as it is.
        restarted_by: what restarts it when it changes: files, sources, packages and commands.
    """

    name: str
    enabled: bool | None
    running: bool | None
    restarted_by: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Is a part of a CloudFormation template: a resource with its type, or another one.

    Args:
        key: `Resources`, `Outputs`, `Parameters`, `Mappings` or `Conditions`.
        type: type of a resource, or an empty text.
    """

    key: str
    name: str
    type: str
    place: Place


@dataclass(kw_only=True)
class ConfigFile:
    """Holds what one file asks for.

    Args:
        path: its path in the bundle.
        option_settings: the value of that key, or None.
        mappings: the template's `Mappings`, which option settings may read, or None.
        commands: sorted by their names, which is the order in which they run.
        container_commands: sorted by their names.
        findings: what is wrong with the file.
    """

    path: str
    option_settings: Node | None = None
    mappings: Table | None = None
    packages: list[Package] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    users: list[User] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    files: list[ConfiguredFile] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    container_commands: list[Command] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def config_files(contents: Contents) -> list[ConfigFile]:
    """Read the configuration files of a bundle, in the order of their names."""
    return [
        read_config_file(path, contents.read_bytes(path) or b"")
        for path in contents.under(DIRECTORY)
        if is_config_file(path)
    ]


def is_config_file(path: str) -> bool:
    """Return whether Elastic Beanstalk reads a file of the bundle as a configuration file."""
    directory, _, name = path.rpartition("/")
    return directory == DIRECTORY and name.endswith(SUFFIX)


def read_config_file(path: str, content: str | bytes) -> ConfigFile:
    """Read one file. What is wrong with it becomes a finding."""
    file = ConfigFile(path=path)
    try:
        root = read_document(content)
    except UnreadableDocument as error:
        place = replace(error.place, file=path)
        file.findings.append(refusal(error.problem, error.hint or "correct it", place=place))
        return file
    match root:
        case Scalar(value=None):
            file.findings.append(warning(f"{path} is empty", "remove it", path))
        case Table():
            _Reader(file).read(root)
        case Unusable():
            place = replace(root.place, file=path)
            file.findings.append(refusal(root.problem, root.hint or "correct it", place=place))
        case _:
            hint = "write keys such as option_settings and container_commands"
            place = replace(root.place, file=path)
            message = f"a configuration file must be a mapping, got {shown(root)}"
            file.findings.append(refusal(message, hint, place=place))
    return file


class _Wrong(Exception):
    """A part of a file that is not of its form."""

    def __init__(self, what: str, allowed: str, node: Node) -> None:
        self.what = what
        self.allowed = allowed
        self.node = node
        super().__init__(what)


class _Reader:
    """Reads the keys of one file."""

    def __init__(self, file: ConfigFile) -> None:
        self._file = file

    def read(self, root: Table) -> None:
        for entry in root.entries:
            if entry.key == _OPTION_SETTINGS:
                self._file.option_settings = entry.value
            elif entry.key in TEMPLATE_KEYS:
                self._template(entry)
            elif entry.key in KEYS:
                self._customization(entry)
            else:
                self._unknown(entry)

    def _unknown(self, entry: Entry) -> None:
        known = ", ".join((_OPTION_SETTINGS, *KEYS, *TEMPLATE_KEYS))
        self._file.findings.append(
            refusal(
                f"`{entry.key[:60]}` is no key of a configuration file, for which Elastic Beanstalk"
                " leaves the whole file out",
                f"correct it to one of {known}, or remove it",
                place=self._place(entry.place),
            )
        )

    def _place(self, place: Place) -> Place:
        return replace(place, file=self._file.path)

    def _customization(self, entry: Entry) -> None:
        file = self._file
        readers: Mapping[str, Callable[[Node], None]] = {
            "packages": lambda node: self._two_levels(node, file.packages, self._package),
            "groups": lambda node: self._each(node, file.groups, self._group),
            "users": lambda node: self._each(node, file.users, self._user),
            "sources": lambda node: self._each(node, file.sources, self._source),
            "files": lambda node: self._each(node, file.files, self._configured_file),
            "commands": lambda node: self._commands(node, file.commands),
            "services": lambda node: self._two_levels(node, file.services, self._service),
            "container_commands": lambda node: self._commands(node, file.container_commands),
        }
        try:
            readers[entry.key](entry.value)
        except _Wrong as error:
            self._report(entry.key, error)

    def _report(self, key: str, error: _Wrong) -> None:
        node = error.node
        message = f"{error.what} of `{key}` must be {error.allowed}, got {shown(node)}"
        hint = "correct it"
        if isinstance(node, Unusable):
            message = f"{error.what} of `{key}` cannot be read: {node.problem}"
            hint = node.hint or hint
        self._file.findings.append(refusal(message, hint, place=self._place(node.place)))

    def _each(self, node: Node, found: list[T], read: Callable[[Entry], T]) -> None:
        for entry in _entries("the value", node):
            try:
                found.append(read(entry))
            except _Wrong as error:
                self._report(entry.key, error)

    def _two_levels(self, node: Node, found: list[T], read: Callable[[str, Entry], T]) -> None:
        for manager in _entries("the value", node):
            self._each(manager.value, found, lambda entry, m=manager.key: read(m, entry))  # type: ignore[misc]

    def _commands(self, node: Node, found: list[Command]) -> None:
        self._each(node, found, self._command)
        found.sort(key=lambda command: command.name)

    # ---- one entry of each key

    def _package(self, manager: str, entry: Entry) -> Package:
        return Package(
            manager=manager,
            name=entry.key,
            versions=_texts("a version", entry.value),
            place=self._place(entry.place),
        )

    def _group(self, entry: Entry) -> Group:
        gid = _text_of(entry.value, "gid")
        return Group(name=entry.key, gid=gid, place=self._place(entry.place))

    def _user(self, entry: Entry) -> User:
        groups = entry.value.get("groups") if isinstance(entry.value, Table) else None
        return User(
            name=entry.key,
            uid=_text_of(entry.value, "uid"),
            groups=() if groups is None else _texts("a group", groups),
            home=_text_of(entry.value, "homeDir"),
            place=self._place(entry.place),
        )

    def _source(self, entry: Entry) -> Source:
        url = _text("the URL", entry.value)
        return Source(directory=entry.key, url=url, place=self._place(entry.place))

    def _configured_file(self, entry: Entry) -> ConfiguredFile:
        value = entry.value
        if not isinstance(value, Table):
            raise _Wrong("the file", "a mapping with content or source", value)
        content = value.get("content")
        return ConfiguredFile(
            path=entry.key,
            mode=_text_of(value, "mode"),
            owner=_text_of(value, "owner") or "root",
            group=_text_of(value, "group") or "root",
            content=None if content is None else _optional("content", content),
            source=_text_of(value, "source"),
            encoding=_text_of(value, "encoding"),
            authentication=_text_of(value, "authentication"),
            place=self._place(entry.place),
        )

    def _command(self, entry: Entry) -> Command:
        value = entry.value
        command = value.get("command") if isinstance(value, Table) else None
        if command is None:
            raise _Wrong("the entry", "a mapping with a command", value)
        is_list = isinstance(command, Items)
        return Command(
            name=entry.key,
            command=_texts("an argument", command) if is_list else _text("the command", command),
            test=_text_of(value, "test"),
            cwd=_text_of(value, "cwd"),
            environment=dict(_variables(value)),
            ignore_errors=_flag(value, "ignoreErrors") or False,
            leader_only=_flag(value, "leader_only") or False,
            place=self._place(entry.place),
        )

    def _service(self, manager: str, entry: Entry) -> Service:
        return Service(
            name=entry.key,
            enabled=_flag(entry.value, "enabled"),
            running=_flag(entry.value, "ensureRunning"),
            restarted_by=tuple(_triggers(entry.value)),
            place=self._place(entry.place),
        )

    def _template(self, entry: Entry) -> None:
        if entry.key == "Mappings" and isinstance(entry.value, Table):
            self._file.mappings = entry.value
        for part in entry.value.entries if isinstance(entry.value, Table) else ():
            self._file.resources.append(
                Resource(
                    key=entry.key,
                    name=part.key,
                    type=_text_of(part.value, "Type"),
                    place=self._place(part.place),
                )
            )


# ---- values


def _entries(what: str, node: Node) -> tuple[Entry, ...]:
    """Return the entries of a mapping; nothing at all has none, `[]` neither."""
    match node:
        case Table(entries=entries):
            return entries
        case Scalar(value=None) | Items(items=()):
            return ()
        case _:
            raise _Wrong(what, "a mapping of names", node)


def _text(what: str, node: Node) -> str:
    """Return a text; what CloudFormation fills in when a stack is deployed is an empty one."""
    if isinstance(node, Scalar) and node.value is not None:
        return node.value
    if isinstance(node, Table) and len(node.entries) == 1 and node.entries[0].key in FUNCTIONS:
        return ""
    raise _Wrong(what, "a text", node)


def _text_of(node: Node, key: str) -> str:
    """Return the text under a key, or an empty text if there is none."""
    value = node.get(key) if isinstance(node, Table) else None
    return "" if value is None else _optional(key, value)


def _optional(what: str, node: Node) -> str:
    """Return a text, empty for nothing."""
    return "" if isinstance(node, Scalar) and node.value is None else _text(what, node)


def _texts(what: str, node: Node) -> tuple[str, ...]:
    """Return the texts of a list, or one text as a list."""
    match node:
        case Items(items=items):
            return tuple(_text(what, item) for item in items)
        case Scalar(value=None):
            return ()
        case _:
            return (_text(what, node),)


def _flag(node: Node, key: str) -> bool | None:
    """Return whether a key is set to true, or None if it is not set."""
    text = _text_of(node, key).lower()
    if text in ("", "true", "false"):
        return None if not text else text == "true"
    assert isinstance(node, Table)
    raise _Wrong(key, "true or false", node.get(key) or node)


def _variables(node: Node) -> Iterator[tuple[str, str]]:
    environment = node.get("env") if isinstance(node, Table) else None
    if environment is not None:
        for entry in _entries("env", environment):
            yield entry.key, _optional(f"env.{entry.key}", entry.value)


def _triggers(node: Node) -> Iterator[str]:
    """Yield what restarts a service; packages are listed by their manager."""
    for key in ("files", "sources", "commands", "packages"):
        value = node.get(key) if isinstance(node, Table) else None
        if isinstance(value, Table):
            for entry in value.entries:
                yield from _texts("a package", entry.value)
        elif value is not None:
            yield from _texts(f"an entry of {key}", value)
