"""A real training under a real operator is one trace at a collector."""

from collections.abc import Iterator

import pytest
from tests.integration.fixtures import OperatorProcess, Space, finetunejob
from tests.otlp_collector import Collector, collecting, values

from devcluster.testing.api import wait_for

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def collector(operator_process: OperatorProcess, space: Space) -> Iterator[Collector]:
    """A collector to which the session's operator sends traces meanwhile."""
    with collecting() as started:
        operator_process.end()
        operator_process.environment |= {ENDPOINT: started.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        operator_process.start()
        yield started
        operator_process.end()
        del operator_process.environment[ENDPOINT]
        operator_process.start()


@pytest.mark.slow
def test_a_training_is_one_trace_with_its_stages_its_passes_and_its_reports(collector: Collector, space: Space) -> None:
    space.apply(finetunejob("traced"))
    status = space.end_of("traced")
    uid = space.get("ftj", "traced")["metadata"]["uid"]
    spans = wait_for(
        lambda: collector.trace(uid),
        lambda found: any(span.name == "FineTuneJob" for span in found),
        "the root of the trace",
    )
    space.kubectl("delete", "ftj", "traced")

    by_id = {span.span_id: span for span in spans}
    job, attempt = (next(span for span in spans if span.name == name) for name in ("FineTuneJob", "attempt"))
    parents = {span.name: by_id[span.parent_span_id].name for span in spans if span is not job}
    assert status["phase"] == values(job.attributes)["finetune.phase"] == "Succeeded"
    assert values(attempt.attributes)["k8s.pod.name"] == status["attempts"][0]["pod"]
    assert (
        parents.items()
        >= {
            "queue": "FineTuneJob",
            "attempt": "FineTuneJob",
            "Preparing": "attempt",
            "report": "attempt",
            "reconcile": "FineTuneJob",
            "create jobs": "reconcile",
            "update finetunejobs/status": "reconcile",
        }.items()
    )
    assert {"Training", "Evaluating", "Saving", "Exporting"} & parents.keys()
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    assert values(attempt.attributes)["finetune.exit_code"] == 0
