"""What a run will be, by its settings, the shapes of its model's weights, and its tokenised rows."""

import logging
import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import TrainingArguments

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_trainer.base.hardware import available_memory
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.task_data import TaskData
from finetune_trainer.engines.registry import ENGINES
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.load import Found, load_model, trains_in_bf16
from finetune_trainer.run.memory_estimate import (
    Sizes,
    copy_shortage,
    estimate_memory,
    estimate_output,
    merge_shortage,
    output_shortage,
    shortage,
    sizes_of,
)
from finetune_trainer.run.out_of_memory import free_memory
from finetune_trainer.run.preflight.findings import Findings, Lengths, to_status
from finetune_trainer.run.preflight.table import table
from finetune_trainer.settings import device_defaults as speed
from finetune_trainer.settings.arguments import build_arguments, check_arguments
from finetune_trainer.settings.requirements import tell_odd_steps
from finetune_trainer.storage.output import Output

logger = logging.getLogger(__name__)

_PRECISION = ("bf16", "bf16_full_eval", "fp16", "fp16_full_eval", "tf32")
"""Fields of TrainingArguments that it checks against the device at hand."""


@dataclass(frozen=True)
class Target:
    """What a run trains on."""

    use_cpu: bool
    here: bool = True
    """Whether it is on this machine; else its memory is not known, and of GPUs those of today are assumed."""

    @property
    def name(self) -> str:
        """How people call it."""
        if self.use_cpu:
            return "CPU"
        return torch.cuda.get_device_name(0) if self.here else "GPU"

    def free(self, processes: int) -> int | None:
        """Bytes of memory that each of `processes` on a machine can take; None where nothing is known of it."""
        return free_memory(self.use_cpu, processes) if self.here else None

    def in_bf16(self, config: RunConfig) -> bool:
        """Whether the forward pass is in bfloat16."""
        if self.here or self.use_cpu:
            return trains_in_bf16(config, self.use_cpu)
        return speed.trains_in_bf16(check_arguments(config.training.arguments), speed.SOME_GPU)

    def arguments(self, config: RunConfig, rows: int) -> TrainingArguments:
        """Those of the run. What a machine without its GPUs would refuse is left out of them."""
        scratch = Path("checkpoints")  # nothing is written
        if self.here or self.use_cpu:
            return build_arguments(config, scratch, rows, self.use_cpu)
        given = {name: value for name, value in config.training.arguments.items() if name not in _PRECISION}
        training = config.training.model_copy(update={"arguments": given})
        return build_arguments(config.model_copy(update={"training": training}), scratch, rows, use_cpu=True)


def foretell(found: Found, target: Target, output: Output | None, *, fresh: bool = True) -> Findings:
    """What the run will be. What may not be enough for it is warned of.

    Args:
        output: Where it writes; None where that is not at hand.
        fresh: Whether the run has written nothing there yet: what a resumed one has takes up room that was free before.

    Raises:
        TrainerError: MODEL or BAD_CONFIGURATION, where such a model cannot be trained as it is asked for.
    """
    config, data = found.config, found.data
    sizes = sizes_of(load_model(config, data, replace(found.pretrained, empty=True), found.use_cpu))
    lengths = measure_lengths(data, config)
    sequences = round(len(data.train.lengths) * len(found.train.dataset) / found.taken)
    arguments, devices = target.arguments(config, sequences), config.processes * config.nodes
    steps = count_steps(sequences, devices, arguments)
    tell_odd_steps(config, check_arguments(config.training.arguments), steps)
    bf16 = target.in_bf16(config)
    memory = estimate_memory(sizes, config, config.training.batch_size, lengths.longest, found.use_cpu, bf16)
    available, output_bytes = target.free(config.processes), estimate_output(sizes, config)
    if short := shortage(memory, available):
        gpus = None if found.use_cpu else gpus_needed(sizes, config, lengths.longest, bf16, available or 0)
        way_out = (
            f"; spread over {gpus} GPUs (resources.gpus) by training.parallelism: fsdp it should fit" if gpus else ""
        )
        warn(Reason.MEMORY_SHORT, short + way_out)
    host = available_memory() if target.here else None
    for short in filter(None, (f(sizes, config, found.use_cpu, host) for f in (copy_shortage, merge_shortage))):
        warn(Reason.MEMORY_SHORT, short)
    if short := output_shortage(output_bytes, output.free if output and fresh else None):
        warn(Reason.OUTPUT_SHORT, short)
    return Findings(
        model=config.model.source,
        revision=found.pretrained.revision,
        parameters=sizes.parameters,
        trained=sizes.trained,
        dataset=config.dataset.source,
        train_rows=len(found.train.dataset),
        evaluation_rows=len(found.evaluation.dataset) if found.evaluation else 0,
        tokenised=found.taken,
        labels=count_labels(data),
        lengths=lengths,
        steps=steps,
        batch_size=config.training.batch_size * arguments.gradient_accumulation_steps * devices,
        device=target.name,
        memory=memory,
        available=available,
        output=config.output.uri,
        output_bytes=output_bytes,
        output_open=output is not None,
    )


def gpus_needed(sizes: Sizes, config: RunConfig, longest: int, bf16: bool, free: int) -> int | None:
    """Over how many GPUs with `free` bytes each FSDP would have to spread the model; None where no number would do.

    Args:
        longest: Tokens in the longest row.
    """
    training = config.training
    if not ENGINES[training.engine].distributed or (training.lora and training.lora.quantization):
        return None  # these are not spread
    spread = training.model_copy(update={"parallelism": "fsdp"})
    for gpus in (2, 4, 8, 16, 32, 64):
        larger = config.model_copy(update={"gpus": gpus, "nodes": 1, "training": spread})
        memory = estimate_memory(sizes, larger, training.batch_size, longest, use_cpu=False, bf16=bf16)
        if memory.total <= free:
            return gpus
    return None


def tell(findings: Findings, state: RunState) -> None:
    """Say it in the log and in the status."""
    state.set_preflight(to_status(findings))
    logger.info("%s", table(findings))


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
