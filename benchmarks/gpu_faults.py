"""What goes wrong on purpose: a card that is too small, and a run that is stopped and killed."""

import gc
import hashlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from gpu_children import Child, Children, Failed
from gpu_figures import gib
from gpu_runs import Result, train_alone
from gpu_workloads import Settings, Workload, write_model, write_texts
from transformers import AutoModelForSequenceClassification

from finetune_api.report import ExitCode
from finetune_trainer.settings.training_arguments import name_here

_TOLD = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB."
_CHECKPOINTING = "activation_checkpointing"
_RUNGS = ("batch size", "evaluation batch size", "activation checkpointing")
"""How what is told of each begins."""


def long_rows(gpu: bool) -> Workload:
    """Small weights and long rows, so that activations are most of what is in memory."""
    length, layers, width = (4096, 24, 256) if gpu else (64, 2, 64)
    config = transformers.BertConfig(
        vocab_size=1000, hidden_size=width, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=4 * width,
        max_position_embeddings=length,
    )  # fmt: skip
    return Workload("long-rows", config, length, 4, 0, 3)


def small_rows(gpu: bool) -> Workload:
    """Steps so many and so short that a signal meets the run in their midst."""
    length, layers, width = (128, 4, 256) if gpu else (32, 1, 32)
    config = transformers.BertConfig(
        vocab_size=1000, hidden_size=width, num_hidden_layers=layers, num_attention_heads=4, intermediate_size=4 * width,
        max_position_embeddings=length,
    )  # fmt: skip
    return Workload("small-rows", config, length, 16 if gpu else 4, 0, 120)


# --- A card that is too small


def ladder(children: Children, folder: Path, deadline: float, gpu: bool) -> Iterator[Result]:
    """Down the whole ladder, and beyond its end."""
    workload = long_rows(gpu)
    evaluated = 64 * workload.batch_size if gpu else 8  # at once: without a gradient a row takes little
    model = write_model(folder / "model", workload)
    data = write_texts(folder / "texts", workload, evaluation_rows=evaluated)
    sizes = children.run("ladder-sizes", deadline, measure_row, workload, model) if gpu else {"least": 0, "most": 0}

    def run(name: str, size: int, checkpointing_helps: bool) -> Result:
        settings = workload.settings(model, data, folder / name)
        settings["training"]["arguments"]["per_device_eval_batch_size"] = evaluated
        settings["dataset"]["evaluation"] = {"split": "test"}
        work = (train_on_less, settings, folder / f"{name}-run", size, checkpointing_helps)
        found = children.run(f"ladder-{name}", deadline, *work)
        return {"memory": gib(size) if gpu else "injected", "exit": found["code"], **found}

    down = run("down", round((sizes["least"] * sizes["most"]) ** 0.5), True)
    rungs = [text.startswith(_RUNGS) for text in down["adjustments"]]
    whole = all(any(text.startswith(rung) for text in down["adjustments"]) for rung in _RUNGS) and all(rungs)
    yield {"case": "down the ladder", "as meant": down["code"] == ExitCode.SUCCESS and whole, **down}
    end = run("end", round(0.6 * sizes["least"]), False)
    told = end["failure"] or ""
    named = "not even for batches of 1 row with activation checkpointing" in told and "parameters" in told
    yield {"case": "beyond its end", "as meant": end["code"] == ExitCode.OUT_OF_MEMORY and named, **end}


def measure_row(workload: Workload, model: Path) -> Result:
    """Bytes on the GPU for training on one row at a time, with activations computed again (least) and kept (most)."""
    return {"least": _peak_of_row(workload, model, True), "most": _peak_of_row(workload, model, False)}


def _peak_of_row(workload: Workload, model: Path, again: bool) -> int:
    torch.cuda.init()  # type: ignore[no-untyped-call]
    torch.cuda.reset_peak_memory_stats()
    classifier: Any = AutoModelForSequenceClassification.from_pretrained(model, dtype=torch.float32).cuda()
    if again:
        getattr(classifier, f"{name_here(_CHECKPOINTING)}_enable")()
    optimizer = torch.optim.AdamW(classifier.parameters(), fused=True)
    tokens = torch.randint(4, workload.config.vocab_size, (1, workload.length), device="cuda")
    row = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": torch.zeros_like(tokens[:, 0])}
    for _ in range(2):  # the second step has the optimizer's state beside it
        for _ in range(2):  # and the second row the gradients of the first
            with torch.autocast("cuda", torch.bfloat16):
                loss = classifier(**row).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    peak = torch.cuda.max_memory_allocated()
    del classifier, optimizer
    gc.collect()
    torch.cuda.empty_cache()
    return int(peak)


def train_on_less(settings: Settings, folder: Path, size: int, checkpointing_helps: bool) -> Result:
    """A run of ours with so many bytes of the GPU. Without one, what CUDA says is raised for each batch that is too large."""
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(size / torch.cuda.get_device_properties(0).total_memory)
    else:
        _raise_as_cuda_does(2, checkpointing_helps)
    return train_alone(settings, folder)


def _raise_as_cuda_does(rows: int, checkpointing_helps: bool) -> None:
    """No training without activation checkpointing fits, and no evaluation of more than `rows`."""
    original = transformers.BertForSequenceClassification.forward

    def forward(self: Any, input_ids: torch.Tensor, **inputs: Any) -> Any:
        again = checkpointing_helps and getattr(self, f"is_{name_here(_CHECKPOINTING)}")
        if not again if self.training else len(input_ids) > rows:
            raise torch.OutOfMemoryError(_TOLD)
        return original(self, input_ids=input_ids, **inputs)

    transformers.BertForSequenceClassification.forward = forward  # type: ignore[method-assign]


# --- A run that is stopped and killed


_DETERMINED = {"full_determinism": True, "logging_steps": 7, "gradient_accumulation_steps": 2}
_EPOCHS = 3


@dataclass(frozen=True)
class Trace:
    """What a run left, as digests."""

    weights: str
    history: str
    """Losses and metrics of every log."""


def trace_of(output: Path) -> Trace:
    """Of a finished run."""
    return Trace(
        *(
            hashlib.sha256((output / name).read_bytes()).hexdigest()
            for name in ("model/model.safetensors", "history.jsonl")
        )
    )


def resumes(children: Children, folder: Path, deadline: float, gpu: bool) -> Iterator[Result]:
    """Each engine, undisturbed, after SIGTERM and after SIGKILL: all end with the same bits."""
    workload = small_rows(gpu)
    rows = workload.steps * workload.batch_size * _DETERMINED["gradient_accumulation_steps"] // _EPOCHS
    model, data = write_model(folder / "model", workload), write_texts(folder / "texts", workload, rows)
    for engine in ("trainer", "pytorch"):
        settings = workload.settings(model, data, folder / f"{engine}-whole")
        # Both engines know epochs. On a GPU other processes load the data without being told.
        arguments = _DETERMINED if gpu else {**_DETERMINED, "dataloader_num_workers": 1}
        settings["training"] |= {"engine": engine, "epochs": _EPOCHS, "arguments": arguments}
        settings["checkpoints"] = {"strategy": "steps", "steps": workload.steps // 6, "keep": 2}
        whole = children.run(f"{engine}-whole", deadline, train_alone, settings, folder / f"{engine}-run")
        for number in (signal.SIGTERM, signal.SIGKILL):
            told = {"engine": engine, "signal": number.name, "steps": workload.last_step}
            if whole["code"] != ExitCode.SUCCESS:
                yield told | {"exit": whole["code"], "as meant": False, "failure": f"undisturbed: {whole['failure']}"}
                continue
            again = _disturb(children, folder, deadline, f"{engine}-{number.name}", settings, number)
            same = again["code"] == ExitCode.SUCCESS and again["trace"] == trace_of(folder / f"{engine}-whole")
            expected = ExitCode.STOPPED if number == signal.SIGTERM else -number
            in_midst = 0 < again["resumed_from"] < workload.last_step
            yield told | {
                "exit": again["exit"], "resumed from": again["resumed_from"], "to the bit": same,
                "as meant": same and in_midst and again["exit"] == expected, "failure": again["failure"],
            }  # fmt: skip


def _disturb(
    children: Children, folder: Path, deadline: float, name: str, settings: Settings, number: signal.Signals
) -> Result:
    """Stop a run by a signal, and run it to its end. Returns how it ended, and what it left."""
    output = folder / name
    settings = settings | {"output": {"uri": f"file://{output}"}}
    disturbed = children.start(name, train_alone, settings, folder / f"{name}-run")
    _wait_for_checkpoint(disturbed, output, deadline)
    disturbed.signal(number)
    code = disturbed.ended(deadline)
    again = children.run(f"{name}-again", deadline, train_alone, settings, folder / f"{name}-run")
    return again | {"exit": code, "trace": trace_of(output) if again["code"] == ExitCode.SUCCESS else None}


def _wait_for_checkpoint(run: Child, output: Path, deadline: float) -> None:
    """Return when the second one is whole, so that the newest may just be under way."""
    while len(list(output.glob("checkpoints/*/manifest.json"))) < 2:
        if not run.running() or time.monotonic() > deadline:
            raise Failed(f"there was no checkpoint to stop after:\n{run.told()}")
        time.sleep(0.01)
