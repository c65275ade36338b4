import importlib.util
import sys
from importlib import import_module
from pathlib import Path

import pytest

from finetune_trainer.base.hidden_packages import hidden


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "a_large_package.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return "a_large_package"


def test_a_package_is_not_there_meanwhile_and_is_again_however_that_ended(package: str) -> None:
    with pytest.raises(ImportError), hidden(package):  # noqa: PT012 # the import fails, and ends what hides it
        assert importlib.util.find_spec(package) is None
        import_module(package)

    assert import_module(package)
    del sys.modules[package]


def test_one_that_is_imported_already_stays(package: str) -> None:
    there = import_module(package)

    with hidden(package):
        assert import_module(package) is there

    assert sys.modules.pop(package) is there
