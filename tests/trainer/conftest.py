"""Real training with a model of a few thousand weights, made on the spot; texts whose words tell their label."""

import gc
import logging
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import accelerate.utils.imports
import datasets
import pytest
import torch
import transformers
from ruamel.yaml import YAML
from s3fs import S3FileSystem
from tests.s3_server import S3
from tests.trainer.tiny import LONGEST, VOCABULARY, Ended, Settings, Train, make_tokenizer, texts
from transformers.utils import logging as transformers_logging

from finetune_api.report import ENV_SERVER_URL, ENV_TERMINATION_LOG, FinalReport
from finetune_trainer.__main__ import main

if TYPE_CHECKING:
    from tests.s3_server import S3


@pytest.fixture(scope="session", autouse=True)
def frozen_imports() -> Iterator[None]:
    """What the libraries hold is no garbage: accelerate has it looked through at the end of each run, for half a second."""
    import_module("transformers.trainer")  # with what the first run would import
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def packages_looked_up_once() -> Iterator[None]:
    """At each step accelerate looks on the disk for an optimizer of a package that is not there: a twentieth of a training's time here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            accelerate.utils.imports, "_is_package_available", cache(accelerate.utils.imports._is_package_available)
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def fresh_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an older version of the program tokenised shall not be trained on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 13,000 weights, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("pretrained") / "bert"
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(1)
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=LONGEST, initializer_range=0.2, hidden_dropout_prob=0.0,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.csv (96 rows) and test.csv (30 rows)."""
    folder = tmp_path_factory.mktemp("data")
    datasets.Dataset.from_dict(texts(96)).to_csv(folder / "train.csv", index=False)
    datasets.Dataset.from_dict(texts(30, seed=1)).to_csv(folder / "test.csv", index=False)
    return folder


@pytest.fixture
def settings(model: Path, data: Path, tmp_path: Path) -> Settings:
    """A run of 24 steps in two epochs that learns its data."""
    return {
        "task": "text-classification",
        "model": {"source": f"file://{model}"},
        "dataset": {"source": f"file://{data}", "train": {"split": "train"}, "evaluation": {"split": "test"}},
        "training": {"epochs": 2, "batchSize": 8, "learningRate": 0.005},
        "evaluation": {"metrics": ["accuracy"], "bestMetric": "accuracy"},
        "output": {"uri": f"file://{tmp_path}/out"},
        "gpus": 0,
    }


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Train:
    """Runs the program's main in this process."""
    termination = tmp_path / "termination-log"
    monkeypatch.setenv(ENV_TERMINATION_LOG, str(termination))
    monkeypatch.delenv(ENV_SERVER_URL, raising=False)
    caplog.set_level(logging.INFO, "finetune_trainer")

    def run(settings: Settings, *arguments: str) -> Ended:
        config = tmp_path / "run.yaml"
        YAML().dump(settings, config)
        caplog.clear()
        code = main(["--config", str(config), *arguments])
        return Ended(code, FinalReport.model_validate_json(termination.read_text()), caplog.text)

    return run


@pytest.fixture
def s3(s3_server: "S3", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "S3":
    """A live S3 server that works; this machine knows its keys and has no copy of anything."""
    s3_server.proxy.work()
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine-1"))
    # A dead server is given up at once.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    return s3_server


@pytest.fixture
def there(s3: S3, tmp_path: Path) -> str:
    return f"mirror/{tmp_path.name}"
