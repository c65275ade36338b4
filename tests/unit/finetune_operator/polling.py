"""Wait for what comes about by itself."""

import asyncio
from collections.abc import Callable


async def until(test: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not test():  # noqa: ASYNC110 - nothing tells a test
            await asyncio.sleep(0)
