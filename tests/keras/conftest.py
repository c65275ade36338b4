"""The trainer's own fixtures, for an environment that has Keras. `make test-keras` makes one."""

import os
from pathlib import Path

import pytest
import torch
import transformers
from tests.trainer.conftest import data, fresh_cache, model, settings, train
from tests.trainer.tiny import LONGEST, VOCABULARY, Settings, make_tokenizer

__all__ = ["data", "fresh_cache", "model", "settings", "train"]

# Read when Keras is imported.
os.environ |= {"KERAS_BACKEND": "torch", "KERAS_TORCH_DEVICE": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture(scope="session")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT without dropout, with a head: every engine computes the same with it."""
    folder = tmp_path_factory.mktemp("pretrained") / "steady"
    torch.set_num_threads(1)
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=LONGEST, initializer_range=0.2, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def keras_settings(settings: Settings) -> Settings:
    """A run of 24 steps in two epochs by the engine keras."""
    settings["training"]["engine"] = "keras"
    return settings
