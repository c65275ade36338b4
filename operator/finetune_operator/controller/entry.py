"""A FineTuneJob that is there, and all that this process remembers of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from finetune_api.base import JsonObject
from finetune_api.status import Notification
from finetune_operator.controller.blocked import Obstacle
from finetune_operator.controller.contest import Contest
from finetune_operator.controller.own_status import OwnStatus
from finetune_operator.job.ownership import Owner
from finetune_operator.kube import server_time
from finetune_operator.kube.packed import unpack, version_of
from finetune_operator.reports.latest import LatestReports

_JOBS: Final = 16
"""The present run's and the preflight's, and those before them whose pods may still be there."""


@dataclass
class Entry:
    """A FineTuneJob, and all that this process remembers of it. None of it has to survive a restart."""

    packed: JsonObject
    """The newest version, as the cache keeps it."""
    watched: int = 0
    """The newest resourceVersion that Kopf's watch delivered."""
    listed: int = 0
    """The resourceVersion in the last list; 0 if it was not there."""
    reports: LatestReports = field(default_factory=LatestReports)
    heard_since: datetime = field(default_factory=server_time.now)
    """From when on reports would have come here."""
    jobs: dict[Owner, None] = field(default_factory=dict)
    """The Jobs that were last seen to be its own. A pod may outlive its Job, and its final report still counts."""
    made: set[tuple[str, str]] | None = None
    """Plural and name of the children that were made, where another then could not be; None once the Job is there too."""
    made_job: str = ""
    """The resourceVersion of the Job that was made last: the pass that made it knows what its first event tells."""
    obstacle: Obstacle = field(default_factory=Obstacle)
    queue: Obstacle | None = None
    """The last answer to what its queue makes of a Job that waits in it, or that is suspended."""
    unread_workload: int = 0
    """How often in a row its Workload could not be read."""
    refused: Obstacle = field(default_factory=Obstacle)
    """What the API server has refused to change or delete."""
    restored: str | None = None
    """The uid of the pod that did not start when what pods need was last looked up."""
    run_secret: str | None = None
    """Name of the Secret that was made for the next Job of many pods."""
    status_written: float | None = None
    """When the status was last written, in seconds of time.monotonic()."""
    own: OwnStatus = field(default_factory=OwnStatus)
    contest: Contest = field(default_factory=Contest)
    tried: dict[str, Notification] = field(default_factory=dict)
    """By its target, what each attempt to tell of the end came to that the status does not show yet."""

    def note_job(self, job: Owner) -> None:
        """Keep a Job that is its own. Somebody may delete one after the other, for as long as the operator lives."""
        self.jobs.pop(job, None)
        self.jobs[job] = None
        if len(self.jobs) > _JOBS:
            del self.jobs[next(iter(self.jobs))]

    def forget_run(self) -> None:
        """Drop what was remembered of a run, after which another begins."""
        self.reports, self.jobs, self.obstacle, self.queue = LatestReports(), {}, Obstacle(), None
        self.made, self.restored, self.run_secret, self.status_written = None, None, None, None
        self.tried = {}
        self.own.is_of_another = False

    @property
    def uid(self) -> str:
        """The object's uid."""
        return str(self.packed["metadata"]["uid"])

    @property
    def version(self) -> int:
        """The newest resourceVersion that is known."""
        return version_of(self.packed)

    @property
    def raw(self) -> JsonObject:
        """The newest version, as far as it is read."""
        return unpack(self.packed)
