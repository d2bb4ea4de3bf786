"""Props -> user data -> tier.json -> the daemon's settings: nothing is lost on the way."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args

import pytest
from aws_cdk import Duration

from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierResources, TierSettings
from tests.worker_tier.stacks import CRON_YAML, Synthesized, tier_with
from worker_tier.options import NONE_SWITCHES_OFF
from worker_tier.props import SqsdProps
from worker_tier_bootstrap.user_data import CRON_PATH, files_in_user_data

#: Values that are tried for an option in turn: the first that it takes and that is not its default
#: is chosen. So a new option needs no entry here, unless it takes none of these.
CANDIDATES: tuple[Any, ...] = (
    *(False, True),
    *(41, 7, 0, 7_000, 86_400),
    *("/work", "127.0.0.1", "backoff", "eb", "Mine"),
    *(("204",), ("409=30", "5xx=backoff"), ("X-Aws-Sqsd-Receipt-Handle",)),
)


def chosen(option: Field[Any]) -> Any:
    """Return the first candidate that the option's own check takes and that is not its default."""
    for value in CANDIDATES:
        if value != option.default and option.metadata["check"](value) is None:
            return value
    raise AssertionError(f"{option.name} takes no value of CANDIDATES; add one that it takes")


#: A value for every option that is not its default. Those below must fit together.
CHOSEN: dict[str, Any] = {option.name: chosen(option) for option in fields(SqsdOptions)} | {
    "inactivity_timeout": 41,
    "visibility_timeout": 42,
    "status_port": 7_000,
    "dead_letter_statuses": ("410", "422"),
    "backpressure_statuses": ("429",),
    "mime_type": "text/plain; charset=utf-8",
}
#: What names of durations end in; these options are `Duration` in the constructs.
DURATION_SUFFIXES = ("_timeout", "_period")


def settings_in(template: Synthesized) -> TierSettings:
    return TierSettings.from_json(files_in_user_data(template.user_data())[SETTINGS_PATH])


def test_every_option_is_chosen_here_and_none_is_its_default() -> None:
    defaults = SqsdOptions()
    options = SqsdOptions(**CHOSEN)
    for field in fields(SqsdOptions):
        assert getattr(options, field.name) != getattr(defaults, field.name), field.name


def test_every_option_reaches_the_daemon_unchanged() -> None:
    props = {
        name: Duration.seconds(value) if name.endswith(DURATION_SUFFIXES) else value
        for name, value in CHOSEN.items()
    }
    assert settings_in(tier_with(**props)).options == SqsdOptions(**CHOSEN)


@pytest.mark.parametrize("name", sorted(NONE_SWITCHES_OFF))
def test_an_option_that_none_switches_off_is_off_with_none(name: str) -> None:
    assert getattr(settings_in(tier_with(**{name: None})).options, name) is None


@pytest.mark.parametrize("name", CHOSEN)
def test_durations_are_typed_as_durations_and_nothing_else_is(name: str) -> None:
    is_duration = name.endswith(DURATION_SUFFIXES)
    assert (Duration in get_args(SqsdProps.__annotations__[name])) == is_duration


def test_without_props_the_daemon_gets_the_contracts_defaults() -> None:
    settings = settings_in(tier_with())
    assert settings.options == SqsdOptions()
    assert settings.cron_file is None
    assert settings.resources.leader_table is None


def test_resources_are_those_of_the_template(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(CRON_YAML, encoding="utf-8")
    template = tier_with(periodic_tasks=str(file))
    queue = template.id_of("AWS::SQS::Queue", "QueuesQueue")
    dead = template.id_of("AWS::SQS::Queue", "DeadLetterQueue")
    table = template.id_of("AWS::DynamoDB::GlobalTable")
    assert settings_in(template).resources == TierResources(
        queue_url=f"ref-{queue}",
        region="ref-AWS-Region",
        tier_name="ref-AWS-StackName-Worker",
        dead_letter_queue_url=f"ref-{dead}",
        leader_table=f"ref-{table}",
        lifecycle_hook="drain",
        log_group=f"ref-{template.id_of('AWS::Logs::LogGroup')}",
    )


def test_a_cron_yaml_reaches_the_daemon_byte_for_byte(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    # Windows line ends, letters of another script, no line break at the end, and what a shell eats
    file.write_bytes(
        (CRON_YAML + "# Grüße, $HOME, `x`, END_OF_FILE").replace("\n", "\r\n").encode()
    )
    template = tier_with(periodic_tasks=str(file))
    assert settings_in(template).cron_file == "cron.yaml"
    written = files_in_user_data(template.user_data())[CRON_PATH]
    assert written.encode() == file.read_bytes()


def test_an_instance_may_send_to_the_dead_letter_queue_only_with_dead_letter_statuses() -> None:
    for statuses, allowed in ((None, False), (["410"], True)):
        template = tier_with(dead_letter_statuses=statuses)
        dead = template.id_of("AWS::SQS::Queue", "DeadLetterQueue")
        policy = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
        assert (dead in str(policy)) is allowed
