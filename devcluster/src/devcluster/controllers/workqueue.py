"""A work queue of keys, each in it at most once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from aiohttp import ClientError
from kubernetes.aio.client.exceptions import ApiException

from devcluster.client import status_message

logger = logging.getLogger(__name__)

_FIRST_RETRY = 0.05
_LAST_RETRY = 5.0

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """Calls `sync` for each key added, one after the other. `sync` may return seconds after which to call it again."""

    def __init__(self, sync: Callable[[K], Awaitable[float | None]]) -> None:
        self._sync = sync
        self._keys: dict[K, None] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._added = asyncio.Event()

    def add(self, key: K) -> None:
        """Queue a key, unless it is queued already."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._keys[key] = None
        self._added.set()

    def add_later(self, key: K, seconds: float) -> None:
        """Queue a key after some seconds, unless it is added before."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(seconds, self.add, key)

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._added.wait()
            self._added.clear()
            while self._keys:
                key = next(iter(self._keys))
                del self._keys[key]
                await self._look_at(key)

    async def _look_at(self, key: K) -> None:
        try:
            again = await self._sync(key)
        except ApiException as error:
            # Deleted or changed during the sync, which is usual.
            level = logging.DEBUG if error.status in (403, 404, 409) else logging.WARNING
            logger.log(level, "%s: %s", key, status_message(error))
            self._retry_after_failure(key)
        except (ClientError, TimeoutError) as error:
            logger.warning("%s: %s", key, error)
            self._retry_after_failure(key)
        except Exception:
            # An object that this code cannot handle must not stop the others.
            logger.exception("%s was left as it is", key)
        else:
            self._failures.pop(key, None)
            if again is not None:
                self._retry(key, again)

    def _retry_after_failure(self, key: K) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._retry(key, min(_FIRST_RETRY * 2 ** min(failures - 1, 10), _LAST_RETRY))

    def _retry(self, key: K, seconds: float) -> None:
        if key not in self._keys:
            self.add_later(key, seconds)
