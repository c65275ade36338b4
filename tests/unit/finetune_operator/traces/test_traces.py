"""A job's life is one trace: its queue, its attempts, what its trainer did, the passes that changed something, its reports."""

import uuid

import pytest
from opentelemetry.trace import StatusCode
from tests.unit.finetune_operator.samples import START, UID, stamp
from tests.unit.finetune_operator.traces.lives import Life, attempt, ready

from finetune_api.status import FineTuneJobStatus
from finetune_operator.traces.span import Span
from finetune_operator.traces.traces import Traces

STAGES = ("Preparing", "Training", "Evaluating", "Saving", "Exporting")


@pytest.fixture
def life() -> Life:
    return Life()


def train(life: Life, pod: str = "yelp-1") -> None:
    """From second 30 to 80."""
    for time, stage, step in ((30, "Training", 0), (40, "Evaluating", 8), (50, "Saving", 8), (60, "Training", 8)):
        life.time = time
        life.report(stage, step, pod=pod)
    life.time = 70
    life.report("Exporting", 16, pod=pod)
    life.time = 80
    life.report("Finished", 16, pod=pod)


def succeed(life: Life) -> None:
    life.reconcile(("create", "jobs", 201), phase="Pending")
    life.time = 10
    life.reconcile(phase="Preparing", attempts=[attempt(startTime=stamp(10))])
    life.time = 20
    life.report("Preparing")
    train(life)
    over = attempt(startTime=stamp(10), endTime=stamp(81), exitCode=0, reason="Completed", node="n1", podSeconds=71)
    life.time = 82
    life.reconcile(
        phase="Succeeded",
        attempts=[over],
        completionTime=stamp(81),
        progress={"step": 16},
        conditions=ready("Succeeded"),
        usage={"gpuSeconds": {"total": 71}, "until": stamp(81)},
    )


def test_a_whole_life_is_one_trace_under_the_job_s_uid(life: Life) -> None:
    succeed(life)

    assert {span.context.trace_id for span in life.spans()} == {uuid.UUID(UID).int}
    assert life.told("FineTuneJob", "queue", "attempt", *STAGES) == [
        ("FineTuneJob", None, 0, 81),
        ("queue", "FineTuneJob", 0, 10),
        ("attempt", "FineTuneJob", 10, 81),
        ("Preparing", "attempt", 10, 30),
        ("Training", "attempt", 30, 40),
        ("Evaluating", "attempt", 40, 50),
        ("Saving", "attempt", 50, 60),
        ("Training", "attempt", 60, 70),
        ("Exporting", "attempt", 70, 80),
    ]
    assert life.told("reconcile", "create jobs", "update finetunejobs/status") == [
        ("reconcile", "FineTuneJob", 0, 1),
        ("create jobs", "reconcile", 0.5, 1),
        ("update finetunejobs/status", "reconcile", 0.5, 1),
        ("reconcile", "FineTuneJob", 10, 11),
        ("update finetunejobs/status", "reconcile", 10.5, 11),
        ("reconcile", "FineTuneJob", 82, 83),
        ("update finetunejobs/status", "reconcile", 82.5, 83),
    ]
    assert life.told("report")[0] == ("report", "attempt", 19.75, 20)
    assert len(life.told("report")) == 7


def test_job_and_attempt_say_how_they_ended(life: Life) -> None:
    succeed(life)

    job, attempted = (next(span for span in life.spans() if span.name == name) for name in ("FineTuneJob", "attempt"))

    assert dict(job.attributes or {}) == {
        "k8s.namespace.name": "team-a",
        "finetune.job.name": "yelp",
        "finetune.job.uid": UID,
        "finetune.run": 1,
        "finetune.phase": "Succeeded",
        "finetune.reason": "Succeeded",
        "finetune.attempts": 1,
        "finetune.steps": 16,
        "finetune.gpu_seconds": 71,
    }
    assert dict(attempted.attributes or {}) == {
        "finetune.attempt": 1,
        "k8s.pod.name": "yelp-1",
        "k8s.node.name": "n1",
        "finetune.exit_code": 0,
        "finetune.reason": "Completed",
        "finetune.pod_seconds": 71,
    }
    assert (job.status.status_code, attempted.status.status_code) == (StatusCode.UNSET, StatusCode.UNSET)


def test_a_failed_attempt_is_a_failure_and_the_next_one_a_span_of_its_own(life: Life) -> None:
    life.reconcile(phase="Preparing", attempts=[attempt(startTime=stamp(1))])
    life.report("Preparing")
    life.time = 5
    life.report("Training")
    first = attempt(startTime=stamp(1), endTime=stamp(9), exitCode=1, reason="CudaOutOfMemory")
    second = attempt(2, startTime=stamp(20), resumedFromStep=8)
    life.time = 10
    life.reconcile(phase="Preparing", attempts=[first])
    life.time = 25
    life.reconcile(phase="Preparing", attempts=[first, second])
    life.time = 30
    life.report("Training", 8, pod="yelp-2")
    failed = {**second, "endTime": stamp(40), "exitCode": 12, "reason": "ModelNotFound"}
    life.time = 41
    failure = {"reason": "ModelNotFound", "message": "a secret of theirs"}
    life.reconcile(phase="Failed", attempts=[first, failed], failure=failure, conditions=ready("ModelNotFound"))

    assert life.told("FineTuneJob", "queue", "attempt", *STAGES) == [
        ("FineTuneJob", None, 0, 42),
        ("queue", "FineTuneJob", 0, 1),
        ("attempt", "FineTuneJob", 1, 9),
        ("Preparing", "attempt", 1, 5),
        ("Training", "attempt", 5, 9),
        ("attempt", "FineTuneJob", 20, 40),
        ("Training", "attempt", 30, 40),
    ]
    failures = [(s.name, s.status.description) for s in life.spans() if s.status.status_code is StatusCode.ERROR]
    assert failures == [
        ("FineTuneJob", "ModelNotFound"),
        ("attempt", "CudaOutOfMemory"),
        ("attempt", "ModelNotFound"),
    ]
    assert "a secret of theirs" not in "".join(span.to_json() for span in life.spans())


def test_an_attempt_that_was_stopped_after_saving_has_not_failed(life: Life) -> None:
    life.reconcile(attempts=[attempt(startTime=stamp(1), endTime=stamp(9), exitCode=143, reason="Stopped")])

    assert [span.status.status_code for span in life.spans() if span.name == "attempt"] == [StatusCode.UNSET]


def test_another_operator_goes_on_with_the_trace_where_the_status_knows_since_when(life: Life) -> None:
    life.reconcile(phase="Preparing", attempts=[attempt(startTime=stamp(1))])
    life.report("Preparing")
    life.time = 5
    life.report("Training")
    life.reconcile(phase="Running", attempts=[attempt(startTime=stamp(1), trainingStartTime=stamp(5))])
    life.exporter.close()
    life.time = 20
    life.start_operator()
    life.report("Training", 100)
    life.time = 30
    life.report("Exporting", 200)
    life.reconcile(
        phase="Succeeded",
        attempts=[attempt(startTime=stamp(1), endTime=stamp(40), exitCode=0, reason="Completed")],
        completionTime=stamp(40),
    )

    assert life.told("FineTuneJob", "attempt", *STAGES) == [
        ("FineTuneJob", None, 0, 40),
        ("attempt", "FineTuneJob", 1, 40),
        ("Preparing", "attempt", 1, 5),
        ("Training", "attempt", 5, 30),
        ("Exporting", "attempt", 30, 40),
    ]


def test_another_run_is_a_span_of_the_same_trace_with_its_own_queue_and_attempts(life: Life) -> None:
    succeed(life)
    life.time = 100
    fresh = FineTuneJobStatus.model_validate({"phase": "Pending", "run": {"number": 2, "beginTime": stamp(100)}})
    life.reconcile(**{**dict.fromkeys(life.status.to_wire()), **fresh.to_wire()})
    again = attempt(pod="yelp-r2-1", startTime=stamp(110), endTime=stamp(120), exitCode=0, reason="Completed")
    life.time = 120
    life.reconcile(phase="Succeeded", attempts=[again], completionTime=stamp(120))

    assert life.told("FineTuneJob", "run", "queue", "attempt") == [
        ("FineTuneJob", None, 0, 81),
        ("queue", "FineTuneJob", 0, 10),
        ("attempt", "FineTuneJob", 10, 81),
        ("run", "FineTuneJob", 100, 120),
        ("queue", "run", 100, 110),
        ("attempt", "run", 110, 120),
    ]


def test_a_run_that_another_replaces_before_its_end_ends_with_that(life: Life) -> None:
    life.reconcile(phase="Running", attempts=[attempt(startTime=stamp(1))])
    life.report("Training")
    life.time = 50
    life.reconcile(phase="Pending", attempts=[], run={"number": 2, "beginTime": stamp(51)})

    assert life.told("FineTuneJob", "attempt", "Training") == [
        ("FineTuneJob", None, 0, 51),
        ("attempt", "FineTuneJob", 1, 51),
        ("Training", "attempt", 1, 51),
    ]
    assert [s.status.description for s in life.spans() if s.name == "attempt"] == ["Replaced"]


def test_a_preflight_is_part_of_the_job_and_no_attempt(life: Life) -> None:
    life.report("Preparing", pod="yelp-preflight-abc12-x", preflight=True)
    life.time = 10
    life.report("Finished", pod="yelp-preflight-abc12-x", preflight=True)
    life.reconcile(phase="Failed", conditions=ready("ColumnNotFound"), completionTime=stamp(11))

    assert life.told("preflight Preparing") == [("preflight Preparing", "FineTuneJob", 0, 10)]


def test_a_report_that_another_overtook_changes_nothing(life: Life) -> None:
    life.report("Training", sequence=8)
    life.time = 10
    life.report("Preparing", sequence=7)
    life.time = 20
    life.report("Exporting", sequence=9)

    assert life.told(*STAGES) == [("Training", "?", 0, 20)]


def test_a_pass_that_changes_nothing_has_no_span_and_one_that_writes_numbers_one_a_minute(life: Life) -> None:
    life.reconcile(("get", "namespaces", 200))
    for time in (10, 20, 69, 71):
        life.time = time
        life.reconcile(progress={"step": time})

    assert [begin for name, _, begin, _ in life.told("reconcile")] == [10, 71]


def test_a_pass_that_fails_says_on_what_and_what_it_raises_passes_through(life: Life) -> None:
    with pytest.raises(TimeoutError):
        life.reconcile(("create", "jobs", 0), ("create", "events", 403), error=TimeoutError("a secret of theirs"))

    failures = {span.name: span.status.description for span in life.spans()}
    assert failures == {"reconcile": "TimeoutError", "create jobs": "no answer", "create events": "403"}


def test_reports_with_nothing_new_have_one_span_a_minute(life: Life) -> None:
    for time in range(0, 180, 2):
        life.time = time
        life.report("Training", time)

    assert [end for *_, end in life.told("report")] == [0, 60, 120]


def test_a_job_that_is_deleted_before_it_ends_has_a_trace_with_a_root(life: Life) -> None:
    raw = {"metadata": {"uid": UID, "namespace": "team-a", "name": "yelp", "creationTimestamp": stamp(0)}}
    life.report("Training")
    life.time = 10
    life.traces.deleted({**raw, "status": {"phase": "Running"}})

    assert life.told("FineTuneJob", "Training") == [("Training", "?", 0, 10), ("FineTuneJob", None, 0, 10)]


def test_a_job_that_is_deleted_after_its_end_ends_once(life: Life) -> None:
    raw = {"metadata": {"uid": UID, "namespace": "team-a", "name": "yelp", "creationTimestamp": stamp(0)}}
    succeed(life)
    life.traces.deleted({**raw, "status": {"phase": "Succeeded"}})

    assert len(life.told("FineTuneJob")) == 1


def test_clocks_of_two_machines_give_no_span_that_ends_before_it_begins(life: Life) -> None:
    ended = attempt(startTime=stamp(-5), endTime=stamp(-9), exitCode=0)
    life.reconcile(phase="Succeeded", attempts=[ended], completionTime=stamp(-20))

    assert [each for each in life.told() if each[3] < each[2]] == []


def test_an_exporter_that_fails_harms_neither_a_pass_nor_a_report(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def emit(self, span: Span) -> None:
            raise RuntimeError("no disk, no network, no luck")

        def close(self) -> None:
            pass

    life = Life()
    life.traces = Traces(Broken())

    life.reconcile(("create", "jobs", 201), phase="Succeeded")
    life.report("Training")
    life.traces.deleted({"metadata": None})

    assert caplog.text.count("a span is lost") == 3


def test_without_an_exporter_nothing_is_noted() -> None:
    life = Life()
    life.traces = Traces()

    succeed(life)

    assert life.spans() == []
    assert life.status.phase == "Succeeded"


def test_what_is_remembered_of_jobs_is_bounded() -> None:
    life = Life()
    life.traces = Traces(life.exporter, jobs=2)
    for time, number in enumerate((1, 2, 3, 1, 3)):
        life.uid, life.time = str(uuid.UUID(int=number)), time
        life.report("Training" if time < 3 else "Exporting")

    assert life.told("Training") == [("Training", "?", 2, 4)]  # the first one's beginning was forgotten


def test_a_status_that_says_nothing_completes_nothing(life: Life) -> None:
    life.reconcile(message="waiting")

    assert life.told("FineTuneJob", "attempt", "queue") == []
    assert life.status == FineTuneJobStatus(message="waiting")
    assert START.timestamp() == life.spans()[0].start_time / 1e9  # type: ignore[operator]
