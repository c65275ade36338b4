"""A manifest that is made from a data frame, and that trains on this machine."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from finetune.consent import trusting
from finetune.errors import Refused
from finetune.local import LocalResult, plan_run, train
from finetune.manifest import Manifest
from finetune.places import absolute
from finetune.proposal.columns import find_shape
from finetune.proposal.own_fields import with_own
from finetune.proposal.propose import Request, propose
from finetune.proposal.sample import Sample
from finetune_api.training import Task

_MOST_ROWS: Final = 100_000
_REMOTE: Final = ("s3://", "gs://", "az://")


class FineTuneJob(Manifest):
    """A manifest. Its spec is checked by the rules of the CRD as it is made."""

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        name: str,
        to: str | Path,
        text: str | None = None,
        label: str | None = None,
        task: Task | None = None,
        model: str | Mapping[str, Any] | None = None,
        mounted: str | Path | None = None,
        namespace: str | None = None,
        **spec: Any,
    ) -> Self:
        """Write a pandas data frame as parquet, and return the manifest that trains on it.

        Args:
            frame: The rows.
            name: Of the job, and of the file.
            to: A folder of this machine, or for a cluster s3://, gs:// or az://bucket/folder, or pvc://claim/folder.
            text: Column with the text; found by the values if left out.
            label: Column with the class, or what is to be written; found by the values if left out.
            task: What to learn; decided by the columns if left out.
            model: To start from, its source or the section of the spec; a small one for the task if left out.
            mounted: Where the files of a claim are on this machine, for pvc://.
            namespace: Of the job.
            spec: Sections of the spec over what is proposed, such as training={"epochs": 1} or output={"uri": "s3://bucket/run"}.
                What was proposed and does not go with them is left out.

        Raises:
            Refused: No columns fit, the frame cannot be written there, or a field is not as it must be.
        """
        sample = _sample(frame)
        for column in filter(None, (text, label)):
            if column not in sample.columns:
                raise Refused(f"there is no column {column} in the frame; there are {', '.join(sample.columns)}")
        shape = find_shape(sample, task, text, label)
        if shape is None:
            raise Refused(f"no columns of the frame fit: there are {', '.join(sample.columns)}; name text and label")
        source, path = _places(str(to), f"{name}.parquet", mounted)
        if isinstance(model, Mapping):
            spec["model"] = model
            model = model.get("source")
        resources = spec.get("resources")
        gpus = resources.get("gpus") if isinstance(resources, Mapping) else None
        asked = Request(name, source, model, gpus if isinstance(gpus, int) else None)
        proposed = propose(sample, shape, asked).manifest["spec"]
        job = cls.of(name, namespace=namespace, **with_own(proposed, spec))
        _write(frame, path)
        return job

    def run_locally(
        self,
        output: str | Path | None = None,
        *,
        volumes: Mapping[str, Path] | None = None,
        gpus: int | None = None,
        trust: Collection[str] = (),
    ) -> LocalResult:
        """Train on this machine, as `finetune run` does, and return metrics and the place of the model.

        Args:
            output: Folder for the results; outputs/NAME if left out. A run that was interrupted goes on from what is there.
            volumes: The folder of each claim that model or data are on.
            gpus: In place of resources.gpus; 0 trains on the CPU.
            trust: Hosts of trackers (`mlflow.example`) that may get credentials of this machine's environment.

        Raises:
            Refused: It cannot run here, and what to do about it.
            JobFailed: With the trainer's reason, message and hint.
        """
        folder = Path(output) if output else Path("outputs") / (self.name or "finetune")
        return train(plan_run(self, folder, volumes=volumes, gpus=gpus), agree=trusting(*trust))


def _sample(frame: Any) -> Sample:
    """The first rows of a data frame."""
    try:
        rows = len(frame)
        first = frame.head(_MOST_ROWS).astype(object)
        columns = {str(name): [_plain(each) for each in first[name]] for name in frame.columns}
    except (AttributeError, TypeError) as error:
        raise Refused(f"a pandas data frame was expected, not {type(frame).__name__}") from error
    if not rows:
        raise Refused("the frame has no rows")
    return Sample(columns, min(rows, _MOST_ROWS), rows <= _MOST_ROWS)


def _plain(value: Any) -> Any:
    """A value of numpy as Python's own; None where there is none."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value


def _places(to: str, file: str, mounted: str | Path | None) -> tuple[str, str | Path]:
    """What the manifest names, and where the file is written."""
    if to.startswith(_REMOTE):
        uri = to if to.endswith(".parquet") else f"{to.rstrip('/')}/{file}"
        return uri, uri
    if to.startswith("pvc://"):
        if mounted is None:
            raise Refused(
                f"{to} is a claim of the cluster: name the folder where it is mounted here, mounted=…, or a bucket"
            )
        folder = to.removeprefix("pvc://").partition("/")[2]
        return f"{to.rstrip('/')}/{file}", Path(mounted) / folder / file
    if "://" in to and not to.startswith("file://"):
        raise Refused(f"{to} cannot be written: name a folder of this machine, or one in s3://, gs:// or az://")
    path = absolute(unquote(urlsplit(to).path) if to.startswith("file://") else to) / file
    return path.as_uri(), path


def _write(frame: Any, place: str | Path) -> None:
    try:
        if isinstance(place, Path):
            place.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(place, index=False)
    except ImportError as error:
        raise Refused(f"writing {place} needs a library that is not installed: {error}") from error
    except (OSError, ValueError) as error:
        raise Refused(f"{place} cannot be written: {error}") from error
