"""Several queues in `tier.json`: what may be said of each, and every problem with them at once."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import (
    SHARED_OPTIONS,
    InvalidSettings,
    QueueSettings,
    SqsdOptions,
    TierResources,
    TierSettings,
)

GOOD = {"version": 1, "queue_url": "https://q/1/first", "region": "eu-west-1", "tier_name": "tier"}
RESOURCES = TierResources(queue_url="https://q/1/first", region="eu-west-1", tier_name="tier")


def read(*queues: Any, **changes: Any) -> TierSettings:
    return TierSettings.from_json(json.dumps({**GOOD, "more_queues": queues, **changes}), "t.json")


def problems(*queues: Any, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        read(*queues, **changes)
    assert caught.value.source == "t.json"
    return caught.value.problems


def test_one_queue_is_written_as_if_there_could_be_no_other() -> None:
    document = TierSettings(resources=RESOURCES).to_document()
    assert not {"weight", "more_queues"} & document.keys()
    assert TierSettings.from_document(document, "t.json").more_queues == ()


def test_a_queue_takes_over_every_option_that_it_does_not_choose() -> None:
    settings = read(
        {"queue_url": "https://q/1/slow", "options": {"visibility_timeout": 900}},
        options={"http_path": "/work", "max_retries": 5},
    )
    (queue,) = settings.more_queues
    assert (queue.weight, queue.dead_letter_queue_url, settings.weight) == (1, None, 1)
    chosen = settings.options_of(queue)
    assert chosen == replace(settings.options, visibility_timeout=900)
    assert chosen.http_path == "/work"


OWN = {
    "http_path": st.just("/other"),
    "mime_type": st.just("text/plain"),
    "inactivity_timeout": st.integers(1, 299),
    "visibility_timeout": st.integers(2, 3_000),
    "error_visibility_timeout": st.none() | st.integers(0, 100),
    "wait_time_seconds": st.integers(0, 20),
    "retry_policy": st.just("backoff"),
    "delete_statuses": st.lists(st.sampled_from(["204", "3xx"]), unique=True).map(tuple),
    "dead_letter_statuses": st.just(("410",)),
    "via_sns": st.booleans(),
}


@given(
    weight=st.integers(1, 100),
    queues=st.lists(
        st.tuples(st.integers(1, 100), st.fixed_dictionaries({}, optional=OWN)), max_size=4
    ),
)
def test_writing_and_reading_several_queues_lose_nothing(
    weight: int, queues: list[tuple[int, dict[str, Any]]]
) -> None:
    settings = TierSettings(
        resources=RESOURCES,
        weight=weight,
        more_queues=tuple(
            QueueSettings(
                queue_url=f"https://q/1/{number}",
                weight=its,
                dead_letter_queue_url="https://q/1/dead",
                options=options,
            )
            for number, (its, options) in enumerate(queues)
        ),
    )
    assert TierSettings.from_json(json.dumps(settings.to_document())) == settings


@pytest.mark.parametrize("name", sorted(SHARED_OPTIONS))
def test_what_is_the_applications_or_the_daemons_cannot_be_chosen_for_one_queue(name: str) -> None:
    default = getattr(SqsdOptions(), name)
    (problem,) = problems({"queue_url": "https://q/1/slow", "options": {name: default}})
    assert problem.startswith(f"more_queues[0] (slow): option {name} cannot be chosen for one")
    assert "set it in the options of the tier" in problem


def test_every_shared_option_is_an_option() -> None:
    assert {f.name for f in fields(SqsdOptions)} >= SHARED_OPTIONS


@pytest.mark.parametrize("weight", [0, 101, True, 1.5, "2", None])
def test_a_weight_is_a_whole_number_from_1_to_100(weight: object) -> None:
    expected = f"weight must be a whole number from 1 to 100, got {weight!r}"
    assert problems(weight=weight) == (expected,)
    assert problems({"queue_url": "https://q/1/b", "weight": weight}) == (
        f"more_queues[0] (b): {expected}",
    )


def test_a_queue_named_twice_is_told_once() -> None:
    again = {"queue_url": GOOD["queue_url"]}
    (problem,) = problems(again, again)
    assert problem == "queue https://q/1/first is named 3 times; name each queue once"


def test_every_queue_needs_a_connection() -> None:
    more = [{"queue_url": f"https://q/1/{n}"} for n in range(3)]
    (problem,) = problems(*more, options={"http_connections": 3})
    assert problem.startswith("http_connections (3) must be at least the number of queues (4)")
    assert len(read(*more, options={"http_connections": 4}).more_queues) == 3


def test_a_combination_that_loses_messages_is_told_for_the_queue_that_has_it() -> None:
    queue = {"queue_url": "https://q/1/slow", "options": {"visibility_timeout": 43_200}}
    (problem,) = problems(queue)
    assert problem.startswith("queue https://q/1/slow: retention_period (345600 s) must be")


def test_dead_letter_statuses_need_each_queues_own_dead_letter_queue() -> None:
    changes = {
        "options": {"dead_letter_statuses": ["410"]},
        "dead_letter_queue_url": "https://q/1/dead",
    }
    (problem,) = problems({"queue_url": "https://q/1/b"}, **changes)
    assert problem.startswith("queue https://q/1/b: dead_letter_statuses need")
    read({"queue_url": "https://q/1/b", "options": {"dead_letter_statuses": []}}, **changes)
    read({"queue_url": "https://q/1/b", "dead_letter_queue_url": "https://q/1/d"}, **changes)


def test_every_problem_with_every_queue_is_told_at_once() -> None:
    found = problems(
        {"queue_url": "https://q/1/b", "colour": "red", "options": {"max_retries": 0, "x": 1}},
        {"weight": 0, "options": []},
        "third",
        {"queue_url": GOOD["queue_url"], "dead_letter_queue_url": 7},
        weight=-1,
        options={"http_connections": 2, "http_path": "/work"},
    )
    beginnings = [
        "weight must be",
        "more_queues[0] (b): unknown key 'colour'",
        "more_queues[0] (b): unknown option 'x'",
        "more_queues[0] (b): max_retries must be",
        "more_queues[1]: queue_url must be a non-empty string",
        "more_queues[1]: options must be a JSON object",
        "more_queues[1]: weight must be",
        "more_queues[2]: must be a JSON object",
        "more_queues[3] (first): dead_letter_queue_url must be a non-empty string",
        "queue https://q/1/first is named 2 times",
        "http_connections (2) must be at least the number of queues",
    ]
    assert len(found) == len(beginnings), found
    for problem, beginning in zip(found, beginnings, strict=True):
        assert problem.startswith(beginning)


@pytest.mark.parametrize("value", [None, {}, "https://q", 5])
def test_more_queues_that_are_no_list_are_told(value: object) -> None:
    (problem,) = problems(more_queues=value)
    assert problem.startswith("more_queues must be a list of JSON objects")


def test_queues_put_together_in_python_are_checked_as_those_in_a_file() -> None:
    twice = (QueueSettings(queue_url=RESOURCES.queue_url),)
    with pytest.raises(InvalidSettings, match="is named 2 times"):
        TierSettings(resources=RESOURCES, more_queues=twice)
    with pytest.raises(InvalidSettings, match="http_port cannot be chosen for one queue"):
        QueueSettings(queue_url="https://q/1/b", options={"http_port": 80})
