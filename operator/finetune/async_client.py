"""The client, asynchronous: each verb on a FineTuneJob, and a job that is held on to."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from finetune.api import FIELD_MANAGER, JOBS, Api
from finetune.download import artifact_of, download_in_thread
from finetune.errors import FineTuneError, TimedOut, made_anew
from finetune.events import Event, recent_events
from finetune.explanation import Explanation, explain
from finetune.logs import LogLine, log_lines
from finetune.manifest import Manifest
from finetune.notebook import job_html
from finetune.result import Result, result_of
from finetune.snapshot import Snapshot, read_snapshot
from finetune.summary import unseen
from finetune.watching import watch_collection, watch_object
from finetune_api.base import JsonObject
from finetune_api.v1alpha1 import GROUP, PLURAL

_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_STRICT: Final = {"fieldValidation": "Strict", "fieldManager": FIELD_MANAGER}


class AsyncClient:
    """FineTuneJobs of a cluster, as the user of a kubeconfig sees them.

    Args:
        namespace: Where jobs are if a call names no other; that of the kubeconfig's context if left out.
        kubeconfig: Path of the file; KUBECONFIG or ~/.kube/config if left out, and in a pod its service account.
        context: Name of a context in it; the current one if left out.
        token: Of a user, as whom a pod asks its own cluster instead of as its service account.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        token: str | None = None,
    ) -> None:
        """Choose the cluster; it is asked nothing yet."""
        self.api = Api(kubeconfig, context, token)
        self._namespace = namespace

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """End every connection."""
        await self.api.close()

    async def namespace(self, named: str | None = None) -> str:
        """Return `named`, or the namespace that holds where none is named."""
        return named or self._namespace or await self.api.namespace()

    async def list(
        self, namespace: str | None = None, *, all_namespaces: bool = False, selector: str = ""
    ) -> list[Snapshot]:
        """Return the jobs of a namespace, or of all, that have the labels of `selector`."""
        where = None if all_namespaces else await self.namespace(namespace)
        query = {"labelSelector": selector} if selector else {}
        raws, _ = await self.api.list(JOBS.path(where), query)
        return [read_snapshot(raw) for raw in raws]

    async def get(self, name: str, namespace: str | None = None) -> "AsyncJob":
        """Return the job of that name.

        Raises:
            NotFound: There is none.
        """
        where = await self.namespace(namespace)
        return AsyncJob(self, read_snapshot(await self.api.read(JOBS, where, name)))

    async def submit(self, job: Manifest | JsonObject, namespace: str | None = None) -> "AsyncJob":
        """Create the job, and return it. Whatever the API server does not know in it is refused.

        Raises:
            Refused: It is not as it must be, in the API server's words.
            AlreadyThere: A job of its name is there.
        """
        manifest = job.to_manifest() if isinstance(job, Manifest) else job
        metadata = manifest.get("metadata") or {}
        where = await self.namespace(namespace or metadata.get("namespace"))
        body = {**manifest, "metadata": {**metadata, "namespace": where}}
        return AsyncJob(self, read_snapshot(await self.api.request("POST", JOBS.path(where), _STRICT, body)))

    async def patch(
        self, name: str, spec: JsonObject, namespace: str | None = None, *, uid: str | None = None
    ) -> Snapshot:
        """Change fields of the spec, by a JSON merge patch; only of the job of that `uid`, if one is given.

        Raises:
            NotFound: There is none of the name, or only one of another uid.
        """
        path = JOBS.path(await self.namespace(namespace), name)
        body = {"metadata": {"uid": uid}, "spec": spec} if uid else {"spec": spec}
        return read_snapshot(
            await self.api.request("PATCH", path, _STRICT, body, content_type="application/merge-patch+json")
        )

    async def delete(self, name: str, namespace: str | None = None, *, uid: str | None = None) -> None:
        """Delete the job and its pods; only the one of that `uid`, if one is given.

        Raises:
            NotFound: There is none of the name, or only one of another uid.
        """
        path = JOBS.path(await self.namespace(namespace), name)
        options: JsonObject = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        await self.api.request("DELETE", path, {}, options)

    async def may(self, verb: str, name: str, namespace: str | None = None) -> bool:
        """Return whether the user may do this to the job, by a SelfSubjectAccessReview; True where the cluster does not answer that."""
        attributes = {"group": GROUP, "resource": PLURAL, "verb": verb, "name": name}
        spec = {"resourceAttributes": attributes | {"namespace": await self.namespace(namespace)}}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec}
        try:
            answer = await self.api.request("POST", _ACCESS_REVIEWS, {}, body)
        except FineTuneError:
            return True
        return bool((answer.get("status") or {}).get("allowed"))

    async def watch(
        self, namespace: str | None = None, *, all_namespaces: bool = False, selector: str = ""
    ) -> AsyncGenerator[tuple[str, Snapshot], None]:
        """Yield ("ADDED", job) for each job that is there, then each change: ADDED, MODIFIED or DELETED. It never ends by itself.

        Where the connection breaks, it is made again, and what changed meanwhile is yielded.
        """
        where = None if all_namespaces else await self.namespace(namespace)
        query = {"labelSelector": selector} if selector else {}
        async with aclosing(watch_collection(self.api, JOBS.path(where), query)) as changes:
            async for kind, raw in changes:
                if kind not in ("SYNCED", "LOST"):
                    yield kind, read_snapshot(raw)


class AsyncJob:
    """A job of the cluster, and what was last seen of it."""

    def __init__(self, client: AsyncClient, snapshot: Snapshot) -> None:
        """Hold on to the job of `snapshot`."""
        self._client = client
        self.snapshot = snapshot

    def __repr__(self) -> str:
        """Return name and phase, as it was last seen."""
        return repr(self.snapshot)

    def _repr_html_(self) -> str:
        """Show the job in a notebook as it was last seen: a notebook does not wait for what is asynchronous."""
        return job_html(self.snapshot)

    @property
    def name(self) -> str:
        """Its name."""
        return self.snapshot.name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.snapshot.namespace

    async def refresh(self) -> Snapshot:
        """Read it again.

        Raises:
            NotFound: It was deleted.
        """
        return self._seen(await self._client.api.read(JOBS, self.namespace, self.name))

    async def watch(self, timeout: float | None = None) -> AsyncGenerator[Snapshot, None]:  # noqa: ASYNC109
        """Yield the job as it is, and each time it changes, until its run has ended.

        Args:
            timeout: Longest time until the end, in seconds.

        Raises:
            NotFound: It was deleted.
            TimedOut: It has not ended by then. It goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        async with aclosing(watch_object(self._client.api, JOBS, self.namespace, self.name)) as changes:
            while True:
                snapshot = self._seen(await self._next(changes, deadline))
                yield snapshot
                if snapshot.ended:
                    return

    def _seen(self, raw: JsonObject) -> Snapshot:
        snapshot = read_snapshot(raw)
        if snapshot.uid != self.snapshot.uid:
            raise made_anew(self.name)
        self.snapshot = snapshot
        return snapshot

    async def _next(self, changes: AsyncGenerator[JsonObject, None], deadline: float | None) -> JsonObject:
        try:
            return await asyncio.wait_for(anext(changes), deadline and max(0.001, deadline - time.monotonic()))
        except TimeoutError:
            goes_on = "" if self.snapshot.phase == "Suspended" else ", and goes on"
            raise TimedOut(f"{self.name} has not ended in time: it is {self.snapshot.phase}{goes_on}") from None

    def logs(
        self, *, follow: bool = False, node: int = 0, tail: int | None = None, from_buckets: bool = True
    ) -> AsyncGenerator[LogLine, None]:
        """Yield each line of the log once, attempt by attempt; with `follow` until the run has ended. See `finetune.logs.log_lines`."""
        return log_lines(
            self._client.api, self.snapshot, follow=follow, node=node, tail=tail, from_buckets=from_buckets
        )

    async def explain(self) -> Explanation:
        """Return why the job is as it is, what to do, and the one Event or line that proves it."""
        return await explain(self._client.api, self.snapshot)

    async def events(self) -> list[Event]:
        """Return the Events about the job and its training pods, the newest first.

        Raises:
            NotAllowed: The user may not list Events.
        """
        return await recent_events(self._client.api, self.snapshot)

    async def wait(self, timeout: float | None = None) -> Snapshot:  # noqa: ASYNC109
        """Return the job when its run has ended, well or not.

        Args:
            timeout: Longest time to wait, in seconds.

        Raises:
            TimedOut: It has not ended by then. It goes on.
        """
        async for _ in self.watch(timeout):
            pass
        return self.snapshot

    async def result(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109
        """Wait for the end, and return metrics, model and history.

        Raises:
            JobFailed: The run failed; with reason, message and hint.
            TimedOut: It has not ended by then.
        """
        return result_of(await self.wait(timeout))

    async def follow(self) -> Result:
        """Print what changes until the end, and return the result. As `result`, it raises where the run failed."""
        said = ""
        async with aclosing(self.watch()) as changes:
            async for snapshot in changes:
                line = f"{snapshot.phase}: {snapshot.status.message or unseen(snapshot)}".rstrip(": ")
                if line != said:
                    print(f"{snapshot.name}  {line}", flush=True)  # noqa: T201
                said = line
        return result_of(self.snapshot)

    async def download(self, folder: str | Path | None = None, *, checkpoint: str | int | None = None) -> Path:
        """Download the model, or a checkpoint, and return the folder, each file of which is as the trainer wrote it.

        From its bucket, by the credentials of the environment; s3fs, gcsfs or adlfs must be installed for that.

        Args:
            folder: To be made; one named after the job if left out.
            checkpoint: `best`, `latest` or a step; the model if left out.

        Raises:
            NotFound: The job has none, or the bucket has not what the status names.
            NotVerified: It is not what the trainer wrote. Nothing of it is kept.
            Refused: The folder is there already, or the output is in no bucket; with what to do instead.
        """
        artifact, place = artifact_of(await self.refresh(), checkpoint), Path(folder or self.name)
        await download_in_thread(self.snapshot, artifact, place)
        return place

    async def suspend(self) -> Snapshot:
        """Stop it: it saves a checkpoint, and its pods go."""
        return await self._patch({"suspend": True})

    async def resume(self) -> Snapshot:
        """Let it go on from its newest checkpoint."""
        return await self._patch({"suspend": False})

    async def rerun(self, token: str | None = None, **spec: object) -> Snapshot:
        """Run it anew, with changed fields of its spec if any are given. `token` is the time, in UTC, if left out."""
        return await self._patch({**spec, "runToken": token or new_token()})

    async def delete(self) -> None:
        """Delete it and its pods. What it has saved stays, unless its output says otherwise."""
        await self._client.delete(self.name, self.namespace, uid=self.snapshot.uid)

    async def _patch(self, spec: JsonObject) -> Snapshot:
        self.snapshot = await self._client.patch(self.name, spec, self.namespace, uid=self.snapshot.uid)
        return self.snapshot


def new_token() -> str:
    """Return a `spec.runToken` that no run of the job has: the present time."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
