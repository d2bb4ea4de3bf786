from __future__ import annotations

from datetime import datetime

import pytest

from sqsd.cron.cli import list_tasks, next_occurrences
from sqsd.cron.cron_yaml import parse_cron_yaml
from sqsd.cron.schedule import Schedule

AT = datetime.fromisoformat("2026-03-28T12:00:00Z")
SCHEDULE = parse_cron_yaml("""
version: 1
cron:
  - {name: report, url: /report, schedule: "30 2 * * *", timezone: Europe/Berlin, jitter: 60}
  - {name: tick, url: /tick, schedule: "@every 8h"}
  - {name: rest, url: /off, schedule: "@daily", enabled: false}
""")


def test_list_shows_every_task_with_its_next_time_in_utc_and_its_own_zone() -> None:
    assert list_tasks(SCHEDULE, AT).splitlines() == [
        "NAME    URL      SCHEDULE    OPTIONS                           NEXT (UTC)           NEXT (OWN ZONE)",  # noqa: E501
        "report  /report  30 2 * * *  timezone=Europe/Berlin,jitter=60  2026-03-29 01:00:00  2026-03-29 03:00:00 CEST",  # noqa: E501
        "tick    /tick    @every 8h   -                                 2026-03-28 16:00:00  2026-03-28 16:00:00 UTC",  # noqa: E501
        "rest    /off     @daily      -                                 disabled             -",
    ]


def test_next_shows_the_coming_occurrences_of_enabled_tasks_by_time() -> None:
    assert next_occurrences(SCHEDULE, 2, AT).splitlines() == [
        "UTC                  OWN ZONE                  NAME    URL",
        "2026-03-28 16:00:00  2026-03-28 16:00:00 UTC   tick    /tick",
        "2026-03-29 00:00:00  2026-03-29 00:00:00 UTC   tick    /tick",
        "2026-03-29 01:00:00  2026-03-29 03:00:00 CEST  report  /report",
        "2026-03-30 00:30:00  2026-03-30 02:30:00 CEST  report  /report",
    ]


def test_an_empty_schedule_is_said_in_words() -> None:
    assert list_tasks(Schedule(), AT) == "no tasks\n"
    assert next_occurrences(Schedule(), 5, AT) == "no enabled tasks\n"


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more, got 0"):
        next_occurrences(SCHEDULE, 0, AT)
