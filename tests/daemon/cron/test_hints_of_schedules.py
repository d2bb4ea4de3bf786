"""Schedules as people write them elsewhere: what a hint says to write is accepted and the same."""

from __future__ import annotations

import re
from zoneinfo import available_timezones

import pytest

from sqsd.cron.cron_yaml import parse_cron_yaml, read_cron_yaml
from sqsd.cron.expression import InvalidExpression, parse_expression
from tests.daemon.cron.test_hints_applied import FILE, applied, due, problems_of

# ---- a time zone behind the fields


@pytest.mark.parametrize(
    ("zone", "name", "times"),
    [
        ("JST", "Asia/Tokyo", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        ("PST8PDT", "America/Los_Angeles", "28 17:00, 29 17:00, 30 17:00, 01 17:00"),
        ("EST5EDT", "America/New_York", "28 14:00, 29 14:00, 30 14:00, 01 14:00"),
        ("Etc/GMT+5", "Etc/GMT+5", "28 14:00, 29 14:00, 30 14:00, 01 14:00"),
        ("UTC+2", "Etc/GMT-2", "29 07:00, 30 07:00, 01 07:00, 02 07:00"),
        ("UTC-05:00", "Etc/GMT+5", "28 14:00, 29 14:00, 30 14:00, 01 14:00"),
        ("GMT+1", "Etc/GMT-1", "29 08:00, 30 08:00, 01 08:00, 02 08:00"),
        ("GMT +1", "Etc/GMT-1", "29 08:00, 30 08:00, 01 08:00, 02 08:00"),
        ("+02:00", "Etc/GMT-2", "29 07:00, 30 07:00, 01 07:00, 02 07:00"),
        ("-0300", "Etc/GMT+3", "29 12:00, 30 12:00, 01 12:00, 02 12:00"),
        ("europe/berlin", "Europe/Berlin", "29 08:00, 30 08:00, 01 08:00, 02 08:00"),
        ("EUROPE/BERLIN", "Europe/Berlin", "29 08:00, 30 08:00, 01 08:00, 02 08:00"),
        ("(Europe/Berlin)", "Europe/Berlin", "29 08:00, 30 08:00, 01 08:00, 02 08:00"),
        ("america/new_york", "America/New_York", "28 14:00, 29 14:00, 30 14:00, 01 14:00"),
        ("US/Eastern", "US/Eastern", "28 14:00, 29 14:00, 30 14:00, 01 14:00"),
        ("Japan", "Japan", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
    ],
)
@pytest.mark.parametrize("schedule", ["0 9 * * *", "@daily", "cron(0 9 * * ? *)"])
def test_a_time_zone_behind_a_schedule_becomes_the_key_timezone(
    schedule: str, zone: str, name: str, times: str
) -> None:
    (problem,) = problems_of(f"{schedule} {zone}")
    plain = "0 9 * * *" if schedule.startswith("cron") else schedule
    assert "names a time zone, which is a key of the task" in problem
    assert f'write "{plain}"' in problem
    assert f"and the key `timezone: {name}`" in problem
    assert schedule == "@daily" or due("0 9 * * *", name) == times


@pytest.mark.parametrize(
    "zone",
    ["EST", "(EST)", "PDT", "CET", "CEST", "IST", "BST", "CST", "AEST", "NOVT", "ET", "UTC+5:30"],
)
def test_a_time_zone_that_several_places_have_is_asked_for_by_its_place(zone: str) -> None:
    for schedule in ("0 9 * * *", "@daily"):
        (problem,) = problems_of(f"{schedule} {zone}")
        assert "names a time zone" in problem
        assert "command" not in problem
        match = re.search(
            r"and the key `timezone:` with the IANA name of the place, such as (\S+)$", problem
        )
        assert match is not None, problem
        assert match[1] in available_timezones()
        assert due(schedule, match[1])


@pytest.mark.parametrize("zone", ["UTC", "utc", "(UTC)", "GMT", "Z", "Etc/UTC", "UTC+0", "+00:00"])
def test_utc_needs_no_key(zone: str) -> None:
    (problem,) = problems_of(f"0 9 * * * {zone}")
    assert problem.endswith('names a time zone, which is a key of the task; write "0 9 * * *"')


@pytest.mark.parametrize("before", ["TZ=Asia/Tokyo;", "CRON_TZ='Asia/Tokyo'", "TZ=:Asia/Tokyo ;"])
def test_a_time_zone_before_a_schedule_is_plain(before: str) -> None:
    (problem,) = problems_of(f"{before} 0 9 * * *")
    assert 'write "0 9 * * *", and the key `timezone: Asia/Tokyo`' in problem


@pytest.mark.parametrize(
    "command", ["root /bin/x", "bin/backup", "etc/cron.daily", "./x", "curl a"]
)
def test_a_command_is_no_time_zone(command: str) -> None:
    (problem,) = problems_of(f"0 9 * * * {command}")
    assert "is a line of a crontab" in problem


def test_every_zone_in_small_letters_is_named_as_it_is_written_or_leads_to_its_name() -> None:
    wrong = []
    for zone in available_timezones():
        region = zone.partition("/")[0]
        if region not in (
            "Africa",
            "America",
            "Asia",
            "Atlantic",
            "Australia",
            "Europe",
            "Pacific",
        ):
            continue
        (problem,) = problems_of(f"0 9 * * * {zone.lower()}")
        assert "names a time zone" in problem
        if f"timezone: {zone}`" not in problem:
            wrong.append(zone)
    # names with capitals within a word
    assert sorted(wrong) == ["America/Argentina/ComodRivadavia", "America/Knox_IN",
                             "Australia/ACT", "Australia/LHI", "Australia/NSW"]  # fmt: skip


# ---- what is written in another way


@pytest.mark.parametrize(
    ("text", "hint", "times"),
    [
        # blanks inside of a field
        ("* /5 * * * *", "*/5 * * * *", "28 12:35, 28 12:40, 28 12:45, 28 12:50"),
        ("*/ 5 * * * *", "*/5 * * * *", "28 12:35, 28 12:40, 28 12:45, 28 12:50"),
        ("* / 5 * * * *", "*/5 * * * *", "28 12:35, 28 12:40, 28 12:45, 28 12:50"),
        ("0 9, 17 * * *", "0 9,17 * * *", "28 17:00, 29 09:00, 29 17:00, 30 09:00"),
        ("0 9 * * MON, WED", "0 9 * * MON,WED", "30 09:00, 02 09:00, 07 09:00, 09 09:00"),
        ("0 9 * * MON , WED", "0 9 * * MON,WED", "30 09:00, 02 09:00, 07 09:00, 09 09:00"),
        ("0 9 * * 1 - 5", "0 9 * * 1-5", "30 09:00, 01 09:00, 02 09:00, 03 09:00"),
        ("0 9 * * 1 – 5", "0 9 * * 1-5", "30 09:00, 01 09:00, 02 09:00, 03 09:00"),
        # App Engine's words
        ("every mon of sep 10:00", "0 10 * sep mon", "06 10:00, 13 10:00, 20 10:00, 27 10:00"),
        ("every tuesday of month 09:00", "0 9 * * tue", "01 09:00, 08 09:00, 15 09:00, 22 09:00"),
        ("every 1 day", "@daily", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        ("every 2 days", "0 0 */2 * *", "29 00:00, 01 00:00, 03 00:00, 05 00:00"),
        ("every 3 days 10:00", "0 10 */3 * *", "01 10:00, 04 10:00, 07 10:00, 10 10:00"),
        ("every 6 hours from 00:00 to 23:59", "0 */6 * * *",
         "28 18:00, 29 00:00, 29 06:00, 29 12:00"),
        ("every 4 hours from 09:30 to 17:59", "30 9-17/4 * * *",
         "28 13:30, 28 17:30, 29 09:30, 29 13:30"),
        ("every 4 hours from 09:30 to 17:00", "30 9-16/4 * * *",
         "28 13:30, 29 09:30, 29 13:30, 30 09:30"),
        ("every 15 minutes from 00:00 to 23:59", "*/15 * * * *",
         "28 12:45, 28 13:00, 28 13:15, 28 13:30"),
        ("every 30 mins from 13:00 to 14:59", "*/30 13-14 * * *",
         "28 13:00, 28 13:30, 28 14:00, 28 14:30"),
        ("first day of month 00:00", "0 0 1 * *", "01 00:00, 01 00:00, 01 00:00, 01 00:00"),
        ("1st of month 09:00", "0 9 1 * *", "01 09:00, 01 09:00, 01 09:00, 01 09:00"),
        ("1st,15th of month 09:00", "0 9 1,15 * *", "01 09:00, 15 09:00, 01 09:00, 15 09:00"),
        ("2nd day of jan 10:00", "0 10 2 jan *", "02 10:00, 02 10:00, 02 10:00, 02 10:00"),
        ("every 30 seconds", "@every 30s", "28 12:35, 28 12:35:30, 28 12:36, 28 12:36:30"),
        ("every 1 second", "@every 1s", "28 12:34:57, 28 12:34:58, 28 12:34:59, 28 12:35"),
        ("every second", "@every 1s", "28 12:34:57, 28 12:34:58, 28 12:34:59, 28 12:35"),
        # EventBridge's
        ("rate(30 seconds)", "@every 30s", "28 12:35, 28 12:35:30, 28 12:36, 28 12:36:30"),
        ("cron(0 10 * * ? *) Foo", "0 10 * * *", "29 10:00, 30 10:00, 01 10:00, 02 10:00"),
        ("rate(1 hour) every day", "@every 1h", "28 13:00, 28 14:00, 28 15:00, 28 16:00"),
        ("rate(1 hour", "@every 1h", "28 13:00, 28 14:00, 28 15:00, 28 16:00"),
        ("cron(0 12 * * ? *", "0 12 * * *", "29 12:00, 30 12:00, 01 12:00, 02 12:00"),
        # intervals and shortcuts
        ("@every 1h30m", "@every 90m", "28 13:30, 28 15:00, 28 16:30, 28 18:00"),
        ("@every 1m30s", "@every 90s", "28 12:36, 28 12:37:30, 28 12:39, 28 12:40:30"),
        ("@every 5 minutes", "@every 5m", "28 12:35, 28 12:40, 28 12:45, 28 12:50"),
        ("@every 5min", "@every 5m", "28 12:35, 28 12:40, 28 12:45, 28 12:50"),
        ("@every 1 hour", "@every 1h", "28 13:00, 28 14:00, 28 15:00, 28 16:00"),
        ("@every 1d", "@every 24h", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        ("@Every 1D", "@every 24h", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        ("hourly", "@hourly", "28 13:00, 28 14:00, 28 15:00, 28 16:00"),
        ("Daily", "@daily", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        # what does not belong to it
        ("0 9 * * * # at nine", "0 9 * * *", "29 09:00, 30 09:00, 01 09:00, 02 09:00"),
        ("0 9 * * * #x", "0 9 * * *", "29 09:00, 30 09:00, 01 09:00, 02 09:00"),
        ("@daily # x", "@daily", "29 00:00, 30 00:00, 01 00:00, 02 00:00"),
        ("cron(0 12 * * ? *) # x", "0 12 * * *", "29 12:00, 30 12:00, 01 12:00, 02 12:00"),
        (r"\*/5 \* * * *", "*/5 * * * *", "28 12:35, 28 12:40, 28 12:45, 28 12:50"),
        ("0 9 * * * \\", "0 9 * * *", "29 09:00, 30 09:00, 01 09:00, 02 09:00"),
        ("\uff10 \uff19 * * \uff2d\uff2f\uff2e", "0 9 * * MON",
         "30 09:00, 07 09:00, 14 09:00, 21 09:00"),
    ],
)  # fmt: skip
def test_the_schedule_of_a_hint_means_the_same(text: str, hint: str, times: str) -> None:
    assert len(problems_of(text)) == 1
    assert applied(text) == hint
    assert due(hint) == times


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# 0 9 * * *", "ends in a comment: the schedule is empty"),
        ("last day of month 00:00", "the last day of a month has no counterpart"),
        ("every last day of month 00:00", "the last day of a month has no counterpart"),
        ("2nd monday of month 09:00", "a weekday of a month has no counterpart"),
        ("first mon,wed of sep 09:00", "a weekday of a month has no counterpart"),
        ("every 1 week", "weeks have no counterpart; name a weekday, as in 0 9 * * mon"),
        ("every 2 weeks", "weeks have no counterpart"),
        ("every 3 months", "months have no counterpart; name them, as in 0 9 1 jan,apr *"),
        ("every 30 mins from 09:00 to 17:15", "an end within an hour has no counterpart"),
        ("every 30 mins from 09:15 to 17:00", "a start within an hour has no counterpart"),
        ("rate(0 minutes)", "a rate is such as rate(5 minutes), with a number from 1"),
        ("rate(0 seconds)", "with a number from 1"),
        ("@every 0m", "must be 1 s to 24 h"),
        ("@every 90", "write @every Ns"),
        ("@every 36h", "must be 1 s to 24 h"),
    ],
)
def test_what_has_no_counterpart_is_named(text: str, words: str) -> None:
    (problem,) = problems_of(text)
    assert words in problem
    assert 'write "' not in problem


# ---- a field too many


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5 9 * * mon *", 'would run "5 9 * * mon"; drop the last, "*"'),
        ("5 9 * * * 2", 'would run "5 9 * * *"; drop the last, "2"'),
        ("70 0 9 * * *", 'the field "70" is too many: write "0 9 * * *"'),
        ("5 9 1 jan * 99 *", "the schedule has 7 fields, must have 5: minute"),
        ("5 9 40 * * mon", 'the field "40" is too many: write "5 9 * * mon"'),
    ],
)
def test_the_field_that_is_too_many_is_named(text: str, words: str) -> None:
    (problem,) = problems_of(text)
    assert words in problem
    if match := re.search(r'write "([^"]+)"', problem):
        assert parse_expression(match[1])


@pytest.mark.parametrize(
    "text",
    ["0 99 * * * 2", "0 9, 17 * *", "0 25 * * * *", "70 80 * * * *", "1- 5 x * * *", "a b c d e f"],
)
def test_no_line_that_is_refused_is_said_to_run_in_elastic_beanstalk(text: str) -> None:
    for problem in problems_of(text):
        match = re.search(r'it would run "([^"]+)"', problem)
        assert match is None, problem


@pytest.mark.parametrize("first", ["0", "70", "*", "mon", "9,"])
@pytest.mark.parametrize("last", ["*", "mon", "99", "2026", "x"])
@pytest.mark.parametrize("third", ["*", "40", "1"])
def test_what_is_said_to_run_is_a_schedule(first: str, third: str, last: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression(f"{first} 9 {third} * * {last}")
    for _, problem in caught.value.problems:
        if match := re.search(r'it would run "([^"]+)"', problem):
            assert parse_expression(match[1])


# ---- files


@pytest.mark.parametrize(
    ("url", "words", "write"),
    [
        ("POST /u", "names a method, and each task is a POST", "/u"),
        ("GET /u?a=b", "names a method, and each task is a POST", "/u?a=b"),
        ("post u", "names a method, and each task is a POST", "/u"),
        ("../u", "begins with ../ or ./, which a url from the root does not have", "/u"),
        ("./u", "begins with ../ or ./, which a url from the root does not have", "/u"),
        ("../../a/u", "begins with ../ or ./, which a url from the root does not have", "/a/u"),
        ("/$X", "holds a variable, which nothing fills in; write the path itself, or", "/%24X"),
        ("/a/$STAGE/x", "holds a variable, which nothing fills in", "/a/%24STAGE/x"),
    ],
)
def test_the_url_of_a_hint_is_accepted(url: str, words: str, write: str) -> None:
    _, (problem,) = read_cron_yaml(FILE.format(url=f'"{url}"', schedule='"@daily"'))
    assert words in problem.message
    assert problem.message.endswith(f"write {write}") or f"{write} if" in problem.message
    (task,) = parse_cron_yaml(FILE.format(url=f'"{write}"', schedule='"@daily"')).tasks
    assert task.url == write


def test_a_dollar_that_names_nothing_is_a_letter_of_a_path() -> None:
    (task,) = parse_cron_yaml(FILE.format(url='"/a$/5$1"', schedule='"@daily"')).tasks
    assert task.url == "/a$/5$1"


@pytest.mark.parametrize("key", ["method", "payload", "body", "headers", "data", "input"])
def test_what_a_post_of_a_task_does_not_have_is_a_warning(key: str) -> None:
    text = FILE.format(url="/a", schedule='"@daily"')
    schedule = parse_cron_yaml(f"{text}    {key}: hunter2\n")
    assert len(schedule.tasks) == 1
    (warning,) = schedule.warnings
    assert f"`{key}` is ignored: each task is a POST with an empty body, as in Elastic" in warning
    assert "put what the task needs into its url" in warning
    assert parse_cron_yaml(FILE.format(url="/a?x=hunter2", schedule='"@daily"')).warnings == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('cron:\n  name: a\n  url: /a\n  schedule: "@daily"\n',
         "cron must be a list of tasks, got a mapping; write a hyphen before each task, as in"
         " `- name: ...`"),
        ('cron:\n  backup:\n    url: /a\n    schedule: "@daily"\n',
         "cron must be a list of tasks, got a mapping; write each task with its name in the list,"
         " as in `- name: backup`"),
        ("cron: {}\n", "cron must be a list of tasks, got a mapping; none is `cron: []`"),
    ],
)  # fmt: skip
def test_cron_as_a_mapping_gets_its_hint(text: str, words: str) -> None:
    _, (problem,) = read_cron_yaml(f"version: 1\n{text}")
    assert words in problem.message
    for name in ("a", "backup"):
        followed = f'version: 1\ncron:\n  - name: {name}\n    url: /a\n    schedule: "@daily"\n'
        assert parse_cron_yaml(followed).tasks
