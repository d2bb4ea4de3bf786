"""Writes `cron_times.json`: schedules and their next 10 times, found by the walker beside it.

python -m tests.daemon.cron.data.make_cron_times
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path

from tests.daemon.cron.data.walker import walk

TABLE = Path(__file__).with_name("cron_times.json")
COUNT = 10
FAR = timedelta(days=366 * 85)

LEAP_EVE = "2024-02-28T23:58:30+00:00"
YEAR_END = "2025-12-31T23:50:00+00:00"
MIDYEAR = "2026-06-15T11:59:59.500000+00:00"
CENTURY = "2096-02-28T12:00:00+00:00"

EVERYDAY = """
* * * * *|*/1 * * * *|*/2 * * * *|*/5 * * * *|*/7 * * * *|*/10 * * * *|*/15 * * * *
*/30 * * * *
*/45 * * * *|*/59 * * * *|*/60 * * * *|0 * * * *|30 * * * *|59 * * * *|0,30 * * * *
5,10,15 * * * *
0-10 * * * *|10-20/5 * * * *|0-59/20 * * * *|1-59/2 * * * *|0-5,30-35 * * * *
0-30/10,45 * * * *
05 * * * *|00 00 * * *|0 0 * * *|30 4 * * *|59 23 * * *|0 12 * * *|0 */2 * * *|0 */3 * * *
15 */6 * * *
0 */7 * * *|0 */23 * * *|0 */24 * * *|0 8-18 * * *|0 8-18/2 * * *|*/10 9-17 * * *|0 0,12 * * *
0 1,3,5 * * *|15,45 6,18 * * *|* 0 * * *|* 23 * * *|0 0-23 * * *|0 0-23/6 * * *
""".replace("\n", "|").split("|")
DAYS = """
0 0 1 * *|0 0 15 * *|0 0 28 * *|0 0 29 * *|0 0 30 * *|0 0 31 * *|0 0 1,15 * *|0 0 1-7 * *
0 0 */2 * *|0 0 */10 * *|0 0 */31 * *|0 0 1-31/7 * *|0 0 10-20/5 * *|0 0 29-31 * *|0 0 31 1-6 *
0 0 30 2,4 *|0 0 29 2 *|0 12 29 feb *|0 0 28,29 2 *|0 0 31 */2 *|0 0 31 12 *|59 23 31 12 *
0 0 1 1 *|0 0 1 jan *|0 0 1 JAN *|0 0 1 Jan,Jul *|0 0 1 jan-mar *|0 0 1 */3 *|0 0 1 1-12/6 *
0 0 1 2,4,6 *|0 0 * 2 *|0 0 * 12 *|* * * 2 *|*/30 * 29 2 *|0 0 15 oct-dec *|0 0 1 */12 *
""".replace("\n", "|").split("|")
WEEKDAYS = """
0 0 * * 0|0 0 * * 7|0 0 * * 1|0 0 * * 6|0 0 * * sun|0 0 * * SUN|0 0 * * Mon|0 0 * * fri
0 0 * * mon-fri|0 9 * * 1-5|0 9 * * MON-FRI|0 0 * * sat,sun|0 0 * * 0,6|0 0 * * 6,7|0 0 * * 5-7
0 0 * * 0-7|0 0 * * 1-7/2|0 0 * * */2|0 0 * * */3|0 0 * * */7|0 0 * * 1-5/2|0 0 * * mon,wed,fri
0 0 * * 1-3,5|*/20 8-17 * * 1-5|0 0 * feb mon|0 0 * 12 sun|30 6 * jun-aug sat|0 0 * * mon-fri/2
""".replace("\n", "|").split("|")
EITHER_DAY = """
0 0 1 * 1|0 0 13 * 5|0 0 13 * fri|0 0 1,15 * mon|0 0 31 2 mon|0 0 30 feb sun|0 0 */2 * 1
0 0 1 * */2
0 0 */2 * */2|0 0 1-7 * mon|0 0 */1 * mon|0 0 1 * 0-6|0 0 1 * */1|0 0 */15 * 3|0 0 1 1 7
0 0 29 2 thu
*/30 12 31 * sat|0 0 1-31 * mon|0 0 * * */1|0 0 */1 * *
""".replace("\n", "|").split("|")
SHORTCUTS = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
INTERVALS = [
    f"@every {n}"
    for n in [
        "1s",
        "2s",
        "7s",
        "10s",
        "30s",
        "45s",
        "90s",
        "1m",
        "5m",
        "7m",
        "90m",
        "1h",
        "5h",
        "24h",
    ]
]
COMBINED = [
    " ".join(parts)
    for parts in product(
        ["0", "7", "*/25", "3-50/9", "11,22,33"],
        ["4", "*/5", "6-9", "1,13,22-23"],
        ["* * *", "5-9 * mon", "*/9 feb-apr *"],
    )
]
#: Zones, with moments shortly before a change, and one that has none.
CHANGES = [
    ("Europe/Berlin", "2026-03-28T20:00:00+00:00"),
    ("Europe/Berlin", "2026-10-24T20:00:00+00:00"),
    ("America/New_York", "2026-03-08T03:00:00+00:00"),
    ("America/New_York", "2026-11-01T02:00:00+00:00"),
    ("Australia/Lord_Howe", "2026-04-04T10:00:00+00:00"),
    ("Australia/Lord_Howe", "2026-10-03T10:00:00+00:00"),
    ("America/Havana", "2026-03-08T02:00:00+00:00"),
    ("America/Havana", "2026-11-01T02:00:00+00:00"),
    ("Africa/Cairo", "2026-04-23T20:00:00+00:00"),
    ("Atlantic/Azores", "2026-10-24T20:00:00+00:00"),
    ("America/St_Johns", "2026-03-08T02:00:00+00:00"),
    ("Asia/Kathmandu", "2026-12-31T12:00:00+00:00"),
]
LOCAL = [
    "30 2 * * *",
    "30 1 * * *",
    "0 0 * * *",
    "*/20 1-2 * * *",
    "*/30 * * * *",
    "35 * * * *",
    "15 0,2 * * sun",
    "0 */2 * * *",
]


def cases() -> list[tuple[str, str, str]]:
    everyday = product(EVERYDAY, ["UTC"], [YEAR_END, MIDYEAR])
    rarer = product(DAYS + WEEKDAYS + EITHER_DAY + COMBINED, ["UTC"], [LEAP_EVE])
    centuries = product(["0 0 29 2 *", "0 0 29 2 thu", "0 0 31 */2 *"], ["UTC"], [CENTURY])
    short = product(SHORTCUTS + INTERVALS, ["UTC"], [LEAP_EVE, YEAR_END])
    local = [(schedule, zone, at) for zone, at in CHANGES for schedule in LOCAL]
    found = [*everyday, *rarer, *centuries, *short, *local]
    return [case for case in found if case[0]]


def main() -> None:
    lines = []
    for schedule, zone, after in cases():
        at = datetime.fromisoformat(after).astimezone(UTC)
        times = list(islice(walk(schedule, zone, at, at + FAR), COUNT))
        assert len(times) == COUNT, (schedule, zone, after, times)
        shown = [time.isoformat().replace("+00:00", "Z") for time in times]
        lines.append(json.dumps([schedule, zone, after, shown]))
    TABLE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(f"{len(lines)} rows, {len({json.loads(line)[0] for line in lines})} schedules")


if __name__ == "__main__":
    main()
