"""Whatever is done to a job, its children and its operator, in whatever order: it ends, or goes on when it may, and once.

The way of Acto (https://github.com/xlab-uiuc/acto): transitions of the desired state that nobody thought of.
"""

import itertools
import time
from typing import Any, ClassVar, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from tests.chaos.fixtures import Scene, chaos_job
from tests.chaos.history import CHILDREN, LABEL

from devcluster.testing.api import MERGE

_REMADE: Final = sorted(CHILDREN.keys() - {"persistentvolumeclaims", "jobs"})
"""What holds nothing and is made again: a Job or a claim that somebody deletes is gone with what ran or lay in it."""
_NUMBERS = itertools.count()


class Edits(RuleBasedStateMachine):
    """A job, and what can happen to it."""

    scene: ClassVar[Scene]

    def __init__(self) -> None:
        super().__init__()
        self.name = f"edited-{next(_NUMBERS)}-resumes"

    @initialize(suspended=st.booleans(), preflight=st.booleans())
    def create(self, suspended: bool, preflight: bool) -> None:
        policy = {"runPolicy": {"preflight": "pod"}} if preflight else {}
        self.scene.space.apply(chaos_job(self.name, suspend=suspended, **policy))
        self.uid = self.scene.space.get("ftj", self.name)["metadata"]["uid"]

    @rule(suspended=st.booleans())
    def suspend(self, suspended: bool) -> None:
        self._patch({"spec": {"suspend": suspended}})

    @rule(seconds=st.sampled_from([600, 86_400, None]), limit=st.integers(1, 6))
    def change_policy(self, seconds: int | None, limit: int) -> None:
        self._patch({"spec": {"runPolicy": {"activeDeadlineSeconds": seconds, "backoffLimit": limit}}})

    @rule(value=st.sampled_from(["a", "b", None]))
    def label(self, value: str | None) -> None:
        self._patch({"metadata": {"labels": {"team": value}, "annotations": {"note": value}}})

    @rule(kind=st.sampled_from(_REMADE))
    def delete_child(self, kind: str) -> None:
        path = CHILDREN[kind].format(namespace=self.scene.space.namespace)
        for raw in self.scene.history.api("GET", f"{path}?labelSelector={LABEL}={self.uid}").body["items"]:
            self.scene.history.api("DELETE", f"{path}/{raw['metadata']['name']}")

    @rule()
    def evict(self) -> None:
        path = f"/api/v1/namespaces/{self.scene.space.namespace}/pods"
        for raw in self.scene.history.api("GET", f"{path}?labelSelector={LABEL}={self.uid}").body["items"]:
            self.scene.history.api("DELETE", f"{path}/{raw['metadata']['name']}")

    @rule()
    def kill(self) -> None:
        self.scene.operator.kill()
        self.scene.operator.wait()
        self.scene.operator.start()

    @rule()
    def cut(self) -> None:
        self.scene.proxy.cut()

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0]))
    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def teardown(self) -> None:
        self._patch({"spec": {"suspend": False}})
        phases = self.scene.end_of(self.name)
        uids = {uid for _, uid in self.scene.history.made[self.uid]["jobs"]}
        assert phases == ["Succeeded"]
        assert self.scene.history.violations(replaced=True) == []
        assert len(uids) <= 2, "a Job was made twice"
        assert self.scene.deleted(self.name) == []

    def _patch(self, change: dict[str, Any]) -> None:
        path = f"/apis/finetune.dev/v1alpha1/namespaces/{self.scene.space.namespace}/finetunejobs/{self.name}"
        answer = self.scene.history.api("PATCH", path, change, MERGE)
        assert answer.code == 200, answer.body


@pytest.mark.parametrize(
    ("examples", "steps"),
    [pytest.param(40, 30, marks=pytest.mark.chaos), pytest.param(3, 10, marks=pytest.mark.slow)],
    ids=["many", "some"],
)
def test_a_job_that_anything_happens_to_ends_well_and_once(stage: Scene, examples: int, steps: int) -> None:
    given = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        phases=(Phase.generate,),
    )

    run_state_machine_as_test(type("Edits", (Edits,), {"scene": stage}), settings=given)


@pytest.mark.slow
def test_an_operator_of_another_version_restarts_no_pod(stage: Scene) -> None:
    names = [f"upgraded-{number}" for number in range(3)]
    stage.kubelet.seconds_a_step = 0.5
    stage.space.apply(*map(chaos_job, names))
    for name in names:
        stage.until(name, lambda status: status.get("phase") == "Running", "to run")
    uids = [stage.space.get("ftj", name)["metadata"]["uid"] for name in names]

    stage.operator.end()
    stage.operator.environment["FINETUNE_OPERATOR_TRAINER_IMAGE"] = "finetune-trainer:of-another-version"
    stage.operator.environment["FINETUNE_OPERATOR_NETWORK_POLICY"] = "false"
    stage.operator.start()
    stage.kubelet.seconds_a_step = 0.02
    phases = stage.end_of(*names)

    assert phases == ["Succeeded"] * 3
    assert [len(stage.kubelet.uids[uid]) for uid in uids] == [1, 1, 1]
    assert stage.history.violations() == []
