"""Settings from `tier.json`, from a Beanstalk instance's file, and from flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqsd.config import load as settings
from sqsd.contract import InvalidSettings, SqsdOptions

BEANSTALK = """\
queue_url: https://sqs.cn-north-1.amazonaws.com.cn/123456789012/awseb-e-x-stack-AWSEBWorkerQueue-1
http_url: http://localhost
http_port: 80
http_path: /work
http_connections: 20
mime_type: text/xml
visibility_timeout: 2100
inactivity_timeout: 1800
error_visibility_timeout: -1
retention_period: 345600
registry_table: awseb-e-x-stack-AWSEBWorkerCronLeaderRegistry-1
environment_name: my-env
threads: 30
verbose: true
something_new: 1
"""


def test_a_file_copied_from_a_beanstalk_instance_works(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(BEANSTALK)
    notes: list[str] = []
    read = settings.load(path, {}, notes)
    assert read.resources.region == "cn-north-1"
    assert read.resources.tier_name == "my-env"
    assert read.resources.leader_table == "awseb-e-x-stack-AWSEBWorkerCronLeaderRegistry-1"
    options = read.options
    assert (options.http_path, options.mime_type, options.http_connections) == (
        "/work",
        "text/xml",
        20,
    )
    assert (options.visibility_timeout, options.inactivity_timeout) == (2100, 1800)
    assert options.error_visibility_timeout is None
    assert [note.split()[0] for note in notes] == ["threads", "verbose", "something_new"]


def test_beanstalks_visibility_timeout_is_also_its_inactivity_timeout(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text("queue_url: https://sqs.eu-west-1.amazonaws.com/1/q\nvisibility_timeout: 120\n")
    assert settings.load(path, {}).options.inactivity_timeout == 120


def from_beanstalk(tmp_path: Path, text: str) -> tuple[SqsdOptions, list[str]]:
    path = tmp_path / "default.yaml"
    path.write_text(f"queue_url: https://sqs.eu-west-1.amazonaws.com/1/q\n{text}\n")
    notes: list[str] = []
    return settings.load(path, {}, notes).options, notes


@pytest.mark.parametrize("visibility", [0, 1])
def test_beanstalks_shortest_visibilities_are_raised_with_a_note(
    tmp_path: Path, visibility: int
) -> None:
    options, (note,) = from_beanstalk(tmp_path, f"visibility_timeout: {visibility}")
    assert (options.visibility_timeout, options.inactivity_timeout) == (2, 2)
    assert note.startswith(f"visibility_timeout {visibility} is taken as 2")


def test_beanstalks_longest_visibility_fits_without_its_max_retries(tmp_path: Path) -> None:
    options, (note,) = from_beanstalk(tmp_path, "visibility_timeout: 43200")
    assert (options.visibility_timeout, options.inactivity_timeout) == (43_200, 36_000)
    assert options.max_retries == 8
    assert "received 8 times at the most" in note


@pytest.mark.parametrize(
    ("text", "path", "notes"),
    [
        ("healthcheck: TCP:80", None, 0),
        ("healthcheck: HTTP:80/ping", "/ping", 0),
        ("http_port: 8080\nhealthcheck: HTTP:8080/a?b=c", "/a?b=c", 0),
        ("healthcheck: HTTP:9000/ping", None, 1),
        ("healthcheck: whatever", None, 1),
    ],
)
def test_beanstalks_health_check_is_ours_where_it_is_the_applications(
    tmp_path: Path, text: str, path: str | None, notes: int
) -> None:
    options, found = from_beanstalk(tmp_path, text)
    assert options.health_path == path
    assert len(found) == notes


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/1/q", "eu-west-1"),
        ("https://sqs.us-gov-west-1.amazonaws.com/1/q", "us-gov-west-1"),
        ("https://sqs-fips.us-east-1.amazonaws.com/1/q", "us-east-1"),
        ("https://eu-west-1.queue.amazonaws.com/1/q", "eu-west-1"),
        ("https://sqs.us-east-1.api.aws/1/q", "us-east-1"),
    ],
)
def test_the_region_is_read_from_the_queue_url(url: str, region: str) -> None:
    assert settings.load(None, {"queue_url": url}).resources.region == region


def test_a_url_that_names_no_region_asks_for_one() -> None:
    with pytest.raises(InvalidSettings, match="region must be a non-empty string"):
        settings.load(None, {"queue_url": "http://localhost:4566/1/q"})


def test_flags_come_before_the_file_and_all_problems_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(BEANSTALK)
    assert settings.load(path, {"http_connections": 7}).options.http_connections == 7
    with pytest.raises(InvalidSettings) as caught:
        settings.load(path, {"http_connections": 700, "http_path": "work", "region": ""})
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("tier.json", "{", "not JSON"),
        ("tier.json", "[]", "must be a JSON object"),
        ("default.yaml", "a: [", "not YAML"),
        ("default.yaml", "- a", "must be a mapping"),
        ("default.yaml", "http_url: http://example.org", "must be http://localhost"),
    ],
)
def test_a_file_that_is_no_settings_file_says_what_is_wrong(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=problem):
        settings.load(path, {})


def test_a_file_that_is_not_there_is_named_with_the_hint(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="name the file with --settings"):
        settings.load(tmp_path / "none.json", {})
