"""The command `sqsd`: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sqsd
from sqsd.__main__ import UNUSABLE, main

GOOD = {
    "version": 1,
    "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/work",
    "region": "eu-west-1",
    "tier_name": "tier",
}


def settings(directory: Path, **changes: object) -> str:
    path = directory / "tier.json"
    path.write_text(json.dumps({**GOOD, **changes}))
    return str(path)


def test_check_of_good_settings_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings(tmp_path)
    assert main(["check", "--settings", path]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: no problems")
    assert err == ""


def test_check_prints_what_of_a_cron_yaml_may_not_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cron = tmp_path / "cron.yaml"
    cron.write_text("version: 1\ncron: [{name: a, url: u, schedule: '@daily', enabled: false}]\n")
    assert main(["check", "--settings", settings(tmp_path, cron_file="cron.yaml")]) == 0
    out, _ = capsys.readouterr()
    assert f'{cron}: no problems\n  warning: line 2, column 23: url "u" has no slash' in out


@pytest.mark.parametrize("command", ["check", "run"])
def test_every_problem_is_printed_on_a_line_of_its_own(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = settings(
        tmp_path,
        region="",
        colour="red",
        options={"http_connections": 0, "visibility_timeout": "5", "http_pth": "/"},
    )
    assert main([command, "--settings", path]) == UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 5
    for word in ("region", "'colour'", "http_connections", "visibility_timeout", "'http_pth'"):
        assert sum(word in line.partition("; known:")[0] for line in lines) == 1, word
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_problems_of_every_kind_come_in_one_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, cron = tmp_path / "key", tmp_path / "cron.yaml"
    key.write_text("short")
    key.chmod(0o600)
    cron.write_text('version: 1\ncron:\n  - {name: a, url: /a, schedule: "61 * * * *"}\n')
    path = settings(
        tmp_path,
        region="us-east",
        queue_url="not a url",
        cron_file="cron.yaml",
        options={
            "http_connections": 0,
            "heartbeat": False,
            "inactivity_timeout": 400,
            "dead_letter_statuses": ["422"],
            "signing_key_file": str(key),
        },
    )
    assert main(["check", "--settings", path]) == UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    for word in (
        "http_connections must be",
        "inactivity_timeout (400 s) must be below",
        "dead_letter_statuses need",
        "region must have the form",
        "queue_url must be a URL",
        "signing_key_file",
        "cron.yaml: line 3",
    ):
        assert sum(word in line for line in lines) == 1, (word, lines)
    assert len(lines) == 7


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "absent.json"
    assert main(["check", "--settings", str(path)]) == UNUSABLE
    assert str(path) in capsys.readouterr().err


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == UNUSABLE
    assert "COMMAND" in capsys.readouterr().err


def test_endpoint_rules_that_refuse_are_reported_before_anything_is_received(
    tmp_path: Path,
) -> None:
    path = settings(tmp_path, options={"status_port": None})
    fips = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_USE_FIPS_ENDPOINT": "true"}
    ended = _python("-m", "sqsd", "run", "--settings", path, **fips)
    assert ended.returncode == UNUSABLE, ended.stderr
    assert "no endpoint for sqs in region 'eu-west-1'" in ended.stderr
    assert "FIPS" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_runs_as_a_program_of_its_own_without_the_sdk() -> None:
    code = (
        "import sys; from sqsd.__main__ import main; code = main(['version']);"
        " assert 'botocore' not in sys.modules; sys.exit(code)"
    )
    ended = _python("-c", code)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(
        f"sqsd {sqsd.__version__}, announced to applications as aws-sqsd/"
    )


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(sqsd.__file__).parents[1])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": source, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
