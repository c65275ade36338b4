"""A model, and adapters of it, to be made odd."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Llama of one layer, without a tokenizer."""
    config = transformers.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """Makes an adapter with these settings."""

    def make(**settings: Any) -> Path:
        made = tmp_path / "adapter"
        made.mkdir()
        (made / "adapter_config.json").write_text(json.dumps(LORA | settings))
        name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
        safetensors.torch.save_file({name: torch.ones(2, 8)}, made / "adapter_model.safetensors")
        return made

    return make
