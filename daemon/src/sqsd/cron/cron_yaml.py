"""Parses a `cron.yaml`: its tasks, or every problem in it with line, column and hint.

Elastic Beanstalk's files work unchanged: `version: 1`, and under `cron` a list of tasks with
`name`, `url` and `schedule`. Further keys of this project, all optional: `timezone`, `overlap`,
`catch_up`, `enabled`, `jitter`, `description` (see `cron.schedule.Task`).

A key that EB ignores is ignored here too, unless it is close to a known one and so probably
misspelt: a task that silently runs without its `timezone` is worse than an error. What EB accepts
but silently reads as something else (two tasks of one name, and what `cron.expression` lists) is
refused, and so are names that are no text. A `url` is a path relative to the daemon's own host;
what cannot be one is refused, as in EB, and so is an absolute url, of which EB says nothing. One
without its leading slash gets it, as in EB, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfoNotFoundError, available_timezones

import yaml

from sqsd.contract import CRON_FILE_NAME, TASK_NAME_MAX_LETTERS
from sqsd.cron.expression import Expression, InvalidExpression, parse_expression
from sqsd.cron.notations import without_quotes
from sqsd.cron.schedule import CATCH_UP_MAX, JITTER_MAX, CatchUp, Schedule, Task, zone_of

#: Longest file, in bytes of UTF-8: 128 KiB, some 2,000 tasks. A daemon reads the file beside its
#: work, and this much takes a second or two on a small machine.
FILE_MAX_BYTES: Final = 131_072
#: Longest text that can be a number, a truth value or nothing, in characters.
_SCALAR_MAX: Final = 40
#: Longest part of a line that is quoted in a problem, in characters.
_QUOTED_MAX: Final = 200
#: Longest description of a problem, in characters; it may quote a value.
_MESSAGE_MAX: Final = 600
#: Most zones of one file for which a similar name is searched: each takes milliseconds.
_ZONES_SEARCHED: Final = 20

#: Beginning of the tags of YAML's own types.
_TAG: Final = "tag:yaml.org,2002:"
#: Keys that a task must have: Elastic Beanstalk's.
_REQUIRED: Final = ("name", "url", "schedule")
#: Keys that a task may have: this project's.
_OURS: Final = ("timezone", "overlap", "catch_up", "enabled", "jitter", "description")
#: Those of them whose values may be no texts, with the tags of such values.
_NO_TEXTS: Final = {
    "catch_up": (_TAG + "int",),
    "enabled": (_TAG + "bool",),
    "jitter": (_TAG + "int",),
}
#: Keys that mean something somewhere in the file.
_KNOWN: Final = frozenset({"version", "cron", *_REQUIRED, *_OURS})
#: Names of our keys in other programs, too different to count as a misspelling.
_SYNONYMS: Final = {"tz": "timezone", "zone": "timezone", "disabled": "enabled"}


#: What a template engine or a shell would fill in, in a path.
_VARIABLE: Final = re.compile(r"[{}]|<[^<>]*>|\$\(|%\(|\$(?=[A-Za-z_])")
#: A variable that may as well be letters of a path.
_DOLLAR: Final = re.compile(r"\$(?=[A-Za-z_])")
#: A url with its method, as in a request's first line.
_METHOD: Final = re.compile(r"(?i)(?:get|post|put|patch|delete|head)\s+(\S+)")
#: The beginning of a path from somewhere else than the root.
_RELATIVE: Final = re.compile(r"(?:\.{1,2}/)+")
#: Keys of a request that a task does not have, for its POST is empty.
_NOT_SENT: Final = frozenset({"method", "payload", "body", "headers", "data", "input"})
#: The beginning of a url that names a protocol, with its host; and one that names a host alone.
_ABSOLUTE: Final = re.compile(r"(?i)(?:https?|wss?|ftp|file):(?://[^/?#]*|/*(?=/)|)|//[^/?#]*")
_HOST_AND_PORT: Final = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}(?=[/?#]|$)")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
#: What RFC 3986 has in no path, and what in no path is escaped.
_NOT_IN_PATH: Final = re.compile(r"[^A-Za-z0-9/:@!$&'()*+,;=._~%-]")
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SAFE: Final = "/:@!$&'()*+,;=-._~%?"
#: A value that begins with a quote and does not end with it.
_UNCLOSED: Final = re.compile(r"""\s*(?:- +)?(\w+): +(?:"([^"]*)|'([^']*))""")
#: Dashes that word processors write in place of the hyphen that begins a list entry.
_LONG_DASHES: Final = ("\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2022", "\u2212")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a file: `line` and `column` count from 1, `text` is that line."""

    line: int
    column: int
    text: str
    message: str

    def __str__(self) -> str:
        quoted = f" | {self.text.strip()}" if self.text.strip() else ""
        return f"line {self.line}, column {self.column}: {self.message}{quoted}"


class InvalidCronFile(ValueError):
    """A `cron.yaml` that cannot be used; `problems` has every one, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...], source: str = CRON_FILE_NAME) -> None:
        self.problems = problems
        self.source = source
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
        super().__init__("\n  ".join([f"{source}: {count}", *map(str, problems)]))


def parse_cron_yaml(text: str, source: str = CRON_FILE_NAME) -> Schedule:
    """Read a `cron.yaml`.

    Raises:
        InvalidCronFile: names `source` and has every problem found.
    """
    schedule, problems = read_cron_yaml(text)
    if problems:
        raise InvalidCronFile(problems, source)
    return schedule


def read_cron_yaml(text: str) -> tuple[Schedule, tuple[Problem, ...]]:
    """Return the valid tasks of a `cron.yaml`, and every problem in it; never raises.

    This is for run time, where one bad task must not stop the rest. Of two tasks of one name the
    first is valid.
    """
    reader = _Reader(text)
    tasks = tuple(reader.read())
    schedule = Schedule(tasks, tuple(map(str, reader.warnings)))
    return schedule, tuple(sorted(reader.problems, key=lambda p: (p.line, p.column)))


def written_tasks(text: str) -> list[dict[str, Any]]:
    """Return the tasks of a valid `cron.yaml` as they are written, with `<<` merged.

    For programs that write the file anew. Only keys that mean something are in it: what else a
    file has may stand for gigabytes.
    """
    return list(_Reader(text).written())


class _Reader:
    """Reads the nodes of a file, which know their position, and collects its problems."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = text.splitlines()
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        #: What each mapping has with `<<` merged, by the node's identity; empty while it is merged.
        self._merged: dict[int, dict[str, yaml.Node]] = {}
        self._unknown_zones: dict[str, str] = {}

    def read(self) -> list[Task]:
        """Return the valid tasks, and collect the problems."""
        size = len(self._text.encode("utf-8", "surrogatepass"))
        if size > FILE_MAX_BYTES:
            self._note_at(1, 1, _too_long(size))
            return []
        try:
            return self._read_root(yaml.compose(self._text, Loader=yaml.SafeLoader))
        except yaml.YAMLError as error:
            self._not_yaml(error)
        except RecursionError:
            self._note_at(1, 1, "not a cron.yaml: lists or mappings are nested too deeply")
        return []

    def written(self) -> Iterator[dict[str, Any]]:
        """Yield the known keys of each task; the file must be valid."""
        root = yaml.compose(self._text, Loader=yaml.SafeLoader)
        assert isinstance(root, yaml.MappingNode)
        for node in self._entries(root, ("cron",))["cron"].value:
            entries = self._entries(node, _REQUIRED + _OURS)
            yield {
                name: _constructed(entry) if entry.tag in _NO_TEXTS.get(name, ()) else entry.value
                for name in _REQUIRED + _OURS
                if isinstance(entry := entries.get(name), yaml.ScalarNode)
            }

    def _read_root(self, root: yaml.Node | None) -> list[Task]:
        if root is None:
            self._note_at(1, 1, "the file is empty; write `version: 1` and a list `cron`")
            return []
        if not isinstance(root, yaml.MappingNode):
            self._note(root, "must be a mapping with `version: 1` and a list `cron`")
            return []
        entries = self._entries(root, ("version", "cron"))
        self._check_version(root, entries.get("version"))
        return self._read_tasks(root, entries.get("cron"))

    # ---- the file

    def _check_version(self, root: yaml.Node, node: yaml.Node | None) -> None:
        if node is None:
            self._note(root, "the key `version` is missing; write `version: 1`")
        elif node.tag != _TAG + "int" or _constructed(node) != 1:
            self._note(node, f"version must be the number 1, got {_shown(node)}")

    def _read_tasks(self, root: yaml.Node, node: yaml.Node | None) -> list[Task]:
        if node is None:
            self._note(root, "the key `cron` is missing; write the list of tasks, or `cron: []`")
            return []
        if not isinstance(node, yaml.SequenceNode):
            hint = self._long_dash_hint() or _mapping_hint(node) or "; none is `cron: []`"
            self._note(node, f"cron must be a list of tasks, got {_shown(node)}{hint}")
            return []
        self._warn_of_tag(node)
        tasks: list[Task] = []
        first_line: dict[str, int] = {}
        for entry in node.value:
            task = self._read_task(entry, first_line)
            if task is not None:
                tasks.append(task)
        return tasks

    def _read_task(self, node: yaml.Node, first_line: dict[str, int]) -> Task | None:
        if not isinstance(node, yaml.MappingNode):
            self._note(node, f"a task must have name, url and schedule, got {_shown(node)}")
            return None
        before = len(self.problems)
        self._warn_of_not_sent(node)
        entries = self._entries(node, _REQUIRED + _OURS)
        for key in _REQUIRED:
            if key not in entries:
                self._note(node, f"the key `{key}` is missing in this task")
        values: dict[str, Any] = {}
        for key, read in self._readers().items():
            if key in entries:
                values[key] = read(entries[key])
        self._check_unique(entries.get("name"), values.get("name"), first_line)
        return None if len(self.problems) > before else Task(**values)

    def _check_unique(self, node: yaml.Node | None, name: Any, first_line: dict[str, int]) -> None:
        if node is None or not name:
            return
        if name in first_line:
            self._note(
                node,
                f'the name "{name}" is used in line {first_line[name]} already, and Elastic'
                " Beanstalk would run only the last; give each task its own name",
            )
        else:
            first_line[name] = node.start_mark.line + 1

    # ---- mappings

    def _entries(self, node: yaml.MappingNode, known: tuple[str, ...]) -> dict[str, yaml.Node]:
        """Return the known keys of a mapping, with `<<` merged; note misspelt and repeated keys."""
        entries: dict[str, yaml.Node] = {}
        self._warn_of_tag(node)
        for key, value in node.value:
            if key.tag == _TAG + "merge":
                self._warn_of_merge(value)
                continue
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in known and name in entries:
                self._note(key, f"the key `{name}` stands here twice; keep one")
            elif name in known:
                entries[name] = value
            elif meant := _meant(name, known):
                self._note(key, f"unknown key `{name}`; probably `{meant}` was meant")
        for source in _sources(node):
            for name, value in self._all_entries(source).items():
                entries.setdefault(name, value)
        return {name: value for name, value in entries.items() if name in known}

    def _all_entries(self, node: yaml.MappingNode) -> dict[str, yaml.Node]:
        """Return the keys of a mapping that a task may have, with `<<` merged, nearest first.

        Each mapping is merged once, however many aliases lead to it; one that merges itself adds
        nothing to itself.
        """
        found = self._merged.get(id(node))
        if found is not None:
            return found
        found = self._merged[id(node)] = {}
        entries: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in _KNOWN:
                entries.setdefault(key.value, value)
        for source in _sources(node):
            for name, value in self._all_entries(source).items():
                entries.setdefault(name, value)
        found.update(entries)
        return found

    # ---- values

    def _readers(self) -> dict[str, Callable[[yaml.Node], Any]]:
        return {
            "name": self._name,
            "url": self._url,
            "schedule": self._schedule,
            "timezone": self._timezone,
            "overlap": self._overlap,
            "catch_up": self._catch_up,
            "enabled": self._enabled,
            "jitter": lambda node: self._seconds(node, "jitter", JITTER_MAX),
            "description": lambda node: node.value if isinstance(node, yaml.ScalarNode) else "",
        }

    def _string(self, node: yaml.Node, key: str) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._note(node, f"{key} must be a text, got {_shown(node)}")
        elif node.tag == _TAG + "null" or node.value.strip() == "":
            self._note(node, f"{key} is empty")
        elif node.tag != _TAG + "str":
            kind = node.tag.removeprefix(_TAG)
            hint = f'write it in quotes: "{node.value}"'
            self._note(node, f"{key} is read by YAML as {kind}, must be a text; {hint}")
        else:
            return str(node.value)
        return None

    def _name(self, node: yaml.Node) -> str | None:
        name = self._string(node, "name")
        if name is None:
            return None
        if name != name.strip() or not name.isprintable():
            self._note(
                node, f"name {name!r} must not begin or end with a blank or hold control characters"
            )
        elif len(name) > TASK_NAME_MAX_LETTERS:
            self._note(
                node, f"name has {len(name)} letters, must have at most {TASK_NAME_MAX_LETTERS}"
            )
        else:
            if (plain := without_quotes(name)) != name:
                self._warn(node, f'name {name} has quotes around it; write "{plain}"')
            return name
        return None

    def _url(self, node: yaml.Node) -> str | None:
        url = self._string(node, "url")
        if url is None:
            return None
        problem = _url_problem(url)
        if problem:
            self._note(node, f'url "{url:.{_QUOTED_MAX}}" {problem}')
            return None
        if url.startswith("/"):
            return url
        self._warn(
            node,
            f'url "{url}" has no slash at its beginning and is POSTed to /{url}, as in Elastic'
            f" Beanstalk; write /{url}",
        )
        return f"/{url}"

    def _schedule(self, node: yaml.Node) -> Expression | None:
        # An empty schedule is reported by the expression's parser; here only its type counts.
        if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + "str":
            self._string(node, "schedule")
            return None
        try:
            return parse_expression(node.value)
        except InvalidExpression as error:
            for offset, message in error.problems:
                self._note(node, message, offset)
        return None

    def _timezone(self, node: yaml.Node) -> str | None:
        name = self._string(node, "timezone")
        if name is None:
            return None
        try:
            zone_of(name)
        except (ValueError, ZoneInfoNotFoundError, OSError):
            self._note(node, self._zone_problem(name))
            return None
        return name

    def _zone_problem(self, name: str) -> str:
        if name not in self._unknown_zones:
            searched = len(self._unknown_zones) < _ZONES_SEARCHED
            self._unknown_zones[name] = _zone_problem(name, searched=searched)
        return self._unknown_zones[name]

    def _overlap(self, node: yaml.Node) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.value in ("allow", "skip"):
            return str(node.value)
        self._note(node, f"overlap must be allow or skip, got {_shown(node)}")
        return None

    def _enabled(self, node: yaml.Node) -> bool | None:
        value = _constructed(node) if node.tag == _TAG + "bool" else None
        if isinstance(value, bool):
            return value
        self._note(node, f"enabled must be true or false, got {_shown(node)}")
        return None

    def _catch_up(self, node: yaml.Node) -> CatchUp | None:
        if isinstance(node, yaml.ScalarNode) and node.value == "latest":
            return "latest"
        return self._seconds(node, "catch_up", CATCH_UP_MAX, "latest, or ")

    def _seconds(self, node: yaml.Node, key: str, high: int, other: str = "") -> int | None:
        value = _constructed(node) if node.tag == _TAG + "int" else None
        if isinstance(value, int) and 0 <= value <= high:
            return value
        self._note(
            node,
            f"{key} must be {other}a whole number of seconds from 0 to {high}, got {_shown(node)}",
        )
        return None

    # ---- noting

    def _warn_of_tag(self, node: yaml.Node) -> None:
        if node.tag.startswith("!"):
            self._warn(node, f"the tag {node.tag:.60} is ignored; remove it")

    def _warn_of_not_sent(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in _NOT_SENT:
                self._warn(
                    key,
                    f"`{key.value}` is ignored: each task is a POST with an empty body, as in"
                    " Elastic Beanstalk; put what the task needs into its url, or remove the key",
                )

    def _warn_of_merge(self, node: yaml.Node) -> None:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(source, yaml.MappingNode) for source in sources):
            self._warn(node, "`<<` names no mapping, and so merges nothing; remove it")

    def _warn(self, node: yaml.Node, message: str) -> None:
        mark = node.start_mark
        self.warnings.append(self._problem(mark.line + 1, mark.column + 1, message))

    def _note(self, node: yaml.Node, message: str, offset: int = 0) -> None:
        mark = node.start_mark
        column = mark.column + 1
        if offset and mark.line == node.end_mark.line and isinstance(node, yaml.ScalarNode):
            # A position inside a scalar is known only if the file has it verbatim, without escapes.
            line = self._lines[mark.line] if mark.line < len(self._lines) else ""
            found = line.find(node.value, mark.column)
            column = found + offset + 1 if found >= 0 else column
        self._note_at(mark.line + 1, column, message)

    def _note_at(self, line: int, column: int, message: str) -> None:
        self.problems.append(self._problem(line, column, message))

    def _problem(self, line: int, column: int, message: str) -> Problem:
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        return Problem(line, column, text[:_QUOTED_MAX], message[:_MESSAGE_MAX])

    def _long_dash_hint(self) -> str:
        for number, line in enumerate(self._lines, 1):
            if (entry := line.lstrip())[:1] in _LONG_DASHES:
                plain = f"- {entry[1:].strip():.60}"
                return f"; begin the task in line {number} with a plain hyphen: {plain}"
        return ""

    def _not_yaml(self, error: yaml.YAMLError) -> None:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        hint = ""
        key, _, value = text.strip().removeprefix("- ").partition(":")
        if key == "schedule" and value.strip()[:1] in ("*", "@"):
            hint = _quotes_hint(value.strip())
        elif "\t" in text[: len(text) - len(text.lstrip())]:
            hint = "; indent with blanks, not tabs"
        else:
            hint = self._unclosed_hint() or self._long_dash_hint()
        self._note_at(line, column, f"not YAML: {reason}{hint}")

    def _unclosed_hint(self) -> str:
        for number, line in enumerate(self._lines, 1):
            if match := _UNCLOSED.fullmatch(line):
                value = without_quotes((match[2] or match[3] or "").strip())
                plain = f'{match[1]}: "{value:.60}"'
                return f"; in line {number}: write the value in plain quotes: {plain}"
        return ""


def _sources(node: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    """Yield the mappings that `<<` names in a mapping, each once, in their order."""
    seen = set()
    for key, value in node.value:
        if key.tag != _TAG + "merge":
            continue
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if isinstance(source, yaml.MappingNode) and id(source) not in seen:
                seen.add(id(source))
                yield source


def _too_long(size: int) -> str:
    return (
        f"the file has {size} bytes, must have at most {FILE_MAX_BYTES}; leave out what is no task,"
        " or distribute the tasks over several tiers"
    )


def _mapping_hint(node: yaml.Node) -> str:
    """Return the hint for tasks that stand in a mapping, or an empty text."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        return ""
    keys = [str(key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    if set(keys) & set(_REQUIRED):
        return "; write a hyphen before each task, as in `- name: ...`"
    name = f"{keys[0]:.60}" if keys else "..."
    return f"; write each task with its name in the list, as in `- name: {name}`"


def _meant(name: str, known: tuple[str, ...]) -> str | None:
    plain = name.lower().replace("-", "_").replace(" ", "_")
    if plain in _SYNONYMS and _SYNONYMS[plain] in known:
        return _SYNONYMS[plain]
    close = get_close_matches(plain, known, n=1, cutoff=0.75)
    return close[0] if close else None


def _quotes_hint(schedule: str) -> str:
    """Return the hint to quote a schedule, and what else is wrong with it."""
    try:
        parse_expression(schedule)
    except InvalidExpression as error:
        return f"; a schedule stands in quotes, and {error}"
    return f'; write the schedule in quotes: "{schedule}"'


def _url_problem(url: str) -> str | None:
    """Return what is wrong with a url, with the path to write, or None."""
    path, _, query = url.partition("?")
    if (plain := without_quotes(url)) != url:
        return f"has quotes around it; write {_path_of(plain)}"
    if match := _METHOD.fullmatch(url):
        return f"names a method, and each task is a POST; write {_path_of(match[1])}"
    if match := _RELATIVE.match(url):
        rest = _path_of(url[match.end() :])
        return f"begins with ../ or ./, which a url from the root does not have; write {rest}"
    if _VARIABLE.search(path) or "${" in query or "{{" in query:
        return f"holds a variable, which nothing fills in; write the path itself{_or_dollar(url)}"
    if problem := _absolute_problem(url):
        return problem
    if any(letter.isspace() for letter in url):
        return f"holds a blank; write {_path_of(url.strip())}"
    if "#" in url:
        rest = url.partition("#")[0]
        return f"holds a fragment, which is never sent; write {_path_of(rest)}, or %23 for a #"
    if _BAD_PERCENT.search(path):
        return f"holds a % without two digits; write {_path_of(url)}"
    if not url.isascii() or not url.isprintable() or _NOT_IN_PATH.search(path):
        plain = _path_of(url)
        return f"holds characters that a path cannot carry; percent-encode them: write {plain}"
    return None


def _or_dollar(url: str) -> str:
    """Return what else to write for a path with a dollar sign that is no variable's."""
    plain = _DOLLAR.sub("%24", url)
    return "" if _VARIABLE.search(plain) else f", or {_path_of(plain)} if the $ is no variable's"


def _absolute_problem(url: str) -> str | None:
    """Return what is wrong with a url that does not begin with a path, or None."""
    if match := _ABSOLUTE.match(url):
        rest = _path_of(url[match.end() :])
        return f"is absolute, and the daemon posts to its own host; write {rest}"
    if match := _HOST_AND_PORT.match(url):
        rest = _path_of(url[match.end() :])
        return f"names a host, and the daemon posts to its own; write {rest}"
    if match := _SCHEME.match(url):
        return f"begins with a scheme, {match[0]} and no path; if it is one, write {_path_of(url)}"
    return None


def _path_of(text: str) -> str:
    """Return a text as a path that can be sent."""
    plain = _BAD_PERCENT.sub("%25", text)
    return quote(plain if plain.startswith("/") else f"/{plain}", safe=_SAFE)


@lru_cache(maxsize=1)
def _zones() -> dict[str, str]:
    """Return all zones by their names in lower case, and by the last parts of these."""
    zones = available_timezones()
    by_plain = {zone.lower(): zone for zone in zones}
    return by_plain | {
        zone.lower().rpartition("/")[2]: zone for zone in sorted(zones) if "/" in zone
    }


def _zone_problem(name: str, *, searched: bool) -> str:
    by_plain = _zones()
    if not by_plain:
        return (
            f'timezone "{name}" cannot be looked up: this machine has no time zone database;'
            " install tzdata"
        )
    close: list[str] = []
    if searched:
        plain = name[:_QUOTED_MAX].strip().lower().replace(" ", "_")
        close = get_close_matches(plain, by_plain, n=1)
    meant = f"; probably {by_plain[close[0]]} was meant" if close else ", such as Europe/Berlin"
    return f'timezone "{name}" is not an IANA name{meant}'


def _constructed(node: yaml.Node) -> Any:
    """Return the Python value of a short scalar, or None if its text does not fit its tag."""
    if not isinstance(node, yaml.ScalarNode) or len(node.value) > _SCALAR_MAX:
        return None
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, KeyError):
        return None


def _shown(node: yaml.Node) -> str:
    match node:
        case yaml.ScalarNode() if node.tag == _TAG + "null":
            return "nothing"
        case yaml.ScalarNode() if node.tag == _TAG + "str":
            return f'the text "{node.value:.60}"'
        case yaml.ScalarNode():
            return f"{node.value:.60}"
        case yaml.SequenceNode():
            return "a list"
        case _:
            return "a mapping"
