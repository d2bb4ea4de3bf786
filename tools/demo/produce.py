"""The producer's process: the Lambda function's own handler, on this machine.

Arguments: one event of the handler each, as JSON. Prints a line `{"ids": [...]}` per batch that SQS
accepted, and after each event `{"result": {...}}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from examples.producer import index


def main(events: Sequence[str]) -> None:
    """Run the handler for each event in turn."""

    def report(**said: Any) -> None:
        print(json.dumps(said), flush=True)

    for event in events:
        report(
            result=index.handler(json.loads(event), None, report=lambda ids: report(ids=list(ids)))
        )


if __name__ == "__main__":
    main(sys.argv[1:])
