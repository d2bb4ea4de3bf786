"""Periodic tasks, as a file and as values."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import pytest
from aws_cdk.assertions import Annotations as AnnotationAssertions
from aws_cdk.assertions import Match

from sqsd.contract import SETTINGS_PATH, TierSettings
from sqsd.cron.cron_yaml import parse_cron_yaml
from sqsd.cron.schedule import Task
from tests.worker_tier.stacks import (
    CRON_YAML,
    Synthesized,
    new_stack,
    problems_of,
    synthesize,
    tier_with,
    vpc_of,
)
from worker_tier import (
    InvalidProps,
    PeriodicTask,
    WorkerTier,
)
from worker_tier.periodic import as_yaml
from worker_tier_bootstrap.user_data import CRON_PATH, files_in_user_data

TASK = PeriodicTask(name="nightly", url="/nightly", schedule="0 2 * * *", timezone="Asia/Shanghai")


def test_tasks_as_values_become_the_cron_yaml_of_the_instances() -> None:
    template = tier_with(periodic_tasks=[TASK])
    text = files_in_user_data(template.user_data())[CRON_PATH]
    (task,) = parse_cron_yaml(text, "cron.yaml").tasks
    assert (task.name, task.enabled) == ("nightly", True)
    assert template.all("AWS::DynamoDB::GlobalTable")


@pytest.mark.parametrize("catch_up", ["latest", 0, 86_400])
def test_a_task_as_a_value_may_catch_up_as_in_the_file(catch_up: int | Literal["latest"]) -> None:
    (task,) = parse_cron_yaml(as_yaml([replace(TASK, catch_up=catch_up)])).tasks
    assert task.catch_up == catch_up


def test_a_task_as_a_value_has_every_key_of_the_file() -> None:
    assert {field.name for field in fields(PeriodicTask)} == {field.name for field in fields(Task)}


def test_a_task_added_later_makes_the_leader_table_its_rights_and_its_alarm(
    cron_file: str, with_tasks: Synthesized
) -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    assert tier.leader_table is None
    tier.add_periodic_task(TASK)
    tier.add_periodic_task(PeriodicTask(name="hourly", url="/hourly", schedule="0 * * * *"))
    template = Synthesized(stack)
    assert set(template.resources) == set(with_tasks.resources)
    text = files_in_user_data(template.user_data())[CRON_PATH]
    assert [task.name for task in parse_cron_yaml(text, "t").tasks] == ["nightly", "hourly"]
    settings = TierSettings.from_json(files_in_user_data(template.user_data())[SETTINGS_PATH])
    assert settings.resources.leader_table
    assert settings.cron_file == "cron.yaml"


def test_a_task_that_cannot_be_added_is_refused_and_changes_nothing() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), min_capacity=0)
    with pytest.raises(InvalidProps, match="min_capacity is 0"):
        tier.add_periodic_task(TASK)
    with pytest.raises(InvalidProps, match="add_periodic_task"):
        tier.add_periodic_task(PeriodicTask(name="x", url="/", schedule="61 * * * *"))
    template = Synthesized(stack)
    assert template.all("AWS::DynamoDB::GlobalTable") == {}
    assert CRON_PATH not in files_in_user_data(template.user_data())


def test_an_empty_fleet_cannot_run_periodic_tasks(cron_file: str) -> None:
    (problem,) = problems_of(min_capacity=0, periodic_tasks=cron_file)
    assert cron_file in problem
    assert "set min_capacity to 1 or more" in problem


def test_an_empty_fleet_can_have_a_file_without_enabled_tasks(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(CRON_YAML + "   enabled: false\n", encoding="utf-8")
    synthesize(
        lambda stack: WorkerTier(
            stack, "Worker", vpc=vpc_of(stack), min_capacity=0, periodic_tasks=str(file)
        )
    )


def test_each_mistake_in_a_cron_yaml_is_reported_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(
        CRON_YAML.replace("* * * * *", "61 * * * *").replace(
            "/scheduled", "https://host/scheduled"
        ),
        encoding="utf-8",
    )
    problems = problems_of(periodic_tasks=str(file))
    assert len(problems) == 2
    for problem in problems:
        assert problem.startswith(f"periodic_tasks: {file}, line ")


def test_a_url_without_its_slash_is_a_warning_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(CRON_YAML.replace("/scheduled", "scheduled"), encoding="utf-8")
    stack = new_stack()
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), periodic_tasks=str(file))
    (found,) = AnnotationAssertions.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("no slash at its beginning")
    )
    assert f"periodic_tasks: {file}, line " in str(found.entry.data)


def test_a_cron_yaml_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_bytes(b"version: 1\n# caf\xe9\n")
    assert problems_of(periodic_tasks=str(file)) == (
        f"periodic_tasks: {file} is not UTF-8 at byte 16",
    )


def test_a_cron_yaml_too_large_for_user_data_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(CRON_YAML + "# words\n" * 2_000, encoding="utf-8")
    (problem,) = problems_of(periodic_tasks=str(file))
    assert "shorten cron.yaml" in problem


@pytest.mark.timeout(60)
def test_a_task_added_to_a_file_that_merges_without_end_is_added_at_once(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    merges = "".join(f"x{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 60))
    file.write_text(f"x0: &m0 {{jitter: 7}}\n{merges}{CRON_YAML}   <<: *m59\n", encoding="utf-8")
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), periodic_tasks=str(file))
    tier.add_periodic_task(TASK)
    text = files_in_user_data(Synthesized(stack).user_data())[CRON_PATH]
    first, second = parse_cron_yaml(text, "t").tasks
    assert (first.url, first.jitter) == ("/scheduled", 7)
    assert second.name == TASK.name
