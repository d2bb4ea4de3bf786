"""A Django site whose background tasks are those of `django-eb-sqs-worker`, unchanged.

Run as `django_worker.py PORT FILE`; each task writes a JSON line to FILE.
"""

from __future__ import annotations

import json
import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

import django  # type: ignore[import-untyped]
from django.conf import settings  # type: ignore[import-untyped]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-untyped]
from django.urls import include, path  # type: ignore[import-untyped]

PORT, OUTPUT = int(sys.argv[1]), sys.argv[2]

settings.configure(
    DEBUG=False,
    SECRET_KEY="for this test only",
    ALLOWED_HOSTS=["localhost"],  # so that a Host other than EB's is refused
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["eb_sqs_worker"],
    LOGGING_CONFIG=None,
    AWS_ACCESS_KEY_ID=os.environ["AWS_ACCESS_KEY_ID"],
    AWS_SECRET_ACCESS_KEY=os.environ["AWS_SECRET_ACCESS_KEY"],
    AWS_EB_DEFAULT_REGION="us-east-1",
    AWS_EB_DEFAULT_QUEUE_NAME=os.environ["QUEUE_NAME"],
    AWS_EB_HANDLE_SQS_TASKS=True,
    AWS_EB_ENABLED_TASKS={"add": "__main__.add", "nightly": "__main__.nightly"},
)
django.setup()

urlpatterns = [path("worker/", include("eb_sqs_worker.urls"))]


def write(**values: object) -> None:
    with open(OUTPUT, "a") as output:  # noqa: PTH123
        output.write(json.dumps(values) + "\n")


def add(first: int, second: int) -> None:
    write(task="add", result=first + second)


def nightly() -> None:
    write(task="nightly")


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


if __name__ == "__main__":
    from eb_sqs_worker.sqs import send_task  # type: ignore[import-untyped]

    # The library's own producer, so that the whole round trip is its code and ours.
    for number in range(5):
        send_task("add", {"first": number, "second": 100})
    with make_server("127.0.0.1", PORT, get_wsgi_application(), server_class=Server) as server:
        server.serve_forever()
