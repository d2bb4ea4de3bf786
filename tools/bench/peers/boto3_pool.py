"""boto3 and a pool of threads that POST with urllib3, deletes in batches: a careful user."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import urllib3
from botocore.config import Config

from tools.bench.peers.common import APP_URL, CONNECTIONS, POLLERS, RECEIVE, batches_of_ten, headers

sqs = boto3.client("sqs", config=Config(max_pool_connections=POLLERS + 4))
http = urllib3.PoolManager(maxsize=CONNECTIONS)
workers = ThreadPoolExecutor(CONNECTIONS)
slots = threading.Semaphore(CONNECTIONS)
answered: queue.SimpleQueue[Any] = queue.SimpleQueue()


def post(message: Any) -> None:
    try:
        answer = http.request("POST", APP_URL, body=message["Body"], headers=headers(message))
        if answer.status == 200:
            answered.put(message)
    finally:
        slots.release()


def receive() -> None:
    while True:
        slots.acquire()
        slots.release()  # there is room for one at least; the rest waits in the pool for moments
        for message in sqs.receive_message(**RECEIVE).get("Messages", ()):
            slots.acquire()
            workers.submit(post, message)


def delete() -> None:
    while True:
        messages = [answered.get()]
        try:
            while len(messages) < 10:
                messages.append(answered.get(timeout=0.02))
        except queue.Empty:
            pass
        for batch in batches_of_ten(messages):
            sqs.delete_message_batch(**batch)


for _ in range(POLLERS):
    threading.Thread(target=receive).start()
for _ in range(max(1, POLLERS // 2)):
    threading.Thread(target=delete).start()
# The pool takes no work once the main thread has ended.
threading.Event().wait()
