"""The examples are what the README says they are."""

import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from kubernetes.utils.quantity import parse_quantity
from ruamel.yaml import YAML

from finetune_api.profile import FineTuneProfileSpec, safe_profile
from finetune_api.profile_rules import Request
from finetune_api.profile_table import violation
from finetune_api.run import RunConfig
from finetune_api.v1alpha1 import FineTuneJobSpec, RunSettings
from finetune_operator.manifests.pvc import DEFAULT_SIZE
from finetune_trainer.run.memory_estimate import Sizes, estimate_output

ROOT = Path(__file__).parents[3]
PARAMETERS = {
    "pvc://quickstart/minilm": 22_700_000,
    "google-t5/t5-small": 60_500_000,
    "google-bert/bert-base-cased": 108_300_000,
    "google-bert/bert-base-uncased": 109_500_000,
    "HuggingFaceTB/SmolLM2-135M": 134_500_000,
    "FacebookAI/roberta-large": 355_400_000,
    "Qwen/Qwen2.5-0.5B": 494_000_000,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_000_000,
    "Qwen/Qwen2.5-7B-Instruct": 7_616_000_000,
}
"""Weights of the examples' models."""


def test_the_quickstart_is_a_valid_job() -> None:
    manifest = YAML(typ="safe").load(ROOT / "examples/quickstart.yaml")

    spec = FineTuneJobSpec.model_validate(manifest["spec"])

    assert spec.training.learning_rate == 1e-4


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_runs_under_the_safe_profile(path: Path) -> None:
    for manifest in YAML(typ="safe").load_all(path):
        if manifest["kind"] == "FineTuneJob":
            spec = FineTuneJobSpec.model_validate(manifest["spec"])
            request = Request(spec, manifest["metadata"]["name"], "default", {})

            assert violation(request, safe_profile()) is None


def test_the_profile_that_is_explained_is_a_valid_one() -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-profile.md").read_text(encoding="utf-8")

    (manifest,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    spec = FineTuneProfileSpec.model_validate(YAML(typ="safe").load(manifest)["spec"])
    assert spec.limits.memory == "512Gi"


def test_the_laptop_s_run_is_the_quickstart_s() -> None:
    load = YAML(typ="safe").load
    job = load(ROOT / "examples/quickstart.yaml")["spec"]

    run = RunConfig.model_validate(load(ROOT / "demo/run.yaml"))

    in_cluster = RunConfig.model_validate(
        {name: job[name] for name in job if name != "resources"} | {"output": {"uri": "pvc://anywhere"}}
    )
    assert run.digest() == in_cluster.digest()


def test_the_volumes_that_examples_ask_for_hold_their_checkpoints_and_models() -> None:
    manifests = [YAML(typ="safe").load(path) for path in (ROOT / "examples").glob("*.yaml")]
    too_small = []

    for manifest in manifests:
        if manifest["kind"] == "FineTuneJob":
            spec = FineTuneJobSpec.model_validate(manifest["spec"])
            run = {field: manifest["spec"][field] for field in RunSettings.model_fields if field in manifest["spec"]}
            config = RunConfig.model_validate({**run, "output": {"uri": "file:///out"}})
            needed = estimate_output(sizes(PARAMETERS[spec.model.source], adapted=bool(spec.training.lora)), config)
            if needed > parse_quantity(spec.output.size or DEFAULT_SIZE):
                too_small.append((manifest["metadata"]["name"], needed))

    assert too_small == []


def sizes(parameters: int, adapted: bool) -> Sizes:
    trained = parameters // 100 if adapted else parameters
    return Sizes(
        parameters,
        trained,
        linear=0,
        kept=0,
        layers=0,
        heads=0,
        hidden=0,
        vocabulary=0,
        dropout=False,
        eager=False,
        pinned=0,
    )


@pytest.mark.slow
def test_the_docstrings_are_many_balanced_and_no_test_text_was_seen_in_training(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "demo/docstrings.py", tmp_path], check=True)

    train, test = (list(csv.DictReader((tmp_path / name).open())) for name in ("train.csv", "test.csv"))
    labels = Counter(row["label"] for row in test)
    assert len(train) > 1000
    assert len(test) > 250
    assert len(labels) == 8
    assert max(labels.values()) / len(test) < 0.3
    assert not {row["text"] for row in train} & {row["text"] for row in test}
