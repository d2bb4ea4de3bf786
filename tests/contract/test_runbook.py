"""docs/guide/runbook.md has a section, with commands, for each alarm that a tier makes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aws_cdk import App, Stack

from sqsd.contract import events
from tests.worker_tier.stacks import Synthesized
from tests.worker_tier.variants import build

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "runbook.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def alarms() -> set[str]:
    """Construct ids of the alarms for people, of a tier that has every kind of them."""
    stack = Stack(App(), "Test")
    build(stack, "periodic")
    ids = "".join(Synthesized(stack).resources)
    return set(re.findall(r"WorkerMonitoring([A-Z][A-Za-z]+?)[0-9A-F]{8}", ids))


def test_every_alarm_has_a_section_and_every_section_an_alarm() -> None:
    found = alarms()
    assert len(found) >= 5
    assert found == {name for name in SECTIONS if "```" in SECTIONS[name]}


@pytest.mark.parametrize("name", sorted(name for name in SECTIONS if "```" in SECTIONS[name]))
def test_a_section_has_what_it_means_three_commands_and_how_to_repair(name: str) -> None:
    meaning, commands, repair = re.split(r"```(?:sh)?\n", SECTIONS[name])
    assert meaning.strip().startswith("*"), "begin with what the alarm means"
    assert len(commands.splitlines()) == 3
    assert len(re.findall(r"^- ", repair, re.MULTILINE)) >= 3


def test_the_events_that_it_names_exist() -> None:
    known = {value for value in vars(events).values() if isinstance(value, str)}
    subjects = {event.partition(".")[0] for event in known}
    named = re.findall(r"[`\"]([a-z]+\.(?:[a-z_]+|\*))[`\"]", TEXT)
    assert len(named) > 5
    for event in named:
        subject, _, rest = event.partition(".")
        assert event in known or (rest == "*" and subject in subjects), event
