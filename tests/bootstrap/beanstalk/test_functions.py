from __future__ import annotations

import pytest

from worker_tier_bootstrap.beanstalk.documents import Scalar, Table, read_document
from worker_tier_bootstrap.beanstalk.findings import NOWHERE
from worker_tier_bootstrap.beanstalk.functions import Reference, Resolver, Text, Unresolved

MAPPINGS = read_document({"Sizes": {"eu-west-1": {"Most": "6"}}})
assert isinstance(MAPPINGS, Table)
RESOLVER = Resolver(mappings=MAPPINGS)


def resolved(value: object) -> str | None:
    text = RESOLVER.text(read_document({"x": value}).entries[0].value)  # type: ignore[union-attr]
    return None if text is None else str(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (None, None),
        (["a", "b"], "a,b"),
        ({"Ref": "AWS::Region"}, "${AWS::Region}"),
        ({"Ref": "AWS::NoValue"}, None),
        ({"Fn::GetAtt": "AWSEBWorkerQueue.QueueName"}, "${AWSEBWorkerQueue.QueueName}"),
        ({"Fn::GetAtt": ["AWSEBWorkerQueue", "Arn"]}, "${AWSEBWorkerQueue.Arn}"),
        ({"Fn::Join": ["", ["a", {"Ref": "AWS::Region"}]]}, "a${AWS::Region}"),
        ({"Fn::Join": [",", {"Fn::Split": ["-", "a-b"]}]}, "a,b"),
        ({"Fn::Sub": "${ AWS::StackName }!"}, "${AWS::StackName}!"),
        ({"Fn::Sub": ["${A}", {"A": {"Fn::Join": ["-", ["a", "b"]]}}]}, "a-b"),
        ({"Fn::Select": ["1", ["a", "b"]]}, "b"),
        ({"Fn::Select": [0, {"Fn::Split": [",", "a,b"]}]}, "a"),
        ({"Fn::FindInMap": ["Sizes", "eu-west-1", "Most"]}, "6"),
        ('`{"Fn::Join": ["", ["a", {"Ref": "AWS::Region"}]]}`', "a${AWS::Region}"),
        ('`{"Ref": "AWS::NoValue"}`', None),
        ('x`{"Ref": "AWS::NoValue"}`y', "xy"),
        ("`date` and `whoami`", "`date` and `whoami`"),
        ("an odd ` in it", "an odd ` in it"),
    ],
)
def test_what_is_known_at_synth_is_resolved(value: object, expected: str | None) -> None:
    assert resolved(value) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"Ref": "Table"}, "Ref (Table) cannot be resolved: only the environment's stack"),
        ({"Ref": ["a"]}, "Ref takes a literal text, got a list"),
        ({"Fn::GetAtt": "Table"}, "Fn::GetAtt (Table) names no attribute"),
        ({"Fn::GetAtt": ["Table", "Arn"]}, "Fn::GetAtt (Table.Arn) cannot be resolved"),
        ({"Fn::Join": ["a"]}, "Fn::Join takes a list of two"),
        ({"Fn::Join": ["a", "b"]}, "Fn::Join takes a list, got a text of 1 characters"),
        ({"Fn::Join": [{"Ref": "A"}, []]}, "Fn::Join takes a literal text"),
        ({"Fn::Join": ["", {"Fn::Split": ["", "a"]}]}, "Fn::Split has no separator"),
        ({"Fn::Join": ["", {"Fn::Split": [",", {"Ref": "AWS::Region"}]}]}, "no literal text"),
        ({"Fn::Sub": "${Table}"}, "Fn::Sub (Table) cannot be resolved"),
        ({"Fn::Sub": ["x", "y"]}, "Fn::Sub takes variables"),
        ({"Fn::Select": [2, ["a", "b"]]}, "Fn::Select has 2 items, and its index is none of them"),
        ({"Fn::Select": ["x", ["a"]]}, "Fn::Select has 1 items, and its index is none of them"),
        (
            {"Fn::FindInMap": ["Sizes", "us-east-1", "Most"]},
            "Fn::FindInMap cannot be resolved: the document's Mappings",
        ),
        (
            {"Fn::FindInMap": ["Sizes", {"Ref": "AWS::Region"}, "Most"]},
            "Fn::FindInMap cannot be resolved: the document's Mappings",
        ),
        ({"Fn::FindInMap": ["Sizes"]}, "Fn::FindInMap takes three names"),
        ({"Fn::If": ["Prod", "a", "b"]}, "Fn::If cannot be resolved: a cond"),
        ({"Fn::ImportValue": "X"}, "Fn::ImportValue cannot be resolved: another stack's"),
        ({"Fn::Base64": "x"}, "Fn::Base64 cannot be resolved: encoded values"),
        ({"Fn::Frob": "x"}, "Fn::Frob cannot be resolved: it is not a function"),
        ({"Fn::GetOptionSetting": "x"}, "Fn::GetOptionSetting takes a mapping"),
        ({"Fn::GetOptionSetting": {}}, "names no OptionName"),
        ({"Fn::GetOptionSetting": {"OptionName": "A"}}, "the document does not set it"),
        ({"a": 1, "b": 2}, "a mapping of 2 keys is not one text and not one function"),
        ({}, "an empty mapping is not one text"),
        ('`{"Ref": }`', "Ref takes a literal text, got nothing"),
        ("`{a: [b}`", "is not JSON"),
        ("{{resolve:ssm:/db/host}}", "{{resolve:...}} is a dynamic reference"),
        (["a", {"Ref": "Table"}], "Ref (Table) cannot be resolved"),
    ],
)
def test_what_is_not_known_is_refused_by_its_name(value: object, words: str) -> None:
    with pytest.raises(Unresolved) as caught:
        resolved(value)
    assert words in caught.value.reason


def test_a_text_is_filled_with_what_the_deployment_knows() -> None:
    text = Text(("https://sqs.", Reference.REGION, ".", Reference.URL_SUFFIX))
    assert text.literal is None
    assert text.filled(lambda reference: reference.name) == "https://sqs.REGION.URL_SUFFIX"
    assert Text(("a", "b")).literal == "ab"


def test_an_option_that_reads_itself_ends() -> None:
    function = read_document({"Fn::GetOptionSetting": {"Namespace": "n", "OptionName": "o"}})
    alone = Resolver()
    resolver = Resolver(lookup=lambda namespace, option: alone.text(function))
    with pytest.raises(Unresolved, match="the document does not set it"):
        resolver.text(function)
    assert resolver.text(Scalar(None, NOWHERE)) is None
