"""`prepare`: all that can be known of a run in seconds, without loading a weight or training a step."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import TrainingArguments

from finetune_api.run import RunConfig
from finetune_trainer.data.rows import load_rows
from finetune_trainer.data.sampling import sample_rows
from finetune_trainer.engines.arguments import build_arguments
from finetune_trainer.memory.estimate import (
    Memory,
    estimate_memory,
    estimate_output,
    merge_shortage,
    output_shortage,
    shortage,
    sizes_of,
)
from finetune_trainer.memory.failures import available_memory, free_memory
from finetune_trainer.models.pretrained import check_weights, find_pretrained, load_tokenizer
from finetune_trainer.prepared import Inputs, TaskData
from finetune_trainer.preparing import load_model, prepare_task, trains_in_bf16
from finetune_trainer.reporting.state import RunState
from finetune_trainer.run import check_settings
from finetune_trainer.run_warnings import collected
from finetune_trainer.storage.output import Volumes, open_output

SAMPLE = 5_000
"""So many rows of a split are tokenised at the most."""


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
class Survey:
    """What a run will be."""

    model: str
    revision: str
    parameters: int
    trained: int
    dataset: str
    train_rows: int
    evaluation_rows: int
    tokenised: int
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
    """Bytes of memory on a device that are free now; None where the system does not tell."""
    output: str
    output_bytes: int
    """What checkpoints and model take there at the most."""
    warnings: list[str]
    """Of what is probably not meant, and of what may not be enough."""


def survey(config: RunConfig, volumes: Volumes, state: RunState) -> Survey:
    """Check everything that a run needs, and foretell what it will be. Of many rows only a sample is tokenised.

    Raises:
        TrainerError: What the run would fail with before its first step.
    """
    with collected(state.add_warning):
        return _survey(config, volumes, state)


def _survey(config: RunConfig, volumes: Volumes, state: RunState) -> Survey:
    use_cpu = check_settings(config)
    output = open_output(config, volumes)
    state.stage("Preparing", f"looking for model {config.model.source}")
    pretrained = find_pretrained(config.model, volumes)
    check_weights(pretrained, config.model)
    tokenizer = load_tokenizer(pretrained, config.model)
    state.stage("Preparing", f"reading data set {config.dataset.source}")
    train, evaluation = load_rows(config.dataset, volumes)
    column = label_column(config)
    some = sample_rows(train, SAMPLE, column)
    some_more = sample_rows(evaluation, SAMPLE, column) if evaluation else None
    data = prepare_task(
        Inputs(config, pretrained, tokenizer, some, some_more, use_cpu, lambda text: state.stage("Preparing", text))
    )
    sizes = sizes_of(load_model(config, data, replace(pretrained, empty=True), use_cpu))
    lengths = measure_lengths(data, config)
    sequences = round(len(data.train.lengths) * len(train.dataset) / len(some.dataset))
    arguments = build_arguments(config, output.checkpoints, sequences, use_cpu)
    devices = config.processes * config.nodes
    bf16 = trains_in_bf16(config, use_cpu)
    memory = estimate_memory(sizes, config, config.training.batch_size, lengths.longest, use_cpu, bf16)
    available, output_bytes = free_memory(use_cpu, config.processes), estimate_output(sizes, config)
    warnings = (
        shortage(memory, available),
        merge_shortage(sizes, config, use_cpu, available_memory()),
        output_shortage(output_bytes, output.free),
    )
    return Survey(
        model=config.model.source,
        revision=pretrained.revision,
        parameters=sizes.parameters,
        trained=sizes.trained,
        dataset=config.dataset.source,
        train_rows=len(train.dataset),
        evaluation_rows=len(evaluation.dataset) if evaluation else 0,
        tokenised=len(some.dataset),
        labels=count_labels(data),
        lengths=lengths,
        steps=count_steps(sequences, devices, arguments),
        batch_size=config.training.batch_size * arguments.gradient_accumulation_steps * devices,
        device="CPU" if use_cpu else torch.cuda.get_device_name(0),
        memory=memory,
        available=available,
        output=config.output.uri,
        output_bytes=output_bytes,
        warnings=[
            *(warning.message for warning in state.current.warnings),
            *(warning for warning in warnings if warning),
        ],
    )


def label_column(config: RunConfig) -> str | None:
    """The column that holds classes, if one does."""
    columns = config.dataset.columns
    match config.task:
        case "text-classification" if config.model.problem_type != "regression":
            return columns.label
        case "token-classification":
            return columns.tags
        case _:
            return None


def measure_lengths(data: TaskData, config: RunConfig) -> Lengths:
    """Of the rows in `data`, as they go into batches."""
    found, limit = np.array(data.train.lengths), data.longest
    padded = limit is not None and config.preprocessing.padding == "max_length"
    return Lengths(
        median=int(np.median(found)),
        p95=int(np.percentile(found, 95)),
        longest=limit if padded and limit else int(found.max()),
        limit=limit,
        at_limit=float(np.mean(found >= limit)) if limit else 0.0,
    )


def count_labels(data: TaskData) -> dict[str, int]:
    """How often each class stands in the training rows: class ids, a mark for each class, or an id for each word."""
    if not data.label_names:
        return {}
    counts: Counter[int] = Counter()
    for label in data.train.dataset["labels"]:
        if not isinstance(label, list):
            counts[int(label)] += 1
        elif label and isinstance(label[0], float):
            counts.update(number for number, marked in enumerate(label) if marked)
        else:
            counts.update(number for number in label if number >= 0)
    return {name: counts[number] for number, name in enumerate(data.label_names)}


def count_steps(rows: int, devices: int, arguments: TrainingArguments) -> int:
    """Optimizer steps of a run, as transformers' Trainer counts them."""
    if arguments.max_steps > 0:
        return int(arguments.max_steps)
    batch = arguments.per_device_train_batch_size * devices
    batches = rows // batch if arguments.dataloader_drop_last else math.ceil(rows / batch)
    epoch = math.ceil(batches / arguments.gradient_accumulation_steps)
    return math.ceil(epoch * arguments.num_train_epochs)
