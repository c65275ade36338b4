"""Models and data by authors who mean harm: none of their code runs, nothing is read but their files, and the run says why it ends or learns."""

import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import torch
from tests.trainer.tiny import Settings, Train, texts

Attack = Callable[[Path, Path, Path], None]
"""Changes the folder of the model or that of the data; the last path is of a folder that code of theirs would make."""


class Owned:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._mark),)


def edit(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def code(mark: Path) -> str:
    return f"import os\nos.mkdir({str(mark)!r})\n"


def pickled_weights(model: Path, data: Path, mark: Path) -> None:
    (model / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Owned(mark)}, model / "pytorch_model.bin")


def old_pickled_weights(model: Path, data: Path, mark: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Owned(mark)))


def code_beside_the_model(model: Path, data: Path, mark: Path) -> None:
    for name in ("modeling_mine.py", "configuration_mine.py", "tokenization_mine.py", "handler.py", "__init__.py"):
        (model / name).write_text(code(mark))
    edit(model / "config.json", auto_map={"AutoConfig": "configuration_mine.C", "AutoModel": "modeling_mine.M"})
    edit(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_mine.T", None]})


def another_tokenizer_class(model: Path, data: Path, mark: Path) -> None:
    (model / "tokenization_mine.py").write_text(code(mark))
    edit(model / "tokenizer_config.json", tokenizer_class="MineTokenizer", auto_map={"AutoTokenizer": ["tokenization_mine.T", None]})  # fmt: skip


def huge_header(model: Path, data: Path, mark: Path) -> None:
    (model / "model.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")


def huge_shapes(model: Path, data: Path, mark: Path) -> None:
    head = json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 4]}}).encode()
    (model / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))


def huge_config(model: Path, data: Path, mark: Path) -> None:
    edit(model / "config.json", hidden_size=2**40, vocab_size=2**40)


def too_many_classes(model: Path, data: Path, mark: Path) -> None:
    names = {number: f"class {number}" for number in range(100_000)}
    edit(model / "config.json", id2label=names, label2id={name: number for number, name in names.items()})


def weights_elsewhere(model: Path, data: Path, mark: Path) -> None:
    (model / "model.safetensors").unlink()
    outside = "../" * 40 + "proc/self/environ"
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": outside}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))


def deep_settings(model: Path, data: Path, mark: Path) -> None:
    text = (model / "config.json").read_text().rstrip().rstrip("}")
    (model / "config.json").write_text(text + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}")


def a_script_beside_the_data(model: Path, data: Path, mark: Path) -> None:
    for name in (f"{data.name}.py", "dataset.py", "__init__.py"):
        (data / name).write_text(code(mark))


def objects_in_yaml(model: Path, data: Path, mark: Path) -> None:
    (data / "README.md").write_text(f"---\nlicense: !!python/object/apply:os.mkdir ['{mark}']\n---\n")


def aliases_in_yaml(model: Path, data: Path, mark: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    lines += ["configs:", "- config_name: default", "  data_files: *a29"]
    (data / "README.md").write_text("---\n" + "\n".join(lines) + "\n---\n")


def pickles_in_a_tar(model: Path, data: Path, mark: Path) -> None:
    for name in ("train", "test"):
        (data / f"{name}.csv").unlink()
        with tarfile.open(data / f"{name}.tar", "w") as tar:
            for suffix in ("pyd", "pickle", "pkl", "pth", "npy", "npz"):
                content = pickle.dumps(Owned(mark))
                member = tarfile.TarInfo(f"0.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def pickled_rows(model: Path, data: Path, mark: Path) -> None:
    for name in ("train", "test"):
        (data / f"{name}.csv").unlink()
        (data / f"{name}.pkl").write_bytes(pickle.dumps(Owned(mark)))


def a_zip_that_leads_out(model: Path, data: Path, mark: Path) -> None:
    for name in ("train", "test"):
        (data / f"{name}.csv").unlink()
        with zipfile.ZipFile(data / f"{name}.zip", "w") as archive:
            archive.writestr(f"../../../../../../../../{mark}/x", "x")
            archive.writestr("rows.csv", "text,label\na,b\n")


def rows_elsewhere(model: Path, data: Path, mark: Path) -> None:
    shutil.rmtree(data)
    saved = datasets.DatasetDict({"train": datasets.Dataset.from_dict(texts(9)), "test": datasets.Dataset.from_dict(texts(9))})  # fmt: skip
    saved.save_to_disk(data)
    edit(data / "train" / "state.json", _data_files=[{"filename": "/proc/self/environ"}])


def objects_in_features(model: Path, data: Path, mark: Path) -> None:
    rows_elsewhere(model, data, mark)
    saved = datasets.Dataset.from_dict(texts(9))
    saved.save_to_disk(data / "train")
    info = json.loads((data / "train" / "dataset_info.json").read_text())
    info["features"]["text"] = {"_type": "os.mkdir", "dtype": str(mark)}
    (data / "train" / "dataset_info.json").write_text(json.dumps(info))


ATTACKS: dict[Attack, str | None] = {
    pickled_weights: "ModelUnreadable",
    old_pickled_weights: "ModelUnreadable",
    code_beside_the_model: None,
    another_tokenizer_class: None,
    huge_header: "ModelUnreadable",
    huge_shapes: "ModelUnreadable",
    huge_config: "ModelConfigWrong",
    too_many_classes: None,
    weights_elsewhere: "ModelUnreadable",
    deep_settings: "ModelUnreadable",
    a_script_beside_the_data: None,
    objects_in_yaml: "DatasetUnreadable",
    aliases_in_yaml: "DatasetUnreadable",
    pickles_in_a_tar: "DatasetUnreadable",
    pickled_rows: "UnknownFileType",
    a_zip_that_leads_out: "UnknownFileType",
    rows_elsewhere: "DatasetUnreadable",
    objects_in_features: "DatasetUnreadable",
}
"""By each the reason of the run's failure; None where the run goes well all the same."""


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_file_runs_code_or_leads_elsewhere(
    settings: Settings, model: Path, data: Path, train: Train, attack: Attack, tmp_path: Path
) -> None:
    own_model, own_data, mark = tmp_path / "model", tmp_path / "data", tmp_path / "owned"
    shutil.copytree(model, own_model)
    shutil.copytree(data, own_data)
    settings["model"]["source"], settings["dataset"]["source"] = f"file://{own_model}", f"file://{own_data}"
    settings["training"]["epochs"] = 1
    attack(own_model, own_data, mark)

    ended = train(settings)

    assert not mark.exists()
    assert (ended.final.failure.reason if ended.final.failure else None) == ATTACKS[attack]
    assert len(ended.final.to_termination_message()) <= 4096
