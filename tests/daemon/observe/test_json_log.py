"""Lines of the log: one JSON object each, however they are put together."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import events
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
