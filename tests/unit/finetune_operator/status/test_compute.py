"""Whole statuses, from what is observed and the time."""

import json
from dataclasses import replace
from typing import Any

from tests.unit.finetune_operator.samples import (
    at,
    finetunejob,
    job,
    line,
    observation,
    parsed,
    pod,
    received,
    running,
    stamp,
    terminated,
)

from finetune_api.report import TrainerState
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.job.observation import Cause
from finetune_operator.status.compute import compare, compute_status, to_manifest

REPORT: dict[str, Any] = {
    "sequence": 4,
    "stage": "Training",
    "progress": {
        "step": 140,
        "totalSteps": 375,
        "epoch": "1.12",
        "percent": 37,
        "etaSeconds": 312,
        "samplesPerSecond": "84.1",
    },
    "metrics": [{"name": "loss", "value": "1.2034"}, {"name": "eval_accuracy", "value": "0.5810"}],
    "evaluations": [{"step": 125, "epoch": "1.0", "metrics": [{"name": "eval_accuracy", "value": "0.5810"}]}],
    "checkpoints": [{"step": 125, "epoch": "1.0", "uri": "pvc://c/checkpoints/step-000125", "sizeBytes": 10}],
    "bestCheckpoint": {
        "step": 125,
        "uri": "pvc://c/checkpoints/step-000125",
        "metric": "eval_accuracy",
        "value": "0.5810",
    },
    "adjustments": [{"step": 3, "reason": "CudaOutOfMemory", "message": "batches of 4 rows for 8"}],
    "provenance": {"modelRevision": "abc", "datasetRevision": "def", "datasetFingerprint": "123"},
}
FINAL: dict[str, Any] = {
    "exitCode": 0,
    "progress": {"step": 375, "totalSteps": 375, "epoch": "3.0", "percent": 100, "etaSeconds": 0},
    "metrics": [{"name": "loss", "value": "0.5234"}, {"name": "eval_accuracy", "value": "0.9100"}],
    "evaluations": [{"step": 375, "epoch": "3.0", "metrics": [{"name": "eval_accuracy", "value": "0.9100"}]}],
    "checkpoints": [{"step": 375, "epoch": "3.0", "uri": "pvc://c/checkpoints/step-000375"}],
    "model": {"uri": "pvc://c/model", "sizeBytes": 9},
}


def compute(given: Any, observed: Any, seconds: float = 60) -> dict[str, Any]:
    return to_manifest(compute_status(given, observed, at(seconds)))


def conditions(status: dict[str, Any]) -> dict[str, str]:
    """Reason of each condition that is true."""
    return {each["type"]: each["reason"] for each in status["conditions"] if each["status"] == "True"}


def test_a_job_that_trains_shows_its_numbers() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))

    status = compute(parsed(), observed)

    assert status == {
        "observedGeneration": 1,
        "phase": "Running",
        "message": "epoch 1.1 of 3, loss 1.20, accuracy 0.58, about 5 min left; since step 3: batches of 4 rows for 8",
        "conditions": [
            condition("Running", "True", "Training"),
            condition("Suspended", "False", "Running"),
            condition("Complete", "False", "Running"),
            condition("Failed", "False", "Running"),
            condition("Ready", "False", "Training"),
            condition("Reconciling", "True", "Training"),
            condition("Stalled", "False", "Running"),
        ],
        "startTime": stamp(1),
        "progress": {**REPORT["progress"], "lastReportTime": stamp(50)},
        "metrics": REPORT["metrics"],
        "evaluations": REPORT["evaluations"],
        "checkpoints": [{**REPORT["checkpoints"][0], "metrics": []}],
        "latestCheckpoint": {"step": 125, "uri": "pvc://c/checkpoints/step-000125"},
        "bestCheckpoint": REPORT["bestCheckpoint"],
        "attempts": [{"number": 1, "pod": "yelp-1", "node": "n1", "startTime": stamp(12), "resumedFromStep": 0}],
        "adjustments": REPORT["adjustments"],
        "provenance": {**REPORT["provenance"], "image": "trainer:1"},
    }


def test_each_field_that_the_trainer_reports_has_its_place_in_the_status() -> None:
    preflight = {"trainRows": 9, "steps": 375, "batchSize": 8, "parameters": 7, "trainedParameters": 7}
    warnings = [{"reason": "EmptyTexts", "message": "row 3"}]
    report = {**REPORT, "model": FINAL["model"], "preflight": preflight, "warnings": warnings}
    fields = {field.alias or name for name, field in TrainerState.model_fields.items()} - {"resumedFromStep"}
    assert report.keys() >= fields

    status = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": report})))

    assert status.keys() >= fields


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": stamp(60),
        "observedGeneration": 1,
    }


def test_the_end_is_reported_by_the_final_report_and_by_the_job() -> None:
    before = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))
    end = job(end=("Complete", "CompletionsReached", ""))
    observed = observation(end, pod(state=terminated(0, "Completed", json.dumps(FINAL))))

    status = compute(parsed(before), observed, 101)

    assert line(status) == ("Succeeded", "Succeeded", "finished after 375 steps, loss 0.52, accuracy 0.91")
    assert conditions(status) == {"Complete": "Succeeded", "Ready": "Succeeded"}
    assert status["completionTime"] == stamp(100)
    assert status["progress"] == {
        "step": 375,
        "totalSteps": 375,
        "epoch": "3.0",
        "percent": 100,
        "lastReportTime": stamp(50),
    }
    assert [each["step"] for each in status["evaluations"]] == [125, 375]
    assert [each["step"] for each in status["checkpoints"]] == [125, 375]
    assert status["bestCheckpoint"] == REPORT["bestCheckpoint"]
    assert status["adjustments"] == REPORT["adjustments"]
    assert status["model"] == FINAL["model"]
    assert status["attempts"] == [
        {
            "number": 1,
            "pod": "yelp-1",
            "node": "n1",
            "startTime": stamp(12),
            "endTime": stamp(90),
            "exitCode": 0,
            "reason": "Completed",
            "resumedFromStep": 0,
        }
    ]


def test_what_has_ended_stays_as_it_is_whatever_becomes_of_its_children() -> None:
    ended = compute(parsed(), observation(job(end=("Complete", "", "")), pod(state=terminated(0))), 101)

    assert compute(parsed(ended), observation(), 500) == ended
    assert compute(parsed(ended), observation(job(), pod(2, state=running())), 500) == ended


def test_a_change_of_the_spec_after_the_end_is_only_taken_note_of() -> None:
    ended = compute(parsed(), observation(job(end=("Complete", "", "")), pod(state=terminated(0))), 101)
    edited = finetunejob(ended, suspend=True)
    edited["metadata"]["generation"] = 2

    assert compute(parse_finetunejob(edited), observation(), 500) == {**ended, "observedGeneration": 2}


def test_before_the_first_step_there_are_no_numbers_to_tell() -> None:
    begun = {"report": {"sequence": 2, "stage": "Training", "progress": {"step": 0, "totalSteps": 375, "epoch": "0.0"}}}

    status = compute(parsed(), observation(job(), pod(state=running()), report=received(begun)))

    assert line(status) == ("Running", "Training", "the first step is under way")


def test_a_full_progress_bar_is_not_an_end() -> None:
    full = {"trainerStatus": {"progressPercentage": 100, "metrics": [{"name": "loss", "value": "0.5"}]}}

    status = compute(parsed(), observation(job(), pod(state=running()), report=received(full)))

    assert line(status) == ("Running", "Training", "100 % done, loss 0.50")
    assert status["metrics"] == [{"name": "loss", "value": "0.5"}]
    assert conditions(status) == {"Running": "Training", "Reconciling": "Training"}


def test_stock_transformers_reports_give_progress_and_metrics() -> None:
    body = {
        "trainerStatus": {
            "progressPercentage": 42,
            "estimatedRemainingSeconds": 40,
            "metrics": [{"name": "loss", "value": "0.25"}, {"name": "eval_accuracy", "value": "0.875"}],
            "lastUpdatedTime": stamp(49),
        }
    }

    status = compute(parsed(), observation(job(), pod(state=running()), report=received(body)))

    assert line(status) == ("Running", "Training", "42 % done, loss 0.25, accuracy 0.88, about 40 s left")
    assert status["progress"] == {"step": 0, "percent": 42, "etaSeconds": 40, "lastReportTime": stamp(50)}


def test_of_a_final_report_that_can_be_read_in_part_the_rest_is_a_warning() -> None:
    odd = {**FINAL, "checkpoints": [{"step": 375, "uri": "pvc://c/x", "time": "9999-12-31T23:59:59-14:00"}]}
    ended = pod(state=terminated(0, "Completed", json.dumps(odd)))

    status = compute(parsed(), observation(job(end=("Complete", "", "")), ended), 120)

    assert (status["phase"], status["model"]) == ("Succeeded", {"uri": "pvc://c/model", "sizeBytes": 9})
    assert "checkpoints" not in status
    message = (
        "what the trainer reported could not be read and was left out: pod yelp-1: checkpoints of its final report"
    )
    assert status["warnings"] == [{"reason": "ReportNotUnderstood", "message": message}]


def test_a_report_that_could_not_be_read_is_said_once_beside_the_trainer_s_warnings() -> None:
    told = {**REPORT, "warnings": [{"reason": "EmptyTexts", "message": f"{n} rows are empty"} for n in range(16)]}
    observed = observation(
        job(), pod(state=running()), report=received({"report": told}), unread="report.stage: odd\x07"
    )

    first = compute(parsed(), observed)
    again = compute(parsed(first), replace(observed, unread="report.step: odder"), 70)

    message = "what the trainer reported could not be read and was left out: report.stage: odd�"
    assert len(first["warnings"]) == 16
    assert first["warnings"][-1] == {"reason": "ReportNotUnderstood", "message": message}
    assert again["warnings"] == first["warnings"]


def test_a_new_attempt_keeps_what_is_known_until_it_knows_more() -> None:
    first = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))
    stopped = pod(state=terminated(143))
    prepares = {"sequence": 1, "stage": "Preparing", "message": "tokenizing 1000 rows", "progress": {"step": 0}}
    observed = observation(job(), stopped, pod(2, state=running(95)), report=received({"report": prepares}, 2, 97))

    second = compute(parsed(first), observed, 98)

    assert line(second) == ("Preparing", "Preparing", "preparing: tokenizing 1000 rows")
    assert second["progress"]["step"] == 140
    assert second["checkpoints"] == first["checkpoints"]
    assert [(each["number"], each["pod"], each.get("exitCode")) for each in second["attempts"]] == [
        (1, "yelp-1", 143),
        (2, "yelp-2", None),
    ]


def test_within_an_attempt_the_phase_does_not_go_back_whatever_its_pod_reports() -> None:
    trains = {"sequence": 1, "stage": "Training", "progress": {"step": 7}}
    prepares = {"sequence": 2, "stage": "Preparing", "message": "loading model"}
    given = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": trains})))

    again = compute(parsed(given), observation(job(), pod(state=running()), report=received({"report": prepares})), 61)

    assert line(again) == ("Running", "Training", "preparing: loading model")


def test_a_resumed_attempt_may_begin_before_the_step_that_was_reached() -> None:
    first = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))
    resumed = {**REPORT, "sequence": 1, "progress": {"step": 126, "percent": 33}, "resumedFromStep": 125}
    pods = (pod(state=terminated(137)), pod(2, state=running(95)))

    status = compute(parsed(first), observation(job(), *pods, report=received({"report": resumed}, 2, 99)), 99)

    assert status["progress"] == {"step": 126, "percent": 33, "lastReportTime": stamp(99)}
    assert status["attempts"][1]["resumedFromStep"] == 125


def test_a_report_of_an_older_attempt_is_ignored() -> None:
    pods = (pod(state=terminated(137)), pod(2, state=running(95)))

    status = compute(parsed(), observation(job(), *pods, report=received({"report": REPORT}, 1)), 99)

    assert "progress" not in status
    assert line(status) == ("Preparing", "Preparing", "the pod runs; waiting for the trainer's first report")


def test_the_final_report_of_an_ended_attempt_is_taken_in_once() -> None:
    word = json.dumps({**FINAL, "exitCode": 143, "progress": {"step": 150}})
    pods = (pod(state=terminated(143, message=word)), pod(2, state=running(95)))
    first = compute(parsed(), observation(job(), *pods), 96)
    newer = {**REPORT, "progress": {"step": 200}}
    second = compute(parsed(first), observation(job(), *pods, report=received({"report": newer}, 2, 97)), 97)

    third = compute(parsed(second), observation(job(), *pods), 98)

    assert [each["progress"]["step"] for each in (first, second, third)] == [150, 200, 200]


def test_after_a_restart_of_the_operator_the_status_goes_on_where_it_was() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))
    before = compute(parsed(), observed)

    after = compute(parsed(before), observation(job(), pod(state=running())), 300)

    assert after == before


def test_a_finished_trainer_waits_for_the_job_without_a_new_phase() -> None:
    before = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))

    status = compute(parsed(before), observation(job(), pod(state=terminated(0))), 95)

    assert line(status) == ("Running", "Finishing", "the trainer has finished; waiting for the Job to complete")


def test_a_failed_attempt_is_followed_by_another() -> None:
    status = compute(parsed(), observation(job(), pod(state=terminated(1, message="Traceback\nValueError: x"))), 95)

    assert line(status)[:2] == ("Pending", "Retrying")
    assert status["attempts"][0] | {"startTime": "", "endTime": ""} == {
        "number": 1,
        "pod": "yelp-1",
        "node": "n1",
        "startTime": "",
        "endTime": "",
        "exitCode": 1,
        "reason": "TrainerError",
    }


def test_a_stopped_attempt_is_no_failure() -> None:
    status = compute(parsed(), observation(job(), pod(state=terminated(143))), 95)

    assert line(status) == (
        "Pending",
        "Resuming",
        "the pod was stopped and had saved a checkpoint; a new one goes on from there",
    )


def test_a_pod_that_vanished_has_ended() -> None:
    before = compute(parsed(), observation(job(), pod(state=running())))

    status = compute(parsed(before), observation(job(), pod(2, state=running(70))), 80)

    assert [(each["pod"], each.get("endTime"), each.get("reason")) for each in status["attempts"]] == [
        ("yelp-1", stamp(80), "PodGone"),
        ("yelp-2", None, None),
    ]


def test_only_the_newest_ten_attempts_are_kept_and_numbers_go_on() -> None:
    pods = [pod(number, state=terminated(1)) for number in range(1, 13)]
    before = compute(parsed(), observation(job(), *sorted(pods, key=lambda each: each["metadata"]["name"])), 200)

    status = compute(parsed(before), observation(job(), pod(13, state=running())), 210)

    assert [each["number"] for each in status["attempts"]] == list(range(4, 14))


def test_attempts_that_were_dropped_do_not_come_back_while_their_pods_are_kept() -> None:
    words = [{**FINAL, "exitCode": 1, "progress": {"step": number}} for number in range(1, 14)]
    pods = [pod(number, state=terminated(1, message=json.dumps(word))) for number, word in enumerate(words, 1)]

    first = compute(parsed(), observation(job(), *pods), 200)
    second = compute(parsed(first), observation(job(), *pods), 210)
    third = compute(parsed(second), observation(job(), *pods, pod(14, state=terminated(1))), 220)

    assert second == first
    assert first["progress"]["step"] == 13
    assert [(each["number"], each["pod"]) for each in third["attempts"]] == [(n, f"yelp-{n}") for n in range(5, 15)]


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    before = compute(parsed(), observation(job(), pod(state=running())), 60)
    later = compute(parsed(before), observation(job(), pod(state=running()), report=received({"report": REPORT})), 70)
    ended = compute(parsed(later), observation(job(end=("Complete", "", "")), pod(state=terminated(0))), 110)

    def times(status: dict[str, Any]) -> dict[str, str]:
        return {each["type"]: each["lastTransitionTime"] for each in status["conditions"]}

    assert set(times(later).values()) == {stamp(60)}
    assert times(ended) == {
        "Running": stamp(110),
        "Suspended": stamp(60),
        "Complete": stamp(110),
        "Failed": stamp(60),
        "Ready": stamp(110),
        "Reconciling": stamp(110),
        "Stalled": stamp(60),
    }


def test_a_job_before_its_children_is_pending() -> None:
    cause = Cause("NameConflict", "the Job yelp is there and was not made for this FineTuneJob")

    assert line(compute(parsed(), observation())) == ("Pending", "Creating", "creating the Job")
    assert line(compute(parsed(), observation(blocked=cause))) == ("Pending", cause.reason, cause.message)


def test_what_the_api_server_will_never_take_is_a_failure() -> None:
    cause = Cause("SpecRefused", 'Job.batch "yelp" is invalid: spec.template.spec.containers[0].resources')

    status = compute(parsed(), observation(refused=cause))

    assert line(status) == ("Failed", "SpecRefused", cause.message)
    assert conditions(status) == {"Failed": "SpecRefused", "Stalled": "SpecRefused"}
    assert status["failure"]["hint"] == "delete the job and create it again with that corrected"


def test_a_spec_that_we_cannot_read_is_a_failure_that_names_the_field() -> None:
    status = compute(parsed(training={"epochs": -1}, task="sorting"), observation())

    assert status["phase"] == "Failed"
    assert status["failure"]["reason"] == "InvalidSpec"
    assert status["failure"]["message"].startswith("spec.task: ")
    assert "spec.training.epochs: " in status["failure"]["message"]


def test_a_field_of_a_newer_crd_is_nothing_to_an_older_operator() -> None:
    given = parsed(preprocessing={"newerDefault": 128})

    assert line(compute(given, observation(job(), pod())))[:2] == ("Pending", "ContainerCreating")


def test_a_spec_that_was_read_before_and_is_not_any_more_is_no_failure() -> None:
    before = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))

    status = compute(parsed(before, task="sorting"), observation(job(), pod(state=running())), 70)

    assert status["phase"] == "Running"
    assert status["message"].startswith("this operator cannot read the spec, and leaves the job alone: spec.task: ")
    assert conditions(status) == {"Running": "InvalidSpec", "Stalled": "InvalidSpec"}
    assert "failure" not in status
    assert status["progress"] == before["progress"]


def test_suspension_is_distinguished_by_who_asked_for_it() -> None:
    suspended = job(suspend=True, start=None)
    queued = {**suspended, "metadata": {**suspended["metadata"], "labels": {"kueue.x-k8s.io/queue-name": "team-a"}}}
    with_checkpoint = {"checkpoints": [{"step": 125, "uri": "pvc://c/x"}]}

    lines = [
        line(compute(parsed(suspend=True), observation(suspended, pod(state=running())))),
        line(compute(parsed(with_checkpoint, suspend=True), observation(suspended))),
        line(compute(parsed(), observation(suspended))),
        line(compute(parsed(), observation(queued))),
    ]

    assert lines == [
        ("Suspended", "Stopping", "suspended: the trainer saves a checkpoint and stops"),
        ("Suspended", "Suspended", "suspended at step 125; set spec.suspend to false to go on"),
        ("Queued", "WaitingForAdmission", "waiting: the Job is suspended, and not by spec.suspend"),
        ("Queued", "WaitingForQuota", "waiting for quota in the queue team-a"),
    ]


def test_a_job_that_somebody_started_again_despite_spec_suspend_is_reported_as_it_is() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))

    status = compute(parsed(suspend=True), observed)

    assert line(status)[:2] == ("Running", "Training")
    assert status["message"].startswith(
        "spec.suspend is set, and somebody started the Job again (with Kueue, deactivate its Workload instead): epoch 1.1"
    )


def test_a_pod_that_does_not_run_yet_says_why() -> None:
    unscheduled = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available."}
    ]
    quota = Cause("FailedCreate", "exceeded quota: small")
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}

    lines = [
        line(compute(parsed(), observation(job()))),
        line(compute(parsed(), observation(job(), blocked=quota))),
        line(compute(parsed(), observation(job(), pod(node=None, conditions=unscheduled)))),
        line(compute(parsed(), observation(job(), pod(state=pull)))),
        line(compute(parsed(), observation(job(), pod()))),
        line(compute(parsed(), observation(job(), pod(), blocked=Cause("FailedMount", "no Secret x")))),
    ]

    assert lines == [
        ("Pending", "WaitingForPod", "waiting for a pod"),
        ("Pending", "FailedCreate", "the pod cannot be created: exceeded quota: small"),
        ("Pending", "Unschedulable", "no node can take the pod: 0/1 nodes are available."),
        ("Pending", "ImagePullBackOff", "the image trainer:1 cannot be pulled: not found"),
        ("Pending", "ContainerCreating", "starting the container"),
        ("Pending", "FailedMount", "a volume cannot be mounted: no Secret x"),
    ]


def test_a_pod_that_never_runs_after_admission_ends_the_job_at_its_deadline() -> None:
    given = parsed(runPolicy={"preRunningDeadlineSeconds": 60})
    pull = pod(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}})

    before = compute(given, observation(job(start=1), pull), 60)
    after = compute(given, observation(job(start=1), pull), 61)

    assert before["phase"] == "Pending"
    assert line(after) == (
        "Failed",
        "PreRunningDeadlineExceeded",
        "no pod ran within 60 s (runPolicy.preRunningDeadlineSeconds): the image trainer:1 cannot be pulled: not found",
    )
    assert after["failure"]["reason"] == "PreRunningDeadlineExceeded"


def test_the_deadline_before_running_counts_neither_suspension_nor_an_attempt_that_ran() -> None:
    given = parsed(runPolicy={"preRunningDeadlineSeconds": 60})
    retry = observation(job(start=1), pod(state=terminated(1)), pod(2, node=None))
    ran = compute(given, observation(job(start=1), pod(state=terminated(1))), 95)
    gone = observation(job(start=1), pod(2, node=None))

    phases = [
        compute(given, observation(job(suspend=True, start=None)), 900)["phase"],
        compute(given, retry, 900)["phase"],
        compute(parsed(ran, runPolicy={"preRunningDeadlineSeconds": 60}), gone, 900)["phase"],
        # Suspended and admitted once more: it counts again from there.
        compute(given, observation(job(start=200), pod(state=terminated(143))), 259)["phase"],
        compute(given, observation(job(start=200), pod(state=terminated(143))), 260)["phase"],
    ]

    assert phases == ["Queued", "Pending", "Pending", "Pending", "Failed"]


def test_a_status_that_somebody_spoiled_is_read_as_far_as_it_goes() -> None:
    spoiled = {
        "phase": "Dancing",
        "conditions": "none",
        "attempts": [{"number": 1, "pod": "yelp-1"}],
        "progress": {"step": "many"},
        "checkpoints": [{"step": 5}],
        "metrics": None,
    }

    status = compute(parsed(spoiled), observation(job(), pod(2, state=running())))

    assert status["phase"] == "Preparing"
    assert [(each["number"], each["pod"]) for each in status["attempts"]] == [(1, "yelp-1"), (2, "yelp-2")]


def test_an_attempt_that_somebody_numbered_as_high_as_can_be_is_followed_by_another() -> None:
    last = {"attempts": [{"number": 1_000_000, "pod": "yelp-1"}]}

    status = compute(parsed(last), observation(job(), pod(2, state=running())))

    assert [(each["number"], each["pod"]) for each in status["attempts"]] == [
        (1_000_000, "yelp-1"),
        (1_000_000, "yelp-2"),
    ]


def test_nothing_changes_where_nothing_happened() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))
    given = parsed(compute(parsed(), observed, 60))

    change = compare(given.status, compute_status(given, observed, at(500)))

    assert not change.any


def test_what_a_report_brings_can_wait_and_a_clock_even_longer() -> None:
    observed = observation(job(), pod(state=running()), report=received({"report": REPORT}))
    given = parsed(compute(parsed(), observed, 60))
    again = observation(job(), pod(state=running()), report=received({"report": REPORT}, seconds=70))
    further = {**REPORT, "progress": {**REPORT["progress"], "step": 141}}
    numbers = observation(job(), pod(state=running()), report=received({"report": further}, seconds=70))
    reported = {**REPORT, "stage": "Evaluating", "checkpoints": [], "resumedFromStep": 9, "evaluations": []}
    others = observation(job(), pod(state=running()), report=received({"report": reported}, seconds=70))
    stopped = observation(job(), pod(state=terminated(143)))

    changes = [compare(given.status, compute_status(given, each, at(71))) for each in (again, numbers, others, stopped)]

    assert [(each.any, each.urgent, each.only_clock) for each in changes] == [
        (True, False, True),
        (True, False, False),
        (True, False, False),
        (True, True, False),
    ]
