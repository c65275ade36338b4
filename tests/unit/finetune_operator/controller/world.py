"""The API server, the caches of it, and the reconciler between them, for tests of whole passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import (
    OWNERS,
    UID,
    job,
    merged,
    pod,
    running,
)

from finetune_api.notify import NotifyTarget
from finetune_api.profile import OPEN, Cache, FineTuneProfileSpec
from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.notices import Notices
from finetune_operator.controller.numbers import Numbers
from finetune_operator.controller.profiles import Profiles
from finetune_operator.controller.reconciler import Reconciler
from finetune_operator.job.finetunejob import FineTuneJob, Key, parse_finetunejob
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.client import (
    FINETUNEJOBS,
    JOBS,
    PODS,
    PROFILES,
)
from finetune_operator.kube.informer import Informer
from finetune_operator.status.announcements.notices import Answer

KEY = Key("team-a", "yelp")


WITH_CACHE = FineTuneProfileSpec(cache=Cache(size="500Gi"))


OWNED: dict[str, Any] = {
    "metadata": {
        "labels": {LABEL_JOB_UID: UID},
        "ownerReferences": OWNERS,
        "annotations": {"finetune.dev/requested": '{"backoffLimit": 3, "suspend": false}'},
    }
}


ABOUT_THE_JOB = {"involvedObject": {"kind": "Job", "name": "yelp", "uid": "job-uid"}, "type": "Warning"}


OWNED_POD: dict[str, Any] = {
    "metadata": {
        "labels": {LABEL_JOB_UID: UID},
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "job-uid", "controller": True}
        ],
    }
}


@dataclass
class World:
    """The API, our caches of it, and the reconciler between them."""

    api: FakeApi
    finetunejobs: FineTuneJobs
    jobs: Informer
    pods: Informer
    reconciler: Reconciler
    blocked: BlockedJobs
    woken: list[Key]
    """The blocked jobs that were to be tried before their time."""
    profiles: Profiles
    key: bytes
    """The operator's own."""
    ca: str = "PEM"
    time: float = 1000.0
    """What the clock shows, in seconds."""
    month_used: int = 0
    """GPU-seconds that the namespace has used this month."""
    used: list[tuple[str, str, int]] = field(default_factory=list)
    """What was counted as used of the month."""
    told: list[tuple[str, str]] = field(default_factory=list)
    """Phase and target of each attempt to tell somebody of an end."""
    answers: dict[str, Answer] = field(default_factory=dict)
    """What an attempt comes to, by target; delivered if it is not here."""
    notices: Notices = field(init=False)

    async def see(self) -> None:
        """All caches come up to date."""
        await self.see_finetunejobs()
        await self.see_children()
        self.api.requests.clear()

    async def see_children(self) -> None:
        for informer in (self.jobs, self.pods):
            informer.synced.clear()
            task = asyncio.create_task(informer.run())
            await informer.synced.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def see_finetunejobs(self) -> None:
        for (plural, _), raw in list(self.api.objects.items()):
            if plural == FINETUNEJOBS.plural:
                self.finetunejobs.update(raw)

    async def tell(self, finetunejob: FineTuneJob, target: NotifyTarget) -> Answer:
        """One attempt."""
        self.told.append((str(finetunejob.status.phase), target.name))
        await asyncio.sleep(0)
        return self.answers.get(target.name, Answer(delivered=True))

    async def reconcile(self) -> float | None:
        """One pass. What is known of a FineTuneJob after it is what would be read of it."""
        again = await self.reconciler.reconcile(KEY)
        entry = self.finetunejobs.get(KEY)
        if entry is not None:
            known = self.profiles.read_finetunejob(entry.packed)
            read_anew = parse_finetunejob(entry.raw, [self.key])
            # How its user wrote it is dropped once it has its profile, and read again where that is needed.
            assert replace(known, own=read_anew.own) == read_anew
            assert known.own == read_anew.own or (known.own is None and known.kept is not None)
        return again

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects[FINETUNEJOBS.plural, "yelp"].get("status", {})
        return status

    def edit(self, **spec: Any) -> None:
        raw = self.api.objects[FINETUNEJOBS.plural, "yelp"]
        self.api.put(
            FINETUNEJOBS, merged(raw, {"spec": spec, "metadata": {"generation": raw["metadata"]["generation"] + 1}})
        )


def make_world(api: FakeApi, key: bytes, installation: str = "finetune/keys") -> World:
    """An operator with this key of its own, and its view of an API server."""

    def informer(kind: Any) -> Informer:
        return Informer(api, kind, label=LABEL_JOB_UID, on_change=lambda _: None, resync_seconds=0)

    finetunejobs = FineTuneJobs(
        lambda _: None,
        on_used=lambda *used: world.used.append(used[:3]),
        on_doubted=lambda namespace: world.reconciler.forget_namespace(namespace),
    )
    jobs, pods = informer(JOBS), informer(PODS)
    woken: list[Key] = []

    def retry(key: Key) -> None:
        woken.append(key)
        finetunejobs.retry(key)

    blocked = BlockedJobs(retry)
    profiles = Profiles(
        api,
        informer(PROFILES),
        built_in=OPEN,
        keys=lambda: [key],
        installation=installation,
        used=lambda namespace: world.month_used,
        clock=lambda: world.time,
    )
    notices = Notices(
        finetunejobs,
        read=lambda entry: profiles.read_finetunejob(entry.packed),
        send=lambda finetunejob, target: world.tell(finetunejob, target),
        on_tried=lambda key: world.woken.append(key),
    )
    reconciler = Reconciler(
        api,
        finetunejobs=finetunejobs,
        jobs=jobs,
        pods=pods,
        profiles=profiles,
        pod_defaults=lambda: PodDefaults("trainer:1", "https://operator", world.ca),
        blocked=blocked,
        numbers=Numbers(per_second=1000, interval=60, clock=lambda: world.time),
        notices=notices,
        clock=lambda: world.time,
    )
    world = World(api, finetunejobs, jobs, pods, reconciler, blocked, woken, profiles, key)
    world.notices = notices
    return world


@asynccontextmanager
async def running_job(world: World) -> AsyncIterator[None]:
    """The job has one pod that runs, and its status says so."""
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
    await world.see()
    await world.reconcile()
    await world.see()
    yield


QUOTA = refusal(403, "exceeded quota: count/jobs.batch=0")
