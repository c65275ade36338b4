"""A pass asks for what is missing, writes what differs, and nothing else."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ConflictException
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import (
    OWNERS,
    PROOF_KEY,
    START,
    UID,
    finetunejob,
    job,
    member,
    merged,
    pod,
    reason_of,
    received,
    running,
    settled,
    terminated,
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
from finetune_operator.job.finetunejob import FineTuneJob, Key
from finetune_operator.job.names import AUTHORITY, ISOLATION, LABEL_SHARED, cache_claim_name
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.kube.client import (
    CONFIG_MAPS,
    FINETUNEJOBS,
    JOBS,
    NETWORK_POLICIES,
    PODS,
    PROFILES,
    PVCS,
    SECRETS,
    SERVICES,
)
from finetune_operator.kube.informer import Informer
from finetune_operator.status.announcements.notices import Answer
from finetune_operator.traces.passes import Pass, under_way

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
        return await self.reconciler.reconcile(KEY)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects[FINETUNEJOBS.plural, "yelp"].get("status", {})
        return status

    def edit(self, **spec: Any) -> None:
        raw = self.api.objects[FINETUNEJOBS.plural, "yelp"]
        self.api.put(
            FINETUNEJOBS, merged(raw, {"spec": spec, "metadata": {"generation": raw["metadata"]["generation"] + 1}})
        )


@pytest.fixture
def world() -> World:
    made = make_world(FakeApi(), PROOF_KEY)
    made.api.put(FINETUNEJOBS, finetunejob(settled()))
    return made


def make_world(api: FakeApi, key: bytes, installation: str = "finetune/keys") -> World:
    """An operator with this key of its own, and its view of an API server."""

    def informer(kind: Any) -> Informer:
        return Informer(api, kind, label=LABEL_JOB_UID, on_change=lambda _: None, resync_seconds=0)

    finetunejobs = FineTuneJobs(lambda _: None, on_used=lambda *used: world.used.append(used[:3]))
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
    world = World(api, finetunejobs, jobs, pods, reconciler, blocked, woken)
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


async def test_the_first_pass_makes_each_child_once_and_the_next_pass_costs_nothing(world: World) -> None:
    await world.see()
    await world.reconcile()
    first = list(world.api.requests)
    await world.see()
    await world.reconcile()

    assert first == [
        *("get configmaps", "create configmaps", "get networkpolicies", "create networkpolicies"),  # the namespace's
        "create configmaps",
        "create persistentvolumeclaims",
        "create jobs",
        "replace status of finetunejobs",
    ]
    assert world.api.requests == []
    assert (world.status()["phase"], world.status()["message"]) == ("Pending", "waiting for a pod")


async def test_a_job_that_begins_is_written_about_once_before_its_children_and_again_when_there_is_news(
    world: World,
) -> None:
    world.api.put(FINETUNEJOBS, finetunejob({}))
    await world.see()
    wait = await world.reconcile()
    begun = list(world.api.requests)
    first = world.status()
    world.api.put(JOBS, merged(world.api.objects[JOBS.plural, "yelp"], job()))
    await world.see()
    world.time += 29
    await world.reconcile()
    writes_of_the_start = world.api.requests.count("replace status of finetunejobs")
    world.api.put(PODS, merged(pod(), OWNED_POD))
    await world.see()
    world.time += 40
    await world.reconcile()

    assert begun[:4] == ["get namespaces", "get finetuneprofiles", "replace status of finetunejobs", "get configmaps"]
    assert begun[-1] == "create jobs"
    assert (first["phase"], first["message"], first["profile"]["name"]) == ("Pending", "waiting for a pod", "default")
    assert wait is not None
    assert (writes_of_the_start, world.api.requests.count("replace status of finetunejobs")) == (0, 1)
    assert (world.status()["startTime"], world.status()["attempts"][0]["node"]) == (job()["status"]["startTime"], "n1")


async def test_a_restart_writes_nothing_of_a_job_that_has_begun_and_has_no_pod_yet(world: World) -> None:
    await world.see()
    await world.reconcile()
    world.api.put(JOBS, merged(world.api.objects[JOBS.plural, "yelp"], job()))
    await world.see()
    world.finetunejobs.begin_anew()

    for _ in range(10):
        await world.reconcile()
        world.time += 60

    assert world.api.requests.count("replace status of finetunejobs") == 0


@pytest.mark.thorough
async def test_what_is_new_after_a_restart_is_written_in_turn_as_ever(world: World) -> None:
    keys = [Key("team-a", f"job-{number}") for number in range(20)]
    for key in keys:
        world.api.put(FINETUNEJOBS, merged(finetunejob({}, name=key.name), {"metadata": {"uid": f"uid-of-{key.name}"}}))
    await world.see()
    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))
    for key in keys:
        uid = world.api.objects[JOBS.plural, key.name]["metadata"]["uid"]
        owners = [{**OWNED_POD["metadata"]["ownerReferences"][0], "name": key.name, "uid": uid}]
        metadata = {"labels": {LABEL_JOB_UID: f"uid-of-{key.name}"}, "ownerReferences": owners}
        world.api.put(PODS, merged(pod(node=None), {"metadata": {**metadata, "name": key.name, "uid": key.name}}))
    await world.see()
    world.finetunejobs.begin_anew()

    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))
    world.time += 1
    at_once = world.api.requests.count("replace status of finetunejobs")
    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))

    assert (at_once < 5, world.api.requests.count("replace status of finetunejobs")) == (True, 20)


async def test_what_a_namespace_shares_is_made_by_the_first_of_its_jobs_and_costs_the_others_nothing(
    world: World,
) -> None:
    keys = [Key("team-a", f"job-{number}") for number in range(3)]
    for key in keys:
        own = {"metadata": {"uid": f"uid-of-{key.name}"}}
        world.api.put(FINETUNEJOBS, merged(finetunejob(settled(), name=key.name), own))
    await world.see()

    await asyncio.gather(*(world.reconciler.reconcile(key) for key in keys))

    counts = Counter(world.api.requests)
    assert counts["create networkpolicies"] == 1
    assert counts["create configmaps"] == 1 + len(keys)
    assert counts["get configmaps"] + counts["get networkpolicies"] == 2


async def test_a_config_map_of_somebody_else_in_the_authority_s_place_is_mounted_into_no_pod(world: World) -> None:
    world.api.put(CONFIG_MAPS, {"metadata": {"name": AUTHORITY}, "data": {"ca.crt": "theirs"}})
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert world.api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"] == {"ca.crt": "theirs"}
    assert f"the ConfigMap {AUTHORITY}" in world.status()["message"]


async def test_a_config_map_that_somebody_made_immutable_in_the_authority_s_place_ends_no_job(world: World) -> None:
    labels = {"app.kubernetes.io/managed-by": "finetune-operator", LABEL_SHARED: "true"}
    theirs = {"metadata": {"name": AUTHORITY, "labels": labels}, "immutable": True, "data": {"ca.crt": "theirs"}}
    world.api.put(CONFIG_MAPS, theirs)
    world.api.failures["apply configmaps"] = refusal(422, "data: Forbidden: field is immutable when `immutable` is set")
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "ConfigChanged")
    assert f"the ConfigMap {AUTHORITY} holds something else" in world.status()["message"]


@pytest.mark.parametrize(
    ("status", "why"),
    [(403, "no"), (422, f"the ConfigMap {AUTHORITY} holds something else than this FineTuneJob asks for")],
)
async def test_an_authority_that_cannot_be_renewed_keeps_no_status_from_being_written(
    world: World, status: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_job(world):
        world.ca = "PEM of old and new"
        world.api.failures["apply configmaps"] = refusal(status, "no")
        world.api.put(PODS, merged(pod(state=running()), OWNED_POD))
        await world.see()

        await world.reconcile()

    assert world.status()["phase"] == "Preparing"
    assert f"team-a/yelp: its pods may not reach the report endpoint: {why}" in caplog.text


@pytest.mark.parametrize("status", [403, 422])
async def test_an_authority_that_cannot_be_renewed_is_tried_again_once_a_minute(world: World, status: int) -> None:
    async with running_job(world):
        world.ca = "PEM of old and new"
        world.api.failures["apply configmaps"] = refusal(status, "no")
        for _ in range(10):
            await world.reconcile()
        tries = world.api.requests.count("apply configmaps")
        world.api.failures.clear()
        world.time += 61
        await world.reconcile()

    assert tries == 1
    assert world.api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"] == {"ca.crt": "PEM of old and new"}


async def test_a_pod_that_starts_in_time_costs_no_request(world: World) -> None:
    async with running_job(world):
        world.time += 600
        await world.reconcile()

    assert [each for each in world.api.requests if "finetunejobs" not in each and "events" not in each] == []


async def test_the_service_of_a_job_of_many_pods_is_there_before_they_are(world: World) -> None:
    world.edit(resources={"nodes": 2})
    await world.see()

    await world.reconcile()

    assert [each for each in world.api.requests if "create" in each][3:] == [
        f"create {kind.plural}" for kind in (CONFIG_MAPS, NETWORK_POLICIES, PVCS, SERVICES, JOBS)
    ]
    assert world.status()["message"] == "0 of 2 pods run; waiting for a pod"


async def test_the_pods_of_a_run_prove_a_secret_that_is_made_once_and_named_by_their_job_alone(world: World) -> None:
    world.edit(resources={"nodes": 2})
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    world.api.failures.clear()
    world.time += 30
    await world.reconcile()

    ((name, secret),) = [(name, raw) for (plural, name), raw in world.api.objects.items() if plural == SECRETS.plural]
    pod_spec = world.api.objects[JOBS.plural, "yelp"]["spec"]["template"]["spec"]
    assert {"secretName": name, "defaultMode": 0o440} in [each.get("secret") for each in pod_spec["volumes"]]
    assert secret["metadata"]["ownerReferences"][0]["uid"] == UID
    assert secret["immutable"] is True
    others = json.dumps([raw for (plural, _), raw in world.api.objects.items() if plural != SECRETS.plural])
    assert secret["stringData"]["secret"] not in others
    assert len(secret["stringData"]["secret"]) >= 43


async def test_a_job_that_the_cache_does_not_know_yet_is_not_made_twice(world: World) -> None:
    await world.see()
    world.api.put(JOBS, merged(job(), OWNED))

    known = world.api.objects[JOBS.plural, "yelp"]["metadata"]["resourceVersion"]

    await world.reconcile()

    assert world.api.requests[-3:] == ["create jobs", "get jobs", "replace status of finetunejobs"]
    assert world.api.objects[JOBS.plural, "yelp"]["metadata"]["resourceVersion"] == known
    assert reason_of(world.status()) == "WaitingForPod"


async def test_a_job_of_somebody_else_is_neither_adopted_nor_touched(world: World) -> None:
    foreign = world.api.put(JOBS, job())
    await world.see()

    again = await world.reconcile()

    assert world.api.requests[-4:] == ["create jobs", "get jobs", "replace status of finetunejobs", "create events"]
    assert world.api.objects[JOBS.plural, "yelp"] == foreign
    assert reason_of(world.status()) == "NameConflict"
    assert again is not None


async def test_a_config_map_that_comes_between_is_not_overwritten(world: World) -> None:
    world.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-run"}, "data": {"mine": "1"}})
    await world.see()

    await world.reconcile()

    assert world.api.objects[CONFIG_MAPS.plural, "yelp-run"]["data"] == {"mine": "1"}
    assert (JOBS.plural, "yelp") not in world.api.objects
    assert "the ConfigMap yelp-run" in world.status()["message"]


OLD_CONFIG = {"metadata": {"name": "yelp-run", **OWNED["metadata"]}, "immutable": True, "data": {"run.yaml": "{}"}}
"""As an operator of before might have written it, or somebody who names our owner."""


async def test_a_child_that_holds_something_else_is_made_anew_before_a_job_runs_by_it(world: World) -> None:
    world.api.put(CONFIG_MAPS, OLD_CONFIG)
    await world.see()

    await world.reconcile()

    assert json.loads(world.api.objects[CONFIG_MAPS.plural, "yelp-run"]["data"]["run.yaml"])["task"]
    assert (JOBS.plural, "yelp") in world.api.objects


@pytest.mark.parametrize("its_end", [None, ("Complete", "", "")])
async def test_a_config_map_by_which_a_job_runs_that_is_not_seen_yet_is_left_alone(world: World, its_end: Any) -> None:
    world.api.put(CONFIG_MAPS, OLD_CONFIG)
    await world.see()
    world.api.put(JOBS, merged(job(end=its_end), OWNED))

    await world.reconcile()
    reason = reason_of(world.status())
    await world.see()
    await world.reconcile()

    assert world.api.objects[CONFIG_MAPS.plural, "yelp-run"]["data"] == {"run.yaml": "{}"}
    assert "delete configmaps" not in world.api.requests
    assert (reason, world.status()["phase"]) == ("ConfigChanged", "Succeeded" if its_end else "Pending")


async def test_a_config_map_that_somebody_makes_again_and_again_is_not_run(world: World) -> None:
    world.api.put(CONFIG_MAPS, OLD_CONFIG)
    await world.see()
    delete = world.api.delete

    async def make_again(*given: Any) -> None:
        await delete(*given)
        world.api.put(CONFIG_MAPS, {**OLD_CONFIG, "data": {"run.yaml": "{again}"}})

    world.api.delete = make_again  # type: ignore[method-assign, assignment]

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert reason_of(world.status()) == "ConfigChanged"
    assert "the ConfigMap yelp-run holds something else" in world.status()["message"]


async def test_a_claim_that_is_there_from_before_is_used_again(world: World) -> None:
    world.api.put(PVCS, {"metadata": {"name": "yelp-0f9be1d4", "labels": {LABEL_JOB_UID: UID}}})
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") in world.api.objects


async def test_the_jobs_of_a_namespace_share_one_claim_that_belongs_to_none_of_them(world: World) -> None:
    world.api.put(FINETUNEJOBS, finetunejob(settled(WITH_CACHE)))
    await world.see()

    await world.reconcile()

    shared = [name for kind, name in world.api.objects if kind == PVCS.plural and name.startswith("finetune-cache-")]
    assert len(shared) == 1
    assert "ownerReferences" not in world.api.objects[PVCS.plural, shared[0]]["metadata"]
    pod_spec = world.api.objects[JOBS.plural, "yelp"]["spec"]["template"]["spec"]
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": shared[0]}} in pod_spec["volumes"]


async def test_a_claim_of_the_cache_s_name_that_another_made_is_mounted_into_no_job(world: World) -> None:
    name = cache_claim_name("500Gi", None)
    world.api.put(FINETUNEJOBS, finetunejob(settled(WITH_CACHE)))
    world.api.put(PVCS, {"metadata": {"name": name}})
    await world.see()

    await world.reconcile()

    assert (JOBS.plural, "yelp") not in world.api.objects
    assert f"the PersistentVolumeClaim {name}" in world.status()["message"]


async def test_what_the_api_server_finds_invalid_ends_the_job_with_its_words(world: World) -> None:
    world.api.failures["create jobs"] = refusal(422, 'Job.batch "yelp" is invalid: spec.template')
    await world.see()

    await world.reconcile()

    await world.see()
    await world.reconcile()

    assert (world.status()["phase"], world.status()["failure"]["reason"]) == ("Failed", "SpecRefused")
    assert world.status()["message"].startswith('Job.batch "yelp" is invalid: spec.template; nothing was saved')
    # What was made before the Job is owned by the FineTuneJob; its claim, which is not, has gone.
    assert [name for plural, name in world.api.objects if plural == PVCS.plural] == []


async def test_what_is_forbidden_for_now_is_tried_again(world: World) -> None:
    world.api.failures["create jobs"] = refusal(403, "exceeded quota: count/jobs.batch=0")
    await world.see()

    again = await world.reconcile()

    assert world.status()["phase"] == "Pending"
    assert world.status()["message"] == "exceeded quota: count/jobs.batch=0"
    assert again is not None
    assert 15 <= again <= 30


QUOTA = refusal(403, "exceeded quota: count/jobs.batch=0")


async def test_a_blocked_job_costs_no_request_until_it_is_tried_again_and_then_one(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    await world.see()

    first = await world.reconcile()
    before = list(world.api.requests)
    world.time += 30
    second = await world.reconcile()

    assert (before, world.api.requests) == ([], ["create jobs"])
    assert first is not None
    assert second is not None
    assert 15 <= first <= 30 <= second <= 60


async def test_another_spec_of_a_blocked_job_is_tried_at_once(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    world.edit(suspend=True)
    await world.see()

    await world.reconcile()

    assert world.api.requests[0] == "create jobs"


async def test_a_name_that_is_taken_is_looked_up_and_nothing_else(world: World) -> None:
    world.api.put(JOBS, job())
    await world.see()
    await world.reconcile()
    await world.see()
    world.time += 30

    await world.reconcile()

    assert world.api.requests == ["create jobs", "get jobs"]


async def test_what_was_made_long_before_its_job_is_looked_up_once_the_job_is_there(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    del world.api.objects[CONFIG_MAPS.plural, "yelp-run"], world.api.objects[PVCS.plural, "yelp-0f9be1d4"]
    world.api.failures.clear()
    world.time += 30
    await world.reconcile()
    await world.see()

    await world.reconcile()
    first = list(world.api.requests)
    await world.reconcile()

    assert [each for each in first if "events" not in each and "finetunejobs" not in each] == [
        *("get configmaps", "get jobs", "create configmaps"),
        "get persistentvolumeclaims",
        "create persistentvolumeclaims",
    ]
    assert world.api.requests == first


async def test_a_job_that_is_made_after_all_lets_the_next_of_its_namespace_try(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    for name in ("other", "third"):
        world.api.put(FINETUNEJOBS, finetunejob(name=name))
        world.blocked.wait(Key("team-a", name))
    world.api.failures.clear()

    world.finetunejobs.retry(KEY)
    await world.reconcile()
    await world.see()
    await world.reconcile()

    assert world.woken == [Key("team-a", "other")]


async def test_a_job_that_went_away_leaves_the_line_of_the_blocked(world: World) -> None:
    world.api.failures["create jobs"] = QUOTA
    await world.see()
    await world.reconcile()
    world.finetunejobs.forget(KEY)

    again = await world.reconcile()
    world.blocked.wake("team-a")

    assert (again, world.woken) == (None, [])


async def test_a_job_whose_events_the_operator_may_not_read_has_a_status_without_them(world: World) -> None:
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    world.api.failures["list events"] = refusal(403, 'events is forbidden: cannot list resource "events"')
    await world.see()

    await world.reconcile()

    assert "list events" in world.api.requests
    assert (world.status()["phase"], world.status()["message"]) == ("Pending", "waiting for a pod")


@pytest.mark.slow
async def test_why_no_pod_comes_is_asked_ever_more_seldom(world: World) -> None:
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    warning = {"reason": "FailedCreate", "message": "exceeded quota: small", "lastTimestamp": "2026-11-20T12:00:00Z"}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **ABOUT_THE_JOB, **warning}
    world.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-run", **OWNED["metadata"]}, "data": {"ca.crt": "PEM"}})
    await world.see()
    for _ in range(3600):
        world.time += 1
        await world.reconcile()

    assert world.api.requests.count("list events") <= 14
    assert "exceeded quota: small" in world.status()["message"]


async def test_a_job_that_the_operator_may_not_make_is_not_made_and_the_status_explains_why(world: World) -> None:
    message = 'jobs.batch "yelp" is forbidden: cannot create resource "jobs"'
    world.api.failures["create jobs"] = refusal(403, message)
    await world.see()

    again = await world.reconcile()

    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "CreateForbidden")
    assert world.status()["message"] == message
    assert again is not None
    assert 15 <= again <= 30
    assert world.api.requests[-3:] == ["create jobs", "replace status of finetunejobs", "create events"]


async def test_a_job_that_was_deleted_in_the_middle_is_made_again(world: World) -> None:
    async with running_job(world):
        del world.api.objects[JOBS.plural, "yelp"], world.api.objects[PODS.plural, "yelp-1"]
        await world.see()

        await world.reconcile()

    assert "create jobs" in world.api.requests


async def test_nothing_is_made_while_the_finetunejob_is_being_deleted(world: World) -> None:
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    await world.see()

    await world.reconcile()

    assert world.api.requests == []


async def test_a_job_that_is_deleted_is_ended_and_counted_whatever_keeps_the_object(world: World) -> None:
    """Its user can put any finalizer there, and have the GPUs for nothing."""
    async with running_job(world):
        raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
        world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
        await world.see()
        await world.reconcile()
        ended = world.api.objects[JOBS.plural, "yelp"]["metadata"]
        world.api.put(PODS, merged(pod(state=terminated(143)), OWNED_POD))
        await world.see()

        await world.reconcile()
        await world.see()
        requests = [await world.reconcile(), *world.api.requests]

    assert "deletionTimestamp" in ended  # and goes after its pods, so that a deletion in the foreground does, too
    (attempt,) = world.status()["attempts"]
    assert (attempt["exitCode"], attempt["podSeconds"]) == (143, world.status()["usage"]["podSeconds"])
    assert attempt["podSeconds"] > 0
    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "JobDeleted")
    assert "being deleted" in world.status()["message"]
    assert [each for each in requests if each and not isinstance(each, float)] == []


async def test_what_still_runs_of_a_job_that_was_deleted_as_soon_as_it_had_failed_is_ended_and_nothing_is_written(
    world: World,
) -> None:
    failure = {"reason": "ProgressStalled", "message": "it stood still"}
    raw = finetunejob({"phase": "Failed", "failure": failure, "observedGeneration": 1})
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()

    again = await world.reconcile()

    assert (again, world.api.requests) == (None, ["delete jobs"])


async def test_a_job_that_is_deleted_waits_for_no_room_any_more(world: World) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()
    await world.reconcile()
    del world.api.objects[JOBS.plural, "yelp"]
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    await world.see()
    world.time += 61
    await world.reconcile()
    await world.see()

    again = await world.reconcile()

    assert (again, reason_of(world.status())) == (None, "JobDeleted")


async def test_a_job_that_is_deleted_before_it_had_a_pod_says_so(world: World) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()
    await world.reconcile()
    raw = world.api.objects[FINETUNEJOBS.plural, "yelp"]
    world.api.put(FINETUNEJOBS, merged(raw, {"metadata": {"deletionTimestamp": "2026-11-20T12:00:00Z"}}))
    del world.api.objects[JOBS.plural, "yelp"]
    await world.see()
    world.time += 61

    await world.reconcile()

    assert (world.status()["phase"], reason_of(world.status())) == ("Pending", "JobDeleted")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_nothing_is_made_for_a_job_that_has_ended(world: World, phase: str) -> None:
    status = {"phase": phase, "observedGeneration": 1}
    world.api.put(FINETUNEJOBS, finetunejob(status))
    await world.see()

    await world.reconcile()

    assert world.api.requests == []


async def test_the_end_is_read_from_the_pods_as_they_stand_and_not_from_the_cache(world: World) -> None:
    async with running_job(world):
        world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
        await world.see()
        word = '{"exitCode": 0, "progress": {"step": 9, "percent": 100}}'
        world.api.put(PODS, merged(pod(state=terminated(0, "Completed", word)), OWNED_POD))

        await world.reconcile()

    assert world.status()["phase"] == "Succeeded"
    assert world.status()["progress"]["step"] == 9


async def test_pods_of_which_the_cache_shows_how_they_succeeded_are_not_listed(world: World) -> None:
    word = '{"exitCode": 0, "progress": {"step": 9, "percent": 100}}'
    async with running_job(world):
        world.api.put(PODS, merged(pod(state=terminated(0, "Completed", word)), OWNED_POD))
        world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
        await world.see()
        world.api.requests.clear()

        await world.reconcile()

    assert "list pods" not in world.api.requests
    assert (world.status()["phase"], world.status()["progress"]["step"]) == ("Succeeded", 9)


async def test_a_pod_that_only_bears_our_label_is_no_attempt(world: World) -> None:
    async with running_job(world):
        world.api.put(PODS, merged(pod(2, state=running()), {"metadata": {"labels": {LABEL_JOB_UID: UID}}}))
        await world.see()

        await world.reconcile()

    assert [attempt["pod"] for attempt in world.status()["attempts"]] == ["yelp-1"]


async def test_a_suspension_whose_answer_was_lost_is_taken_back_though_another_change_comes_before_its_news(
    world: World,
) -> None:
    async with running_job(world):
        stale = world.api.objects[JOBS.plural, "yelp"]
        taken = {
            "metadata": {"annotations": {"finetune.dev/requested": '{"backoffLimit": 3, "suspend": true}'}},
            "spec": {"suspend": True},
        }
        world.api.put(JOBS, merged(stale, taken))
        world.edit(runPolicy={"backoffLimit": 5})
        await world.see_finetunejobs()
        with pytest.raises(ConflictException):
            await world.reconcile()
        await world.see()
        await world.reconcile()

    made = world.api.objects[JOBS.plural, "yelp"]["spec"]
    assert (made["suspend"], made["backoffLimit"]) == (False, 5)


async def test_suspending_and_resuming_patch_the_job_once_each(world: World) -> None:
    async with running_job(world):
        world.edit(suspend=True)
        await world.see()
        await world.reconcile()
        suspended = world.api.objects[JOBS.plural, "yelp"]["spec"]["suspend"], world.status()["phase"]
        world.edit(suspend=False)
        await world.see()
        await world.reconcile()

    assert suspended == (True, "Suspended")
    assert world.api.objects[JOBS.plural, "yelp"]["spec"]["suspend"] is False
    assert world.api.requests.count("merge jobs") == 1


async def test_a_suspension_by_kueue_is_not_fought(world: World) -> None:
    async with running_job(world):
        world.api.put(JOBS, merged(job(suspend=True, start=None), OWNED))
        await world.see()

        await world.reconcile()

    assert "merge jobs" not in world.api.requests
    assert world.status()["phase"] == "Queued"


async def test_a_new_authority_reaches_all_pods_of_the_namespace_in_one_config_map(world: World) -> None:
    async with running_job(world):
        world.ca = "PEM of old and new"

        await world.reconcile()
        await world.reconcile()

    assert world.api.objects[CONFIG_MAPS.plural, AUTHORITY]["data"] == {"ca.crt": "PEM of old and new"}
    assert world.api.requests.count("apply configmaps") == 1


async def test_what_a_new_pod_needs_and_somebody_deleted_is_made_again_once(world: World) -> None:
    world.edit(resources={"nodes": 2})
    await world.see()
    await world.reconcile()
    world.api.put(JOBS, merged(world.api.objects[JOBS.plural, "yelp"], {"metadata": {"uid": "job-uid"}}))
    world.api.put(PODS, merged(member(0, state=terminated(17)), OWNED_POD))
    await world.see()
    await world.reconcile()
    for kind, name in ((CONFIG_MAPS, "yelp-run"), (NETWORK_POLICIES, "yelp"), (SERVICES, "ft-yelp")):
        del world.api.objects[kind.plural, name]
    del world.api.objects[CONFIG_MAPS.plural, AUTHORITY], world.api.objects[NETWORK_POLICIES.plural, ISOLATION]
    world.time += 61
    world.api.put(PODS, merged(member(0, 2), OWNED_POD))
    await world.see()

    await world.reconcile()
    await world.reconcile()

    assert [each for each in world.api.requests if "s of " not in each and " events" not in each] == [
        *("get configmaps", "create configmaps", "get networkpolicies", "create networkpolicies"),  # the namespace's
        *(
            "get configmaps",
            "get jobs",
            "create configmaps",
            "get networkpolicies",
            "create networkpolicies",
        ),  # the job's
        *("get services", "create services"),
        *("get jobs", "create secrets"),
    ]


@pytest.mark.parametrize("status", [403, 422])
async def test_what_a_pod_needs_and_may_not_be_made_again_is_named_and_tried_again(world: World, status: int) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state={"waiting": {"reason": "ContainerCreating"}}), OWNED_POD))
    world.api.failures["create configmaps"] = refusal(status, "exceeded quota: count/configmaps=1")
    world.time += 61
    await world.see()

    again = await world.reconcile()
    refused = world.status()
    world.api.failures.clear()
    world.time += 61
    await world.reconcile()

    assert (reason_of(refused), refused["message"]) == ("CreateForbidden", "exceeded quota: count/configmaps=1")
    assert again is not None
    assert "create configmaps" in world.api.requests
    assert (CONFIG_MAPS.plural, "yelp-run") in world.api.objects


async def test_a_finished_job_gets_its_time_to_live_once(world: World) -> None:
    status = {"phase": "Succeeded", "observedGeneration": 1}
    world.api.put(FINETUNEJOBS, finetunejob(status, runPolicy={"ttlSecondsAfterFinished": 60}))
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
    await world.see()
    await world.reconcile()
    await world.see()

    await world.reconcile()

    assert world.api.objects[JOBS.plural, "yelp"]["spec"]["ttlSecondsAfterFinished"] == 60
    assert world.api.requests == []


async def test_a_job_that_never_ran_in_time_is_deleted_after_its_end_was_written(world: World) -> None:
    failure = {"reason": "PreRunningDeadlineExceeded", "message": "no pod ran"}
    world.api.put(FINETUNEJOBS, finetunejob({"phase": "Failed", "failure": failure, "observedGeneration": 1}))
    world.api.put(JOBS, merged(job(), OWNED))
    await world.see()

    await world.reconcile()

    assert world.api.requests == ["delete jobs"]


async def test_a_status_that_was_computed_from_an_old_object_is_not_written(world: World) -> None:
    await world.see()
    world.edit(suspend=True)

    again = await world.reconcile()
    await world.reconcile()
    world.time += 60
    await world.see()
    await world.reconcile()

    assert again == pytest.approx(0.1)
    assert world.status()["observedGeneration"] == 2
    assert world.status()["phase"] == "Suspended"


async def test_a_job_that_a_write_finds_gone_is_forgotten_with_all_that_was_remembered(world: World) -> None:
    await world.see()
    world.finetunejobs.take_report(received({"report": {"sequence": 1, "stage": "Training"}}))
    world.api.failures["replace status of finetunejobs"] = refusal(404, "not found")

    again = await world.reconcile()

    assert (world.finetunejobs.get(KEY), world.finetunejobs.all_keys(), again) == (None, [], 0.1)


async def test_numbers_wait_for_their_turn_and_a_new_phase_does_not(world: World) -> None:
    async with running_job(world):
        for sequence in (1, 2):
            report = {"sequence": sequence, "stage": "Training", "progress": {"step": sequence, "percent": 1}}
            world.finetunejobs.take_report(received({"report": report}))
            again = await world.reconcile()

    assert world.status()["phase"] == "Running"
    assert world.status()["progress"]["step"] == 1
    assert again is not None
    assert 0 < again <= 60


@pytest.mark.thorough
async def test_a_pod_that_reports_another_stage_each_second_costs_a_write_an_interval_and_one_event(
    world: World,
) -> None:
    async with running_job(world):
        world.api.requests.clear()
        for second in range(600):
            world.time += 1
            stage = ("Training", "Preparing", "Evaluating")[second % 3]
            warnings = [{"reason": "Odd", "message": f"number {second}"}]
            report = {"sequence": second + 1, "stage": stage, "warnings": warnings, "resumedFromStep": second}
            world.finetunejobs.take_report(received({"report": report}))
            await world.reconcile()

    assert world.api.requests.count("replace status of finetunejobs") <= 600 / 60 + 2
    assert world.api.requests.count("create events") == 1
    assert world.status()["phase"] == "Running"


@pytest.mark.slow
async def test_a_user_who_suspends_and_resumes_all_the_time_costs_few_writes_and_an_event_a_minute(
    world: World,
) -> None:
    async with running_job(world):
        world.api.requests.clear()
        for second in range(600):
            world.time += 1
            world.edit(suspend=second % 2 == 0)
            await world.see_finetunejobs()
            await world.see_children()
            await world.reconcile()

    assert world.api.requests.count("replace status of finetunejobs") <= 10 + 600 / 60 + 1
    assert world.api.requests.count("create events") <= 2 * (600 / 60 + 1)


@pytest.mark.thorough
async def test_the_end_of_a_job_is_written_at_once_after_any_number_of_transitions(world: World) -> None:
    async with running_job(world):
        for number in range(30):
            world.edit(suspend=number % 2 == 0)
            await world.see_finetunejobs()
            await world.see_children()
            await world.reconcile()
        world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
        await world.see()

        await world.reconcile()

    assert world.status()["phase"] == "Succeeded"


@pytest.mark.parametrize(
    ("second", "asked_about", "told"),
    [
        ([], "job-uid", "1 of 2 pods run; the pod cannot be created: no room"),
        ([member(1)], "pod-1-1", "1 of 2 pods run; pod 1: the pod cannot be created: no room"),
    ],
)
async def test_a_warning_explains_why_one_of_many_pods_does_not_run(
    world: World, second: list[dict[str, Any]], asked_about: str, told: str
) -> None:
    world.edit(resources={"nodes": 2})
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    for each in (member(0, state=running()), *second):
        world.api.put(PODS, merged(each, OWNED_POD))
    involved = {"involvedObject": {"kind": "Job" if asked_about == "job-uid" else "Pod", "uid": asked_about}}
    warning = {"reason": "FailedCreate", "message": "no room", "lastTimestamp": "2026-11-20T12:00:10Z"}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **involved, **warning}
    world.api.put(CONFIG_MAPS, {"metadata": {"name": "yelp-ca", **OWNED["metadata"]}, "data": {"ca.crt": "PEM"}})
    await world.see()

    await world.reconcile()

    assert world.status()["message"] == told
    assert world.api.selectors[-1] == {"fieldSelector": "type=Warning"}


@pytest.mark.parametrize(
    ("when", "then"),
    [("2026-11-20T12:01:30Z", "the pod cannot be created: no room"), ("2026-11-20T12:01:29Z", "a new one comes")],
)
async def test_a_warning_explains_why_a_failed_pod_is_not_replaced(world: World, when: str, then: str) -> None:
    world.api.put(JOBS, merged(job(), OWNED))
    world.api.put(PODS, merged(pod(state=terminated(137, until=90)), OWNED_POD))
    warning = {"reason": "FailedCreate", "message": "no room", "lastTimestamp": when}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **ABOUT_THE_JOB, **warning}
    await world.see()

    await world.reconcile()

    assert world.status()["message"] == f"the attempt failed: the trainer was killed (SIGKILL); {then}"


async def test_a_warning_explains_why_no_pod_comes(world: World) -> None:
    world.api.put(JOBS, merged(job(start=-3600), OWNED))
    warning = {"reason": "FailedCreate", "message": "exceeded quota: small", "lastTimestamp": "2026-11-20T12:00:00Z"}
    world.api.objects["events", "w"] = {"metadata": {"name": "w"}, **ABOUT_THE_JOB, **warning}
    await world.see()

    await world.reconcile()

    assert reason_of(world.status()) == "FailedCreate"
    assert "exceeded quota: small" in world.status()["message"]


async def test_a_status_that_the_api_server_refuses_is_written_without_what_the_pod_reported(world: World) -> None:
    """Such as by the CRD of an older release, which does not know what a newer trainer reports."""
    replace_status = world.api.replace_status

    async def refuse_metrics(kind: Any, manifest: dict[str, Any], **options: Any) -> dict[str, Any]:
        if manifest["status"].get("metrics"):
            raise refusal(422, "status.metrics: Too many")
        return await replace_status(kind, manifest, **options)

    word = json.dumps({"exitCode": 0, "metrics": [{"name": "loss", "value": "1"}]})
    world.api.put(JOBS, merged(job(end=("Complete", "", "")), OWNED))
    world.api.put(PODS, merged(pod(state=terminated(0, "Completed", word)), OWNED_POD))
    await world.see()
    world.api.replace_status = refuse_metrics  # type: ignore[method-assign]

    again = [await world.reconcile(), await world.reconcile()]

    assert again[0] == 0
    assert world.status()["phase"] == "Succeeded"
    assert [each["reason"] for each in world.status()["warnings"]] == ["ReportNotUnderstood"]


async def test_a_pod_that_names_another_job_or_another_owner_is_no_attempt(world: World) -> None:
    """It may have our label and our Job's name, and a final report of its own making."""
    word = json.dumps({"exitCode": 0, "metrics": [{"name": "loss", "value": "0"}]})
    ours = OWNED_POD["metadata"]["ownerReferences"][0]
    world.api.put(JOBS, merged(job(), OWNED))
    for number, forged in enumerate([{"uid": "other"}, {"apiVersion": "batch/v9"}, {"kind": "Other"}, {"name": "x"}]):
        owner = {"metadata": {"ownerReferences": [{**ours, **forged}]}}
        raw = merged(merged(pod(number + 1, state=terminated(0, "Completed", word)), OWNED_POD), owner)
        world.api.put(PODS, raw)
        world.finetunejobs.take_report(received({"report": {"sequence": 1, "stage": "Training"}}, number + 1))
    await world.see()

    await world.reconcile()

    assert world.status().keys() & {"attempts", "metrics", "progress"} == set()
    assert world.status()["phase"] == "Pending"


async def test_a_pass_tells_its_trace_which_status_it_wrote(world: World) -> None:
    await world.see()
    this = Pass(START)
    with under_way(this):
        await world.reconcile()
        await world.reconcile()

    (written,) = this.statuses
    assert (written.uid, written.namespace, written.name, written.created) == (UID, "team-a", "yelp", START)
    assert (written.before.phase, written.after.phase) == (None, "Pending")


SQUATTED: dict[str, tuple[Any, dict[str, Any]]] = {
    "Job": (JOBS, {"metadata": {"name": "yelp"}, "spec": {"template": {"spec": {"containers": []}}}}),
    "ConfigMap": (CONFIG_MAPS, {"metadata": {"name": "yelp-run"}, "data": {"run.yaml": "{}"}}),
    "NetworkPolicy": (NETWORK_POLICIES, {"metadata": {"name": "yelp"}, "spec": {"podSelector": {}, "ingress": [{}]}}),
    "Service": (SERVICES, {"metadata": {"name": "ft-yelp"}, "spec": {"selector": {"app": "stranger"}}}),
    "PersistentVolumeClaim": (
        PVCS,
        {
            "metadata": {"name": f"yelp-{UID[:8]}"},
            "spec": {"dataSource": {"kind": "VolumeSnapshot", "name": "planted"}},
        },
    ),
}


async def meet_squatter(world: World, kind: str) -> tuple[Any, str]:
    """A pass for a job under one of whose children's names there is an object with a perfect owner. Return its kind and name."""
    plural, squatted = SQUATTED[kind]
    forged = {"labels": {LABEL_JOB_UID: UID}, "ownerReferences": OWNERS}
    world.api.put(
        FINETUNEJOBS, finetunejob(settled(), resources={"nodes": 1 if "Claim" in kind else 2}, **_output(kind))
    )
    world.api.put(plural, merged(squatted, {"metadata": {"namespace": "team-a", "uid": "squatted", **forged}}))
    await world.see()
    await world.reconcile()
    return plural, squatted["metadata"]["name"]


@pytest.mark.parametrize("kind", ["ConfigMap", "NetworkPolicy", "Service"])
async def test_what_somebody_made_in_our_name_that_holds_nothing_of_anybody_s_gives_way_to_ours(
    world: World, kind: str
) -> None:
    plural, name = await meet_squatter(world, kind)

    live, planted = world.api.objects[plural.plural, name], SQUATTED[kind][1]
    assert live["metadata"]["uid"] != "squatted"
    assert {field: live.get(field) for field in planted if field != "metadata"} != {
        field: value for field, value in planted.items() if field != "metadata"
    }
    assert (JOBS.plural, "yelp") in world.api.objects


@pytest.mark.parametrize("kind", ["Job", "PersistentVolumeClaim"])
async def test_a_job_or_claim_that_somebody_made_in_our_name_is_not_taken_for_ours_and_not_touched(
    world: World, kind: str
) -> None:
    plural, name = await meet_squatter(world, kind)
    squatted = SQUATTED[kind][1]

    status, requests = world.status(), world.api.requests
    assert status["phase"] == "Pending"
    assert reason_of(status) in ("NameConflict", "ConfigChanged")
    assert kind in status["message"]
    assert "delete" in status["message"]
    assert not {f"{verb} {plural.plural}" for verb in ("merge", "apply", "replace", "delete")} & set(requests)
    live = world.api.objects[plural.plural, name]
    assert {name: live.get(name) for name in squatted if name != "metadata"} == {
        name: value for name, value in squatted.items() if name != "metadata"
    }


def _output(kind: str) -> dict[str, Any]:
    return {} if "Claim" in kind else {"output": {"uri": "s3://bucket/yelp"}}
