"""The phase of a job, and the line that explains it."""

from tests.unit.finetune_operator.samples import (
    job,
    line,
    observation,
    parsed,
    pod,
    received,
    running,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import REPORT, compute, conditions

from finetune_operator.job.observation import Cause


def test_a_job_before_its_children_is_pending() -> None:
    cause = Cause("NameConflict", "the Job yelp is there and was not made for this FineTuneJob")

    assert line(compute(parsed(), observation())) == ("Pending", "WaitingForPod", "waiting for a pod")
    assert line(compute(parsed(), observation(blocked=cause))) == ("Pending", cause.reason, cause.message)


def test_within_an_attempt_the_phase_does_not_go_back_whatever_its_pod_reports() -> None:
    trains = {"sequence": 1, "stage": "Training", "progress": {"step": 7}}
    prepares = {"sequence": 2, "stage": "Preparing", "message": "loading model"}
    given = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": trains})))

    again = compute(parsed(given), observation(job(), pod(state=running()), report=received({"report": prepares})), 61)

    assert line(again) == ("Running", "Training", "preparing: loading model")


def test_a_finished_trainer_waits_for_the_job_without_a_new_phase() -> None:
    before = compute(parsed(), observation(job(), pod(state=running()), report=received({"report": REPORT})))

    status = compute(parsed(before), observation(job(), pod(state=terminated(0))), 95)

    assert line(status) == ("Running", "Finishing", "the trainer has finished; waiting for the Job to complete")


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
    with_checkpoint = {"checkpoints": [{"step": 125, "uri": "pvc://yelp-0f9be1d4/x"}]}

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


def test_after_the_last_attempt_no_new_one_is_announced() -> None:
    once = parsed(runPolicy={"backoffLimit": 1})
    first, second = pod(1, state=terminated(1)), pod(2, state=terminated(1))

    retried = compute(once, observation(job(), first))
    gave_up = compute(once, observation(job(), first, second))

    assert line(retried)[:2] == ("Pending", "Retrying")
    assert line(gave_up)[1] == "Failing"
    assert "new one" not in gave_up["message"]
