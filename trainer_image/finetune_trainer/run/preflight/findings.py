"""What the preflight finds."""

from dataclasses import dataclass

from finetune_api.preflight import MAX_CLASSES, ClassRows, MemoryEstimate, Preflight, TokenLengths
from finetune_trainer.base.redaction import redact
from finetune_trainer.progress.state import format_number
from finetune_trainer.run.memory_estimate import Memory

_LONGEST_NAME = 64


@dataclass(frozen=True)
class Lengths:
    """Tokens in a training row."""

    median: int
    p95: int
    longest: int
    limit: int | None
    """Most tokens that a row may have."""
    at_limit: float
    """Share of the rows that are as long as that; they may have been cut."""


@dataclass(frozen=True)
class Timing:
    """How long a run takes on the device of the findings: its steps and its evaluations. Loading, checkpoints and the export come besides."""

    measured_steps: int
    cores: int
    """CPU cores of the machine that it was measured on."""
    step_seconds: tuple[float, float]
    """Between these lies the mean."""
    evaluations: int
    evaluation_seconds: float
    """Of one of them; 0 where there is none."""
    seconds: tuple[float, float]
    """Of all steps and evaluations, from what to what."""


@dataclass(frozen=True)
class Findings:
    """What a run will be."""

    model: str
    revision: str
    parameters: int
    trained: int
    dataset: str
    train_rows: int
    evaluation_rows: int
    tokenised: int  # spelt so in what `prepare --json` prints
    """Training rows of which lengths and labels were taken."""
    labels: dict[str, int]
    """Rows (for tags: words) of each class in these; empty where there are no classes."""
    lengths: Lengths
    steps: int
    batch_size: int
    """Rows of an optimizer step, on all devices."""
    device: str
    memory: Memory
    available: int | None
    """Bytes of memory on a device that are free now; None where nothing is known of it."""
    output: str
    output_bytes: int
    """What checkpoints and model take there at the most."""
    output_open: bool
    """Whether the output was looked at, and can be written."""
    timing: Timing | None = None
    not_timed: str | None = None
    """Why there is no timing, where one was asked for."""


def to_status(found: Findings) -> Preflight:
    """Return the findings for reports and `status.preflight`: of many classes the first ones, of long names the beginning."""
    lengths, memory = found.lengths, found.memory
    return Preflight(
        train_rows=found.train_rows,
        evaluation_rows=found.evaluation_rows,
        class_count=len(found.labels),
        classes=[
            ClassRows(name=redact(name)[:_LONGEST_NAME], rows=rows)
            for name, rows in list(found.labels.items())[:MAX_CLASSES]
        ],
        lengths=TokenLengths(
            median=lengths.median,
            p95=lengths.p95,
            longest=lengths.longest,
            limit=lengths.limit,
            at_limit=format_number(round(lengths.at_limit, 4)) if lengths.limit else None,
        ),
        sampled_rows=found.tokenised if found.tokenised < found.train_rows else None,
        steps=found.steps,
        batch_size=found.batch_size,
        parameters=found.parameters,
        trained_parameters=found.trained,
        device=found.device[:_LONGEST_NAME],
        memory=MemoryEstimate(
            weights=memory.weights,
            gradients=memory.gradients,
            optimizer=memory.optimizer,
            activations=memory.activations,
            checkpoint=memory.checkpoint,
            total=memory.total,
            available=found.available,
        ),
        output_bytes=found.output_bytes,
    )
