"""Whoever writes what a hint says has a schedule that is accepted and means the same."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from sqsd.cron.cron_yaml import parse_cron_yaml, read_cron_yaml
from sqsd.cron.expression import InvalidExpression, parse_expression
from sqsd.cron.schedule import Task, next_after

#: A Saturday, from which due times are counted.
START = datetime(2026, 11, 28, 12, 34, 56, tzinfo=UTC)


def problems_of(text: str) -> list[str]:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression(text)
    return [message for _, message in caught.value.problems]


def applied(text: str) -> str:
    """The schedule after all that the problems of `text` say to write."""
    for message in problems_of(text):
        if whole := re.search(r'write "([^"]+)"', message):
            return whole[1]
        if every := re.search(r"write (@every \w+)", message):
            return every[1]
        item = re.search(r'"([^"]+)".*write (\S+)$', message)
        assert item is not None, message
        text = text.replace(item[1], item[2], 1)
    return text


def due(schedule: str, timezone: str = "UTC") -> str:
    """The next four due times in UTC, as day and time of day."""
    task = Task(name="t", url="/", schedule=parse_expression(schedule), timezone=timezone)
    at = START
    times = []
    for _ in range(4):
        at = next_after(task, at)
        times.append(f"{at:%d %H:%M:%S}".removesuffix(":00"))
    return ", ".join(times)


@pytest.mark.parametrize(
    ("text", "hint", "times"),
    [
        # seconds, which must not be halved or dropped silently
        ("0/30 * * * * ?", "@every 30s", "28 12:35, 28 12:35:30, 28 12:36, 28 12:36:30"),
        ("*/10 * * * * ?", "@every 10s", "28 12:35, 28 12:35:10, 28 12:35:20, 28 12:35:30"),
        ("* * * * * ?", "@every 1s", "28 12:34:57, 28 12:34:58, 28 12:34:59, 28 12:35"),
        ("*/15 * * * * *", "@every 15s", "28 12:35, 28 12:35:15, 28 12:35:30, 28 12:35:45"),
        ("0/15 * * * * *", "@every 15s", "28 12:35, 28 12:35:15, 28 12:35:30, 28 12:35:45"),
        ("0 0/20 * * * ?", "*/20 * * * *", "28 12:40, 28 13:00, 28 13:20, 28 13:40"),
        # ranges that pass the end of their field
        ("0 9 * * FRI-MON", "0 9 * * fri,sat,sun,mon", "29 09:00, 30 09:00, 04 09:00, 05 09:00"),
        ("0 9 * * 7-1", "0 9 * * 0-1", "29 09:00, 30 09:00, 06 09:00, 07 09:00"),
        ("0 9 * * 5-1", "0 9 * * 5-6,0-1", "29 09:00, 30 09:00, 04 09:00, 05 09:00"),
        ("0 9 * * sat-sun", "0 9 * * sat,sun", "29 09:00, 05 09:00, 06 09:00, 12 09:00"),
        ("0 9 * * 2,FRI-MON", "0 9 * * 2,fri,sat,sun,mon",
         "29 09:00, 30 09:00, 01 09:00, 04 09:00"),
        ("0 9 1 nov-feb *", "0 9 1 nov,dec,jan,feb *", "01 09:00, 01 09:00, 01 09:00, 01 09:00"),
        ("0 22-2 * * *", "0 22-23,0-2 * * *", "28 22:00, 28 23:00, 29 00:00, 29 01:00"),
        ("0 22-4/2 * * *", "0 0,2,4,22 * * *", "28 22:00, 29 00:00, 29 02:00, 29 04:00"),
        ("0 22-4/3 * * *", "0 1,4,22 * * *", "28 22:00, 29 01:00, 29 04:00, 29 22:00"),
        # a step after one value
        ("2/2 * * * *", "2-59/2 * * * *", "28 12:36, 28 12:38, 28 12:40, 28 12:42"),
        ("0 2/2 * * *", "0 2-23/2 * * *", "28 14:00, 28 16:00, 28 18:00, 28 20:00"),
        ("0 9 * * 2/2", "0 9 * * 2-6/2", "01 09:00, 03 09:00, 05 09:00, 08 09:00"),
        ("0 9 * * 7/2", "0 9 * * 0", "29 09:00, 06 09:00, 13 09:00, 20 09:00"),
        ("0 0 9 ? * 2/2", "0 9 * * mon,wed,fri", "30 09:00, 02 09:00, 04 09:00, 07 09:00"),
        # lines of a crontab
        ("0 5 * * * root /usr/bin/backup", "0 5 * * *", "29 05:00, 30 05:00, 01 05:00, 02 05:00"),
        ("0 5 * * * /usr/bin/backup --all", "0 5 * * *", "29 05:00, 30 05:00, 01 05:00, 02 05:00"),
        ("0 5 * * * curl -s http://localhost/x", "0 5 * * *",
         "29 05:00, 30 05:00, 01 05:00, 02 05:00"),
        ("@daily root run-parts /etc/cron.daily", "@daily",
         "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        # App Engine's words, and those that resemble them
        ("every weekday 09:00", "0 9 * * mon-fri", "30 09:00, 01 09:00, 02 09:00, 03 09:00"),
        ("every weekday", "0 0 * * mon-fri", "30 00:00, 01 00:00, 02 00:00, 03 00:00"),
        ("every weekend 9:30", "30 9 * * sat,sun", "29 09:30, 05 09:30, 06 09:30, 12 09:30"),
        ("every hour", "0 * * * *", "28 13:00, 28 14:00, 28 15:00, 28 16:00"),
        ("every minute", "* * * * *", "28 12:35, 28 12:36, 28 12:37, 28 12:38"),
        ("every day", "0 0 * * *", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        ("every monday", "0 0 * * mon", "30 00:00, 07 00:00, 14 00:00, 21 00:00"),
        # EventBridge's expression with a time zone behind it
        ("cron(0 10 * * ? *) UTC", "0 10 * * *", "29 10:00, 30 10:00, 01 10:00, 02 10:00"),
        ("rate(1 hour) GMT", "@every 1h", "28 13:00, 28 14:00, 28 15:00, 28 16:00"),
        ("0 9 * * *”", "0 9 * * *", "29 09:00, 30 09:00, 01 09:00, 02 09:00"),
        ("0 9 * * 1–5”", "0 9 * * 1-5", "30 09:00, 01 09:00, 02 09:00, 03 09:00"),
    ],
)  # fmt: skip
def test_the_schedule_of_a_hint_means_the_same(text: str, hint: str, times: str) -> None:
    assert applied(text) == hint
    assert due(hint) == times


@pytest.mark.parametrize(
    ("text", "schedule", "zone", "times"),
    [
        ("CRON_TZ=Europe/Berlin 0 9 * * *", "0 9 * * *", "Europe/Berlin",
         "29 08:00, 30 08:00, 01 08:00, 02 08:00"),
        ("TZ=Asia/Tokyo 0 9 * * mon-fri", "0 9 * * mon-fri", "Asia/Tokyo",
         "30 00:00, 01 00:00, 02 00:00, 03 00:00"),
        ("CRON_TZ=UTC @daily", "@daily", "", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        ("CRON_TZ=America/New_York cron(0 9 * * ? *)", "0 9 * * *", "America/New_York",
         "28 14:00, 29 14:00, 30 14:00, 01 14:00"),
        ("0 10 * * * UTC", "0 10 * * *", "", "29 10:00, 30 10:00, 01 10:00, 02 10:00"),
        ("0 10 * * * Europe/Berlin", "0 10 * * *", "Europe/Berlin",
         "29 09:00, 30 09:00, 01 09:00, 02 09:00"),
        ("@daily Asia/Tokyo", "@daily", "Asia/Tokyo",
         "28 15:00, 29 15:00, 30 15:00, 01 15:00"),
        ("cron(0 10 * * ? *) Europe/Berlin", "0 10 * * *", "Europe/Berlin",
         "29 09:00, 30 09:00, 01 09:00, 02 09:00"),
    ],
)  # fmt: skip
def test_a_time_zone_in_a_schedule_becomes_the_key_timezone(
    text: str, schedule: str, zone: str, times: str
) -> None:
    (problem,) = problems_of(text)
    assert f'write "{schedule}"' in problem
    assert (f"and the key `timezone: {zone}`" in problem) == bool(zone)
    assert due(schedule, zone or "UTC") == times


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("every monty 09:00", "five fields are needed"),
        ("every mo 09:00", "five fields are needed"),
        ("every weekdays-ish 09:00", "five fields are needed"),
        ("0/7 * * * * ?", "a minute is no multiple of it"),
        ("5,35 * * * * ?", "it runs more than once a minute"),
        ("0/30 0 9 * * ?", "it runs more than once a minute"),
        ("10-20 0 9 * * ?", "it runs more than once a minute"),
        ("CRON_TZ=Europe/Berlin 0 9 L * *", "written as 0 9 L * *"),
        ("CRON_TZ=Europe/Berlin", "the schedule is empty"),
    ],
)
def test_what_means_something_else_is_not_offered(text: str, words: str) -> None:
    (problem,) = problems_of(text)
    assert words in problem
    assert 'write "' not in problem


def test_seconds_that_are_left_out_are_named() -> None:
    (problem,) = problems_of("30 0 12 * * ?")
    assert 'write "0 12 * * *", without its seconds' in problem


# ---- in a file

FILE = "version: 1\ncron:\n  - name: a\n    url: {url}\n    schedule: {schedule}\n"


@pytest.mark.parametrize(
    "schedule", ['"0 9 * * *”', "\"0 9 * * *“", "'0 9 * * *’", '"0 9 * * *″', '"0 9 * * *']
)  # fmt: skip
def test_a_schedule_that_ends_in_another_quote_gets_the_line_to_write(schedule: str) -> None:
    _, (problem,) = read_cron_yaml(FILE.format(url="/a", schedule=schedule))
    assert 'in line 5: write the value in plain quotes: schedule: "0 9 * * *"' in problem.message
    assert parse_cron_yaml(FILE.format(url="/a", schedule='"0 9 * * *"')).tasks


@pytest.mark.parametrize(
    ("url", "words", "write"),
    [
        ("localhost:8080/x", "names a host", "/x"),
        ("127.0.0.1:5000", "names a host", "/"),
        ("http:/x", "is absolute", "/x"),
        ("http://localhost/x?y=1", "is absolute", "/x?y=1"),
        ("https://example.com", "is absolute", "/"),
        ("//host/x", "is absolute", "/x"),
        ("mailto:x", "begins with a scheme, mailto:", "/mailto:x"),
        ("jobs:run/x", "begins with a scheme, jobs:", "/jobs:run/x"),
        ("/a b/c", "holds a blank", "/a%20b/c"),
        (" /a", "holds a blank", "/a"),
        ("/a\tb", "holds a blank", "/a%09b"),
        ("/x#part", "holds a fragment", "/x"),
        ("/über", "holds characters that a path cannot carry", "/%C3%BCber"),
        ("/a|b", "holds characters that a path cannot carry", "/a%7Cb"),
        ("/100%", "holds a % without two digits", "/100%25"),
        ("“/a”", "has quotes around it", "/a"),
    ],
)
def test_the_url_of_a_hint_is_accepted(url: str, words: str, write: str) -> None:
    _, (problem,) = read_cron_yaml(FILE.format(url=f'"{url}"', schedule='"@daily"'))
    assert words in problem.message
    assert re.search(rf"write {re.escape(write)}(?:$|,)", problem.message), problem.message
    (task,) = parse_cron_yaml(FILE.format(url=f'"{write}"', schedule='"@daily"')).tasks
    assert task.url == write


@pytest.mark.parametrize("url", ["${URL}", "/${STAGE}/x", "{{ url }}", "/<path>"])
def test_a_url_with_a_variable_is_refused_because_nothing_fills_it_in(url: str) -> None:
    _, (problem,) = read_cron_yaml(FILE.format(url=f"'{url}'", schedule='"@daily"'))
    assert "nothing fills in; write the path itself" in problem.message


@pytest.mark.parametrize("part", ["<", "%", "{", "'", "a:", "/", "#", "<>", "?", "cron(", ")"])
def test_long_urls_and_schedules_are_refused_with_short_problems(part: str) -> None:
    long = "x" + part * (100_000 // len(part))
    text = FILE.format(url=json.dumps(long), schedule=json.dumps(long))
    _, problems = read_cron_yaml(text)
    assert problems
    assert all(len(str(problem)) < 1_000 for problem in problems)


@pytest.mark.parametrize("url", ["example.com/x", "task.php", "x?y={a}|b", "a/b:c"])
def test_a_url_that_elastic_beanstalk_takes_as_a_path_is_one(url: str) -> None:
    schedule, problems = read_cron_yaml(FILE.format(url=f"'{url}'", schedule='"@daily"'))
    assert problems == ()
    assert [task.url for task in schedule.tasks] == [f"/{url}"]
    assert f"is POSTed to /{url}, as in Elastic Beanstalk" in schedule.warnings[0]


def test_a_merge_of_no_mapping_and_a_tag_are_not_ignored_silently() -> None:
    task = "{name: a, url: /a, schedule: '@daily'"
    for text, words in (
        (f"version: 1\ncron:\n  - {task}, <<: hello}}\n", "`<<` names no mapping"),
        (f"version: 1\ncron:\n  - {task}, <<: [hello]}}\n", "`<<` names no mapping"),
        (f"version: 1\ncron:\n  - !task {task}}}\n", "the tag !task is ignored"),
        (f"version: 1\ncron: !tasks\n  - {task}}}\n", "the tag !tasks is ignored"),
    ):
        schedule = parse_cron_yaml(text)
        assert len(schedule.tasks) == 1
        (warning,) = schedule.warnings
        assert words in warning


def test_a_long_url_does_not_push_the_hint_out_of_its_problem() -> None:
    url = "http://host/" + "x" * 700
    _, (problem,) = read_cron_yaml(FILE.format(url=f'"{url}"', schedule='"@daily"'))
    assert "is absolute" in problem.message
    assert "write /xxx" in problem.message
