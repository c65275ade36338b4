"""What Argo CD and Flux make of a FineTuneJob, over statuses of every phase as the operator computes them."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from cel_expr_python import cel
from lupa import lua51
from tests.unit.finetune_operator.samples import (
    finetunejob,
    job,
    observation,
    parsed,
    pod,
    received,
    running,
    terminated,
)
from tests.unit.finetune_operator.status.statuses import FINAL, REPORT, compute

from finetune_api.status import PHASES
from finetune_operator.job.observation import Cause

GITOPS = Path(__file__).parents[3] / "examples" / "gitops"


def trains(status: Any = None) -> dict[str, Any]:
    return compute(parsed(status), observation(job(), pod(state=running()), report=received({"report": REPORT})))


def unreadable() -> dict[str, Any]:
    return compute(parsed(trains(), task="sorting"), observation(job(), pod(state=running())), 70)


def ended() -> dict[str, Any]:
    report = received({"report": {**REPORT, **FINAL}})
    seen = observation(job(end=("Complete", "CompletionsReached", "")), pod(state=terminated(0)), report=report)
    return compute(parsed(trains()), seen, 101)


JOBS: dict[str, tuple[dict[str, Any] | None, str, str]] = {
    "before the first status": (None, "Progressing", "inProgress"),
    "Pending": (compute(parsed(), observation()), "Progressing", "inProgress"),
    "Queued": (compute(parsed(), observation(job(suspend=True, start=None))), "Progressing", "inProgress"),
    "Preparing": (compute(parsed(), observation(job(), pod(state=running()))), "Progressing", "inProgress"),
    "Running": (trains(), "Progressing", "inProgress"),
    "Suspended": (compute(parsed(suspend=True), observation(job(suspend=True, start=None))), "Suspended", "inProgress"),
    "Succeeded": (ended(), "Healthy", "current"),
    "Failed": (
        compute(parsed(), observation(refused=Cause("SpecRefused", "Job.batch is invalid"))), "Degraded", "failed"
    ),
    "held back by a budget": (
        compute(parsed(), observation(blocked=Cause("BudgetUsedUp", "namespace team-a has used 9 of the 9 GPU-hours"))),
        "Progressing",
        "inProgress",
    ),
    "its tracker is away": (
        trains({"tracking": [{"tracker": "mlflow", "message": "the tracker does not answer"}]}),
        "Progressing",
        "inProgress",
    ),
    "ended, and nobody was told": (
        {**ended(), "notifications": [{"target": "ci", "state": "GivenUp", "attempts": 34, "message": "no answer"}]},
        "Healthy",
        "current",
    ),
    "a spec that is not read any more": (unreadable(), "Degraded", "failed"),
}  # fmt: skip


def argo_cd(manifest: dict[str, Any]) -> dict[str, str]:
    """What Argo CD's script answers. Its Lua is 5.1, as gopher-lua is, without libraries that reach out."""
    config = yaml.safe_load((GITOPS / "argocd-cm.yaml").read_text())
    script = config["data"]["resource.customizations.health.finetune.dev_FineTuneJob"]
    lua = lua51.LuaRuntime()
    lua.globals()["obj"] = lua.table_from(manifest, recursive=True)
    return dict(lua.execute(script))


def flux(manifest: dict[str, Any]) -> set[str]:
    """Which of Flux' expressions hold."""
    (expressions,) = yaml.safe_load((GITOPS / "flux.yaml").read_text())["spec"]["healthCheckExprs"]
    environment = cel.NewEnv(variables={"status": cel.Type.DYN})
    return {
        name
        for name in ("inProgress", "failed", "current")
        if environment.compile(expressions[name]).eval(data={"status": manifest.get("status", {})}).value()
    }


def test_every_phase_is_there() -> None:
    assert {status["phase"] for status, *_ in JOBS.values() if status} == set(PHASES)


@pytest.mark.parametrize(("status", "health", "state"), JOBS.values(), ids=JOBS.keys())
def test_argo_cd_and_flux_see_how_a_job_is(status: dict[str, Any] | None, health: str, state: str) -> None:
    manifest = finetunejob(status)

    answer = argo_cd(manifest)

    assert answer["status"] == health
    assert flux(manifest) == {state}
    if status is not None:
        assert answer["message"].startswith(status["message"])


def test_argo_cd_waits_until_the_operator_has_seen_the_newest_spec() -> None:
    manifest = finetunejob(JOBS["Succeeded"][0])
    manifest["metadata"]["generation"] = 2

    assert argo_cd(manifest)["status"] == "Progressing"


def test_argo_cd_shows_the_hint_of_a_failure() -> None:
    assert "delete the job and create it again" in argo_cd(finetunejob(JOBS["Failed"][0]))["message"]
