"""What a preflight finds out of a run, as it is in the status."""

from typing import Annotated

from pydantic import Field

from finetune_api.base import LenientModel
from finetune_api.values import Bytes, Count, Decimal, Step, Word

MAX_CLASSES = 24


class ClassRows(LenientModel):
    """How many training rows (for tags: words) are of one class."""

    name: Word
    rows: Count


class TokenLengths(LenientModel):
    """Tokens in a training row."""

    median: Count
    p95: Count
    """19 of 20 rows have at most as many."""
    longest: Count
    limit: Count | None = None
    """Most tokens that a row may have."""
    at_limit: Decimal | None = None
    """Share of the rows that are as long as that, such as "0.216"; they may have been cut."""


class MemoryEstimate(LenientModel):
    """Bytes that the training needs on each device."""

    weights: Bytes
    gradients: Bytes
    optimizer: Bytes
    activations: Bytes
    checkpoint: Bytes = 0
    """The copy of a checkpoint, where the training is on the CPU."""
    total: Bytes
    available: Bytes | None = None
    """Free on the device where this was found out; absent where the system does not report it."""


class Preflight(LenientModel):
    """What was found out before the first step: what the run reads, and what it will take."""

    train_rows: Count
    evaluation_rows: Count = 0
    class_count: Count = 0
    """How many classes there are; 0 where the task has none."""
    classes: Annotated[list[ClassRows], Field(max_length=MAX_CLASSES)] = []
    """Of many classes the first 24."""
    lengths: TokenLengths | None = None
    sampled_rows: Count | None = None
    """Training rows of which classes and lengths were taken, where not of all."""
    steps: Step
    """Optimizer steps of the whole run."""
    batch_size: Count
    """Rows of an optimizer step, on all devices."""
    parameters: Count
    trained_parameters: Count
    device: Word | None = None
    memory: MemoryEstimate | None = None
    output_bytes: Bytes | None = None
    """What checkpoints and model take at the most."""
