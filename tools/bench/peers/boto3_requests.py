"""boto3 and requests in threads, message by message: what most users write."""

from __future__ import annotations

import threading

import boto3
import requests  # type: ignore[import-untyped, unused-ignore]
from botocore.config import Config

from tools.bench.peers.common import APP_URL, CONNECTIONS, QUEUE_URL, RECEIVE, headers

sqs = boto3.client("sqs", config=Config(max_pool_connections=CONNECTIONS))


def work() -> None:
    session = requests.Session()
    while True:
        for message in sqs.receive_message(**RECEIVE).get("Messages", ()):
            body = message["Body"].encode()
            if session.post(APP_URL, data=body, headers=headers(message)).status_code == 200:
                handle = message["ReceiptHandle"]
                sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=handle)


for _ in range(CONNECTIONS):
    threading.Thread(target=work).start()
