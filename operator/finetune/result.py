"""What a job that has ended brought."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.errors import JobFailed
from finetune.notebook import job_html
from finetune.snapshot import Snapshot
from finetune_api.status import BestCheckpoint, ExportedModel

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class Result:
    """The outcome of a run that succeeded."""

    snapshot: Snapshot

    def __repr__(self) -> str:
        """Return name, final metrics and where the model is."""
        metrics = ", ".join(f"{each.name} {each.value}" for each in self.snapshot.status.metrics)
        model = f"; model {self.model.uri}" if self.model else ""
        return f"<Result of {self.snapshot.namespace}/{self.snapshot.name}: {metrics}{model}>"

    def _repr_html_(self) -> str:
        """Show the job in a notebook, with its curves."""
        return job_html(self.snapshot)

    @property
    def metrics(self) -> dict[str, float]:
        """The final metrics by name, such as `eval_accuracy`."""
        return {each.name: _number(each.value) for each in self.snapshot.status.metrics}

    @property
    def model(self) -> ExportedModel | None:
        """Where the model is, with its digest and size."""
        return self.snapshot.status.model

    def history(self) -> "DataFrame":
        """Return the curves as a frame: a row for each step, a column for each of loss, learning_rate, eval_accuracy and so on.

        What was not measured at a step is NaN. It needs pandas.
        """
        from pandas import DataFrame

        curves = self.snapshot.status.curves
        of_both = [curve for curve in (curves.training, curves.evaluation) if curve] if curves else []
        columns = {name: dict(curve.points(name)) for curve in of_both for name in curve.names}
        return DataFrame(columns).sort_index().rename_axis("step")

    @property
    def best_checkpoint(self) -> BestCheckpoint | None:
        """The best checkpoint, where `evaluation.bestMetric` chooses one."""
        return self.snapshot.status.best_checkpoint


def result_of(snapshot: Snapshot) -> Result:
    """Return the result of a job that has ended.

    Raises:
        JobFailed: It failed; with reason, message and hint.
    """
    if snapshot.phase == "Failed":
        raise JobFailed(failure_text(snapshot))
    return Result(snapshot)


def failure_text(snapshot: Snapshot) -> str:
    """Return reason, message and hint of a job that failed, in the operator's own words."""
    failure = snapshot.status.failure
    if failure is None:
        return snapshot.status.message or "Failed"
    return "\n".join(filter(None, (f"{failure.reason}: {failure.message}", failure.hint)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
