"""aiobotocore and aiohttp with deletes in batches: what a careful user of asyncio writes."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp  # type: ignore[import-not-found]
from aiobotocore.config import AioConfig  # type: ignore[import-not-found]
from aiobotocore.session import get_session  # type: ignore[import-not-found]

from tools.bench.peers.common import APP_URL, CONNECTIONS, POLLERS, RECEIVE, batches_of_ten, headers


async def main() -> None:
    slots = asyncio.Semaphore(CONNECTIONS)
    answered: asyncio.Queue[Any] = asyncio.Queue()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    config = AioConfig(max_pool_connections=POLLERS + 4)
    async with (
        get_session().create_client("sqs", config=config) as sqs,
        aiohttp.ClientSession(connector=connector) as http,
        asyncio.TaskGroup() as tasks,
    ):

        async def post(message: Any) -> None:
            try:
                body = message["Body"].encode()
                async with http.post(APP_URL, data=body, headers=headers(message)) as answer:
                    await answer.read()
                    if answer.status == 200:
                        answered.put_nowait(message)
            finally:
                slots.release()

        async def receive() -> None:
            while True:
                answer = await sqs.receive_message(**RECEIVE)
                for message in answer.get("Messages", ()):
                    await slots.acquire()
                    tasks.create_task(post(message))

        async def delete() -> None:
            while True:
                messages = [await answered.get()]
                await asyncio.sleep(0.005)
                while not answered.empty() and len(messages) < 10:
                    messages.append(answered.get_nowait())
                for batch in batches_of_ten(messages):
                    await sqs.delete_message_batch(**batch)

        for _ in range(POLLERS):
            tasks.create_task(receive())
            tasks.create_task(delete())


asyncio.run(main())
