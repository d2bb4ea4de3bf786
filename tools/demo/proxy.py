"""nginx in front of the application, as on an instance, run by the user of the demo."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from tools.demo.errors import DemoError
from tools.local_aws.errors import tail
from tools.local_aws.ports import listening
from tools.local_aws.processes import Child

#: Debian installs it in a directory that is not on the PATH of ordinary users.
_ALSO_IN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")
_START_SECONDS = 10.0
_POLL_SECONDS = 0.02

_CONFIGURATION = """\
daemon off;
pid nginx.pid;
error_log stderr warn;
worker_processes 1;
{user}
events {{ worker_connections 1024; }}
http {{
  # Our own witness of every request: id, receive count, status.
  log_format witness '$http_x_aws_sqsd_msgid $http_x_aws_sqsd_receive_count $status';
  access_log witness.log witness;
  client_body_temp_path tmp/body;
  proxy_temp_path tmp/proxy;
  fastcgi_temp_path tmp/fastcgi;
  uwsgi_temp_path tmp/uwsgi;
  scgi_temp_path tmp/scgi;
  # SQS takes bodies of up to 1 MiB; headers come on top.
  client_max_body_size 2m;
  client_body_buffer_size 1m;
  keepalive_timeout 75;
  keepalive_requests 100000;
  upstream application {{
    server 127.0.0.1:{application_port};
    keepalive 100;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      # The daemon's inactivity_timeout decides, so the proxy must not give up before it.
      proxy_read_timeout 36100;
      proxy_send_timeout 36100;
      # nginx sends no request a second time: retries are the daemon's.
      proxy_next_upstream off;
    }}
  }}
}}
"""


def find_nginx() -> Path | None:
    """nginx's program, or None."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_ALSO_IN))
    found = shutil.which("nginx", path=path)
    return None if found is None else Path(found)


def start(nginx: Path, *, port: int, application_port: int, directory: Path) -> Child:
    """Start nginx with its prefix in `directory` and wait until it listens on `port`.

    Raises:
        DemoError: it does not start; with the end of its log.
    """
    (directory / "tmp").mkdir(parents=True)
    configuration = directory / "nginx.conf"
    # Started by root, nginx runs its worker as the user `nobody`, which cannot write below
    # `directory`.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(
        _CONFIGURATION.format(port=port, application_port=application_port, user=user),
        encoding="utf-8",
    )
    child = Child(
        [nginx, "-p", directory, "-c", configuration, "-e", "stderr"],
        env={"PATH": os.environ.get("PATH", os.defpath)},
        log=directory / "nginx.log",
    )
    deadline = time.monotonic() + _START_SECONDS
    try:
        while not listening(port):
            if child.exit_code() is not None or time.monotonic() > deadline:
                raise DemoError(
                    f"nginx ({nginx}) did not start on 127.0.0.1:{port}; the end of its log"
                    f" ({child.log}):\n{tail(child.log)}"
                )
            time.sleep(_POLL_SECONDS)
    except BaseException:
        child.stop()
        raise
    return child


def answered_200(directory: Path) -> list[str]:
    """Message ids from nginx's log, one entry per POST that was answered 200."""
    return ids_answered_200((directory / "witness.log").read_text(encoding="utf-8").splitlines())


def ids_answered_200(lines: Iterable[str]) -> list[str]:
    """Message ids from lines of that log; a request without one (`-`) is left out."""
    fields = (line.split() for line in lines)
    return [
        field[0] for field in fields if len(field) == 3 and field[2] == "200" and field[0] != "-"
    ]
