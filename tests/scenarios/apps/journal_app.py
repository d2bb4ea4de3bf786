"""An unreliable web application as a process, which may be killed at any moment.

    python journal_app.py PORT JOURNAL CALM

Each request is a line in JOURNAL when it begins and one when it is answered, each written by one
call before the answer leaves, so a kill loses no line. One in ten fails, one in thirty hangs up,
some are slow, by the message's id and count; all are answered 200 once the file CALM is there.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zlib import crc32


def main(port: int, journal_path: str, calm_path: str) -> None:
    calm = Path(calm_path)
    journal = os.open(journal_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(**values: object) -> None:
        os.write(journal, f"{json.dumps(values)}\n".encode())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200)

        def do_POST(self) -> None:
            began = time.monotonic()
            self.rfile.read(int(self.headers["Content-Length"]))
            message_id = self.headers["X-Aws-Sqsd-Msgid"]
            count = self.headers["X-Aws-Sqsd-Receive-Count"]
            note(id=message_id, path=self.path, began=began)
            status, seconds = (200, 0.0)
            if not calm.exists():
                status, seconds = unreliable(f"{message_id} {count}")
            time.sleep(seconds)
            if status == 0:
                self.close_connection = True
                return
            note(id=message_id, path=self.path, began=began, ended=time.monotonic(), status=status)
            self._answer(status)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def unreliable(which: str) -> tuple[int, float]:
    """Status and seconds; 0: hang up."""
    dice = random.Random(crc32(which.encode()))
    kind = dice.random()
    if kind < 0.03:
        return 0, 0.0
    if kind < 0.13:
        return 500, 0.0
    return 200, dice.choice([0.0, 0.01, 0.01, 0.05, 0.4])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
