"""When cron expressions are due, found by walking minute by minute; shares nothing with the daemon.

Slow and plain on purpose: `cron_times.json` is made with it, and properties compare with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Fields = list[Any]
MINUTE = timedelta(minutes=1)
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
LIMITS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
SHORTCUTS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def walk(schedule: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Each due time in (after, until], in UTC."""
    if schedule.startswith("@every"):
        yield from _walk_seconds(schedule, after, until)
        return
    fields = _expand(SHORTCUTS.get(schedule, schedule))
    if zone == "UTC":
        yield from _walk_utc(fields, after, until)
    elif len(fields[1]) == 24:
        yield from _walk_elapsed(fields, ZoneInfo(zone), after, until)
    else:
        yield from _walk_local(fields, ZoneInfo(zone), after, until)


def _walk_utc(fields: Fields, after: datetime, until: datetime) -> Iterator[datetime]:
    moment = after.replace(second=0, microsecond=0) + MINUTE
    while moment <= until:
        if moment.hour == 0 and moment.minute == 0 and not _day_matches(fields, moment):
            moment += timedelta(days=1)  # nothing in that day: spare its 1,440 minutes
            continue
        if _matches(fields, moment):
            yield moment
        moment += MINUTE


def _walk_elapsed(
    fields: Fields, zone: ZoneInfo, after: datetime, until: datetime
) -> Iterator[datetime]:
    """Hours open: any real minute whose local reading matches."""
    moment = after.replace(second=0, microsecond=0) + MINUTE
    while moment <= until:
        if _matches(fields, moment.astimezone(zone)):
            yield moment
        moment += MINUTE


def _walk_local(
    fields: Fields, zone: ZoneInfo, after: datetime, until: datetime
) -> Iterator[datetime]:
    """Hours named: a local minute counts when the local clock first reaches or passes it."""
    moment = after.replace(second=0, microsecond=0) - timedelta(days=1)
    highest = moment.astimezone(zone).replace(tzinfo=None)
    while moment <= until:
        local = moment.astimezone(zone).replace(tzinfo=None)
        due = False
        while highest < local:
            highest += MINUTE
            due = due or _matches(fields, highest)
        if due and moment > after:
            yield moment
        moment += MINUTE


def _walk_seconds(schedule: str, after: datetime, until: datetime) -> Iterator[datetime]:
    number = schedule.split()[1]
    seconds = int(number[:-1]) * {"s": 1, "m": 60, "h": 3600}[number[-1]]
    moment = int(after.timestamp()) + 1
    while moment <= until.timestamp():
        if moment % seconds == 0:
            yield datetime.fromtimestamp(moment, UTC)
        moment += 1


def _day_matches(fields: Fields, day: datetime) -> bool:
    _, _, days, months, weekdays, star_day, star_weekday = fields
    if day.month not in months:
        return False
    by_date, by_weekday = day.day in days, day.isoweekday() % 7 in weekdays
    return (by_date and by_weekday) if star_day or star_weekday else (by_date or by_weekday)


def _matches(fields: Fields, moment: datetime) -> bool:
    return moment.minute in fields[0] and moment.hour in fields[1] and _day_matches(fields, moment)


def _expand(schedule: str) -> Fields:
    words = schedule.lower().split()
    sets: list[object] = []
    for position, word in enumerate(words):
        for value, name in enumerate(NAMES.get(position, []), start=1 if position == 3 else 0):
            word = word.replace(name, str(value))  # noqa: PLW2901 - replaced textually, as EB does
        low, high = LIMITS[position]
        chosen = set()
        for part in word.split(","):
            bounds, _, step = part.partition("/")
            first, _, last = (f"{low}-{high}" if bounds == "*" else bounds).partition("-")
            chosen |= set(range(int(first), int(last or first) + 1, int(step or 1)))
        sets.append({value % 7 for value in chosen} if position == 4 else chosen)
    return [*sets, words[2] == "*", words[4] == "*"]
