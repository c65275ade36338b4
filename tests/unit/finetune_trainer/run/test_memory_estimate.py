"""What a training is thought to take of the memory."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from finetune_api.run import RunConfig
from finetune_trainer.run.memory_estimate import (
    Memory,
    Sizes,
    copy_shortage,
    estimate_memory,
    estimate_output,
    merge_shortage,
    sizes_of,
)
from finetune_trainer.settings.arguments import check_arguments
from finetune_trainer.settings.batch_plan import BatchPlan
from finetune_trainer.settings.device import SOME_GPU, Device, find_device
from finetune_trainer.settings.run_plan import RunPlan, make_plan

GPU, CPU = SOME_GPU, find_device(use_cpu=True, processes=1)
SIZES = Sizes(
    parameters=1_000_000, trained=1_000_000, linear=0, kept=1000, layers=4, heads=2, hidden=50, vocabulary=0,
    dropout=True, eager=False, pinned=4_194_304,
)  # fmt: skip
ADAPTED = Sizes(
    parameters=1_010_000, trained=10_000, linear=800_000, kept=1000, layers=4, heads=2, hidden=50, vocabulary=0,
    dropout=True, eager=False, pinned=65_536,
)  # fmt: skip


BEST_OF_STEPS = {"strategy": "steps", "steps": 5, "bestMetric": "loss"}


def config(**training: Any) -> RunConfig:
    whole = {name: training.pop(name) for name in ("nodes", "processesPerNode") if name in training}
    return RunConfig.model_validate(
        {
            "task": "text-classification",
            "model": {"source": "file:///model"},
            "dataset": {"source": "file:///data", "train": {"split": "train"}},
            "training": training,
            "output": {"uri": "file:///out"},
            "gpus": 0,
            **whole,
        }
    )


def plan(device: Device, bf16: bool = False, **training: Any) -> RunPlan:
    run = config(**training)
    given = check_arguments(run.training.arguments)
    batch = BatchPlan.from_settings(run.training.batch_size, given)
    return replace(make_plan(run, given, device, rows=100, batch=batch), bf16=bf16)


def test_full_training_takes_sixteen_bytes_a_weight_and_what_each_token_leaves_behind() -> None:
    memory = estimate_memory(SIZES, plan(GPU, batchSize=8), length=100)

    assert memory == Memory(weights=4_000_000, gradients=4_000_000, optimizer=8_000_000, activations=8 * 100 * 1000 * 4)
    assert memory.total == 19_200_000


def test_the_copy_of_a_checkpoint_takes_twelve_bytes_a_weight_on_the_cpu() -> None:
    whole, adapter = (estimate_memory(sizes, plan(CPU, batchSize=1), length=1) for sizes in (SIZES, ADAPTED))

    assert (whole.checkpoint, adapter.checkpoint) == (12_000_000, 120_000)
    assert whole.total == whole.weights + whole.gradients + whole.optimizer + whole.activations + whole.checkpoint


@pytest.mark.parametrize(
    ("training", "free", "short"),
    [
        ({}, 3 * 4_194_304, False),  # in pinned memory, of which each block is a power of two
        ({}, 3 * 4_194_304 - 1, True),
        ({"arguments": {"optim": "sgd"}}, 4_194_304, False),
        ({"parallelism": "fsdp", "processesPerNode": 2}, 12_000_000, False),
        ({}, None, False),
    ],
)
def test_the_copy_of_a_gpu_s_checkpoint_takes_pinned_memory_of_the_cpu(
    training: dict[str, Any], free: int | None, short: bool
) -> None:
    assert bool(copy_shortage(SIZES, plan(GPU, **training), free)) == short
    assert copy_shortage(SIZES, plan(CPU, **training), free=0) is None


def test_sixteen_bits_halve_the_activations_and_copy_the_weights() -> None:
    memory = estimate_memory(SIZES, plan(GPU, batchSize=8, bf16=True), length=100)

    assert memory == Memory(weights=6_000_000, gradients=4_000_000, optimizer=8_000_000, activations=1_600_000)


def test_attention_with_dropout_keeps_its_scores_on_the_cpu() -> None:
    memory = estimate_memory(SIZES, plan(CPU, batchSize=8), length=100)

    assert memory.activations == 8 * 100 * (1000 + 3 * 4 * 2 * 100) * 4


def test_activation_checkpointing_keeps_the_input_of_each_layer_and_one_whole_layer() -> None:
    arguments = {"activation_checkpointing": True, "optim": "sgd"}

    memory = estimate_memory(SIZES, plan(GPU, batchSize=8, arguments=arguments), length=100)

    assert (memory.activations, memory.optimizer) == (8 * 100 * (4 * 50 + 250) * 4, 0)


@pytest.mark.parametrize(
    ("lora", "bf16", "weights"),
    [
        ({}, False, 1_010_000 * 4),
        ({}, True, 10_000 * 6 + 1_000_000 * 2),
        ({"quantization": "8bit"}, True, 10_000 * 6 + 200_000 * 4 + 800_000),
        ({"quantization": "4bit"}, True, 10_000 * 6 + 200_000 * 4 + 412_700),
    ],
)
def test_an_adapter_has_gradients_and_states_of_its_own_weights_alone(
    lora: dict[str, Any], bf16: bool, weights: int
) -> None:
    memory = estimate_memory(ADAPTED, plan(GPU, batchSize=1, bf16=bf16, lora=lora), length=1)

    assert (memory.weights, memory.gradients, memory.optimizer) == (weights, 40_000, 80_000)


def test_many_processes_share_the_weights_under_fsdp_and_copy_the_gradients_under_ddp() -> None:
    many = {"nodes": 2, "processesPerNode": 2}

    ddp = estimate_memory(SIZES, plan(GPU, batchSize=1, **many), length=1)
    fsdp = estimate_memory(SIZES, plan(GPU, batchSize=1, parallelism="fsdp", **many), length=1)

    assert ddp == Memory(weights=4_000_000, gradients=8_000_000, optimizer=8_000_000, activations=4000)
    assert fsdp == Memory(weights=1_000_000, gradients=1_000_000, optimizer=2_000_000, activations=4000)


@pytest.mark.parametrize(
    ("model", "training", "checkpoints", "evaluation", "needed"),
    [
        # The newest and the one being written, of weights and two numbers of AdamW for each; and the model.
        (SIZES, {}, {"strategy": "steps", "steps": 5, "keep": 1}, {}, 2 * 12_000_000 + 4_000_000),
        (SIZES, {}, {"strategy": "steps", "steps": 5, "keep": 1}, BEST_OF_STEPS, 3 * 12_000_000 + 4_000_000),
        (SIZES, {"epochs": 1.5, "arguments": {"optim": "sgd"}}, {}, {}, 2 * 4_000_000 + 4_000_000),
        (ADAPTED, {"epochs": 1, "lora": {}}, {}, {}, 120_000 + 40_000),
        (ADAPTED, {"epochs": 1, "lora": {"merge": True}}, {}, {}, 120_000 + 4_040_000),
    ],
)
def test_an_output_holds_the_checkpoints_that_are_kept_and_the_model(
    model: Sizes, training: Any, checkpoints: Any, evaluation: Any, needed: int
) -> None:
    settings = config(**training).model_dump(mode="json", by_alias=True, exclude_none=True)
    settings |= {"checkpoints": checkpoints, "evaluation": evaluation}
    settings["dataset"] |= {"evaluation": {"split": "train"}}

    assert estimate_output(model, RunConfig.model_validate(settings)) == needed


@pytest.mark.parametrize(
    ("lora", "use_cpu", "free", "short"),
    [
        ({"merge": True}, False, 4_040_000, False),
        ({"merge": True}, False, 4_030_000, True),
        ({"merge": True}, True, 8_080_000, False),  # beside the one that is trained
        ({"merge": True}, True, 8_070_000, True),
        ({"merge": True}, True, None, False),
        ({}, True, 0, False),
    ],
)
def test_a_merge_takes_the_whole_model_in_the_memory_of_the_cpu(
    lora: dict[str, Any], use_cpu: bool, free: int | None, short: bool
) -> None:
    assert bool(merge_shortage(ADAPTED, plan(CPU if use_cpu else GPU, lora=lora), free)) == short


WIDE = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 3, "vocab_size": 500}
MODELS = {
    "bert": (
        transformers.AutoModelForSequenceClassification,
        transformers.BertConfig(
            **WIDE, intermediate_size=256, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        ),
    ),
    "llama": (
        transformers.AutoModelForCausalLM,
        transformers.LlamaConfig(
            **WIDE, intermediate_size=192, num_key_value_heads=2, bos_token_id=1, eos_token_id=2
        ),
    ),
    "bart": (
        transformers.AutoModelForSeq2SeqLM,
        transformers.BartConfig(
            vocab_size=500, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=256, decoder_ffn_dim=256, dropout=0.0,
        ),
    ),
}  # fmt: skip


def bytes_kept(model: torch.nn.Module, **batch: torch.Tensor) -> int:
    """What autograd keeps of a forward pass, weights aside."""
    own = {weight.untyped_storage().data_ptr() for weight in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(**batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("name", MODELS)
def test_activations_are_what_autograd_keeps_within_a_third(name: str) -> None:
    kind, settings = MODELS[name]
    tokens = torch.randint(3, 500, (4, 32))
    with torch.device("meta"):
        sizes = sizes_of(kind.from_config(settings))
    model = kind.from_config(settings)
    labels = torch.zeros(4, dtype=torch.long) if name == "bert" else tokens

    real = bytes_kept(model, input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=labels)

    memory = estimate_memory(sizes, plan(CPU, batchSize=4), length=32)
    assert memory.weights == sum(weight.numel() for weight in model.parameters()) * 4
    assert memory.activations == pytest.approx(real, rel=1 / 3)
