"""Generated files of docs/reference are up to date with what they are generated from."""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Mapping
from dataclasses import Field, fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cfnlint.jsonschema import StandardValidator  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import SqsdOptions
from tools.reference import cli, constants
from tools.reference.events import events_page
from tools.reference.metrics import printed_units
from tools.reference.pages import PAGES
from tools.reference.props import groups
from tools.reference.tier_json import UnknownCheck, option_schema, schema
from worker_tier import TierProps

MINIMAL = {"version": 1, "queue_url": "https://queue", "region": "eu-west-1", "tier_name": "t"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_is_what_is_generated_from_the_code(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run `make reference`"


def test_the_page_has_every_prop_once_with_its_type_and_default() -> None:
    props = [prop for group in groups() for prop in group.props]
    assert sorted(prop.name for prop in props) == sorted(TierProps.__annotations__)
    assert [prop.name for prop in props if prop.default is None] == ["vpc"]
    assert all(prop.meaning and prop.type for prop in props)


def test_an_event_without_a_description_is_reported_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "sqsd" / "contract" / "events.py"
    module.parent.mkdir(parents=True)
    for package in (module.parent, module.parent.parent):
        (package / "__init__.py").write_text("")
    module.write_text('ONE = "one.told"\n"""It has one."""\nTWO = "two.forgotten"\n')
    monkeypatch.setattr(constants, "SEARCH_PATHS", (tmp_path,))
    with pytest.raises(constants.Undescribed, match=r"TWO has no description"):
        events_page()


def test_every_metric_of_a_cloudwatch_line_is_on_its_page() -> None:
    page = next(path for path in PAGES if path.name == "metrics.md").read_text(encoding="utf-8")
    assert len(printed_units()) > 30
    for name, unit in printed_units().items():
        assert f"| `{name}` | {unit} | " in page


def test_an_argument_without_help_is_reported() -> None:
    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("--forgotten")
    with pytest.raises(cli.NoHelp, match="--forgotten FORGOTTEN"):
        list(cli._arguments(parser))


# ---- the schema of tier.json


def problems_of(document: Mapping[str, Any]) -> list[str]:
    validator = StandardValidator(schema())
    return [error.message for error in validator.iter_errors(document)]


def test_a_minimal_document_fits_the_schema() -> None:
    assert problems_of(MINIMAL) == []


@pytest.mark.parametrize("key", MINIMAL)
def test_a_document_without_a_required_key_does_not_fit(key: str) -> None:
    assert problems_of({name: value for name, value in MINIMAL.items() if name != key})


@pytest.mark.parametrize(
    "wrong",
    [
        {"unknown": 1},
        {"version": 2},
        {"queue_url": ""},
        {"weight": 0},
        {"options": {"unknown": 1}},
        {"options": {"http_port": "80"}},
        {"more_queues": [{"weight": 1}]},
        {"more_queues": [{"queue_url": "https://other", "options": {"http_port": 80}}]},
    ],
)
def test_what_the_daemon_refuses_does_not_fit_the_schema(wrong: Mapping[str, Any]) -> None:
    assert problems_of({**copy.deepcopy(MINIMAL), **wrong})


#: Texts and numbers at the edges of what options allow.
EDGES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 80, 65_535, 65_536, 43_200, 43_201, 1.5, 1_209_600),
    *(
        "",
        " ",
        "/",
        "/a b",
        "/a",
        "a",
        "a ",
        " a",
        "a\n",
        "/a\n",
        "409\n",
        "a:80",
        "a@b",
        "a/b",
        "localhost",
    ),
    *("eb", "backoff", "json", "200", "2xx", "999", "20", "409=30", "409=43200", "409=43201"),
    *("409=00030", "5xx=backoff", "5xx=", "x" * 255, "x" * 256, "AWS/x", ":x", "application/json"),
    *("traceparent", "X-Amzn-Trace-Id", "~", "!", "\x7f", "é"),
)


def agrees(option: Field[Any], value: Any) -> bool:
    """Whether the schema of an option says of a value what its check says."""
    by_check = option.metadata["check"](value) is None
    plain = list(value) if isinstance(value, tuple) else value
    return by_check == (not list(validator_of(option.name).iter_errors(plain)))


@cache
def validator_of(name: str) -> StandardValidator:
    (option,) = (one for one in fields(SqsdOptions) if one.name == name)
    return StandardValidator(option_schema(option))


@pytest.mark.parametrize("option", fields(SqsdOptions), ids=lambda option: str(option.name))
def test_the_schema_of_an_option_allows_what_its_check_allows(option: Field[Any]) -> None:
    wrong = [value for value in EDGES if not agrees(option, value)]
    wrong += [value for value in EDGES if not agrees(option, (value,))]
    assert not wrong


@given(
    option=st.sampled_from(fields(SqsdOptions)),
    value=st.one_of(st.integers(-1, 70_000), st.text(st.characters(codec="ascii"), max_size=8)),
)
def test_the_schema_and_the_check_agree_on_any_value(option: Field[Any], value: Any) -> None:
    assert agrees(option, value)
    assert agrees(option, (value,))


def test_the_default_of_every_option_fits_its_schema() -> None:
    defaults = {option.name: option.default for option in fields(SqsdOptions)}
    plain = json.loads(json.dumps(defaults))
    assert problems_of({**MINIMAL, "options": plain}) == []


def test_a_check_without_a_schema_is_an_error_not_a_hole() -> None:
    option = copy.copy(fields(SqsdOptions)[0])
    option.metadata = {**option.metadata, "check": lambda _: "a colour of the sea"}  # type: ignore[assignment]
    with pytest.raises(UnknownCheck, match="a colour of the sea"):
        option_schema(option)
