"""In the place of `finetune_trainer.run.commands`: a run that counts its steps, and writes and reports what one does that trains."""

import os
import shutil
import time
from dataclasses import dataclass

from finetune_api.reasons import Reason
from finetune_api.run import RunConfig
from finetune_api.status import BestCheckpoint, Checkpoint, Evaluation, ExportedModel, Progress
from finetune_api.training import Checkpoints
from finetune_api.training import Evaluation as EvaluationSettings
from finetune_trainer.base.errors import bad_configuration, data_error
from finetune_trainer.base.signals import StopSignal
from finetune_trainer.progress.history import History
from finetune_trainer.progress.state import RunState, format_epoch, format_number, metric_values
from finetune_trainer.settings.command_line import Options
from finetune_trainer.storage.layout import step_folder, step_of
from finetune_trainer.storage.local_output import LocalOutput
from finetune_trainer.storage.uris import Volumes, locate

ROWS = 128
COLUMNS = ("text", "label")
STEP_SECONDS = 0.002
LOGGED_EVERY = 10


def train(config: RunConfig, volumes: Volumes, state: RunState, stop: StopSignal) -> str:
    _refuse_mistakes(config)
    run = _Run(config, LocalOutput(config.output.uri, locate(config.output.uri, volumes)), state)
    run.begin()
    state.stage("Training")
    with stop.deferred():
        run.go_on(stop)
    state.stage("Exporting", "writing the model")
    run.export()
    state.stage("Finished")
    return f"model:       {run.output.shown(run.output.model)}\n"


def prepare(config: RunConfig, volumes: Volumes, state: RunState, options: Options) -> str:
    _refuse_mistakes(config)
    return "nothing is wrong\n"


def _refuse_mistakes(config: RunConfig) -> None:
    """As the trainer does, for those of the mistakes that tests make with it."""
    for name in config.training.arguments or {}:
        raise bad_configuration(f"training.arguments: no argument '{name}'", "check its name", Reason.UNKNOWN_ARGUMENT)
    columns = config.dataset.columns
    for name in (columns.text, columns.label) if columns else ():
        if isinstance(name, str) and name not in COLUMNS:
            raise data_error(Reason.COLUMN_NOT_FOUND, f"no column '{name}', only text, label", "name one of these")


@dataclass
class _Run:
    config: RunConfig
    output: LocalOutput
    state: RunState

    def begin(self) -> None:
        """Open the output, and find what an earlier attempt has saved."""
        self.output.probe()
        self.state.log.keep_in(self.output, self.state.set_log)
        self.output.checkpoints.mkdir(exist_ok=True)
        self.resumed = max(self._saved(), default=0)
        self.history = History(self.output.history)
        self.history.resume(self.resumed)
        self.history.begin()
        self.state.set_curves(self.history.curves)
        self.state.set_resumed_from(self.resumed)
        self._report(self.resumed)

    @property
    def steps_per_epoch(self) -> int:
        return -(-ROWS // self.config.training.batch_size)

    @property
    def total(self) -> int:
        return int(self.config.training.epochs * self.steps_per_epoch)

    def go_on(self, stop: StopSignal) -> None:
        """Count to the end, or until asked to stop. One that is to hold stays half way for that, unless it was resumed."""
        holds = os.environ.get("STAND_IN_HOLDS") and not self.resumed
        for step in range(self.resumed + 1, self.total + 1):
            time.sleep(STEP_SECONDS)
            self._take(step)
            while holds and step == self.total // 2 and not stop.requested:
                time.sleep(0.05)
            if stop.ask():
                self._save(step)
                return

    def export(self) -> None:
        self.output.model.mkdir(exist_ok=True)
        (self.output.model / "config.json").write_text("{}")
        self.state.set_model(ExportedModel(uri=self.output.uri_of(self.output.model)))

    def _take(self, step: int) -> None:
        epoch = step / self.steps_per_epoch
        if step % LOGGED_EVERY == 0 or step == self.total:
            measured = {"loss": 1 / step, "learning_rate": 0.01, "grad_norm": 1.0}
            self.history.append("log", step, epoch, measured)
            self.state.set_metrics(measured)
        if self.config.dataset.evaluation and self._is_due(step, self.config.evaluation):
            evaluated = {"eval_loss": 1 / step, "eval_accuracy": 1 - 1 / step}
            self.history.append("evaluation", step, epoch, evaluated)
            self.state.set_metrics(evaluated)
        if self._is_due(step, self.config.checkpoints):
            self._save(step)
        self._report(step)

    def _is_due(self, step: int, when: Checkpoints | EvaluationSettings) -> bool:
        every = when.steps if when.strategy == "steps" and when.steps else self.steps_per_epoch
        return step % every == 0 or step == self.total

    def _save(self, step: int) -> None:
        (self.output.checkpoints / step_folder(step)).mkdir(exist_ok=True)
        for old in sorted(self._saved())[: -self.config.checkpoints.keep]:
            shutil.rmtree(self.output.checkpoints / step_folder(old))
        self._report(step)

    def _best(self) -> BestCheckpoint | None:
        """The newest, since its metrics are the best."""
        metric, saved = self.config.evaluation.best_metric, max(self._saved(), default=0)
        value = self.history.evaluation_at(saved).get(f"eval_{metric}")
        if not metric or value is None:
            return None
        uri = self.output.uri_of(self.output.checkpoints / step_folder(saved))
        return BestCheckpoint(step=saved, uri=uri, metric=f"eval_{metric}", value=format_number(value))

    def _saved(self) -> list[int]:
        return [step_of(each.name) for each in self.output.checkpoints.iterdir()]

    def _report(self, step: int) -> None:
        epoch = format_epoch(step / self.steps_per_epoch)
        self.state.set_checkpoints(
            [
                Checkpoint(step=each, uri=self.output.uri_of(self.output.checkpoints / step_folder(each)))
                for each in sorted(self._saved())
            ],
            self._best(),
        )
        self.state.set_evaluations(
            [
                Evaluation(step=line.step, epoch=format_epoch(line.epoch), metrics=metric_values(line.metrics))
                for line in self.history.evaluations()[-10:]
            ]
        )
        percent = 100 * step // self.total
        self.state.set_progress(Progress(step=step, total_steps=self.total, epoch=epoch, percent=percent))
