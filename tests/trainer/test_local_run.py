"""`finetune run` is the same run as a pod's: the same metrics, and it goes on where an interrupt left it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
from tests.trainer.tiny import texts
from tests.unit.finetune_operator.samples import finetunejob

from devcluster.testing.api import wait_for
from finetune.local import plan_run, train
from finetune.manifest import Manifest, to_yaml
from finetune_api.report import ENV_TERMINATION_LOG, FinalReport
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.manifests.run_file import run_config, run_file

pytestmark = pytest.mark.slow


@pytest.fixture
def spec(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Data and model on a claim, whose files are in tmp_path."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    for split, rows in (("train", 96), ("test", 24)):
        datasets.Dataset.from_dict(texts(rows)).to_csv(tmp_path / "data" / f"{split}.csv")
    (tmp_path / "bert").symlink_to(model)
    return {
        "task": "text-classification",
        "model": {"source": "pvc://files/bert"},
        "dataset": {"source": "pvc://files/data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
        "training": {"epochs": 2, "learningRate": 1e-3},
        "evaluation": {"metrics": ["accuracy", "f1"]},
        "output": {"uri": "pvc://files/pod"},
        "resources": {"gpus": 0},
    }


def in_a_pod(spec: dict[str, Any], folder: Path) -> FinalReport:
    """What the trainer ends with by the run.yaml of the operator."""
    found = parse_finetunejob({**finetunejob(), "spec": spec})
    assert found.spec
    (folder / "run.yaml").write_text(run_file(run_config(found, found.spec)))
    command = [sys.executable, "-m", "finetune_trainer", "--config", "run.yaml", "--volume", f"files={folder}"]
    subprocess.run(command, cwd=folder, env={**os.environ, ENV_TERMINATION_LOG: str(folder / "final.json")}, check=True)
    return FinalReport.model_validate_json((folder / "final.json").read_bytes())


def test_the_same_manifest_gives_the_same_metrics_here_and_in_a_pod(spec: dict[str, Any], tmp_path: Path) -> None:
    there = in_a_pod(spec, tmp_path)

    here = train(plan_run(Manifest.of("tiny", **spec), tmp_path / "here", volumes={"files": tmp_path}))

    assert here.metrics == {each.name: float(each.value) for each in there.metrics}
    assert here.metrics["eval_accuracy"] > 0.7
    assert (here.model / "config.json").exists()


def test_an_interrupt_saves_a_checkpoint_and_the_same_command_goes_on(spec: dict[str, Any], tmp_path: Path) -> None:
    manifest = {
        "apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "tiny"},
        "spec": {**spec, "training": {**spec["training"], "epochs": 4000}},
    }  # fmt: skip
    (tmp_path / "job.yaml").write_text(to_yaml(manifest))
    command = [
        sys.executable, "-m", "finetune_cli", "run", "job.yaml", "--volume", f"files={tmp_path}", "--into", "out",
    ]  # fmt: skip
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    checkpoints = tmp_path / "out" / "checkpoints"
    while first.poll() is None and not list(checkpoints.glob("step-*/manifest.json")):
        time.sleep(0.1)

    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=120)
    saved = max(int(each.parent.name.removeprefix("step-")) for each in checkpoints.glob("step-*/manifest.json"))
    (tmp_path / "job.yaml").write_text(to_yaml(manifest))
    second = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert second.stderr
    told = []
    for line in second.stderr:
        told.append(line)
        if "resum" in line:
            break
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=120)

    assert first.returncode == 130
    assert said.splitlines()[-1] == (
        "interrupted: the run has stopped; started again with the same output it goes on from its newest checkpoint"
    )
    assert str(saved) in told[-1], "".join(told)


def test_a_run_of_two_processes_saves_also_where_the_program_that_asked_for_it_ends_meanwhile(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    spec |= {"resources": {"gpus": 0, "processesPerNode": 2}, "checkpoints": {"strategy": "steps", "steps": 20_000}}
    spec["training"] |= {"epochs": 4000, "arguments": {"logging_steps": 1}}
    (tmp_path / "job.yaml").write_text(to_yaml(Manifest.of("tiny", **spec).to_manifest()))
    command = [
        sys.executable, "-m", "finetune_cli", "run", "job.yaml", "--volume", f"files={tmp_path}", "--into", "out",
    ]  # fmt: skip
    output, history = tmp_path / "out", tmp_path / "out" / "history.jsonl"
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr
        while program.poll() is None and not (history.exists() and history.stat().st_size):
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        told = next((line for line in program.stderr if line.startswith("stopping: ")), None)
        program.kill()

    assert told
    wait_for(lambda: list(output.glob("checkpoints/step-*/manifest.json")), bool, "the checkpoint")
