"""One run of a benchmark: by the whole program of ours, or by a script as people write them."""

import dataclasses
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
import transformers
from gpu_figures import Operations, utilization
from torch.utils.data import Sampler
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, TrainingArguments

from finetune_api.report import Stage
from finetune_api.run import RunConfig
from finetune_api.status import Progress
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.data.examples import Examples
from finetune_trainer.data.tokenizing import padding_multiple
from finetune_trainer.engines.batching import LengthGroupedSampler, evaluation_order
from finetune_trainer.progress.endpoint import Endpoint
from finetune_trainer.progress.reporter import Reporter
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.train import run
from finetune_trainer.settings.arguments import check_arguments
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.settings.device import find_device
from finetune_trainer.settings.run_plan import make_plan

TEST_ROWS = 200
Seconds = npt.NDArray[np.float64]
"""On the clock, and of all cores."""
_NONE = np.zeros(2)


def _now() -> Seconds:
    return np.array([time.perf_counter(), time.process_time()])


@dataclass(frozen=True)
class Measured:
    """One run."""

    rows: int
    """Rows trained, over all epochs."""
    steps: int
    seconds: float
    """Of training, saving included."""
    cpu_seconds: float
    """Of all cores and threads in the same time: what other programs on the machine disturb less."""
    stall_seconds: float
    """Of them, how long the training waited for checkpoints."""
    score: float
    """Accuracy on the test rows at the end."""
    intervals: list[float]
    """Seconds from each step to the next one, saves and evaluations between them included; last, from the last step to
    the end of the training."""

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def rows_per_cpu_second(self) -> float:
        return self.rows / self.cpu_seconds

    @property
    def stall_share(self) -> float:
        return self.stall_seconds / self.seconds


@dataclass(frozen=True)
class Workload:
    """What is trained, on what."""

    name: str
    model: Path
    data: Path
    rows: int
    epochs: int
    batch_size: int
    learning_rate: float
    length: int | None
    """Tokens in each row, where all are alike."""

    def config(self, engine: str, output: Path, rows: int) -> RunConfig:
        """The run as a user of ours writes it."""
        preprocessing = {"maxLength": self.length} if self.length else {}
        return RunConfig.model_validate(
            {
                "task": "text-classification",
                "model": {"source": f"file://{self.model}"},
                "dataset": {
                    "source": f"file://{self.data}",
                    "train": {"split": "train", "samples": rows},
                    "evaluation": {"split": "test", "samples": TEST_ROWS},
                },
                "preprocessing": preprocessing,
                "training": {
                    "engine": engine,
                    "epochs": self.epochs,
                    "batchSize": self.batch_size,
                    "learningRate": self.learning_rate,
                },
                "output": {"uri": f"file://{output}"},
                "reporting": {"intervalSeconds": 2},
            }
        )

    def utilization(self) -> Callable[[float], float | None] | None:
        """From rows a second to the share of the GPU's peak that the model's own operations take."""
        if self.length is None or not torch.cuda.is_available():
            return None
        config = transformers.AutoConfig.from_pretrained(self.model)
        model, length, device = transformers.BertModel(config), self.length, torch.cuda.get_device_name()
        weights = sum(layer.weight.numel() for layer in model.encoder.modules() if isinstance(layer, torch.nn.Linear))
        each = Operations(weights, layers=config.num_hidden_layers, width=config.hidden_size, context=length)
        return lambda rows_per_second: utilization(each, rows_per_second * length, device)


_LAST_WAIT = ("Training", "Exporting")


class Clock(RunState):
    """The state of a run that notes when its stage changed, and when each step was done."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[tuple[Seconds, Stage]] = []
        self.steps: dict[int, float] = {}
        """When each was done; 0 is when the first one began."""

    def set_progress(self, progress: Progress) -> None:
        self.steps.setdefault(progress.step, time.perf_counter())
        super().set_progress(progress)

    def intervals(self) -> list[float]:
        end = next(moment[0] for moment, stage in self.moments if stage == "Exporting")
        return [after - before for before, after in pairwise([*self.steps.values(), end])]

    def stage(self, stage: Stage, message: str | None = None) -> None:
        self.moments.append((_now(), stage))
        super().stage(stage, message)

    def seconds(self, *wanted: Stage) -> Seconds:
        """How long the run was in these stages."""
        return sum(end - start for (start, stage), (end, _) in pairwise(self.moments) if stage in wanted) + _NONE

    def stall_seconds(self) -> Seconds:
        """How long the training waited for checkpoints: for the copies, and at its end until the last one is written."""
        ends = (end - start for (start, stage), (end, next_) in pairwise(self.moments) if (stage, next_) == _LAST_WAIT)
        return self.seconds("Saving") + sum(ends)


def program(workload: Workload, engine: str, folder: Path, short: bool = False) -> Measured:
    """A run of ours, from its settings to the exported model, with a thread that reports."""
    output = folder / "ours"
    rows = 2 * workload.batch_size if short else workload.rows
    config = workload.config(engine, output, rows)
    state = Clock()
    reporter = Reporter(state, Endpoint.from_environment(), config.reporting.interval_seconds, lambda: None)
    reporter.start()
    run(config, {}, state, StopSignal(before_exit=lambda: None))
    reporter.finish()
    shutil.rmtree(output)
    current, seconds = state.current, state.seconds("Training", "Saving")
    accuracy = next(metric.value for metric in current.metrics if metric.name == "eval_accuracy")
    return Measured(
        rows=rows * workload.epochs,
        steps=current.progress.step if current.progress else 0,
        seconds=seconds[0],
        cpu_seconds=seconds[1],
        stall_seconds=state.stall_seconds()[0],
        score=float(accuracy),
        intervals=state.intervals(),
    )


class _Timed(transformers.Trainer):
    """transformers' Trainer with two stop watches."""

    evaluating = saving = _NONE
    order: Sampler[int] | None = None
    evaluation_order: list[int] | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return self.order or super()._get_train_sampler(train_dataset)

    def _get_eval_sampler(self, eval_dataset: Any) -> Any:
        return self.evaluation_order or super()._get_eval_sampler(eval_dataset)

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        start = _now()
        metrics = super().evaluate(*arguments, **options)
        self.evaluating = self.evaluating + _now() - start
        return metrics

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        start = _now()
        super()._save_checkpoint(*arguments, **options)
        self.saving = self.saving + _now() - start


class _Steps(transformers.TrainerCallback):
    """Notes when the first step began, and when each was done."""

    def on_train_begin(self, *arguments: Any, **options: Any) -> None:
        self.start = _now()
        self.moments: list[float] = [self.start[0]]

    def on_step_end(self, *arguments: Any, **options: Any) -> None:
        self.moments.append(time.perf_counter())


def plain_script(workload: Workload, folder: Path, tutorial: bool = False, our_order: bool = False) -> Measured:
    """The tutorial's script, or one with the arguments that ours takes; `our_order`: with the rows in our order too."""
    output, splits = folder / "plain", _splits(workload)
    names = sorted(set(splits["train"]["label"]))
    tokenizer = AutoTokenizer.from_pretrained(workload.model)
    longest = workload.length or tokenizer.model_max_length
    padding = {"padding": "max_length"} if tutorial else {}

    def encode(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        encoded = dict(tokenizer(rows["text"], truncation=True, max_length=longest, **padding))
        lengths = [len(tokens) for tokens in encoded["input_ids"]]
        return {**encoded, "length": lengths, "labels": [names.index(label) for label in rows["label"]]}

    encoded = {
        name: split.map(encode, batched=True, remove_columns=split.column_names) for name, split in splits.items()
    }
    use_cpu = not torch.cuda.is_available()
    arguments = _tutorial(workload, output) if tutorial else _as_ours(workload, output, use_cpu)
    transformers.set_seed(arguments.seed)
    clock = _Steps()
    trainer = _Timed(
        model=AutoModelForSequenceClassification.from_pretrained(
            workload.model, num_labels=len(names), dtype=torch.float32
        ),
        args=arguments,
        train_dataset=encoded["train"],
        eval_dataset=encoded["test"],
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=padding_multiple(longest, use_cpu)),
        compute_metrics=lambda prediction: {
            "accuracy": float(np.mean(np.argmax(prediction.predictions, axis=-1) == prediction.label_ids))
        },
        callbacks=[clock],
    )
    if our_order:
        lengths = {name: rows["length"][:] for name, rows in encoded.items()}
        trainer.order = LengthGroupedSampler(lengths["train"], workload.batch_size, arguments.seed)
        trainer.evaluation_order = evaluation_order(Examples(encoded["test"], lengths["test"]))
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    end = _now()
    seconds = end - clock.start - trainer.evaluating
    intervals = [after - before for before, after in pairwise([*clock.moments, end[0]])]
    score = next(line["eval_accuracy"] for line in reversed(trainer.state.log_history) if "eval_accuracy" in line)
    shutil.rmtree(output)
    rows = len(encoded["train"]) * workload.epochs
    return Measured(rows, trainer.state.global_step, seconds[0], seconds[1], trainer.saving[0], score, intervals)


def _tutorial(workload: Workload, output: Path) -> TrainingArguments:
    """The Trainer's defaults, with what the tutorial gives; steps and learning rate are those of the others."""
    return TrainingArguments(
        output_dir=str(output),
        eval_strategy="epoch",
        save_strategy="epoch",
        num_train_epochs=workload.epochs,
        per_device_train_batch_size=workload.batch_size,
        learning_rate=workload.learning_rate,
        report_to="none",
        disable_tqdm=True,
    )


def _as_ours(workload: Workload, output: Path, use_cpu: bool) -> TrainingArguments:
    config = workload.config("trainer", output, workload.rows)
    given = check_arguments(config.training.arguments)
    batch = BatchPlan.from_settings(config.training.batch_size, given)
    ours = make_plan(config, given, find_device(use_cpu, processes=1), workload.rows, batch).arguments
    return dataclasses.replace(ours, output_dir=str(output), remove_unused_columns=True, include_for_metrics=[])


def _splits(workload: Workload) -> dict[str, datasets.Dataset]:
    """The rows that ours takes: those of the same seed."""
    loaded = datasets.load_dataset(str(workload.data))
    wanted = {"train": workload.rows, "test": TEST_ROWS}
    drawn = {name: np.random.default_rng(42).permutation(len(loaded[name]))[:count] for name, count in wanted.items()}
    return {name: loaded[name].select(rows) for name, rows in drawn.items()}
