"""What the table of a run says to people."""

from dataclasses import replace

import pytest

from finetune_trainer.run.memory_estimate import Memory
from finetune_trainer.run.preflight.findings import Findings, Lengths, Timing
from finetune_trainer.run.preflight.table import table

FOUND = Findings(
    model="file:///model", revision="sha256:0123", parameters=1000, trained=1000, dataset="file:///data.csv", train_rows=90,
    evaluation_rows=10, tokenised=90, labels={}, lengths=Lengths(median=6, p95=7, longest=9, limit=64, at_limit=0.0), steps=72,
    batch_size=16, device="CPU", memory=Memory(weights=1, gradients=1, optimizer=1, activations=1, checkpoint=0), available=None,
    output="file:///out", output_bytes=1, output_open=True,
)  # fmt: skip


def line(found: Findings, name: str) -> str:
    return next(each for each in table(found).splitlines() if each.startswith(f"{name}:"))


@pytest.mark.parametrize(("steps", "told"), [((17.9, 17.9), "about"), ((1.0, 2.0), "1 min 12 s to 2 min 24 s on")])
def test_one_figure_is_no_range(steps: tuple[float, float], told: str) -> None:
    low, high = steps
    timing = Timing(
        measured_steps=1, cores=2, step_seconds=steps, evaluations=0, evaluation_seconds=0, seconds=(72 * low, 72 * high)
    )  # fmt: skip

    shown = line(replace(FOUND, timing=timing), "time")

    assert told in shown
    assert shown.count(" to ") == (0 if low == high else 2)


@pytest.mark.parametrize(("share", "told"), [(0.0, "which none reach"), (0.216, "which 21.6 % reach")])
def test_how_many_rows_reach_the_limit_is_said_in_the_unit_of_the_rest(share: float, told: str) -> None:
    assert told in line(replace(FOUND, lengths=replace(FOUND.lengths, at_limit=share)), "tokens")
