"""The producer as a child process, the ids of what it sent followed by a thread."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tools.demo.errors import DemoError
from tools.local_aws.errors import tail
from tools.local_aws.instance import REPOSITORY
from tools.local_aws.processes import Child


class Producer:
    """Runs the Lambda function's handler, once per event.

    Args:
        events: see examples/producer/index.py.
    """

    def __init__(
        self,
        events: Sequence[Mapping[str, Any]],
        *,
        queue_url: str,
        environment: Mapping[str, str],
        directory: Path,
    ) -> None:
        self._expected = len(events)
        #: When each event was through, in seconds since 1970.
        self.ended_at: list[float] = []
        self._sent: list[str] = []
        self._child = Child(
            [sys.executable, "-m", "tools.demo.produce", *map(json.dumps, events)],
            env={**environment, "QUEUE_URL": queue_url},
            log=directory / "producer.log",
            piped=True,
            cwd=REPOSITORY,
        )
        self._follower = threading.Thread(target=self._follow, name="producer", daemon=True)
        self._follower.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop(grace_seconds=1)
        self._follower.join()

    @property
    def done(self) -> bool:
        """Everything was sent, and every id is known here."""
        return not self._follower.is_alive() and len(self.ended_at) == self._expected

    def sent(self) -> list[str]:
        """Ids of the messages sent so far."""
        # A list only grows here, by `extend`, so that a copy of it is always a beginning of it.
        return list(self._sent)

    def need_success(self) -> None:
        """An error when it ended before everything was sent."""
        code = self._child.exit_code()
        if code is None or self._follower.is_alive() or self.done:
            return
        raise DemoError(
            f"the producer ended with exit code {code} after {len(self._sent)} messages; the end of"
            f" what it said ({self._child.log}):\n{tail(self._child.log)}"
        )

    def _follow(self) -> None:
        for line in self._child.stdout:
            said = json.loads(line)
            self._sent.extend(said.get("ids", ()))
            if "result" in said:
                self.ended_at.append(time.time())
