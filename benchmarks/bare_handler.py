"""The least that an operator for FineTuneJobs can do: a Kopf handler that makes a Job and writes a status, two requests a job.

What `make bench-operator` measures the operator beside: the same machine, API server and load, none of the promises.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import kopf
from kubernetes.aio import client, config

from finetune_api.v1alpha1 import GROUP, PLURAL, VERSION

Json = dict[str, Any]
_made: set[str] = set()


def job_of(raw: Json) -> Json:
    """A Job of one pod."""
    metadata = raw["metadata"]
    owner = {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    pod = {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": "trainer", "env": []}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": metadata["name"], "ownerReferences": [{**owner, "controller": True}]},
        "spec": {"template": {"spec": pod}},
    }


async def main() -> None:
    """Serve until SIGTERM. The file that BARE_READY names is there once it does."""
    await config.load_kube_config()  # type: ignore[no-untyped-call]
    configuration = client.Configuration.get_default_copy()
    registry, started, ready = kopf.OperatorRegistry(), asyncio.Event(), Path(os.environ["BARE_READY"])
    async with client.ApiClient() as connection:
        jobs, objects = client.BatchV1Api(connection), client.CustomObjectsApi(connection)

        @kopf.on.login(registry=registry)
        async def log_in(**_: Any) -> kopf.ConnectionInfo:
            scheme, _, token = (await configuration.get_api_key_with_prefix("BearerToken") or "").rpartition(" ")
            return kopf.ConnectionInfo(
                server=configuration.host, ca_path=configuration.ssl_ca_cert, scheme=scheme or "Bearer", token=token
            )

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def on_event(event: kopf.RawEvent, **_: Any) -> None:
            raw: Json = dict(event["object"])
            metadata = raw["metadata"]
            if event["type"] == "DELETED" or metadata["uid"] in _made or raw.get("status"):
                return
            _made.add(metadata["uid"])
            place = metadata["namespace"]
            await jobs.create_namespaced_job(place, job_of(raw))
            status = {**raw, "status": {"phase": "Pending", "message": "the Job is made"}}
            await objects.replace_namespaced_custom_object_status(
                GROUP, VERSION, place, PLURAL, metadata["name"], status
            )

        async def tell() -> None:
            await started.wait()
            await asyncio.to_thread(ready.touch)

        telling = asyncio.create_task(tell())
        settings = kopf.OperatorSettings()
        settings.peering.standalone = True
        settings.posting.enabled = False
        await kopf.operator(registry=registry, settings=settings, clusterwide=True, ready_flag=started)
        await telling


if __name__ == "__main__":
    asyncio.run(main())
