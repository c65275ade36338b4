"""Goes on until the API server allows it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from finetune_operator.kube.errors import API_FAILURES, brief

_RETRY_SECONDS = 2.0

logger = logging.getLogger(__name__)


async def retry_until_done(trouble: str, action: Callable[[], Awaitable[object]]) -> None:
    """Retry until the API server allows it; until then the operator is not ready, and logs why."""
    while True:
        try:
            await action()
            return
        except Exception as error:  # whatever the API server answers, the operator goes on
            unexpected = None if isinstance(error, API_FAILURES) else error
            logger.warning("%s (%s)", trouble, brief(error), exc_info=unexpected)
            await asyncio.sleep(_RETRY_SECONDS)
