"""What a run imports, in a process of its own."""

import subprocess
import sys

import pytest

START = """
import os, sys
from importlib import import_module
from finetune_trainer.__main__ import _large_imports

looked, scan = [], os.scandir
os.scandir = lambda folder=".": looked.append(str(folder)) or scan(folder)
with _large_imports():
    from finetune_trainer.run import commands
os.scandir = scan
print(sum(each.endswith("/transformers/models") for each in looked))
for name in ("tasks.text_classification", "tasks.token_classification", "tasks.causal_lm", "tasks.seq2seq", "engines.transformers_trainer"):
    import_module(f"finetune_trainer.{name}")
from finetune_trainer.metrics.scores import load_metric
accuracy = load_metric("accuracy").compute(predictions=[0, 1, 1, 1], references=[0, 0, 1, 1])
print(accuracy, sorted({"boto3", "scipy", "sklearn"} & set(sys.modules)))

import transformers.models
from transformers.utils import is_scipy_available
from transformers.utils.import_utils import define_import_structure
modules = {name for each in define_import_structure(transformers.models.__file__).values() for name in each}
print(modules == transformers.models._import_structure.keys(), len(modules) > 1000)
import boto3
print(is_scipy_available(), load_metric("f1").compute(predictions=[0, 1], references=[0, 1]))
"""


@pytest.mark.slow
def test_a_run_starts_without_what_it_does_not_need_and_has_it_where_a_metric_or_a_model_asks_for_it() -> None:
    ended = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=False)

    models_are_looked_through = 1
    assert ended.stdout.splitlines() == [
        str(models_are_looked_through),
        "{'accuracy': 0.75} []",
        "True True",
        "True {'f1': 1.0}",
    ], ended.stderr
