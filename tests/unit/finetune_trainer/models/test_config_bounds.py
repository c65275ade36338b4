"""What a configuration counts is bounded before a model is built of it."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.unit.finetune_trainer.models.odd_models import find, load, refused

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.models.config_bounds import check_bounds


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000, and no more than 10000 are built"),
        ({"num_hidden_layers": 100_000}, "num_hidden_layers is 100000, and no more than 10000 are built"),
        (
            {"num_hidden_layers": 5_000},
            "num_hidden_layers is 5000, and its files hold 12 weights, the largest of 128 numbers",
        ),
        ({"vocab_size": 10**12}, "vocab_size is 1000000000000, and no more than 1000000000 are built"),
        ({"vocab_size": 129}, "vocab_size is 129, and its files hold 12 weights, the largest of 128 numbers"),
    ],
)
def test_more_layers_or_tokens_than_there_are_weights_for_are_refused_by_their_field(
    folder: Path, fields: dict[str, Any], told: str
) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | fields))

    reason, message, hint = refused(folder)

    assert reason == Reason.MODEL_CONFIG_WRONG
    assert message == f": no model can be made of what its config.json says: {told}"
    assert hint == "correct that in config.json: it and the weights must be of the same model"


def test_a_model_is_found_whose_configuration_counts_what_there_is(folder: Path) -> None:
    assert find(folder).config.vocab_size == 16


@pytest.mark.parametrize(
    "config",
    [
        {"text_config": {"num_hidden_layers": 10**6}},
        {"decoder": {"vocab_size": 10**6}},
        {"n_layer": 10**6},
        {"encoder_layers": 10**6},
        {"inner_group_num": 10**6},
        {"num_hidden_groups": 10**6},
        {"num_feedforward_networks": 10**6},
        {"num_hash_functions": 10**6},
        {"num_experts": 10**6},
        {"num_local_experts": 10**6},
        {"moe_num_shared_experts": 10**6},
        {"n_routed_experts": 10**6},
        {"folding_trunk": {"num_blocks": 10**6}},
    ],
)
def test_fields_of_parts_and_of_other_names_are_bounded_too(config: dict[str, Any]) -> None:
    with pytest.raises(TrainerError, match="is 1000000, and its files hold 1 weights, the largest of 16 numbers"):
        check_bounds(config, "it", {"x": torch.empty(4, 4)})


@pytest.mark.parametrize("field", ["block_sizes", "block_repeats", "depths", "num_block_repeats", "stage_num_blocks"])
def test_layers_that_are_counted_by_parts_are_bounded_together(field: str) -> None:
    check_bounds({field: [400, 600]}, "it", {"x": torch.empty(4, 4)})

    with pytest.raises(TrainerError) as caught:
        check_bounds({field: [-(10**9), 400, 601]}, "it", {"x": torch.empty(4, 4)})

    assert caught.value.message.endswith(
        f": {field} is [-1000000000, 400, 601], and its files hold 1 weights, the largest of 16 numbers"
    )


@pytest.mark.parametrize("fields", [{"block_sizes": [10**9]}, {"block_sizes": [1] * 20_000}])
def test_layers_that_are_counted_by_parts_are_bounded_without_weights_too(fields: dict[str, Any]) -> None:
    with pytest.raises(TrainerError, match=r"block_sizes is \[1.{,200}, and no more than 10000 are built$"):
        check_bounds(fields, "it")


@pytest.mark.parametrize("tensors", [None, {"down_embed.weight": torch.empty(16384, 2, device="meta")}])
def test_experts_that_are_rows_of_one_weight_may_be_many(tensors: dict[str, torch.Tensor] | None) -> None:
    doge = transformers.DogeConfig().to_dict()
    doge["vocab_size"] = 16

    check_bounds(doge, "it", tensors)
    with pytest.raises(TrainerError, match="num_experts is 1000000000, and "):
        check_bounds(doge | {"num_experts": 10**9}, "it", tensors)


def test_files_that_hold_no_weight_or_a_number_alone_make_no_other_field_wrong() -> None:
    check_bounds({"num_hidden_layers": 12, "vocab_size": 30_000}, "it", {})
    check_bounds({"num_hidden_layers": 12, "num_experts": 8}, "it", {"step": torch.tensor(1)})


@pytest.mark.parametrize(
    "config",
    [
        {"max_window_layers": 10**6},
        {"num_hidden_layers": 400},
        {"layers": ["a"]},
        {"num_experts_per_tok": 8, "num_experts": 512, "num_local_experts": None, "moe_num_experts": [64, 64]},
        {"moe_layers": list(range(100)), "expert_layer_period": 2},
        {"block_sizes": [4, 4, 4], "block_size": 10**6, "norm_num_groups": 10**6},
    ],
)
def test_what_counts_nothing_that_is_built_may_be_any_number(config: dict[str, Any]) -> None:
    check_bounds(config, "it", {"x": torch.empty(4, 4)})


@pytest.mark.parametrize("field", ["attention_dropout", "hidden_dropout_prob", "resid_pdrop", "encoder_layerdrop"])
@pytest.mark.parametrize("value", [2, 10.0, -0.1])
def test_what_is_no_probability_is_refused_by_its_field(field: str, value: float) -> None:
    with pytest.raises(TrainerError) as caught:
        check_bounds({"text_config": {field: value}}, "it")

    assert (caught.value.reason, caught.value.hint) == (Reason.MODEL_CONFIG_WRONG, "write one from 0 to 1 there")
    assert caught.value.message.endswith(f": text_config.{field} is {value}, and no probability")


@pytest.mark.parametrize("value", [0, 0.1, 1, None, True])
def test_a_probability_may_be_any(value: float | None) -> None:
    check_bounds({"dropout": value}, "it")


def test_a_padding_token_without_an_embedding_is_told_as_a_wrong_configuration(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pad_token_id": 16}))

    found = find(folder)
    reason, message, _ = refused(folder, partial(load, empty=True))

    assert found.embeddings is None
    assert (reason, message) == (
        Reason.MODEL_CONFIG_WRONG,
        ": no model can be made of what its config.json says: Padding_idx must be within num_embeddings",
    )
