"""Checks what settings need of packages, of the machine and of each other, before anything is read."""

import dataclasses
import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from accelerate.utils import DynamoBackend
from torch._inductor import list_mode_options
from transformers import SchedulerType, Trainer, TrainingArguments
from transformers.training_args import OptimizerNames
from transformers.utils.import_utils import is_liger_kernel_available

from finetune_api.reasons import Reason
from finetune_api.training import Lora
from finetune_trainer.base.errors import TrainerError, bad_configuration
from finetune_trainer.base.text import did_you_mean, listed

_SOME_STEPS = 1000


def check_requirements(given: Mapping[str, Any], learning_rate: float, use_cpu: bool) -> None:
    """Check that packages and hardware for training.arguments are here.

    Args:
        given: training.arguments, as `arguments.check_arguments` gave them.

    Raises:
        TrainerError: BAD_CONFIGURATION, naming the argument, and the package or hardware that it needs.
    """
    if given.get("use_liger_kernel"):
        if not is_liger_kernel_available():
            raise _needs("use_liger_kernel", "the package liger-kernel, which is not installed")
        if use_cpu:
            raise _needs("use_liger_kernel", "a GPU: its kernels are of Triton")
    if use_cpu and given.get("fp16"):
        raise _needs("fp16", "a GPU", "use bf16 on a CPU, or leave it out")
    _check_compiler(given, use_cpu)
    check_optimizer(given, learning_rate, use_cpu)


def check_quantization(lora: Lora | None, spread: bool) -> None:
    """Check that what `training.lora.quantization` needs is here.

    Args:
        spread: Whether fsdp spreads the weights over several processes.

    Raises:
        TrainerError: BAD_CONFIGURATION when bitsandbytes is needed and not there, or cannot do what is asked.
    """
    if lora is None or lora.quantization is None:
        return
    if spread:
        raise bad_configuration(
            "training.lora.quantization: quantized weights cannot be spread over processes by fsdp",
            "set training.parallelism to ddp, where each device holds all of them, or leave quantization out",
        )
    if find_spec("bitsandbytes") is None:
        raise bad_configuration(
            f"training.lora.quantization: {lora.quantization} needs bitsandbytes, which is not in this image",
            "add it to the image: pip install 'finetune-operator[trainer,qlora]'; or leave quantization out",
            Reason.BITS_AND_BYTES_NOT_INSTALLED,
        )


def _check_compiler(given: Mapping[str, Any], use_cpu: bool) -> None:
    backend, mode = given.get("torch_compile_backend"), given.get("torch_compile_mode")
    backends, modes = [known.value.lower() for known in DynamoBackend], list(list_mode_options())
    if backend is not None and backend.lower() not in backends:
        raise _unknown("torch_compile_backend", backend, backends)
    if mode is not None and mode not in modes:
        raise _unknown("torch_compile_mode", mode, modes)
    # As transformers has it, naming one of the two switches it on.
    if (given.get("torch_compile") or backend or mode) and (backend or "inductor").lower() == "inductor":
        compilers = (os.environ.get("CXX" if use_cpu else "CC"), *(("g++", "clang++") if use_cpu else ("gcc", "clang")))
        if not any(shutil.which(name) for name in compilers if name):
            raise _needs("torch_compile", "a compiler for C++, and there is none here")


def check_optimizer(given: Mapping[str, Any], learning_rate: float, use_cpu: bool) -> None:
    """Make optimizer and schedule as the Trainer does, for a model of one layer. Opens no device.

    Raises:
        TrainerError: As `check_requirements`.
    """
    trainer: Any = object.__new__(Trainer)  # without its model and its accelerator
    layer = torch.nn.Linear(64, 64)  # large enough to be in 8 bits
    trainer.model, trainer.args = torch.nn.Sequential(layer), _arguments(given, learning_rate)
    trainer.optimizer = trainer.lr_scheduler = trainer.optimizer_cls_and_kwargs = None
    try:
        optimizer = trainer.create_optimizer()
        if use_cpu and type(optimizer).__module__.startswith("bitsandbytes"):
            layer(torch.ones(1, 64)).sum().backward()
            optimizer.step()
    except ImportError as error:
        raise _refused("optim", trainer.args, error) from error
    except Exception as error:  # it raises whatever its checks happen to meet
        if given.get("optim_target_modules") is None:  # else the fault may be that these are none of that layer
            raise _refused("optim", trainer.args, error) from error
        return
    try:
        trainer.create_scheduler(_SOME_STEPS)
    except Exception as error:
        raise _refused("lr_scheduler_type", trainer.args, error) from error


def _arguments(given: Mapping[str, Any], learning_rate: float) -> TrainingArguments:
    """As they will be, without a look at the machine, which would already choose a device and meet other processes."""
    arguments = object.__new__(TrainingArguments)
    for field in dataclasses.fields(TrainingArguments):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        setattr(arguments, field.name, given.get(field.name, default))
    arguments.learning_rate = learning_rate
    for name, kind in (("optim", OptimizerNames), ("lr_scheduler_type", SchedulerType)):
        try:
            setattr(arguments, name, kind(getattr(arguments, name)))
        except ValueError as error:
            raise bad_configuration(f"training.arguments.{name}: {error}") from error
    return arguments


def _unknown(field: str, value: str, known: list[str]) -> TrainerError:
    return bad_configuration(
        f"training.arguments.{field}: there is no '{value}'{did_you_mean(value, known)}", f"there are {listed(known)}"
    )


def _refused(field: str, arguments: TrainingArguments, error: Exception) -> TrainerError:
    value = (
        OptimizerNames(arguments.optim).value if field == "optim" else SchedulerType(arguments.lr_scheduler_type).value
    )
    why = " ".join(str(error).split()) or type(error).__name__
    fields = "optim, optim_args and optim_target_modules" if field == "optim" else f"{field} and lr_scheduler_kwargs"
    return bad_configuration(
        f"training.arguments.{field}: '{value}' is not possible: {why:.400}",
        "install the package in the trainer's image, or use another optim" if isinstance(error, ImportError) else f"change {fields}",
    )  # fmt: skip


def _needs(field: str, what: str, hint: str | None = None) -> TrainerError:
    return bad_configuration(
        f"training.arguments.{field}: needs {what}", hint or "leave it out, or use an image or a machine that has it"
    )
