"""Rows of a split, with what a message needs to name one of them."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt

from finetune_trainer.data.readers.tables import Doubt


@dataclass(frozen=True)
class Rows:
    """Rows of a split, and the place of each in it, so that a message can name the row that people see."""

    dataset: datasets.Dataset
    positions: npt.NDArray[np.int64]
    """Of each row in its split; the first is 1."""
    splits: npt.NDArray[np.object_]
    """Of each row: the name of that split, without a slice."""
    split: str
    """As it is asked for: `train[:80%]`, `train+validation`."""
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    """What is wrong with columns; it counts where one is read."""
    commit: str | None = None
    """On the Hub, where it is known."""
    _fingerprints: dict[tuple[str, ...], str] = field(default_factory=dict, init=False, repr=False)

    def name_row(self, index: int) -> str:
        """How to call the row at `index` of `dataset`."""
        return f"row {self.positions[index]} of split '{self.splits[index]}' (counted from 1)"

    def select(self, indices: npt.NDArray[np.int64]) -> "Rows":
        """The rows at these indices of `dataset`."""
        return Rows(
            self.dataset.select(indices), self.positions[indices], self.splits[indices], self.split, self.doubts
        )

    @property
    def revision(self) -> str | None:
        """Commit on the Hub that the rows are of: `datasets` keeps each in a folder of that name."""
        if self.commit:
            return self.commit
        folders = [Path(file["filename"]).parent.name for file in self.dataset.cache_files]
        return next((name for name in folders if re.fullmatch("[0-9a-f]{40}", name)), None)

    def fingerprint(self, columns: Sequence[str]) -> str:
        """`sha256:…` of what the columns hold, row by row: the same wherever and in whatever format the data lies."""
        key = tuple(sorted(columns))
        if key not in self._fingerprints:
            names = {column: names for column in key if (names := _class_names(self.dataset.features[column]))}
            digest = hashlib.sha256(json.dumps(names, sort_keys=True).encode() if names else b"")
            for batch in self.dataset.select_columns(list(key)).iter(batch_size=1000):
                digest.update(json.dumps(batch, sort_keys=True, default=str).encode())
            self._fingerprints[key] = f"sha256:{digest.hexdigest()}"
        return self._fingerprints[key]


def _class_names(feature: Any) -> list[str] | None:
    """The names of the classes, where the column declares them."""
    inner = getattr(feature, "feature", feature)
    return inner.names if isinstance(inner, datasets.ClassLabel) else None
