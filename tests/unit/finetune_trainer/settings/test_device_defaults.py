"""The choices for speed, by what a device can do."""

import dataclasses
from typing import Any

import pytest
import transformers

from finetune_trainer.settings.device import SOME_GPU, Device, find_device
from finetune_trainer.settings.device_defaults import device_defaults, trains_in_bf16

HOPPER = Device("a device", gpu=True, capability=9, cores=16, shared_memory=8 << 30)
VOLTA = dataclasses.replace(HOPPER, capability=7)
CPU = Device("a device", gpu=False, capability=0, cores=16, shared_memory=8 << 30)
FAST = {
    "bf16": True, "tf32": True, "dataloader_num_workers": 4, "dataloader_persistent_workers": True,
    "dataloader_pin_memory": True,
}  # fmt: skip
PLAIN = {"dataloader_num_workers": 0, "dataloader_persistent_workers": False, "dataloader_pin_memory": False}


@pytest.mark.parametrize(
    ("device", "chosen"),
    [
        pytest.param(HOPPER, FAST, id="a GPU of today"),
        pytest.param(
            VOLTA,
            {name: FAST[name] for name in FAST if name.startswith("dataloader")},
            id="a GPU without bfloat16 and TF32",
        ),
        pytest.param(CPU, PLAIN, id="a CPU, whose cores all train"),
        pytest.param(
            dataclasses.replace(HOPPER, shared_memory=64 << 20),
            FAST | {"dataloader_num_workers": 0, "dataloader_persistent_workers": False},
            id="a container whose shared memory a few batches would fill",
        ),
        pytest.param(
            dataclasses.replace(HOPPER, cores=3), FAST | {"dataloader_num_workers": 2}, id="few cores for one GPU"
        ),
        pytest.param(
            dataclasses.replace(HOPPER, cores=1),
            FAST | {"dataloader_num_workers": 0, "dataloader_persistent_workers": False},
            id="one core for one GPU",
        ),
    ],
)
def test_a_device_is_used_as_fast_as_it_can(device: Device, chosen: dict[str, Any]) -> None:
    assert device_defaults({}, device) == chosen


@pytest.mark.parametrize(
    ("given", "others"),
    [
        ({"bf16": False}, {}),
        ({"fp16": True}, {"bf16": False}),
        ({"tf32": False}, {}),
        ({"full_determinism": True}, {"tf32": False}),
        ({"dataloader_num_workers": 0}, {"dataloader_persistent_workers": False}),
        ({"dataloader_num_workers": 8}, {"dataloader_persistent_workers": True}),
        ({"dataloader_persistent_workers": False, "dataloader_pin_memory": False}, {}),
    ],
)
def test_what_the_user_gives_is_never_chosen_and_what_hangs_on_it_follows(
    given: dict[str, Any], others: dict[str, Any]
) -> None:
    assert device_defaults(given, HOPPER) == {name: v for name, v in (FAST | others).items() if name not in given}


def test_bfloat16_is_that_of_the_device_unless_the_user_chooses() -> None:
    asked = [{}, {"bf16": False}, {"fp16": True}, {"bf16": True}]

    assert [trains_in_bf16(given, HOPPER) for given in asked] == [True, False, False, True]
    assert [trains_in_bf16(given, CPU) for given in asked] == [False, False, False, True]


def test_the_cores_of_a_machine_are_shared_by_its_processes() -> None:
    one, many = find_device(use_cpu=True, processes=1), find_device(use_cpu=True, processes=1000)

    assert (one.gpu, one.capability, many.cores) == (False, 0, 1)
    assert one.cores >= many.cores


def test_a_gpu_on_another_machine_is_one_of_today_whose_memory_is_not_known() -> None:
    elsewhere = find_device(use_cpu=False, processes=1, here=False)
    own = find_device(use_cpu=True, processes=1, here=False)

    assert elsewhere == SOME_GPU
    assert trains_in_bf16({}, elsewhere)
    assert (own.name, own.gpu, own.here) == ("CPU", False, False)


def test_attention_and_optimizer_are_the_fast_ones_by_transformers_own_default() -> None:
    config = transformers.BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)

    assert transformers.BertForSequenceClassification(config).config._attn_implementation == "sdpa"
    assert transformers.TrainingArguments(use_cpu=True).optim == "adamw_torch_fused"
