"""Recognises texts that people pass in the place of option settings, by how they begin.

YAML reads parts of most of them as something else: Terraform's `{ name = "x" }` is a mapping with
one key, which holds the value too. So they are recognised before they are read. Only the beginning
of a text counts, for the values of a settings document may hold any text. None of what a text holds
is shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_PROPERTIES: Final = "aws:elasticbeanstalk:application:environment"
#: What to do about settings in Terraform's language.
TERRAFORM_HINT: Final = (
    "write Terraform's settings as a list of namespace, name and value, such as"
    ' [{"namespace": ..., "name": ..., "value": ...}], or pass the list `setting` of the resource'
    " in what `terraform show -json` prints"
)
_AS_PROPERTIES: Final = f"write environment properties as `NAME: value` under {_PROPERTIES}"
_PRINTED: Final = (
    "the document is what the AWS CLI prints for people",
    "add --output json to the command, and pass what it prints then",
)
_ERROR: Final = (
    "the document is an error of the AWS CLI",
    "correct the command, and pass what it prints then",
)
#: Comments, blanks and brackets before the first name of a document.
_BEFORE: Final = re.compile(r"(?:[\s\[{,-]|(?:#|//)[^\n]*)*+")
_COMMENT: Final = re.compile(r"(?:#|//)[^\n]*")
#: A name with a value behind an equals sign.
_ASSIGNED: Final = re.compile(r'(?:export\s+)?(?:"[\w.-]+"|[A-Za-z_][\w.-]*)[ \t]*=(?![=>])')
_BRACKET: Final = re.compile(r"[ \t]*[\[{]")
#: The first line of a block of Terraform, such as `dynamic "setting" {`.
_BLOCK: Final = re.compile(r'[A-Za-z_]\w*(?:[ \t]+"[^"\n]*")*[ \t]*\{')
#: Beginning of a text -> what it is, and the hint.
_BEGINNINGS: Final = (
    (
        re.compile(r"\s*(?:--option-settings\s+)?Namespace="),
        "the document is the AWS CLI's shorthand",
        "write the AWS CLI's shorthand as a list, such as"
        ' [{"Namespace": ..., "OptionName": ..., "Value": ...}]',
    ),
    (
        re.compile(r"\s*(?:CONFIGURATIONSETTINGS|OPTIONSETTINGS)\t|\s*[-+]{5,}\s*\n\|+\s+\w+\s+\|"),
        *_PRINTED,
    ),
    (
        re.compile(
            r"\s*(?:aws: )?(?:\[ERROR\]: )?(?:An error occurred \(|Unable to locate credentials"
            r"|You must specify a region|Could not connect to the endpoint URL|The config profile"
            r" \()"
        ),
        *_ERROR,
    ),
    (
        re.compile(r"\s*Environment Variables:[ \t]*\n\s*[^\s=:]+ = "),
        "the document is what `eb printenv` prints",
        _AS_PROPERTIES,
    ),
    (
        re.compile(r"\s*(?:```|~~~)"),
        "the document is in a fence of Markdown",
        "remove the lines with ``` or ~~~",
    ),
    (
        re.compile(r"\s*\[(?:aws:[a-z0-9:]+\][ \t]*\r?\n|[\w.-]+\][ \t]*\r?\n\s*[\w.-]+[ \t]*=)"),
        "the document is an INI file",
        "write `namespace:`, and below it `option: value` with indentation",
    ),
)
#: A column that holds a namespace and nothing else.
_COLUMN: Final = re.compile(r"aws:[a-z0-9:]*[a-z0-9]")
#: Blanks that YAML takes for letters, where an indentation or the blank behind a colon stands.
_ODD_BLANK: Final = re.compile(
    r"(?m)^(?:[ \t-]*+|[ \t]*+(?:- )?[\"']?[\w:. ]+[\"']?:)"
    r"([\u00a0\u2000-\u200a\u202f\u205f\u3000])"
)
#: A line with an equals sign in the place of the colon.
_EQUALS: Final = re.compile(r"\s*(?:- +)?[\w.-]+[ \t]*=")
#: How many lines before the end of reading an equals sign is looked for.
_LINES_BEFORE: Final = 3
#: What a template engine replaces; a dynamic reference of CloudFormation is none of it.
_TEMPLATE: Final = re.compile(r"\{\{(?!resolve:)|\{%|<%")


@dataclass(frozen=True, slots=True)
class Foreign:
    """Says what a text is that is no settings document.

    Args:
        problem: a sentence without the text.
        hint: what to do about it.
        line: where it was recognised, counted from 1.
    """

    problem: str
    hint: str
    line: int = 1


def foreign(text: str) -> Foreign | None:
    """Return what a text is if it is no settings document, or None if it may be one."""
    for pattern, problem, hint in _BEGINNINGS:
        if pattern.match(text):
            return Foreign(problem, hint)
    if _has_columns(text):
        return Foreign(*_PRINTED)
    return _assignments(text) or _odd_blank(text)


def equals(lines: list[str], number: int) -> str:
    """Return the hint for an equals sign in the place of a colon, or an empty text.

    Args:
        number: the line in which reading ended, counted from 1; the sign may stand in the last one
            before it that is not empty.
    """
    for at in range(min(number, len(lines)), max(number - _LINES_BEFORE, 0), -1):
        if _EQUALS.match(lines[at - 1]):
            return f"write `NAME: value`, with a colon for the = in line {at}"
    return ""


def template(line: str) -> Foreign | None:
    """Return that a line which cannot be read holds what a template engine replaces, or None."""
    if not _TEMPLATE.search(line):
        return None
    return Foreign(
        "the document is a template of another program", "fill it in first, and pass the result"
    )


def _has_columns(text: str) -> bool:
    """Return whether the first line has columns with tabs between them, of which one is a
    namespace.
    """
    line = text.lstrip().partition("\n")[0]
    return "\t" in line and any(_COLUMN.fullmatch(column) for column in line.split("\t"))


def _assignments(text: str) -> Foreign | None:
    """Return whether the first name of a text has an equals sign, or begins a block."""
    before = _BEFORE.match(text)
    assert before is not None
    bracketed = any(bracket in _COMMENT.sub("", before[0]) for bracket in "[{")
    assigned = _ASSIGNED.match(text, before.end())
    if assigned is None:
        block = None if bracketed else _BLOCK.match(text, before.end())
        return None if block is None else _terraform()
    if bracketed or _BRACKET.match(text, assigned.end()):
        return _terraform()
    return Foreign("the document is a list of environment variables", _AS_PROPERTIES)


def _terraform() -> Foreign:
    return Foreign("the document is in Terraform's language", TERRAFORM_HINT)


def _odd_blank(text: str) -> Foreign | None:
    match = _ODD_BLANK.search(text)
    if match is None:
        return None
    line = text.count("\n", 0, match.start(1)) + 1
    return Foreign(
        f"line {line} has a non-breaking space (U+{ord(match[1]):04X}), which YAML does not take"
        " for a blank",
        "write plain blanks",
        line,
    )
