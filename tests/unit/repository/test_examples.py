"""The examples are what the README says they are."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path

from ruamel.yaml import YAML

from finetune_api.run import RunConfig
from finetune_api.v1alpha1 import FineTuneJobSpec

ROOT = Path(__file__).parents[3]


def test_the_quickstart_is_a_valid_job() -> None:
    manifest = YAML(typ="safe").load(ROOT / "examples/quickstart.yaml")

    spec = FineTuneJobSpec.model_validate(manifest["spec"])

    assert spec.training.learning_rate == 1e-4


def test_the_laptop_s_run_is_the_quickstart_s() -> None:
    load = YAML(typ="safe").load
    job = load(ROOT / "examples/quickstart.yaml")["spec"]

    run = RunConfig.model_validate(load(ROOT / "examples/run.yaml"))

    in_cluster = RunConfig.model_validate(
        {name: job[name] for name in job if name != "resources"} | {"output": {"uri": "pvc://anywhere"}}
    )
    assert run.digest() == in_cluster.digest()


def test_the_docstrings_are_many_balanced_and_no_test_text_was_seen_in_training(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "examples/docstrings.py", tmp_path], check=True)

    train, test = (list(csv.DictReader((tmp_path / name).open())) for name in ("train.csv", "test.csv"))
    labels = Counter(row["label"] for row in test)
    assert len(train) > 1000
    assert len(test) > 250
    assert len(labels) == 8
    assert max(labels.values()) / len(test) < 0.3
    assert not {row["text"] for row in train} & {row["text"] for row in test}
