"""Every public function, method and constructor of the constructs that takes arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import worker_tier

#: What takes arguments and checks them in another way: by the props, or as fields of a value.
ELSEWHERE: Final = {
    # Props, each of which is checked by its group.
    "WorkerTier.__init__",
    "WorkerQueues.__init__",
    "WorkerFleet.__init__",
    "WorkerTier.from_option_settings",
    # Only stored: the tier checks the fields of the value, and reports all of them at once.
    "DeadLetterQueue.imported",
    "ExistingQueue.imported",
    "WorkerCapacity.on_demand",
    "WorkerCapacity.requirements",
    "WorkerScaling.backlog_per_instance",
    "WorkerScaling.target_latency",
    "WorkerScaling.trigger",
    # Called by the constructs.
    "TierMetrics.of_daemon",
    "WorkerApplication.bind",
    # Errors, which are made by the constructs.
    "InvalidApplication.__init__",
    "InvalidProps.__init__",
    "PackagingError.__init__",
}


def public_callables() -> dict[str, Callable[..., Any]]:
    """Every public function, method and constructor that takes arguments, by its name."""
    found: dict[str, Callable[..., Any]] = {}
    for name in worker_tier.__all__:
        value = getattr(worker_tier, name)
        if inspect.isfunction(value):
            found[name] = value
        if not inspect.isclass(value) or issubclass(value, str):
            continue
        own_init = not hasattr(value, "__dataclass_fields__") and "__init__" in vars(value)
        for key, member in vars(value).items():
            function = getattr(member, "__func__", member)
            if key in getattr(value, "__dataclass_fields__", ()):
                continue
            if inspect.isfunction(function) and (not key.startswith("_") or key == "__init__"):
                if key == "__init__" and not own_init:
                    continue
                if set(inspect.signature(function).parameters) - {"self", "cls"}:
                    found[f"{name}.{key}"] = function
    return found


CALLABLES: Final = public_callables()
CHECKED: Final = {name: value for name, value in CALLABLES.items() if name not in ELSEWHERE}
