"""The trainer's final report must always fit into a termination message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_api.report import MAX_TERMINATION_BYTES, FinalReport
from finetune_api.status import (
    Adjustment,
    BestCheckpoint,
    Checkpoint,
    Evaluation,
    ExportedModel,
    Failure,
    MetricValue,
    Progress,
    Provenance,
)
from finetune_api.thinning import Point, make_curves

_TEXT = st.text(max_size=1024)
_METRICS = st.lists(
    st.builds(MetricValue, name=st.text(min_size=1, max_size=64), value=st.floats().map(lambda value: f"{value:.6g}")),
    max_size=32,
)
_REPORTS = st.builds(
    FinalReport,
    exit_code=st.integers(0, 255),
    output_empty=st.booleans(),
    metrics=_METRICS,
    evaluations=st.lists(st.builds(Evaluation, step=st.integers(0, 10**9), metrics=_METRICS), max_size=20),
    checkpoints=st.lists(st.builds(Checkpoint, step=st.integers(0, 10**9), uri=_TEXT, metrics=_METRICS), max_size=20),
    curves=st.none()
    | st.integers(0, 2000).map(lambda count: make_curves([Point(n, {"loss": n / 7}) for n in range(count)], [])),
    provenance=st.none() | st.builds(Provenance, model_revision=st.text(max_size=256)),
    failure=st.none()
    | st.builds(
        Failure, reason=st.just("LossNotFinite"), message=_TEXT, hint=st.none() | _TEXT, log_tail=st.text(max_size=2048)
    ),
)


@pytest.mark.slow
@given(_REPORTS)
def test_any_final_report_fits_and_keeps_its_exit_code_the_reason_of_a_failure_and_whether_anything_was_saved(
    report: FinalReport,
) -> None:
    message = report.to_termination_message()

    read = FinalReport.model_validate_json(message)
    assert len(message.encode()) <= MAX_TERMINATION_BYTES
    assert (read.exit_code, read.output_empty) == (report.exit_code, report.output_empty)
    assert (read.failure and read.failure.reason) == (report.failure and report.failure.reason)


@pytest.mark.parametrize(("text", "adjustments"), [(0, 2), (1000, 0)])
def test_the_model_and_the_newest_checkpoint_are_kept_longest(text: int, adjustments: int) -> None:
    uri = "s3://bucket/" + "x" * 800
    report = FinalReport(
        exit_code=0,
        progress=Progress(step=9, percent=100),
        adjustments=[Adjustment(step=n, reason="CudaOutOfMemory", message="m" * 256) for n in range(8)],
        checkpoints=[Checkpoint(step=n, uri=uri) for n in range(9)],
        best_checkpoint=BestCheckpoint(step=8, uri=uri, metric="eval_loss", value="1"),
        model=ExportedModel(uri=uri),
        provenance=Provenance(image="i" * 512),
        failure=Failure(reason="LossNotFinite", message="m" * text),
    )

    read = FinalReport.model_validate_json(report.to_termination_message())

    assert (read.model, read.checkpoints, read.progress) == (report.model, report.checkpoints[-1:], report.progress)
    assert read.failure == report.failure
    assert len(read.adjustments) == adjustments


def test_a_short_final_report_is_kept_whole() -> None:
    report = FinalReport(
        exit_code=0,
        metrics=[MetricValue(name="eval_accuracy", value="0.91")],
        checkpoints=[Checkpoint(step=125, uri="pvc://team-a/run/checkpoints/step-000125", size_bytes=10)],
    )

    assert FinalReport.model_validate_json(report.to_termination_message()) == report
