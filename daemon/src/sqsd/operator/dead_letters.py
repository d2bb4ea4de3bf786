"""Formats dead letters for an operator. Bodies may be secret, so they are shown only on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqsd.base.columns import table
from sqsd.base.printable import printable
from sqsd.base.shortened import shortened
from sqsd.contract import ATTRIBUTE_FIRST_MESSAGE_ID, ATTRIBUTE_REASON, ATTRIBUTE_TASK_NAME

#: Longest part of a body, a task name or a reason in a list, characters: the list is sorted in
#: memory.
_LONGEST_LISTED: Final = 500
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """Holds a message of the dead-letter queue.

    Args:
        message_id: the id of the message in this queue.
        body: the body.
        sent_at: epoch seconds at which it was sent to the work queue, or to this queue if the
            daemon sent it here.
        receive_count: receives as SQS counts them; listing counts as one.
        group_id: message group, or None in a standard queue.
        attributes: message attributes as text; for one of type Binary its size.
    """

    message_id: str
    body: str
    sent_at: float
    receive_count: int
    group_id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """Why the daemon sent it here, or None if SQS did so after the last receive."""
        return self.attributes.get(ATTRIBUTE_REASON)


def listed(letter: DeadLetter, *, body: bool) -> DeadLetter:
    """Return the letter with what `list_letters` shows of it; a long body is cut, with its length.

    Args:
        body: whether the body is shown.
    """
    text = letter.body if body else ""
    if len(text) > _LONGEST_LISTED:
        text = f"{shortened(text, _LONGEST_LISTED)} ({len(text)} characters)"
    names = (ATTRIBUTE_REASON, ATTRIBUTE_TASK_NAME)
    attributes = {
        name: shortened(letter.attributes[name], _LONGEST_LISTED)
        for name in names
        if name in letter.attributes
    }
    return replace(letter, body=text, attributes=attributes)


def list_letters(letters: Sequence[DeadLetter], now: float, *, bodies: bool = False) -> str:
    """Return a table with a row per dead letter, the oldest first; `now` in epoch seconds."""
    if not letters:
        return "no dead letters\n"
    rows = [("MESSAGE", "AGE", "RECEIVES", "TASK", "REASON", *(["BODY"] if bodies else []))]
    for letter in sorted(letters, key=lambda letter: letter.sent_at):
        rows.append(
            (
                letter.message_id,
                age(now - letter.sent_at),
                str(letter.receive_count),
                letter.attributes.get(ATTRIBUTE_TASK_NAME, "-"),
                letter.reason or "receives used up",
                *([letter.body] if bodies else []),
            )
        )
    return table(rows)


def show_letter(letter: DeadLetter, now: float, *, body: bool = False) -> str:
    """Return a table with everything about one dead letter; `now` in epoch seconds."""
    rows = [
        ("message_id", letter.message_id),
        ("age", age(now - letter.sent_at)),
        ("receive_count", str(letter.receive_count)),
        ("reason", letter.reason or "receives used up"),
    ]
    if letter.group_id is not None:
        rows.append(("group_id", letter.group_id))
    rows += [
        (f"attribute {name}", value)
        for name, value in sorted(letter.attributes.items())
        if name != ATTRIBUTE_REASON
    ]
    if first := letter.attributes.get(ATTRIBUTE_FIRST_MESSAGE_ID):
        rows.insert(1, ("first message_id", first))
    return table(rows) + (f"\n{printable(letter.body, lines=True)}\n" if body else "")


def age(seconds: float) -> str:
    """Return a duration in its two largest units: `3 d 4 h`, `2 h 5 min`, `40 s`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
