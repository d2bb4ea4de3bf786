"""Documents of the wrong form get the hint for their form, and are accepted once it is followed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker_tier_bootstrap.beanstalk import read_settings, refusals, sentences, warnings

SQSD = "aws:elasticbeanstalk:sqsd"
PROPERTIES = "aws:elasticbeanstalk:application:environment"
ENTRY = "{Namespace: aws:elasticbeanstalk:sqsd, OptionName: HttpPath, Value: /a}"
WORKER = """{transform}
Resources:
  {before}
  W:
    Type: AWS::ElasticBeanstalk::Environment
    Properties: {properties}
"""
DESCRIBE = "or pass what `aws elasticbeanstalk describe-configuration-settings"


def template(properties: str, before: str = "", transform: str = "") -> str:
    return WORKER.format(properties=properties, before=before, transform=transform)


READ = {"http_path": "/a"}
PLAIN = f"{{OptionSettings: [{ENTRY}]}}"


#: Name -> the document, words of its one refusal, and the document after its hint is followed.
DOCUMENTS: dict[str, tuple[Any, str, Any]] = {
    # ---- CloudFormation
    "OptionSettings: !If": (
        template(f"{{OptionSettings: !If [Prod, [{ENTRY}], []]}}"),
        "OptionSettings is Fn::If: a condition of the template is decided when it is deployed;"
        f" write what the environment has in its place, {DESCRIBE}",
        template(PLAIN),
    ),
    "OptionSettings: !Ref": (
        template("{OptionSettings: !Ref Settings}"),
        "OptionSettings is Ref: it is filled in when the template is deployed",
        template(PLAIN),
    ),
    "OptionSettings: Fn::ForEach": (
        template("{OptionSettings: {'Fn::ForEach::Option': [Name, [A, B], {}]}}"),
        "OptionSettings is Fn::ForEach: it is expanded when the template is deployed",
        template(PLAIN),
    ),
    "OptionSettings: Fn::Transform": (
        template("{OptionSettings: {'Fn::Transform': {Name: AWS::Include}}}"),
        "OptionSettings is Fn::Transform: a macro runs when the template is deployed",
        template(PLAIN),
    ),
    "an entry by Fn::ForEach": (
        template(f"{{OptionSettings: [{ENTRY}, {{'Fn::ForEach::O': [x, [a], {{}}]}}]}}"),
        "an entry is Fn::ForEach: it is expanded when the template is deployed",
        template(PLAIN),
    ),
    "an entry by Fn::Transform": (
        template(f"{{OptionSettings: [{ENTRY}, {{'Fn::Transform': {{Name: Macro}}}}]}}"),
        "an entry is Fn::Transform: a macro runs when the template is deployed",
        template(PLAIN),
    ),
    "Properties: !If": (
        template(f"!If [Prod, {PLAIN}, {PLAIN}]"),
        "Properties of W is Fn::If: a condition of the template is decided",
        template(PLAIN),
    ),
    "environments by Fn::ForEach": (
        "Resources:\n  Fn::ForEach::Envs:\n    - Name\n    - [a, b]\n    - 'W${Name}': {}\n",
        "a part of the template is Fn::ForEach: it is expanded when the template is deployed",
        template(PLAIN),
    ),
    # ---- Terraform
    "Terraform's plan": (
        '{"format_version": "1.2", "planned_values": {"root_module": {}}}',
        "this is Terraform's state or plan; pass the list `setting` or `all_settings`",
        {"setting": [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]},
    ),
    "Terraform's configuration of two": (
        {"resource": {"aws_elastic_beanstalk_environment": {"a": {}, "b": {}}}},
        "the configuration has 2 environments: a, b; pass the list `setting` of the worker",
        {"setting": [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]},
    ),
    "Terraform's dynamic block": (
        {"resource": {"aws_elastic_beanstalk_environment": {"w": {
            "dynamic": {"setting": {"for_each": "${var.settings}"}},
            "setting": [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]}}}},
        "a dynamic block makes settings when Terraform runs",
        {"setting": [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]},
    ),
    # ---- .config files
    **{
        f"the wrong key {key}": (
            f"{key}:\n  {SQSD}:\n    HttpPath: /a\n",
            f"`{key}` is not known here, and none of its options is read; write option_settings",
            f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n",
        )
        for key in ("optionsettings", "option-settings", "option_setting", "OptionSetting",
                    "options_settings")
    },
    "namespaces beside their key": (
        f"option_settings:\n{SQSD}:\n  HttpPath: /a\n",
        f"`{SQSD}` stands beside option_settings and not in it; indent it and its options below",
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n",
    ),
    "a namespace beside its key": (
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\naws:autoscaling:asg:\n  MinSize: 2\n",
        "`aws:autoscaling:asg` stands beside option_settings and not in it",
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n  aws:autoscaling:asg:\n    MinSize: 2\n",
    ),
    "options beside their namespace": (
        f"option_settings:\n  {SQSD}:\n  HttpPath: /a\n",
        f"HttpPath must have options, got a text of 2 characters; indent it below {SQSD}",
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n",
    ),
    "a namespace among the options of another": (
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n"
        "    aws:autoscaling:asg:\n      MinSize: 2\n",
        f"aws:autoscaling:asg stands among the options of {SQSD}; write it in the column of that",
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n  aws:autoscaling:asg:\n    MinSize: 2\n",
    ),
    "an indentation that YAML refuses": (
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n   MaxRetries: 3\n",
        "correct the indentation: keys of one mapping begin in one column",
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n",
    ),
    "a hyphen before each key": (
        f"- namespace: {SQSD}\n- option_name: HttpPath\n- value: /a\n",
        "in one entry: only the first has a hyphen",
        f"- namespace: {SQSD}\n  option_name: HttpPath\n  value: /a\n",
    ),
    "a list of namespaces": (
        f"- {SQSD}:\n    HttpPath: /a\n- aws:autoscaling:asg:\n    MinSize: 1\n",
        "the list has namespaces as its items; write them without hyphens, as keys of one mapping",
        f"{SQSD}:\n  HttpPath: /a\naws:autoscaling:asg:\n  MinSize: 1\n",
    ),
    "a list of options": (
        {SQSD: [{"HttpPath": "/a"}]},
        "write a mapping of options to values under the namespace, without hyphens",
        {SQSD: {"HttpPath": "/a"}},
    ),
    "JSON with a comment": (
        '{\n  // worker\n  "aws:elasticbeanstalk:sqsd": {"HttpPath": "/a"}\n}',
        "remove the comment, which JSON does not have (line 2, column 3)",
        '{"aws:elasticbeanstalk:sqsd": {"HttpPath": "/a"}}',
    ),
    "a tab behind a value": (
        f"{SQSD}:\n  HttpPath:\t/a\n  MaxRetries:\t\t- 3\n",
        "write blanks in place of tabs",
        f"{SQSD}:\n  HttpPath: /a\n",
    ),
    "a list of lists": (
        [[{"Namespace": SQSD, "OptionName": "HttpPath", "Value": "/a"}]],
        "the list has lists as its items; pass one list of entries, such as the first",
        [{"Namespace": SQSD, "OptionName": "HttpPath", "Value": "/a"}],
    ),
    "an option behind its namespace": (
        f"option_settings:\n  {SQSD}:HttpPath: /a\n",
        f"write HttpPath below {SQSD}",
        f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n",
    ),
    "an option behind its namespace and two colons": (
        f"{SQSD}::HttpPath: /a\n",
        f"write HttpPath below {SQSD}",
        f"{SQSD}:\n  HttpPath: /a\n",
    ),
    "a document in another": (
        {"Worker": {"option_settings": {SQSD: {"HttpPath": "/a"}}}},
        "Worker holds option_settings, which is read at the beginning only; pass what Worker holds",
        {"option_settings": {SQSD: {"HttpPath": "/a"}}},
    ),
    "properties under a name of their own": (
        {"environment": {"A": "1"}, SQSD: {"HttpPath": "/a"}},
        f"leave it out, or write {PROPERTIES} if it holds environment properties",
        {PROPERTIES: {"A": "1"}, SQSD: {"HttpPath": "/a"}},
    ),
    # ---- what the command prints for people
    "--output text": (
        f"CONFIGURATIONSETTINGS\tapp\tdeployed\nOPTIONSETTINGS\t{SQSD}\tHttpPath\t\t/a\n",
        "is what the AWS CLI prints for people; add --output json to the command",
        json.dumps([{"Namespace": SQSD, "OptionName": "HttpPath", "Value": "/a"}]),
    ),
    "--output table": (
        "-----------\n|  DescribeConfigurationSettings  |\n+-----+\n",
        "is what the AWS CLI prints for people; add --output json to the command",
        json.dumps([{"Namespace": SQSD, "OptionName": "HttpPath", "Value": "/a"}]),
    ),
    "the AWS CLI's shorthand": (
        f"Namespace={SQSD},OptionName=HttpPath,Value=/a Namespace=x,OptionName=y,Value=z\n",
        "write the AWS CLI's shorthand as a list, such as",
        [{"Namespace": SQSD, "OptionName": "HttpPath", "Value": "/a"}],
    ),
    "Terraform's language": (
        'resource "aws_elastic_beanstalk_environment" "w" {\n  name = "w"\n}\n',
        "write Terraform's settings as a list of namespace, name and value",
        [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}],
    ),
    "an .env file": (
        "DB_HOST=db\nDB_PASSWORD=x y\n",
        f"write environment properties as `NAME: value` under {PROPERTIES}",
        f"{PROPERTIES}:\n  DB_HOST: db\n{SQSD}: {{HttpPath: /a}}\n",
    ),
    "a Dockerrun.aws.json": (
        '{"AWSEBDockerrunVersion": "1", "Image": {"Name": "x"}}',
        "pass its image as application=WorkerApplication.from_container(...)",
        {SQSD: {"HttpPath": "/a"}},
    ),
    "an expression of Terraform": (
        {"resource": {"aws_elastic_beanstalk_environment": {"w": {"setting": [
            {"namespace": PROPERTIES, "name": "QUEUE", "value": "${aws_sqs_queue.q.id}"},
            {"namespace": SQSD, "name": "HttpPath", "value": "/a"}]}}}},
        "environment:QUEUE cannot be honoured: an expression of Terraform has its value when",
        {"setting": [{"namespace": PROPERTIES, "name": "QUEUE", "value": "https://q"},
                     {"namespace": SQSD, "name": "HttpPath", "value": "/a"}]},
    ),
    "one group by its name": (
        {"aws:autoscaling:launchconfiguration": {"SecurityGroups": "mine"}},
        "must be the id of one group, such as sg-0a1b2c3d; write its id, or pass security_group",
        {"aws:autoscaling:launchconfiguration": {"SecurityGroups": "sg-1"},
         SQSD: {"HttpPath": "/a"}},
    ),
    "an action without its name": (
        {"aws:autoscaling:scheduledaction": {"MinSize": "1", "Recurrence": "0 8 * * *"}},
        "it lacks a ResourceName; write `resource_name` in entries of a list, or leave it out",
        [{"namespace": "aws:autoscaling:scheduledaction", "resource_name": "A",
          "option_name": name, "value": value}
         for name, value in (("MinSize", "1"), ("Recurrence", "0 8 * * *"))]
        + [{"namespace": SQSD, "option_name": "HttpPath", "value": "/a"}],
    ),
    # ---- options in the wrong place
    "an option in the wrong namespace": (
        {"aws:autoscaling:asg": {"HttpPath": "/a"}},
        f"it is not an option of this namespace; write it under {SQSD}",
        {SQSD: {"HttpPath": "/a"}},
    ),
    "an option of two other namespaces": (
        {SQSD: {"HttpPath": "/a", "MaxSize": "2"}},
        "write it under aws:autoscaling:asg or aws:autoscaling:scheduledaction",
        {SQSD: {"HttpPath": "/a"}, "aws:autoscaling:asg": {"MaxSize": "2"}},
    ),
    "a property in the wrong namespace": (
        {"aws:elasticbeanstalk:environment": {"STAGE": "prod"}, SQSD: {"HttpPath": "/a"}},
        f"an environment property stands under {PROPERTIES}",
        {PROPERTIES: {"STAGE": "prod"}, SQSD: {"HttpPath": "/a"}},
    ),
    "an option of a cluster": (
        {"aws:elasticbeanstalk:eks:environment": {"A": "b"}, SQSD: {"HttpPath": "/a"}},
        "is of a Beanstalk cluster, on Amazon EKS, and no instance has it; leave it out",
        {SQSD: {"HttpPath": "/a"}},
    ),
    "a list in the place of a text": (
        {SQSD: {"HttpPath": ["/a", "/b"]}},
        "HttpPath cannot be honoured: it is a list; write one text",
        {SQSD: {"HttpPath": "/a"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_of_the_wrong_form_gets_the_hint_for_its_form(name: str) -> None:
    document, words, _ = DOCUMENTS[name]
    (found,) = refusals(read_settings(document).findings)
    assert words in str(found)
    assert found.hint


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_follows_its_hint_is_accepted(name: str) -> None:
    reading = read_settings(DOCUMENTS[name][2])
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == READ


@pytest.mark.parametrize(
    "environments",
    [
        {"w": {"setting": [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]}},
        {"w": {"setting": {"namespace": SQSD, "name": "HttpPath", "value": "/a"}}},
        {"w": [{"setting": [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]}]},
        {"w": {"tier": "Worker",
               "setting": [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]},
         "web": {"setting": []}},
    ],
)  # fmt: skip
def test_a_configuration_of_terraform_in_json_is_read(environments: Any) -> None:
    kind = {"aws_elastic_beanstalk_environment": environments}
    for resource in (kind, [kind, {"aws_sqs_queue": {}}]):
        reading = read_settings(json.dumps({"resource": resource, "provider": {}}))
        assert refusals(reading.findings) == []
        assert reading.settings.sqsd == READ


def test_a_macro_of_a_template_is_a_warning() -> None:
    reading = read_settings(template(PLAIN, transform="Transform: AWS::LanguageExtensions"))
    assert reading.settings.sqsd == READ
    (found,) = warnings(reading.findings)
    assert "Transform is passed over, for no macro runs here; if it changes these" in str(found)


@pytest.mark.parametrize(
    "text",
    [
        "Resources:\n  AWSEBAutoScalingGroup: {Metadata: {}}\n",
        "Resources: {Topic: {Type: AWS::SNS::Topic}}\nfiles: {}\n",
    ],
)
def test_a_config_file_with_resources_alone_sets_no_options(text: str) -> None:
    reading = read_settings(text)
    assert refusals(reading.findings) == []
    assert "make the resources in the stack that holds the tier" in str(
        warnings(reading.findings)[0]
    )


def test_an_option_without_its_namespace_is_a_property_as_in_elastic_beanstalk_with_a_warning() -> (
    None
):
    reading = read_settings([{"option_name": "MaxRetries", "value": "3"}])
    assert str(reading.settings.environment["MaxRetries"]) == "3"
    (found,) = warnings(reading.findings)
    assert f"write namespace: {SQSD} if its option is meant" in str(found)
    # and a name that is no option's is none
    assert warnings(read_settings([{"option_name": "STAGE", "value": "x"}]).findings) == []


@pytest.mark.parametrize(
    "value",
    ["\ud800", 10**5000, b"x", object(), ["#{Token[TOKEN.1]}"]],
    ids=["surrogate", "digits", "bytes", "object", "list token"],
)
def test_a_value_that_is_no_text_refuses_its_option_and_the_rest_is_read(value: object) -> None:
    reading = read_settings({PROPERTIES: {"A": value, "B": "1"}, SQSD: {"HttpPath": "/a"}})
    (found,) = refusals(reading.findings)
    assert (found.namespace, found.option) == (PROPERTIES, "A")
    assert found.hint
    assert reading.settings.sqsd == READ
    assert str(reading.settings.environment["B"]) == "1"


@pytest.mark.parametrize("tag", ["!secret x", "!Vault x", "!!binary aGk=", "!!set {a}"])
def test_a_tag_of_another_program_refuses_its_option_and_the_rest_is_read(tag: str) -> None:
    reading = read_settings(f"{PROPERTIES}:\n  A: {tag}\n  B: 1\n{SQSD}:\n  HttpPath: /a\n")
    (found,) = refusals(reading.findings)
    assert found.option == "A"
    assert reading.settings.sqsd == READ


@pytest.mark.parametrize("block", ["|\n    one\n", ">\n    one\n", "|+\n    one\n"])
def test_a_block_of_one_line_is_a_line(block: str) -> None:
    reading = read_settings(f"{PROPERTIES}:\n  A: {block}")
    assert refusals(reading.findings) == []
    assert str(reading.settings.environment["A"]) == "one"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("spring.profiles.active", "rename it, such as to SPRING_PROFILES_ACTIVE"),
        ("1ST", "rename it, such as to _1ST"),
        ("é", "give it a name of letters, digits and _"),
        ("", "give it a name of letters, digits and _"),
        ("--", "give it a name of letters, digits and _"),
        ("a b", "rename it, such as to A_B"),
    ],
)
def test_the_name_of_a_hint_is_one_that_a_property_can_have(name: str, hint: str) -> None:
    (found,) = refusals(read_settings({PROPERTIES: {name: "x"}}).findings)
    assert found.hint == hint
    if "such as to" in hint:
        renamed = {PROPERTIES: {hint.rpartition(" ")[2]: "x"}}
        assert refusals(read_settings(renamed).findings) == []


# ---- long lists of problems


def texts_of(document: Any) -> list[str]:
    return [text for _, text in sentences(refusals(read_settings(document).findings))]


def test_of_problems_of_one_kind_ten_are_listed_and_the_rest_is_counted() -> None:
    found = texts_of({PROPERTIES: {f"a.b{n}": "x" for n in range(25)}})
    assert len(found) == 10
    assert found[-1].endswith("; and 15 more of this kind")
    assert "more of this kind" not in found[0]
    assert len(texts_of({PROPERTIES: {f"a.b{n}": "x" for n in range(10)}})) == 10


def test_problems_of_other_kinds_are_listed_beside_them() -> None:
    document = {PROPERTIES: {f"a.b{n}": "x" for n in range(25)}, SQSD: {"MaxRetries": "many"}}
    found = texts_of(document)
    assert len(found) == 11
    assert any("MaxRetries" in text for text in found)


def test_of_options_with_one_reason_ten_are_named_and_the_rest_is_counted() -> None:
    (found,) = texts_of({SQSD: {f"Zzz{n}": "x" for n in range(60)}})
    assert "Zzz9 and 50 more) cannot be honoured" in found


def test_a_list_of_entries_that_are_none_is_not_repeated_without_end() -> None:
    found = texts_of(["text"] * 500)
    assert len(found) == 10
    assert found[-1].endswith("; and 490 more of this kind")


def test_a_property_may_have_the_name_of_a_container() -> None:
    reading = read_settings({PROPERTIES: {"OptionSettings": "x", "option_settings": "y"}})
    assert refusals(reading.findings) == []
    assert set(reading.settings.environment) == {"OptionSettings", "option_settings"}
