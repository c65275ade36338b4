"""What training.arguments needs and is not there is told before anything is read; what can be done is not refused."""

from typing import Any

import pytest
from transformers import TrainingArguments
from transformers.training_args import OptimizerNames
from transformers.utils.import_utils import is_liger_kernel_available

from finetune_trainer.base.errors import TrainerError
from finetune_trainer.settings.arguments import check_arguments
from finetune_trainer.settings.requirements import check_requirements

SCHEDULES: dict[str, dict[str, Any] | None] = {
    "linear": None,
    "cosine": {"num_cycles": 0.25},
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"power": 2.0},
    "constant": None,
    "constant_with_warmup": None,
    "inverse_sqrt": None,
    "reduce_lr_on_plateau": {"patience": 2},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 10},
}


def check(use_cpu: bool = True, **arguments: Any) -> None:
    check_requirements(check_arguments(arguments), 5e-5, use_cpu)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fp16": True}, "training.arguments.fp16: needs a GPU"),
        ({"optim": "galore_adamw", "optim_target_modules": ["mlp"]}, "optim: 'galore_adamw' is not possible"),
        ({"optim": "galore_adamw", "optim_target_modules": ["mlp"]}, "galore"),
        ({"optim": "apollo_adamw", "optim_target_modules": "all-linear"}, "apollo"),
        ({"torch_compile_backend": "nope"}, "training.arguments.torch_compile_backend: there is no 'nope'"),
        (
            {"torch_compile_mode": "max-autotun"},
            "torch_compile_mode: there is no 'max-autotun'; did you mean 'max-autotune'?",
        ),
        ({"optim": "lomo"}, "lomo"),
        ({"optim": "grokadamw"}, "grokadamw"),
        ({"optim": "schedule_free_adamw"}, "schedulefree"),
        ({"optim": "adamw_anyprecision"}, "torchdistx"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_type: 'cosine_with_min_lr' is not possible"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "min_lr"),
        ({"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"powr": 2}}, "powr"),
        ({"lr_scheduler_kwargs": {"cycles": 2}}, "lr_scheduler_type: 'linear' is not possible"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "num_decay_steps"),
    ],
)
def test_what_cannot_be_done_here_names_the_argument_and_what_it_needs(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainerError) as raised:
        check(**arguments)

    assert raised.value.exit_code == 10
    assert said in raised.value.message


@pytest.mark.skipif(is_liger_kernel_available(), reason="is about an environment without liger-kernel")
def test_liger_s_kernels_without_their_package_are_refused() -> None:
    with pytest.raises(TrainerError, match="use_liger_kernel: needs the package liger-kernel"):
        check(use_cpu=False, use_liger_kernel=True)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(TrainerError, match="torch_compile: needs a compiler"):
        check(torch_compile=True)
    check(torch_compile=True, torch_compile_backend="aot_eager")


@pytest.mark.parametrize("optim", ["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"])
def test_an_optimizer_of_torch_or_transformers_is_taken(optim: str) -> None:
    assert optim in {name.value for name in OptimizerNames}

    check(optim=optim)


@pytest.mark.parametrize(("schedule", "options"), SCHEDULES.items())
def test_a_schedule_with_what_it_needs_is_taken(schedule: str, options: dict[str, Any] | None) -> None:
    check(lr_scheduler_type=schedule, lr_scheduler_kwargs=options, warmup_steps=0.1)


def test_the_check_chooses_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(self: TrainingArguments) -> None:
        raise AssertionError("accelerate would meet the other processes here")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(choose))

    check()
