"""Options and `tier.json`: every range, every problem at once, and what combinations lose."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import InvalidSettings, SqsdOptions, TierResources, TierSettings
from sqsd.messages.request import RequestBuilder
from tests.daemon.messages.requests import PLAIN

#: Elastic Beanstalk's names, defaults and ranges, from its developer guide's general options.
EB_OPTIONS = {
    "HttpPath": ("http_path", "/", None),
    "MimeType": ("mime_type", "application/json", None),
    "HttpConnections": ("http_connections", 50, (1, 100)),
    "ConnectTimeout": ("connect_timeout", 5, (1, 60)),
    "InactivityTimeout": ("inactivity_timeout", 299, (1, 36_000)),
    "VisibilityTimeout": ("visibility_timeout", 300, (0, 43_200)),
    "ErrorVisibilityTimeout": ("error_visibility_timeout", None, (0, 43_200)),
    "RetentionPeriod": ("retention_period", 345_600, (60, 1_209_600)),
    "MaxRetries": ("max_retries", 10, (1, 100)),
}
RANGES = {name: limits for name, _, limits in EB_OPTIONS.values() if limits} | {
    "http_port": (1, 65_535),
    "wait_time_seconds": (0, 20),
    "drain_timeout": (0, 172_800),
}
#: With these no combination of other options is wrong.
HARMLESS = {
    "heartbeat": False,
    "inactivity_timeout": 1,
    "max_retries": 1,
    "retention_period": 1_209_600,
}
GOOD = {"version": 1, "queue_url": "https://q", "region": "eu-west-1", "tier_name": "tier"}


def options(**changes: Any) -> SqsdOptions:
    return SqsdOptions(**{**HARMLESS, "visibility_timeout": 300, **changes})


def problems(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        options(**changes)
    return caught.value.problems


def test_names_and_defaults_are_elastic_beanstalks() -> None:
    declared = {f.metadata["eb_name"]: f for f in fields(SqsdOptions) if f.metadata["eb_name"]}
    assert declared.keys() == EB_OPTIONS.keys()
    for eb_name, (name, default, _) in EB_OPTIONS.items():
        assert (declared[eb_name].name, declared[eb_name].default) == (name, default)


def test_every_option_says_what_it_means() -> None:
    assert all(f.metadata["meaning"] for f in fields(SqsdOptions))


@pytest.mark.parametrize("name", RANGES)
def test_both_ends_of_a_range_are_allowed_and_the_next_number_is_not(name: str) -> None:
    low, high = RANGES[name]
    others = {"visibility_timeout": 2} if name == "retention_period" else {}
    if name in ("visibility_timeout", "inactivity_timeout"):
        others = {"heartbeat": name == "inactivity_timeout"}
    allowed = low + 2 if name == "visibility_timeout" else low
    for value in (allowed, high):
        assert getattr(options(**{**others, name: value}), name) == value
    for value in (low - 1, high + 1):
        (problem,) = problems(**{**others, name: value})
        assert problem.startswith(f"{name} must be a whole number from {low} to {high}")
        assert problem.endswith(f"got {value}")


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [True, 1.0, "5", [5], float("nan")])
def test_only_whole_numbers_are_numbers(name: str, value: object) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name} must be a whole number")
    assert repr(value) in problem


def test_unset_and_zero_are_two_things_for_error_visibility_timeout_alone() -> None:
    assert options(error_visibility_timeout=None).error_visibility_timeout is None
    assert options(error_visibility_timeout=0).error_visibility_timeout == 0
    assert problems(visibility_timeout=None)


@pytest.mark.parametrize("path", ["", "jobs", "/a b", "/a\r\nX: y", "/ü", 7, None])
def test_a_path_begins_with_a_slash_and_has_no_blanks(path: object) -> None:
    (problem,) = problems(http_path=path)
    assert problem.startswith("http_path must be a path that begins with /")


@pytest.mark.parametrize("mime_type", ["", " text/plain", "text/plain\r\nX: y", "text/ü", 7, None])
def test_a_content_type_cannot_inject_a_header(mime_type: object) -> None:
    (problem,) = problems(mime_type=mime_type)
    assert problem.startswith("mime_type must be a content type")


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_true_and_false_are_written_out(value: object) -> None:
    (problem,) = problems(heartbeat=value)
    assert problem.startswith("heartbeat must be true or false")


def test_all_problems_are_reported_at_once() -> None:
    found = problems(http_path="x", http_connections=0, connect_timeout=61, max_retries="3")
    assert [problem.split()[0] for problem in found] == [
        "http_path",
        "http_connections",
        "connect_timeout",
        "max_retries",
    ]


# ---- combinations


@given(visibility=st.integers(0, 43_200), inactivity=st.integers(1, 36_000))
def test_without_heartbeat_a_request_must_end_before_its_message_is_visible(
    visibility: int, inactivity: int
) -> None:
    chosen = {
        "heartbeat": False,
        "visibility_timeout": visibility,
        "inactivity_timeout": inactivity,
    }
    if inactivity < visibility:
        options(**chosen)
    else:
        (problem,) = problems(**chosen)
        assert f"inactivity_timeout ({inactivity} s) must be below" in problem
        assert f"visibility_timeout ({visibility} s)" in problem


def test_with_heartbeat_a_request_may_outlast_the_visibility() -> None:
    options(heartbeat=True, visibility_timeout=60, inactivity_timeout=36_000)


@pytest.mark.parametrize("visibility", [0, 1])
def test_a_heartbeat_needs_a_visibility_it_can_halve(visibility: int) -> None:
    (problem,) = problems(heartbeat=True, visibility_timeout=visibility)
    assert problem.startswith(f"visibility_timeout ({visibility} s) must be 2 s or more")


@given(
    visibility=st.integers(2, 43_200),
    retries=st.integers(1, 100),
    retention=st.integers(60, 1_209_600),
)
def test_a_failing_message_must_reach_the_dead_letter_queue_within_its_retention(
    visibility: int, retries: int, retention: int
) -> None:
    chosen = {
        "visibility_timeout": visibility,
        "max_retries": retries,
        "retention_period": retention,
        "heartbeat": True,
    }
    if retention >= visibility * retries:
        options(**chosen)
    else:
        (problem,) = problems(**chosen)
        assert f"retention_period ({retention} s) must be at least" in problem
        assert str(visibility * retries) in problem


def test_combinations_are_reported_together_too() -> None:
    found = problems(
        heartbeat=False,
        visibility_timeout=1_000,
        inactivity_timeout=1_000,
        max_retries=100,
        retention_period=60,
    )
    assert [problem.split()[0] for problem in found] == ["inactivity_timeout", "retention_period"]


# ---- tier.json


def read(**changes: Any) -> TierSettings:
    return TierSettings.from_json(json.dumps({**GOOD, **changes}), "t.json")


def read_problems(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        TierSettings.from_json(text, "t.json")
    assert caught.value.source == "t.json"
    return caught.value.problems


def test_what_is_not_said_has_its_default() -> None:
    settings = read()
    assert settings.options == SqsdOptions()
    assert settings.cron_file is None
    given = {"queue_url": "https://q", "region": "eu-west-1", "tier_name": "tier"}
    said = {name: value for name, value in asdict(settings.resources).items() if value is not None}
    assert said == given


TEXTS = st.text(min_size=1, max_size=20)


@given(
    queue_url=TEXTS,
    region=TEXTS,
    tier_name=TEXTS,
    dead_letters=st.none() | TEXTS,
    table=st.none() | TEXTS,
    cron_file=st.none() | TEXTS,
    connections=st.integers(1, 100),
    error_visibility=st.none() | st.integers(0, 43_200),
    heartbeat=st.booleans(),
    statuses=st.lists(st.sampled_from(["422", "4xx"]), unique=True).map(tuple),
)
def test_writing_and_reading_lose_nothing(
    queue_url: str,
    region: str,
    tier_name: str,
    dead_letters: str | None,
    table: str | None,
    cron_file: str | None,
    connections: int,
    error_visibility: int | None,
    heartbeat: bool,
    statuses: tuple[str, ...],
) -> None:
    settings = TierSettings(
        resources=TierResources(
            queue_url=queue_url,
            region=region,
            tier_name=tier_name,
            dead_letter_queue_url=dead_letters or ("https://dlq" if statuses else None),
            leader_table=table,
        ),
        options=SqsdOptions(
            http_connections=connections,
            error_visibility_timeout=error_visibility,
            heartbeat=heartbeat,
            dead_letter_statuses=statuses,
        ),
        cron_file=cron_file,
    )
    assert TierSettings.from_json(json.dumps(settings.to_document())) == settings


@pytest.mark.parametrize(
    ("text", "word"),
    [("{", "not JSON"), ("", "not JSON"), ("[]", "JSON object"), ("null", "JSON object")],
)
def test_a_text_that_is_no_json_object_is_reported(text: str, word: str) -> None:
    (problem,) = read_problems(text)
    assert word in problem


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_says_what_to_do(version: object) -> None:
    (problem,) = read_problems(json.dumps({**GOOD, "version": version}))
    assert problem.startswith("version must be 1")
    assert "deploy the stack again" in problem


def test_every_problem_of_a_file_is_reported_at_once() -> None:
    found = read_problems(
        json.dumps(
            {
                "version": 2,
                "queue_url": "",
                "region": 5,
                "colour": "red",
                "cron_file": "",
                "options": {"http_connections": 0, "MaxRetries": 3, "connect_timeout": 0},
            }
        )
    )
    words = ["version", "colour", "queue_url", "region", "tier_name", "cron_file", "MaxRetries"]
    words += ["http_connections", "connect_timeout"]
    assert len(found) == len(words)
    for word in words:
        assert any(word in problem.partition("; known:")[0] for problem in found), word


def test_options_that_are_no_object_are_reported() -> None:
    (problem,) = read_problems(json.dumps({**GOOD, "options": [1]}))
    assert problem.startswith("options must be a JSON object")


# ---- tier.json of another release of worker-tier


def test_settings_of_this_release_are_read_alike_as_of_another_one() -> None:
    resources = TierResources(queue_url="https://q", region="eu-west-1", tier_name="tier")
    chosen = SqsdOptions(http_port=8080, delete_statuses=("204",), health_path="/up")
    settings = TierSettings(resources=resources, options=chosen, cron_file="cron.yaml")
    text = json.dumps(settings.to_document())
    assert TierSettings.from_other_release(text) == TierSettings.from_json(text) == settings


def test_settings_of_another_release_are_read_without_what_only_that_one_knows() -> None:
    given = {"http_port": 8080, "an_option": 1, "log_format": "xml"}
    text = json.dumps({**GOOD, "version": 7, "a_resource": "x", "options": given})
    with pytest.raises(InvalidSettings):
        TierSettings.from_json(text)
    assert TierSettings.from_other_release(text).options == SqsdOptions(http_port=8080)


def test_settings_of_another_release_must_have_what_is_always_needed() -> None:
    with pytest.raises(InvalidSettings, match="queue_url"):
        TierSettings.from_other_release('{"region": "eu-west-1", "tier_name": "tier"}', "old.json")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3"])
def test_requests_to_this_machine_need_no_signature(host: str) -> None:
    assert options(http_host=host).http_host == host


@pytest.mark.parametrize(
    "host", ["app", "10.0.0.7", "128.0.0.1", "127.0.0.1.example.com", "localhost.example.com"]
)
def test_requests_that_leave_this_machine_must_be_signed(host: str) -> None:
    with pytest.raises(InvalidSettings, match="host_header"):
        options(http_host=host)
    assert options(http_host=host, signing_key_file="/etc/key").http_host == host


@pytest.mark.parametrize(
    ("chosen", "header"),
    [
        ({}, "localhost"),
        ({"http_port": 8080}, "localhost:8080"),
        ({"http_host": "127.0.0.1"}, "127.0.0.1"),
        ({"host_header": "example.com"}, "example.com"),
        ({"host_header": "example.com:8443", "http_port": 8080}, "example.com:8443"),
    ],
)
def test_the_host_header_is_that_of_the_address_unless_it_is_chosen(
    chosen: dict[str, Any], header: str
) -> None:
    assert options(**chosen).host == header
    head = RequestBuilder(options(**chosen), "work").build(PLAIN).head
    assert f"\r\nHost: {header}\r\n".encode() in head


@pytest.mark.parametrize("wrong", ["", "a b", "a\r\nX-Forged: 1", "http://a", "a@b", "é", 3])
def test_a_host_header_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidSettings, match="host_header"):
        options(host_header=wrong)
