"""Schedules of other programs are refused with the line to write, which is then accepted."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.cron.expression import InvalidExpression, parse_expression
from sqsd.cron.notations import translated


def hint_of(text: str) -> str:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "notation", "schedule"),
    [
        # as a word processor writes it
        ("0 9 * * 1–5", "typographic", "0 9 * * 1-5"),
        ("0 9 * * 1—5", "typographic", "0 9 * * 1-5"),
        ("0 9 * * 1−5", "typographic", "0 9 * * 1-5"),
        ("“0 9 * * *”", "typographic", "0 9 * * *"),
        ("‘0 9 * * *’", "typographic", "0 9 * * *"),
        ("«0 9 * * *»", "typographic", "0 9 * * *"),
        ("'0 9 * * *'", "quotes", "0 9 * * *"),
        ("０ 9 * * ＊".replace("０", "0"), "typographic", "0 9 * * *"),
        ("“@daily”", "typographic", "@daily"),
        ("“rate(5 minutes)”", "EventBridge", "@every 5m"),
        # EventBridge's
        ("rate(5 minutes)", "EventBridge", "@every 5m"),
        ("rate( 1 hour )", "EventBridge", "@every 1h"),
        ("RATE(24 hours)", "EventBridge", "@every 24h"),
        ("rate(1 day)", "EventBridge", "@daily"),
        ("rate(2 days)", "EventBridge", "0 0 */2 * *"),
        ("cron(0 12 * * ? *)", "EventBridge", "0 12 * * *"),
        ("cron(15 10 * * ? *)", "EventBridge", "15 10 * * *"),
        ("cron(0 18 ? * MON-FRI *)", "EventBridge", "0 18 * * MON-FRI"),
        ("cron(0/10 * ? * MON-FRI *)", "EventBridge", "*/10 * * * MON-FRI"),
        ("cron(0/5 8-17 ? * 2-6 *)", "EventBridge", "*/5 8-17 * * mon-fri"),
        ("cron(5/15 * * * ? *)", "EventBridge", "5-59/15 * * * *"),
        ("cron(0 8 1 * ? 2026-2027)", "EventBridge", "0 8 1 * *"),
        ("cron(0 9 1 JAN,JUL ? *)", "EventBridge", "0 9 1 JAN,JUL *"),
        ("0 12 * * ? *", "EventBridge", "0 12 * * *"),
        ("30 10 ? * WED,FRI *", "EventBridge", "30 10 * * WED,FRI"),
        # Quartz's
        ("0 0 12 * * ?", "Quartz", "0 12 * * *"),
        ("0 15 10 ? * *", "Quartz", "15 10 * * *"),
        ("0 15 10 * * ? *", "Quartz", "15 10 * * *"),
        ("0 15 10 * * ? 2026", "Quartz", "15 10 * * *"),
        ("0 0/5 14,18 * * ?", "Quartz", "*/5 14,18 * * *"),
        ("0 10,44 14 ? 3 WED", "Quartz", "10,44 14 * 3 WED"),
        ("0 15 10 ? * 2-6", "Quartz", "15 10 * * mon-fri"),
        ("0 0 12 1/5 * ?", "Quartz", "0 12 */5 * *"),
        ("30 0 12 * * ?", "Quartz", "0 12 * * *"),
        ("0 11 11 11 11 ?", "Quartz", "11 11 11 11 *"),
        # App Engine's
        ("every 5 minutes", "App Engine", "@every 5m"),
        ("every 24 hours", "App Engine", "@every 24h"),
        ("every 48 hours", "App Engine", "0 0 */2 * *"),
        ("every 12 hours synchronized", "App Engine", "@every 12h"),
        ("every 1 mins", "App Engine", "@every 1m"),
        ("every day 00:00", "App Engine", "0 0 * * *"),
        ("Every Monday 09:00", "App Engine", "0 9 * * mon"),
        ("every mon, wed,friday 09:30", "App Engine", "30 9 * * mon,wed,fri"),
        ("1 of jan,april,july,oct 00:00", "App Engine", "0 0 1 jan,apr,jul,oct *"),
        ("1,15 of month 04:05", "App Engine", "5 4 1,15 * *"),
        ("every 2 hours from 10:00 to 14:00", "App Engine", "0 10-14/2 * * *"),
        ("every 30 mins from 10:00 to 14:00", "App Engine", "*/30 10-13 * * *"),
        ("every 30 mins from 10:00 to 11:00", "App Engine", "*/30 10 * * *"),
    ],
)
def test_a_schedule_of_another_notation_is_refused_with_the_one_to_write(
    text: str, notation: str, schedule: str
) -> None:
    hint = hint_of(text)
    assert notation in hint
    assert f'write "{schedule}"' in hint
    assert parse_expression(schedule).text == schedule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cron(0 10 L * ? *)", "L, W, # and values out of range have no counterpart"),
        ("cron(0 10 ? * 2#1 *)", "L, W, # and values out of range have no counterpart"),
        ("0 15 10 ? * 6L", "L, W, # and values out of range have no counterpart"),
        ("0 15 10 ? * 9", "L, W, # and values out of range have no counterpart"),
        ("0 0 12 15W * ?", "L, W, # and values out of range have no counterpart"),
        ("cron(0 10)", "five fields are needed"),
        ("rate(0 minutes)", "a rate is such as rate(5 minutes)"),
        ("rate(five minutes)", "a rate is such as rate(5 minutes)"),
        ("rate(36 hours)", "no schedule has intervals of that length"),
        ("at(2026-01-01T00:00:00)", "send a message at that time"),
        ("every 0 minutes", "five fields are needed"),
        ("every 25 hours", "no schedule has intervals of that length"),
        ("every 7 minutes from 10:00 to 14:00", "an hour is no multiple of it"),
        ("every 2 hours from 14:00 to 10:00", "five fields are needed"),
        ("every full moon 10:00", "five fields are needed"),
        ("1 of brumaire 10:00", "five fields are needed"),
        ("1st monday of september 17:00", "a weekday of a month has no counterpart"),
        ("2nd,third mon of month 04:00", "a weekday of a month has no counterpart"),
        ("every 5 bananas", "five fields are needed"),
    ],
)
def test_what_has_no_counterpart_is_said_with_a_form_that_works(text: str, words: str) -> None:
    hint = hint_of(text)
    assert words in hint
    assert "write five fields such as */5 * * * *, or @every 5m" in hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 9 * * FRI−MON", "written as 0 9 * * FRI-MON: day of week"),
        ("cron(0 25 * * ? *)", "written as 0 25 * * *: hour"),
        ("0 0/15 * * * *", 'meant as seconds, write "*/15 * * * *"'),
        ("0 0 12 * * 9", "meant as seconds, written as 0 12 * * 9: day of week"),
        ("0 0 1 1 * 2026", 'years are not supported, write "0 0 1 1 *"'),
        (" 0 25 * * *", "begins with a blank, by which Elastic Beanstalk shifts every field by"),
    ],
)
def test_no_hint_leads_to_the_next_error(text: str, words: str) -> None:
    assert words in hint_of(text)


def test_what_elastic_beanstalk_reads_is_never_translated() -> None:
    for text in ("*/5 * * * *", "0 9 * * mon-fri", "@daily", "@every 5m", "0 0 ? * *", "fri"):
        assert translated(text) is None


pieces = st.sampled_from(
    ["rate(", "cron(", "every ", "0", "5", "?", "*", "L", "#", "/", "-", "–", "“", "”", " ", " ",
     " of ", "month", "mon", "monday", "jan", "minutes", "hours", "days", " from ", "10:00", " to ",
     ")", ",", "1st", "2026", "day", "\u00a0", "99999999"]
)  # fmt: skip


@given(text=st.lists(pieces, max_size=14).map("".join) | st.text(max_size=30))
def test_a_schedule_in_a_hint_is_accepted(text: str) -> None:
    try:
        parse_expression(text)
    except InvalidExpression as error:
        for _, message in error.problems:
            written = re.search(r'; write "([^"]+)"|seconds, write "([^"]+)"', message)
            if written and "known to Elastic" not in message and "whole field" not in message:
                parse_expression(next(filter(None, written.groups())))
