"""A job at a glance, its card and a comparison, as a terminal prints them."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console, RenderableType

from finetune.comparison import compare
from finetune.explanation import Explanation
from finetune.snapshot import Snapshot, read_snapshot
from finetune_cli.display.card import card
from finetune_cli.display.comparison import comparison_view
from finetune_cli.display.job import job_line, job_view

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CURVES = {"training": {"steps": "1 2 3", "series": [{"name": "loss", "values": "3 2 1"}]}}


def job(name: str = "stars", spec: dict[str, Any] | None = None, **status: Any) -> Snapshot:
    return read_snapshot({"metadata": {"name": name, "namespace": "team-a"}, "spec": spec or {}, "status": status})


def printed(view: RenderableType, width: int = 80) -> list[str]:
    screen = Console(width=width)
    with screen.capture() as captured:
        screen.print(view)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_job_that_runs_is_head_bar_numbers_and_a_curve_of_the_loss() -> None:
    running = job(
        phase="Running",
        message="epoch 0.5 of 1",
        progress={"step": 3, "percent": 50, "etaSeconds": 60},
        metrics=[
            {"name": name, "value": value}
            for name, value in (("loss", "1"), ("eval_loss", "2"), ("eval_f1", "0.51234"))
        ],
        usage={"gpuSeconds": {"total": 3600}, "until": "2026-11-28T10:00:00Z"},
        curves=CURVES,
    )

    lines = printed(job_view(running, 80))

    assert lines[:3] == [
        "stars  ● Running  epoch 0.5 of 1",
        "████████████████████░░░░░░░░░░░░░░░░░░░░  50 %  1m",
        "loss 1  evaluation loss 2  f1 0.5123  best f1 0.5123  1.0 GPU-h",
    ]
    assert len(lines) == 3 + 12
    assert max(map(len, lines)) <= 80
    assert job_line(running) == "stars  Running  █████░░░░░  50 %  1m: epoch 0.5 of 1"


TRACKED = [
    {"tracker": "mlflow", "url": "https://mlflow.corp.example/#/experiments/1/runs/0f9be1d4"},
    {"tracker": "trackio", "message": "2 of 9 points have not arrived: it is down; finetune track stars sends them"},
]


def test_where_a_job_is_tracked_and_what_has_not_arrived_is_in_its_view_and_on_its_card() -> None:
    tracked = job(phase="Succeeded", message="done", tracking=TRACKED)
    explanation = Explanation("stars", "Succeeded", "Succeeded", "", "done", "nothing", None, "")

    view, shown = printed(job_view(tracked, 120), 120), printed(card(explanation, tracked, NOW), 140)

    mlflow = "https://mlflow.corp.example/#/experiments/1/runs/0f9be1d4"
    trackio = "– (2 of 9 points have not arrived: it is down; finetune track stars sends them)"
    assert view == ["stars  ✓ Succeeded  done", f"mlflow  {mlflow}", f"trackio  {trackio}"]
    assert [line.split(maxsplit=2) for line in shown[-2:]] == [["at", "mlflow", mlflow], ["at", "trackio", trackio]]


def test_a_job_that_nobody_has_seen_is_its_head() -> None:
    assert printed(job_view(job(), 80)) == ["stars  ○ Pending  no operator has seen it yet"]
    assert job_line(job()) == "stars  Pending: no operator has seen it yet"


def test_a_card_has_a_line_for_each_part_that_there_is() -> None:
    told = {"attempts": 3, "message": "it answers 503"}
    failed = job(
        phase="Failed",
        warnings=[{"reason": "ShortRows", "message": "3 rows are empty"}],
        notifications=[
            {"target": "chat", "state": "Delivered", "attempts": 2},
            {"target": "ci", "nextAttemptTime": "2026-11-28T13:00:00Z", **told},
            {"target": "pager", "state": "GivenUp", **told},
        ],
    )
    explanation = Explanation(
        name="stars",
        phase="Failed",
        reason="ColumnNotFound",
        meaning="",
        message="no column 'tag'",
        remedy="name one that is there",
        since=datetime(2026, 11, 28, 10, tzinfo=UTC),
        proof="",
    )

    assert printed(card(explanation, failed, NOW)) == [
        "job            stars  ✕ Failed",
        "reason         ColumnNotFound",
        "what happened  no column 'tag'",
        "what to do     name one that is there",
        "since          2026-11-28T10:00:00Z, 2h ago",
        "warning        ShortRows: 3 rows are empty",
        "not told       ci: it answers 503 (3 attempts, again at 2026-11-28T13:00:00Z)",
        "not told       pager: it answers 503 (3 attempts, given up)",
    ]


def test_a_comparison_marks_the_best_and_draws_the_losses() -> None:
    one, other = (
        job(
            name,
            {"training": {"epochs": epochs}},
            phase="Succeeded",
            metrics=[{"name": "eval_loss", "value": loss}],
            curves=CURVES,
        )
        for name, epochs, loss in (("one", 1, "0.5"), ("other", 2, "nan"))
    )

    lines = printed(comparison_view(compare([one, other]), 80))

    assert [line.split() for line in lines[:6]] == [
        ["one", "other"],
        ["settings"],
        ["training.epochs", "1", "2"],
        ["metrics"],
        ["eval_loss", "0.5", "–"],
        ["cost"],
    ]
    assert any(line.split() == ["(loss)", "^"] for line in lines)
    assert any("⠀" <= char <= "⣿" for char in "".join(lines))


def test_jobs_that_are_alike_differ_in_nothing() -> None:
    lines = printed(comparison_view(compare([job("one"), job("other")]), 80))

    assert [line.strip() for line in lines[1:4]] == ["settings", "no difference", "metrics"]
    assert lines[4].strip() == "none yet"
