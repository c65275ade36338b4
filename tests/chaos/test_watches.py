"""Watches that break, lag, lie or fall silent: the caches heal, and what was deleted meanwhile is not made again."""

import time
from http import HTTPStatus

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.chaos.proxy import Asked, Fault
from tests.integration.release import Release


@pytest.mark.slow
def test_connections_that_break_all_the_time_lose_nothing(stage: Scene) -> None:
    names = [f"cut-{number}-resumes" for number in range(4)]
    stage.space.apply(*map(chaos_job, names))

    while not stage.have_ended(*names):
        stage.proxy.cut()
        time.sleep(0.5)

    assert [stage.space.status(name)["phase"] for name in names] == ["Succeeded"] * 4
    assert stage.history.violations() == []


@pytest.mark.slow
def test_news_that_come_late_are_taken_for_what_they_are(stage: Scene) -> None:
    names = [f"late-{number}-resumes" for number in range(4)]
    stage.proxy.lag = 1.5
    stage.proxy.cut()
    stage.space.apply(*map(chaos_job, names))

    phases = stage.end_of(*names)

    assert phases == ["Succeeded"] * 4
    assert stage.history.violations() == []


@pytest.mark.slow
def test_what_is_deleted_while_a_watch_is_too_old_is_forgotten_and_its_successor_is_another_job(stage: Scene) -> None:
    stage.space.apply(chaos_job("gap"), chaos_job("gap-again"))
    stage.end_of("gap", "gap-again")
    first = stage.space.get("ftj", "gap-again")["metadata"]["uid"]

    stage.proxy.plan = lambda asked: Fault(HTTPStatus.GONE) if asked.verb == "watch" else None
    stage.proxy.cut()
    stage.space.kubectl("delete", "ftj", "gap", "gap-again", "--wait=true")
    stage.space.apply(chaos_job("gap-again"))
    time.sleep(1)
    stage.proxy.plan = lambda _: None
    phases = stage.end_of("gap-again")
    second = stage.space.get("ftj", "gap-again")["metadata"]["uid"]

    assert (phases, first == second) == (["Succeeded"], False)
    assert stage.history.violations() == []
    assert stage.kubelet.uids[second] & stage.kubelet.uids[first] == set()
    assert stage.space.list("job", "finetune.dev/job-name=gap") == []


@pytest.mark.chaos
def test_watches_that_fall_silent_are_replaced(stage: Scene) -> None:
    def silent(asked: Asked) -> Fault | None:
        return Fault(silent=True) if asked.verb == "watch" else None

    stage.proxy.plan = silent
    stage.proxy.cut()
    time.sleep(2)
    stage.proxy.plan = lambda _: None
    stage.space.apply(chaos_job("silent-resumes"))

    phases = stage.end_of("silent-resumes")

    assert phases == ["Succeeded"]
    assert stage.history.violations() == []


@pytest.mark.slow
def test_a_leader_whose_watch_of_jobs_came_last_of_all_disowns_no_pod(stage: Scene, release: Release) -> None:
    names = [f"behind-{number}" for number in range(3)]
    stage.kubelet.seconds_a_step = 0.5
    with stage.second_operator(release) as second:
        stage.operator.end()
        stage.proxy.lagging, stage.proxy.lag = frozenset({"finetunejobs"}), 2.0
        stage.operator.start()
        stage.space.apply(*map(chaos_job, names))
        for name in names:
            stage.until(name, lambda status: status.get("progress", {}).get("step", 0) > 0, "numbers")

        second.kill()
        second.wait()
        stage.proxy.lag = 0.0
        now = [stage.space.status(name)["progress"]["step"] for name in names]
        for name, step in zip(names, now, strict=True):
            stage.until(name, lambda status, step=step: status["progress"]["step"] > step, "newer numbers")  # type: ignore[misc]
        stage.kubelet.seconds_a_step = 0.02
        phases = stage.end_of(*names)

    assert phases == ["Succeeded"] * 3
    assert (stage.kubelet.disowned, [len(pods) for pods in stage.kubelet.uids.values()]) == ([], [1] * 3)
    assert stage.history.violations() == []
