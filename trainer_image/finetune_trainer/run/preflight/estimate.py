"""Estimates what a run will be: by its settings, the shapes of its model's weights, and its tokenized rows."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import torch

from finetune_api.reasons import Reason
from finetune_api.sources import Preprocessing
from finetune_trainer.base.hardware import available_memory
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.data.task_data import TaskData
from finetune_trainer.run.find import Found
from finetune_trainer.run.load import load_model
from finetune_trainer.run.memory_estimate import (
    copy_shortage,
    estimate_memory,
    estimate_output,
    gpus_needed,
    merge_shortage,
    output_shortage,
    shortage,
    sizes_of,
)
from finetune_trainer.run.preflight.findings import Findings, Lengths
from finetune_trainer.run.preflight.odd_steps import warn_of_odd_steps
from finetune_trainer.settings.device import Device
from finetune_trainer.settings.run_plan import RunPlan
from finetune_trainer.storage.output import Output


def estimate_run(found: Found, plan: RunPlan, output: Output | None, *, fresh: bool = True) -> Findings:
    """Estimate steps, memory and output of a run, and warn of what may not be enough for it.

    Args:
        output: Where it writes; None where that is not at hand.
        fresh: Whether the run has written nothing there yet: what a resumed one has takes up room that was free before.

    Raises:
        TrainerError: MODEL or BAD_CONFIGURATION, where such a model cannot be trained as it is asked for.
    """
    config, data = plan.config, found.data
    available = free_memory(plan.device, config.processes)
    lengths, steps = measure_lengths(data, config.preprocessing), count_steps(plan)
    model = load_model(plan, data, replace(found.pretrained, empty=True))
    warn_of_odd_steps(config, plan.arguments, steps)
    sizes = sizes_of(model)
    memory, output_bytes = estimate_memory(sizes, plan, lengths.longest), estimate_output(sizes, config)
    if short := shortage(memory, available):
        gpus = gpus_needed(sizes, plan, lengths.longest, available or 0)
        way_out = (
            f"; spread over {gpus} GPUs (resources.gpus) by training.parallelism: fsdp it should fit" if gpus else ""
        )
        warn(Reason.MEMORY_SHORT, short + way_out)
    host = available_memory() if plan.device.here else None
    for short in filter(None, (f(sizes, plan, host) for f in (copy_shortage, merge_shortage))):
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
        batch_size=plan.batch.batch_size * plan.batch.accumulation * plan.world_size,
        device=plan.device.name,
        memory=memory,
        available=available,
        output=config.output.uri,
        output_bytes=output_bytes,
        output_open=output is not None,
    )


def free_memory(device: Device, processes: int) -> int | None:
    """Return the bytes that one of `processes` on this machine can still take: of its GPU's memory, or its share of the CPU's.

    None where nothing is known of it.
    """
    if not device.here:
        return None
    if device.gpu:
        return int(torch.cuda.mem_get_info()[0])
    free = available_memory()
    return None if free is None else free // processes


def measure_lengths(data: TaskData, settings: Preprocessing) -> Lengths:
    """Of the rows in `data`, as they go into batches."""
    found, limit = np.array(data.train.lengths), data.longest
    padded = limit is not None and settings.padding == "max_length"
    return Lengths(
        median=int(np.median(found)),
        p95=int(np.percentile(found, 95)),
        longest=limit if padded and limit else int(found.max()),
        limit=limit,
        at_limit=float(np.mean(found >= limit)) if limit else 0.0,
    )


def count_labels(data: TaskData) -> dict[str, int]:
    """Count the training rows of each class. Labels are class ids, a mark for each class, or an id for each word."""
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


def count_steps(plan: RunPlan) -> int:
    """Optimizer steps of a run, as transformers' Trainer counts them."""
    if plan.arguments.max_steps > 0:
        return int(plan.arguments.max_steps)
    return math.ceil(_steps_per_epoch(plan) * plan.arguments.num_train_epochs)


def count_evaluations(plan: RunPlan, steps: int) -> int:
    """Evaluations of a run of so many steps. What is due each n steps is also due after the last one."""
    if plan.config.dataset.evaluation is None:
        return 0
    return math.ceil(steps / (plan.config.evaluation.steps or _steps_per_epoch(plan)))


def _steps_per_epoch(plan: RunPlan) -> int:
    batch = plan.batch.batch_size * plan.world_size
    batches = plan.rows // batch if plan.arguments.dataloader_drop_last else math.ceil(plan.rows / batch)
    return math.ceil(batches / plan.batch.accumulation)
