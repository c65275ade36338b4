"""Whose pod a pod is follows from all four parts of each owner reference, and is known without a question to the API."""

from typing import Any

import pytest
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import OWNERS, UID, job, member, merged, pod

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.names import job_name, preflight_job_name
from finetune_operator.kube.client import JOBS, PODS, Kind
from finetune_operator.kube.informer import Informer
from finetune_operator.reports.pod_owner import NotSeenYet, PodOwners
from finetune_operator.reports.token_review import Caller

KEY = Key("team-a", "yelp")
FINETUNEJOB = OWNERS[0]
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "yelp", "uid": "job-uid", "controller": True}
CALLER = Caller("team-a", "yelp-1", "pod-1")


class World:
    """What the caches hold, up to when each of them is known to be current, and a clock."""

    keeps: bool | None = True
    made_by_the_operator = True

    def __init__(self, *objects: tuple[Kind, dict[str, Any]], finetunejobs: dict[str, Key] | None = None) -> None:
        self.api = FakeApi()
        self.finetunejobs = {UID: KEY} if finetunejobs is None else finetunejobs
        self.time = 1000.0
        self.jobs, self.pods = self._cache(JOBS), self._cache(PODS)
        self.current = {"finetunejobs": 0.0, "jobs": 0.0, "pods": 0.0}
        for kind, raw in objects:
            self.see(kind, raw)
        self.owners = PodOwners(
            self.jobs,
            self.pods,
            self.finetunejobs.get,
            lambda _: self.current["finetunejobs"],
            lambda key, _: key == KEY and self.made_by_the_operator,
            lambda: self.time,
        )

    def _cache(self, kind: Kind) -> Informer:
        made = Informer(
            self.api, kind, label=LABEL_JOB_UID, on_change=lambda _: None, resync_seconds=60, keep=lambda _: self.keeps
        )
        made.current = lambda _: self.current[kind.plural]  # type: ignore[method-assign]
        return made

    def see(self, kind: Kind, raw: dict[str, Any]) -> None:
        informer = self.jobs if kind is JOBS else self.pods
        informer.take({"type": "ADDED", "object": merged(raw, {"metadata": {"resourceVersion": "1"}})})

    def catch_up(self, *but: str) -> None:
        """All caches but these are as new as can be."""
        self.current.update((name, self.time) for name in self.current.keys() - set(but))

    def ask(self, caller: Caller = CALLER) -> Key | str | None:
        try:
            return self.owners.find(caller)
        except NotSeenYet:
            return "not yet"


def owned(raw: dict[str, Any], *owners: dict[str, Any], label: str = UID) -> dict[str, Any]:
    return merged(raw, {"metadata": {"ownerReferences": list(owners), "labels": {LABEL_JOB_UID: label}}})


def test_a_pod_belongs_to_the_finetunejob_that_owns_its_job() -> None:
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)))

    assert (world.ask(), world.api.requests) == (KEY, [])


def test_a_pod_that_was_known_and_is_gone_is_refused_at_once_and_one_that_is_not_known_yet_is_not() -> None:
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)))
    before = world.ask()

    world.pods.take({"type": "DELETED", "object": merged(owned(pod(), JOB), {"metadata": {"resourceVersion": "2"}})})

    assert (before, world.ask()) == (KEY, None)
    assert world.ask(Caller("team-a", "yelp-1", "uid-of-its-successor")) == "not yet"


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_kubernetes_has_given_up_reports_for_nobody_though_its_container_lives_on(phase: str) -> None:
    over = merged(owned(pod(), JOB), {"status": {"phase": phase}})
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, over))

    assert world.ask() is None


def test_a_pod_of_the_preflight_belongs_to_its_finetunejob() -> None:
    name = preflight_job_name("yelp")
    check = merged(owned(job(), FINETUNEJOB), {"metadata": {"name": name}})
    world = World((JOBS, check), (PODS, owned(pod(), {**JOB, "name": name})))

    assert world.ask() == KEY


@pytest.mark.parametrize(("run", "found"), [("2", KEY), ("3", None)])
def test_a_pod_of_a_later_run_belongs_to_its_finetunejob_by_the_run_of_its_job(run: str, found: Key | None) -> None:
    name, labels = job_name("yelp", 2), {"labels": {"finetune.dev/run": run}}
    second = merged(owned(job(), FINETUNEJOB), {"metadata": {"name": name, **labels}})
    world = World((JOBS, second), (PODS, owned(pod(), {**JOB, "name": name})))

    assert world.ask() == found


@pytest.mark.parametrize(
    ("pod_owners", "job_owners"),
    [
        ([], [FINETUNEJOB]),
        ([{**JOB, "uid": "another"}], [FINETUNEJOB]),
        ([{**JOB, "controller": False}], [FINETUNEJOB]),
        ([{**JOB, "kind": "ReplicaSet"}], [FINETUNEJOB]),
        ([{**JOB, "apiVersion": "batch.example.com/v1"}], [FINETUNEJOB]),
        ([{**JOB, "apiVersion": "batch/v9"}], [FINETUNEJOB]),
        ([JOB], []),
        ([JOB], [{**FINETUNEJOB, "kind": "CronJob"}]),
        ([JOB], [{**FINETUNEJOB, "apiVersion": "other.dev/v1"}]),
        ([JOB], [{**FINETUNEJOB, "apiVersion": "finetune.dev/v9"}]),
        ([JOB], [{**FINETUNEJOB, "uid": "of-an-earlier-yelp"}]),
        ([JOB], [{**FINETUNEJOB, "name": "another"}]),
    ],
)
def test_a_pod_with_our_label_and_another_origin_is_nobodys(
    pod_owners: list[dict[str, Any]], job_owners: list[dict[str, Any]]
) -> None:
    world = World((JOBS, owned(job(), *job_owners)), (PODS, owned(pod(), *pod_owners)))

    assert (world.ask(), world.api.requests) == (None, [])


def test_a_job_that_the_operator_never_makes_speaks_for_nobody() -> None:
    forged = merged(owned(job(), FINETUNEJOB), {"metadata": {"name": "mine"}})
    world = World((JOBS, forged), (PODS, owned(pod(), {**JOB, "name": "mine"})))

    assert world.ask() is None


def test_a_job_of_a_perfect_name_label_and_owner_that_the_operator_did_not_make_speaks_for_nobody() -> None:
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)))

    world.made_by_the_operator = False

    assert world.ask() is None


def test_a_pod_speaks_for_no_job_of_another_namespace() -> None:
    world = World(
        (JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)), finetunejobs={UID: Key("team-b", "yelp")}
    )

    assert world.ask() is None


@pytest.mark.parametrize(("index", "found"), [(0, KEY), (1, None)])
def test_of_many_pods_only_the_first_speaks(index: int, found: Key | None) -> None:
    sender = owned(member(index), JOB)
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, sender))
    metadata = sender["metadata"]

    assert world.ask(Caller("team-a", metadata["name"], metadata["uid"])) == found


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param([(JOBS, owned(job(), FINETUNEJOB))], id="pod"),
        pytest.param([(PODS, owned(pod(), JOB))], id="job"),
        pytest.param(
            [(JOBS, owned(job(), FINETUNEJOB)), (PODS, merged(owned(pod(), JOB), {"metadata": {"uid": "pod-0"}}))],
            id="an earlier pod of that name",
        ),
    ],
)
def test_what_the_caches_do_not_hold_is_refused_once_all_of_them_are_known_to_be_newer_than_the_question(
    missing: list[tuple[Kind, dict[str, Any]]],
) -> None:
    world = World(*missing)
    answers = []

    for world.time, late in ((1000.0, []), (1004.0, []), (1300.0, ["pods"]), (1300.0, ["finetunejobs"]), (1300.0, [])):
        world.catch_up(*late)
        answers.append(world.ask())
        world.current = dict.fromkeys(world.current, 0.0)

    assert (answers, world.api.requests) == (["not yet"] * 4 + [None], [])


def test_a_pod_whose_finetunejob_is_not_seen_yet_is_kept_waiting_however_long_the_watch_of_finetunejobs_is_cut() -> (
    None
):
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)))
    before = world.ask()

    world.finetunejobs = {}
    world.owners._key_of_uid = world.finetunejobs.get
    answers = []
    for world.time in (1000.0, 1060.0, 4000.0):
        world.catch_up("finetunejobs")
        answers.append(world.ask())

    assert (before, answers) == (KEY, ["not yet"] * 3)


def test_a_known_pod_that_is_let_go_because_its_finetunejob_is_not_there_is_kept_waiting_too() -> None:
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)))
    before = world.ask()

    world.keeps = None
    world.pods.take({"type": "MODIFIED", "object": merged(owned(pod(), JOB), {"metadata": {"resourceVersion": "2"}})})

    assert (before, world.ask()) == (KEY, "not yet")


def test_a_pod_that_is_seen_late_is_taken_whatever_it_was_told_before() -> None:
    world = World((JOBS, owned(job(), FINETUNEJOB)))
    world.ask()
    world.time += 3000
    world.catch_up()
    refused = world.ask()

    world.see(PODS, owned(pod(), JOB))

    assert (refused, world.ask()) == (None, KEY)


@pytest.mark.thorough
def test_any_number_of_strangers_is_remembered_in_bounded_memory_and_asks_nothing_of_the_api() -> None:
    world = World((JOBS, owned(job(), FINETUNEJOB)), (PODS, owned(pod(), JOB)))

    for number in range(20_000):
        world.ask(Caller("team-b", "stranger", f"uid-{number}"))

    assert len(world.owners._first_asked) == 10_000
    assert (world.ask(), world.api.requests) == (KEY, [])
