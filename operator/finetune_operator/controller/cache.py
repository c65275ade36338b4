"""What we know of the FineTuneJobs: fed by Kopf's watch and our own writes, checked against a list now and then.

After a watch that had to begin anew, Kopf does not say what was deleted meanwhile, and it does not tell of bookmarks, so
that its silence may be peace or death. The list answers both: it names what is gone, and what Kopf should have told.
"""

import logging
import time
from collections.abc import Callable

from finetune_api.base import JsonObject
from finetune_operator.job.finetunejob import Key, key_of
from finetune_operator.kube.bounded_json import tell
from finetune_operator.kube.client import FINETUNEJOBS, Kube

_log = logging.getLogger(__name__)


class FineTuneJobs:
    """The newest known version of each FineTuneJob. `on_change` hears of each key that changed or went away."""

    def __init__(self, on_change: Callable[[Key], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_change = on_change
        self._clock = clock
        self._objects: dict[Key, JsonObject] = {}
        self._keys: dict[str, Key] = {}
        self._told: dict[Key, int] = {}
        self._due: dict[Key, int] = {}
        self._listed = clock()
        self._behind_since: float | None = None

    def get(self, key: Key) -> JsonObject | None:
        """The newest version that we know."""
        return self._objects.get(key)

    def key_of_uid(self, uid: str) -> Key | None:
        """The key of the FineTuneJob with this uid."""
        return self._keys.get(uid)

    def known(self) -> list[Key]:
        """All that are there."""
        return list(self._objects)

    def seen(self, raw: JsonObject) -> None:
        """Kopf's watch tells of an object."""
        if not _is_whole(raw):
            return
        key = key_of(raw)
        self._told[key] = max(self._told.get(key, 0), _version(raw))
        self.learn(raw)

    def gone(self, raw: JsonObject) -> None:
        """Kopf's watch tells that an object was deleted."""
        key = key_of(raw)
        known = self._objects.get(key)
        # An object that was deleted and made anew may be told of in either order.
        if known is not None and known["metadata"]["uid"] == raw["metadata"]["uid"]:
            self._told.pop(key, None)
            self.forget(key)

    def learn(self, raw: JsonObject) -> None:
        """An answer of the API server holds an object. An older version than the known one is nothing new."""
        key = key_of(raw)
        known = self._objects.get(key)
        if known is not None and _version(raw) <= _version(known):
            return
        self._objects[key] = raw
        if known is not None:
            self._keys.pop(known["metadata"]["uid"], None)
        self._keys[raw["metadata"]["uid"]] = key
        self._on_change(key)

    def forget(self, key: Key) -> None:
        """It is not there any more."""
        known = self._objects.pop(key, None)
        if known is not None:
            self._keys.pop(known["metadata"]["uid"], None)
            self._on_change(key)

    async def check(self, kube: Kube, namespace: str | None) -> None:
        """Compare with a list: take what Kopf missed, and remember whether it is behind."""
        known_before = set(self._objects)
        items, _ = await kube.list(FINETUNEJOBS, namespace)
        listed = {key_of(raw): raw for raw in items if _is_whole(raw)}
        self._judge(set(listed))
        for key in known_before - listed.keys():
            self.forget(key)
        for raw in listed.values():
            self.learn(raw)
        self._due = {key: _version(raw) for key, raw in listed.items()}
        self._listed = self._clock()

    def _judge(self, present: set[Key]) -> None:
        """What the list before this one held, Kopf must have told by now."""
        missed = [key for key, version in self._due.items() if key in present and self._told.get(key, 0) < version]
        if not missed:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock()
            _log.warning("Kopf's watch has not told of %d FineTuneJobs, such as %s", len(missed), missed[0])

    def silence(self) -> float:
        """Seconds since the last list."""
        return self._clock() - self._listed

    def behind(self) -> float:
        """Seconds for which Kopf's watch has been behind the lists; 0 if it is not."""
        return 0.0 if self._behind_since is None else self._clock() - self._behind_since


def _is_whole(raw: JsonObject) -> bool:
    """Whether it has what each object of an API server has. One that has not must not stand in the way of the others."""
    metadata = raw.get("metadata") or {}
    whole = {"namespace", "name", "uid", "resourceVersion"} <= metadata.keys() and metadata[
        "resourceVersion"
    ].isdecimal()
    if not whole:
        tell(f"FineTuneJob {metadata.get('namespace')}/{metadata.get('name')}", "has no uid or resourceVersion")
    return whole


def _version(raw: JsonObject) -> int:
    """A resourceVersion as the growing number that it is.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    return int(raw["metadata"]["resourceVersion"])
