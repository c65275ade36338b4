"""What another process sends is data, never a program."""

import ast
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import distributed_c10d as c10d
from torch.distributed._state_dict_utils import _TensorInfo

from finetune_trainer.processes import exchange

TRAINER = Path(exchange.__file__).parents[1]


class Program:
    """What a stranger would send."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c10d, "_pickler", c10d._pickler)
    monkeypatch.setattr(c10d, "_unpickler", c10d._unpickler)
    exchange.read_no_code()


def received(content: bytes) -> Any:
    """What torch makes of the bytes that came for an `…_object` call."""
    return c10d._tensor_to_object(torch.frombuffer(bytearray(content), dtype=torch.uint8), len(content), None)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_from_another_process_is_refused_and_not_run(guarded: None, tmp_path: Path, protocol: int) -> None:
    with pytest.raises(Exception, match=r"(?i)unsupported|weights.only|unpickl"):
        received(pickle.dumps(Program(tmp_path / "made"), protocol))

    assert not (tmp_path / "made").exists()


def test_without_the_guard_torch_runs_it(tmp_path: Path) -> None:
    received(pickle.dumps(Program(tmp_path / "made")))

    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "value",
    [
        # What torch itself sends of an optimizer whose state is sharded.
        [{"state.weight.exp_avg": _TensorInfo(torch.Size([2, 3]), torch.float32), "param_groups.weight.lr": 1e-3}],
        [{"state.weight.step": torch.tensor(3.0)}],
        [{"betas": (0.9, 0.999), "foreach": None, "on": True, "names": ["ä", "b"]}, 2**40],
    ],
)
def test_what_libraries_send_as_data_is_read_as_it_is(guarded: None, value: Any) -> None:
    content, size = c10d._object_to_tensor(value, torch.device("cpu"), None)

    assert c10d._tensor_to_object(content, int(size), None) == value


def test_one_process_gets_what_it_has() -> None:
    assert exchange.gather(b"\0ab") == [b"\0ab"]
    assert exchange.gather_number(0.1) == [0.1]
    assert exchange.broadcast_bytes(b"") == b""
    assert exchange.broadcast({"a": 1}, dict[str, int]) == {"a": 1}


@pytest.mark.parametrize("size", [-1, 2**31 + 1])
def test_a_size_that_no_process_sends_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="which none does"):
        exchange._checked(size)


PICKLING = ("gather_object", "all_gather_object", "broadcast_object_list", "scatter_object_list", "send_object_list",
            "recv_object_list", "dill", "cloudpickle", "marshal", "shelve", "joblib")  # fmt: skip


def test_nothing_of_ours_sends_or_reads_pickles() -> None:
    """No `…_object` call, no pickle, and torch.load reads weights alone."""
    found = []
    for path in sorted(TRAINER.rglob("*.py")):
        where = str(path.relative_to(TRAINER))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.attr] if isinstance(node, ast.Attribute) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [(where, name) for name in names if name.split(".")[0] in PICKLING]
            found += [(where, name) for name in names if name == "pickle"
                      and not (isinstance(node, ast.ImportFrom) and [each.name for each in node.names] == ["UnpicklingError"])]  # fmt: skip
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                found += [(where, "torch.load")] if arguments.get("weights_only") != "True" else []

    assert found == []
