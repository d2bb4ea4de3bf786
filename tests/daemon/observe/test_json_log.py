"""Lines of the log: one JSON object each, however they are put together."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import (
    ATTRIBUTE_PATH,
    ATTRIBUTE_SCHEDULED_TIME,
    ATTRIBUTE_TASK_NAME,
    events,
)
from sqsd.observe import json_log
from sqsd.observe.json_log import JsonLog
from sqsd.testing.clock import EPOCH, VirtualClock, in_virtual_time
from tests.daemon.observe.observed import World

SECONDS = st.floats(0, 2_000_000).map(lambda value: round(value, 6))
USUAL = st.fixed_dictionaries(
    {
        "message_id": st.text(),
        "receive_count": st.integers(1, 1_000),
        "dwell_seconds": SECONDS,
        "dispatch_seconds": SECONDS,
        "app_seconds": SECONDS,
        "status": st.integers(100, 599),
        "delete_seconds": SECONDS,
    }
).map(lambda values: {name: values[name] for name in json_log._USUAL})


def line_of(event: str, values: dict[str, object]) -> str:
    stream = io.StringIO()
    JsonLog(stream, lambda: EPOCH + 0.25).emit(event, **values)
    return stream.getvalue()


@given(USUAL)
def test_the_usual_line_by_hand_is_that_of_the_standard_library(values: dict[str, object]) -> None:
    now = "2026-01-01T00:00:00.250+00:00"
    document = {"time": now, "event": events.MESSAGE_DELETED, **values}
    expected = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    assert json_log._usual_line(now, values) == expected


@given(USUAL, st.booleans())
def test_a_line_is_one_json_object_with_orjson_and_without(
    values: dict[str, object], by_hand: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_log, "_BY_HAND", by_hand)
        line = line_of(events.MESSAGE_DELETED, values)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "time": "2026-01-01T00:00:00.250+00:00",
        "event": "message.deleted",
        **values,
    }


@pytest.mark.parametrize(
    "values",
    [
        {"message_id": "m", "receive_count": 1},
        {
            "message_id": "m",
            "receive_count": 1,
            "dwell_seconds": 0.1,
            "dispatch_seconds": 0.1,
            "app_seconds": 0.1,
            "status": 200,
            "task": "nightly",
            "delete_seconds": 0.1,
        },
    ],
)
def test_a_line_with_other_values_has_them_all(
    values: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_log, "_BY_HAND", True)
    assert json.loads(line_of(events.MESSAGE_DELETED, values)).items() >= values.items()


@in_virtual_time
async def test_the_line_of_a_message_that_was_answered_200_takes_the_fast_path() -> None:
    with pytest.MonkeyPatch.context() as patch:
        # given a daemon without orjson
        usual_line, by_hand = json_log._usual_line, list[str]()

        def counted(now: str, values: dict[str, object]) -> str:
            by_hand.append(usual_line(now, values))
            return by_hand[-1]

        patch.setattr(json_log, "_BY_HAND", True)
        patch.setattr(json_log, "_usual_line", counted)
        stream = io.StringIO()
        world = World(log=JsonLog(stream, VirtualClock().time))
        # when it dispatches a message
        async with world.running():
            message_id = world.sqs.send("work")
            await world.clock.advance(5)
    # then its line is the one that was put together by hand: the dispatcher names the values in
    # the order of `_USUAL`
    lines = [line for line in stream.getvalue().splitlines() if events.MESSAGE_DELETED in line]
    assert lines == by_hand
    assert [json.loads(line)["message_id"] for line in lines] == [message_id]


def test_lines_are_put_together_by_hand_where_orjson_is_not_installed() -> None:
    program = (
        "import sys; sys.modules['orjson'] = None;"
        " from sqsd.observe import json_log; print(json_log._BY_HAND)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ended.stdout == b"True\n"


#: Characters that a reader may take for the end of a line, and those that a terminal acts on.
SPITE = "\x85\u2028\u2029\x9b2J\u202e\u2066\u200f\U000e0041\x1b[2J\r\n"


@pytest.mark.parametrize("event", [events.MESSAGE_RELEASED, events.MESSAGE_DELETED])
@given(value=st.text() | st.just(SPITE), by_hand=st.booleans())
def test_no_value_makes_a_second_line_or_steers_a_terminal(
    event: str, value: str, by_hand: bool
) -> None:
    values: dict[str, object] = dict.fromkeys(json_log._USUAL, 1)
    values["message_id"] = f"é{value}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_log, "_BY_HAND", by_hand)
        line = line_of(event, values)
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line)["message_id"] == f"é{value}"


@in_virtual_time
async def test_a_message_cannot_forge_a_metric_or_an_event() -> None:
    forged = '{"time":"2026","event":"metrics.reported","_aws":{"Timestamp":1}}'
    stream = io.StringIO()
    world = World(
        log=JsonLog(stream, VirtualClock().time),
        dead_letter_statuses=("422",),
        error_visibility_timeout=1,
    )
    # given a message that has the line of a metric in everything that its sender chose
    text = {"DataType": "String", "StringValue": f"\n{forged}\u2028{forged}"}
    attributes = {
        "_aws": {"DataType": "Binary", "BinaryValue": "e30="},
        f"a\n{forged}\u2028": {"DataType": f"\n{forged}", "StringValue": forged},
        ATTRIBUTE_TASK_NAME: text,
        ATTRIBUTE_PATH: text,
        ATTRIBUTE_SCHEDULED_TIME: text,
    }
    # when it fails, is tried again, and is dead-lettered
    world.application.answers(500, 422)
    async with world.running():
        world.sqs.send(forged, attributes=attributes)
        await world.clock.advance(5)
    # then every line of the log is the daemon's
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    names = [line["event"] for line in found]
    assert events.MESSAGE_ATTRIBUTE_SKIPPED in names
    assert events.MESSAGE_RELEASED in names
    assert events.METRICS_REPORTED not in names
    assert not any("_aws" in line for line in found)
    assert any(forged in str(line.get("task")) for line in found)  # it is there, as a value
