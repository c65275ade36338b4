"""What the children do: a training by the whole program of ours, or by a script as people write them."""

import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import datasets
import peft
import torch
import transformers
from gpu_workloads import RANK, Settings, Workload
from measuring import Clock
from ruamel.yaml import YAML
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from finetune_api.report import ENV_TERMINATION_LOG, FinalReport, Stage
from finetune_api.status import Progress
from finetune_trainer import __main__ as program
from finetune_trainer.base.hardware import version_of
from finetune_trainer.settings.device import find_device
from finetune_trainer.settings.device_defaults import device_defaults
from finetune_trainer.settings.training_arguments import name_here

Result = dict[str, Any]
_LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "peft", "trl", "tokenizers", "huggingface-hub")


def look() -> Result:
    """The machine, and what is installed."""
    gpu = torch.cuda.is_available()
    return {
        "card": torch.cuda.get_device_name() if gpu else None,
        "card_memory": torch.cuda.get_device_properties(0).total_memory if gpu else None,
        "driver_cuda": torch.version.cuda,
        "cores": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in _LIBRARIES}},
    }


class Watch(Clock):
    """Notes when steps and stages began. The GPU works behind the program: at the moments that count, it is waited for."""

    def __init__(self, awaited: tuple[int, ...]) -> None:
        """`awaited` are the steps whose end counts."""
        super().__init__()
        self._awaited = awaited

    def set_progress(self, progress: Progress) -> None:
        if progress.step in self._awaited:
            _wait_for_gpu()
        super().set_progress(progress)

    def stage(self, stage: Stage, message: str | None = None) -> None:
        if stage in ("Saving", "Exporting"):
            _wait_for_gpu()
        super().stage(stage, message)


def _wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def train(settings: Settings, folder: Path, watch: Watch | None = None) -> tuple[int, FinalReport]:
    """A run of ours, from its settings to its end in this process. Returns its exit code and last word."""
    folder.mkdir(parents=True, exist_ok=True)
    config, last_word = folder / "run.yaml", folder / "last-word.json"
    YAML().dump(settings, config)
    os.environ[ENV_TERMINATION_LOG] = str(last_word)
    if watch is not None:
        vars(program)["RunState"] = lambda *_: watch
    code = program.main(["--config", str(config)])
    return code, FinalReport.model_validate_json(last_word.read_text(encoding="utf-8"))


def train_alone(settings: Settings, folder: Path) -> Result:
    """A run of ours that nobody watches."""
    code, last = train(settings, folder)
    return {"code": code, "resumed_from": last.resumed_from_step, **_told(last)}


def ours(workload: Workload, settings: Settings, folder: Path) -> Result:
    """Speed and memory of a run of ours."""
    begun, before = time.perf_counter(), _memory_now()
    watch = Watch((workload.warm_up, workload.last_step))
    code, last = train(settings, folder, watch)
    found = {"code": code, "whole_seconds": time.perf_counter() - begun, "peak": _peak(before), **_told(last)}
    if code == 0:
        seconds = watch.steps[workload.last_step] - watch.steps[workload.warm_up]
        found |= {**workload.seconds_to(seconds), "step_seconds": seconds / workload.steps}
    if (preflight := watch.current.preflight) and preflight.memory:
        found["estimate"] = preflight.memory.total
    return found


def saving(workload: Workload, settings: Settings, folder: Path) -> Result:
    """How long a run of ours waits for its checkpoints."""
    watch = Watch((workload.warm_up, workload.last_step))
    code, last = train(settings, folder, watch)
    saves, copying = sum(stage == "Saving" for _, stage in watch.moments), float(watch.seconds("Saving")[0])
    whole = float(watch.seconds("Training", "Saving")[0])
    return {
        "code": code,
        "saves": saves,
        "bytes": last.checkpoints[-1].size_bytes if last.checkpoints else None,
        "training_seconds": whole,
        "copy_seconds": copying,
        "last_wait_seconds": float(watch.stall_seconds()[0]) - copying,
        **_told(last),
    }


def _told(last: FinalReport) -> Result:
    failure = last.failure
    return {
        "adjustments": [adjustment.message for adjustment in last.adjustments],
        "failure": f"{failure.reason}: {failure.message}; {failure.hint}" if failure else None,
        "steps": last.progress.step if last.progress else 0,
    }


def _memory_now() -> int:
    """Bytes of the GPU's memory that this process holds; without a GPU, the most that it ever had of the machine's."""
    if torch.cuda.is_available():
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.reset_peak_memory_stats()
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _peak(before: int) -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return _memory_now() - before


class _Steps(transformers.TrainerCallback):
    """Notes when the warm-up and the last step were done."""

    def __init__(self, workload: Workload) -> None:
        self._awaited = (workload.warm_up, workload.last_step)
        self.moments: dict[int, float] = {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self._awaited:
            _wait_for_gpu()
            self.moments[state.global_step] = time.perf_counter()


def plain_classifier(workload: Workload, model: Path, data: Path, folder: Path) -> Result:
    """A script with transformers' Trainer, as one writes it who has read how to make it fast."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = datasets.load_dataset("json", data_files=str(data / "train.jsonl"), split="train")

    def encode(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        encoded = dict(tokenizer(batch["text"], truncation=True, max_length=workload.length))
        return {**encoded, "labels": [int(label == "odd") for label in batch["label"]]}

    encoded = rows.map(encode, batched=True, remove_columns=rows.column_names)
    classifier = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2, dtype=torch.float32)
    arguments = transformers.TrainingArguments(**_arguments(workload, folder), learning_rate=5e-5)
    collate = transformers.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
    trainer = transformers.Trainer(
        model=classifier, args=arguments, train_dataset=encoded, processing_class=tokenizer, data_collator=collate
    )
    return _measured(trainer, workload)


def plain_language_model(workload: Workload, model: Path, data: Path, folder: Path) -> Result:
    """A script with trl's SFTTrainer and peft, packing and the adapter as ours has them."""
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    rows = datasets.load_dataset("json", data_files=str(data / "train.jsonl"), split="train")
    language_model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    given = _arguments(workload, folder) | {name_here("activation_checkpointing"): False}
    arguments = SFTConfig(**given, learning_rate=1e-4, max_length=workload.length, packing=True)
    adapter = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = SFTTrainer(
        model=language_model, args=arguments, train_dataset=rows, peft_config=adapter,
        processing_class=AutoTokenizer.from_pretrained(model),
    )  # fmt: skip
    return _measured(trainer, workload)


def _arguments(workload: Workload, folder: Path) -> dict[str, Any]:
    """Mixed precision, TF32 and loading in other processes where there is a GPU, as ours chooses them."""
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(folder),
        "max_steps": workload.last_step,
        "per_device_train_batch_size": workload.batch_size,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 10,
        "bf16": False,
        **device_defaults({}, find_device(not gpu, processes=1)),
    }


def _measured(trainer: transformers.Trainer, workload: Workload) -> Result:
    clock = _Steps(workload)
    trainer.add_callback(clock)
    before = _memory_now()
    trainer.train()
    seconds = clock.moments[workload.last_step] - clock.moments[workload.warm_up]
    return {"peak": _peak(before), "step_seconds": seconds / workload.steps, **workload.seconds_to(seconds)}
