"""Writes events to a text stream as JSON lines: one object per line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from sqsd.contract import events

#: Encodes a value as compact JSON; what JSON has no form for becomes its `str`.
_text_of: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode

try:  # from the extra `fast`; only speed depends on it
    import orjson
except ImportError:
    _encode: Callable[[Any], str] = _text_of
    _BY_HAND = True
else:
    _BY_HAND = False

    def _encode(value: Any) -> str:
        try:
            return orjson.dumps(value, default=str).decode()
        except TypeError:  # such as a lone surrogate, which the standard library can write
            return _text_of(value)


#: Values of the usual `message.deleted`, in the order in which the dispatcher passes them. Nearly
#: every line has exactly these: the message was answered 200. Lines in any other order or with
#: other values take the slow path, so a test compares this with the event of a real message.
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
    """Format the usual `message.deleted` by hand: the same text as `json` makes, twice as fast."""
    message_id, count, dwell, dispatch, app, status, delete = values.values()
    return (
        f'{{"time":"{now}","event":"{events.MESSAGE_DELETED}","message_id":{_text_of(message_id)},'
        f'"receive_count":{count},"dwell_seconds":{dwell},"dispatch_seconds":{dispatch},'
        f'"app_seconds":{app},"status":{status},"delete_seconds":{delete}}}'
    )


def _escaped(character: str) -> str:
    """Return JSON's escape of a character that some reader takes for the end of a line, or acts on.

    Those that are not ASCII only; of ASCII, JSON itself escapes the controls.
    """
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else "\\u007f"


class LineStream(Protocol):
    """Takes lines: `observe.output.Output`, or any text file."""

    def write(self, text: str, /) -> object:
        """Write one whole line, which ends with a line feed."""

    def flush(self) -> object:
        """Make the lines so far visible to a reader."""


class JsonLog:
    """Implements `base.ports.EventLog`: writes each event as a line, and flushes it.

    Args:
        stream: where the lines go. A stream that fails costs lines and raises nothing.
        time: the wall clock, in epoch seconds.
    """

    def __init__(self, stream: LineStream, time: Callable[[], float]) -> None:
        self._stream = stream
        self._time = time
        self._second = -1
        self._second_text = ""
        self._millisecond = -1
        self._text = ""

    def emit(self, event: str, /, **values: Any) -> None:
        if _BY_HAND and event == events.MESSAGE_DELETED and tuple(values) == _USUAL:
            line = _usual_line(self._now(), values)
        else:
            line = _encode({"time": self._now(), "event": event, **values})
        if not line.isascii() and not line.isprintable():
            line = "".join(c if c.isprintable() else _escaped(c) for c in line)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # A full disk or a closed pipe must not stop messages, and cannot be logged either.
            return

    def _now(self) -> str:
        """Return the time in ISO 8601 with milliseconds; a text is reused while it is current."""
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
