"""What of a manifest runs on this machine, and by which run.yaml; a stand-in for the trainer ends as it may end."""

import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit.finetune_operator.samples import finetunejob

from devcluster.testing.api import wait_for
from finetune import local
from finetune.consent import trusting
from finetune.errors import FineTuneError, JobFailed, Refused
from finetune.local import LocalResult, LocalRun, estimate, plan_run, train
from finetune.manifest import Manifest
from finetune_api.report import ENV_TERMINATION_LOG, FinalReport
from finetune_operator.job.finetunejob import parse_finetunejob
from finetune_operator.manifests.run_file import run_config

SPEC: dict[str, Any] = {
    "task": "text-classification",
    "model": {"source": "pvc://models/bert"},
    "dataset": {"source": "file:///data/x.csv", "train": {"split": "train"}, "evaluation": {"split": "test"}},
    "training": {"epochs": 2, "arguments": {"warmup_steps": 3}},
}


def job(**sections: Any) -> Manifest:
    return Manifest.of("stars", **{**SPEC, **sections})


def planned(tmp_path: Path, **sections: Any) -> LocalRun:
    return plan_run(job(**sections), tmp_path / "out", volumes={"models": tmp_path})


def stand_in(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Start this program in place of the trainer, with the same arguments and environment."""
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> "subprocess.Popen[str]":
        assert command[1:3] == ["-m", "finetune_trainer"]
        return start([sys.executable, "-c", program, *command[3:]], **options)

    monkeypatch.setattr(local, "_NEEDED", ())
    monkeypatch.setattr(subprocess, "Popen", popen)


ENDS = """
import json, os, sys
report = {{"exitCode": {code}, "failure": {failure}, "metrics": [{{"name": "eval_loss", "value": "0.5"}}]}}
open(os.environ["{variable}"], "w").write(json.dumps(report))
print("from the trainer", sys.argv[1:])
sys.exit({code})
"""


def ends(code: int, failure: str = "None") -> str:
    return ENDS.format(code=code, failure=failure, variable=ENV_TERMINATION_LOG)


def test_it_is_the_run_that_the_operator_would_make(tmp_path: Path) -> None:
    spec = job().to_manifest()["spec"]
    in_cluster = parse_finetunejob({**finetunejob(), "spec": spec})
    assert in_cluster.spec

    here = plan_run(job(), tmp_path / "out", volumes={"models": tmp_path}).config
    there = run_config(in_cluster, in_cluster.spec)

    assert here.digest() == there.digest()
    assert here.to_file() | {"output": None} == {
        name: value for name, value in there.to_file().items() if name not in ("job", "gpus")
    } | {"output": None}
    assert here.output.uri == (tmp_path / "out").as_uri()


def test_results_may_go_to_a_folder_beside_the_one_that_one_is_in(tmp_path: Path) -> None:
    planned = plan_run(job(), tmp_path / "work" / ".." / "out", volumes={"models": tmp_path})

    assert planned.config.output.uri == (tmp_path / "out").as_uri()


@pytest.mark.parametrize(
    ("resources", "asked", "expected"),
    [
        ({}, None, None),
        ({"gpus": 2}, None, 2),
        ({"gpus": 2}, 0, 0),
        ({}, 1, 1),
        ({"gpus": 0, "processesPerNode": 2}, None, 0),
    ],
)
def test_gpus_are_those_that_are_written_or_asked_for_and_else_what_there_is(
    tmp_path: Path, resources: dict[str, int], asked: int | None, expected: int | None
) -> None:
    run = plan_run(job(resources=resources), tmp_path, volumes={"models": tmp_path}, gpus=asked)

    assert run.config.gpus == expected


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"resources": {"nodes": 2}}, "spec.resources.nodes is 2, and this is one machine: submit it to a cluster"),
        ({"model": {"source": "pvc://other/x"}}, "spec.model.source is pvc://other/x, on a claim of the cluster"),
        (
            {
                "pod": {
                    "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "finetune-hf", "key": "t"}}}]
                }
            },
            "spec.pod.env: HF_TOKEN comes from the cluster: set it in this machine's environment",
        ),
    ],
)
def test_what_cannot_run_here_is_refused_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any], message: str
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)

    with pytest.raises(Refused) as refused:
        planned(tmp_path, **sections)

    assert str(refused.value).startswith(message)


def test_what_is_the_clusters_own_is_noted(tmp_path: Path) -> None:
    run = planned(
        tmp_path,
        pod={"image": "registry/x", "env": [{"name": "NCCL_DEBUG", "value": "INFO"}]},
        dataset={**SPEC["dataset"], "secretRef": {"name": "finetune-s3"}},
        output={"uri": "s3://bucket/x"},
    )

    assert run.environment == {"NCCL_DEBUG": "INFO"}
    assert [note.split(" ")[0] for note in run.notes] == ["spec.pod.image", "spec.dataset.secretRef", "spec.output.uri"]


def test_a_run_that_succeeds_gives_metrics_and_the_place_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, ends(0))

    result = train(planned(tmp_path))

    assert (result.metrics, result.model) == ({"eval_loss": 0.5}, tmp_path / "out" / "model")


def test_a_run_that_fails_says_the_trainers_reason_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, ends(16, '{"reason": "NoGpu", "message": "no GPU is here", "exitCode": 16}'))

    with pytest.raises(JobFailed) as failed:
        train(planned(tmp_path))

    assert str(failed.value).splitlines() == [
        "NoGpu: no GPU is here",
        "gpus: 0 (`finetune run --gpus 0`) trains on the CPU",
    ]


def test_a_trainer_that_is_killed_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    with pytest.raises(JobFailed, match="the trainer ended with code -9"):
        train(planned(tmp_path))


def test_an_interrupt_lets_the_trainer_save_and_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    stand_in(
        monkeypatch,
        "import pathlib, signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(saved)!r}).touch(), sys.exit(143)))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)",
    )

    def interrupt() -> None:
        while not ready.exists():
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt, match="goes on from its newest checkpoint"):
        train(planned(tmp_path))

    assert saved.exists()
    assert capfd.readouterr().err == "stopping: the trainer saves a checkpoint; again ends it at once\n"


class ClosedPipe(io.StringIO):
    """stderr of a program whose `tee` is gone: Ctrl-C ends both."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_save_that_goes_on_is_ended_by_no_restart_of_the_notebook_and_no_closed_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saving, terminated, saved = tmp_path / "saving", threading.Event(), tmp_path / "saved"
    ready = tmp_path / "ready"
    stand_in(
        monkeypatch,
        "import os, pathlib, signal, sys, time\n"
        f"ready, saving, saved = (pathlib.Path(each) for each in {[str(ready), str(saving), str(saved)]!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(1) if saving.exists() else saving.touch())\n"
        "ready.touch()\n"
        "while not saved.exists(): time.sleep(0.02)\n"
        "sys.exit(143)",
    )
    handle = local._terminated

    def terminate(number: int, frame: Any) -> None:
        terminated.set()
        handle(number, frame)

    monkeypatch.setattr(local, "_terminated", terminate)
    monkeypatch.setattr("sys.stderr", ClosedPipe())

    def restart() -> None:
        for path, number in ((ready, signal.SIGINT), (saving, signal.SIGTERM)):
            wait_for(path.exists, bool, path.name)
            os.kill(os.getpid(), number)
        terminated.wait(60)
        saved.touch()

    threading.Thread(target=restart, daemon=True).start()
    with pytest.raises(KeyboardInterrupt, match="goes on from its newest checkpoint"):
        train(planned(tmp_path))


@pytest.mark.slow
def test_a_trainer_whose_program_was_killed_ends_too(tmp_path: Path) -> None:
    told, saved = tmp_path / "told", tmp_path / "saved"
    trainer = (
        "import os, pathlib, signal, time\n"
        f"signal.signal(signal.SIGHUP, lambda *_: (pathlib.Path({str(saved)!r}).touch(), os._exit(143)))\n"
        "from finetune_trainer.processes.child import end_with_parent\n"
        "end_with_parent()\n"
        f"pathlib.Path({str(told)!r}).touch()\n"
        "time.sleep(120)"
    )
    program = (
        "import pathlib, sys\n"
        "from finetune import local\n"
        "from finetune.manifest import Manifest\n"
        "start = local.subprocess.Popen\n"
        f"local.subprocess.Popen = lambda command, **rest: start([sys.executable, '-c', {trainer!r}], **rest)\n"
        f"local.train(local.plan_run(Manifest.of('stars', **{SPEC!r}), pathlib.Path('out'), "
        "volumes={'models': pathlib.Path('.')}))"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path) as running:
        wait_for(lambda: told.exists() or running.poll() is not None, bool, "the trainer")
        running.kill()

    wait_for(saved.exists, bool, "the end of the trainer")


def test_what_was_measured_is_a_frame(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(
        '{"kind":"log","step":1,"metrics":{"loss":0.5}}\n'
        '{"kind":"log","step":2,"metrics":{"loss":0.25}}\n{"kind":"evaluation","step":2,"metrics":{"eval_f1":0.75}}\n'
        '{"kind":"adjustment","step":2,"metrics":{"batch_size":4,"accumulation":2}}\n'
    )
    report = FinalReport.model_validate({"exitCode": 0})

    frame = LocalResult(report, tmp_path).history()

    assert frame.index.to_list() == [1, 2]
    assert frame.loc[2].to_dict() == {"loss": 0.25, "eval_f1": 0.75}


def test_an_estimate_is_what_the_preflight_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "import json, sys; print(json.dumps({'arguments': sys.argv[1:]}))")

    found = estimate(planned(tmp_path))
    untimed = estimate(planned(tmp_path), timed=False)

    command, gpus, time, as_json, _, config, *volumes = found["arguments"]
    assert (command, gpus, time, as_json) == ("prepare", "--assume", "--time", "--json")
    assert volumes == ["--volume", f"models={tmp_path}"]
    assert not Path(config).exists()
    assert untimed["arguments"][:3] == ["prepare", "--assume", "--json"]


def test_an_estimate_of_what_would_fail_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "import sys; sys.exit(11)")

    with pytest.raises(FineTuneError, match="the run would fail so"):
        estimate(planned(tmp_path))


def test_without_the_trainers_libraries_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_NEEDED", ("json", "no_such_library"))

    with pytest.raises(Refused) as refused:
        train(planned(tmp_path))

    assert str(refused.value) == (
        "training on this machine needs no_such_library, which is not installed: pip install 'finetune-operator[trainer]'"
    )


def test_no_credentials_of_this_machine_go_to_a_server_that_a_manifest_names_unless_its_host_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = "https://somebody-board.hf.space"
    monkeypatch.setenv("HF_TOKEN", "mine")
    stand_in(monkeypatch, ends(0))
    run = planned(tmp_path, tracking={"trackio": {"uri": space}})
    asked: list[Any] = []

    with pytest.raises(Refused, match=f"{space} would get HF_TOKEN of this machine's environment"):
        train(run)
    train(run, agree=asked.append)
    train(run, agree=trusting("somebody-board.hf.space"))

    assert asked == [{space: ("HF_TOKEN",)}]
