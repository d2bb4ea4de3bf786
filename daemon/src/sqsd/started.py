"""Calls that are under way before anybody waits for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Started(Awaitable[T_co], Generic[T_co]):
    """What a call that has begun will give; to be awaited once, or left alone.

    A new task takes its first step only when the event loop has been round. Where each round costs
    a free slot, a plain function begins the call and gives this for the task to wait for. Unlike a
    coroutine it may be left alone, as by a task that was cancelled before its first step.

    Args:
        finish: makes the coroutine that waits for the end.
    """

    __slots__ = ("_finish",)

    def __init__(self, finish: Callable[[], Coroutine[Any, Any, T_co]]) -> None:
        self._finish = finish

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._finish().__await__()
