"""Tasks that all end when they are told to.

A request whose time is up in the moment in which it is cancelled may take the one for the other, and its task would go on for ever. A
request of the leader has time until the Lease ends, which is when the work is cancelled.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
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


async def outcome(
    work: Callable[[], Coroutine[Any, Any, object]], *, again: float = _AGAIN_SECONDS
) -> BaseException | None:
    """Run something to its end. Return what it failed with; None if it is done. Only a cancellation of the caller gets out.

    It is then cancelled, and `again` after so many seconds.

    It has a task of its own: a time limit that is met in the wrong moment leaves a cancellation behind that nobody asked for, and the
    next to wait is told to end.
    """
    task = asyncio.ensure_future(work())
    try:
        await asyncio.wait([task])
    finally:
        await end_all([task], again=again)
    return asyncio.CancelledError("that nobody asked for") if task.cancelled() else task.exception()


async def end_all(tasks: Collection[asyncio.Future[Any]], *, again: float) -> None:
    """Cancel tasks, and after so many seconds those again that have not ended, until all have.

    Who waits for this must not go on before that, and not after it either where it is cancelled meanwhile.
    """
    cancelled: asyncio.CancelledError | None = None
    while working := [task for task in tasks if not task.done()]:
        for task in working:
            task.cancel()
        try:
            await asyncio.wait(working, timeout=again)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
