"""How to train, when to evaluate and when to save."""

from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from finetune_api.arguments import Arguments
from finetune_api.base import ApiModel
from finetune_api.rules import Rule
from finetune_api.sources import Name, Problem, Seed

Task: TypeAlias = Literal["text-classification", "token-classification", "causal-lm", "seq2seq"]
Engine: TypeAlias = Literal["trainer", "pytorch", "keras"]
Steps: TypeAlias = Annotated[int, Field(ge=1, le=10_000_000)]

Metric: TypeAlias = Literal[
    "accuracy", "f1", "precision", "recall", "matthews_correlation",
    "pearsonr", "spearmanr", "mse", "mae",
    "perplexity", "rouge1", "rouge2", "rougeL", "sacrebleu", "chrf",
]  # fmt: skip
BestMetric: TypeAlias = Literal[Metric, "loss"]

METRICS_OF_PROBLEM: Final[dict[Problem, tuple[Metric, ...]]] = {
    "single_label_classification": ("accuracy", "f1", "precision", "recall", "matthews_correlation"),
    "multi_label_classification": ("accuracy", "f1", "precision", "recall"),
    "regression": ("pearsonr", "spearmanr", "mse", "mae"),
}
METRICS_OF_TASK: Final[dict[Task, tuple[Metric, ...]]] = {
    "text-classification": tuple(dict.fromkeys(metric for each in METRICS_OF_PROBLEM.values() for metric in each)),
    "token-classification": ("accuracy", "f1", "precision", "recall"),
    "causal-lm": ("accuracy", "perplexity"),
    "seq2seq": ("rouge1", "rouge2", "rougeL", "sacrebleu", "chrf"),
}
MAIN_METRICS: Final[dict[Task, tuple[Metric, ...]]] = {
    "text-classification": ("accuracy", "f1", "pearsonr"),
    "token-classification": ("f1",),
    "causal-lm": ("perplexity",),
    "seq2seq": ("rougeL",),
}
"""The metric that `status.message` shows where the manifest names none: the first of these that the trainer computes."""
LOWER_IS_BETTER: Final = ("loss", "mse", "mae", "perplexity")


class Lora(ApiModel):
    """LoRA: small matrices beside the model's own are trained, and nothing else. See https://arxiv.org/abs/2106.09685."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of the matrices."""
    alpha: Annotated[float, Field(gt=0, le=65_536)] = 16
    """Their output is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0
    """Share of their input that is dropped while training."""
    target_modules: Annotated[list[Name], Field(min_length=1, max_length=64)] | None = None
    """Names of the modules that get them, such as q_proj. Every linear layer but the output if left out."""
    quantization: Literal["4bit", "8bit"] | None = None
    """Hold the model's own weights in 4 or 8 bits (QLoRA). Needs bitsandbytes in the image."""
    merge: bool = False
    """Export the model with the adapter merged into it, to `model/`; the adapter itself is then in `adapter/`. If false, `model/` is the adapter."""


class Training(ApiModel):
    """How to train. The defaults are those of transformers' TrainingArguments."""

    engine: Engine = "trainer"
    """`trainer` is transformers' Trainer, `pytorch` a plain PyTorch loop, `keras` Keras' compile and fit with KerasHub (text-classification on one device)."""
    epochs: Annotated[float, Field(gt=0, le=10_000)] = 3
    """Passes over the training rows; may be a fraction."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Rows in a batch on each device."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-5
    """Highest learning rate of the schedule."""
    seed: Seed = 42
    """Seed of weights, shuffling and dropout."""
    parallelism: Literal["ddp", "fsdp"] = "ddp"
    """With more than one process: `ddp` holds the whole model on each device, `fsdp` a part of it."""
    lora: Lora | None = None
    """Train an adapter instead of the whole model."""
    arguments: Arguments = {}
    """Any other field of transformers.TrainingArguments by its own name, such as `warmup_steps: 100`: text, a number, a boolean, or a flat list or map of such; 16 KiB in all. Fields that the operator sets itself (output_dir, report_to, the save and evaluation strategy, …) are refused."""


_STEPS: Rule["_Interval"] = Rule(
    cel="(self.strategy == 'steps') == has(self.steps)",
    holds=lambda self: (self.strategy == "steps") == (self.steps is not None),
    message="steps is required with strategy 'steps', and only then",
)


class _Interval(ApiModel):
    rules: ClassVar[tuple[Rule[Any], ...]] = (_STEPS,)

    strategy: Literal["epoch", "steps"] = "epoch"
    """At the end of each epoch, or each `steps` steps."""
    steps: Steps | None = None
    """Optimizer steps from one time to the next, with strategy `steps`."""


_BEST_METRIC: Rule["Evaluation"] = Rule(
    cel="!has(self.bestMetric) || self.bestMetric == 'loss' || !has(self.metrics) || self.bestMetric in self.metrics",
    holds=lambda self: self.metrics is None or self.best_metric in (None, "loss", *self.metrics),
    message="bestMetric must be 'loss' or one of metrics",
)
_PATIENCE: Rule["Evaluation"] = Rule(
    cel="!has(self.patience) || has(self.bestMetric)",
    holds=lambda self: self.patience is None or self.best_metric is not None,
    message="patience needs bestMetric",
    field=".patience",
)


class Evaluation(_Interval):
    """When and by which metrics to evaluate. It takes rows in `dataset.evaluation`."""

    rules = (*_Interval.rules, _BEST_METRIC, _PATIENCE)

    metrics: Annotated[list[Metric], Field(max_length=8)] | None = None
    """Metrics of the `evaluate` library, reported as `eval_<metric>`. If left out: accuracy; f1 for multi-label; pearsonr and spearmanr for regression; precision, recall, f1 and accuracy of entities (seqeval) for token-classification; perplexity for causal-lm; rouge1, rouge2 and rougeL for seq2seq. f1, precision and recall are those of the second class where there are two, and the mean over classes (macro) where there are more."""
    best_metric: BestMetric | None = None
    """Which metric chooses the best checkpoint; that one is exported then. `loss` is the evaluation loss. If left out, the last one is exported."""
    patience: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Stop early when `bestMetric` has not become better in as many evaluations, one after the other."""


class Checkpoints(_Interval):
    """When to save, and how many to keep."""

    keep: Annotated[int, Field(ge=1, le=16)] = 3
    """How many of the newest checkpoints to keep. The best one is kept besides."""
