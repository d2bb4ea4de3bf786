"""Writes events to a text stream, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from sqsd.contract import events

_text_of: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode

try:  # an extra: faster, and never needed
    import orjson
except ImportError:
    _encode: Callable[[Any], str] = _text_of
    _BY_HAND = True
else:
    _BY_HAND = False

    def _encode(value: Any) -> str:
        try:
            return orjson.dumps(value, default=str).decode()
        except TypeError:  # a lone surrogate, say, which the standard library writes
            return _text_of(value)


#: The values of nearly every line there is, in their order: of a message that was answered 200.
_USUAL: Final = (
    "message_id",
    "receive_count",
    "dwell_seconds",
    "dispatch_seconds",
    "app_seconds",
    "status",
    "delete_seconds",
)


def _usual_line(now: str, values: dict[str, Any]) -> str:
    """What the standard library gives in twice the time; these numbers are their own JSON."""
    message_id, count, dwell, dispatch, app, status, delete = values.values()
    return (
        f'{{"time":"{now}","event":"{events.MESSAGE_DELETED}","message_id":{_text_of(message_id)},'
        f'"receive_count":{count},"dwell_seconds":{dwell},"dispatch_seconds":{dispatch},'
        f'"app_seconds":{app},"status":{status},"delete_seconds":{delete}}}'
    )


class LineStream(Protocol):
    """Where lines go: `observe.output.Output`, or any text file."""

    def write(self, text: str, /) -> object:
        """Take a whole line, with its end."""

    def flush(self) -> object:
        """Let a reader see it."""


class JsonLog:
    """Writes events to a text stream, a line each, flushed so that a journal sees them at once."""

    def __init__(self, stream: LineStream, time: Callable[[], float]) -> None:
        self._stream, self._time = stream, time
        self._second, self._second_text = -1, ""
        self._millisecond, self._text = -1, ""

    def emit(self, event: str, /, **values: Any) -> None:
        if _BY_HAND and event == events.MESSAGE_DELETED and tuple(values) == _USUAL:
            line = _usual_line(self._now(), values)
        else:
            line = _encode({"time": self._now(), "event": event, **values})
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # A full disk or a closed pipe must not stop messages; there is nowhere left to say so.
            return

    def _now(self) -> str:
        """ISO 8601 to the millisecond; each text serves as long as it is true."""
        millisecond = int(self._time() * 1000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, rest = divmod(millisecond, 1000)
            if second != self._second:
                self._second = second
                at = datetime.fromtimestamp(second, UTC)
                self._second_text = at.strftime("%Y-%m-%dT%H:%M:%S")
            self._text = f"{self._second_text}.{rest:03d}+00:00"
        return self._text
