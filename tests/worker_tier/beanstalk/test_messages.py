"""A problem of settings is reported once, by its option and its place."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Fn, Stack, Token
from aws_cdk import aws_s3 as s3

from tests.worker_tier.stacks import CRON_YAML, Synthesized, new_stack, vpc_of
from worker_tier import InvalidProps, WorkerApplication, WorkerTier

SQSD = "aws:elasticbeanstalk:sqsd"
GROUP = "aws:autoscaling:asg"
PROPERTIES = "aws:elasticbeanstalk:application:environment"


@pytest.fixture
def application(tmp_path: Path) -> WorkerApplication:
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    return WorkerApplication.from_asset(str(directory), environment={"CODE": "1"})


def problems_of(settings: Any, stack: Stack | None = None, **props: Any) -> tuple[str, ...]:
    stack = stack or new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier.from_option_settings(
            stack, "Worker", settings, **({"vpc": vpc_of(stack)} | props)
        )
    return caught.value.problems


def test_what_a_tier_refuses_is_named_by_its_option_and_place(tmp_path: Path) -> None:
    # given settings that are wrong only beside periodic tasks, so that the tier finds out
    (tmp_path / "cron.yaml").write_text(CRON_YAML)
    text = f"{GROUP}:\n  MinSize: 0\n"
    (problem,) = problems_of(text, periodic_tasks=str(tmp_path / "cron.yaml"))
    assert "a fleet that sleeps runs no periodic task" in problem
    assert problem.endswith(f"(min_capacity is {GROUP}:MinSize ('0', line 2, column 3))")


def test_only_props_that_come_from_settings_are_named_so(tmp_path: Path) -> None:
    path = tmp_path / "a.config"
    path.write_text(f"option_settings:\n  {GROUP}:\n    MinSize: 5\n")
    (problem,) = problems_of(path, max_capacity=2)
    assert f"({path}: min_capacity is {GROUP}:MinSize ('5', line 3, column 5))" in problem
    assert "max_capacity is" not in problem


def test_the_size_of_environment_properties_is_one_problem(application: WorkerApplication) -> None:
    (problem,) = problems_of({PROPERTIES: {"A": "x" * 5000}}, application=application)
    assert "take 5002 bytes and may take 4096" in problem


def test_properties_that_are_too_large_with_those_of_code_are_a_problem(
    application: WorkerApplication,
) -> None:
    (problem,) = problems_of({PROPERTIES: {"A": "x" * 4090}}, application=application)
    assert "take 4098 bytes and may take 4096" in problem


@pytest.mark.parametrize("settings", [{"VPCId": "vpc-1"}, {"VPCId": "mine", "Subnets": "subnet-1"}])
def test_a_network_that_is_refused_is_one_problem(settings: dict[str, str]) -> None:
    (problem,) = problems_of({"aws:ec2:vpc": settings}, vpc=None)
    assert "aws:ec2:vpc:VPCId" in problem


# ---- files


def test_a_directory_is_refused_with_the_files_that_it_holds(tmp_path: Path) -> None:
    for name in ("b.config", "a.config", "notes.txt"):
        (tmp_path / name).write_text("{}")
    (problem,) = problems_of(tmp_path)
    assert problem == f"{tmp_path} is a directory; pass one of its files: a.config, b.config"


def test_a_list_of_paths_is_refused_with_one_hint() -> None:
    (problem,) = problems_of([Path("a.config"), Path("b.config")])
    assert "a value is the path of a file; pass one pathlib.Path alone" in problem


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_read_in_the_encoding_that_its_mark_names(tmp_path: Path, encoding: str) -> None:
    # PowerShell's > writes UTF-16
    path = tmp_path / "dump.json"
    path.write_text(f'{{"{SQSD}": {{"HttpPath": "/x"}}}}', encoding=encoding)
    for settings in (path, path.read_bytes()):
        stack = new_stack()
        tier = WorkerTier.from_option_settings(stack, "Worker", settings, vpc=vpc_of(stack))
        assert tier.options.http_path == "/x"


def test_a_file_of_latin_1_is_refused_with_the_byte_and_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: \xe9")
    (problem,) = problems_of(path)
    assert "is not UTF-8: 0xe9 in line 2; save the file as UTF-8" in problem


# ---- tokens of the CDK


def test_a_token_is_a_property_and_no_value_of_an_option(application: WorkerApplication) -> None:
    stack = new_stack()
    bucket = s3.Bucket(stack, "Bucket")
    settings = {PROPERTIES: {"BUCKET": bucket.bucket_name}}
    WorkerTier.from_option_settings(
        stack, "Worker", settings, vpc=vpc_of(stack), application=application
    )
    name = stack.resolve(bucket.bucket_name)["Ref"]
    written = base64.b64encode(f"ref-{name}".encode()).decode()  # the instance decodes it
    assert written in Synthesized(stack).user_data()


def test_a_token_in_an_option_is_refused_by_its_name_and_the_rest_is_reported() -> None:
    stack = new_stack()
    value = Fn.import_value("x")
    found = problems_of(
        {
            SQSD: {"HttpPath": value, "MaxRetries": Token.as_number(value), "MimeType": "a\nb"},
            GROUP: {"MaxSize": Fn.get_att("Group", "Size")},
            PROPERTIES: {"A": Fn.get_att("Group", "Size"), "PORT": value},
            "aws:ec2:instances": {"InstanceTypes": Token.as_list(value)},
        },
        stack,
    )
    for name, hint in (
        ("HttpPath", "or pass http_path in code"),
        ("MaxRetries", "write a literal number"),
        ("MaxSize", ""),
        ("environment:A", "pass it as a text, as in str(...)"),
        ("PORT", ""),
        ("InstanceTypes", "write its items"),
    ):
        (problem,) = [text for text in found if f":{name} " in text or f"{name} " in text[:80]]
        assert hint in problem, problem
    assert any("MimeType" in text for text in found)
    assert not any("Token[" in text and "MimeType" not in text for text in found[1:])
