"""Options that a document repeats, inherits or leaves without a value are read or reported."""

from __future__ import annotations

import pytest

from worker_tier_bootstrap.beanstalk import Outcome, Reading, read_settings, refusals, warnings

ENVIRONMENT = """
Resources:
  Template:
    Type: AWS::ElasticBeanstalk::ConfigurationTemplate
    Properties: {{OptionSettings: {template}}}
  Worker:
    Type: AWS::ElasticBeanstalk::Environment
    Properties: {{TemplateName: {name}, Tier: {{Name: Worker}}, OptionSettings: {own}}}
"""
PATH = "[{Namespace: aws:elasticbeanstalk:sqsd, OptionName: HttpPath, Value: %s}]"
RETRIES = "[{Namespace: aws:elasticbeanstalk:sqsd, OptionName: MaxRetries, Value: 5}]"


@pytest.mark.parametrize(
    ("template", "own", "expected"),
    [
        (RETRIES, PATH % "/own", {"max_retries": 5, "http_path": "/own"}),
        (PATH % "/template", PATH % "/own", {"http_path": "/own"}),
        (PATH % "/template", "[]", {"http_path": "/template"}),
        (PATH % "/template", "", {"http_path": "/template"}),
        ("[]", PATH % "/own", {"http_path": "/own"}),
    ],
)
def test_an_environment_has_the_options_of_its_template(
    template: str, own: str, expected: dict[str, int | str]
) -> None:
    text = ENVIRONMENT.format(template=template, own=own, name="!Ref Template")
    reading = read_settings(text)
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == expected


@pytest.mark.parametrize("name", ["!Ref Elsewhere", "!Ref Worker", "saved", "!Sub '${A}'"])
def test_a_template_that_is_not_in_the_document_is_refused(name: str) -> None:
    text = ENVIRONMENT.format(template="[]", own=PATH % "/own", name=name)
    (found,) = refusals(read_settings(text).findings)
    assert "configuration template, TemplateName, that is not in the document" in found.message


@pytest.mark.parametrize(
    "text",
    ["OptionSettings: []\n", "ConfigurationSettings: [{OptionSettings: []}]\n",
     "option_settings:\n", "Resources: {W: {Type: AWS::ElasticBeanstalk::Environment}}\n"],
)  # fmt: skip
def test_settings_that_are_empty_need_not_be_passed(text: str) -> None:
    (found,) = refusals(read_settings(text).findings)
    assert found.hint.endswith("or make a WorkerTier(...) without them")


def test_an_environment_and_its_template_without_options_are_refused() -> None:
    text = ENVIRONMENT.format(template="[]", own="[]", name="!Ref Template")
    (found,) = refusals(read_settings(text).findings)
    assert found.message == "OptionSettings is empty"


ONE = "{aws:elasticbeanstalk:sqsd: {HttpPath: /a}}"
TWO = "{aws:elasticbeanstalk:sqsd: {MaxRetries: 5}}"
WORKER = "Type: AWS::ElasticBeanstalk::Environment"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"option_settings: {ONE}\noption_settings: {TWO}\n", "option_settings"),
        (f"OptionSettings: {ONE}\nOptionSettings: {TWO}\n", "OptionSettings"),
        (f"settings: {ONE}\nsettings: {TWO}\n", "settings"),
        (f"ConfigurationSettings: [{{OptionSettings: {ONE}, OptionSettings: {TWO}}}]\n",
         "OptionSettings"),
        (f"[{{OptionSettings: {ONE}, OptionSettings: {TWO}}}]\n", "OptionSettings"),
        (f"Resources: {{W: {{{WORKER}, Properties: {{OptionSettings: {ONE}, OptionSettings: {TWO}"
         "}}}\n", "OptionSettings"),
        (f"Resources: {{W: {{{WORKER}, Properties: {{OptionSettings: {ONE}}}, Properties:"
         f" {{OptionSettings: {TWO}}}}}}}\n", "Properties"),
        ('{"option_settings": {"A": {"b": 1}}, "option_settings": '
         '{"aws:elasticbeanstalk:sqsd": {}}}', "option_settings"),
    ],
)  # fmt: skip
def test_a_container_that_stands_twice_is_refused(text: str, key: str) -> None:
    messages = [finding.message for finding in refusals(read_settings(text).findings)]
    assert f"{key} stands 2 times in one mapping" in messages


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"OptionSettings: {ONE}\nsettings: {TWO}\n", "settings"),
        (f"setting: [{PATH[1:-1] % '/a'}]\nall_settings: {RETRIES}\n", "all_settings"),
        (f"ConfigurationSettings: [{{OptionSettings: {ONE}}}]\nOptionSettings: {TWO}\n",
         "OptionSettings"),
        (f"option_settings: {ONE}\nOptionSettings: {TWO}\n", "option_settings"),
    ],
)  # fmt: skip
def test_a_second_container_is_a_warning(text: str, key: str) -> None:
    messages = [finding.message for finding in warnings(read_settings(text).findings)]
    assert f"`{key}` is not known beside option settings and is passed over" in messages


def test_update_policy_in_code_wins_over_batches_with_a_warning_for_each_option() -> None:
    command = "aws:elasticbeanstalk:command"
    settings = {"DeploymentPolicy": "Rolling", "BatchSizeType": "Percentage", "BatchSize": "30"}
    reading = read_settings({command: settings}, decided=["update_policy"])
    assert refusals(reading.findings) == []
    assert [finding.option for finding in warnings(reading.findings)] == [
        "DeploymentPolicy",
        "BatchSize",
    ]
    # and Elastic Beanstalk's defaults are no choice that could lose
    settings = {"DeploymentPolicy": "AllAtOnce", "BatchSize": "100"}
    reading = read_settings({command: settings}, decided=["update_policy"])
    assert warnings(reading.findings) == []


def test_an_option_that_is_refused_beside_another_is_not_honoured_as_well() -> None:
    reading = read_settings({"aws:autoscaling:asg": {"MinSize": "5", "MaxSize": "2"}})
    assert [(f.option, f.outcome) for f in reading.findings] == [
        ("MaxSize", Outcome.HONOURED),
        ("MinSize", Outcome.REFUSED),
    ]


def entry(rest: str) -> Reading:
    return read_settings(f"- namespace: aws:elasticbeanstalk:sqsd\n{rest}")


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("  option_name: HttpPath\n  value: /a\n  option_name: MaxRetries\n  value: 5\n",
         "option name more than once: option_name"),
        ("  option_name: HttpPath\n  value: /a\n  value: /b\n", "value more than once: value"),
        ("  option_name: HttpPath\n  value: /a\n  Value: /b\n", "value more than once: Value"),
        ("  Namespace: b\n  option_name: A\n  value: 1\n", "namespace more than once: Namespace"),
    ],
)  # fmt: skip
def test_an_entry_that_repeats_a_key_is_refused(rest: str, what: str) -> None:
    reading = entry(rest)
    (found,) = refusals(reading.findings)
    assert found.message == f"an entry has its {what}"
    assert reading.settings.sqsd == {}


def test_an_entry_without_a_value_is_reported_and_no_warning() -> None:
    reading = entry("  option_name: HttpPath\n")
    (found,) = reading.findings
    assert found.outcome is Outcome.PASSED_OVER
    assert found.message == "aws:elasticbeanstalk:sqsd:HttpPath is passed over: it has no value"
    assert warnings(reading.findings) == []
