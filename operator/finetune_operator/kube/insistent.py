"""Tasks that all end when they are told to.

A request whose time is up in the moment in which it is cancelled may take the one for the other, and its task would go on for ever. A
request of the leader has time until the Lease ends, which is when the work is cancelled.
"""

import asyncio
from collections.abc import Collection, Coroutine
from contextlib import suppress
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.5


async def run_all(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run until all are done, or one fails, or this is cancelled; the others are cancelled then. Raises what the first failed with.

    As asyncio.TaskGroup, but for `end_all`.
    """
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        ended = [task for task in tasks if task.done()]
        await end_all(tasks, again=_AGAIN_SECONDS)
    for task in ended:
        task.result()


async def end_all(tasks: Collection[asyncio.Future[Any]], *, again: float) -> None:
    """Cancel tasks, and after so many seconds those again that have not ended, until all have."""
    while working := [task for task in tasks if not task.done()]:
        for task in working:
            task.cancel()
        # Who waits for this cancels it again as well, and must not go on before these have ended.
        with suppress(asyncio.CancelledError):
            await asyncio.wait(working, timeout=again)
