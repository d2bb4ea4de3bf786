"""Parses one `schedule`: Elastic Beanstalk's cron dialect, and `@every`.

EB reads five fields (minute, hour, day of month, month, day of week) with the rules of the Ruby
gem `parse-cron`: names `jan`-`dec` and `sun`-`sat` in any case, 7 as well as 0 for Sunday, lists,
ranges, steps after `*` or a range only, and the shortcuts `@yearly` to `@hourly`. When neither day
field is exactly `*`, a day matches that satisfies either one; `*/2` counts as restricted.

What EB takes but silently reads as something else is refused here with the reason: a sixth field, a
leading blank, dates that no month has, steps longer than their field.

This project adds `@every Ns`, `@every Nm`, `@every Nh`, a whole number of seconds from 1 s to 24 h,
counted from 1970-01-01 00:00 UTC so that every instance computes the same times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqsd.cron.notations import Translation, translated, with_ranges, without_lookalikes

#: Longest interval of `@every`, in seconds.
EVERY_MAX_SECONDS: Final = 86_400

_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONG_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_LONG_WEEKDAYS: Final = (
    *("sunday", "monday", "tuesday", "wednesday"),
    *("thursday", "friday", "saturday"),
)
#: Most days of each month; the index is the month, from 1.
_LONGEST_MONTH: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: Shortcut -> its five fields.
SHORTCUTS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600}
#: A letter that joins parts of a field, with the blanks around it.
_INNER_BLANKS: Final = re.compile(r" ?([,/-]) ?")
#: Hint that shows the forms of `@every`.
_EVERY_FORM: Final = "write @every Ns, @every Nm or @every Nh, such as @every 30s"


class InvalidExpression(ValueError):
    """A schedule has problems; each is a pair of its offset in the text and what is wrong."""

    def __init__(self, problems: list[tuple[int, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(message for _, message in problems))


@dataclass(frozen=True, slots=True)
class CronExpression:
    """Five fields as sets of numbers; 0 is Sunday. `text` is what the author wrote.

    `either_day`: a day matches by its date *or* its weekday, because neither field is exactly `*`.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """`@every`: each multiple of `seconds` since 1970 UTC. `text` is what the author wrote."""

    text: str
    seconds: int


Expression = CronExpression | Interval


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    #: Number of different values: 0 and 7 are both Sunday.
    span: int
    names: tuple[str, ...] = ()
    long_names: tuple[str, ...] = ()

    def number_of(self, name: str) -> int:
        """Return the number that one of `names` stands for."""
        return self.names.index(name) + (1 if self.low == 1 else 0)

    @property
    def allowed(self) -> str:
        """The field's values, for a hint."""
        numbers = f"{self.low} to {self.high}"
        return f"{numbers} or {self.names[0]} to {self.names[-1]}" if self.names else numbers


_FIELDS: Final = (
    _Field("minute", 0, 59, 60),
    _Field("hour", 0, 23, 24),
    _Field("day of month", 1, 31, 31),
    _Field("month", 1, 12, 12, _MONTHS, _LONG_MONTHS),
    _Field("day of week", 0, 7, 7, _WEEKDAYS, _LONG_WEEKDAYS),
)


def parse_expression(text: str) -> Expression:
    """Parse one schedule.

    Raises:
        InvalidExpression: `text` has problems; it has every one, with its offset in `text`. A
            schedule of another notation has one, with its translation.
    """
    try:
        return _parse(text)
    except InvalidExpression:
        if (joined := _joined(text)) is not None:
            message = f'"{text.strip():.80}" has blanks inside of a field; write "{joined}"'
            raise InvalidExpression([(0, message)]) from None
        found = translated(text)
        if found is None:
            raise
        raise InvalidExpression([(0, _of_another_notation(text, found))]) from None


def _joined(text: str) -> str | None:
    """Return five valid fields, of which the text has some with blanks inside, or None."""
    plain = without_lookalikes(text)
    joined = _INNER_BLANKS.sub(r"\1", plain)
    fits = joined != plain and len(joined.split()) == len(_FIELDS)
    return joined if fits and _is_valid(joined) else None


def _is_valid(text: str) -> bool:
    try:
        _parse(text)
    except InvalidExpression:
        return False
    return True


def _of_another_notation(text: str, found: Translation) -> str:
    """Return what is wrong with a schedule of another notation, with the schedule to write."""
    what = f'"{text.strip():.80}" {found.notation}'
    if found.schedule is None:
        return f"{what}: {found.reason}; write five fields such as */5 * * * *, or @every 5m"
    try:
        _parse(found.schedule)
    except InvalidExpression as error:
        return f"{what}; written as {found.schedule}: {error}"
    return f'{what}; write "{found.schedule}"{f", {found.reason}" if found.reason else ""}'


def _parse(text: str) -> Expression:
    if not text.strip():
        raise InvalidExpression([(0, "the schedule is empty; write five fields or @hourly")])
    if text[0].isspace():
        raise InvalidExpression([(0, _leading_blank(text.strip()))])
    if text.startswith("@"):
        return _shortcut(text)
    tokens = [(match.group(), match.start()) for match in re.finditer(r"\S+", text)]
    if len(tokens) != len(_FIELDS):
        raise InvalidExpression([(0, _wrong_count([token for token, _ in tokens]))])
    return _five_fields(text, tokens)


def _leading_blank(text: str) -> str:
    what = "the schedule begins with a blank, by which Elastic Beanstalk shifts every field by one"
    try:
        parse_expression(text)
    except InvalidExpression as error:
        return f"{what}; without it: {error}"
    return f'{what}; write "{text}"'


def _five_fields(text: str, tokens: list[tuple[str, int]]) -> CronExpression:
    problems: list[tuple[int, str]] = []
    sets = []
    for field, (token, offset) in zip(_FIELDS, tokens, strict=True):
        values, wrong = _parse_field(field, token)
        problems += [(offset + at, message) for at, message in wrong]
        sets.append(values)
    minutes, hours, days, months, weekdays = sets
    weekday_open = tokens[4][0] == "*"  # the literal star alone: */1 is restricted, as in EB
    if not problems and weekday_open and min(days) > max(_LONGEST_MONTH[m] for m in months):
        problems.append((tokens[2][1], _impossible_date(days, months)))
    if problems:
        raise InvalidExpression(problems)
    either_day = not weekday_open and tokens[2][0] != "*"
    sunday_is_0 = frozenset(day % 7 for day in weekdays)
    return CronExpression(
        text, minutes, hours, frozenset(days), frozenset(months), sunday_is_0, either_day
    )


def _impossible_date(days: frozenset[int], months: frozenset[int]) -> str:
    names = ", ".join(_FIELDS[3].long_names[month - 1].capitalize() for month in sorted(months))
    return (
        f"{names} never has a day {min(days)}, which Elastic Beanstalk silently turns into the"
        f" first of a month; the last day there is {max(_LONGEST_MONTH[m] for m in months)}"
    )


def _parse_field(field: _Field, token: str) -> tuple[frozenset[int], list[tuple[int, str]]]:
    """Return the values that a field names, and each problem with its offset in the field."""
    values: set[int] = set()
    problems = []
    offset = 0
    for item in token.split(","):
        found = _parse_item(field, item)
        if isinstance(found, str):
            problems.append((offset, f"{field.name}: {found}"))
        else:
            values |= found
        offset += len(item) + 1
    return frozenset(values), problems


def _parse_item(field: _Field, item: str) -> set[int] | str:
    """Return the values of one element of a list, or what is wrong with it."""
    if not item:
        return f'there is a comma too many; allowed are {field.allowed}, "*", ranges and lists'
    body, slash, step_text = item.partition("/")
    if body == "*":
        low, high = field.low, field.low + field.span - 1
    else:
        bounds = _parse_bounds(field, item, body, step_text)
        if isinstance(bounds, str):
            return bounds
        low, high = bounds
    if not slash:
        return set(range(low, high + 1))
    if body != "*" and "-" not in body:
        top = field.low + field.span - 1
        meant = f"{body}-{top}/{step_text}" if low <= top else f"{field.low}"  # 7 is Sunday again
        return (
            f'"{item}" has a step without a range, which Elastic Beanstalk refuses; write {meant}'
        )
    step = _parse_step(field, item, body, step_text)
    return step if isinstance(step, str) else set(range(low, high + 1, step))


def _parse_step(field: _Field, item: str, body: str, text: str) -> int | str:
    if not _is_number(text) or int(text) == 0:
        return f'"{item}" needs a whole number from 1 after the slash, got "{text}"'
    step = int(text)
    if body == "*" and step > field.span:
        hint = {"minute": f"@every {step}m", "hour": f"@every {step}h"}.get(field.name)
        fits = hint and step * (60 if field.name == "minute" else 3_600) <= EVERY_MAX_SECONDS
        return (
            f'"{item}" steps over the whole field (it has {field.span} values), so it would mean'
            f' just "{field.low}"; ' + (f"write {hint}" if fits else f'write "{field.low}"')
        )
    return step


def _parse_bounds(field: _Field, item: str, body: str, step: str) -> tuple[int, int] | str:
    if re.fullmatch(r"\*\d+", body):
        return f'"{item}" is not a step; write */{body[1:]}'
    first, dash, last = body.partition("-")
    low = _parse_value(field, first, item)
    high = _parse_value(field, last, item) if dash else low
    if isinstance(low, str):
        return low
    if isinstance(high, str):
        return high
    if high < low:
        wrapped = _wrapped(field, low, high, names=first.isalpha(), step=step)
        return f'"{item}" runs backwards; if it is to pass the end, write {wrapped}'
    return low, high


def _wrapped(field: _Field, low: int, high: int, *, names: bool, step: str) -> str:
    """Return a range that passes the end of its field as a list, with names if it had names."""
    top = field.low + field.span - 1  # 7 is Sunday again, and beyond it
    values = [*range(low, top + 1), *range(field.low, high + 1)]
    taken = values[:: int(step) if _is_number(step) and int(step) else 1]
    if names and field.names:
        return ",".join(field.names[value - field.low] for value in taken)
    if taken != values:
        return ",".join(map(str, sorted(taken)))
    ends = [_range(field.low, high)]
    return ",".join([_range(low, top), *ends] if low <= top else ends)


def _range(low: int, high: int) -> str:
    return f"{low}-{high}" if low < high else f"{high}"


def _parse_value(field: _Field, text: str, item: str) -> int | str:
    if _is_number(text):
        value = int(text)
        if field.low <= value <= field.high:
            return value
        return f'"{text}" is out of range; allowed are {field.allowed}'
    name = text.lower()
    if name in field.names:
        return field.number_of(name)
    if name in field.long_names:
        return f'"{text}" is a full name, of which only three letters are read; write {name[:3]}'
    return _not_a_value(field, text, item)


def _not_a_value(field: _Field, text: str, item: str) -> str:
    for other in _FIELDS:
        if text.lower() in other.names + other.long_names:
            return (
                f'"{text}" belongs in the {other.name} field; the order is minute, hour, day of'
                " month, month, day of week"
            )
    if text == "?":
        return '"?" is not known to Elastic Beanstalk; write "*"'
    if re.search(r"[#lw?]", text, re.IGNORECASE):
        return (
            f'"{item}": L, W, # and ? are not known to Elastic Beanstalk; allowed are'
            f" {field.allowed}"
        )
    shown = text or item
    return f'"{shown}" is not a value; allowed are {field.allowed}, "*", ranges, lists and steps'


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _shortcut(text: str) -> Expression:
    tokens = text.lower().split()
    if tokens[0].startswith("@every"):
        return _every(text, tokens)
    if len(tokens) == 1 and tokens[0] in SHORTCUTS:
        full = SHORTCUTS[tokens[0]]
        expression = _parse(full)
        assert isinstance(expression, CronExpression)
        return _renamed(expression, text)
    if tokens[0] == "@reboot":
        message = "@reboot has no meaning for a queue; allowed are"
    else:
        message = f'"{text.strip()}" is not a known shortcut; allowed are'
    raise InvalidExpression([(0, f"{message} {', '.join(SHORTCUTS)} and @every")])


def _renamed(expression: CronExpression, text: str) -> CronExpression:
    e = expression
    return CronExpression(text, e.minutes, e.hours, e.days, e.months, e.weekdays, e.either_day)


def _every(text: str, tokens: list[str]) -> Interval:
    match = re.fullmatch(r"@every ([0-9]{1,6})([smh])", " ".join(tokens))
    if match is None:
        raise InvalidExpression([(0, f'"{text.strip()}" is not understood; {_EVERY_FORM}')])
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]]
    if not 1 <= seconds <= EVERY_MAX_SECONDS:
        raise InvalidExpression(
            [(0, f'"{text.strip()}" must be 1 s to 24 h; {_EVERY_FORM}, or use five fields')]
        )
    return Interval(text, seconds)


def _wrong_count(tokens: list[str]) -> str:
    count = (
        f"the schedule has {len(tokens)} field{'s' if len(tokens) != 1 else ''}, must have 5:"
        " minute, hour, day of month, month, day of week"
    )
    if len(tokens) != len(_FIELDS) + 1:
        return count
    if not _is_valid(" ".join(tokens[:5])):
        return count + _too_many(tokens)
    return (
        f"the schedule has 6 fields, of which Elastic Beanstalk ignores the last: it would run"
        f' "{" ".join(tokens[:5])}"; {_six_fields_meant(tokens)}'
    )


def _too_many(tokens: list[str]) -> str:
    """Return the hint which of six fields to leave out, of which the first five are invalid."""
    rest = {n: " ".join([*tokens[:n], *tokens[n + 1 :]]) for n in range(len(tokens))}
    valid = {schedule: n for n, schedule in rest.items() if _is_valid(schedule)}
    if (every := _every_meant(tokens)) is not None:
        return f"; {every}"
    if re.fullmatch(r"0+", tokens[0]) and _is_valid(" ".join(with_ranges(tokens[1:]))):
        return f"; if the first field was meant as seconds{_to_write(tokens[1:])}"
    if len(valid) != 1:
        return "; leave out the one that is too many"
    ((schedule, number),) = valid.items()
    return f'; the field "{tokens[number]}" is too many: write "{schedule}"'


def _six_fields_meant(tokens: list[str]) -> str:
    if (every := _every_meant(tokens)) is not None:
        return every
    if re.match(r"[0-9]{4}", tokens[5]):
        return f"years are not supported{_to_write(tokens[:5])}"
    if re.fullmatch(r"0+", tokens[0]):
        return f"if the first field was meant as seconds{_to_write(tokens[1:])}"
    return f'drop the last, "{tokens[5]}"; neither seconds nor years are supported'


def _every_meant(tokens: list[str]) -> str | None:
    """Return the hint for a first field of seconds before five that restrict nothing, or None."""
    seconds = re.fullmatch(r"\*|[*0]/([1-9][0-9]?)", tokens[0])
    if not seconds or tokens[1:] != ["*"] * 5:
        return None
    count = int(seconds[1] or 1)
    differs = ", which does not begin anew each minute" if 60 % count else ""
    return f"if seconds were meant, write @every {count}s{differs}"


def _to_write(fields: list[str]) -> str:
    """Return the hint to write these fields, with what is wrong with them if anything is."""
    schedule = " ".join(with_ranges(fields))
    try:
        _parse(schedule)
    except InvalidExpression as error:
        return f", written as {schedule}: {error}"
    return f', write "{schedule}"'
