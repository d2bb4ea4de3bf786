"""What an operator is shown of dead letters: text made of messages and a moment. No bodies unless
asked for, for they may be secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqsd.base.columns import table
from sqsd.contract import ATTRIBUTE_FIRST_MESSAGE_ID, ATTRIBUTE_REASON, ATTRIBUTE_TASK_NAME

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A message of the dead-letter queue.

    Args:
        sent_at: epoch seconds; the first time, unless the daemon sent it here itself.
        receive_count: as SQS counts; looking counts too.
        attributes: message attributes as text; those of type Binary as their size.
    """

    message_id: str
    body: str
    sent_at: float
    receive_count: int
    group_id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """Why the daemon sent it here; None when SQS did, after the last receive."""
        return self.attributes.get(ATTRIBUTE_REASON)


def list_letters(letters: Sequence[DeadLetter], now: float, *, bodies: bool = False) -> str:
    """A line for each, the oldest first; `now` in epoch seconds."""
    if not letters:
        return "no dead letters\n"
    rows = [("MESSAGE", "AGE", "RECEIVES", "TASK", "REASON", *(["BODY"] if bodies else []))]
    for letter in sorted(letters, key=lambda letter: letter.sent_at):
        rows.append(
            (
                letter.message_id,
                age(now - letter.sent_at),
                str(letter.receive_count),
                one_line(letter.attributes.get(ATTRIBUTE_TASK_NAME, "-")),
                one_line(letter.reason or "receives used up"),
                *([one_line(letter.body)] if bodies else []),
            )
        )
    return table(rows)


def show_letter(letter: DeadLetter, now: float, *, body: bool = False) -> str:
    """All there is about one."""
    rows = [
        ("message_id", letter.message_id),
        ("age", age(now - letter.sent_at)),
        ("receive_count", str(letter.receive_count)),
        ("reason", one_line(letter.reason or "receives used up")),
    ]
    if letter.group_id is not None:
        rows.append(("group_id", letter.group_id))
    rows += [
        (f"attribute {name}", one_line(value))
        for name, value in sorted(letter.attributes.items())
        if name != ATTRIBUTE_REASON
    ]
    if first := letter.attributes.get(ATTRIBUTE_FIRST_MESSAGE_ID):
        rows.insert(1, ("first message_id", one_line(first)))
    return table(rows) + (f"\n{letter.body}\n" if body else "")


def age(seconds: float) -> str:
    """The two largest units: `3 d 4 h`, `2 h 5 min`, `40 s`."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def one_line(text: str) -> str:
    """Text with its control characters escaped, so that it cannot move the terminal's cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
