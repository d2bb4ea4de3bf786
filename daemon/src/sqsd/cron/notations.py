"""Translates schedules of other notations to the notation of cron.yaml.

Nothing here is accepted as a schedule: the translation is the hint of an error. Known are the long
dashes and typographic quotes of word processors, digits of full width, EventBridge (`rate`,
`cron`), Quartz (seconds and years, `?`, days of the week from 1), App Engine (`every 5 minutes`,
`every monday 09:00`), `@every` in several units or in words, lines of a crontab with their command,
comments, backslashes, and a time zone before or behind a schedule. What has no counterpart in five
fields, such as the last day of a month, has no translation.

Sources: EventBridge Scheduler user guide, "Schedule types"; Quartz's `CronExpression`; App Engine
reference, "cron.yaml".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqsd.cron.zones import of_the_place, zone_hint

_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
#: Names of days and months in words -> what they are in a schedule.
_DAYS_IN_WORDS: Final = {
    "sunday": "sun",
    "monday": "mon",
    "tuesday": "tue",
    "wednesday": "wed",
    "thursday": "thu",
    "friday": "fri",
    "saturday": "sat",
    "weekday": "mon-fri",
    "weekend": "sat,sun",
}
_MONTHS_IN_WORDS: Final = {
    "january": "jan",
    "february": "feb",
    "march": "mar",
    "april": "apr",
    "june": "jun",
    "july": "jul",
    "august": "aug",
    "september": "sep",
    "october": "oct",
    "november": "nov",
    "december": "dec",
}
#: Letters that resemble those of a schedule -> the letter that is meant.
_LOOKALIKES: Final = str.maketrans(
    {
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # of full width
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2217\u204e\uff0a\u22c6\u00d7", "*"),
        **dict.fromkeys("\u2044\u2215\uff0f", "/"),
        **dict.fromkeys("\uff0c\u201a", ","),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        "\uff20": "@",
    }
)
#: Quotes of every kind, which a schedule never has.
_QUOTES: Final = (
    "\"'`´\u2018\u2019\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a"
    "\u2032\u2033\uff02\uff07"
)
#: Highest value of a field: minute, hour, day of month, month.
_HIGHEST: Final = (59, 23, 31, 12)
_LOWEST: Final = (0, 0, 1, 1)
_CALL: Final = re.compile(r"(?i)(rate|cron|at)\s*\(([^)]*)\)?\s*")
#: A time zone before a schedule, as crontabs have it, or behind EventBridge's.
_ZONE_BEFORE: Final = re.compile(r"(?:CRON_)?TZ=:?([^\s;]+)[\s;]*(.*)")
_ZONE_BEHIND: Final = re.compile(r"(?i)((?:rate|cron|at)\s*\([^)]*\))\s*(\S+)")
#: A time zone behind five fields or a shortcut.
_ZONE_LAST: Final = re.compile(r"(@[A-Za-z]+|(?:\S+ ){4}\S+) (\S+)")
_SPACED_OFFSET: Final = re.compile(r"(?i)\b(utc|gmt) (?=[+-]\d)")
_COMMENT: Final = re.compile(r"(?:([^#]*?) )?#.*")
#: A call of EventBridge with something else than a time zone behind it.
_CALL_AND_MORE: Final = re.compile(r"(?i)((?:rate|cron|at)\s*\([^)]*\))\s*[^\s)].*")
_SHORTCUT_NAMES: Final = frozenset(
    {"yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"}
)
#: The beginning of a user's name or of a command in a crontab.
_COMMAND: Final = re.compile(r"[A-Za-z_./~$\[({][^,*?#]*")
_FIELD_COUNT: Final = 5
#: Seconds of each unit, by its first letter.
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DAY_SECONDS: Final = 86_400
_RATE: Final = re.compile(r"(?i)\s*(\d{1,5})\s+(second|minute|hour|day)s?\s*")
_UNIT: Final = "(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
#: `@every` with a number of units, and one of them with its unit.
_INTERVAL: Final = re.compile(rf"@every ?((?:\d{{1,6}} ?{_UNIT} ?)+)")
_PART: Final = re.compile(rf"(\d+) ?({_UNIT})")
#: Longest schedule that can be App Engine's, in characters.
_LONGEST_WORDS: Final = 200
_EVERY: Final = re.compile(
    r"every (\d{1,5}) (seconds?|secs?|minutes?|mins?|hours?|days?)"
    r"(?: synchronized| from (\d\d?):(\d\d) to (\d\d?):(\d\d)| (\d\d?):(\d\d))?"
)
#: Seconds of Quartz from the beginning of each minute.
_EACH_SECONDS: Final = re.compile(r"\*|[*0]/(\d{1,2})")
_TIME: Final = r"(\d\d?):(\d\d)"
_ONCE_A: Final = {
    "every hour": "0 * * * *",
    "every minute": "* * * * *",
    "every second": "@every 1s",
}
_DAILY: Final = re.compile(rf"every day(?: of month)?(?: {_TIME})?")
_WEEKLY: Final = re.compile(rf"every ([a-z, ]+?)(?: of ([a-z, ]+?))?(?: {_TIME})?")
_NUMBERS_IN_WORDS: Final = ("first", "second", "third", "fourth", "fifth")
_NUMBER: Final = rf"(?:\d\d?(?:st|nd|rd|th)?|{'|'.join(_NUMBERS_IN_WORDS)})"
_MONTHLY: Final = re.compile(
    rf"({_NUMBER}(?: ?, ?{_NUMBER})*)(?: days?)? of (?:the )?([a-z, ]+?)(?: {_TIME})?"
)
#: What has no counterpart in five fields -> why, and what to write.
_WITHOUT: Final = (
    (
        re.compile(r"(?:every )?last (?:week)?day\b.*"),
        "the last day of a month has no counterpart; let the application decide",
    ),
    (
        re.compile(r"every (?:\d+ )?weeks?\b.*"),
        "weeks have no counterpart; name a weekday, as in 0 9 * * mon",
    ),
    (
        re.compile(r"every (?:\d+ )?months?\b.*"),
        "months have no counterpart; name them, as in 0 9 1 jan,apr *",
    ),
)
_ORDINAL: Final = re.compile(
    r"(?:\d(?:st|nd|rd|th)|first|second|third|fourth|fifth|last)\b.*\b(?:of|day)\b"
)


@dataclass(frozen=True, slots=True)
class Translation:
    """Is a schedule of another notation, with its translation.

    Args:
        notation: what it is, as the beginning of a sentence.
        schedule: the schedule that means the same, or None if there is none.
        reason: why there is none, or how the translation differs; empty if it means the same.
    """

    notation: str
    schedule: str | None
    reason: str = ""


def translated(text: str) -> Translation | None:
    """Translate a schedule, or return None if it is of no other notation."""
    plain = without_lookalikes(text)
    for translate in (
        *(_commented, _escaped, _zoned, _eventbridge, _shortcut, _interval_in_words),
        *(_app_engine, _quartz, _crontab),
    ):
        found = translate(plain)
        if found is not None:
            return found
    if plain != " ".join(text.split()):
        return Translation("has typographic dashes, digits or quotes", plain)
    return None


def without_lookalikes(text: str) -> str:
    """Return a text with plain dashes, asterisks and blanks, and without quotes around it."""
    return " ".join(text.translate(_LOOKALIKES).strip().strip(_QUOTES).split())


def without_quotes(text: str) -> str:
    """Return a text without typographic quotes around it."""
    return text.strip(_QUOTES)


# ---- a time zone, and a command


def _zoned(text: str) -> Translation | None:
    """Translate a schedule with a time zone, which is a key of a task here."""
    if match := _ZONE_BEFORE.fullmatch(text):
        zone, schedule = match.groups()
        known = zone_hint(zone.strip(_QUOTES))
        key = of_the_place() if known is None else known
    else:
        joined = _SPACED_OFFSET.sub(r"\1", text)
        match = _ZONE_BEHIND.fullmatch(joined) or _ZONE_LAST.fullmatch(joined)
        if match is None or _is_name(match[2]):
            return None
        schedule, behind = match[1], zone_hint(match[2].strip("()[]"))
        if behind is None:
            return None
        key = behind
    notation = "names a time zone, which is a key of the task"
    if not schedule:
        return Translation(notation, None, "the schedule is empty")
    found = translated(schedule) or Translation(notation, schedule)
    if not key or found.schedule is None:
        return Translation(notation, found.schedule, found.reason)
    reason = f"{found.reason}, {key}" if found.reason else key
    return Translation(notation, found.schedule, reason)


def _commented(text: str) -> Translation | None:
    match = _COMMENT.fullmatch(text)
    return None if match is None else _rest("ends in a comment", match[1] or "")


def _escaped(text: str) -> Translation | None:
    if "\\" not in text:
        return None
    return _rest("has backslashes", " ".join(text.replace("\\", "").split()))


def _rest(notation: str, schedule: str) -> Translation:
    """Return the translation of a schedule from which the part that `notation` names was removed.

    The schedule may be in yet another notation, which is translated too.
    """
    if not schedule:
        return Translation(notation, None, "the schedule is empty")
    found = translated(schedule)
    return Translation(notation, schedule) if found is None else found


def _shortcut(text: str) -> Translation | None:
    name = text.lower()
    return Translation("lacks its @", f"@{name}") if name in _SHORTCUT_NAMES else None


def _interval_in_words(text: str) -> Translation | None:
    """Translate `@every` with several units, in words or in days, into one unit."""
    match = _INTERVAL.fullmatch(text.lower())
    if match is None:
        return None
    parts = [(int(part[1]), part[2][0]) for part in _PART.finditer(match[1])]
    seconds = sum(count * _UNIT_SECONDS[unit] for count, unit in parts)
    notation = "is another form of @every"
    if seconds > _DAY_SECONDS and {unit for _, unit in parts} == {"d"}:
        return _interval(notation, seconds // _DAY_SECONDS, "days")
    if not 0 < seconds <= _DAY_SECONDS:
        return None
    unit = next(unit for unit in "hms" if seconds % _UNIT_SECONDS[unit] == 0)
    schedule = f"@every {seconds // _UNIT_SECONDS[unit]}{unit}"
    return None if schedule == text.lower() else Translation(notation, schedule)


def _crontab(text: str) -> Translation | None:
    """Translate a line of a crontab, which has a command behind its schedule."""
    fields = text.split()
    count = 1 if text.startswith("@") else _FIELD_COUNT
    rest = fields[count:]
    if not rest or not _COMMAND.match(rest[0]) or _is_name(rest[0]):
        return None
    if text.startswith("@every"):
        return None
    notation = "is a line of a crontab, with a command in place of which the url is POSTed to"
    return Translation(notation, " ".join(fields[:count]))


def _is_name(text: str) -> bool:
    """Return whether a text names days or months, and so is a field too many."""
    names = {*_WEEKDAYS, *_MONTHS, *_DAYS_IN_WORDS, *_MONTHS_IN_WORDS}
    return all(part in names for part in re.split(r"[-,/]", text.lower()))


# ---- EventBridge


def _eventbridge(text: str) -> Translation | None:
    call = _CALL.fullmatch(text)
    if call is None:
        more = _CALL_AND_MORE.fullmatch(text)
        return None if more is None else _eventbridge(more[1])
    notation = "is EventBridge's notation"
    match call[1].lower():
        case "rate":
            return _rate(notation, call[2])
        case "cron":
            fields = call[2].split()
            if len(fields) in (5, 6):
                return _fields(notation, fields[:5], fields[5:])
            return Translation(notation, None, "five fields are needed")
        case _:
            return Translation(notation, None, "a schedule recurs; send a message at that time")


def _rate(notation: str, inside: str) -> Translation:
    rate = _RATE.fullmatch(inside)
    if rate is None or int(rate[1]) == 0:
        reason = "a rate is such as rate(5 minutes), with a number from 1"
        return Translation(notation, None, reason)
    return _interval(notation, int(rate[1]), rate[2].lower())


def _interval(notation: str, count: int, unit: str) -> Translation:
    """Translate a number of seconds to days; `@every` has 24 hours at most."""
    seconds = count * _UNIT_SECONDS[unit[0]]
    if unit[0] != "d" and seconds <= _DAY_SECONDS:
        return Translation(notation, f"@every {count}{unit[0]}")
    days, rest = divmod(seconds, _DAY_SECONDS)
    if days == 1 and not rest:
        return Translation(notation, "@daily")
    if rest or days > 31:
        return Translation(notation, None, "no schedule has intervals of that length")
    return Translation(notation, f"0 0 */{days} * *", "which starts anew each month")


# ---- Quartz


def _quartz(text: str) -> Translation | None:
    """Translate six or seven fields with a `?`: Quartz's begin with seconds."""
    fields = text.split()
    if len(fields) not in (6, 7) or "?" not in fields:
        return None
    if len(fields) == 6 and "?" in (fields[2], fields[4]):  # a day; in Quartz an hour or a month
        return _fields("is EventBridge's notation", fields[:5], fields[5:])
    notation = "is Quartz's notation"
    if not fields[0].isdecimal():
        return _seconds(notation, fields[0], fields[1:])
    found = _fields(notation, fields[1:6], fields[6:])
    if found.schedule is not None and fields[0] != "0":
        return Translation(found.notation, found.schedule, "without its seconds")
    return found


def _seconds(notation: str, seconds: str, rest: list[str]) -> Translation:
    """Translate a schedule that is due more than once a minute."""
    match = _EACH_SECONDS.fullmatch(seconds)
    if match is None or not set(rest) <= {"*", "?"}:
        reason = "it runs more than once a minute, for which there is only @every"
        return Translation(notation, None, reason)
    count = int(match[1] or 1)
    if count == 0 or 60 % count:
        return Translation(notation, None, "a minute is no multiple of it")
    return Translation(notation, f"@every {count}s")


def _fields(notation: str, fields: list[str], years: list[str]) -> Translation:
    """Translate five fields with `?` and days of the week from 1, and perhaps years."""
    plain = [_field(number, field) for number, field in enumerate(fields[:4])]
    plain.append(_weekday(fields[4]))
    if None in plain:
        return Translation(
            notation,
            None,
            "L, W, # and values out of range have no counterpart; let the application decide",
        )
    schedule = " ".join(field for field in plain if field is not None)
    other_years = years not in ([], ["*"], ["?"])
    return Translation(notation, schedule, "without its years" if other_years else "")


def with_ranges(fields: list[str]) -> list[str]:
    """Return minute to day of week with `0/5` written as `*/5`, and `3/5` as a range."""
    items = [
        ",".join(_item(number, item) for item in field.split(","))
        for number, field in enumerate(fields[:4])
    ]
    return [*items, *fields[4:]]


def _field(number: int, field: str) -> str | None:
    """Translate one of the first four fields, or return None if it has no counterpart."""
    if field == "?":
        return "*"
    if re.search(r"[#LW]", field) and not _names_months(field):
        return None
    return ",".join(_item(number, item) for item in field.split(","))


def _names_months(field: str) -> bool:
    return all(not part or part.lower() in _MONTHS for part in re.split(r"[^A-Za-z]+", field))


def _item(number: int, item: str) -> str:
    """Translate an element of a list: a step after one value goes on to the field's end."""
    first, slash, step = item.partition("/")
    if not slash or first == "*" or "-" in first:
        return item
    if first in ("", str(_LOWEST[number])):
        return f"*/{step}"
    return f"{first}-{_HIGHEST[number]}/{step}"


def _weekday(field: str) -> str | None:
    """Translate days of the week, of which 1 is Sunday, into names, or return None."""
    if field == "?":
        return "*"
    items = [_weekday_item(item) for item in field.split(",")]
    return None if None in items else ",".join(item for item in items if item is not None)


def _weekday_item(item: str) -> str | None:
    """Translate an element of a list of days; one with a step, or backwards, into all its days."""
    first, slash, step = item.partition("/")
    low, dash, high = first.partition("-")
    if first == "*" and not slash:
        return "*"
    start = 0 if first == "*" else _day_number(low)
    end = _day_number(high) if dash else 6 if slash else start
    if start is None or end is None or (slash and not re.fullmatch("[1-7]", step)):
        return None
    if not slash and start <= end:
        return f"{_day(low)}-{_day(high)}" if dash else _day(low)
    days = [(start + n) % 7 for n in range(0, (end - start) % 7 + 1, int(step or 1))]
    return ",".join(_WEEKDAYS[day] for day in days)


def _day_number(text: str) -> int | None:
    """Return the number of a day, of which 0 is Sunday, or None if it is none."""
    if text.lower() in _WEEKDAYS:
        return _WEEKDAYS.index(text.lower())
    return int(text) - 1 if re.fullmatch("[1-7]", text) else None


def _day(text: str) -> str:
    """Return the name of a day as it was written, or that of a number."""
    return _WEEKDAYS[int(text) - 1] if text.isdecimal() else text


# ---- App Engine


def _app_engine(text: str) -> Translation | None:
    plain = text.lower()
    if len(plain) > _LONGEST_WORDS or not (plain.startswith("every ") or " of " in plain):
        return None
    notation = "is App Engine's notation"
    if plain in _ONCE_A:
        return Translation(notation, _ONCE_A[plain])
    for pattern, reason in _WITHOUT:
        if pattern.fullmatch(plain):
            return Translation(notation, None, reason)
    for pattern, read in (
        (_EVERY, _every),
        (_DAILY, _daily),
        (_WEEKLY, _weekly),
        (_MONTHLY, _monthly),
    ):
        if match := pattern.fullmatch(plain):
            return read(notation, match)
    if _ORDINAL.match(plain):
        return Translation(
            notation, None, "a weekday of a month has no counterpart; let the application decide"
        )
    return Translation(notation, None, "five fields are needed")


def _every(notation: str, match: re.Match[str]) -> Translation:
    count, unit = int(match[1]), match[2]
    if count == 0:
        return Translation(notation, None, "five fields are needed")
    if match[7] is not None:
        return _every_days(notation, count, unit, match[7], match[8])
    if match[3] is None:
        return _interval(notation, count, unit)
    start, end = (int(match[3]), int(match[4])), (int(match[5]), int(match[6]))
    if start >= end or end > (24, 0) or max(start[1], end[1]) > 59:
        return Translation(notation, None, "five fields are needed")
    if unit.startswith("h"):
        return _every_hours(notation, count, start, end)
    if unit.startswith("m"):
        return _every_minutes(notation, count, start, end)
    return Translation(notation, None, "five fields are needed")


def _every_days(notation: str, count: int, unit: str, hour: str, minute: str) -> Translation:
    if not unit.startswith("d") or count > 31:
        return Translation(notation, None, "five fields are needed")
    days = "*" if count == 1 else f"*/{count}"
    reason = "" if count == 1 else "which starts anew each month"
    return Translation(notation, f"{int(minute)} {int(hour)} {days} * *", reason)


def _every_hours(
    notation: str, count: int, start: tuple[int, int], end: tuple[int, int]
) -> Translation:
    """Translate a number of hours between two times of day; the last one may be the end."""
    last = min(end[0] if end[1] >= start[1] else end[0] - 1, 23)
    hours = _hours(start[0], last)
    if count > 1 and hours != f"{start[0]}":
        hours = f"{hours}/{count}"
    return Translation(notation, f"{start[1]} {hours} * * *")


def _every_minutes(
    notation: str, count: int, start: tuple[int, int], end: tuple[int, int]
) -> Translation:
    """Translate a number of minutes between two times of day, of which the end is left out."""
    if 60 % count:
        return Translation(notation, None, "an hour is no multiple of it")
    if start[1]:
        return Translation(notation, None, "a start within an hour has no counterpart")
    if end[1] and end[1] < 60 - count:
        return Translation(notation, None, "an end within an hour has no counterpart")
    hours = _hours(start[0], end[0] if end[1] else end[0] - 1)
    minutes = "*" if count == 1 else "0" if count == 60 else f"*/{count}"
    reason = "" if end[1] else "without the one at the end"
    return Translation(notation, f"{minutes} {hours} * * *", reason)


def _hours(first: int, last: int) -> str:
    if (first, last) == (0, 23):
        return "*"
    return f"{first}-{last}" if first < last else f"{first}"


def _daily(notation: str, match: re.Match[str]) -> Translation:
    return _at(notation, match[2], match[1], "* * *")


def _at(notation: str, minute: str | None, hour: str | None, days: str) -> Translation:
    """Translate a time of day; without one a schedule is due at midnight."""
    if minute is None or hour is None:
        return Translation(notation, f"0 0 {days}", "which is at midnight, for it names no time")
    return Translation(notation, f"{int(minute)} {int(hour)} {days}")


def _weekly(notation: str, match: re.Match[str]) -> Translation:
    days = _named(match[1], _WEEKDAYS, _DAYS_IN_WORDS)
    months = _months(match[2] or "month")
    if days is None or months is None:
        return Translation(notation, None, "five fields are needed")
    return _at(notation, match[4], match[3], f"* {months} {days}")


def _monthly(notation: str, match: re.Match[str]) -> Translation:
    days = ",".join(_number(part.strip()) for part in match[1].split(","))
    months = _months(match[2])
    if months is None:
        return Translation(notation, None, "five fields are needed")
    return _at(notation, match[4], match[3], f"{days} {months} *")


def _months(text: str) -> str | None:
    return "*" if text.strip() == "month" else _named(text, _MONTHS, _MONTHS_IN_WORDS)


def _number(text: str) -> str:
    """Return a number such as `1st` or `first` in digits."""
    if text in _NUMBERS_IN_WORDS:
        return f"{_NUMBERS_IN_WORDS.index(text) + 1}"
    return text.rstrip("stndrh")


def _named(text: str, short: tuple[str, ...], words: dict[str, str]) -> str | None:
    """Return full or short names as a list of short ones, or None if one is not known."""
    found = []
    for part in text.split(","):
        name = part.strip()
        found.append(name if name in short else words.get(name, ""))
    return ",".join(found) if all(found) else None
