"""Which claim of a job that has failed is not kept: in doubt, it is."""

from typing import Any

import pytest
from tests.unit.finetune_operator.samples import at, job, member, observation, parsed, pod, running, stamp, terminated

from finetune_api.status import FineTuneJobStatus
from finetune_api.values import MAX_MESSAGE
from finetune_operator.status.ended import without_claim
from finetune_operator.status.failures.unused_claim import unused_claim

CLAIM = "yelp-0f9be1d4"
GAVE_UP = job(end=("Failed", "BackoffLimitExceeded", ""))
EMPTY = '{"exitCode": 11, "outputEmpty": true}'
UNSCHEDULED = pod(1, node=None)
UNPULLED = pod(1, state={"waiting": {"reason": "ImagePullBackOff"}})
REFUSED_BY_ITS_NODE = pod(1, phase="Failed", reason="UnexpectedAdmissionError")
FOUND_EMPTY = pod(1, state=terminated(11, message=EMPTY))
KILLED = pod(1, state=terminated(137))
SAYS_NOTHING_OF_IT = pod(1, state=terminated(1, message='{"exitCode": 1}'))
LOST_WITH_ITS_NODE = pod(1, phase="Failed", state=running())
CHECKPOINT = {"step": 5, "uri": f"pvc://{CLAIM}/checkpoints/step-000005"}


def attempts(*numbers: int) -> list[dict[str, Any]]:
    return [{"number": number, "pod": f"yelp-{number}"} for number in numbers]


def failed_at(second: int) -> dict[str, Any]:
    return {"type": "Failed", "status": "True", "reason": "DataError", "lastTransitionTime": stamp(second)}


def claim_of(*pods: dict[str, Any], spec: dict[str, Any] | None = None, **status: Any) -> str | None:
    """The claim that is not kept at second 200 of a job that has failed by a status written at 100, with these pods, and `status` besides."""
    run = {"number": 1, "output": f"pvc://{CLAIM}", **status.pop("run", {})}
    before = {"phase": "Failed", "conditions": [failed_at(100)], "run": run, **status}
    return unused_claim(parsed(before, **(spec or {})), observation(GAVE_UP, *pods), at(200))


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [UNSCHEDULED],
        [UNPULLED],
        [REFUSED_BY_ITS_NODE],
        [FOUND_EMPTY],
        [KILLED, pod(2, state=terminated(11, message=EMPTY))],
        [FOUND_EMPTY, pod(2, phase="Failed")],
        [member(0, state=terminated(11, message=EMPTY)), member(1, state=terminated(17))],
    ],
    ids=[
        "no pod",
        "no node",
        "no image",
        "no start",
        "found empty",
        "found empty after a kill",
        "found empty before one that never ran",
        "of two pods that trained together the first found it empty",
    ],
)
def test_a_claim_that_nothing_wrote_to_is_not_kept(pods: list[dict[str, Any]]) -> None:
    assert claim_of(*pods) == CLAIM


@pytest.mark.parametrize(
    "pods",
    [
        [KILLED],
        [SAYS_NOTHING_OF_IT],
        [LOST_WITH_ITS_NODE],
        [FOUND_EMPTY, pod(2, state=terminated(137))],
        [FOUND_EMPTY, pod(2, state=running())],
        [member(0, state=terminated(11, message=EMPTY)), member(1, state=running())],
        [pod(1, state=terminated(11, message='{"exitCode": 11, "outputEmpty": true, "checkpoints": 5}'))],
    ],
    ids=[
        "killed",
        "a trainer of an earlier release, or another's",
        "lost with its node",
        "killed after one that found it empty",
        "another runs",
        "another pod of the run runs",
        "a final report that cannot be read",
    ],
)
def test_a_claim_of_which_the_last_attempt_to_run_does_not_say_that_it_is_empty_is_kept(
    pods: list[dict[str, Any]],
) -> None:
    assert claim_of(*pods) is None


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Running"},
        {"phase": "Succeeded"},
        {"checkpoints": [CHECKPOINT]},
        {"latestCheckpoint": CHECKPOINT},
        {"model": {"uri": f"pvc://{CLAIM}/model"}},
        {"attempts": attempts(1, 2)},
    ],
    ids=["it runs", "it succeeded", "a checkpoint", "the latest checkpoint", "a model", "a later attempt is gone"],
)
def test_a_claim_that_may_hold_something_by_the_status_is_kept(status: dict[str, Any]) -> None:
    assert claim_of(FOUND_EMPTY, **status) is None


@pytest.mark.parametrize(
    "status",
    [
        {"attempts": attempts(1, 2)},
        {"attempts": attempts(7)},
        {"run": {"number": 2}, "previousRuns": [{"number": 1, "phase": "Succeeded", "output": f"pvc://{CLAIM}"}]},
    ],
    ids=["an attempt is gone", "attempts are forgotten", "a former run has an output"],
)
def test_where_no_pod_is_seen_to_have_run_whatever_else_may_have_written_counts(status: dict[str, Any]) -> None:
    assert claim_of(UNPULLED, **status) is None


def test_a_former_run_without_an_output_has_left_nothing() -> None:
    assert claim_of(UNPULLED, run={"number": 2}, previousRuns=[{"number": 1, "phase": "Failed"}]) == CLAIM


def test_a_place_that_the_user_named_is_never_touched() -> None:
    assert claim_of(FOUND_EMPTY, spec={"output": {"uri": f"pvc://{CLAIM}"}}) is None


@pytest.mark.parametrize(
    "status",
    [{"phase": "Pending", "conditions": []}, {"conditions": [failed_at(-3500)]}, {"run": {"output": None}}],
    ids=["its end is not written", "somebody may have found a use for it", "it is gone"],
)
def test_before_the_end_long_after_it_and_once_it_is_gone_the_claim_is_left_alone(status: dict[str, Any]) -> None:
    assert claim_of(FOUND_EMPTY, **status) is None


def test_the_status_says_that_the_claim_is_deleted_however_long_the_cause_is() -> None:
    ready = {"type": "Ready", "status": "False", "reason": "DataError", "lastTransitionTime": stamp(100)}
    cause = "x" * MAX_MESSAGE
    before = FineTuneJobStatus.model_validate(
        {
            "phase": "Failed",
            "message": cause,
            "conditions": [{**ready, "message": cause}],
            "run": {"output": "pvc://a"},
            "attempts": [{"number": 1, "pod": "yelp-1", "log": "pvc://a/logs/x.log"}],
        }
    )

    after, gone_before = without_claim(before, CLAIM), without_claim(before, "")

    said = f"; nothing was saved, so the claim {CLAIM} made for the output is deleted (it goes with its last pod)"
    assert (gone_before.message, gone_before.run) == (cause, after.run)
    assert after.message == cause[: MAX_MESSAGE - len(said)] + said
    assert after.conditions[0].message == after.message
    assert after.run is not None
    assert after.run.output is None
    assert after.attempts[0].log is None
