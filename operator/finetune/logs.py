"""The log of a job: from before its first pod, through every attempt, each line once."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import fsspec

from finetune.api import JOBS, PODS, Api, Interrupted
from finetune.errors import FineTuneError, NoCluster, NotAllowed, NotFound, Refused
from finetune.pods import has_ended, has_started, name_of, pods_of, read_time
from finetune.snapshot import Snapshot, read_snapshot
from finetune.stored_log import rest_of
from finetune_api.printable import printable
from finetune_api.values import format_time
from finetune_api.well_known import TRAINER

_POLL: Final = 1.0
"""Seconds between two looks for the next pod."""
_LONGEST: Final = 1 << 16
"""Bytes after which a line is broken."""
_TIME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(?:[.]([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})$")
_BUCKETS: Final = ("s3://", "gs://", "az://")
_TRIES: Final = 5
"""To read a pod's log where the API server is there and its node is not."""
_REMEMBERED: Final = 2000
"""Of the lines that were shown: to know them again in the log that is stored."""
_PATIENCE: Final = 60
"""Looks without an answer of the API server after which to give up."""


@dataclass(frozen=True)
class LogLine:
    """A line of a pod's log, or what happens between them."""

    text: str
    """Without what a terminal obeys."""
    pod: str = ""
    """"" of a notice: what the job waits for, or why there is no log."""
    time: str = ""
    """When it was written, where the node says it."""

    def __str__(self) -> str:
        """Return its text."""
        return self.text


@dataclass
class _Read:
    """How far a pod's log was read."""

    lines: int = 0
    time: str = ""
    """Of the newest line."""
    at_time: int = 0
    """Lines of that time."""
    newest: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """As they were shown."""
    failed: int = 0
    """Tries since the newest line."""
    missing: bool = False
    """The pod is gone, or its log is not for this user: only what is stored of it is left."""
    done: bool = False


@dataclass
class _Reader:
    """The logs of a job, as far as they were read."""

    api: Api
    job: Snapshot
    node: int
    follow: bool
    tail: int | None
    from_buckets: bool
    read: dict[str, _Read] = field(default_factory=dict)
    said: str = ""
    pods_denied: bool = False

    async def lines(self) -> AsyncGenerator[LogLine, None]:
        failed = 0
        while True:
            try:
                job = read_snapshot(await self.api.read(JOBS, self.job.namespace, self.job.name))
                if job.uid != self.job.uid:
                    raise NotFound(f"{job.name} was deleted, and another made under its name")
                self.job = job
                # The job before its pods: one that has ended has no pod that is not listed after it.
                ready = await self._pods()
                failed = 0
            except NoCluster:
                failed += 1
                if not self.follow or failed > _PATIENCE:
                    raise
                await asyncio.sleep(_POLL)
                continue
            for pod, ended in ready:
                async with aclosing(self._pod(pod, ended)) as lines:
                    async for line in lines:
                        yield line
            if not ready:
                for notice in self._notices():
                    yield notice
                if self.job.ended or not self.follow:
                    return
            elif all(self._state(pod).done for pod, _ in ready):
                continue  # Whether there are others is known at once.
            await asyncio.sleep(_POLL)

    async def _pods(self) -> list[tuple[str, bool]]:
        """Names of pods with more to read, and whether each has ended."""
        if not self.pods_denied:
            try:
                pods = await pods_of(self.api, self.job, self.node)
            except NotAllowed:
                self.pods_denied = True
            else:
                known = [(name_of(pod), has_ended(pod)) for pod in pods if has_started(pod)]
                there = {name_of(pod) for pod in pods}
                gone = [] if self.node else [(pod, True) for pod in self._attempts(ended=True) if pod not in there]
                return [(pod, ended) for pod, ended in (*gone, *known) if not self._state(pod).done]
        # Who may not list pods may be allowed to read the log of one, whose name is in the status.
        ended = {*self._attempts(ended=True)}
        return [(pod, pod in ended) for pod in self._attempts() if not self._state(pod).done]

    def _attempts(self, *, ended: bool = False) -> list[str]:
        """Pods that the status names; with `ended` those whose end it knows."""
        attempts = self.job.status.attempts
        return [each.pod for each in attempts if not ended or self.job.ended or each.end_time is not None]

    async def _pod(self, pod: str, ended: bool) -> AsyncGenerator[LogLine, None]:
        state = self._state(pod)
        try:
            if not state.missing:
                async with aclosing(self._from_pod(pod, state)) as lines:
                    async for line in lines:
                        yield line
                state.done = ended or not self.follow
                return
        except (NotFound, NotAllowed) as error:
            state.missing = True
            for line in self._missing(pod, error):
                yield line
        except (Interrupted, NoCluster, Refused) as error:
            # A container that is being created has no log yet; a connection that broke is made again.
            state.failed += 1
            if state.failed == _TRIES:
                yield LogLine(f"the log of pod {pod} cannot be read{'' if self._gives_up(ended) else ' now'}: {error}")
            if state.failed < _TRIES or not self._gives_up(ended):
                return
            state.missing = True
        if self.follow and not self._is_over(pod):
            return  # Of a log that is stored already the rest is still to come.
        state.done = True
        for line in await self._stored(pod, state):
            yield line

    def _gives_up(self, ended: bool) -> bool:
        """Whether nothing is to be expected of a pod whose node does not answer: who follows waits for the end of one that runs."""
        return ended or not self.follow

    async def _from_pod(self, pod: str, state: _Read) -> AsyncGenerator[LogLine, None]:
        query = {"container": TRAINER, "timestamps": "true", **({"follow": "true"} if self.follow else {})}
        since = moment(state.time)
        if since:
            query["sinceTime"] = format_time(since[0])
        elif self.tail is not None and not state.lines:
            query["tailLines"] = str(self.tail)
        skip = state.at_time if since else state.lines
        path = PODS.path(self.job.namespace, pod, "log")
        async with aclosing(self.api.lines(path, query, longest=_LONGEST)) as lines:
            async for raw in lines:
                time, text = _parted(raw.decode(errors="replace"))
                written = moment(time)
                if since and written and written < since:
                    continue
                if skip and (not since or written == since):
                    skip -= 1
                    continue
                state.lines += 1
                state.at_time = state.at_time + 1 if time == state.time else 1
                state.time = time
                state.failed = 0
                state.newest.append(printable(text))
                yield LogLine(state.newest[-1], pod, time)

    def _missing(self, pod: str, error: FineTuneError) -> list[LogLine]:
        """What is said, once, of a pod the log of which is not to be had."""
        if not isinstance(error, NotAllowed):
            return [LogLine(f"pod {pod} is gone")]
        lines = [LogLine(f"the log of pod {pod} is not for you: {error}")]
        if self._is_over(pod):
            return lines
        so_far = not self.follow and self._uri(pod) is not None
        return [*lines, LogLine("so far this is stored:" if so_far else "it is stored once this attempt has ended")]

    def _is_over(self, pod: str) -> bool:
        """Whether all is stored of the pod's log that ever will be: that of node 0, at the end of its attempt."""
        return self.node > 0 or self.job.ended or pod in self._attempts(ended=True)

    async def _stored(self, pod: str, state: _Read) -> list[LogLine]:
        """The log beside the checkpoints, of a bucket what of it was not shown from the pod; else where it is."""
        uri = self._uri(pod)
        if uri is None:
            return []
        if not self.from_buckets or not uri.startswith(_BUCKETS):
            return [LogLine(f"its log is stored at {uri}")]
        try:
            text = await asyncio.to_thread(_read, uri)
        except Exception as error:  # noqa: BLE001 - each kind of bucket has errors of its own
            return [LogLine(f"its log is stored at {uri}, which cannot be read here: {error}")]
        lines = [printable(line) for line in text.splitlines()]
        if state.lines:
            rest = rest_of(lines, state.newest)
            told = [LogLine(f"the rest of its log, as it is stored at {uri}:")] if rest else []
            return [*told, *(LogLine(line, pod) for line in rest)]
        return [
            LogLine(line, pod)
            for line in (lines if self.tail is None else lines[len(lines) - min(self.tail, len(lines)) :])
        ]

    def _uri(self, pod: str) -> str | None:
        """Where the pod's log is stored, as far as it is."""
        return next((each.log for each in self.job.status.attempts if each.pod == pod and each.log), None)

    def _state(self, pod: str) -> _Read:
        return self.read.setdefault(pod, _Read())

    def _notices(self) -> list[LogLine]:
        """What is to be said where there is nothing to read."""
        text = self._notice()
        if text in ("", self.said):
            return []
        self.said = text
        return [LogLine(text)]

    def _notice(self) -> str:
        nodes = (self.job.spec.get("resources") or {}).get("nodes") or 1
        if self.node >= nodes and not self.read:
            return f"{self.job.name} trains on {nodes} node{'s' if nodes > 1 else ''}: --node may be 0{f' to {nodes - 1}' if nodes > 1 else ''}"
        if not (self.job.ended or self.job.phase == "Running"):
            return f"{self.job.phase}: {self.job.status.message or 'no operator has seen it yet'}"
        if self.node and not self.read:
            return f"no pod of node {self.node} is there any more, and the log that is stored is that of node 0, which trains and logs for all"
        return ""


def log_lines(
    api: Api, job: Snapshot, *, follow: bool, node: int = 0, tail: int | None = None, from_buckets: bool = True
) -> AsyncGenerator[LogLine, None]:
    """Yield every line of the pods of the job's present run, attempt by attempt; with `follow` until the run has ended.

    A connection that breaks is made again where the log was left. Between pods, notices say what the job waits for.

    Args:
        node: Which of the pods that train together.
        tail: Of each pod, begin with at most so many of the lines that it has written by now.
        from_buckets: Read the log that is stored in a bucket, by the credentials of this process, where its pod is gone.

    Raises:
        NotFound: The job was deleted.
        NoCluster: The API server gives no answer any more.
        Refused: `tail` is below 0.
    """
    if tail is not None and tail < 0:
        raise Refused(f"tail is {tail}, and must be 0 or more")
    return _Reader(api, job, node, follow, tail, from_buckets).lines()


def _read(uri: str) -> str:
    """The text of an object, by the credentials of the environment; the library for its kind of bucket is the user's to install."""
    with fsspec.open(uri, "rt", encoding="utf-8", errors="replace") as file:
        return str(file.read())


def moment(text: str) -> tuple[datetime, int] | None:
    """Return second and nanoseconds of a line's time, whose trailing zeros are not written; None where it is no time."""
    match = _TIME.match(text)
    second = read_time(f"{match[1]}{match[3]}") if match else None
    return (second, int((match[2] or "").ljust(9, "0")[:9])) if match and second else None


def _parted(line: str) -> tuple[str, str]:
    """The time that a line begins with, and the rest; "" and all of it where none is there."""
    first, _, rest = line.partition(" ")
    return (first, rest) if moment(first) else ("", line)
