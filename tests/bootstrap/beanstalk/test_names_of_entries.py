"""Names of entries that are not plain text are resolved or refused, and never lost."""

from __future__ import annotations

from typing import Any

import pytest

from worker_tier_bootstrap.beanstalk import Text, read_settings, refusals

SQSD = "aws:elasticbeanstalk:sqsd"


@pytest.mark.parametrize(
    "namespace",
    [
        SQSD,
        f" {SQSD} ",
        {"Fn::Sub": SQSD},
        {"Fn::Join": [":", ["aws", "elasticbeanstalk", "sqsd"]]},
        '`{"Fn::Join": [":", ["aws", "elasticbeanstalk", "sqsd"]]}`',
    ],
)
def test_a_namespace_that_is_known_at_synth_is_resolved(namespace: Any) -> None:
    entry = {"namespace": namespace, "option_name": {"Fn::Sub": "HttpPath"}, "value": "/work"}
    reading = read_settings([entry])
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == {"http_path": "/work"}
    assert reading.settings.environment == {}


@pytest.mark.parametrize("namespace", [None, "", " ", {"Ref": "AWS::NoValue"}])
def test_the_namespace_of_properties_is_that_of_entries_without_one(namespace: Any) -> None:
    reading = read_settings([{"namespace": namespace, "option_name": "A", "value": "1"}])
    assert reading.settings.environment == {"A": Text(("1",))}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ({"Fn::Sub": "aws:${Which}"}, "Fn::Sub (Which) cannot be resolved"),
        ({"Fn::Sub": "${AWS::Region}"}, "it is known only when the stack is deployed"),
        ({"Ref": "Which"}, "Ref (Which) cannot be resolved"),
        ({"Fn::If": ["Prod", "a", "b"]}, "Fn::If cannot be resolved"),
        ({"a": "1", "b": "2"}, "a mapping of 2 keys is not one text"),
        ({}, "an empty mapping is not one text"),
        (["a"], "it is a list"),
        ([], "it is a list"),
        ('`{"Ref": "Which"}`', "Ref (Which) cannot be resolved"),
    ],
)
@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("namespace", "namespace"),
        ("option_name", "option name"),
        ("resource_name", "ResourceName"),
    ],
)
def test_a_name_that_is_not_known_at_synth_is_refused(
    key: str, what: str, name: Any, words: str
) -> None:
    entry = {"namespace": SQSD, "option_name": "HttpPath", "value": "/work", key: name}
    reading = read_settings([entry])
    (found,) = refusals(reading.findings)
    assert found.message.startswith(f"an entry's {what} is not plain text: ")
    assert words in found.message
    assert reading.settings.environment == {}
    assert reading.settings.sqsd == {}
