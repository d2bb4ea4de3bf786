"""No message, error or warning shows a value that may be a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bootstrap.beanstalk.test_malformed import KEYS
from worker_tier_bootstrap.beanstalk import OPTIONS, read_settings
from worker_tier_bootstrap.beanstalk.options import ANY_NAME, PROPERTIES

#: Stands for a password; hypothesis draws no text that contains it by chance.
MARKER = "hunter2SECRET"
JVM = "aws:elasticbeanstalk:container:tomcat:jvmoptions"
#: Documents in which a secret stands where no public value can.
DOCUMENTS: dict[str, Any] = {
    "a property outside of a namespace": {"DB_PASSWORD": MARKER},
    "a block of YAML": f"PEM: |\n  -----BEGIN\n  {MARKER}\n",
    "an .env file": f"DB_PASSWORD={MARKER}\n",
    "an .env file in a list": [f"DB_PASSWORD={MARKER}"],
    "a mapping as a property": {PROPERTIES: {"CFG": {"password": MARKER}}},
    "several values as a property": {PROPERTIES: {"CFG": {"a": MARKER, "b": [MARKER]}}},
    "backticks with broken JSON": {PROPERTIES: {"A": f'`{{"Ref": "{MARKER}`'}},
    "backticks with a text": {PROPERTIES: {"A": f'`{{"{MARKER}'}},
    "Fn::If": {PROPERTIES: {"A": {"Fn::If": ["Prod", MARKER, "x"]}}},
    "Fn::If in a public option": {"aws:autoscaling:asg": {"Cooldown": {"Fn::If": ["P", MARKER]}}},
    "Fn::If in an option that is passed over": {
        "aws:elb:healthcheck": {"Interval": {"Fn::If": ["P", MARKER, MARKER]}}
    },
    "Fn::Base64": {PROPERTIES: {"A": {"Fn::Base64": MARKER}}},
    "Fn::Select": {PROPERTIES: {"A": {"Fn::Select": [MARKER, ["x"]]}}},
    "Fn::Join": {PROPERTIES: {"A": {"Fn::Join": ["", MARKER]}}},
    "Fn::Split": {PROPERTIES: {"A": {"Fn::Join": ["", {"Fn::Split": ["", MARKER]}]}}},
    "Fn::FindInMap": {PROPERTIES: {"A": {"Fn::FindInMap": ["A", "B", MARKER]}}},
    "a dynamic reference": {PROPERTIES: {"A": f"{{{{resolve:ssm:{MARKER}}}}}"}},
    "bytes": {PROPERTIES: {"A": MARKER.encode()}},
    "a wrong namespace": {"aws:elasticbeanstalk:application": {"DB_PASSWORD": MARKER}},
    "an unknown namespace": {"aws:elasticbeanstalk:env": {"DB_PASSWORD": MARKER}},
    "a custom option": {"aws:elasticbeanstalk:customoption": {"Password": MARKER}},
    "JVM Options": {JVM: {"JVM Options": f"-Dpassword={MARKER}"}},
    "another option of the JVM": {JVM: {"password": MARKER}},
    "NodeCommand": {"aws:elasticbeanstalk:container:nodejs": {"NodeCommand": f"A={MARKER} npm"}},
    "a port": {PROPERTIES: {"PORT": MARKER}},
    "several lines": {PROPERTIES: {"A": f"{MARKER}\nx"}},
    "an alias of YAML": f"{PROPERTIES}:\n  A: *{MARKER}\n",
    "an anchor of YAML": f"{PROPERTIES}:\n  A: &{MARKER} a\n  B: &{MARKER} b\n  C: [\n",
    "a tag of YAML": f"{PROPERTIES}:\n  A: !{MARKER}\n",
    "a tag of YAML with a handle": f"{PROPERTIES}:\n  A: !{MARKER}!x y\n",
    "options that are a text": {"option_settings": MARKER},
    "an environment's kind": {"EnvironmentTier": {"Name": MARKER}, "OptionSettings": []},
}


def reported(document: Any) -> str:
    """All that is reported of a document, honoured options and origins included."""
    reading = read_settings(document)
    origins = [str(o) for found in reading.settings.origins.values() for o in found]
    return "\n".join([*map(str, reading.findings), *map(repr, reading.findings), *origins])


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_secret_is_in_no_message(document: Any) -> None:
    assert read_settings(document).findings
    assert MARKER not in reported(document)


@pytest.mark.parametrize("row", [f"{ns} {name}" for ns in OPTIONS for name in OPTIONS[ns]])
def test_only_a_public_row_shows_its_value(row: str) -> None:
    namespace, _, name = row.partition(" ")
    option = OPTIONS[namespace][name]
    plain = "Name" if name == ANY_NAME else name
    found = reported({namespace.replace(":*", ":name"): {plain: MARKER}})
    assert found
    assert option.public or MARKER not in found


#: Keys whose values are no names of options, resources and conditions: names are shown.
VALUED = [
    key
    for key in KEYS
    if key not in ("Ref", "Fn::GetAtt", "Condition") and "name" not in key.lower()
]
values = st.recursive(
    st.just(MARKER) | st.just(MARKER.encode()),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(VALUED), inner, max_size=3)
    ),
    max_leaves=8,
)
private = st.sampled_from(
    [
        (ns.replace(":*", ":name"), "Name" if name == ANY_NAME else name)
        for ns, rows in OPTIONS.items()
        for name, row in rows.items()
        if not row.public
    ]
    + [("aws:elasticbeanstalk:sqsd", "Unknown"), ("aws:unknown", "A"), ("A", "B")]
)


@settings(max_examples=200, deadline=None)
@given(place=private, value=values, as_text=st.booleans())
def test_a_secret_in_any_value_is_in_no_message(
    place: tuple[str, str], value: Any, as_text: bool
) -> None:
    namespace, option = place
    documents: list[Any] = [
        {namespace: {option: value}},
        {namespace: value},
        [{"namespace": namespace, "option_name": option, "value": value}],
        value if isinstance(value, bytes) else [value],
    ]
    for document in documents:
        text = json.dumps(document, default=lambda value: value.decode()) if as_text else document
        assert MARKER not in reported(text)
