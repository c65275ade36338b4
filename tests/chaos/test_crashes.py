"""The operator is killed after each of its writes to a job, one after the other: nothing is made twice, lost, or left behind.

The way of Sieve (https://github.com/sieve-project/sieve): a controller's bugs are in what it does between two of its writes.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.chaos.proxy import Asked, Fault

WRITES = 24
"""More than any of these jobs takes."""


class Killer:
    """Kills the operator once for each job of `due`: after that many of its writes, whose answer does not arrive."""

    def __init__(self, scene: Scene, due: dict[str, int]) -> None:
        self._scene = scene
        self.due = dict(due)
        self.writes: Counter[str] = Counter()
        self._killed = threading.Event()

    def plan(self, asked: Asked) -> Fault | None:
        """See Proxy. A write belongs to the job whose name is in it."""
        if self._killed.is_set():
            return Fault()
        name = next((each for each in asked.names if each.startswith("crash-")), "")
        if not asked.writes or not name:
            return None
        self.writes[name] += 1
        if self.writes[name] != self.due.get(name):
            return None
        del self.due[name]
        self._killed.set()
        return Fault(forwarded=True, note=self._scene.operator.kill)

    def run(self, *names: str) -> None:
        """Start the operator again whenever it was killed, until all these jobs have ended."""
        self.run_until(lambda: self._scene.have_ended(*names))

    def run_until(self, is_over: Callable[[], bool]) -> None:
        """The same until something else."""
        while not is_over():
            if self._killed.wait(0.2):
                self._scene.operator.wait()
                self._killed.clear()
                self._scene.operator.start_anyway()  # it may be killed again before it says that it is ready


@pytest.mark.parametrize("spec", [{}, {"runPolicy": {"preflight": "pod"}}], ids=["plain", "preflight"])
@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.chaos), pytest.param(5, marks=pytest.mark.slow)], ids=["each", "some"]
)
def test_an_operator_that_is_killed_after_a_write_goes_on_from_there(
    stage: Scene, every: int, spec: dict[str, object]
) -> None:
    due = {f"crash-{number:02}-resumes": number for number in range(1, WRITES + 1, every)}
    killer = Killer(stage, due)
    stage.proxy.plan = killer.plan
    stage.space.apply(*(chaos_job(name, **spec) for name in due))

    killer.run(*due)

    survived = {due[name] for name in killer.due}
    assert all(killer.writes[name] < killer.due[name] for name in killer.due), "not every write was followed by a kill"
    assert survived != set(due.values())
    assert {name: stage.space.status(name)["phase"] for name in due} == dict.fromkeys(due, "Succeeded")
    assert stage.history.violations() == []
    assert {name: stage.attempts(name) for name in due} == {key: [(1, 1, 0), (2, 0, 20)] for key in due}
    assert stage.deleted(*due) == []


def is_without_output(job: dict[str, Any]) -> bool:
    """Whether the status says that there is none any more."""
    return "output" not in job.get("status", {}).get("run", {"output": ""})


@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.chaos), pytest.param(5, marks=pytest.mark.slow)], ids=["each", "some"]
)
def test_one_that_is_killed_while_a_job_fails_with_nothing_saved_keeps_its_claim_until_the_end_is_written(
    stage: Scene, every: int
) -> None:
    due = {f"crash-{number:02}-empty": number for number in range(1, WRITES + 1, every)}
    killer = Killer(stage, due)
    stage.proxy.plan = killer.plan
    stage.space.apply(*map(chaos_job, due))

    killer.run_until(lambda: all("output" not in stage.space.status(name).get("run", {"output": ""}) for name in due))
    versions = [each for found in stage.history.versions.values() for each in found]
    # A real API server keeps a claim until the last pod has gone that names it, ended ones included.
    left = [raw for raw in stage.space.list("pvc") if "deletionTimestamp" not in raw["metadata"]]

    assert killer.due.keys() != due.keys()
    assert {name: stage.space.status(name)["failure"]["reason"] for name in due} == dict.fromkeys(due, "ColumnNotFound")
    assert left == []
    assert [
        each["status"] for each in versions if is_without_output(each) and each["status"]["phase"] != "Failed"
    ] == []
    assert stage.history.violations() == []
    assert stage.deleted(*due) == []
