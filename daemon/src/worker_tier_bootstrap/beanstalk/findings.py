"""What is reported of each part of a settings document: place, outcome, reason and hint."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """Says what becomes of an option of Elastic Beanstalk."""

    HONOURED = "honoured"
    PASSED_OVER = "passed over"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Place:
    """Says where something stands in a document.

    Args:
        line: counted from 1, or None for data that was not read from text.
        column: counted from 1, or None for data that was not read from text.
        path: the keys and indexes that lead there, such as `OptionSettings[3].Value`.
        file: the file of a source bundle that holds the document, or an empty text.
    """

    line: int | None = None
    column: int | None = None
    path: str = ""
    file: str = ""

    def __str__(self) -> str:
        parts = [self.file] if self.file else []
        if self.line is not None:
            parts.append(f"line {self.line}, column {self.column}")
        elif not self.file and self.path:
            parts.append(self.path)
        return ", ".join(parts)

    def item(self, index: int) -> Place:
        """Return the place of an item of the list that stands here."""
        return replace(self, path=f"{self.path}[{index}]")

    def entry(self, key: str) -> Place:
        """Return the place of an entry of the mapping that stands here.

        What stands behind an equals sign in a key may be a secret, and is left out.
        """
        key = key.partition("=")[0]
        if not key.replace("_", "").isalnum():
            return replace(self, path=f"{self.path}[{key!r}]")
        return replace(self, path=f"{self.path}.{key}".removeprefix("."))


#: Most options, or sentences, of one kind that are listed.
MOST_ALIKE: Final = 10
_VARIES: Final = re.compile(r"'[^']*'|`[^`]*`|\d+")
#: The place of what stands in no document.
NOWHERE: Final = Place()


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Reports what becomes of one part of a document.

    Args:
        outcome: honoured, passed over or refused.
        message: a sentence that names the option and its value, without the hint.
        hint: what to do about it, or an empty text.
        namespace: the option's namespace, or an empty text for what is no option.
        option: the option's name, or an empty text for what is no option.
        reason: the end of the message that options of one kind share, or an empty text.
        place: where it stands in the document.
        loses: whether passing it over may be missed, so that a person should read about it.
    """

    outcome: Outcome
    message: str
    hint: str = ""
    namespace: str = ""
    option: str = ""
    reason: str = ""
    place: Place = NOWHERE
    loses: bool = False

    def __str__(self) -> str:
        text = f"{self.message}; {self.hint}" if self.hint else self.message
        place = str(self.place)
        # The path of data by namespace says no more than the option's name, and a message about a
        # file names it.
        known = not place or f"[{self.namespace!r}]" in place or place in self.message
        return text if known else f"{text} ({place})"


def sentences(findings: Iterable[Finding]) -> list[tuple[Finding, str]]:
    """Return a sentence for each finding, or for all of a namespace with one reason and hint.

    Of sentences that differ in names and numbers only the first `MOST_ALIKE` are returned, and the
    last of these says how many more there are.

    Returns:
        The first finding of each sentence, and the sentence.
    """
    groups: dict[tuple[str, str, str, object], list[Finding]] = {}
    for number, finding in enumerate(findings):
        alike = finding.outcome if finding.reason else number
        key = (finding.namespace, finding.reason, finding.hint, alike)
        groups.setdefault(key, []).append(finding)
    return _first_of_each_kind([(f[0], _sentence(f[0], f[1:])) for f in groups.values()])


def _first_of_each_kind(found: list[tuple[Finding, str]]) -> list[tuple[Finding, str]]:
    kinds: dict[tuple[Outcome, str], list[int]] = {}
    for number, (finding, _) in enumerate(found):
        kinds.setdefault(_kind(finding), []).append(number)
    more = {
        numbers[MOST_ALIKE - 1]: f"; and {len(numbers) - MOST_ALIKE} more of this kind"
        for numbers in kinds.values()
        if len(numbers) > MOST_ALIKE
    }
    left_out = {number for numbers in kinds.values() for number in numbers[MOST_ALIKE:]}
    return [
        (finding, text + more.get(number, ""))
        for number, (finding, text) in enumerate(found)
        if number not in left_out
    ]


def _kind(finding: Finding) -> tuple[Outcome, str]:
    """Return what findings have in common that differ in names and numbers only."""
    name = finding.option
    message = finding.message.replace(f":{name}", ":") if name else finding.message
    return finding.outcome, _VARIES.sub("", message)


def _sentence(first: Finding, rest: list[Finding]) -> str:
    if not rest:
        return str(first)
    options = [finding.option for finding in (first, *rest)]
    names = ", ".join(options[:MOST_ALIKE])
    if len(options) > MOST_ALIKE:
        names += f" and {len(options) - MOST_ALIKE} more"
    verb = "cannot be honoured" if first.outcome is Outcome.REFUSED else "are passed over"
    message = f"{first.namespace} ({names}) {verb}: {first.reason}"
    return str(replace(first, message=message))


def refusals(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that stop a migration."""
    return [finding for finding in findings if finding.outcome is Outcome.REFUSED]


def warnings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that refuse nothing and yet should be read."""
    return [
        finding for finding in findings if finding.outcome is not Outcome.REFUSED and finding.loses
    ]
