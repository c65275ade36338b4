"""What keeps a job from going on: looked at ever more seldom, and sooner when there may be room in its namespace."""

import random
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from finetune_api.reasons import Reason
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.observation import Cause
from finetune_operator.kube.backoff import backoff

SHORTEST_SECONDS: Final = 15.0
LONGEST_SECONDS: Final = 600.0
_RIGHTS_SECONDS: Final = 30.0
"""Longest time until the API server is asked again that did not give the operator a right: no watch shows that it does now."""
_TRIES_A_SECOND: Final = 5.0
"""Of all jobs that wait for rights together: where there are more, each is tried more seldom."""
_NO_RIGHT: Final = re.compile('User "[^"]*" cannot ')
"""In what an API server says of a right that is lacking (https://kubernetes.io/docs/reference/access-authn-authz/authorization/)."""
_WOKEN_AT_ONCE: Final = 10
"""A change in a namespace of thousands of blocked jobs must not cost thousands of requests: of those that may go on, each
wakes another."""
_REFUSED_IN_A_ROW: Final = 20
"""After so many, of as many jobs that wait, the next job of the namespace will hardly fare better."""


@dataclass
class Obstacle:
    """The last answer to what no watch tells: whether a child may be made, or which Warning explains why no pod comes."""

    about: Hashable = None
    """What was asked."""
    cause: Cause | None = None
    tries: int = 0
    """How often in a row."""
    due: float = 0.0
    """When to ask again, by the clock of `note`."""

    def holds(self, about: Hashable, now: float) -> bool:
        """Whether this was asked, and it is too early to ask again."""
        return self.about == about and now < self.due

    def note(
        self,
        about: Hashable,
        cause: Cause | None,
        now: float,
        chance: Callable[[], float] = random.random,
        *,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        """Keep an answer: for 15 to 30 s the first one, then ever longer, for up to 10 minutes, or as long as it may hold at the `longest`."""
        self.tries = self.tries + 1 if self.about == about else 1
        self.about, self.cause = about, cause
        pause = backoff(self.tries, chance(), first=2 * SHORTEST_SECONDS, longest=LONGEST_SECONDS)
        self.due = now + min(pause, longest)

    def doubt(self) -> None:
        """Ask again at the next opportunity; should the answer be the same, this was no try."""
        self.due = 0.0
        self.tries = max(0, self.tries - 1)

    def clear(self) -> None:
        """Forget what was asked."""
        self.about, self.cause, self.tries, self.due = None, None, 0, 0.0

    def wait(self, now: float) -> float | None:
        """Seconds until it is time to ask again; None if nothing was asked, or that time has come."""
        return self.due - now if self.due > now else None


def lacks_right(said: str) -> bool:
    """Whether the API server says that the operator lacks a right."""
    return _NO_RIGHT.search(said) is not None


def longest_wait(said: str, waiting: int) -> float:
    """Seconds within which to ask again for what the API server says so of, with so many jobs that wait for rights."""
    if not lacks_right(said):
        return LONGEST_SECONDS
    return min(LONGEST_SECONDS, max(_RIGHTS_SECONDS, waiting / _TRIES_A_SECOND))


class BlockedJobs:
    """The jobs of each namespace of which a child cannot be made, in the order in which they are tried when that may change."""

    def __init__(self, retry: Callable[[Key], None]) -> None:
        """`retry` lets a pass for a key look again at once."""
        self._retry = retry
        self._lines: dict[str, OrderedDict[Key, None]] = {}
        self._refused: Counter[str] = Counter()
        """Tries of each namespace that the API server refused, since one of its jobs got its children."""

    def note(
        self,
        key: Key,
        about: Hashable,
        cause: Cause | None,
        obstacle: Obstacle,
        now: float,
        *,
        made: bool = False,
        longest: float = LONGEST_SECONDS,
    ) -> None:
        """Keep what is in the way of a job's children, and put it into the line; or, without a cause, that nothing is any more.

        Args:
            about: The children.
            obstacle: What is remembered of the job, in which it is kept.
            now: The time, in seconds of the clock that `obstacle` goes by.
            made: Whether the job has just got its children.
            longest: Seconds after which the cause is over.
        """
        if cause is not None:
            if not obstacle.holds(about, now):
                obstacle.note(about, cause, now, longest=min(longest, self._longest(cause)))
                self._refused[key.namespace] += cause.reason == Reason.CREATE_FORBIDDEN
            self.wait(key)
            return
        if made:
            del self._refused[key.namespace]
        self.leave(key)
        if obstacle.about == about:
            # There was room for this one, and so there may be for another.
            obstacle.clear()
            self.wake(key.namespace, 1)

    def _longest(self, cause: Cause) -> float:
        if cause.reason != Reason.CREATE_FORBIDDEN:
            return LONGEST_SECONDS
        return longest_wait(cause.message, sum(map(len, self._lines.values())))

    def wait(self, key: Key) -> None:
        """Put a job at the end of its namespace's line, unless it is in it."""
        self._lines.setdefault(key.namespace, OrderedDict()).setdefault(key)

    def leave(self, key: Key) -> None:
        """Take a job out of the line."""
        line = self._lines.get(key.namespace)
        if line is not None:
            line.pop(key, None)
            if not line:
                del self._lines[key.namespace]
                del self._refused[key.namespace]

    def is_refused(self, namespace: str) -> bool:
        """Whether so many jobs of a namespace were refused one after the other that few of its others should be tried at a time."""
        waiting = len(self._lines.get(namespace, ()))
        return min(waiting, self._refused[namespace]) >= _REFUSED_IN_A_ROW

    def wake(self, namespace: str, most: int = _WOKEN_AT_ONCE) -> None:
        """Try those at the head of a namespace's line; who is blocked after that goes to its end."""
        for key in [*islice(self._lines.get(namespace, ()), most)]:
            self.leave(key)
            self._retry(key)
