"""The example apps as the tests build them: each by its class, with the arguments that it needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

from aws_cdk import App, Environment, Stack

import app as example

EXAMPLES: Final = Path(__file__).resolve().parents[2] / "examples"
#: Directory -> class of the stack, its arguments.
STACKS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "minimal": ("Minimal", {}),
    "existing_queue": ("Existing", {"queue_name": "orders", "key_id": "0a1b"}),
    "fifo_spot_zero": ("FifoSpotZero", {}),
    "periodic": ("Periodic", {"mail": "me@example.com"}),
    "producer_lambda": ("ProducerLambda", {}),
    "china": ("China", {"env": Environment(account="111122223333", region="cn-north-1")}),
}
#: `app.py` besides, which is one too.
ALL: Final = (*STACKS, "app")


def build_example(name: str, app: App) -> Stack:
    """The stack of an example, in an app."""
    if name == "app":
        return example.WorkerTierExample(
            app, "Example", http_port=80, application=example.application(app)
        )
    path = EXAMPLES / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    class_name, props = STACKS[name]
    stack: Stack = getattr(module, class_name)(app, "Example", **props)
    return stack
