"""Hostile documents are read in a time that grows with their size, and name the right place."""

from __future__ import annotations

import time

import pytest

from worker_tier_bootstrap.beanstalk import read_settings, refusals

PROPERTIES = "aws:elasticbeanstalk:application:environment"
SQSD = "aws:elasticbeanstalk:sqsd"


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: 1\nb: \x00\n", (2, 4)), ("\x07", (1, 1)), ("a: 1\r\nbc\x1b", (2, 3))],
)
def test_a_control_character_is_reported_at_its_place(text: str, place: tuple[int, int]) -> None:
    (found,) = refusals(read_settings(text).findings)
    assert (found.place.line, found.place.column) == place


def test_the_first_unknown_names_have_a_suggestion_and_the_rest_none() -> None:
    names = {f"HttpPath{number}": "/a" for number in range(25)}
    hints = [finding.hint for finding in refusals(read_settings({SQSD: names}).findings)]
    assert ["HttpPath;" in hint for hint in hints] == [True] * 20 + [False] * 5
    assert set(hints[20:]) == {"leave it out"}


def test_many_unknown_names_and_unfinished_references_take_no_minutes() -> None:
    start = time.process_time()
    names = {f"HttpPath{number}": "/a" for number in range(10_000)}
    assert len(read_settings({SQSD: names}).findings) == 10_000
    read_settings({PROPERTIES: {"A": "{{resolve:" * 50_000}})
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "value", ["{{resolve:ssm:/a}}", "x{{resolve:ssm:{a}}}", "{{resolve:{{resolve:ssm:/a}}"]
)
def test_a_dynamic_reference_is_refused_wherever_it_stands(value: str) -> None:
    (found,) = refusals(read_settings({PROPERTIES: {"A": value}}).findings)
    assert "is a dynamic reference" in found.message
