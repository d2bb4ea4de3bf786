"""Resolves what CloudFormation would fill in: in backticks, as data, or in a template's short form.

Known at synth are the deployment itself (`AWS::Region`, the stack) and the worker environment's own
queues, which the tier makes anew. Everything else is refused by its name. Text is joined, split and
substituted where all parts are known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from worker_tier_bootstrap.beanstalk.documents import (
    FUNCTIONS,
    Items,
    Node,
    Scalar,
    Table,
    UnreadableDocument,
    Unusable,
    read_document,
    shown,
    shown_name,
)
from worker_tier_bootstrap.beanstalk.findings import Place
from worker_tier_bootstrap.contract import DYNAMIC_REFERENCE


class Reference(StrEnum):
    """Names a value that only the deployment knows and that the tier can refer to."""

    ACCOUNT_ID = "AWS::AccountId"
    PARTITION = "AWS::Partition"
    REGION = "AWS::Region"
    STACK_ID = "AWS::StackId"
    STACK_NAME = "AWS::StackName"
    URL_SUFFIX = "AWS::URLSuffix"
    QUEUE_URL = "AWSEBWorkerQueue"
    QUEUE_ARN = "AWSEBWorkerQueue.Arn"
    QUEUE_NAME = "AWSEBWorkerQueue.QueueName"
    DEAD_LETTER_QUEUE_URL = "AWSEBWorkerDeadLetterQueue"
    DEAD_LETTER_QUEUE_ARN = "AWSEBWorkerDeadLetterQueue.Arn"
    DEAD_LETTER_QUEUE_NAME = "AWSEBWorkerDeadLetterQueue.QueueName"


@dataclass(frozen=True, slots=True)
class Text:
    """Is a value made of literal text and references, in order."""

    parts: tuple[str | Reference, ...]

    @property
    def literal(self) -> str | None:
        """Return the text, or None if it holds a reference."""
        if any(isinstance(part, Reference) for part in self.parts):
            return None
        return "".join(self.parts)

    def filled(self, fill: Callable[[Reference], str]) -> str:
        """Return the text with each reference replaced by what `fill` returns for it."""
        return "".join(fill(p) if isinstance(p, Reference) else p for p in self.parts)

    def __str__(self) -> str:
        return self.filled(lambda reference: "${" + reference + "}")


class Unresolved(ValueError):
    """Reports a value that is not known at synth.

    Args:
        reason: names the function and why it cannot be resolved.
        place: where the function stands.
        hint: what to do about it, or an empty text for the general hint.
    """

    def __init__(self, reason: str, place: Place, hint: str = "") -> None:
        self.reason = reason
        self.place = place
        self.hint = hint
        super().__init__(reason)


class DynamicReference(Unresolved):
    """Reports a value in which CloudFormation would write a secret."""


#: Namespace, option -> the text that the same document gives it, or None if it does not set it.
Lookup = Callable[[str, str], Text | None]
#: Beanstalk's namespace for `Fn::GetOptionSetting` without one.
_CUSTOM_OPTIONS: Final = "aws:elasticbeanstalk:customoption"
_NO_VALUE: Final = "AWS::NoValue"
_EMPTY: Final = Text(())
_BACKTICKS: Final = re.compile(r"`([^`]*)`")
_VARIABLE: Final = re.compile(r"\$\{(!?)([^${}]*)\}")
_INDEX: Final = re.compile(r"[0-9]{1,9}")
_FUNCTION: Final = re.compile(r"Fn::[A-Z][A-Za-z]{1,30}")
#: Functions whose result depends on what only a deployment has.
_UNKNOWN: Final = {
    "Condition": "a condition of the template is decided when it is deployed",
    "Fn::Base64": "encoded values are not read here",
    "Fn::Cidr": "an address range is cut when the template is deployed",
    "Fn::GetAZs": "zones are read when the template is deployed",
    "Fn::If": "a condition of the template is decided when it is deployed",
    "Fn::ImportValue": "another stack's output is read when the template is deployed",
    "Fn::Transform": "a macro runs when the template is deployed",
    "Fn::ToJsonString": "it is made when the template is deployed",
    "Fn::Length": "it is counted when the template is deployed",
    "Fn::ForEach": "it is expanded when the template is deployed",
}


def why_unknown(function: str) -> str:
    """Return why a function is not resolved here, as the end of a message."""
    return _UNKNOWN.get(function, "it is filled in when the template is deployed")


@dataclass(frozen=True, kw_only=True)
class Resolver:
    """Turns the values of one document into text.

    Args:
        mappings: the template's `Mappings`, or None if the document has none.
        lookup: for `Fn::GetOptionSetting`.
        parameters: the template's `Parameters`, or None if the document has none.
        defaults: parameters whose defaults were taken, with the place where one was first.
    """

    mappings: Table | None = None
    lookup: Lookup = field(default=lambda namespace, option: None)
    parameters: Table | None = None
    defaults: dict[str, Place] = field(default_factory=dict)

    def text(self, node: Node) -> Text | None:
        """Return the text of a value, or None if it is empty or `AWS::NoValue`.

        Raises:
            Unresolved: it holds a function that cannot be resolved.
            DynamicReference: it holds a dynamic reference, in an argument or joined from parts.
        """
        _refuse_dynamic_in(node)
        found = self._text(node)
        if found is not None:
            _refuse_dynamic(str(found), node.place)
        return found

    def _text(self, node: Node) -> Text | None:
        match node:
            case Scalar(value=None):
                return None
            case Scalar(value=text, place=place):
                assert text is not None
                return self._scalar(text, place)
            case Items():
                return self._list(node)
            case Unusable(problem=problem, hint=hint, place=place):
                raise Unresolved(problem, place, hint)
            case Table():
                return self._function(node)

    def _scalar(self, text: str, place: Place) -> Text | None:
        whole = _BACKTICKS.fullmatch(text)
        if whole and _is_object(whole[1]):
            return self._backticks(whole[1], place)
        parts: list[str | Reference] = []
        end = 0
        for match in _BACKTICKS.finditer(text):
            if not _is_object(match[1]):
                continue
            found = self._backticks(match[1], place) or _EMPTY
            parts += [text[end : match.start()], *found.parts]
            end = match.end()
        return _joined([*parts, text[end:]])

    def _backticks(self, inner: str, place: Place) -> Text | None:
        try:
            node = read_document(inner)
        except UnreadableDocument as error:
            raise Unresolved(f"what is in backticks is {error.problem}", place) from None
        if not isinstance(node, Table):
            raise Unresolved("what is in backticks is not one function", place)
        return self._function(Table(node.entries, place))

    def _list(self, node: Items) -> Text:
        """Return a list as Elastic Beanstalk writes it, with commas between its texts."""
        found = [text for item in node.items if (text := self.text(item)) is not None]
        return _with_separator(",", found)

    def _function(self, node: Table) -> Text | None:
        if len(node.entries) != 1 or not _is_function(node.entries[0].key):
            raise Unresolved(f"{shown(node)} is not one text and not one function", node.place)
        name, argument = _function_of(node.entries[0].key), node.entries[0].value
        known = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": self._join,
            "Fn::Sub": self._sub,
            "Fn::Select": self._select,
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetOptionSetting": self._option_setting,
        }
        if name in known:
            return known[name](argument)
        reason = _UNKNOWN.get(name, "it is not a function that is known here")
        raise Unresolved(f"{name} cannot be resolved: {reason}", node.place)

    def _ref(self, argument: Node) -> Text | None:
        name = _literal(argument, "Ref")
        return None if name == _NO_VALUE else self._named("Ref", name, argument.place)

    def _get_att(self, argument: Node) -> Text:
        if isinstance(argument, Items):
            name = ".".join(_literal(item, "Fn::GetAtt") for item in argument.items)
        else:
            name = _literal(argument, "Fn::GetAtt")
        if "." not in name:
            raise Unresolved(f"Fn::GetAtt ({shown_name(name)}) names no attribute", argument.place)
        return self._named("Fn::GetAtt", name, argument.place)

    def _named(self, function: str, name: str, place: Place) -> Text:
        if name in set(Reference):
            return Text((Reference(name),))
        if (default := self._default(name)) is not None:
            self.defaults.setdefault(name, place)
            return Text((default,))
        raise Unresolved(
            f"{function} ({shown_name(name)}) cannot be resolved: only the environment's stack"
            " knows it",
            place,
        )

    def _join(self, argument: Node) -> Text:
        separator, rest = _two(argument, "Fn::Join")
        return _with_separator(_literal(separator, "Fn::Join"), self._texts(rest, "Fn::Join"))

    def _default(self, name: str) -> str | None:
        """Return a parameter's default, or None if it has none, or none that may be read here.

        The value of one with `NoEcho` is a secret; the default of a parameter of Systems Manager is
        its name.
        """
        parameter = None if self.parameters is None else self.parameters.get(name)
        if not isinstance(parameter, Table) or parameter.get("NoEcho") is not None:
            return None
        kind, default = parameter.get("Type"), parameter.get("Default")
        if isinstance(kind, Scalar) and str(kind.value).startswith("AWS::SSM::"):
            return None
        return default.value if isinstance(default, Scalar) else None

    def _texts(self, node: Node, function: str) -> list[Text]:
        """Return the texts of a list, which `Fn::Split` may make of one text."""
        if isinstance(node, Table) and node.keys() == ["Fn::Split"]:
            separator, rest = _two(node.entries[0].value, "Fn::Split")
            whole = self.text(rest)
            if whole is None or whole.literal is None:
                raise Unresolved(f"Fn::Split ({shown(rest)}) splits no literal text", node.place)
            between = _literal(separator, "Fn::Split")
            if not between:
                raise Unresolved("Fn::Split has no separator", node.place)
            return [Text((part,)) for part in whole.literal.split(between)]
        if not isinstance(node, Items):
            raise Unresolved(f"{function} takes a list, got {shown(node)}", node.place)
        return [self.text(item) or _EMPTY for item in node.items]

    def _sub(self, argument: Node) -> Text:
        variables: Mapping[str, Node] = {}
        if isinstance(argument, Items):
            argument, table = _two(argument, "Fn::Sub")
            if not isinstance(table, Table):
                raise Unresolved(f"Fn::Sub takes variables, got {shown(table)}", table.place)
            variables = {entry.key: entry.value for entry in table.entries}
        template = _literal(argument, "Fn::Sub")
        parts: list[str | Reference] = []
        end = 0
        for match in _VARIABLE.finditer(template):
            parts.append(template[end : match.start()])
            end = match.end()
            if match[1]:
                parts.append("${" + match[2] + "}")
            elif match[2] in variables:
                parts += (self.text(variables[match[2]]) or _EMPTY).parts
            else:
                parts += self._named("Fn::Sub", match[2].strip(), argument.place).parts
        return _joined([*parts, template[end:]])

    def _select(self, argument: Node) -> Text:
        index, rest = _two(argument, "Fn::Select")
        number = _literal(index, "Fn::Select")
        texts = self._texts(rest, "Fn::Select")
        if not _INDEX.fullmatch(number) or int(number) >= len(texts):
            raise Unresolved(
                f"Fn::Select has {len(texts)} items, and its index is none of them",
                argument.place,
            )
        return texts[int(number)]

    def _find_in_map(self, argument: Node) -> Text | None:
        if not isinstance(argument, Items) or len(argument.items) != 3:
            raise Unresolved(
                f"Fn::FindInMap takes three names, got {shown(argument)}", argument.place
            )
        found: Node | None = self.mappings
        for item in argument.items:
            text = self.text(item)
            literal = None if text is None else text.literal
            known = isinstance(found, Table) and literal is not None
            found = found.get(literal) if known else None  # type: ignore[union-attr,arg-type]
        if found is None:
            raise Unresolved(
                "Fn::FindInMap cannot be resolved: the document's Mappings have no such literal"
                " names",
                argument.place,
            )
        return self.text(found)

    def _option_setting(self, argument: Node) -> Text | None:
        if not isinstance(argument, Table):
            raise Unresolved(
                f"Fn::GetOptionSetting takes a mapping, got {shown(argument)}", argument.place
            )
        namespace = argument.get("Namespace")
        place = _CUSTOM_OPTIONS if namespace is None else _literal(namespace, "Namespace")
        option_node = argument.get("OptionName")
        if option_node is None:
            raise Unresolved("Fn::GetOptionSetting names no OptionName", argument.place)
        option = _literal(option_node, "OptionName")
        if (found := self.lookup(place, option)) is not None:
            return found
        default = argument.get("DefaultValue")
        if default is None:
            raise Unresolved(
                f"Fn::GetOptionSetting ({shown_name(f'{place}:{option}')}) cannot be resolved: the"
                " document does not set it",
                argument.place,
            )
        return self.text(default)


def _function_of(key: str) -> str:
    """Return a function's name without the name of its loop, as in `Fn::ForEach::Name`."""
    return "::".join(key.split("::")[:2])


def _is_function(key: str) -> bool:
    """Return whether a key is a function's name, known or not; others may be values."""
    return _function_of(key) in FUNCTIONS or _FUNCTION.fullmatch(key) is not None


def _refuse_dynamic_in(node: Node) -> None:
    """Refuse a dynamic reference in any part of a value."""
    match node:
        case Scalar(value=str() as text):
            _refuse_dynamic(text, node.place)
        case Items(items=items):
            for item in items:
                _refuse_dynamic_in(item)
        case Table(entries=entries):
            for entry in entries:
                _refuse_dynamic_in(entry.value)
        case _:
            pass


def _refuse_dynamic(text: str, place: Place) -> None:
    if DYNAMIC_REFERENCE in text:
        raise DynamicReference(
            "{{resolve:...}} is a dynamic reference, and would put a secret into the template",
            place,
        )


def _literal(node: Node, function: str) -> str:
    if isinstance(node, Scalar) and node.value is not None:
        return node.value
    if isinstance(node, Unusable):
        raise Unresolved(node.problem, node.place, node.hint)
    raise Unresolved(f"{function} takes a literal text, got {shown(node)}", node.place)


def _two(node: Node, function: str) -> tuple[Node, Node]:
    if not isinstance(node, Items) or len(node.items) != 2:
        raise Unresolved(f"{function} takes a list of two, got {shown(node)}", node.place)
    return node.items[0], node.items[1]


def _is_object(text: str) -> bool:
    return text.strip().startswith("{")


def _with_separator(separator: str, texts: list[Text]) -> Text:
    parts: list[str | Reference] = []
    for number, text in enumerate(texts):
        parts += [separator, *text.parts] if number else text.parts
    return _joined(parts)


def _joined(parts: list[str | Reference]) -> Text:
    """Return the parts as text in which neighbouring literals are one part."""
    joined: list[str | Reference] = []
    for part in parts:
        literal = not isinstance(part, Reference)
        if literal and joined and not isinstance(joined[-1], Reference):
            joined[-1] += part
        elif part or not literal:
            joined.append(part)
    return Text(tuple(joined))
