"""Experiment trackers that a run's metrics go to while it trains."""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.pod import LocalReference
from finetune_api.rules import Rule
from finetune_api.text import Pattern, Text

CREDENTIALS: Final = {
    "mlflow": ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "trackio": ("TRACKIO_WRITE_TOKEN", "HF_TOKEN"),
}
"""Keys of the Secret, and variables where there is none, that go to each tracker's server."""
SPACE: Final = re.compile(r"https://[A-Za-z0-9-]+\.hf\.space(/.*)?")
"""Only these servers get a token of the Hub."""

TrackerUrl: TypeAlias = Annotated[
    str,
    Text(
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$",
        message="must be https://host or http://host, with a port or a path if there is one; credentials are for tracking.secretRef",
        max_length=512,
    ),
]
_WORD = r"[^\s'\"`\\]+"
Title: TypeAlias = Annotated[str, Field(min_length=1, max_length=128), Pattern(rf"^{_WORD}( +{_WORD})*$")]
"""Words with spaces between them, without quotes."""


class TrackingSecretReference(LocalReference):
    """A Secret in the job's namespace. Its keys: for mlflow MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME with MLFLOW_TRACKING_PASSWORD; for trackio TRACKIO_WRITE_TOKEN of a server, or HF_TOKEN of a Space."""


class Mlflow(ApiModel):
    """An MLflow tracking server. The job is one run there, named after it; attempts that resume go on in that run."""

    uri: TrackerUrl
    """URL of the server."""
    experiment: Title = "finetune"
    """Name of the experiment, created if need be."""


class TensorBoard(ApiModel):
    """Event files in the folder `tensorboard/` of the output, for `tensorboard --logdir`."""


WandbName: TypeAlias = Annotated[
    str,
    Text(
        pattern=r"^[A-Za-z0-9_.-]+( [A-Za-z0-9_.-]+)*$",
        message="must be the name of a project, user or team of W&B: letters, digits, dots, hyphens and underscores, with spaces between",
        max_length=128,
    ),
]


class Wandb(ApiModel):
    """A run of W&B in its offline mode: the folder `wandb/` of the output, written when an attempt ends, for `wandb sync`. Nothing is sent to a server of W&B."""

    project: WandbName = "finetune"
    """Name of the project that the run is for."""
    entity: WandbName | None = None
    """User or team that the project is of; `wandb sync` takes the default one of its user if none is named."""


class Trackio(ApiModel):
    """A run of trackio: at a server, or as records in the folder `trackio/` of the output, which `trackio show` takes in when TRACKIO_DIR is that folder. Attempts that resume go on in that run."""

    uri: TrackerUrl | None = None
    """URL of a server of trackio's own, or of a Space: https://user-name.hf.space. If left out, nothing is sent."""
    project: Annotated[str, Field(min_length=1, max_length=128), Pattern(r"^[A-Za-z0-9_-]+$")] = "finetune"
    """Name of the project that the run is in."""


_ONE: Rule["Tracking"] = Rule(
    cel="has(self.mlflow) || has(self.tensorboard) || has(self.wandb) || has(self.trackio)",
    holds=lambda self: any(each is not None for each in (self.mlflow, self.tensorboard, self.wandb, self.trackio)),
    message="needs a tracker: mlflow, tensorboard, wandb or trackio",
)
_SECRET: Rule["Tracking"] = Rule(
    cel="!has(self.secretRef) || has(self.mlflow) || (has(self.trackio) && has(self.trackio.uri))",
    holds=lambda self: self.secret_ref is None or bool(tracker_urls(self)),
    message="secretRef is for mlflow and for trackio.uri: all others write to the job's own output",
    field=".secretRef",
)


class Tracking(ApiModel):
    """Trackers that get the settings and every point of the metrics, each step once, whatever the job is interrupted by. A tracker that is down costs no time: it gets all of it when it is back."""

    rules = (_ONE, _SECRET)

    mlflow: Mlflow | None = None
    tensorboard: TensorBoard | None = None
    wandb: Wandb | None = None
    trackio: Trackio | None = None
    secret_ref: TrackingSecretReference | None = None
    """Credentials of the trackers."""


def servers_of(tracking: Tracking | None) -> Tracking | None:
    """Return the trackers that are servers, without credentials; None if there is none. The others write to the job's output."""
    if not tracker_urls(tracking) or tracking is None:
        return None
    return Tracking(
        mlflow=tracking.mlflow, trackio=tracking.trackio if tracking.trackio and tracking.trackio.uri else None
    )


def tracker_urls(tracking: Tracking | None) -> tuple[str, ...]:
    """Return the URLs of the servers that get metrics."""
    servers = (tracking.mlflow, tracking.trackio) if tracking else ()
    return tuple(server.uri.rstrip("/") for server in servers if server and server.uri)
