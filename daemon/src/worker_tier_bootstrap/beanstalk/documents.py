"""Reads a settings document, YAML, JSON or data, into a tree in which every part knows its place.

Scalars become text, as Elastic Beanstalk stores all of its values: `true`, not `True`; numbers,
dates and multi-line text as they were written; an empty value is None. A value that no text can
stand for, such as a token of the CDK, is read as `Unusable`, so that only its option is refused.
Documents come from
strangers' repositories, so the size of the tree and its depth are bounded, and an alias counts as
often as it is used: a file of 1 KB that expands to gigabytes ends with an error.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import PurePath
from typing import Final

import yaml

from worker_tier_bootstrap.beanstalk.findings import NOWHERE, Place
from worker_tier_bootstrap.beanstalk.foreign import Foreign, equals, foreign, template

#: The largest document that is read, in characters; CloudFormation's limit for a template is 1 MB.
MAX_CHARACTERS: Final = 1_048_576
#: The most parts that a document may have once its aliases are expanded.
MAX_NODES: Final = 50_000
#: The deepest nesting of lists and mappings.
MAX_DEPTH: Final = 40
_TAG: Final = "tag:yaml.org,2002:"
#: Tags of plain scalars whose text is taken as it was written.
_WRITTEN: Final = frozenset(_TAG + kind for kind in ("str", "int", "float", "timestamp", "value"))
_TRUE: Final = frozenset({"true", "yes", "on"})
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
#: A name of a resource, of an attribute or of an option.
_NAME: Final = re.compile(r"[A-Za-z0-9 :._-]{1,120}")
#: The end of a message of PyYAML that quotes the document.
_QUOTED: Final = re.compile(r"\b(alias|anchor|tag handle) ['\"].*", re.DOTALL)
#: CloudFormation's functions, and Elastic Beanstalk's own.
FUNCTIONS: Final = frozenset({"Ref", "Condition"}) | frozenset(
    f"Fn::{name}"
    for name in (
        "And", "Base64", "Cidr", "Equals", "FindInMap", "ForEach", "GetAZs", "GetAtt",
        "GetOptionSetting", "If", "ImportValue", "Join", "Length", "Not", "Or", "Select", "Split",
        "Sub", "ToJsonString", "Transform",
    )
)  # fmt: skip
#: Half of a character of UTF-16, which JSON's and YAML's escapes can name.
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_CONSTANTS: Final[Mapping[str, str | None]] = {"true": "true", "false": "false", "null": None}
#: How the CDK writes a list that is known only when the stack is deployed.
_LIST_TOKEN: Final = re.compile(r"#\{Token\[[^\]]+\.\d+\]\}")
#: How it writes such a text.
TEXT_TOKEN: Final = re.compile(r"\$\{Token\[[^\]]+\.\d+\]\}")
#: The first two bytes of a number of the CDK that is known only when the stack is deployed.
_NUMBER_TOKEN: Final = b"\xfb\xff"
#: Marks at the beginning of a file that name its encoding; the longer of two comes first.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KNOWN_LATER: Final = "it is a token of the CDK, known only when the stack is deployed"


class UnreadableDocument(ValueError):
    """Reports a text or an object that is no settings document.

    Args:
        problem: what is wrong with it.
        hint: what to do about it, or an empty text.
        place: where reading ended.
    """

    def __init__(self, problem: str, hint: str = "", place: Place = NOWHERE) -> None:
        self.problem = problem
        self.hint = hint
        self.place = place
        super().__init__(problem)


class _NotJson(UnreadableDocument):
    """Reports a text that is no JSON but may be YAML."""


class _NotYaml(UnreadableDocument):
    """Reports a text that is no YAML, or has keys that no settings document has."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """Is a text, or None for an empty value.

    Args:
        written: the text as it was written if that is not the value: YAML reads `on` as true, but a
            resource may have that name.
    """

    value: str | None
    place: Place
    written: str | None = None

    @property
    def name(self) -> str | None:
        """Return the text as a name, or None for an empty value."""
        return self.written or self.value


@dataclass(frozen=True, slots=True)
class Items:
    """Is a list of a document."""

    items: tuple[Node, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """Is a key of a mapping with its place and its value."""

    key: str
    value: Node
    place: Place


@dataclass(frozen=True, slots=True)
class Table:
    """Is a mapping in the document's order; a key may stand in it more than once."""

    entries: tuple[Entry, ...]
    place: Place

    def get(self, *keys: str) -> Node | None:
        """Return the value of the last entry with one of the keys, or None if there is none."""
        found = [entry.value for entry in self.entries if entry.key in keys]
        return found[-1] if found else None

    def keys(self) -> list[str]:
        """Return the keys, in order."""
        return [entry.key for entry in self.entries]


@dataclass(frozen=True, slots=True)
class Unusable:
    """Is a value that no text can stand for.

    Args:
        problem: what it is, such as `a text holds half of a character`.
        hint: what to do about it, or an empty text.
    """

    problem: str
    hint: str
    place: Place


Node = Scalar | Items | Table | Unusable


def read_document(document: object) -> Node:
    """Read a text, a file's bytes, or data such as `json.load` and `yaml.safe_load` return.

    Raises:
        UnreadableDocument: it is neither YAML nor JSON, too large or too deep, or holds what no
            settings document can.
    """
    try:
        if isinstance(document, (bytes, bytearray)):
            document = decoded(bytes(document))
        if isinstance(document, str):
            return _read_text(document)
        return _Data().node(document, NOWHERE, MAX_DEPTH)
    except RecursionError:
        raise _too_deep(NOWHERE) from None


def decoded(content: bytes) -> str:
    """Return the text of a file, in UTF-8 or in the encoding that its first bytes name.

    Raises:
        UnreadableDocument: it has other bytes.
    """
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content:
        raise UnreadableDocument(
            "the document has bytes of zero, as UTF-16 has, and no mark of its encoding",
            "save the file as UTF-8",
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableDocument(
            f"a byte of the document is not {encoding.upper().removesuffix('-SIG')}:"
            f" {content[error.start]:#x} in line {line}",
            "save the file as UTF-8",
            Place(line, 1),
        ) from None


def shown(node: Node) -> str:
    """Return the kind of a part of a document, for messages.

    A value may be a secret, so that the kind of a text is shown and never the text. A function is
    shown by its name without its arguments, a mapping by how many keys it has: those of
    `{hunter2}` are values.
    """
    match node:
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=text):
            return f"a text of {len(text or '')} characters"
        case Items():
            return "a list"
        case Unusable():
            return "a value that is not known here"
        case Table(entries=()):
            return "an empty mapping"
        case Table(entries=(Entry(key=key),)) if key in FUNCTIONS:
            return key
        case Table(entries=entries):
            return f"a mapping of {len(entries)} key{'s' if len(entries) > 1 else ''}"


def shown_name(name: str) -> str:
    """Return a name, such as a resource's, for messages; what cannot be one by its kind.

    What stands behind an equals sign may be a secret, and is left out.
    """
    plain = name.partition("=")[0].strip() or name
    return plain if _NAME.fullmatch(plain) else f"a text of {len(name)} characters"


def _read_text(text: str) -> Node:
    if len(text) > MAX_CHARACTERS:
        raise UnreadableDocument(
            f"the document has {len(text)} characters and may have {MAX_CHARACTERS}",
            "pass the part that holds the option settings",
        )
    text = text.removeprefix("\ufeff")
    if (other := foreign(text)) is not None:
        raise _no_settings(other)
    try:
        return _read_yaml_or_json(text)
    except (_NotJson, _NotYaml) as error:
        lines = text.splitlines()
        number = error.place.line or 1
        other = template(lines[number - 1]) if number <= len(lines) else None
        raise (error if other is None else _no_settings(other, number)) from None


def _no_settings(other: Foreign, line: int | None = None) -> UnreadableDocument:
    return UnreadableDocument(other.problem, other.hint, Place(line or other.line, 1))


def _read_yaml_or_json(text: str) -> Node:
    if text.lstrip()[:1] not in ("{", "["):
        return _read_yaml(text)
    try:
        return _Json(text).document()
    except _NotJson as error:
        try:
            return _read_yaml(text)  # YAML has lists and mappings in brackets too
        except UnreadableDocument:
            raise error from None


class _Counter:
    """Counts the parts of a document as they are made."""

    def __init__(self) -> None:
        self._count = 0

    def count(self, place: Place) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise UnreadableDocument(
                f"the document has more than {MAX_NODES} parts once its aliases are expanded",
                "write the settings without aliases",
                place,
            )

    def depth(self, left: int, place: Place) -> int:
        """Return how many levels the document may still go down."""
        if left == 0:
            raise _too_deep(place)
        return left - 1


def _too_deep(place: Place) -> UnreadableDocument:
    return UnreadableDocument(
        f"lists and mappings are nested more than {MAX_DEPTH} deep, or contain themselves",
        "write the settings as namespaces with options",
        place,
    )


class _Data(_Counter):
    """Reads data."""

    def node(self, value: object, place: Place, depth: int) -> Node:
        self.count(place)
        if isinstance(value, Mapping):
            depth = self.depth(depth, place)
            entries = []
            for name, inner in value.items():
                key = _key(name, place)
                entries.append(Entry(key, self.node(inner, place.entry(key), depth), place))
            return Table(tuple(entries), place)
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray)):
            depth = self.depth(depth, place)
            items = (self.node(v, place.item(n), depth) for n, v in enumerate(value))
            return Items(tuple(items), place)
        try:
            return Scalar(_plain(value, place), place)
        except UnreadableDocument as error:
            return Unusable(error.problem, error.hint, place)


def _key(name: object, place: Place) -> str:
    key = _plain(name, place)
    if key is None:
        raise UnreadableDocument("a key of a mapping is empty", "name the option", place)
    return key


def _plain(value: object, place: Place) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return _text(str(value), place)
        case int() | float():
            return _digits(value, place)
        case _ if _is_token(value):
            raise UnreadableDocument(_KNOWN_LATER, "pass it as a text, as in str(...)", place)
        case PurePath():
            raise UnreadableDocument(
                "a value is the path of a file", "pass one pathlib.Path alone", place
            )
        case datetime() | date():
            return value.isoformat().replace("+00:00", "Z")
        case _:
            raise UnreadableDocument(
                f"a value is of the type {type(value).__name__}",
                "pass texts, numbers, lists and mappings",
                place,
            )


def _text(text: str, place: Place) -> str:
    """Return a text that the CDK can hold.

    Raises:
        UnreadableDocument: it holds half of a character, which no encoding can write, or stands for
            a list of the CDK, which is no text.
    """
    if _SURROGATE.search(text):
        raise UnreadableDocument(
            "a text holds half of a character, a surrogate", "write the whole character", place
        )
    if _LIST_TOKEN.search(text):
        raise UnreadableDocument(
            "a text is a list of the CDK that is not known yet",
            "write its items, or join them, as in Fn.join(...)",
            place,
        )
    return text


def _digits(number: float, place: Place) -> str:
    if isinstance(number, float) and struct.pack(">d", number).startswith(_NUMBER_TOKEN):
        raise UnreadableDocument(_KNOWN_LATER, "write a literal number", place)
    try:
        return str(number)
    except ValueError:  # Python's limit for the digits of an integer
        raise UnreadableDocument(
            "a number has too many digits", "write a number that an option can have", place
        ) from None


def _is_token(value: object) -> bool:
    """Return whether a value is an object of the CDK that stands for one not known yet."""
    kind = type(value)  # an attribute of the object itself may raise what is no AttributeError
    return hasattr(kind, "resolve") and hasattr(kind, "creation_stack")


class _Json(_Counter):
    """Reads JSON with the place of each part, which `json` does not report."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._at = 0
        self._line = 1
        self._line_start = 0
        self._line_known_to = 0

    def document(self) -> Node:
        node = self._value("", MAX_DEPTH)
        self._skip_blanks()
        if self._at < len(self._text):
            raise self._wrong("there is more after the end")
        return node

    def _value(self, path: str, depth: int) -> Node:
        self._skip_blanks()
        place = self._place(path)
        self.count(place)
        match self._text[self._at : self._at + 1]:
            case "{":
                return self._table(place, self.depth(depth, place))
            case "[":
                return self._items(place, self.depth(depth, place))
            case '"':
                return _usable(self._string(), place)
            case _:
                return Scalar(self._plain(), place)

    def _table(self, place: Place, depth: int) -> Table:
        entries = []
        for _ in self._separated("}"):
            key_place = self._place(place.path)
            if self._text[self._at : self._at + 1] != '"':
                raise self._wrong("a key in double quotes is missing")
            key = _text(self._string(), key_place)
            self._skip_blanks()
            self._expect(":")
            value = self._value(place.entry(key).path, depth)
            entries.append(Entry(key, value, key_place))
        return Table(tuple(entries), place)

    def _items(self, place: Place, depth: int) -> Items:
        items: list[Node] = []
        for _ in self._separated("]"):
            items.append(self._value(f"{place.path}[{len(items)}]", depth))
        return Items(tuple(items), place)

    def _separated(self, end: str) -> Iterable[None]:
        """Yield once for each part up to `end`, with the position at its start."""
        self._at += 1
        self._skip_blanks()
        if self._text.startswith(end, self._at):
            self._at += 1
            return
        while True:
            self._skip_blanks()
            yield
            self._skip_blanks()
            if self._text.startswith(end, self._at):
                self._at += 1
                return
            self._expect(",")

    def _string(self) -> str:
        try:
            text, self._at = scanstring(self._text, self._at + 1, False)
        except ValueError as error:
            raise self._wrong(str(getattr(error, "msg", error)).lower()) from None
        return str(text)

    def _plain(self) -> str | None:
        for name, value in _CONSTANTS.items():
            if self._text.startswith(name, self._at):
                self._at += len(name)
                return value
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            raise self._wrong("a value is missing or is not JSON")
        self._at = match.end()
        return match[0]

    def _expect(self, letter: str) -> None:
        if not self._text.startswith(letter, self._at):
            raise self._wrong(f"a {letter!r} is missing")
        self._at += 1

    def _skip_blanks(self) -> None:
        match = _BLANKS.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _place(self, path: str) -> Place:
        lines = self._text.count("\n", self._line_known_to, self._at)
        if lines:
            self._line += lines
            self._line_start = self._text.rfind("\n", 0, self._at) + 1
        self._line_known_to = max(self._line_known_to, self._at)
        return Place(self._line, self._at - self._line_start + 1, path)

    def _wrong(self, problem: str) -> _NotJson:
        comment = self._text.startswith(("//", "/*", "#"), self._at)
        hint = "remove the comment, which JSON does not have" if comment else "correct it"
        return _NotJson(f"not JSON: {problem}", hint, self._place(""))


def _read_yaml(text: str) -> Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _not_yaml(error, text) from None
    if root is None:
        return Scalar(None, Place(1, 1))
    return _Yaml().node(root, "", MAX_DEPTH)


class _Yaml(_Counter):
    """Turns PyYAML's nodes, in which aliases are shared, into the tree, in which they are not."""

    def node(self, node: yaml.Node, path: str, depth: int) -> Node:
        place = Place(node.start_mark.line + 1, node.start_mark.column + 1, path)
        self.count(place)
        if node.tag.startswith("!"):
            return self._function(node, place, depth)
        return self._untagged(node, place, depth)

    def _untagged(self, node: yaml.Node, place: Place, depth: int) -> Node:
        match node:
            case yaml.CollectionNode() if node.tag not in (_TAG + "map", _TAG + "seq"):
                kind = node.tag.removeprefix(_TAG)
                return Unusable(f"a value of YAML's type {kind}", "remove its tag", place)
            case yaml.MappingNode():
                return self._table(node, place, self.depth(depth, place))
            case yaml.SequenceNode():
                depth = self.depth(depth, place)
                items = (self.node(n, place.item(i).path, depth) for i, n in enumerate(node.value))
                return Items(tuple(items), place)
            case _:
                written = node.value if node.tag == _TAG + "bool" else None
                try:
                    return Scalar(_scalar(node, place), place, written)
                except UnreadableDocument as error:
                    return Unusable(error.problem, error.hint, place)

    def _function(self, node: yaml.Node, place: Place, depth: int) -> Node:
        """Return CloudFormation's short form, such as `!Ref Name`, as `{"Ref": "Name"}`."""
        name = node.tag.removeprefix("!")
        key = name if name in ("Ref", "Condition") else f"Fn::{name}"
        if key not in FUNCTIONS:
            return Unusable(
                "a tag is no function of CloudFormation",
                "write a value that begins with ! in quotes",
                place,
            )
        bare = type(node)(_bare_tag(node), node.value, node.start_mark, node.end_mark)
        value = self._untagged(bare, place.entry(key), self.depth(depth, place))
        if name == "GetAtt" and isinstance(value, Scalar) and value.value is not None:
            parts = value.value.split(".", 1)
            value = Items(tuple(Scalar(part, place) for part in parts), place)
        return Table((Entry(key, value, place),), place)

    def _table(self, node: yaml.MappingNode, place: Place, depth: int) -> Table:
        entries: list[Entry] = []
        merged: list[Entry] = []
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            at = Place(mark.line + 1, mark.column + 1, place.path)
            if key_node.tag == _TAG + "merge":
                merged += self._merged(value_node, at, depth)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise _NotYaml("a key is a list or a mapping", "write a text", at)
            if key_node.tag.startswith("!"):
                raise UnreadableDocument(
                    "a key has a tag", "write a key that begins with ! in quotes", at
                )
            key = _text(str(key_node.value), at)
            if not key:
                raise UnreadableDocument("a key of a mapping is empty", "name the option", at)
            value = self.node(value_node, place.entry(key).path, depth)
            entries.append(Entry(key, value, at))
        own = {entry.key for entry in entries}
        return Table((*(e for e in merged if e.key not in own), *entries), place)

    def _merged(self, node: yaml.Node, place: Place, depth: int) -> list[Entry]:
        """Return the entries that `<<` merges; of several sources the first with a key wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        entries: dict[str, Entry] = {}
        for source in sources:
            self.count(place)
            if not isinstance(source, yaml.MappingNode):
                raise UnreadableDocument("`<<` must name a mapping", "correct it", place)
            for entry in self._table(source, place, self.depth(depth, place)).entries:
                entries.setdefault(entry.key, entry)
        return list(entries.values())


def _bare_tag(node: yaml.Node) -> str:
    match node:
        case yaml.MappingNode():
            return _TAG + "map"
        case yaml.SequenceNode():
            return _TAG + "seq"
        case _:
            return _TAG + "str"


def _scalar(node: yaml.Node, place: Place) -> str | None:
    if node.tag == _TAG + "null":
        return None
    if node.tag == _TAG + "bool":
        return "true" if node.value.lower() in _TRUE else "false"
    if node.tag in _WRITTEN:
        return _text(str(node.value), place)
    kind = node.tag.removeprefix(_TAG)
    raise UnreadableDocument(f"a value of YAML's type {kind}", "write a text in quotes", place)


def _usable(text: str, place: Place) -> Node:
    """Return a text as a scalar, or what is wrong with it."""
    try:
        return Scalar(_text(text, place), place)
    except UnreadableDocument as error:
        return Unusable(error.problem, error.hint, place)


def _not_yaml(error: yaml.YAMLError, text: str) -> UnreadableDocument:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    position = getattr(error, "position", 0)  # of a character that YAML does not allow
    place = Place(mark.line + 1, mark.column + 1) if mark else _place_of(position, text)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    lines = text.splitlines()
    line = lines[(place.line or 1) - 1] if lines and (place.line or 1) <= len(lines) else ""
    plain = _QUOTED.sub(r"\1", problem)
    return _NotYaml(
        f"not YAML: {plain}", _yaml_hint(problem, line, equals(lines, place.line or 1)), place
    )


def _place_of(position: int, text: str) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, position - before.rfind("\n"))


def _yaml_hint(problem: str, line: str, of_equals: str) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with blanks, not tabs"
    if "'\\t'" in problem:
        return "write blanks in place of tabs"
    if "'`'" in problem:
        return 'write a value in backticks in single quotes: \'`{"Ref": "AWS::Region"}`\''
    if "but found another document" in problem:
        return "pass one document; remove the second `---`"
    if of_equals:
        return of_equals
    if "expected <block end>" in problem or "mapping values are not allowed" in problem:
        return "correct the indentation: keys of one mapping begin in one column"
    return "correct it"
