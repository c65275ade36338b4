"""The FineTuneJobs that are there: fed by lists, by Kopf's watch that begins where one ended, and by our own writes.

Kopf makes nothing of what is not in its list any more, so that the lists are read here: one where its watch needs one, and now and
then one to compare, slowly.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_operator.controller.entry import Entry
from finetune_operator.controller.packed_job import MONTH_USED, NEEDS, SPEC_UNSEEN, STANDING, packed_job
from finetune_operator.job.finetunejob import TERMINAL, Key, key_of
from finetune_operator.job.report import Received
from finetune_operator.kube.bounded_json import warn_once
from finetune_operator.kube.client import FINETUNEJOBS, Kube
from finetune_operator.kube.informer import SILENCE_SECONDS
from finetune_operator.kube.packed import version_of
from finetune_operator.kube.pages import Page
from finetune_operator.kube.tombstones import Tombstones
from finetune_operator.reports.latest import News

_WHOLE = ("namespace", "name", "uid", "resourceVersion")

logger = logging.getLogger(__name__)


class FineTuneJobs:
    """One entry for each FineTuneJob. `on_change` is called with each key that changed, is in a new phase, or went away,
    `on_listed` with each of which a list has a version that was not known, and `on_numbers` with each of which a pod reported new numbers
    and nothing else."""

    def __init__(
        self,
        on_change: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
        on_used: Callable[[str, str, int, bool], None] = lambda namespace, month, seconds, is_found: None,
        on_numbers: Callable[[Key], None] | None = None,
        on_listed: Callable[[Key], None] | None = None,
        serves: Callable[[str], bool] = lambda namespace: True,
        on_found: Callable[[str], None] = lambda uid: None,
        leads: Callable[[], bool] = lambda: True,
        on_doubted: Callable[[str], None] = lambda namespace: None,
    ) -> None:
        """`on_used` is called with the namespace of a job, a month, the GPU-seconds of it that its status has more than before, as soon as
        that is seen, and whether the job was not known before; `serves` is whether a namespace is looked at; `on_found` is called with the uid of each job that was not known before; `leads` is whether no other
        process writes statuses now; `on_doubted` is called with each namespace that may have been deleted and made anew: its last job is gone, or
        what became of its jobs was not seen."""
        self.serves = serves
        self._leads = leads
        self._on_found = on_found
        self._on_doubted = on_doubted
        self._on_change = on_change
        self._on_numbers = on_numbers or on_change
        self._on_listed = on_listed or on_change
        self._on_used = on_used
        self._clock = clock
        self._entries: dict[Key, Entry] = {}
        self._in_namespace: Counter[str] = Counter()
        self._keys: dict[str, Key] = {}
        self._start = clock()
        self._contacts: dict[str | None, float] = {}
        self._current: dict[str | None, float] = {}
        self._tombstones = Tombstones()
        self._behind_since: dict[str | None, float] = {}

    def get(self, key: Key) -> Entry | None:
        """The entry of this FineTuneJob; None if there is no such object."""
        return self._entries.get(key)

    def key_of_uid(self, uid: str) -> Key | None:
        """The key of the FineTuneJob with this uid."""
        return self._keys.get(uid)

    def all_keys(self) -> list[Key]:
        """All that are there."""
        return list(self._entries)

    def standings(self) -> Mapping[tuple[str, str], int]:
        """How many there are by namespace and standing, see STANDING."""
        return Counter((key.namespace, str(entry.packed[STANDING])) for key, entry in self._entries.items())

    def knows(self, raw: JsonObject) -> bool:
        """Whether this very version is known, as after a write of our own. May be called from any thread."""
        if not _is_whole(raw):
            return False
        entry, metadata = self._entries.get(key_of(raw)), raw["metadata"]
        known = entry.packed["metadata"] if entry is not None else {}
        return all(known.get(name) == metadata[name] for name in ("uid", "resourceVersion"))

    def seen(self, raw: JsonObject) -> None:
        """Take in an object that Kopf's watch delivered, packed or not."""
        if not _is_whole(raw):
            return
        self.update(raw)
        entry = self._entries[key_of(raw)]
        if entry.uid == raw["metadata"]["uid"]:
            entry.watched = max(entry.watched, version_of(raw))

    def gone(self, raw: JsonObject) -> None:
        """Take in a deletion that Kopf's watch delivered."""
        if not _is_whole(raw):
            return
        key = key_of(raw)
        entry = self._entries.get(key)
        self._tombstones.add(raw["metadata"]["uid"])
        # The deletion of an object and the creation of its successor may come in either order.
        if entry is not None and entry.uid == raw["metadata"]["uid"]:
            self.forget(key)

    def update(self, raw: JsonObject) -> None:
        """Take in an object of an API server's answer, unless a newer version of it is known."""
        if self._take_in(raw):
            self._on_change(key_of(raw))

    def _take_in(self, raw: JsonObject) -> bool:
        """Return whether no newer version was known, and none is being written."""
        key = key_of(raw)
        entry = self._entries.get(key)
        if entry is not None and version_of(raw) <= entry.version:
            return False
        if entry is not None and entry.uid == raw["metadata"]["uid"]:
            if entry.own.put_off(raw):
                return False
            if not self._leads():
                entry.own.forget()
            self._keep(key, entry, packed_job(entry.own.put_into(raw)))
        else:
            if entry is not None:
                self._drop(key, entry)
                self._on_doubted(key.namespace)
            else:
                self._in_namespace[key.namespace] += 1
            entry = self._entries[key] = Entry(packed_job(raw))
            self._count_use(key, None, entry.packed[MONTH_USED], is_found=True)
            self._keys[raw["metadata"]["uid"]] = key
            self._on_found(raw["metadata"]["uid"])
        return True

    @contextmanager
    def writing_status(self, key: Key) -> Iterator[Callable[[JsonObject], JsonObject]]:
        """Let what a watch brings of a job wait, since it may be what is being written. Yields what to call with that, which returns it
        as it is kept."""
        entry = self._entries.get(key)
        if entry is None:
            yield packed_job
            return

        def wrote(written: JsonObject) -> JsonObject:
            packed = packed_job(written)
            entry.own.wrote(packed)
            # Of the same version another status may be known, after a write without an answer.
            if version_of(packed) >= entry.version:
                self._keep(key, entry, packed)
            return packed

        entry.own.begin_writing()
        try:
            yield wrote
        finally:
            later = entry.own.end_writing()
            if later is not None and self._keys.get(entry.uid) == key:
                self.update(later)

    def _keep(self, key: Key, entry: Entry, packed: JsonObject) -> None:
        """Keep a version in the place of one that is not newer."""
        before, entry.packed = entry.packed[MONTH_USED], packed
        if not entry.own.is_of_another:
            self._count_use(key, before, packed[MONTH_USED])

    def _count_use(
        self, key: Key, before: tuple[str, int] | None, after: tuple[str, int] | None, *, is_found: bool = False
    ) -> None:
        if after is None:
            return
        month, seconds = after
        known = before[1] if before and before[0] == month else 0
        # Less than before is what somebody has written there, and gives nobody anything back.
        if seconds > known:
            self._on_used(key.namespace, month, seconds - known, is_found)

    def forget(self, key: Key) -> None:
        """Drop an object that is not there any more, and all that was remembered of it."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._drop(key, entry)
            self._in_namespace[key.namespace] -= 1
            if not self._in_namespace[key.namespace]:
                del self._in_namespace[key.namespace]
                self._on_doubted(key.namespace)
            self._on_change(key)

    def refresh(self, key: Key, uid: str, live: JsonObject | None) -> None:
        """Take in an object that was asked for, or that the one of this uid is gone. Another may have come in its place meanwhile."""
        entry = self._entries.get(key)
        if live is not None:
            self.update(live)
        elif entry is not None and entry.uid == uid:
            self.forget(key)

    def _drop(self, key: Key, entry: Entry) -> None:
        del self._keys[entry.uid]
        self._tombstones.add(entry.uid)

    def go_by_its_end(self, key: Key, raw: JsonObject) -> bool:
        """Take in an object whose status says how its run has ended, also where this process had written another. Return whether it does.
        What is older than what is known is not taken in: it has to be asked for again."""
        packed, entry = packed_job(raw), self._entries.get(key)
        if not str(packed[STANDING]).startswith(TERMINAL):
            return False
        if entry is not None and entry.uid == raw["metadata"]["uid"] and version_of(packed) >= entry.version:
            entry.own.give_way()
            entry.packed = packed  # Its run uses up nothing of the month here.
            self._on_change(key)
        return True

    def stand_by(self) -> None:
        """Go by what is in the statuses: another process may write them from now on."""
        for entry in self._entries.values():
            if entry.own.falsified and entry.own.written is not None:
                # What is there in a newer version is taken in when that comes again, by a list or for a conflict.
                entry.packed = entry.own.written
            entry.own.forget()

    def begin_anew(self) -> None:
        """Forget what this process remembers besides the objects: another may have led meanwhile."""
        for key, entry in self._entries.items():
            self._entries[key] = Entry(entry.packed, entry.watched, entry.listed, jobs=entry.jobs)

    def is_under_way(self, key: Key, has_job: Callable[[Key], bool]) -> bool:
        """Whether nothing is to be made for a job as it is known: it has ended, or has its Job, and its spec is no other than then."""
        entry = self._entries.get(key)
        if entry is None or entry.packed[NEEDS] == SPEC_UNSEEN:
            return False
        return str(entry.packed[STANDING]).startswith(TERMINAL) or has_job(key)

    def retry_unsettled(self) -> None:
        """Look again at once at the jobs that have no profile yet."""
        for key, entry in [*self._entries.items()]:
            if entry.packed[NEEDS]:
                self.retry(key)

    def retry(self, key: Key) -> None:
        """Look again at once at what keeps a job from going on."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.obstacle.doubt()
            self._on_change(key)

    def take_report(self, received: Received) -> None:
        """Keep a report of one of the job's pods."""
        entry = self._entries.get(received.key)
        news = entry.reports.take(received) if entry is not None else News.NONE
        if news is News.PHASE:
            self._on_change(received.key)
        elif news is News.NUMBERS:
            self._on_numbers(received.key)

    def refuse_report(self, key: Key, why: str) -> None:
        """Keep that a pod of the job sent something that is no report."""
        entry = self._entries.get(key)
        if entry is not None and entry.reports.refuse(why):
            self._on_change(key)

    async def list(self, kube: Kube, namespace: str | None) -> str:
        """Take in one namespace or all. Return the resourceVersion from which a watch has all that comes."""
        asked = self._clock()
        listed, version = await self._read(namespace, kube.list_to_watch(FINETUNEJOBS, namespace, self._kept))
        for key in listed.keys() & self._entries.keys():
            entry = self._entries[key]
            entry.watched = max(entry.watched, listed[key])
        self._behind_since.pop(namespace, None)
        self._current[namespace] = asked
        return version

    async def compare(self, kube: Kube, namespace: str | None, pause: float = 0.0) -> None:
        """Take in what Kopf's watch has missed, by a list with pauses between its pages, and find out whether it is behind."""
        listed, _ = await self._read(namespace, kube.pages(FINETUNEJOBS, namespace, self._kept, pause=pause))
        self._find_missed(namespace, listed)
        for key in self._keys_in(namespace):
            self._entries[key].listed = listed.get(key, 0)

    def heard(self, namespace: str | None) -> None:
        """Note that Kopf's watch has brought something, and be it a bookmark. It may have been on its way for long."""
        self._contacts[namespace] = self._clock()
        self._current[namespace] = max(self._current.get(namespace, -math.inf), self._clock() - SILENCE_SECONDS)

    def current(self, namespace: str) -> float:
        """See Informer.current."""
        if None in self._current:
            return self._current[None]
        return self._current.get(namespace, -math.inf)

    def _kept(self, raw: JsonObject) -> JsonObject | None:
        return keep(raw, self.serves)

    async def _read(self, namespace: str | None, pages: AsyncIterator[Page]) -> tuple[dict[Key, int], str]:
        """Take in a list. Return which versions it has, and its own."""
        listed, version = dict[Key, int](), ""
        self._contacts.setdefault(namespace, self._clock())
        try:
            with self._tombstones.during() as gone:
                async for page in pages:
                    version = page.version
                    for place in page.gone:
                        listed.pop(Key(*place), None)
                    for raw in page.items:
                        listed[key_of(raw)] = version_of(raw)
                        if raw["metadata"]["uid"] not in self._keys:
                            self._on_doubted(raw["metadata"]["namespace"])
                        if raw["metadata"]["uid"] not in gone and self._take_in(raw):
                            self._on_listed(key_of(raw))
                    self._contacts[namespace] = self._clock()
                    await asyncio.sleep(0)  # Thousands must not keep the loop from everything else.
        except ForbiddenException:
            self._contacts[namespace] = self._clock()  # An answer, too: to start again would help nobody.
            raise
        for key in self._keys_in(namespace) - listed.keys():
            # What is newer than the list may well be there.
            if self._entries[key].version <= int(version):
                self.forget(key)
        return listed, version

    def _keys_in(self, namespace: str | None) -> set[Key]:
        return {key for key in self._entries if namespace in (None, key.namespace)}

    def _find_missed(self, namespace: str | None, listed: Mapping[Key, int]) -> None:
        """What was in the list before this one, Kopf's watch must have delivered by now."""
        missed = [
            key
            for key in listed.keys() & self._entries.keys()
            if self._entries[key].watched < self._entries[key].listed
        ]
        if not missed:
            self._behind_since.pop(namespace, None)
        elif namespace not in self._behind_since:
            self._behind_since[namespace] = self._clock()
            logger.warning("Kopf's watch has not delivered %d FineTuneJobs, such as %s", len(missed), missed[0])

    def silence(self) -> float:
        """Seconds since the API server last sent anything, in a list or by Kopf's watch, of the most silent namespace."""
        return self._clock() - min(self._contacts.values(), default=self._start)

    def behind(self) -> float:
        """Seconds for which Kopf's watch has been behind the lists; 0 if it is not."""
        return max((self._clock() - since for since in self._behind_since.values()), default=0.0)


def keep(raw: JsonObject, serves: Callable[[str], bool]) -> JsonObject | None:
    """What is kept of a FineTuneJob: what is read of it, packed. None for what is no whole object, or of a namespace that is not served."""
    return packed_job(raw) if _is_whole(raw) and serves(raw["metadata"]["namespace"]) else None


def _is_whole(raw: JsonObject) -> bool:
    """Whether it has what each object of an API server has. One that has not must not keep the others from being served."""
    metadata = raw.get("metadata")
    values = [metadata.get(name) for name in _WHOLE] if isinstance(metadata, dict) else [None]
    whole = all(isinstance(value, str) and value for value in values) and str(values[-1]).isdecimal()
    if not whole:
        warn_once(f"a FineTuneJob with {values}", "has no namespace, name, uid or resourceVersion")
    return whole
