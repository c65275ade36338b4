"""transformers reads its 1,700 files of models for the names in them, twice at each start: as `transformers` and as `transformers.models`."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_MODULE = "transformers.utils.import_utils"
_READS = "create_import_structure_from_path"


@contextmanager
def read_once() -> Iterator[None]:
    """Import transformers within this: what it has read is what it is told when it asks for the same folder again."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        finder.forget()


class _Finder:
    """Finds that one module of transformers, and puts what remembers in the place of its function."""

    def __init__(self) -> None:
        self._read: dict[str, Any] | None = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _MODULE else None
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def execute_and_replace(module: ModuleType) -> None:
                execute(module)
                if read := getattr(module, _READS, None):
                    setattr(module, _READS, self._remembering(read))

            spec.loader.exec_module = execute_and_replace  # type: ignore[method-assign]
        return spec

    def _remembering(self, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def remembered(module_path: str | os.PathLike[str]) -> Any:
            if self._read is None:
                return read(module_path)
            folder = os.fspath(module_path)
            if folder.endswith("__init__.py"):
                folder = os.path.dirname(folder)  # noqa: PTH120
            if folder not in self._read:
                self._read[folder] = read(module_path)
            return self._read[folder]

        return remembered

    def forget(self) -> None:
        """From now on each folder that is asked for is read."""
        self._read = None
