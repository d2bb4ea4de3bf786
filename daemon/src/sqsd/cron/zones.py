"""Recognises time zones that stand beside a schedule, where `cron.yaml` has a key of the task.

A name of the IANA database is one zone. An abbreviation such as CST is used in several places, and
an offset such as UTC+2 has the opposite sign in the database: `Etc/GMT-2` is two hours ahead of
UTC. The names are not looked up here: the key `timezone` is checked where it is read.
"""

from __future__ import annotations

import re
from typing import Final

_UTC: Final = frozenset(
    {"utc", "gmt", "z", "uct", "zulu", "universal", "greenwich"}
    | {f"etc/{name}" for name in ("utc", "gmt", "uct", "zulu", "universal", "greenwich")}
)
#: Abbreviations of one place, and names of the database without a region -> the zone.
_ZONES: Final = {
    "akdt": "America/Anchorage",
    "akst": "America/Anchorage",
    "awst": "Australia/Perth",
    "brt": "America/Sao_Paulo",
    "cst6cdt": "America/Chicago",
    "est5edt": "America/New_York",
    "hkt": "Asia/Hong_Kong",
    "hst": "Pacific/Honolulu",
    "jst": "Asia/Tokyo",
    "kst": "Asia/Seoul",
    "msk": "Europe/Moscow",
    "mst7mdt": "America/Denver",
    "nzdt": "Pacific/Auckland",
    "nzst": "Pacific/Auckland",
    "pkt": "Asia/Karachi",
    "pst8pdt": "America/Los_Angeles",
    "sast": "Africa/Johannesburg",
    "sgt": "Asia/Singapore",
    "wib": "Asia/Jakarta",
} | {
    name.lower(): name
    for name in (
        "Cuba", "Egypt", "Eire", "GB", "Hongkong", "Iceland", "Iran", "Israel", "Jamaica", "Japan",
        "Kwajalein", "Libya", "Navajo", "NZ", "Poland", "Portugal", "PRC", "ROC", "ROK",
        "Singapore", "Turkey",
    )
}  # fmt: skip
#: Abbreviations of several places -> one of them, as an example.
_EXAMPLES: Final = {
    **dict.fromkeys(("est", "edt", "et"), "America/New_York"),
    **dict.fromkeys(("cst", "cdt", "ct"), "America/Chicago"),
    **dict.fromkeys(("mst", "mdt", "mt"), "America/Denver"),
    **dict.fromkeys(("pst", "pdt", "pt"), "America/Los_Angeles"),
    **dict.fromkeys(("ast", "adt"), "America/Halifax"),
    **dict.fromkeys(("eet", "eest"), "Europe/Helsinki"),
    **dict.fromkeys(("wet", "west"), "Europe/Lisbon"),
    **dict.fromkeys(("aest", "aedt"), "Australia/Sydney"),
    **dict.fromkeys(("acst", "acdt"), "Australia/Adelaide"),
    "bst": "Europe/London",
    "ist": "Asia/Kolkata",
}
_EXAMPLE: Final = "Europe/Berlin"
_HALF_HOURS: Final = "Asia/Kolkata"
#: Regions of the database; `Etc` has offsets only, and beside a schedule is mostly a directory.
_REGIONS: Final = {
    name.lower(): name
    for name in (
        "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Brazil",
        "Canada", "Chile", "Europe", "Indian", "Mexico", "Pacific", "US",
    )
}  # fmt: skip
#: Words within names of places that are written in small letters.
_SMALL: Final = frozenset({"of", "es", "au"})
_PLACE: Final = re.compile(r"([A-Za-z]+)((?:/[A-Za-z_-]+){1,2})")
_OFFSET: Final = re.compile(r"(?i)(?:(?:utc|gmt)([+-])(\d\d?)|([+-])(\d\d)(?=:?\d\d))(?::?(\d\d))?")
_ETC: Final = re.compile(r"(?i)etc/gmt([+-])(\d\d?)")
_ABBREVIATION: Final = re.compile(r"[A-Z]{3,5}")
#: Most hours ahead of UTC and behind it, in the database.
_FARTHEST: Final = {"+": 14, "-": 12}


def zone_hint(text: str) -> str | None:
    """Return what to do about a time zone, as the end of a hint, or None if the text is none.

    The hint is empty for UTC, in which schedules are read without a key.
    """
    name = text.lower()
    if name in _UTC:
        return ""
    if name in _ZONES:
        return _key(_ZONES[name])
    if name in _EXAMPLES:
        return of_the_place(_EXAMPLES[name])
    if match := _OFFSET.fullmatch(text):
        return _offset(match[1] or match[3], int(match[2] or match[4]), int(match[5] or 0))
    if match := _ETC.fullmatch(text):
        return _key(f"Etc/GMT{match[1]}{int(match[2])}")
    match = _PLACE.fullmatch(text)
    if match is not None and match[1].lower() in _REGIONS:
        return _key(_REGIONS[match[1].lower()] + _place(match[2], spoken=text.isupper()))
    return of_the_place(_EXAMPLE) if _ABBREVIATION.fullmatch(text) else None


def of_the_place(example: str = _EXAMPLE) -> str:
    """Return the hint for a zone whose place is not known here."""
    return f"and the key `timezone:` with the IANA name of the place, such as {example}"


def _key(zone: str) -> str:
    return f"and the key `timezone: {zone}`"


def _offset(sign: str, hours: int, minutes: int) -> str | None:
    if hours > _FARTHEST[sign] or minutes > 59:
        return None
    if minutes:
        return of_the_place(_HALF_HOURS)
    if hours == 0:
        return ""
    opposite = "-" if sign == "+" else "+"
    direction = "ahead of" if sign == "+" else "behind"
    plural = "s" if hours > 1 else ""
    return f"{_key(f'Etc/GMT{opposite}{hours}')}, which is {hours} hour{plural} {direction} UTC"


def _place(text: str, *, spoken: bool) -> str:
    """Return the parts of a place with their capitals.

    Args:
        spoken: whether all of the name is in capitals, so that these say nothing.
    """
    words = re.split(r"([/_-])", text)
    return "".join(_word(word) if spoken or word.islower() else word for word in words)


def _word(word: str) -> str:
    return word.lower() if word.lower() in _SMALL else word.capitalize()
