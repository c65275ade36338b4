"""The client for ordinary code and notebooks: each method as its twin in `async_client`."""

import atexit
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from finetune.async_client import AsyncClient, AsyncJob
from finetune.errors import FineTuneError
from finetune.explanation import Explanation
from finetune.logs import LogLine
from finetune.manifest import Manifest
from finetune.notebook import job_html
from finetune.portal import Portal
from finetune.result import Result
from finetune.snapshot import Snapshot
from finetune_api.base import JsonObject


class Client:
    """FineTuneJobs of a cluster, as the user of a kubeconfig sees them.

    Args:
        namespace: Where jobs are if a call names no other; that of the kubeconfig's context if left out.
        kubeconfig: Path of the file; KUBECONFIG or ~/.kube/config if left out, and in a pod its service account.
        context: Name of a context in it; the current one if left out.
    """

    def __init__(
        self, namespace: str | None = None, *, kubeconfig: str | None = None, context: str | None = None
    ) -> None:
        """Choose the cluster; it is asked nothing yet."""
        self.portal = Portal()
        self.twin = AsyncClient(namespace, kubeconfig=kubeconfig, context=context)
        # A script of five lines closes nothing, and would end with complaints of connections that are open.
        atexit.register(self.close)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End every connection."""
        atexit.unregister(self.close)
        # Where nothing was asked there is nothing to end, and at the end of a program no thread begins any more.
        if self.portal.is_open:
            self.portal.run(self.twin.close())
        self.portal.close()

    def list(self, namespace: str | None = None, *, all_namespaces: bool = False, selector: str = "") -> list[Snapshot]:
        """Return the jobs of a namespace, or of all, that have the labels of `selector`."""
        return self.portal.run(self.twin.list(namespace, all_namespaces=all_namespaces, selector=selector))

    def get(self, name: str, namespace: str | None = None) -> "Job":
        """Return the job of that name, or raise NotFound."""
        return Job(self.portal, self.portal.run(self.twin.get(name, namespace)))

    def submit(self, job: Manifest | JsonObject, namespace: str | None = None) -> "Job":
        """Create the job, and return it. Raises Refused in the API server's words, AlreadyThere where its name is taken."""
        return Job(self.portal, self.portal.run(self.twin.submit(job, namespace)))

    def patch(self, name: str, spec: JsonObject, namespace: str | None = None, *, uid: str | None = None) -> Snapshot:
        """Change fields of the spec, by a JSON merge patch; only of the job of that `uid`, if one is given."""
        return self.portal.run(self.twin.patch(name, spec, namespace, uid=uid))

    def delete(self, name: str, namespace: str | None = None, *, uid: str | None = None) -> None:
        """Delete the job and its pods; only the one of that `uid`, if one is given."""
        self.portal.run(self.twin.delete(name, namespace, uid=uid))

    def watch(
        self, namespace: str | None = None, *, all_namespaces: bool = False, selector: str = ""
    ) -> Iterator[tuple[str, Snapshot]]:
        """Yield ("ADDED", job) for each job that is there, then each change, for ever."""
        return self.portal.iterate(self.twin.watch(namespace, all_namespaces=all_namespaces, selector=selector))


class Job:
    """A job of the cluster, and what was last seen of it."""

    def __init__(self, portal: Portal, twin: AsyncJob) -> None:
        """Hold on to the job of `twin`."""
        self.portal = portal
        self.twin = twin

    def __repr__(self) -> str:
        """Return name and phase, as it was last seen."""
        return repr(self.twin)

    def _repr_html_(self) -> str:
        """Show the job as it is now; where the cluster does not answer, as it was last seen."""
        with suppress(FineTuneError):
            self.refresh()
        return job_html(self.snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """What was last seen of it."""
        return self.twin.snapshot

    @property
    def name(self) -> str:
        """Its name."""
        return self.twin.name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.twin.namespace

    def refresh(self) -> Snapshot:
        """Read it again."""
        return self.portal.run(self.twin.refresh())

    def watch(self, timeout: float | None = None) -> Iterator[Snapshot]:
        """Yield the job as it is, and each time it changes, until its run has ended; TimedOut after `timeout` seconds."""
        return self.portal.iterate(self.twin.watch(timeout))

    def logs(self, *, follow: bool = False, node: int = 0, tail: int | None = None) -> Iterator[LogLine]:
        """Yield each line of the log once, attempt by attempt, of each at most the last `tail` that are there now; with `follow` until the run has ended."""
        return self.portal.iterate(self.twin.logs(follow=follow, node=node, tail=tail))

    def explain(self) -> Explanation:
        """Return why the job is as it is, what to do, and the one Event or line that proves it."""
        return self.portal.run(self.twin.explain())

    def wait(self, timeout: float | None = None) -> Snapshot:
        """Return the job when its run has ended, well or not; TimedOut after `timeout` seconds."""
        return self.portal.run(self.twin.wait(timeout))

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the end, and return metrics, model and history; JobFailed where it failed, TimedOut after `timeout` seconds."""
        return self.portal.run(self.twin.result(timeout))

    def follow(self) -> Result:
        """Print what changes until the end, and return the result; JobFailed where it failed."""
        return self.portal.run(self.twin.follow())

    def download(self, folder: str | Path | None = None, *, checkpoint: str | int | None = None) -> Path:
        """Download the model, or the checkpoint `best`, `latest` or of a step, from its bucket, and return the folder.

        Raises NotVerified where it is not what the trainer wrote, Refused with what to do where it is in no bucket.
        """
        return self.portal.run(self.twin.download(folder, checkpoint=checkpoint))

    def suspend(self) -> Snapshot:
        """Stop it: it saves a checkpoint, and its pods go."""
        return self.portal.run(self.twin.suspend())

    def resume(self) -> Snapshot:
        """Let it go on from its newest checkpoint."""
        return self.portal.run(self.twin.resume())

    def rerun(self, token: str | None = None, **spec: object) -> Snapshot:
        """Run it anew, with changed fields of its spec if any are given. `token` is the time, in UTC, if left out."""
        return self.portal.run(self.twin.rerun(token, **spec))

    def delete(self) -> None:
        """Delete it and its pods. What it has saved stays, unless its output says otherwise."""
        self.portal.run(self.twin.delete())
