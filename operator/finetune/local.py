"""A manifest on this machine: the trainer as a process of its own, by the same `run.yaml` that a pod gets."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from finetune.consent import TRUST_NOBODY, Agree, credentials_for
from finetune.errors import FineTuneError, JobFailed, Refused
from finetune.manifest import Manifest
from finetune.places import absolute
from finetune_api.outputs import HISTORY, MODEL
from finetune_api.report import ENV_PARENT, ENV_TERMINATION_LOG, ExitCode, FinalReport
from finetune_api.run import RunConfig

if TYPE_CHECKING:
    from pandas import DataFrame

_NEEDED: Final = ("torch", "transformers", "datasets", "accelerate", "evaluate")
_STOPPED: Final = (ExitCode.STOPPED, -signal.SIGTERM, -signal.SIGINT)


class LocalFailure(JobFailed):
    """The run on this machine failed. The text is the trainer's reason, message and hint."""

    def __init__(self, text: str, untold: str) -> None:
        """`untold` is what the trainer has not printed already."""
        super().__init__(text)
        self.untold = untold


@dataclass(frozen=True)
class LocalRun:
    """What is to run here."""

    config: RunConfig
    volumes: Mapping[str, Path]
    """The folder of each claim of pvc://claim/..."""
    environment: Mapping[str, str]
    """Variables of the manifest."""
    output: Path
    notes: tuple[str, ...]
    """What of the manifest is a cluster's own, and has no effect here."""


@dataclass(frozen=True, repr=False)
class LocalResult:
    """The outcome of a run on this machine that succeeded."""

    report: FinalReport
    output: Path
    """The folder with `model/`, `checkpoints/` and `history.jsonl`."""

    def __repr__(self) -> str:
        """Return final metrics and where the model is."""
        metrics = ", ".join(f"{each.name} {each.value}" for each in self.report.metrics)
        return f"<LocalResult: {metrics}; model {self.model}>"

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics by name, such as `eval_accuracy`."""
        return {each.name: float(each.value) for each in self.report.metrics}

    @property
    def model(self) -> Path:
        """The folder of the model, or of the adapter."""
        return self.output / MODEL

    def history(self) -> "DataFrame":
        """Return every value that was measured as a frame: a row for each step, a column for each of loss, eval_accuracy and so on.

        What was not measured at a step is NaN. It needs pandas.
        """
        from pandas import DataFrame

        rows: dict[int, dict[str, float]] = {}
        for line in (self.output / HISTORY).read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry["kind"] in ("log", "evaluation"):  # and no batches that were made smaller
                rows.setdefault(entry["step"], {}).update(entry["metrics"])
        return DataFrame.from_dict(rows, orient="index").sort_index().rename_axis("step")


def plan_run(
    job: Manifest, output: Path, *, volumes: Mapping[str, Path] | None = None, gpus: int | None = None
) -> LocalRun:
    """Return the run of a manifest on this machine.

    Args:
        job: The manifest.
        output: Folder for the results, whatever `output.uri` says: that is the job's own place, and the job's alone.
        volumes: The folder of each claim that model or data are on.
        gpus: In place of `resources.gpus`; 0 trains on the CPU. If neither is given, the GPU that there is, or the CPU.

    Raises:
        Refused: It cannot run here, and what to do about it.
    """
    spec, given = job.spec, {claim: absolute(folder) for claim, folder in (volumes or {}).items()}
    if spec.resources.nodes > 1:
        raise Refused(
            f"spec.resources.nodes is {spec.resources.nodes}, and this is one machine: submit it to a cluster, or set nodes to 1"
            " and raise training.arguments.gradient_accumulation_steps, so that a step has as many rows"
        )
    for field, source in (("model", spec.model.source), ("dataset", spec.dataset.source)):
        claim = source.removeprefix("pvc://").partition("/")[0] if source.startswith("pvc://") else None
        if claim and claim not in given:
            raise Refused(
                f"spec.{field}.source is {source}, on a claim of the cluster: say where its files are here, "
                f"--volume {claim}=FOLDER"
            )
    folder = absolute(output)
    written = spec.resources.gpus if "gpus" in spec.resources.model_fields_set else None
    config = RunConfig.of(spec, folder.as_uri()).model_copy(update={"gpus": written if gpus is None else gpus})
    return LocalRun(config, given, _environment(job), folder, tuple(_notes(job)))


def train(run: LocalRun, *, stdout: IO[Any] | int | None = None, agree: Agree = TRUST_NOBODY) -> LocalResult:
    """Train to the end, or go on from the newest checkpoint in the output. What the trainer prints is shown as it comes.

    Args:
        run: What `plan_run` returned.
        stdout: Where the trainer's goes; this process' own if left out.
        agree: Called before with the servers of the run's trackers that would get credentials of this machine; raises where that is
            not to be.

    Raises:
        Refused: The trainer's libraries are not installed, or a server would get credentials and that was not agreed to.
        LocalFailure: With the trainer's reason, message and hint.
        KeyboardInterrupt: It was stopped, and has saved a checkpoint.
    """
    if run.config.tracking is not None:
        agree(credentials_for(run.config.tracking))
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        report = Path(scratch) / "final-report.json"
        code = _wait(_start(run, Path(scratch), (), {ENV_TERMINATION_LOG: str(report)}, stdout))
        final = FinalReport.model_validate_json(report.read_bytes()) if report.exists() else None
    if code == ExitCode.SUCCESS and final is not None:
        return LocalResult(final, run.output)
    if code in _STOPPED:
        raise KeyboardInterrupt(
            "the run has stopped; started again with the same output it goes on from its newest checkpoint"
        )
    raise _failure(code, final)


def estimate(run: LocalRun, *, timed: bool = True) -> dict[str, Any]:
    """Return what the preflight finds: rows, tokens, steps, memory, time, and what the output takes.

    GPUs that the manifest asks for, and its engine, are taken as given where this machine has them not; the time is not known then.

    Args:
        timed: Load the model and do some steps, to measure how long they take here.

    Raises:
        Refused: The trainer's libraries are not installed.
        FineTuneError: The run would fail; the trainer's message is on stderr.
    """
    return dict(json.loads(_prepare(run, timed, "--json")))


def estimate_table(run: LocalRun, *, timed: bool = True) -> str:
    """As `estimate`, as a table for people."""
    return _prepare(run, timed)


def _prepare(run: LocalRun, timed: bool, *options: str) -> str:
    options = ("--assume", *(["--time"] if timed else []), *options)
    with tempfile.TemporaryDirectory(prefix="finetune-") as scratch:
        process = _start(run, Path(scratch), ("prepare", *options), {}, subprocess.PIPE)
        with _stopping(process):
            found, _ = process.communicate()
    if process.returncode != ExitCode.SUCCESS:
        raise FineTuneError("the run would fail so")
    return str(found)


def _start(
    run: LocalRun, scratch: Path, command: tuple[str, ...], variables: dict[str, str], stdout: IO[Any] | int | None
) -> "subprocess.Popen[str]":
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Refused(
            f"training on this machine needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed: "
            "pip install 'finetune-operator[trainer]'"
        )
    config = scratch / "run.yaml"
    config.write_text(json.dumps(run.config.to_file(), indent=2) + "\n", encoding="utf-8")
    volumes = [argument for claim, folder in run.volumes.items() for argument in ("--volume", f"{claim}={folder}")]
    return subprocess.Popen(
        [sys.executable, "-m", "finetune_trainer", *command, "--config", str(config), *volumes],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        text=True,
        env={**os.environ, **run.environment, **variables, ENV_PARENT: str(os.getpid())},
        # A Ctrl-C reaches all processes of a terminal, and a second signal would end the trainer before it has saved.
        start_new_session=True,
    )


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _wait(process: "subprocess.Popen[str]") -> int:
    asked = False
    with _stopping(process):
        while True:
            try:
                # With a timeout Python looks for signals in between: one that comes just before it blocks would be seen at the end.
                return process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                continue
            except KeyboardInterrupt as interrupt:
                # Who restarts a notebook's kernel sends it SIGINT, and SIGTERM moments later: only a person's Ctrl-C hastens the end.
                if not (asked and isinstance(interrupt, _Terminated)):
                    process.terminate()
                    asked = True
                    # Ctrl-C ends the `tee` that reads this, too.
                    with suppress(OSError):
                        sys.stderr.write("stopping: the trainer saves a checkpoint; again ends it at once\n")


@contextmanager
def _stopping(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Whatever ends this program ends the trainer; SIGTERM as Ctrl-C does."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminated) if here else None
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        if here:
            signal.signal(signal.SIGTERM, before)


def _failure(code: int, final: FinalReport | None) -> LocalFailure:
    failure = final.failure if final else None
    if failure is None:
        text = f"the trainer ended with code {code}"
        return LocalFailure(text, untold=text)
    cpu = "gpus: 0 (`finetune run --gpus 0`) trains on the CPU" if code == ExitCode.DEVICE else None
    text, untold = (
        "\n".join(filter(None, lines))
        for lines in (
            (f"{failure.reason}: {failure.message}", failure.hint, cpu),
            (f"the run failed: {failure.reason}", cpu),
        )
    )
    return LocalFailure(text, untold)


def _environment(job: Manifest) -> dict[str, str]:
    """Variables that stand in the manifest; those of Secrets and ConfigMaps must be set here."""
    variables = {}
    for each in job.spec.pod.env:
        if each.value_from is None:
            variables[each.name] = each.value or ""
        elif each.name not in os.environ:
            raise Refused(f"spec.pod.env: {each.name} comes from the cluster: set it in this machine's environment")
    return variables


def _notes(job: Manifest) -> Iterator[str]:
    spec = job.spec
    if spec.pod.image:
        yield f"spec.pod.image {spec.pod.image} has no effect here: the trainer of this environment trains"
    tracking = spec.tracking.secret_ref if spec.tracking else None
    for name, secret in (
        ("model", spec.model.secret_ref),
        ("dataset", spec.dataset.secret_ref),
        ("tracking", tracking),
    ):
        if secret:
            yield f"spec.{name}.secretRef has no effect here: credentials are those of this machine's environment"
    if spec.output.uri:
        yield f"spec.output.uri {spec.output.uri} is for the cluster: results go to a folder here"
