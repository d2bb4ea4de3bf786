"""Whatever a document holds, reading it ends with findings and never with a traceback."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tests.bootstrap.beanstalk.settings_documents import DOCUMENTS, Document
from worker_tier_bootstrap.beanstalk import OPTIONS, Reading, read_settings, refusals
from worker_tier_bootstrap.beanstalk.options import ANY_NAME

KEYS = [
    "ConfigurationSettings", "OptionSettings", "option_settings", "setting", "Resources", "Type",
    "Properties", "Tier", "Name", "Mappings", "Condition", "Tags", "EnvironmentTier", "Options",
    "namespace", "Namespace", "option_name", "OptionName", "name", "value", "Value",
    "resource_name", "ResourceName", "Ref", "Fn::Join", "Fn::Sub", "Fn::Select", "Fn::Split",
    "Fn::GetAtt", "Fn::If", "Fn::FindInMap", "Fn::GetOptionSetting", "Namespace", "DefaultValue",
    "DeploymentStatus", "container_commands", "AWSEBCloudwatchAlarmLow.aws:autoscaling:trigger",
]  # fmt: skip
NAMES = [name for rows in OPTIONS.values() for name in rows if name != ANY_NAME]
VALUES = [
    "true", "false", "1", "-1", "10%", "-", "%", "", " ", "SingleInstance", "Rolling", "Fixed",
    "`{\"Ref\": \"AWS::Region\"}`", "`{", "{{resolve:ssm:x}}", "Ref", "AWS::Region", "sg-1",
    "AWSEBWorkerQueue", "1e999", "nan", "٣", "²", "deployed", "AWS::ElasticBeanstalk::Environment",
    "2026-01-01T00:00:00Z", "TCP:80", "t4g.small", "9" * 5000, "Worker", "PT30M",
]  # fmt: skip

#: Texts with halves of characters, which JSON can name and no encoding can write.
SURROGATES = st.sampled_from(["\ud800", "a\udfff", "\udc00\ud800"])
#: Numbers with more digits than Python writes, and with as many as it writes.
BIG = st.sampled_from([5000, 4299]).map(lambda digits: -(10**digits))

keys = SURROGATES | st.sampled_from([*KEYS, *OPTIONS, *NAMES, "PORT"]) | st.text(max_size=8)
scalars = (
    st.sampled_from([*VALUES, *NAMES, *OPTIONS])
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | BIG
    | st.text(max_size=12)
    | SURROGATES
)
data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
namespaces = st.dictionaries(
    st.sampled_from(list(OPTIONS)), st.dictionaries(keys, data, max_size=6), max_size=6
)
entries = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "namespace": st.sampled_from(list(OPTIONS)) | data,
            "option_name": st.sampled_from(NAMES) | data,
            "resource_name": scalars,
            "value": data,
        },
    ),
    max_size=8,
)
decided = st.lists(
    st.sampled_from(["Procfile", "vpc", "queue", "update_policy", "security_group", "capacity"]),
    max_size=3,
)


def check(reading: Reading) -> None:
    """What every reading promises."""
    for finding in reading.findings:
        assert str(finding)
        str(finding).encode()  # raises for half of a character
    for name in reading.settings.environment:
        assert name != "PORT"


@settings(max_examples=120, deadline=None)
@given(document=data | namespaces | entries, props=decided)
def test_data_of_any_shape_ends_with_findings(document: Any, props: list[str]) -> None:
    check(read_settings(document, decided=props))


@settings(max_examples=60, deadline=None)
@given(document=namespaces | entries, wrapper=st.sampled_from(KEYS[:5]))
def test_any_shape_inside_of_a_known_form_ends_with_findings(document: Any, wrapper: str) -> None:
    check(read_settings({wrapper: document}))
    check(read_settings({wrapper: [document]}))
    check(read_settings({wrapper: [{"OptionSettings": document}]}))


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_ends_with_findings(text: str) -> None:
    check(read_settings(text))


@settings(max_examples=300, deadline=None)
@given(
    document=st.sampled_from(DOCUMENTS),
    at=st.integers(0, 2_000),
    length=st.integers(0, 40),
    insert=st.sampled_from(
        ["", "\t", "\n", "`", "'", '"', "{", "}", "[", "]", ":", "- ", "&a ", "*a", "!Ref ", "<<: ",
         "|\n", "#", "---\n", "\x00", "\ufeff", "é", "%", "? "]
    ),
)  # fmt: skip
def test_a_damaged_document_ends_with_findings(
    document: Document, at: int, length: int, insert: str
) -> None:
    text = document.text
    at = min(at, len(text))
    check(read_settings(text[:at] + insert + text[at + length :], decided=document.decided))


@settings(max_examples=40, deadline=None)
@given(document=namespaces)
def test_text_and_data_of_one_document_are_read_alike(document: dict[str, Any]) -> None:
    # A float is written in more than one way, and only the text says in which.
    try:
        written = json.dumps(document)
    except ValueError:
        reject()  # Python does not write a number of so many digits
    plain = json.loads(written, parse_float=str, parse_constant=str)
    from_data = read_settings(plain)
    from_json = read_settings(json.dumps(plain))
    assert from_json.settings.sqsd == from_data.settings.sqsd
    assert from_json.settings.environment == from_data.settings.environment
    assert sorted(f.message for f in from_json.findings) == sorted(
        f.message for f in from_data.findings
    )


#: Documents that YAML's plain loader reads alike: no short forms of functions, no null.
LOADABLE = [d for d in DOCUMENTS if not re.search(r"!\w|setting \{|: null", d.text)]


@pytest.mark.parametrize("document", LOADABLE, ids=lambda document: document.name)
def test_a_document_that_is_loaded_first_is_read_alike(document: Document) -> None:
    loaded = yaml.load(document.text, Loader=yaml.BaseLoader)  # noqa: S506
    before = read_settings(document.text, decided=document.decided)
    after = read_settings(loaded, decided=document.decided)
    assert len(refusals(after.findings)) == len(refusals(before.findings))
