"""The table of outcomes, and the list of options that Elastic Beanstalk documents."""

from __future__ import annotations

import json
import re
import typing
from dataclasses import fields
from pathlib import Path
from typing import cast

import pytest

from sqsd.contract import SqsdOptions
from worker_tier.props import TierProps
from worker_tier_bootstrap.beanstalk import (
    IMAGE,
    OPTIONS,
    PROCFILE,
    DeploymentSettings,
    Finding,
    Option,
    Outcome,
    read_settings,
    refusals,
    warnings,
)
from worker_tier_bootstrap.beanstalk.options import (
    ANY_NAME,
    ANY_VALUE,
    COMMAND,
    COMPARED,
    SECRETS,
    SOURCES,
    SQSD,
    row_of,
)

DOCUMENTED = json.loads(
    (Path(__file__).parent / "data" / "documented_options.json").read_text(encoding="utf-8")
)
#: Namespace and option of every option that is documented, or that environments print.
NAMES = {
    (namespace, option)
    for page in DOCUMENTED["pages"]
    for namespace, names in page["options"].items()
    for option in names
}
#: Namespaces that only older platforms had: no page lists them any more.
RETIRED = {
    "aws:elasticbeanstalk:container:php:staticfiles",
    "aws:elasticbeanstalk:container:ruby:staticfiles",
}
ROWS = [(ns, name, option) for ns, rows in OPTIONS.items() for name, option in rows.items()]


def one(namespace: str, option: str, value: str, *decided: str) -> list[Finding]:
    """The findings about one option."""
    namespace = namespace.replace(":*", ":name")
    option = "name" if option == ANY_NAME else option
    return list(read_settings({namespace: {option: value}}, decided=decided).findings)


def test_the_table_names_the_pages_of_the_list_and_their_day() -> None:
    assert DOCUMENTED["made"] == COMPARED
    pages = [(page["title"], page["url"], page["edition"]) for page in DOCUMENTED["pages"]]
    assert pages == list(SOURCES)
    for page in DOCUMENTED["pages"]:
        assert page["url"].startswith("https://docs.aws.amazon.com/")
        assert page["options"]


def test_every_documented_option_has_an_outcome() -> None:
    missing = [
        f"{namespace}:{option}"
        for namespace, option in sorted(NAMES)
        if option not in (rows := OPTIONS.get(namespace, {})) and ANY_NAME not in rows
    ]
    assert missing == []


def test_the_table_has_no_option_that_no_page_lists() -> None:
    listed = {namespace for namespace, _ in NAMES}
    assert OPTIONS.keys() - listed == RETIRED
    extra = [
        f"{namespace}:{option}"
        for namespace, option, _ in ROWS
        if namespace not in RETIRED and (namespace, option) not in NAMES
    ]
    assert extra == ["aws:elasticbeanstalk:application:environment:PORT"]


def test_a_row_says_what_happens_and_what_to_do() -> None:
    for namespace, name, option in ROWS:
        where = f"{namespace}:{name}"
        assert bool(option.becomes) == (option.outcome is Outcome.HONOURED), where
        assert bool(option.reason) == (option.outcome is not Outcome.HONOURED), where
        assert not option.reason.endswith((".", ";")), where
        assert option.hint or option.outcome is not Outcome.REFUSED, where


def test_a_hint_says_to_leave_out_what_nothing_else_decides() -> None:
    for namespace, name, option in ROWS:
        if option.outcome is Outcome.REFUSED and not option.decided_by:
            assert re.search("leave (it|the option) out", option.hint), f"{namespace}:{name}"


def asked_for(option: Option) -> set[str]:
    """The props that a hint asks for."""
    asked = set(re.findall(r"(?:pass|set|or) (\w+)(?==|\b)", option.hint)) & PROPS
    return asked | ({PROCFILE} if "Procfile" in option.hint else set())


#: What may decide in an option's place.
PROPS = {prop for _, _, option in ROWS for prop in option.decided_by}


def test_the_props_that_decide_are_props_of_a_tier() -> None:
    hints = typing.get_type_hints(TierProps)
    assert PROPS - hints.keys() == {PROCFILE, IMAGE}


def test_a_hint_that_says_pass_a_prop_is_not_followed_by_a_refusal() -> None:
    asking = [row for row in ROWS if asked_for(row[2])]
    assert len(asking) > 20
    for namespace, name, option in asking:
        for prop in asked_for(option):
            # given what the hint asks for, beside a value that is not passed over anyway
            found = one(namespace, name, "anything", prop)
            # then nothing is refused, and what decides is named
            assert refusals(found) == [], f"{namespace}:{name}"
            assert any(prop in str(finding) for finding in found)


def test_lossless_values_are_passed_over_without_a_warning() -> None:
    for namespace, name, option in ROWS:
        for value in option.lossless:
            found = one(namespace, name, "anything" if value == ANY_VALUE else value)
            assert [f.outcome for f in found] == [Outcome.PASSED_OVER], f"{namespace}:{name}"
            assert bool(warnings(found)) == bool(option.notice), f"{namespace}:{name}"


def test_other_values_have_the_outcome_of_their_row() -> None:
    for namespace, name, option in ROWS:
        if option.outcome is Outcome.HONOURED or ANY_VALUE in option.lossless:
            continue  # read with their kinds, or never lost
        (found,) = one(namespace, name, "anything else")
        assert found.outcome is option.outcome, f"{namespace}:{name}"
        assert found.loses == (option.outcome is Outcome.PASSED_OVER)
        assert option.reason in found.message
        assert found.hint == option.hint


def test_secrets_are_honoured_once_their_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # given the one line with which a prop for secrets takes effect
    honoured = Option(outcome=Outcome.HONOURED, becomes="secrets", decided_by=("secrets",))
    monkeypatch.setitem(cast(dict[str, Option], OPTIONS[SECRETS]), ANY_NAME, honoured)
    arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf"
    # then ARNs are read by name, and what is none is refused
    reading = read_settings({SECRETS: {"DB_PASSWORD": arn, "OTHER": "hunter2"}})
    assert reading.settings.secrets == {"DB_PASSWORD": arn}
    (found,) = refusals(reading.findings)
    assert found.option == "OTHER"
    assert "hunter2" not in str(found)


def test_how_elastic_beanstalk_deployed_is_read_for_a_prop_of_deployments() -> None:
    settings = {"DeploymentPolicy": "Rolling", "BatchSizeType": "Fixed", "BatchSize": "1"}
    found = read_settings({COMMAND: settings}).settings.deployment
    assert found == DeploymentSettings(policy="Rolling", batch_size=1, batch_size_type="Fixed")


def test_the_daemons_options_are_all_honoured_by_the_props_of_their_names() -> None:
    names = {f.metadata["eb_name"]: f.name for f in fields(SqsdOptions) if f.metadata["eb_name"]}
    rows = OPTIONS[SQSD]
    assert {eb: rows[eb].becomes for eb in rows if eb != "WorkerQueueURL"} == names


def test_a_name_in_a_namespace_of_names_finds_its_row() -> None:
    listener = row_of("aws:elbv2:listener:443", "Protocol")
    assert listener is not None
    assert listener.reason == "a worker has no load balancer"
    assert row_of("aws:elbv2:listener:*", "Protocol") is listener
    assert row_of("aws:elbv2:listener", "Protocol") is None
    assert row_of("aws:elbv2:listener:443", "Port") is None
