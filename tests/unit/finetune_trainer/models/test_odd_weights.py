"""Folders of models that are not as they should be: each is refused with what is wrong and what to do."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers
from tests.unit.finetune_trainer.models.odd_models import LAYER, find, load, refused

from finetune_api.reasons import Reason


def in_parts(folder: Path, index: Any) -> None:
    """The weights in two files, with this index."""
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder, max_shard_size="2KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    (folder / "model.safetensors.index.json").write_text(index if isinstance(index, str) else json.dumps(index))


@pytest.mark.parametrize(
    ("index", "told"),
    [
        ({"metadata": {}}, "it has no weight_map"),
        ({"weight_map": []}, "it has no weight_map"),
        ({"weight_map": {}}, "it has no weight_map"),
        (["weight_map"], "it has no weight_map"),
        ({"weight_map": {"lm_head.weight": 5}}, "it names 5 as a file"),
        (
            {"weight_map": {"lm_head.weight": "../x/model-1.safetensors"}},
            "it names '../x/model-1.safetensors' as a file",
        ),
        ({"weight_map": {"lm_head.weight": "/etc/passwd"}}, "it names '/etc/passwd' as a file"),
        ({"weight_map": {"lm_head.weight": r"C:\x.safetensors"}}, r"it names 'C:\\x.safetensors' as a file"),
        ({"weight_map": {"lm_head.weight": ".."}}, "it names '..' as a file"),
        ('{"weight_map": {', "Expecting property name"),
        ("", "Expecting value"),
    ],
)
def test_an_index_that_is_none_is_refused_by_what_it_has(folder: Path, index: Any, told: str) -> None:
    in_parts(folder, index)

    reason, message, hint = refused(folder)

    assert reason == Reason.MODEL_UNREADABLE
    assert message.startswith(f": model.safetensors.index.json does not tell which files hold the weights: {told}")
    assert hint == (
        "copy it again, or write it anew by save_pretrained: its weight_map names for each weight a file beside it"
    )


def test_a_part_that_is_missing_is_named_with_the_remedy(folder: Path) -> None:
    in_parts(folder, {"weight_map": {"lm_head.weight": "model-00009-of-00009.safetensors"}})

    reason, message, hint = refused(folder)

    assert (reason, message) == (
        Reason.WEIGHTS_MISSING,
        " lacks model-00009-of-00009.safetensors, which its model.safetensors.index.json names",
    )
    assert hint == "copy all files of the model, this one too; a copy that was cut off may be gone on with"


@pytest.mark.parametrize(
    ("prefix", "who"),
    [
        ("module.", "DistributedDataParallel (module.)"),
        ("_orig_mod.", "torch.compile (_orig_mod.)"),
        ("module._orig_mod.", "DistributedDataParallel (module.) and torch.compile (_orig_mod.)"),
        ("base_model.model.", "peft (base_model.model.)"),
        ("net.", "another module around the model"),
    ],
)
def test_names_that_begin_with_what_was_around_the_model_are_explained(folder: Path, prefix: str, who: str) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    named = {f"{prefix}{name}": weight for name, weight in weights.items()}
    safetensors.torch.save_file(named, folder / "model.safetensors", {"format": "pt"})

    reason, message, hint = refused(folder, load)

    assert reason == Reason.WEIGHTS_DO_NOT_FIT
    assert message.startswith(": weights are missing (")
    assert hint == (
        f"in the files the names of weights begin with {prefix}, as {who} leaves them: take that away, or save the model "
        "that is within by save_pretrained"
    )


def test_an_adapter_within_the_weights_is_explained(folder: Path) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights[LAYER.replace("weight", "base_layer.weight")] = weights.pop(LAYER)
    weights[LAYER.replace("weight", "lora_A.default.weight")] = torch.ones(2, 8)
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})

    reason, message, hint = refused(folder, load)

    assert reason == Reason.WEIGHTS_DO_NOT_FIT
    assert LAYER in message
    assert hint == "an adapter is among the weights: merge it into them by merge_and_unload, and save the result"


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (["model"], "the model is in model"),
        (["checkpoints/step-000012", "checkpoints/step-000006", "model"], "the model is in model"),
        (["checkpoints/step-000006", "checkpoints/step-000012"], "the newest model is in checkpoints/step-000012"),
        (["checkpoint-500", "checkpoint-1000"], "the newest model is in checkpoint-1000"),
        (["first", "second"], "there are models in first, second"),
    ],
)
def test_of_a_folder_with_models_in_it_the_one_is_named(
    folder: Path, tmp_path: Path, places: list[str], told: str
) -> None:
    out = tmp_path / "out"
    for place in places:
        (out / place).mkdir(parents=True)
        (out / place / "config.json").write_text("{}")

    reason, message, hint = refused(out)

    assert (reason, message) == (Reason.MODEL_NOT_FOUND, f": there is no config.json in {out}, but {told}")
    last = told.rpartition(" ")[2]
    assert hint == f"set model.source to the folder itself, such as file://{out}/{last}"


def test_of_a_model_that_is_not_there_what_lies_beside_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "models" / "minilm").mkdir(parents=True)
    (tmp_path / "models" / "words").write_text("a")
    (tmp_path / "models" / ".cache").mkdir()

    alike = refused(tmp_path / "models" / "minilmm")
    far = refused(tmp_path / "models" / "x" / "y")
    empty = refused(tmp_path / "models" / "minilm" / "x")

    has = f"the folder {tmp_path}/models has minilm, words"
    assert alike[:2] == (
        Reason.MODEL_NOT_FOUND, f": there is nothing at {tmp_path}/models/minilmm; {has}; did you mean 'minilm'?",
    )  # fmt: skip
    assert far[1] == f": there is nothing at {tmp_path}/models/x/y; {has}"
    assert empty[1] == f": there is nothing at {tmp_path}/models/minilm/x; the folder {tmp_path}/models/minilm is empty"


def test_a_folder_that_is_no_model_is_told_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "configs.json").write_text("{}")

    _, message, hint = refused(tmp_path)

    assert message == (
        f": there is no config.json in {tmp_path}; the folder has configs.json; did you mean 'configs.json'?"
    )
    assert hint == "model.source must be a folder as save_pretrained writes it"


def configured(folder: Path, **fields: Any) -> Path:
    path = folder / "config.json"
    kept = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({name: value for name, value in kept.items() if value != "left out"}))
    return folder


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model_type": "lama"}, "model_type is 'lama', which transformers .+ does not know; did you mean 'llama'?"),
        ({"model_type": "left out"}, "it has no model_type"),
        ({"rope_parameters": {"rope_type": "spiral"}}, "rope_parameters.rope_type is 'spiral', which transformers .+"),
        ({"hidden_act": "silly"}, "hidden_act is 'silly', which transformers .+ does not know"),
        (
            {"hidden_size": "wide"},
            "Validation error for field 'hidden_size': TypeError: Field 'hidden_size' expected int",
        ),
        ({"num_attention_heads": 3}, ".*The hidden size .8. is not a multiple of the number of attention heads"),
        ({"num_attention_heads": 0}, "ZeroDivisionError: "),
        ({"vocab_size": -1}, "Trying to create tensor with negative dimension"),
        ({"rope_parameters": {"rope_type": "linear"}}, "Missing required keys in `rope_parameters`"),
    ],
)
def test_a_configuration_of_which_no_model_can_be_made_is_to_blame_and_not_the_files(
    folder: Path, fields: dict[str, Any], told: str
) -> None:
    configured(folder, **fields)

    reason, message, hint = refused(folder, partial(load, empty=True))

    assert reason == Reason.MODEL_CONFIG_WRONG
    assert re.match(f": no model can be made of what its config.json says: {told}", message), message
    assert "a model that is newer than transformers" in hint


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json", "generation_config.json"])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[]", "it holds a list"),
        (b"null", "it holds a NoneType"),
        (b"", "Expecting value: line 1 column 1"),
        (b'{"a": 1', "Expecting ',' delimiter: line 1 column 8"),
    ],
)
def test_settings_that_are_no_json_object_are_named(
    folder: Path, adapter: Callable[..., Path], name: str, content: bytes, told: str
) -> None:
    there = adapter() if name == "adapter_config.json" else folder
    (there / name).write_bytes(content)

    reason, message, hint = refused(there)

    assert reason == Reason.MODEL_UNREADABLE
    assert message.startswith(f": {name} is no JSON object: {told}")
    assert hint == "copy it again: it was cut off, or is another file"


def as_pickle(folder: Path, held: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    """The weights as torch saves them, or what is made of them."""
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(held(weights), folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (lambda weights: {"state_dict": weights, "epoch": 3}, "the weights are within its 'state_dict'"),
        (lambda weights: {"epoch": 3, "model": weights}, "the weights are within its 'model'"),
        (lambda weights: list(weights.values()), "it holds a list, and no weights by their names"),
        (lambda weights: dict(enumerate(weights.values())), "it holds a dict, and no weights by their names"),
        (lambda weights: torch.ones(2), "it holds a Tensor, and no weights by their names"),
        (lambda weights: None, "it holds a NoneType, and no weights by their names"),
        (lambda weights: {}, "it holds none"),
        (lambda weights: weights | {LAYER: weights[LAYER].to_sparse()}, f"{LAYER} is sparse"),
        (
            lambda weights: torch.nn.Linear(2, 2),
            "it holds objects (torch.nn.modules.linear.Linear), for which code of the file would be run",
        ),
        (
            lambda weights: {name: weight.numpy() for name, weight in weights.items()},
            "it holds objects (numpy._core.multiarray._reconstruct), for which code of the file would be run",
        ),
    ],
)
def test_a_pickle_that_is_no_weights_by_their_names_is_refused_as_what_it_is(
    folder: Path, held: Callable[[dict[str, torch.Tensor]], Any], told: str
) -> None:
    reason, message, hint = refused(as_pickle(folder, held))

    assert (reason, message) == (
        Reason.MODEL_UNREADABLE,
        f" cannot be loaded: pytorch_model.bin holds no weights that can be read: {told}",
    )
    assert "model.save_pretrained(FOLDER)" in hint


def test_what_is_beside_the_weights_in_a_pickle_is_left_out(folder: Path) -> None:
    load(as_pickle(folder, lambda weights: weights | {"epoch": 3}))


def test_an_archive_without_its_end_is_called_so(folder: Path) -> None:
    path = as_pickle(folder, lambda weights: weights) / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-2000])

    reason, message, _ = refused(folder)

    assert (reason, message.endswith("can be read: its end is missing")) == (Reason.MODEL_UNREADABLE, True)


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (["model-00001-of-00002.safetensors"], "copy model.safetensors.index.json too"),
        (["pytorch_model-00001-of-00002.bin"], "copy pytorch_model.bin.index.json too"),
        (["global_step500", "zero_to_fp32.py"], "DeepSpeed has left its own: python zero_to_fp32.py"),
        (["pytorch_model_fsdp_0"], "FSDP has left its own: accelerate merge-weights"),
        (["consolidated.00.pth", "params.json"], "these are its author's own"),
        (["model-Q4_K_M.gguf"], "GGUF is for inference"),
        (["tf_model.h5"], "TensorFlow's and Flax' are not read"),
        (["weights.safetensors"], "weights are looked for by name: call the file model.safetensors"),
        (["model.pt"], "weights are looked for by name: call the file pytorch_model.bin"),
        (["adapter_model.safetensors"], "an adapter has its adapter_config.json beside it"),
        (
            ["training_args.bin", "optimizer.pt", "rng_state.pth"],
            "model.source must hold weights as save_pretrained writes them",
        ),
        ([], "model.source must hold weights as save_pretrained writes them"),
    ],
)
def test_of_weights_in_another_format_it_is_told_how_they_become_those_that_are_read(
    folder: Path, names: list[str], remedy: str
) -> None:
    (folder / "model.safetensors").unlink()
    for name in names:
        (folder / name).touch()

    reason, message, hint = refused(folder)

    assert reason == Reason.WEIGHTS_MISSING
    known = (
        " has none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, pytorch_model.bin.index.json"
    )
    shown = [] if "training_args.bin" in names else names
    assert message == known + (f", but {', '.join(shown)}" if shown else "")
    assert hint.startswith(remedy)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("empty", [True, False])
def test_whole_numbers_in_place_of_weights_are_refused(folder: Path, dtype: torch.dtype, empty: bool) -> None:
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights[LAYER] = (weights[LAYER] * 100).to(dtype)
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})

    reason, message, hint = refused(folder, partial(load, empty=empty))

    assert (reason, message) == (
        Reason.WEIGHTS_DO_NOT_FIT,
        f": 1 of its weights are no fractions in the files, but {LAYER} ({str(dtype).removeprefix('torch.')})",
    )
    assert hint.endswith("use the model that it was made from")


def twice(folder: Path, held: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    """The weights as torch saves them too, or what is made of them."""
    torch.save(held(safetensors.torch.load_file(folder / "model.safetensors")), folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (lambda weights: weights | {LAYER: weights[LAYER] * 2}, f"({LAYER})"),
        (lambda weights: weights | {LAYER: weights[LAYER][:4]}, f"({LAYER})"),
        (lambda weights: {"other": torch.ones(2)}, "(they have no name in common)"),
    ],
)
def test_of_two_formats_that_differ_it_is_told_which_is_read(
    folder: Path, caplog: pytest.LogCaptureFixture, held: Callable[[Any], Any], told: str
) -> None:
    find(twice(folder, held))

    assert [record.getMessage() for record in caplog.records] == [
        f"model.source file://{folder} holds weights twice, and they differ: model.safetensors is read, pytorch_model.bin "
        f"is not {told}; delete the one that is not meant"
    ]


@pytest.mark.parametrize(
    "held",
    [
        dict,
        lambda weights: {name: weight.to(torch.bfloat16) for name, weight in weights.items()},
        lambda weights: weights | {"model.embeddings.position_ids": torch.arange(8)},
    ],
)
def test_two_formats_of_the_same_weights_are_no_matter(
    folder: Path, caplog: pytest.LogCaptureFixture, held: Callable[[Any], Any]
) -> None:
    find(twice(folder, held))

    assert caplog.records == []


@pytest.mark.parametrize("content", [b"torn", b""])
def test_weights_that_nobody_reads_may_be_torn(folder: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    (folder / "pytorch_model.bin").write_bytes(content)

    find(folder)

    assert caplog.records == []


@pytest.mark.parametrize(
    "held",
    [
        torch.ones(2),
        [torch.ones(2)],
        None,
        {"state_dict": {LAYER: torch.ones(2)}},
        {LAYER: torch.eye(8).to_sparse()},
        {LAYER: torch.zeros(8, 8, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)},
    ],
)
def test_what_nobody_reads_may_be_other_than_weights(folder: Path, caplog: pytest.LogCaptureFixture, held: Any) -> None:
    torch.save(held, folder / "pytorch_model.bin")

    find(folder)

    assert caplog.records == []
