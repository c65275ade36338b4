"""Goes on, whatever it meets."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from finetune_operator.kube.backoff import backoff
from finetune_operator.kube.cancellation import outcome
from finetune_operator.kube.errors import brief, shared_cause, unexpected

_RETRY_SECONDS = 2.0
_ENDING_SECONDS: Final = 0.5
_STEADY_SECONDS: Final = 300.0
"""After so long the next end is no consequence of the last one."""

logger = logging.getLogger(__name__)


async def retry_until_done(
    trouble: str,
    action: Callable[[], Coroutine[Any, Any, object]],
    hint: Callable[[BaseException], str] = lambda _: "",
) -> None:
    """Retry until the API server allows it; until then the operator is not ready, and logs why. `hint` says what to do about an error."""
    while (error := await outcome(action)) is not None:
        help_, traceback = hint(error), unexpected(error, "start")
        # What to do is not to be hidden behind others that meet the same.
        extra = {"cause": None if help_ else shared_cause(error)}
        logger.warning(
            "%s (%s)%s", trouble, brief(error), f": {help_}" if help_ else "", exc_info=traceback, extra=extra
        )
        await asyncio.sleep(_RETRY_SECONDS)


async def keep_running(
    task: str, work: Callable[[], Coroutine[Any, Any, None]], *, ending: float = _ENDING_SECONDS
) -> None:
    """Run what never ends, until cancelled. Where it ends all the same it begins again, ever more slowly.

    So an error that nobody has thought of costs one task of the operator a moment, and never all the others. What takes longer than
    `ending` seconds to end has not heard that it is over.
    """
    loop = asyncio.get_running_loop()
    ends = 0
    while True:
        begun = loop.time()
        error = await outcome(work, again=ending)
        ends = ends + 1 if loop.time() - begun < _STEADY_SECONDS else 1
        pause = backoff(ends, random.random())  # noqa: S311
        why = "for no reason" if error is None else brief(error)
        traceback = None if error is None else unexpected(error, task)
        # Once a minute, whatever the pause is: see RepeatsCounted.
        known = None if error is None else shared_cause(error) or type(error).__name__
        cause = f"{task}: {known}"
        text = "%s has ended, and begins again in %.1f s: %s"
        logger.error(text, task, pause, why, exc_info=traceback, extra={"cause": cause})
        await asyncio.sleep(pause)
