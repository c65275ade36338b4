"""A queue whose workers work for as long as a test does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from finetune_operator.kube.workqueue import WorkQueue


@asynccontextmanager
async def at_work(queue: WorkQueue[str], workers: int = 4, most_later: int | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.work(workers, most_later=most_later))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def no_delay(_: Exception) -> float | None:
    return None
