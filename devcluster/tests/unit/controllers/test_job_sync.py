"""What the Job controller decides, state in and actions out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devcluster.controllers.job_pods import format_indexes, parse_indexes, pod_for
from devcluster.controllers.job_sync import Event, JobActions, sync_job
from devcluster.events import timestamp

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
AT = "2026-01-01T12:00:00Z"
TRACKED = ["batch.kubernetes.io/job-tracking"]


def before(seconds: int) -> str:
    return timestamp(NOW - timedelta(seconds=seconds))


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "j", "namespace": "x", "uid": "job-uid"}
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main"}]}}
    whole = {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template, **spec}
    return {"metadata": metadata, "spec": whole, "status": status or {}}


def pod(uid: str, phase: str = "Running", **known: Any) -> dict[str, Any]:
    """`exit` is an exit code, `index` a completion index, `finalizers` and `deletionTimestamp` go into the metadata."""
    metadata: dict[str, Any] = {
        "name": uid,
        "namespace": "x",
        "uid": uid,
        "creationTimestamp": known.get("created", AT),
        "finalizers": known.get("finalizers", TRACKED),
    }
    if known.get("deleted"):
        metadata["deletionTimestamp"] = AT
    if "index" in known:
        metadata["annotations"] = {"batch.kubernetes.io/job-completion-index": str(known["index"])}
    status: dict[str, Any] = {"phase": phase, "conditions": known.get("conditions", [])}
    if "exit" in known:
        terminated = {"exitCode": known["exit"], "finishedAt": known.get("finished", before(100))}
        status["containerStatuses"] = [{"name": "main", "restartCount": 0, "state": {"terminated": terminated}}]
    return {"metadata": metadata, "spec": {}, "status": status}


def condition(kind: str, reason: str, message: str, status: str = "True", at: str = AT) -> dict[str, Any]:
    times = {"lastProbeTime": at, "lastTransitionTime": at}
    return {"type": kind, "status": status, "reason": reason, "message": message, **times}


def sync(job: dict[str, Any], *pods: dict[str, Any], base_delay: float = 10.0) -> JobActions:
    return sync_job(job, pods, NOW, base_delay)


def base(**status: Any) -> dict[str, Any]:
    return {"startTime": before(50), "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}, **status}


LIMIT = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
DONE = ("CompletionsReached", "Reached expected number of succeeded pods")


def test_a_new_job_starts_its_pods() -> None:
    assert sync(job(parallelism=2, completions=3)) == JobActions(
        {"startTime": AT, "active": 2, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}},
        create=[None, None],
    )


def test_a_running_job_is_left_alone() -> None:
    running = pod("a", conditions=[{"type": "Ready", "status": "True"}])

    assert sync(job(base(active=1, ready=1)), running) == JobActions(base(active=1, ready=1))


def test_a_pod_that_succeeded_is_noted_before_it_is_released() -> None:
    done = pod("a", "Succeeded", exit=0)

    assert sync(job(base(active=1)), done) == JobActions(
        base(uncountedTerminatedPods={"succeeded": ["a"]}, conditions=[condition("SuccessCriteriaMet", *DONE)]),
        release=[done],
    )


def test_a_released_pod_becomes_a_number_and_the_job_is_complete() -> None:
    met = condition("SuccessCriteriaMet", *DONE, at=before(1))
    status = base(uncountedTerminatedPods={"succeeded": ["a"]}, conditions=[met])

    assert sync(job(status), pod("a", "Succeeded", exit=0, finalizers=[])) == JobActions(
        base(succeeded=1, conditions=[met, condition("Complete", *DONE)], completionTime=AT),
        events=[Event("Normal", "Completed", "Job completed")],
    )


def test_a_noted_pod_that_is_gone_still_counts() -> None:
    actions = sync(job(base(uncountedTerminatedPods={"failed": ["a"]})))

    assert actions.status == base(active=1, failed=1)


def test_a_failed_pod_is_replaced_after_a_delay_that_doubles() -> None:
    first = pod("a", "Failed", exit=1, finished=before(100), finalizers=[])
    second = pod("b", "Failed", exit=1, finished=before(5), finalizers=[])

    soon = sync(job(base(failed=2)), first, second)
    later = sync(job(base(failed=2)), first, second, base_delay=2.0)

    assert (soon.create, soon.requeue_after) == ([], 15.0)
    assert (later.create, later.requeue_after) == ([None], None)


def test_a_success_in_between_ends_the_back_off() -> None:
    failed = pod("a", "Failed", exit=1, finished=before(5), finalizers=[])
    succeeded = pod("b", "Succeeded", exit=0, finished=before(4), finalizers=[])

    assert sync(job(base(failed=1, succeeded=1), completions=2), failed, succeeded).create == [None]


def test_a_job_past_its_back_off_limit_ends_its_other_pods_first() -> None:
    failed, other = pod("a", "Failed", exit=1), pod("b")

    actions = sync(job(base(active=2), parallelism=2, completions=2, backoffLimit=0), failed, other)

    assert actions == JobActions(
        base(terminating=1, uncountedTerminatedPods={"failed": ["a"]}, conditions=[condition("FailureTarget", *LIMIT)]),
        delete=[other],
        release=[failed],
    )


def test_a_job_has_failed_when_its_last_pod_has_ended() -> None:
    target = condition("FailureTarget", *LIMIT, at=before(3))
    waiting = base(failed=1, uncountedTerminatedPods={"failed": ["b"]}, conditions=[target])
    last = pod("b", "Failed", exit=143, deleted=True, finalizers=[])

    still_ending = sync(job(waiting, backoffLimit=0), pod("b", deleted=True))
    ended = sync(job(waiting, backoffLimit=0), last)

    assert still_ending.status["conditions"] == [target]
    assert ended == JobActions(
        base(failed=2, conditions=[target, condition("Failed", *LIMIT)]),
        events=[Event("Warning", *LIMIT)],
    )


FAIL_ON_42 = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
IGNORE_DISRUPTION = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_an_exit_code_of_the_policy_fails_the_job_at_once() -> None:
    failed = pod("a", "Failed", exit=42)

    actions = sync(job(base(), podFailurePolicy={"rules": [IGNORE_DISRUPTION, FAIL_ON_42]}), failed)

    message = "Container main for pod x/a failed with exit code 42 matching FailJob rule at index 1"
    assert actions == JobActions(
        base(
            uncountedTerminatedPods={"failed": ["a"]},
            conditions=[condition("FailureTarget", "PodFailurePolicy", message)],
        ),
        release=[failed],
    )


def test_a_disrupted_pod_is_replaced_and_not_counted() -> None:
    disruption = [{"type": "DisruptionTarget", "status": "True"}]
    failed = pod("a", "Failed", exit=143, deleted=True, conditions=disruption)

    actions = sync(job(base(), backoffLimit=0, podFailurePolicy={"rules": [IGNORE_DISRUPTION, FAIL_ON_42]}), failed)

    assert actions == JobActions(base(active=1), create=[None], release=[failed])


@pytest.mark.parametrize(
    ("rule", "code", "counted"),
    [
        ({"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}}, 3, False),
        ({"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [1, 2]}}, 2, True),
        ({"action": "Ignore", "onExitCodes": {"containerName": "other", "operator": "In", "values": [2]}}, 2, True),
        ({"action": "Count", "onExitCodes": {"operator": "In", "values": [2]}}, 2, True),
    ],
)
def test_only_a_failure_that_a_rule_ignores_is_not_counted(rule: dict[str, Any], code: int, counted: bool) -> None:
    actions = sync(job(base(), podFailurePolicy={"rules": [rule]}), pod("a", "Failed", exit=code))

    assert actions.status["uncountedTerminatedPods"] == ({"failed": ["a"]} if counted else {})


def test_a_deleted_pod_is_replaced_at_once_or_after_its_end_as_the_job_says() -> None:
    ending = pod("a", deleted=True)

    at_once = sync(job(base(active=1)), ending, base_delay=0.0)
    waits = sync(job(base(active=1), podReplacementPolicy="Failed"), ending)

    assert at_once == JobActions(
        base(active=1, terminating=1, uncountedTerminatedPods={"failed": ["a"]}), create=[None], release=[ending]
    )
    assert waits == JobActions(base(terminating=1))


def test_a_job_past_its_deadline_fails() -> None:
    running = pod("a")

    actions = sync(job(base(active=1), activeDeadlineSeconds=50), running)

    cause = ("DeadlineExceeded", "Job was active longer than specified deadline")
    assert actions == JobActions(base(terminating=1, conditions=[condition("FailureTarget", *cause)]), delete=[running])


def test_a_job_with_time_left_is_looked_at_again_when_it_is_over() -> None:
    assert sync(job(base(active=1), activeDeadlineSeconds=60), pod("a")) == JobActions(
        base(active=1), requeue_after=10.0
    )


def test_suspending_ends_the_pods_without_counting_them() -> None:
    running = pod("a")
    expected = {key: value for key, value in base(terminating=1).items() if key != "startTime"}

    assert sync(job(base(active=1), suspend=True), running) == JobActions(
        {**expected, "conditions": [condition("Suspended", "JobSuspended", "Job suspended")]},
        discard=[running],
        events=[Event("Normal", "Suspended", "Job suspended")],
    )


def test_a_suspended_job_waits_without_a_deadline() -> None:
    suspended = condition("Suspended", "JobSuspended", "Job suspended", at=before(9000))
    status = {key: value for key, value in base(conditions=[suspended]).items() if key != "startTime"}

    assert sync(job(status, suspend=True, activeDeadlineSeconds=1)) == JobActions(status)


def test_resuming_starts_the_clock_anew() -> None:
    suspended = condition("Suspended", "JobSuspended", "Job suspended", at=before(9000))
    status = {"conditions": [suspended], "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}

    assert sync(job(status, suspend=False, activeDeadlineSeconds=60)) == JobActions(
        base(startTime=AT, active=1, conditions=[condition("Suspended", "JobResumed", "Job resumed", status="False")]),
        create=[None],
        events=[Event("Normal", "Resumed", "Job resumed")],
        requeue_after=60.0,
    )


def test_an_indexed_job_makes_the_indexes_that_are_missing() -> None:
    spec = {"completionMode": "Indexed", "completions": 5, "parallelism": 3}
    done = pod("a", "Succeeded", exit=0, index=0)

    actions = sync(job(base(active=1, completedIndexes=""), **spec), done, pod("b", index=1))

    assert actions == JobActions(base(active=3, succeeded=1, completedIndexes="0"), create=[2, 3], release=[done])


def test_with_a_limit_for_each_index_a_failure_delays_its_own_index_only() -> None:
    spec = {"completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 100}
    twice = [pod("a", "Failed", exit=17, index=0, finalizers=[], finished=before(age)) for age in (60, 5)]
    once = pod("b", "Failed", exit=17, index=1, finalizers=[], finished=before(11))

    actions = sync(job(base(), **spec), *twice, once)

    assert (actions.create, actions.requeue_after) == ([1, 2], 15.0)


def test_the_success_of_the_indexes_that_a_rule_names_is_that_of_the_job() -> None:
    policy = {"rules": [{"succeededIndexes": "0"}]}
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "successPolicy": policy}
    met = condition("SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 0")
    first, other = pod("a", "Succeeded", exit=0, index=0, finalizers=[]), pod("b", index=1)
    stopped = pod("b", "Failed", exit=1, deleted=True, index=1, finalizers=[])
    waiting = base(active=2, completedIndexes="0", succeeded=1)

    ending = sync(job(waiting, **spec), first, other)
    ended = sync(job({**ending.status, "terminating": 1}, backoffLimit=0, **spec), first, stopped)

    assert ending == JobActions(
        base(terminating=1, completedIndexes="0", succeeded=1, conditions=[met]), discard=[other]
    )
    assert ended.status["conditions"] == [
        met,
        condition("Complete", "SuccessPolicy", "Matched rules at index 0"),
    ]


def test_a_work_queue_starts_no_more_after_the_first_success() -> None:
    work_queue = job(base(active=2), parallelism=2)
    del work_queue["spec"]["completions"]
    done, other = pod("a", "Succeeded", exit=0), pod("b")

    actions = sync(work_queue, done, other)

    assert actions == JobActions(base(active=1, uncountedTerminatedPods={"succeeded": ["a"]}), release=[done])


def test_a_smaller_parallelism_ends_the_newest_pods() -> None:
    old, new = pod("a", created=before(50)), pod("b", created=before(5))

    actions = sync(job(base(active=2), parallelism=1, completions=3), old, new)

    assert actions == JobActions(base(active=1, terminating=1), discard=[new])


def test_restarts_on_the_node_count_against_the_limit() -> None:
    restarting = pod("a")
    restarting["status"]["containerStatuses"] = [{"name": "main", "restartCount": 2, "state": {}}]
    template = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "main"}]}}

    actions = sync(job(base(active=1), template=template, backoffLimit=2), restarting)

    assert (actions.delete, actions.status["conditions"]) == ([restarting], [condition("FailureTarget", *LIMIT)])


@pytest.mark.parametrize(("age", "remove", "requeue_after"), [(4, False, 6.0), (10, True, None)])
def test_a_finished_job_goes_when_its_time_to_live_is_over(age: int, remove: bool, requeue_after: float | None) -> None:
    status = base(succeeded=1, conditions=[condition("Complete", *DONE, at=before(age))])

    assert sync(job(status, ttlSecondsAfterFinished=10)) == JobActions(
        status, remove=remove, requeue_after=requeue_after
    )


def test_a_finished_job_never_runs_again() -> None:
    status = base(succeeded=1, conditions=[condition("Complete", *DONE, at=before(9))])

    assert sync(job(status)) == JobActions(status)


def test_a_deleted_job_lets_its_pods_go() -> None:
    deleted = job(base(active=1))
    deleted["metadata"]["deletionTimestamp"] = AT
    running = pod("a")

    assert sync(deleted, running) == JobActions(base(active=1), release=[running])


def test_a_pod_of_an_indexed_job_knows_its_index() -> None:
    made = pod_for(job(completionMode="Indexed", completions=2), 1)

    field = {"fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']", "apiVersion": "v1"}
    assert made == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "j-1-",
            "namespace": "x",
            "labels": {
                "batch.kubernetes.io/controller-uid": "job-uid",
                "batch.kubernetes.io/job-name": "j",
                "batch.kubernetes.io/job-completion-index": "1",
                "controller-uid": "job-uid",
                "job-name": "j",
            },
            "annotations": {"batch.kubernetes.io/job-completion-index": "1"},
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": "j",
                    "uid": "job-uid",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "hostname": "j-1",
            "containers": [
                {"name": "main", "env": [{"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": field}}]}
            ],
        },
    }


def test_a_long_job_name_leaves_room_for_the_random_part() -> None:
    long = job()
    long["metadata"]["name"] = "n" * 63

    assert pod_for(long, None)["metadata"]["generateName"] == "n" * 57 + "-"


@pytest.mark.parametrize(("indexes", "text"), [(set(), ""), ({0}, "0"), ({0, 2, 3, 4, 7, 8}, "0,2-4,7-8")])
def test_completed_indexes_are_written_as_ranges(indexes: set[int], text: str) -> None:
    assert (format_indexes(indexes), parse_indexes(text)) == (text, indexes)
