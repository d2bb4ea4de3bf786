"""What a schedule may say, and what is said about one that may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.cron.expression import (
    CronExpression,
    Interval,
    InvalidExpression,
    parse_expression,
)


def cron(text: str) -> CronExpression:
    expression = parse_expression(text)
    assert isinstance(expression, CronExpression)
    return expression


def problems(text: str) -> tuple[tuple[int, str], ...]:
    with pytest.raises(InvalidExpression) as caught:
        parse_expression(text)
    return caught.value.problems


def test_fields_become_sets_of_numbers() -> None:
    expression = cron("0-10/5,30 */12 1,15 jan-MAR 1-5/2")
    assert expression.minutes == {0, 5, 10, 30}
    assert expression.hours == {0, 12}
    assert expression.days == {1, 15}
    assert expression.months == {1, 2, 3}
    assert expression.weekdays == {1, 3, 5}


@pytest.mark.parametrize("text", ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 * * SUN"])
def test_sunday_has_three_names(text: str) -> None:
    assert cron(text).weekdays == {0}


@pytest.mark.parametrize(
    ("text", "either"),
    [
        ("0 0 1 * 1", True),
        ("0 0 */2 * 1", True),
        ("0 0 1 * */2", True),
        ("0 0 */1 * */1", True),
        ("0 0 * * 1", False),
        ("0 0 1 * *", False),
        ("0 0 */2 * *", False),
    ],
)
def test_only_a_literal_star_makes_both_day_fields_count(text: str, either: bool) -> None:
    assert cron(text).either_day is either


@pytest.mark.parametrize(
    "text", ["*\t*  * * *", "* * * * * ", "00 05 * * *", "*/60 */24 */31 */12 */7"]
)
def test_what_elastic_beanstalk_reads_as_meant_is_accepted(text: str) -> None:
    assert cron(text).text == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("@every 1s", 1), ("@every 90s", 90), ("@every 5m", 300), ("@EVERY  24h", 86_400)],
)
def test_every_is_a_number_of_seconds(text: str, seconds: int) -> None:
    assert parse_expression(text) == Interval(text, seconds)


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("*/30 * * * * *", 0, ["ignores the last", '"*/30 * * * *"', "@every 30s"]),
        ("0 30 2 * * *", 0, ["must have 5", 'meant as seconds, write "30 2 * * *"']),
        ("0 30 2 * * mon", 0, ["must have 5", '"30 2 * * mon"']),
        ("0 0 1 1 * 2026", 0, ["ignores the last", "years"]),
        (" 0 0 * * *", 0, ["begins with a blank", '"0 0 * * *"']),
        ("0 0 31 2 *", 4, ["February", "31", "29"]),
        ("0 0 30,31 feb *", 4, ["February", "30"]),
        ("0 0 31 4,6,9,11 *", 4, ["April, June, September, November", "last day there is 30"]),
        ("*/0 * * * *", 0, ['"*/0"', "from 1"]),
        ("*/x * * * *", 0, ['"*/x"', "from 1"]),
        ("*5 * * * *", 0, ["write */5"]),
        ("5/10 * * * *", 0, ["without a range", "5-59/10"]),
        ("0 3/4 * * *", 2, ["without a range", "3-23/4"]),
        ("*/90 * * * *", 0, ["60 values", "@every 90m"]),
        ("0 */36 * * *", 2, ["24 values", '"0"']),
        ("0 0 * * sunday", 8, ["full name", "write sun"]),
        ("0 0 * January *", 6, ["full name", "write jan"]),
        ("0 0 * * fri-sun", 8, ["backwards", "fri,sat,sun"]),
        ("0 22-2 * * *", 2, ["backwards", "22-23,0-2"]),
        ("0 0 * * 7-1", 8, ["backwards", "0-1"]),
        ("60 * * * *", 0, ['"60"', "0 to 59"]),
        ("* 24 * * *", 2, ['"24"', "0 to 23"]),
        ("0 0 0 * *", 4, ['"0"', "1 to 31"]),
        ("0 0 1 13 *", 6, ['"13"', "1 to 12"]),
        ("0 0 * * 8", 8, ['"8"', "0 to 7"]),
        ("0 0 * mon *", 6, ["belongs in the day of week field"]),
        ("0 0 * * jan", 8, ["belongs in the month field"]),
        ("0 0 L * *", 4, ['"L"', "not known"]),
        ("0 0 15W * *", 4, ['"15W"', "not known"]),
        ("0 0 * * 1#2", 8, ['"1#2"', "not known"]),
        ("0 0 ? * *", 4, ['write "*"']),
        ("1,,2 * * * *", 2, ["comma"]),
        ("1, * * * *", 2, ["comma"]),
        ("-1 * * * *", 0, ['"-1"']),
        ("1- * * * *", 0, ['"1-"']),
        ("1-2-3 * * * *", 0, ['"2-3"']),
        ("/5 * * * *", 0, ['"/5"']),
        ("1.5 * * * *", 0, ['"1.5"']),
        ("99999999999999 * * * *", 0, ["not a value"]),
        ("１ * * * *", 0, ['"１ * * * *"', 'write "1 * * * *"']),
        ("* * * *", 0, ["4 fields", "must have 5"]),
        ("5", 0, ["1 field,", "must have 5"]),
        ("* * * * * * *", 0, ["7 fields"]),
        ("", 0, ["empty"]),
        ("   ", 0, ["empty"]),
        ("@reboot", 0, ["@reboot", "@hourly", "@every"]),
        ("@hourli", 0, ['"@hourli"', "@hourly"]),
        ("@hourly 5", 0, ['"@hourly 5"']),
        ("@every", 0, ["@every 30s"]),
        ("@every 5", 0, ['"@every 5"', "@every Ns"]),
        ("@every 1.5s", 0, ["@every Ns"]),
        ("@every 0s", 0, ["1 s to 24 h"]),
        ("@every 25h", 0, ["1 s to 24 h"]),
        ("rate(5 minutes)", 0, ["EventBridge", "@every 5m"]),
        ("cron(0 12 * * ? *)", 0, ["EventBridge"]),
    ],
)
def test_a_bad_schedule_is_refused_with_its_place_and_the_hint(
    text: str, offset: int, words: list[str]
) -> None:
    (found,) = problems(text)
    assert found[0] == offset
    for word in words:
        assert word in found[1]


def test_all_problems_of_a_schedule_are_told_at_once() -> None:
    assert [offset for offset, _ in problems("70 25,*/0 32 13 sunday")] == [0, 3, 6, 10, 13, 16]


@pytest.mark.parametrize(
    "bad", ["", "x", "-", "*-", "1-x", "*/", "1-5/0", "#", "*/-1", "1--2", "**", "1/2/3", "0x1"]
)
@pytest.mark.parametrize("position", range(5))
def test_a_bad_value_is_refused_in_every_field(bad: str, position: int) -> None:
    words = ["*", "*", "*", "*", "*"]
    words[position] = f"1,{bad}"
    with pytest.raises(InvalidExpression):
        parse_expression(" ".join(words))


@given(text=st.text(alphabet="0123456789*/-,@ abdejmnosuLW#?", max_size=30) | st.text())
def test_any_text_is_either_a_schedule_or_refused_with_reasons(text: str) -> None:
    read: str | None = None
    reasons: tuple[tuple[int, str], ...] = ()
    try:
        read = parse_expression(text).text
    except InvalidExpression as error:
        reasons = error.problems
    assert read == text or reasons
    assert all(0 <= offset <= len(text) for offset, _ in reasons)
