"""Texts that are no settings document get a hint for what they are, and it leads to one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker_tier_bootstrap.beanstalk import read_settings, refusals

SQSD = "aws:elasticbeanstalk:sqsd"
PROPERTIES = "aws:elasticbeanstalk:application:environment"
SECRET = "hunter2"
READ = f"{SQSD}: {{HttpPath: /a}}\n"
OUTPUT = {"sensitive": False, "type": "list", "value": [{"name": "A", "value": "hunter2"}]}
ENTRIES = [{"namespace": SQSD, "name": "HttpPath", "value": "/a"}]
#: Properties, and an option whose value the test compares.
WITH_PROPERTY = f"{PROPERTIES}:\n  DB_PASSWORD: {SECRET}\n{READ}"
TERRAFORM = (
    "write Terraform's settings as a list of namespace, name and value, such as"
    ' [{"namespace": ..., "name": ..., "value": ...}], or pass the list `setting` of the resource'
    " in what `terraform show -json` prints"
)
ONE_LINE = f'{{ namespace = "{PROPERTIES}", name = "DB_PASSWORD", value = "{SECRET}" }}'
BLOCK = f'{{\n  namespace = "{PROPERTIES}"\n  name = "DB_PASSWORD"\n  value = "{SECRET}"\n}}\n'
STATE = {"setting": ENTRIES}

#: Name -> the text, words of its one refusal, and a document that follows the hint.
TEXTS: dict[str, tuple[str, str, Any]] = {
    "HCL in one line": (f"[{ONE_LINE}]", TERRAFORM, STATE),
    "HCL with commas": (f"[\n  {ONE_LINE},\n  {ONE_LINE},\n]\n", TERRAFORM, ENTRIES),
    "HCL without commas": (f"[\n{BLOCK}]\n", TERRAFORM, STATE),
    "HCL with a comment": (f"[\n  # a \"b\" {{\n  {ONE_LINE}\n]\n", TERRAFORM, STATE),
    "HCL with an expression": (
        f'[{{ namespace = "{PROPERTIES}", name = "A", value = var.a }}]', TERRAFORM, STATE
    ),
    "a mapping of HCL": (f'{{ DB_PASSWORD = "{SECRET}", FOO = "bar" }}', TERRAFORM, STATE),
    "a mapping of HCL with quotes": (f'{{ "DB_PASSWORD" = "{SECRET}" }}', TERRAFORM, STATE),
    "HCL in an entry of YAML": (f"- {ONE_LINE}\n", TERRAFORM, STATE),
    "tfvars": (f"settings = [\n  {ONE_LINE}\n]\n", TERRAFORM, STATE),
    "tfvars of a mapping": (f'a = {{\n  DB_PASSWORD = "{SECRET}"\n}}\n', TERRAFORM, STATE),
    "a dynamic block": (
        'dynamic "setting" {\n  for_each = var.settings\n  content {}\n}\n', TERRAFORM, STATE
    ),
    "a block of Terraform": (f"setting {BLOCK}", TERRAFORM, STATE),
    "a resource of Terraform": (
        f'# worker\nresource "aws_elastic_beanstalk_environment" "w" {{\n  setting {BLOCK}}}\n',
        TERRAFORM, STATE,
    ),
    "an .env file with a colon": (
        f"DB_PASSWORD={SECRET}: x\n", f"write environment properties as `NAME: value` under"
        f" {PROPERTIES}", WITH_PROPERTY,
    ),
    "an .env file with blanks": (
        f"# database\n\nexport DB_PASSWORD='{SECRET}: x'\nA=b\n", "`NAME: value` under",
        WITH_PROPERTY,
    ),
    "what eb printenv prints": (
        f" Environment Variables:\n     DB_PASSWORD = {SECRET}\n     A = b\n",
        f"is what `eb printenv` prints; write environment properties as `NAME: value` under"
        f" {PROPERTIES}", WITH_PROPERTY,
    ),
    "what eb printenv prints, with a colon": (
        f" Environment Variables:\n     DB_PASSWORD = {SECRET}: x\n     A = b: c\n",
        "is what `eb printenv` prints", WITH_PROPERTY,
    ),
    "a line of eb printenv": (
        f"     DB_PASSWORD = {SECRET}: x\n     A = b\n", "`NAME: value` under", WITH_PROPERTY
    ),
    "--output text with --query": (
        f"{SQSD}\tHttpPath\t/a\n{PROPERTIES}\tDB_PASSWORD\t{SECRET}\n",
        "is what the AWS CLI prints for people; add --output json to the command", ENTRIES,
    ),
    "--output text with another --query": (
        f"DB_PASSWORD\t{PROPERTIES}\t{SECRET}: x\n", "add --output json to the command", ENTRIES
    ),
    "--output text of options": (
        f"OPTIONSETTINGS\tDB_PASSWORD\t{PROPERTIES}\t{SECRET}\n", "add --output json", ENTRIES
    ),
    "an error of the AWS CLI": (
        "\nAn error occurred (AccessDenied) when calling the DescribeConfigurationSettings"
        " operation: no\n",
        "is an error of the AWS CLI; correct the command, and pass what it prints then", ENTRIES,
    ),
    "an error about credentials": (
        "Unable to locate credentials. You can configure credentials by running aws configure.\n",
        "is an error of the AWS CLI", ENTRIES,
    ),
    "Markdown": (
        f"```yaml\n{READ}```\n", "is in a fence of Markdown; remove the lines with ```", READ
    ),
    "an INI file": (
        f"[{SQSD}]\nHttpPath=/a\n", "is an INI file; write `namespace:`, and below it"
        " `option: value` with indentation", f"{SQSD}:\n  HttpPath: /a\n",
    ),
    "a table of TOML": (
        f'[environment]\nDB_PASSWORD = "{SECRET}"\n', "is an INI file", f"{SQSD}:\n  HttpPath: /a\n"
    ),
    "an equals sign among properties": (
        f"{PROPERTIES}:\n  DB_PASSWORD = {SECRET}\n  A: b\n",
        "write `NAME: value`, with a colon for the = in line 2", WITH_PROPERTY,
    ),
    "an equals sign in an entry": (
        f"- namespace: {SQSD}\n  option_name: HttpPath\n  value = {SECRET}\n",
        "write `NAME: value`, with a colon for the = in line 3", ENTRIES,
    ),
    "what terraform output -json prints": (
        json.dumps({"settings": OUTPUT}), "this is what `terraform output -json` prints; pass the"
        " `value` of one output", ENTRIES,
    ),
    "one output under a name of its own": (
        json.dumps({"eb": OUTPUT, "other": {**OUTPUT, "value": "x"}}), "pass the `value` of one",
        ENTRIES,
    ),
    "a resource of terraform show -json": (
        json.dumps({"address": "w", "values": {"setting": ENTRIES}}),
        "this is a resource of Terraform; pass the list `setting` of its `values`", ENTRIES,
    ),
    "a template of Jinja": (
        f"{{% if worker %}}\n{READ}{{% endif %}}\n",
        "is a template of another program; fill it in first, and pass the result", READ,
    ),
    "a variable of Jinja": (
        f"{SQSD}:\n  HttpPath: {{{{ path }}}}\n", "fill it in first, and pass the result", READ
    ),
    "a non-breaking space before a key": (
        f"option_settings:\n\u00a0\u00a0{SQSD}:\n    HttpPath: /a\n",
        "line 2 has a non-breaking space (U+00A0), which YAML does not take for a blank; write"
        " plain blanks", f"option_settings:\n  {SQSD}:\n    HttpPath: /a\n",
    ),
    "a non-breaking space after a colon": (
        f"{SQSD}:\n  HttpPath:\u00a0/a\n", "line 2 has a non-breaking space", READ
    ),
    "a narrow one": (
        f"{SQSD}:\n\u202f HttpPath: /a\n", "line 2 has a non-breaking space (U+202F)", READ
    ),
}  # fmt: skip


def reported(document: Any) -> str:
    return "\n".join(map(repr, read_settings(document).findings))


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_another_program_gets_a_hint_for_what_it_is(name: str) -> None:
    text, words, _ = TEXTS[name]
    (found,) = refusals(read_settings(text).findings)
    assert words in str(found)
    assert SECRET not in reported(text)
    assert read_settings(text).settings.environment == {}


@pytest.mark.parametrize("name", TEXTS)
def test_a_document_that_follows_its_hint_is_accepted(name: str) -> None:
    reading = read_settings(TEXTS[name][2])
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == {"http_path": "/a"}


@pytest.mark.parametrize(
    "text",
    [
        # other programs' texts inside of values are values
        f"files:\n  /etc/x:\n    content: |\n      A = b\n      C=d\noption_settings:\n  {READ}",
        f"{PROPERTIES}:\n  A: 'x = y'\n  B: a=b\n  C: \"a\u00a0b\"\n{READ}",
        f"# A = b\n{READ}",
        f"---\n# A=b: c\n{READ}",
        f"{PROPERTIES}:\n  A: '{{{{ not a template }}}}'\n  B: '{{% x %}}'\n{READ}",
        f'{{"{SQSD}": {{"HttpPath": "/a"}}, "{PROPERTIES}": {{"A": "b = c", "D": "e=f"}}}}',
        f"{{{SQSD}: {{HttpPath: /a}}, {PROPERTIES}: {{A: 'b = c'}}}}",
    ],
)
def test_a_document_that_has_such_texts_in_its_values_is_read(text: str) -> None:
    reading = read_settings(text)
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == {"http_path": "/a"}


# ---- names that are values


@pytest.mark.parametrize(
    "text",
    [
        f"{PROPERTIES}:\n  DB_PASSWORD: {{{SECRET}}}\n",
        f"{PROPERTIES}:\n  DB_PASSWORD: {{{SECRET}, x}}\n",
        f"{PROPERTIES}:\n  DB_PASSWORD: {{a: {{{SECRET}: x}}}}\n",
        f"{PROPERTIES}:\n  DB_PASSWORD: {{Fn::{SECRET}: x}}\n",
        f"{PROPERTIES}:\n  DB_PASSWORD={SECRET}: x\n",
        f"{PROPERTIES}:\n  DB_PASSWORD = {SECRET}: x\n",
        f"option_settings:\n  {PROPERTIES}:\n    DB_PASSWORD={SECRET}: {{a: b}}\n",
        f"{PROPERTIES}: {{DB_PASSWORD:{SECRET}}}\n",
        f"{PROPERTIES}: {{DB_PASSWORD:{SECRET}, A:b}}\n",
        f"{PROPERTIES}: {{DB_PASSWORD={SECRET}}}\n",
        f"{READ}DB_PASSWORD={SECRET}: x\n",
        f"{READ}DB_PASSWORD={SECRET}: {{a: b}}\n",
        f"option_settings:\n  {READ}DB_PASSWORD={SECRET}: x\n",
        f"- {{namespace: {PROPERTIES}, option_name: DB_PASSWORD={SECRET}, value: x}}\n",
        f"- {{namespace: A={SECRET}, option_name: DB_PASSWORD, value: x}}\n",
        f"A={SECRET}:\n  DB_PASSWORD: x\n{READ}".replace("A=", "aws:A="),
        f"- {{namespace: {PROPERTIES}, DB_PASSWORD={SECRET}: x, value: y}}\n",
        f"{{{SECRET}}}",
        f"Config: {{{SECRET}}}\n",
        f"Config: {{{SECRET}, A: b}}\n",
        f"- {{option_name: A, value: {{{SECRET}, b}}}}\n",
    ],
)
def test_a_name_that_is_a_value_is_refused_and_not_shown(text: str) -> None:
    reading = read_settings(text)
    assert refusals(reading.findings)
    assert all(finding.hint for finding in refusals(reading.findings))
    assert SECRET not in reported(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{SQSD}: {{HttpPath:/a, MaxRetries:3}}\n",
         f"HttpPath of {SQSD} has no value: no blank stands behind its colon; write"
         " `HttpPath: value`"),
        (f"{PROPERTIES}: {{DB_PASSWORD:{SECRET}}}\n",
         f"DB_PASSWORD of {PROPERTIES} has no value: no blank stands behind its colon; write"
         " `DB_PASSWORD: value`"),
        (f"{PROPERTIES}: {{DB_PASSWORD={SECRET}}}\n",
         f"DB_PASSWORD of {PROPERTIES} has an = in its name; write `DB_PASSWORD: value`"),
        (f"{PROPERTIES}:\n  DB_PASSWORD={SECRET}: x\n",
         f"DB_PASSWORD of {PROPERTIES} has an = in its name; write `DB_PASSWORD: value`"),
        (f"{{DB_PASSWORD:{SECRET}}}\n",
         f"DB_PASSWORD has neither a value nor options; write `DB_PASSWORD: value` under"
         f" {PROPERTIES}"),
        (f"{SQSD}: {{HttpPathe}}\n", "it is not an option that is known here"),
    ],
)  # fmt: skip
def test_a_name_without_a_value_is_no_silence(text: str, words: str) -> None:
    assert words in str(refusals(read_settings(text).findings)[0])


def test_names_with_their_colons_and_blanks_are_accepted() -> None:
    text = f"{SQSD}: {{HttpPath: /a}}\n{PROPERTIES}: {{DB_PASSWORD: {SECRET}}}\n"
    reading = read_settings(text)
    assert refusals(reading.findings) == []
    assert str(reading.settings.environment["DB_PASSWORD"]) == SECRET


def test_a_known_option_without_a_value_is_not_set() -> None:
    reading = read_settings(f"{SQSD}: {{HttpPath: , MimeType}}\n{PROPERTIES}: {{A: }}\n")
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == {}


@pytest.mark.parametrize(
    ("namespace", "option"),
    [
        (SQSD, "HttpPath"),
        ("aws:elasticbeanstalk:application", "Application Healthcheck URL"),
    ],
)
def test_a_path_is_shown_without_its_query(namespace: str, option: str) -> None:
    reading = read_settings({namespace: {option: f"/w?token={SECRET}"}})
    assert refusals(reading.findings) == []
    (found,) = reading.findings
    assert "'/w?...'" in found.message
    shown = repr(reading.findings) + repr(reading.settings.origins)
    assert SECRET not in shown


# ---- dynamic references


DYNAMIC = f"{{{{resolve:ssm-secure:/{SECRET}}}}}"


@pytest.mark.parametrize(
    "value",
    [
        DYNAMIC,
        f"x{DYNAMIC}y",
        f'`{{"Fn::Join": ["", ["{DYNAMIC}"]]}}`',
        {"Fn::Sub": DYNAMIC},
        {"Fn::Sub": ["${A}", {"A": DYNAMIC}]},
        {"Fn::Sub": f"{{{{resolve:ssm-secure:{SECRET}${{AWS::Region}}}}}}"},
        {"Fn::Sub": ["{{${A}:ssm:x}}", {"A": "resolve"}]},
        {"Fn::Join": ["", ["{{resol", "ve:ssm-secure:/a}}"]]},
        {"Fn::Join": [":", ["{{resolve", "ssm-secure", "/a}}"]]},
        {"Fn::Join": ["", ["a", {"Ref": "AWS::Region"}, DYNAMIC]]},
        {"Fn::Select": ["0", ["x", DYNAMIC]]},
        {"Fn::Select": ["1", ["x", DYNAMIC]]},
        {"Fn::If": ["Prod", DYNAMIC, "x"]},
        {"Fn::Base64": {"Fn::Sub": DYNAMIC}},
        {"Fn::GetOptionSetting": {"OptionName": "x", "DefaultValue": DYNAMIC}},
        {"Fn::Unknown": DYNAMIC},
        ["a", DYNAMIC],
        {"a": "b", "c": DYNAMIC},
    ],
)
@pytest.mark.parametrize("place", [(PROPERTIES, "Z"), (SQSD, "HttpPath")])
def test_a_dynamic_reference_is_refused_wherever_it_stands_and_however_it_is_cut(
    value: Any, place: tuple[str, str]
) -> None:
    namespace, option = place
    reading = read_settings({namespace: {option: value}})
    (found,) = refusals(reading.findings)
    assert "is a dynamic reference, and would put a secret into the template" in found.message
    assert SECRET not in repr(reading.findings)
    assert reading.settings.environment == {}


def test_the_hint_for_a_dynamic_reference_is_never_to_write_the_secret() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf"
    (found,) = refusals(read_settings({PROPERTIES: {"Z": DYNAMIC}}).findings)
    assert found.hint == (
        "write the ARN as its value, let the application read the secret when it starts, and grant"
        " it to the tier, as in secret.grant_read(tier)"
    )
    assert refusals(read_settings({PROPERTIES: {"Z": arn}}).findings) == []
