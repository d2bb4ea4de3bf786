"""Regions and queue URLs that cannot be, refused by `check` and `run` before anything is called."""

from __future__ import annotations

import json
from pathlib import Path

import botocore.session
import pytest

from sqsd.__main__ import UNUSABLE, main
from sqsd.config.resource_checks import resource_problems

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/work"


def every_region() -> list[str]:
    """All that AWS's own SDK knows."""
    session = botocore.session.Session()
    return [
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions(
            "sqs", partition_name=partition, allow_non_regional=False
        )
    ]


def test_every_region_of_aws_has_the_form_of_one() -> None:
    regions = every_region()
    assert len(regions) > 30
    for region in regions:
        assert resource_problems(region, {}) == [], region


@pytest.mark.parametrize(
    "region", ["nonsense", "eu west 1", "EU-WEST-1", "eu-west-1a", "eu-west", "Ireland", "", "a.b"]
)
def test_what_is_no_region_is_refused(region: str) -> None:
    (problem,) = resource_problems(region, {})
    assert problem.startswith(f"region must have the form of eu-west-1, got {region!r}")


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://eu-west-1.queue.amazonaws.com/123456789012/work",
        "https://sqs-fips.eu-west-1.amazonaws.com/123456789012/work.fifo",
        "https://sqs.eu-west-1.api.aws/123456789012/work",
        "https://vpce-0a-1b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/work",
        "http://localhost:4566/000000000000/work",
        "http://127.0.0.1:9324/queue/jobs/",
    ],
)
def test_every_form_of_a_queues_url_is_accepted(url: str) -> None:
    assert resource_problems("eu-west-1", {"queue_url": url, "dead_letter_queue_url": None}) == []


@pytest.mark.parametrize(
    "url", ["work", "sqs.eu-west-1.amazonaws.com/1/work", "https://", "http://["]
)
def test_what_is_no_queues_url_is_refused_by_name(url: str) -> None:
    (problem,) = resource_problems("eu-west-1", {"queue_url": url})
    assert problem.startswith("queue_url must be a URL such as https://")
    assert problem.endswith(repr(url))


@pytest.mark.parametrize("url", [URL, "https://eu-west-1.queue.amazonaws.com/123456789012/work"])
def test_a_queue_in_another_region_than_the_settings_is_refused(url: str) -> None:
    (problem,) = resource_problems("us-east-1", {"queue_url": url})
    assert "queue_url is in region eu-west-1, but region is us-east-1" in problem
    assert "set region to eu-west-1" in problem


@pytest.mark.parametrize("command", ["check", "run"])
def test_all_problems_are_printed_and_nothing_is_started(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tier.json"
    document = {
        "version": 1,
        "queue_url": "work",
        "dead_letter_queue_url": "dead",
        "region": "nonsense",
        "tier_name": "tier",
    }
    path.write_text(json.dumps(document))
    assert main([command, "--settings", str(path)]) == UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.startswith(f"{path}: ") for line in lines] == [True] * 3
    assert [" ".join(line.removeprefix(f"{path}: ").split()[:2]) for line in lines] == [
        "region must",
        "queue_url must",
        "dead_letter_queue_url must",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read (No such file or directory)"), (b" short \n", "32 characters, got 5")],
)
def test_check_reads_the_signing_key_too(
    content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    if content is not None:
        key.write_bytes(content)
        key.chmod(0o600)
    flags = ["--queue-url", URL, "--signing-key-file", str(key)]
    assert main(["check", *flags]) == UNUSABLE
    err = capsys.readouterr().err
    assert words in err
    assert str(key) in err
    key.write_bytes(b"0123456789abcdef" * 2)
    key.chmod(0o600)
    assert main(["check", *flags]) == 0
