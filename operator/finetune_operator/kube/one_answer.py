"""One request for many that ask the same at once."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

Q = TypeVar("Q", bound=Hashable)
A = TypeVar("A")


class OneAnswer(Generic[Q, A]):
    """Of all that ask a question at the same time one asks the API server, and all have its answer, or its failure.

    Were each to ask after the one before it had failed, a hundred of them would wait for a hundred timeouts, one after the other.
    """

    def __init__(self) -> None:
        self._asked: dict[Q, asyncio.Task[A]] = {}

    def __contains__(self, question: Q) -> bool:
        """Whether somebody waits for its answer."""
        return question in self._asked

    async def to(self, question: Q, ask: Callable[[], Coroutine[Any, Any, A]]) -> A:
        """Return the answer that somebody waits for already, or else that of `ask`. Raises whatever `ask` does."""
        # Who asked first may be cancelled, and the others not.
        return await asyncio.shield(self.begin(question, ask))

    def begin(self, question: Q, ask: Callable[[], Coroutine[Any, Any, A]]) -> asyncio.Task[A]:
        """Ask, unless somebody waits for the answer already."""
        asked = self._asked.get(question)
        if asked is None:
            asked = self._asked[question] = asyncio.create_task(ask())
            asked.add_done_callback(lambda done: self._end(question, done))
        return asked

    def _end(self, question: Q, done: asyncio.Task[A]) -> None:
        del self._asked[question]
        # A failure is for those that wait for the answer, if any do.
        if not done.cancelled():
            done.exception()
