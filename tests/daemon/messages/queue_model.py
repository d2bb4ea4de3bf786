"""A queue as values, for tests that generate what happens to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sqsd.messages.message import Message

Item = TypeVar("Item")


@dataclass
class Stored:
    """A message in the model of the queue."""

    number: int
    group: str | None
    visible_at: float = 0.0
    count: int = 0
    first_received: float | None = None
    handles: list[Message] = field(default_factory=list)
    deleted: bool = False

    @property
    def message_id(self) -> str:
        return f"m{self.number}"


def visible(messages: Sequence[Stored], now: float, *, fifo: bool) -> list[Stored]:
    """What a receive may bring now; with FIFO nothing after a hidden message of its group."""
    found, blocked = [], set()
    for stored in messages:
        if stored.deleted or (fifo and stored.group in blocked):
            continue
        if stored.visible_at <= now:
            found.append(stored)
        else:
            blocked.add(stored.group)
    return found


def take(items: list[Item]) -> list[Item]:
    """All of them, which leaves none."""
    taken = list(items)
    items.clear()
    return taken
