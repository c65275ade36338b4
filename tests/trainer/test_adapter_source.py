"""An adapter as model.source: training goes on from it, as an adapter or in the weights of its base."""

import json
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import safetensors.torch
import torch
import transformers
from ruamel.yaml import YAML
from tests.trainer.test_stop_and_resume import at_step, stopped
from tests.trainer.test_training import classify
from tests.trainer.tiny import Settings, Train
from tests.trainer.tiny_language import questions, save_llama, write_rows

from finetune_api.report import ExitCode
from finetune_trainer.__main__ import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model/ of the run that gives the adapter; the first test that needs it makes it."""
    return tmp_path_factory.mktemp("adapter") / "model"


@pytest.fixture
def adapter(settings: Settings, train: Train, tmp_path: Path, trained: Path) -> Path:
    """A model/ of a run with LoRA that has learnt half of its data, of the test's own."""
    if not trained.exists():
        first = settings | {"output": {"uri": f"file://{tmp_path}/trained"}}
        first["training"] = {"epochs": 3, "batchSize": 8, "learningRate": 0.02, "lora": {"rank": 4, "alpha": 8}}
        assert train(first).code == 0
        (tmp_path / "trained/model").rename(trained)
    shutil.copytree(trained, tmp_path / "first/model")
    settings["model"] = {"source": f"file://{tmp_path}/first/model"}
    return tmp_path / "first/model"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "adapter_model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_training_goes_on_from_the_adapter_and_its_head(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, model: Path, engine: str
) -> None:
    settings["training"] = {"engine": engine, "epochs": 1, "batchSize": 8, "learningRate": 1e-12, "lora": {}}

    unchanged = train(settings)

    assert (unchanged.code, unchanged.final.failure) == (0, None)
    assert f"going on from the adapter file://{adapter}: rank 4, alpha 8" in unchanged.said
    before, after = weights(adapter), weights(tmp_path / "out/model")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-9)
    told = json.loads((tmp_path / "out/model/adapter_config.json").read_text())
    assert (told["r"], told["base_model_name_or_path"], told["modules_to_save"]) == (4, str(model), ["classifier"])
    assert unchanged.final.provenance
    revision = unchanged.final.provenance.model_revision or ""
    assert revision.count("sha256:") == 2
    assert " on sha256:" in revision

    shutil.rmtree(tmp_path / "out")
    settings["training"] |= {"epochs": 4, "learningRate": 0.02}
    ended = train(settings)

    assert ended.final.best_checkpoint
    assert float(ended.final.best_checkpoint.value) > 0.9


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_without_lora_the_adapter_becomes_a_part_of_the_weights_and_all_are_trained(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, model: Path, engine: str
) -> None:
    settings["training"] = {"engine": engine, "epochs": 1, "batchSize": 8, "learningRate": 1e-12}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    exported = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out/model")
    config = transformers.AutoConfig.from_pretrained(adapter / "base")
    base = transformers.AutoModelForSequenceClassification.from_pretrained(model, config=config)
    expected = peft.PeftModel.from_pretrained(base, str(adapter)).eval()
    tokens = {"input_ids": torch.tensor([[2, 10, 11, 4, 3]])}
    torch.testing.assert_close(exported(**tokens).logits, expected(**tokens).logits, rtol=1e-5, atol=1e-5)
    assert exported.config.id2label == {0: "bad", 1: "good"}
    assert not (tmp_path / "out/model/adapter_config.json").exists()


@pytest.mark.slow
def test_the_adapter_that_was_gone_on_with_is_merged_whole(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path
) -> None:
    settings["training"] = {"epochs": 4, "batchSize": 8, "learningRate": 0.02, "lora": {"merge": True}}

    assert train(settings).code == 0

    assert [classify(tmp_path / "out/model", f"the film was {word}") for word in ("awful", "lovely")] == ["bad", "good"]


@pytest.mark.slow
def test_a_stopped_run_from_an_adapter_ends_as_one_that_was_not(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path
) -> None:
    settings["training"] |= {"lora": {}, "arguments": {"full_determinism": True}}
    whole = train(settings | {"output": {"uri": f"file://{tmp_path}/whole"}}).final

    assert stopped(settings, train, at_step(5)).code == ExitCode.STOPPED
    resumed = train(settings).final

    assert resumed.resumed_from_step == 5
    assert whole.model
    assert resumed.model
    assert resumed.model.digest == whole.model.digest


def test_a_language_model_goes_on_from_an_adapter_of_peft_itself(
    settings: Settings, train: Train, tmp_path: Path
) -> None:
    folder = save_llama(tmp_path / "llama")
    made = peft.get_peft_model(
        transformers.AutoModelForCausalLM.from_pretrained(folder),
        peft.LoraConfig(task_type="CAUSAL_LM", r=3, target_modules=["q_proj"], init_lora_weights=False),
    )
    made.save_pretrained(tmp_path / "adapter")
    rows = write_rows(tmp_path / "rows.jsonl", questions())
    settings |= {"task": "causal-lm", "model": {"source": f"file://{tmp_path}/adapter"}, "evaluation": {}}
    settings["dataset"] = {"source": f"file://{rows}", "train": {"split": "train"}}
    settings["training"] = {"epochs": 1, "batchSize": 2, "learningRate": 1e-12, "lora": {"rank": 3}}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    for name, weight in weights(tmp_path / "adapter").items():
        torch.testing.assert_close(weights(tmp_path / "out/model")[name], weight, rtol=0, atol=1e-9)


@pytest.mark.parametrize("engine", ["trainer", "pytorch"])
def test_each_weight_of_the_base_is_trained_that_an_adapter_was_added_to(
    settings: Settings, train: Train, tmp_path: Path, engine: str
) -> None:
    folder = save_llama(tmp_path / "llama")
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM")).save_pretrained(tmp_path / "adapter")
    rows = write_rows(tmp_path / "rows.jsonl", questions())
    settings |= {"task": "causal-lm", "model": {"source": f"file://{tmp_path}/adapter"}, "evaluation": {}}
    settings["dataset"] = {"source": f"file://{rows}", "train": {"split": "train"}}
    settings["training"] = {"engine": engine, "epochs": 1, "batchSize": 2, "learningRate": 0.01}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    before = safetensors.torch.load_file(folder / "model.safetensors")
    after = safetensors.torch.load_file(tmp_path / "out/model/model.safetensors")
    assert [name for name, weight in before.items() if torch.equal(after[name], weight)] == []


def refused(settings: Settings, train: Train, tmp_path: Path) -> tuple[int, str, str]:
    """Code, reason and message; `prepare` refuses it as well."""
    ended = train(settings)
    assert ended.final.failure
    YAML().dump(settings, tmp_path / "prepared.yaml")
    assert main(["prepare", "--config", str(tmp_path / "prepared.yaml")]) == ended.code
    return ended.code, ended.final.failure.reason, ended.final.failure.message


def test_settings_that_the_adapter_does_not_have_are_reported_by_their_fields(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path
) -> None:
    settings["training"]["lora"] = {"rank": 32, "alpha": 8}

    code, reason, message = refused(settings, train, tmp_path)

    assert (code, reason) == (ExitCode.BAD_CONFIGURATION, "BadConfiguration")
    assert message.endswith("is an adapter with settings of its own: rank is 32, and 4 there")


def test_a_base_that_is_not_there_is_named_with_the_remedy(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path
) -> None:
    rewrite(adapter, base_model_name_or_path="/gone/bert")

    code, reason, message = refused(settings, train, tmp_path)

    assert (code, reason) == (ExitCode.MODEL, "ModelNotFound")
    assert message.startswith(
        f"file://{adapter} is an adapter, and its base cannot be used: file:///gone/bert: there is no"
    )


def test_a_base_on_a_volume_is_found_where_it_is_mounted(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, model: Path
) -> None:
    rewrite(adapter, base_model_name_or_path=f"pvc://models/{model.name}")
    settings["training"] |= {"epochs": 1, "lora": {}}

    ended = train(settings, "--volume", f"models={model.parent}")

    assert ended.code == 0
    told = json.loads((tmp_path / "out/model/adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == f"pvc://models/{model.name}"


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"peft_type": "IA3"}, "AdapterNotSupported", "is of peft's type IA3: training goes on from LoRA alone"),
        ({"base_model_name_or_path": None}, "BaseNotNamed", "does not name the model that it belongs to"),
        (
            {"task_type": "CAUSAL_LM"},
            "TaskNotSupported",
            "is an adapter for causal-lm, and the task is text-classification",
        ),
    ],
)
def test_an_adapter_that_cannot_be_gone_on_with_is_refused(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, fields: dict[str, Any], reason: str, message: str
) -> None:
    rewrite(adapter, **fields)

    code, found, said = refused(settings, train, tmp_path)

    assert (code, found) == (ExitCode.MODEL, reason)
    assert message in said


@pytest.mark.parametrize("lora", [None, {}])
def test_an_adapter_for_other_classes_is_refused_before_the_first_step(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, lora: Any
) -> None:
    data = tmp_path / "three"
    data.mkdir()
    (data / "train.csv").write_text("text,label\nthe film,a\nthe book,b\na day,c\nthe day,a\n")
    settings |= {"evaluation": {}, "dataset": {"source": f"file://{data}", "train": {"split": "train"}}}
    if lora is not None:
        settings["training"]["lora"] = lora

    code, reason, message = refused(settings, train, tmp_path)

    assert (code, reason) == (ExitCode.MODEL, "AdapterDoesNotFit")
    assert "was trained for other classes: classifier.bias has the shape (2,) there, and (3,) is needed" in message


@pytest.mark.parametrize("lora", [None, {}])
def test_an_adapter_whose_weights_lack_a_layer_is_refused(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, lora: Any
) -> None:
    kept = {name: weight for name, weight in weights(adapter).items() if "attention.self.query" not in name}
    safetensors.torch.save_file(kept, adapter / "adapter_model.safetensors", {"format": "pt"})
    if lora is not None:
        settings["training"]["lora"] = lora

    code, reason, message = refused(settings, train, tmp_path)

    assert (code, reason) == (ExitCode.MODEL, "AdapterDoesNotFit")
    assert "query" in message


@pytest.mark.parametrize("lora", [None, {}])
def test_an_adapter_of_another_rank_than_its_configuration_says_is_refused(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, lora: Any
) -> None:
    rewrite(adapter, r=8)
    if lora is not None:
        settings["training"]["lora"] = lora

    code, reason, message = refused(settings, train, tmp_path)

    assert (code, reason) == (ExitCode.MODEL, "AdapterDoesNotFit")
    assert "size mismatch" in message


def rewrite(adapter: Path, **fields: Any) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_adapter_and_base_of_the_hub_are_found_at_their_commits(
    settings: Settings, train: Train, tmp_path: Path, adapter: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(adapter, base_model_name_or_path="org/base")
    commits = {"adapter": "a" * 40, "base": "b" * 40}
    for name, folder in (("adapter", adapter), ("base", model)):
        cached = tmp_path / "hub" / f"models--org--{name}"
        shutil.copytree(folder, cached / "snapshots" / commits[name])
        (cached / "refs").mkdir()
        (cached / "refs/main").write_text(commits[name])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    settings["model"]["source"] = "org/adapter"
    settings["training"] |= {"epochs": 1, "lora": {}}

    ended = train(settings)

    assert (ended.code, ended.final.failure) == (0, None)
    assert ended.final.provenance
    assert (ended.final.provenance.model_revision or "").endswith(f" on {commits['base']}")
    told = json.loads((tmp_path / "out/model/adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["revision"]) == ("org/base", commits["base"])


@pytest.mark.parametrize(
    ("settings_of_it", "lora", "reason", "said"),
    [
        ({"r": "four"}, {}, "ModelConfigWrong", "TypeError: '<=' not supported between instances of 'str' and 'int'"),
        ({"lora_alpha": None}, None, "ModelConfigWrong", "TypeError: unsupported operand"),
        ({"rank_pattern": 5}, {}, "ModelConfigWrong", "AttributeError: 'int' object has no attribute 'keys'"),
        ({"target_modules": [["query"]]}, {}, "ModelConfigWrong", "TypeError: unhashable type: 'list'"),
        ({"init_lora_weights": "loftq"}, {}, "ModelConfigWrong", "ValueError: `loftq_config` must be specified"),
        ({"init_lora_weights": "silly"}, {}, "ModelConfigWrong", "ValueError: Unknown initialization"),
        ({"target_modules": ["qqq"]}, {}, "AdapterDoesNotFit", "No modules were targeted for adaptation"),
        ({"layer_replication": [[0, 1], [0, 1]]}, {}, "AdapterNotSupported", "has layer_replication"),
        ({"layer_replication": [[0, 1], [0, 1]]}, None, "AdapterNotSupported", "has layer_replication"),
        (
            {"alora_invocation_tokens": [5]},
            {"merge": True},
            "AdapterNotSupported",
            "cannot be merged into its base: alora_inv",
        ),
        ({"alora_invocation_tokens": [5]}, None, "AdapterNotSupported", "cannot be merged into its base: alora_inv"),
    ],
)
def test_settings_of_an_adapter_that_cannot_be_followed_are_refused_before_the_first_step(
    settings: Settings, train: Train, adapter: Path, settings_of_it: Any, lora: Any, reason: str, said: str
) -> None:
    rewrite(adapter, **settings_of_it)
    if lora is not None:
        settings["training"]["lora"] = lora

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, reason)
    assert said in ended.final.failure.message
    assert ended.final.progress is None


@pytest.mark.parametrize("merge", [True, None])
def test_a_bias_of_an_adapter_for_layers_that_have_none_is_refused_where_it_is_to_be_merged(
    settings: Settings, train: Train, tmp_path: Path, merge: bool | None
) -> None:
    folder = save_llama(tmp_path / "llama")
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    lora = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], lora_bias=True)
    peft.get_peft_model(base, lora).save_pretrained(tmp_path / "adapter")
    rows = write_rows(tmp_path / "rows.jsonl", questions())
    settings |= {"task": "causal-lm", "model": {"source": f"file://{tmp_path}/adapter"}, "evaluation": {}}
    settings["dataset"] = {"source": f"file://{rows}", "train": {"split": "train"}}
    settings["training"] = {"epochs": 1, "batchSize": 2} | ({"lora": {"merge": True}} if merge else {})

    ended = train(settings)

    assert ended.final.failure
    assert (ended.code, ended.final.failure.reason) == (ExitCode.MODEL, "AdapterNotSupported")
    assert ended.final.failure.message.endswith("lora_bias adds a bias to layers that have none")
    assert ended.final.progress is None
