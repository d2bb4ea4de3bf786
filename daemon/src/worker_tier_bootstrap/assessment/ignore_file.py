"""Patterns of `.gitignore` and `.ebignore`.

Both files have one syntax and two meanings. Git asks directory by directory: what lies below an
ignored directory cannot be let in again. The EB CLI asks for each file alone: the last pattern that
matches it, or a directory above it, decides, so that `*` and `!dist/**` pack `dist`.

Two oddities of git are not copied: a slash inside of brackets, and ranges that run backwards.

Source: gitignore(5); EB CLI configuration, "Using an .ebignore file".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

#: Named classes of characters of a bracket expression that people use.
_CLASSES: Final = {
    "[:alnum:]": "a-zA-Z0-9",
    "[:alpha:]": "a-zA-Z",
    "[:digit:]": "0-9",
    "[:lower:]": "a-z",
    "[:space:]": r"\s",
    "[:upper:]": "A-Z",
    "[:xdigit:]": "0-9a-fA-F",
}
#: A pattern's blanks at its end, which do not count unless a backslash stands before them.
_TRAILING_BLANKS: Final = re.compile(r"(?<!\\) +$")


@dataclass(frozen=True, slots=True)
class Pattern:
    """Is one line of an ignore file.

    Args:
        negated: whether the line begins with `!`, which lets in what it matches.
        directories_only: whether the line ends with `/`.
        exact: matches the path that the line names.
        within: matches that path and all paths below it.
    """

    negated: bool
    directories_only: bool
    exact: re.Pattern[str]
    within: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class IgnoreFile:
    """Holds the patterns of one ignore file; paths are relative to its directory."""

    patterns: tuple[Pattern, ...]

    @classmethod
    def parse(cls, lines: Iterable[str]) -> IgnoreFile:
        """Read the lines of a file. Blank lines, comments and broken patterns match nothing."""
        found = (_pattern(line) for line in lines)
        return cls(tuple(pattern for pattern in found if pattern is not None))

    @property
    def lets_in(self) -> bool:
        """Return whether a pattern lets in what another one ignores."""
        return any(pattern.negated for pattern in self.patterns)

    def ignores_file(self, path: str) -> bool:
        """Return whether a file stays out, as the EB CLI decides it: the last match wins."""
        for pattern in reversed(self.patterns):
            if pattern.within.fullmatch(path):
                return not pattern.negated
        return False

    def verdict(self, path: str, *, is_directory: bool) -> bool | None:
        """Return whether this path itself is ignored, as git decides it.

        Git reads nothing below an ignored directory, so ask for each directory from the top.

        Returns:
            None if no pattern matches: the ignore file of a higher directory decides.
        """
        for pattern in reversed(self.patterns):
            if pattern.directories_only and not is_directory:
                continue
            if pattern.exact.fullmatch(path):
                return not pattern.negated
        return None


def _pattern(line: str) -> Pattern | None:
    text = _TRAILING_BLANKS.sub("", line.rstrip("\r\n"))
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated else text
    directories_only = text.endswith("/")
    text = text.removesuffix("/")
    core = _expression(text)
    if not text or core is None:
        return None
    below = "/.+" if directories_only else "(?:/.+)?"
    try:
        return Pattern(
            negated=negated,
            directories_only=directories_only,
            exact=re.compile(core, re.DOTALL),
            within=re.compile(core + below, re.DOTALL),
        )
    except re.error:  # such as a range from z to a
        return None


def _expression(text: str) -> str | None:
    """Return a pattern as a regular expression, or None if it can match nothing."""
    anchored = "/" in text
    parts = text.removeprefix("/").split("/")
    found = "" if anchored else "(?:.+/)?"
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "**":
            found += ".+" if is_last else "(?:.+/)?"
            continue
        segment = _segment(part)
        if segment is None:
            return None
        found += segment if is_last else f"{segment}/"
    return found


def _segment(text: str) -> str | None:
    """Return the part of a pattern between two slashes as a regular expression, or None."""
    found = ""
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "*":
            found += "[^/]*"
        elif letter == "?":
            found += "[^/]"
        elif letter == "\\":
            if at == len(text):
                return None
            found += re.escape(text[at])
            at += 1
        elif letter == "[":
            bracket = _bracket(text, at)
            if bracket is None:
                return None
            expression, at = bracket
            found += expression
        else:
            found += re.escape(letter)
    return found


def _bracket(text: str, at: int) -> tuple[str, int] | None:
    """Return a bracket expression and the position after it, or None if it has no end.

    Args:
        at: the position after its `[`.
    """
    negated = text[at : at + 1] in ("!", "^")
    at += negated
    inner = ""
    first = True
    while first or text[at : at + 1] != "]":
        letter = text[at : at + 1]
        named = next((name for name in _CLASSES if text.startswith(name, at)), None)
        if named is not None:
            inner += _CLASSES[named]
            at += len(named)
        elif letter == "\\":
            inner += re.escape(text[at + 1 : at + 2])
            at += 2
        else:
            inner += letter if letter == "-" else re.escape(letter)
            at += 1
        if at >= len(text):
            return None
        first = False
    return f"(?!/)[{'^' if negated else ''}{inner}]", at + 1
