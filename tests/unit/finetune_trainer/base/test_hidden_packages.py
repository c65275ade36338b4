import importlib.util
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from finetune_trainer.base.hidden_packages import hidden

START = """
import sys
from importlib import import_module
from finetune_trainer.__main__ import _large_imports

with _large_imports():
    from finetune_trainer.run import commands
for name in ("tasks.text_classification", "tasks.token_classification", "tasks.causal_lm", "tasks.seq2seq", "engines.transformers_trainer"):
    import_module(f"finetune_trainer.{name}")
from finetune_trainer.metrics.scores import load_metric
accuracy = load_metric("accuracy").compute(predictions=[0, 1, 1, 1], references=[0, 0, 1, 1])
print(accuracy, sorted({"boto3", "scipy", "sklearn"} & set(sys.modules)))

from transformers.utils import is_scipy_available
import boto3
print(is_scipy_available(), load_metric("f1").compute(predictions=[0, 1], references=[0, 1]))
"""


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


@pytest.mark.slow
def test_a_run_starts_without_what_it_does_not_need_and_has_it_where_a_metric_or_a_model_asks_for_it() -> None:
    ended = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=False)

    assert ended.stdout == "{'accuracy': 0.75} []\nTrue {'f1': 1.0}\n", ended.stderr
