"""Events, one JSON object a line. Their names are an interface: alarms and dashboards read them.

No body, credential or receipt handle is ever a value here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

# ---- the daemon itself
DAEMON_STARTED: Final = "daemon.started"
DAEMON_READY: Final = "daemon.ready"
DAEMON_DRAINING: Final = "daemon.draining"
DAEMON_STOPPED: Final = "daemon.stopped"
DAEMON_FORCED: Final = "daemon.forced"
DAEMON_FAILED: Final = "daemon.failed"
# ---- messages
MESSAGE_DELETED: Final = "message.deleted"
MESSAGE_RELEASED: Final = "message.released"
MESSAGE_EXPIRED: Final = "message.expired"
MESSAGE_DUPLICATE: Final = "message.duplicate"
MESSAGE_ATTRIBUTE_SKIPPED: Final = "message.attribute_skipped"
MESSAGE_DELETE_FAILED: Final = "message.delete_failed"
MESSAGE_DAMAGED: Final = "message.damaged"
# ---- the queue and the application
QUEUE_FAILED: Final = "queue.failed"
QUEUE_RECOVERED: Final = "queue.recovered"
GATE_CLOSED: Final = "gate.closed"
GATE_OPENED: Final = "gate.opened"
# ---- periodic tasks
CRON_LOADED: Final = "cron.loaded"
CRON_INVALID: Final = "cron.invalid"
CRON_ENQUEUED: Final = "cron.enqueued"
CRON_REPAIRED: Final = "cron.repaired"
CRON_MISSED: Final = "cron.missed"
CRON_FAILED: Final = "cron.failed"
CRON_SUPPRESSED: Final = "cron.suppressed"
LEASE_ACQUIRED: Final = "lease.acquired"
LEASE_LOST: Final = "lease.lost"
LEASE_RELEASED: Final = "lease.released"
LEASE_FAILED: Final = "lease.failed"


class JsonLog:
    """Writes events to a text stream, a line each, flushed so that a journal sees them at once."""

    def __init__(self, stream: TextIO, time: Callable[[], float]) -> None:
        self._stream, self._time = stream, time
        self._encode = json.JSONEncoder(
            ensure_ascii=False, separators=(",", ":"), default=str
        ).encode

    def emit(self, event: str, /, **values: Any) -> None:
        at = datetime.fromtimestamp(self._time(), UTC).isoformat(timespec="milliseconds")
        line = self._encode({"time": at, "event": event, **values})
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except OSError:
            # A full disk or a closed pipe must not stop messages; there is nowhere left to say so.
            return
