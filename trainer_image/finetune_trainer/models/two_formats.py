"""A folder that holds its weights twice, such as in safetensors and as torch saves them: the same, or what one of two models has left."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open

from finetune_api.reasons import Reason
from finetune_trainer.base.errors import TrainerError
from finetune_trainer.base.run_warnings import warn
from finetune_trainer.base.text import listed
from finetune_trainer.models.other_formats import check_pickled
from finetune_trainer.models.weight_files import WEIGHTS, parts_of

_Row = tuple[list[int], torch.Tensor]
"""The shape of a weight, and its first row."""
_UNREADABLE = (
    TrainerError, SafetensorError, UnpicklingError, RuntimeError, OSError, EOFError, ValueError, TypeError, LookupError, AttributeError
)  # fmt: skip
"""What is raised by files that are torn or hold something else: a pickle makes its reader raise whatever it likes."""
_NEAR = {"rtol": 0.02, "atol": 0.001}
"""So far apart may numbers be that were rounded to 16 bits in one of the two."""


def warn_of_others(folder: Path, source: str) -> None:
    """Warn of weights that are left out, and differ from those that are read. Of each weight the first row is compared."""
    first, *others = [name for name in WEIGHTS if (folder / name).is_file()]
    for other in others:
        try:
            taken, left = _first_rows(folder, first, source), _first_rows(folder, other, source)
            shared = sorted(taken.keys() & left.keys())
            differ = [name for name in shared if not _are_near(taken[name], left[name])]
        except _UNREADABLE:
            continue  # nobody reads them
        if left and (differ or not shared):
            warn(
                Reason.FORMATS_DIFFER,
                f"model.source {source} holds weights twice, and they differ: {first} is read, {other} is not ("
                + (f"{listed(differ, 2)})" if differ else "they have no name in common)")
                + "; delete the one that is not meant",
            )


def _first_rows(folder: Path, first: str, source: str) -> dict[str, _Row]:
    """Of each weight, by its name, in files that are mapped and not read whole."""
    rows: dict[str, _Row] = {}
    for name in parts_of(folder, first, source):
        if name.endswith(".safetensors"):
            with safe_open(folder / name, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118  (it is no mapping)
                    part = file.get_slice(key)
                    shape = part.get_shape()
                    rows[key] = shape, part[:1] if shape else file.get_tensor(key)
        else:
            held = torch.load(folder / name, map_location="cpu", mmap=True, weights_only=True)
            for key, value in check_pickled(held, name, source).items():
                rows[key] = list(value.shape), value[:1] if value.dim() else value
    return rows


def _are_near(one: _Row, other: _Row) -> bool:
    return one[0] == other[0] and torch.allclose(one[1].float(), other[1].float(), **_NEAR, equal_nan=True)
