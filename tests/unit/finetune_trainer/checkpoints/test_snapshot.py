"""A snapshot is what the training was at its step, whatever the training does afterwards."""

import random
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers
from tests.trainer.tiny import make_tokenizer

from finetune_trainer.checkpoints import snapshot
from finetune_trainer.checkpoints.snapshot import (
    TrainingState,
    copy_to_cpu,
    random_state,
    restore_random_state,
    take_snapshot,
    weights_of,
)
from finetune_trainer.storage.layout import OPTIMIZER, TRAINER_STATE, random_state_file


def tiny_model() -> transformers.PreTrainedModel:
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    return transformers.BertForMaskedLM(config)


def training_state(model: transformers.PreTrainedModel | peft.PeftModel) -> TrainingState:
    momentum = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 0.1}]}
    return TrainingState(model, make_tokenizer(), weights_of(model), {OPTIMIZER: momentum}, {TRAINER_STATE: "{}"})


def test_a_snapshot_is_not_changed_by_later_steps(tmp_path: Path) -> None:
    model = tiny_model()
    state = training_state(model)
    before = copy_to_cpu(model.state_dict())

    write = take_snapshot(3, 0.5, state).copy()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    state.objects[OPTIMIZER]["state"][0]["exp_avg"].zero_()
    assert write is not None
    write(tmp_path)

    loaded = transformers.BertForMaskedLM.from_pretrained(tmp_path).state_dict()
    assert loaded.keys() == before.keys()
    assert all(torch.equal(loaded[name], before[name]) for name in before)
    assert torch.load(tmp_path / OPTIMIZER)["state"][0]["exp_avg"].tolist() == [1, 1, 1, 1]
    assert (tmp_path / TRAINER_STATE).read_text() == "{}"
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).get_vocab() == make_tokenizer().get_vocab()


def test_an_adapter_is_written_without_asking_the_model_that_trains_on(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    settings = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query"], modules_to_save=["classifier"])
    model = peft.get_peft_model(transformers.BertForSequenceClassification(config), settings)
    state = training_state(model)
    by_peft = copy_to_cpu(peft.get_peft_model_state_dict(model))

    write = take_snapshot(3, 0.5, state).copy()
    for module in model.modules():  # where FSDP has hooks that take its parts away from a forward pass under way
        module.register_state_dict_pre_hook(_refuse)
    assert write is not None
    write(tmp_path)

    written = peft.load_peft_weights(str(tmp_path))
    assert written.keys() == by_peft.keys()
    assert all(torch.equal(written[name], by_peft[name]) for name in by_peft)
    assert peft.PeftConfig.from_pretrained(tmp_path).inference_mode
    assert not model.peft_config["default"].inference_mode


def _refuse(*_: object) -> None:
    raise AssertionError("state_dict() of a model that trains")


def test_a_copy_keeps_its_shape_and_what_was_tied() -> None:
    weight = torch.arange(4.0)
    state = {"tied": [weight, weight], "nested": ({"step": 1, "betas": (0.9, 0.999)}, None)}

    copy = copy_to_cpu(state)
    weight.zero_()

    assert copy["tied"][0].tolist() == [0, 1, 2, 3]
    assert copy["tied"][0] is copy["tied"][1]
    assert copy["nested"] == ({"step": 1, "betas": (0.9, 0.999)}, None)


def test_without_memory_for_a_copy_the_training_itself_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(snapshot, "available_memory", lambda: 100)
    model = tiny_model()

    taken = take_snapshot(3, 0.5, training_state(model))
    with torch.no_grad():
        model.cls.predictions.bias.fill_(7)
    write = taken.copy()
    taken.write(tmp_path)

    assert write is None
    assert transformers.BertForMaskedLM.from_pretrained(tmp_path).cls.predictions.bias[0] == 7
    assert "training waits for the checkpoint" in caplog.text


@pytest.mark.parametrize("processes", [1, 2])
def test_random_numbers_go_on_from_a_checkpoint(tmp_path: Path, processes: int) -> None:
    torch.save(random_state(processes), tmp_path / random_state_file(0, processes))
    expected = (random.random(), np.random.rand(), torch.rand(1).item())

    restore_random_state(tmp_path, 0, processes)

    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected


def test_random_numbers_of_more_gpus_than_there_are_here_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, restored = torch.zeros(16, dtype=torch.uint8), list[torch.Tensor]()
    torch.save(random_state() | {"cuda": [state, state + 1, state + 2]}, tmp_path / random_state_file(0, 2))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda.random, "set_rng_state", lambda new, device: restored.append(new))

    restore_random_state(tmp_path, rank=0, processes=2)

    assert [int(new[0]) for new in restored] == [0, 1]
