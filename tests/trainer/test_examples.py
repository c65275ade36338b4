"""Each example runs: as it is written, but for model and data, which are small ones of the same shape made on the spot."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pytest
import transformers
from datasets import ClassLabel, List, Value
from ruamel.yaml import YAML
from tests.trainer.tiny import VOCABULARY, Train, make_tokenizer, texts
from tests.trainer.tiny_language import CHAT_TEMPLATE, COLOUR_OF, chats, questions, save_llama, save_t5

from finetune_api.v1alpha1 import FineTuneJobSpec, RunSettings
from finetune_trainer.__main__ import main

EXAMPLES = Path(__file__).parents[2] / "examples"
OF_OTHER_TESTS = {"quickstart.yaml", "quickstart-volume.yaml"}


@dataclass(frozen=True)
class StandIn:
    """What takes the place of an example's sources."""

    save_model: Callable[[Path], object]
    """Writes a model and its tokenizer into a folder."""
    rows: dict[str, list[Any]]
    """Columns as the example's data set has them."""
    features: dict[str, Any]
    """Their types there."""


def save_bert(folder: Path) -> None:
    transformers.set_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=512,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)


TEXTS = texts(24)["text"]
WORDS = [text.split() for text in TEXTS]
TEXT = Value("string")
NAMES = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
STAND_INS = {
    "text-classification.yaml": StandIn(
        save_bert,
        {"text": TEXTS, "label": [0, 1, 2, 3] * 6},
        {"text": TEXT, "label": ClassLabel(names=["1 star", "2 stars", "3 stars", "4 stars", "5 stars"])},
    ),
    "trackers.yaml": StandIn(
        save_bert,
        {"text": TEXTS, "label": [0, 1, 2, 3] * 6},
        {"text": TEXT, "label": ClassLabel(names=["1 star", "2 stars", "3 stars", "4 stars", "5 stars"])},
    ),
    "sentence-pairs.yaml": StandIn(
        save_bert,
        {"sentence1": TEXTS, "sentence2": TEXTS[::-1], "label": [0, 1] * 12},
        {"sentence1": TEXT, "sentence2": TEXT, "label": ClassLabel(names=["not_equivalent", "equivalent"])},
    ),
    "acceptability.yaml": StandIn(
        save_bert,
        {"sentence": TEXTS, "label": [0, 1] * 12},
        {"sentence": TEXT, "label": ClassLabel(names=["unacceptable", "acceptable"])},
    ),
    "multi-label.yaml": StandIn(
        save_bert,
        {"text": TEXTS, "labels": [[0], [27, 3], [], [5]] * 6},
        {"text": TEXT, "labels": List(ClassLabel(names=[f"feeling {number}" for number in range(28)]))},
    ),
    "regression.yaml": StandIn(
        save_bert,
        {"sentence1": TEXTS, "sentence2": TEXTS[::-1], "label": [0.0, 2.5, 5.0] * 8},
        {"sentence1": TEXT, "sentence2": TEXT, "label": Value("float32")},
    ),
    "token-classification.yaml": StandIn(
        save_bert,
        {"tokens": WORDS, "ner_tags": [[index % 7 for index in range(len(row))] for row in WORDS]},
        {"tokens": List(TEXT), "ner_tags": List(ClassLabel(names=NAMES))},
    ),
    "lora.yaml": StandIn(
        save_bert,
        {"text": TEXTS, "label": [0, 1, 2, 3, 4, 5] * 4},
        {"text": TEXT, "label": ClassLabel(names=["sadness", "joy", "love", "anger", "fear", "surprise"])},
    ),
    "qlora.yaml": StandIn(
        # bitsandbytes packs the weights of a row in blocks of 64.
        lambda folder: save_llama(folder, CHAT_TEMPLATE, longest=1024, width=64),
        {"messages": [chat["messages"] for chat in chats()]},
        {"messages": List({"role": TEXT, "content": TEXT})},
    ),
    "causal-lm.yaml": StandIn(lambda folder: save_llama(folder, longest=1024), {"text": TEXTS}, {"text": TEXT}),
    "instructions.yaml": StandIn(
        lambda folder: save_llama(folder, longest=1024),
        {name: [row[name] for row in questions() * 12] for name in ("prompt", "completion")},
        {"prompt": TEXT, "completion": TEXT},
    ),
    "chat.yaml": StandIn(
        lambda folder: save_llama(folder, CHAT_TEMPLATE, longest=2048),
        {"messages": [chat["messages"] for chat in chats()]},
        {"messages": List({"role": TEXT, "content": TEXT})},
    ),
    "alpaca.yaml": StandIn(
        lambda folder: save_llama(folder, CHAT_TEMPLATE, longest=1024),
        {
            "instruction": ["what colour is"] * 60,
            "input": [f"the {thing} ?" for thing in COLOUR_OF] * 10,
            "output": [*COLOUR_OF.values()] * 10,
        },
        {"instruction": TEXT, "input": TEXT, "output": TEXT},
    ),
    "summarization.yaml": StandIn(save_t5, {"text": TEXTS, "summary": TEXTS[::-1]}, {"text": TEXT, "summary": TEXT}),
    "translation.yaml": StandIn(
        save_t5,
        # In words that the tiny T5 knows.
        {
            "id": [*range(24)],
            "translation": [
                {"en": f"what colour is the {thing} ?", "fr": colour} for thing, colour in COLOUR_OF.items()
            ]
            * 4,
        },
        {"id": Value("int32"), "translation": {"en": TEXT, "fr": TEXT}},
    ),
}
"""One for each example; whoever adds an example adds a line."""


def examples() -> set[str]:
    return {path.name for path in EXAMPLES.glob("*.yaml")} - OF_OTHER_TESTS


def test_each_example_has_a_stand_in() -> None:
    assert set(STAND_INS) == examples()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.qlora if name == "qlora.yaml" else ()) for name in STAND_INS]
)
def test_an_example_trains_as_predicted_and_its_metrics_stand_in_the_final_state(
    name: str, train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in, manifest = STAND_INS[name], YAML(typ="safe").load(EXAMPLES / name)
    spec = FineTuneJobSpec.model_validate(manifest["spec"])
    stand_in.save_model(tmp_path / "model")
    rows = datasets.Dataset.from_dict(stand_in.rows, datasets.Features(stand_in.features))
    asked = [split.split for split in (spec.dataset.train, spec.dataset.evaluation) if split]
    splits = {name.partition("[")[0]: rows for name in asked}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "rows")
    settings = {
        field: value
        for field, value in spec.to_wire().items()
        if field in {information.alias for information in RunSettings.model_fields.values()}
    }
    settings["model"]["source"] = f"file://{tmp_path}/model"
    settings["dataset"]["source"] = f"file://{tmp_path}/rows"
    settings["training"]["epochs"] = 1
    settings |= {"output": {"uri": f"file://{tmp_path}/out"}, "gpus": 0}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    told = {metric.name for metric in ended.final.metrics}
    assert told >= {f"eval_{metric}" for metric in spec.evaluation.metrics or []}
    assert (tmp_path / "out" / "model").is_dir()
    capsys.readouterr()
    assert main(["prepare", "--json", "--config", str(tmp_path / "run.yaml")]) == 0
    assert ended.final.progress
    assert json.loads(capsys.readouterr().out)["steps"] == ended.final.progress.total_steps
