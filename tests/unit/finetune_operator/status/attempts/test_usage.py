"""What a job has used, over its whole life."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import (
    at,
    finetunejob,
    job,
    member,
    observation,
    parsed,
    pod,
    received,
    running,
    settled,
    stamp,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import compute

from finetune_api.profile import OPEN, Price
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.observation import Observation
from finetune_operator.status.change import compare
from finetune_operator.status.compute import compute as computed

URI = "pvc://yelp-0f9be1d4/checkpoints/step-000005"


def report(step: int, saved_at: float | None = None) -> dict[str, Any]:
    checkpoints = [{"step": 5, "uri": URI, "time": stamp(saved_at)}] if saved_at else []
    return {"report": {"sequence": step, "stage": "Training", "progress": {"step": step}, "checkpoints": checkpoints}}


class Life:
    """The statuses of a job, one after the other."""

    def __init__(self, profile: Any = OPEN, **spec: Any) -> None:
        self._spec = spec
        self.status: dict[str, Any] = settled(profile)

    def pass_(self, seconds: float, observed: Observation) -> dict[str, Any]:
        self.status = compute(parse_finetunejob(finetunejob(self.status, **self._spec)), observed, seconds)
        usage: dict[str, Any] = self.status["usage"]
        return usage


def gpu_seconds(usage: dict[str, Any]) -> tuple[int, int, int]:
    total, useful, lost = (usage["gpuSeconds"][name] for name in ("total", "useful", "lost"))
    return total, useful, lost


def test_a_whole_life_is_counted_by_the_times_of_its_pods() -> None:
    life = Life(resources={"gpus": 4})
    first, second = pod(1, state=running(100)), pod(2, state=running(1100))
    failed = pod(1, state=terminated(1, since=100, until=1000))

    life.pass_(5, observation(job(suspend=True, start=None)))
    life.pass_(60, observation(job(start=60)))
    life.pass_(102, observation(job(start=60), first))
    began = life.pass_(160, observation(job(start=60), first, report=received(report(1), 1, 160)))
    life.pass_(700, observation(job(start=60), first, report=received(report(6, saved_at=600), 1, 700)))
    broke = life.pass_(1001, observation(job(start=60), failed))
    life.pass_(1102, observation(job(start=60), failed, second))
    life.pass_(1160, observation(job(start=60), failed, second, report=received(report(6, 600), 2, 1160)))
    done = pod(2, state=terminated(0, since=1100, until=2100))
    ended = life.pass_(2102, observation(job(start=60, end=("Complete", "", "")), failed, done))

    # 55 s from the start to the training, less the last five of a pod that runs; then 840 s, 400 s of them after the checkpoint.
    assert gpu_seconds(began) == (4 * 55, 0, 4 * 55)
    assert gpu_seconds(broke) == (4 * 900, 4 * (845 - 400), 4 * (55 + 400))
    assert gpu_seconds(ended) == (4 * 1900, 4 * (445 + 945), 4 * (455 + 55))
    assert {name: ended[name] for name in ("podSeconds", "queuedSeconds", "startupSeconds", "until")} == {
        "podSeconds": 1900,
        "queuedSeconds": 102 + (1102 - 1001),
        "startupSeconds": 58 + 58,
        "until": stamp(2102),
    }
    assert [each["podSeconds"] for each in life.status["attempts"]] == [900, 1000]


def test_pods_of_several_machines_count_each_for_itself() -> None:
    life = Life(resources={"gpus": 2, "nodes": 2})
    up = [member(0, state=running(10)), member(1, state=running(30))]
    down = [member(0, state=terminated(0, since=10, until=500)), member(1, state=terminated(0, since=30, until=502))]

    life.pass_(60, observation(job(), *up, report=received(report(1), sender=up[0])))
    usage = life.pass_(505, observation(job(end=("Complete", "", "")), *down))

    assert (usage["podSeconds"], usage["gpuSeconds"]["total"]) == (490 + 472, 2 * (490 + 472))


def test_an_outage_of_the_operator_costs_nothing_of_what_is_still_there() -> None:
    life = Life()
    life.pass_(20, observation(job(), pod(1, state=running(12))))
    life.pass_(60, observation(job(), pod(1, state=running(12)), report=received(report(1))))
    pods = [pod(1, state=terminated(1, since=12, until=400)), pod(2, state=terminated(0, since=420, until=900))]

    usage = life.pass_(5000, observation(job(end=("Complete", "", "")), *pods))

    assert usage["podSeconds"] == 388 + 480


def test_what_was_counted_stays_when_pods_are_gone_and_time_suspended_is_no_use() -> None:
    life = Life(suspend=True)
    up = pod(1, state=running(12))
    life.pass_(20, observation(job(), up))
    life.pass_(60, observation(job(), up, report=received(report(1))))
    saved = life.pass_(99, observation(job(suspend=True), pod(1, state=terminated(143, until=95))))
    gone = life.pass_(100, observation(job(suspend=True, start=None)))
    later = life.pass_(9000, observation(job(suspend=True, start=None), blocked=None, unread="x"))

    assert [usage["podSeconds"] for usage in (saved, gone, later)] == [83, 83, 83]
    assert [usage["queuedSeconds"] for usage in (saved, gone, later)] == [20, 20, 20]


def test_what_pods_use_until_they_end_counts_once_also_after_the_end_of_their_job() -> None:
    life = Life(runPolicy={"progressDeadlineSeconds": 100, "backoffLimit": 0}, resources={"gpus": 2})
    up, down = pod(1, state=running(12)), pod(1, state=terminated(143, since=12, until=280))
    stock = {"trainerStatus": {"progressPercentage": 42}}
    life.pass_(20, observation(job(), up))
    life.pass_(60, observation(job(), up, report=received(stock, seconds=50)))
    life.pass_(110, observation(job(), up, report=received(stock, seconds=50)))
    given_up = life.pass_(170, observation(job(), up, report=received(stock, seconds=50)))
    ended = life.status

    meanwhile = life.pass_(200, observation(None, up))
    late = life.pass_(282, observation(None, down))
    again = life.pass_(300, observation(None, down))
    gone = life.pass_(320, observation(None))

    assert ended["phase"] == "Failed"
    assert (given_up["podSeconds"], gpu_seconds(given_up)) == (153, (306, 0, 306))
    assert meanwhile == given_up
    assert (late["podSeconds"], gpu_seconds(late), late["until"]) == (268, (536, 0, 536), stamp(282))
    assert again == gone == late
    attempts = [{**ended["attempts"][0], "podSeconds": 268}]
    assert {**life.status, "usage": None} == {**ended, "attempts": attempts, "usage": None}


def test_an_end_that_lies_a_moment_ahead_is_looked_at_again_until_it_counts() -> None:
    life = Life(runPolicy={"progressDeadlineSeconds": 100, "backoffLimit": 0}, resources={"gpus": 2})
    up, down = pod(1, state=running(12)), pod(1, state=terminated(143, since=-60, until=173))
    stock = {"trainerStatus": {"progressPercentage": 42}}
    life.pass_(20, observation(job(), up))
    life.pass_(60, observation(job(), up, report=received(stock, seconds=50)))
    given_up = life.pass_(170, observation(job(), up, report=received(stock, seconds=50)))

    def again(seconds: float) -> float | None:
        job_now = parse_finetunejob(finetunejob(life.status, runPolicy={"backoffLimit": 0}, resources={"gpus": 2}))
        return computed(job_now, observation(None, down), at(seconds)).again

    ahead = life.pass_(172, observation(None, down)), again(172), again(173), again(200)
    counted = life.pass_(250, observation(None, down)), again(250)

    assert ahead == (given_up, 2.0, 3.0, 30.0)
    assert (counted[0]["podSeconds"] > given_up["podSeconds"], counted[1]) == (True, None)


@pytest.mark.parametrize("until", [4000, 200_000_000_000])
def test_a_pod_that_ran_for_longer_than_it_was_there_by_its_node_s_clock_does_not_use_more_and_more_after_the_end(
    until: float,
) -> None:
    life = Life(runPolicy={"progressDeadlineSeconds": 100, "backoffLimit": 0}, resources={"gpus": 2})
    up, down = pod(1, state=running(12)), pod(1, state=terminated(143, since=12, until=until))
    stock = {"trainerStatus": {"progressPercentage": 42}}
    life.pass_(20, observation(job(), up))
    life.pass_(60, observation(job(), up, report=received(stock, seconds=50)))
    given_up = life.pass_(170, observation(job(), up, report=received(stock, seconds=50)))

    later = [life.pass_(seconds, observation(None, down)) for seconds in (282, 283, 900)]

    assert life.status["phase"] == "Failed"
    assert later == [given_up, given_up, given_up]


def test_attempts_that_the_status_has_dropped_still_count() -> None:
    life = Life(runPolicy={"backoffLimit": 50})
    pods = []
    usage: dict[str, Any] = {}
    for number in range(1, 16):
        pods.append(pod(number, state=terminated(1, since=10 * number + 1, until=10 * number + 8)))
        usage = life.pass_(10 * number + 9, observation(job(), *pods))

    assert (len(life.status["attempts"]), usage["podSeconds"]) == (10, 15 * 7)


def test_a_preflight_has_pods_and_no_gpus() -> None:
    life = Life(runPolicy={"preflight": "pod"})

    usage = life.pass_(200, Observation(preflight=observation(job(), pod(state=terminated(0)))))

    assert (usage["preflightSeconds"], usage["podSeconds"], gpu_seconds(usage)) == (78, 0, (0, 0, 0))


def test_a_new_month_begins_at_nothing() -> None:
    given = parsed(compute(parsed(), observation(job(), pod(state=running()), report=received(report(1))), 60))
    up = observation(job(), pod(state=running()), report=received(report(2), seconds=70))
    midnight = datetime(2026, 12, 1, 0, 0, 30, tzinfo=UTC)
    assert given.status.usage is not None

    after = computed(given, up, midnight).status.usage

    assert given.status.usage.month is not None
    assert after is not None
    assert after.month is not None
    assert (given.status.usage.month.gpu_seconds, after.month.month, after.month.gpu_seconds) == (43, "2026-12", 30)


@pytest.mark.parametrize(("seconds", "written"), [(350, False), (361, True)])
def test_usage_alone_is_written_seldom(seconds: float, written: bool) -> None:
    observed = observation(job(), pod(state=running()), report=received(report(1)))
    given = parsed(compute(parsed(), observed, 60))

    change = compare(given.status, computed(given, observed, at(seconds)).status)

    assert (change.any, change.urgent, change.only_clock) == (written, False, written)


def test_a_price_gives_the_cost() -> None:
    life = Life(OPEN.model_copy(update={"price": Price(gpu_hour="2.50", currency="EUR")}), resources={"gpus": 8})

    life.pass_(20, observation(job(), pod(state=running())))
    usage = life.pass_(3700, observation(job(end=("Complete", "", "")), pod(state=terminated(0, until=3612))))

    assert usage["cost"] == {"amount": "20.00", "currency": "EUR"}


@pytest.mark.parametrize(
    ("since", "until", "counted"),
    [(12, 90, 78), (-600, -522, 78), (700, 778, 78), (-3600, 90, 90)],
    ids=["clocks agree", "the node's is behind", "ahead", "one that was put right meanwhile"],
)
def test_a_pod_is_counted_by_how_long_its_node_says_and_for_no_longer_than_it_was_there(
    since: float, until: float, counted: int
) -> None:
    """It came at second 10, and it is second 100."""
    ended = pod(1, state=terminated(0, since=since, until=until))

    usage = Life().pass_(100, observation(job(start=1, end=("Complete", "", "")), ended))

    assert usage["podSeconds"] == counted
