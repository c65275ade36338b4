"""An error that nobody has thought of, in any of the operator's tasks, ends neither the operator nor another task."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from tests.unit.finetune_operator.fake_api import FakeApi
from tests.unit.finetune_operator.samples import OWNERS, finetunejob, job, merged

from finetune_api.well_known import LABEL_JOB_UID
from finetune_operator import app
from finetune_operator.app import Operator
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.kopf_watch import KopfWatch
from finetune_operator.controller.listing import Listing
from finetune_operator.controller.monthly_use import MonthlyUse
from finetune_operator.controller.notices import Notices
from finetune_operator.controller.profiles import Profiles
from finetune_operator.controller.reconciler import Reconciler
from finetune_operator.controller.watches import Watches
from finetune_operator.job.finetunejob import Key
from finetune_operator.kube.client import FINETUNEJOBS
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.lease import Lease
from finetune_operator.kube.siblings import Siblings
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.metrics.instruments import REGISTRY
from finetune_operator.reports.certificates import Certificates
from finetune_operator.reports.endpoint import Endpoint
from finetune_operator.settings import Settings

TASKS: list[tuple[type, str, str]] = [
    (Informer, "_run", "watch of jobs"),
    (Informer, "_keep_comparing", "comparison of jobs"),
    (Listing, "keep", "comparison of finetunejobs"),
    (KopfWatch, "run", "watch of finetunejobs"),
    (Lease, "run", "leadership"),
    (Siblings, "agree", "leadership"),
    (MonthlyUse, "read", "leadership"),
    (MonthlyUse, "keep", "monthly use"),
    (WorkQueue, "work", "work"),
    (WorkQueue, "_worker", "work"),
    (Notices, "work", "notices"),
    (Profiles, "keep_default", "default profile"),
    (Certificates, "keep_fresh", "certificates"),
    (Endpoint, "keep", "endpoint"),
]
"""What runs for ever, or at the begin of what does, and the task that it is a part of."""

_PATIENCE_SECONDS = 60
"""Where it does not begin again."""

Async = Callable[..., Coroutine[Any, Any, Any]]


async def for_ever(*_: Any, **__: Any) -> None:
    await asyncio.Event().wait()


async def at_once(*_: Any, **__: Any) -> None:
    pass


async def lead(_: Lease, work: Async) -> None:
    await work()


async def listen(**_: Any) -> SimpleNamespace:
    return SimpleNamespace(port=1, close=at_once)


def to_nowhere() -> ApiClient:
    return ApiClient(Configuration(host="http://127.0.0.1:1"))  # type: ignore[no-untyped-call]


async def ends_before(event: asyncio.Event) -> bool:
    """Run an operator until something has happened. Return whether it ended before."""
    settings = Settings(
        health_host="127.0.0.1", health_port=0, metrics_host="127.0.0.1", metrics_port=0, service="reports"
    )
    client = to_nowhere()
    operator, waiting = asyncio.create_task(Operator(settings, client).run()), asyncio.create_task(event.wait())
    await asyncio.wait([operator, waiting], return_when=asyncio.FIRST_COMPLETED, timeout=_PATIENCE_SECONDS)
    ended = operator.done()
    operator.cancel()
    waiting.cancel()
    await asyncio.wait([operator, waiting])
    await client.close()  # type: ignore[no-untyped-call]
    return ended


def counted(task: str) -> float:
    return REGISTRY.get_sample_value("finetune_unexpected_errors_total", {"task": task}) or 0.0


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that leads at once, asks nobody, and has nothing to do."""
    for owner, name, _ in TASKS:
        quick = (owner, name) in ((Siblings, "agree"), (MonthlyUse, "read"))
        if (owner, name) not in ((Lease, "run"), (WorkQueue, "work")):
            monkeypatch.setattr(owner, name, at_once if quick else for_ever)
    monkeypatch.setattr(Lease, "run", lead)
    monkeypatch.setattr(Listing, "read", at_once)
    monkeypatch.setattr(Certificates, "refresh", at_once)
    monkeypatch.setattr(Watches, "synced", at_once)
    monkeypatch.setattr(app, "serve_reports", listen)
    monkeypatch.setattr(app, "_let_collector_rest", lambda: None)


@pytest.mark.usefixtures("_alone")
async def test_one_that_cannot_begin_to_lead_leaves_no_port_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    open_ports, again = 0, asyncio.Event()

    async def listens(**_: Any) -> SimpleNamespace:
        nonlocal open_ports
        assert open_ports == 0, "the port is taken"
        open_ports += 1
        return SimpleNamespace(port=1, close=closes)

    async def closes() -> None:
        nonlocal open_ports
        open_ports -= 1

    def begins(_: FineTuneJobs) -> None:
        if not again.is_set():
            again.set()
            raise KeyError("nobody thought of this")
        led.set()

    led = asyncio.Event()
    monkeypatch.setattr(app, "serve_reports", listens)
    monkeypatch.setattr(FineTuneJobs, "begin_anew", begins)

    ended = await ends_before(led)

    assert (ended, led.is_set(), open_ports) == (False, True, 0)


async def test_no_two_passes_begin_in_the_same_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, times = 0, list[int]()

    def count() -> None:
        nonlocal turn
        turn += 1
        if not all_done.is_set():
            asyncio.get_running_loop().call_soon(count)

    async def note(*_: Any) -> None:
        times.append(turn)
        if len(times) == 12:
            all_done.set()

    monkeypatch.setattr(Reconciler, "reconcile", note)
    operator, all_done = Operator(Settings(), to_nowhere()), asyncio.Event()
    for number in range(12):
        operator._queue.add(Key("team-a", f"job-{number}"))
    count()

    work = asyncio.create_task(operator._queue.work(6))
    await all_done.wait()
    work.cancel()

    assert len(set(times)) == 12


def job_of(number: int, phase: str | None) -> dict[str, Any]:
    """A FineTuneJob that was looked at, if it is in a phase."""
    status = None if phase is None else {"phase": phase, "observedGeneration": 1, "profile": {"name": "default"}}
    return merged(finetunejob(status, name=f"job-{number}"), {"metadata": {"uid": f"uid-{number}"}})


def depths(operator: Operator) -> dict[str, int]:
    return {name: depth for name, (depth, _) in operator._queue.waiting().items()}


async def test_an_operator_that_takes_over_looks_at_what_is_new_before_the_hundreds_that_have_their_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handled, all_done = list[str](), asyncio.Event()

    async def note(_: Reconciler, key: Key) -> None:
        handled.append(key.name)
        if len(handled) == 301:
            all_done.set()

    monkeypatch.setattr(Reconciler, "reconcile", note)
    operator = Operator(Settings(), to_nowhere())
    for number in range(300):
        operator._finetunejobs.seen(job_of(number, "Running"))
        owner = {**OWNERS[0], "name": f"job-{number}", "uid": f"uid-{number}"}
        owned = {"labels": {LABEL_JOB_UID: f"uid-{number}"}, "ownerReferences": [owner]}
        of_it = {"uid": f"of-{number}", "resourceVersion": "8", **owned}
        operator._watches.jobs.take({"type": "ADDED", "object": merged(job(name=f"job-{number}"), {"metadata": of_it})})
    operator._finetunejobs.seen(job_of(300, None))
    before = depths(operator)

    operator._begin_anew()
    after = depths(operator)
    work = asyncio.create_task(operator._queue.work(1))
    await all_done.wait()
    work.cancel()

    assert (before, after) == ({"changes": 301, "later": 0}, {"changes": 1, "later": 300})
    assert handled[0] == "job-300"


async def test_jobs_of_a_list_that_have_ended_can_wait_and_still_can_when_what_pods_trust_has_changed() -> None:
    operator, api = Operator(Settings(), to_nowhere()), FakeApi()
    for number in range(10):
        api.put(FINETUNEJOBS, job_of(number, "Succeeded" if number else None))

    await operator._finetunejobs.list(api, None)
    listed = depths(operator)
    operator._add_all()

    assert listed == depths(operator) == {"changes": 1, "later": 9}


@pytest.mark.parametrize(("owner", "name", "task"), TASKS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize(
    "error", [KeyError("nobody thought of this"), asyncio.CancelledError()], ids=["error", "cancelled"]
)
@pytest.mark.usefixtures("_alone")
async def test_it_begins_again_and_the_others_go_on(
    owner: type, name: str, task: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, again, before = 0, asyncio.Event(), counted(task)
    goes_on = getattr(owner, name)

    async def meets_it_once(*arguments: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        again.set()
        await goes_on(*arguments, **named)

    monkeypatch.setattr(owner, name, meets_it_once)

    ended = await ends_before(again)

    assert (ended, again.is_set()) == (False, True)
    assert counted(task) == before + 1
