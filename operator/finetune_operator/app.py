"""The operator's parts, put together: who hears whom, what runs, and when it is ready."""

import asyncio
import logging

from kubernetes.aio.client import ApiClient, ApiException
from kubernetes.aio.client.exceptions import NotFoundException

from finetune_api.base import JsonObject
from finetune_operator import handlers
from finetune_operator.certificates import Certificates
from finetune_operator.finetunejobs import FineTuneJobs
from finetune_operator.health import Heartbeat, serve_health, silence_check
from finetune_operator.informer import FAILURES, Informer
from finetune_operator.kube import FINETUNEJOBS, JOBS, PODS, Kind, Kube, connect
from finetune_operator.latest_reports import LatestReports
from finetune_operator.manifests.pod import Surroundings
from finetune_operator.names import LABEL_JOB_UID
from finetune_operator.ownership import PodOwners, key_of_job
from finetune_operator.queue import WorkQueue
from finetune_operator.reconcile import Reconciler
from finetune_operator.reports import serve_reports
from finetune_operator.resource import Key
from finetune_operator.settings import Settings

_CHECK_SECONDS = 60.0
_CRD_SECONDS = 2.0
_LONGEST_BEHIND_SECONDS = 120.0

_log = logging.getLogger(__name__)


class Operator:
    """Everything that runs in the operator's process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._namespace = settings.watch_namespace or None
        self._started = False

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises what no part can go on after."""
        client = await connect()
        try:
            await self._run(client)
        finally:
            await client.close()  # type: ignore[no-untyped-call]

    async def _run(self, client: ApiClient) -> None:
        settings = self._settings
        kube = Kube(client, qps=settings.kube_qps, burst=settings.kube_burst)
        await self._wait_for_the_crd(kube)
        certificates = Certificates(
            client, namespace=settings.namespace, secret=settings.secret_name, hosts=settings.report_hosts()
        )
        await certificates.refresh()

        queue: WorkQueue[Key] = WorkQueue(lambda key: reconciler.reconcile(key), delay_of=retry_after)
        finetunejobs = FineTuneJobs(queue.add)
        reports = LatestReports(queue.add)

        def on_job(raw: JsonObject) -> None:
            key = key_of_job(raw)
            if key is not None:
                queue.add(key)

        def on_pod(raw: JsonObject) -> None:
            key = finetunejobs.key_of_uid((raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID, ""))
            if key is not None:
                queue.add(key)

        def informer(kind: Kind, on_change: handlers.OnObject) -> Informer:
            return Informer(
                kube,
                kind,
                namespace=self._namespace,
                label=LABEL_JOB_UID,
                on_change=on_change,
                relist_seconds=settings.relist_interval,
            )

        jobs, pods = informer(JOBS, on_job), informer(PODS, on_pod)
        report_server = await serve_reports(
            client=client,
            lookup=PodOwners(kube, jobs, pods),
            on_report=reports.take,
            context=certificates.context,
            host=settings.reports_host,
            port=settings.reports_port,
        )
        reports_url = settings.reports_url or f"https://127.0.0.1:{report_server.port}"
        reconciler = Reconciler(
            kube,
            finetunejobs=finetunejobs,
            jobs=jobs,
            pods=pods,
            reports=reports,
            surroundings=lambda: Surroundings(settings.trainer_image, reports_url, certificates.bundle),
            status_interval=settings.status_interval,
        )
        heartbeat = Heartbeat()
        health = await serve_health(
            settings.health_host,
            settings.health_port,
            alive=[
                heartbeat.check,
                silence_check("watch of Jobs", jobs.silence),
                silence_check("watch of Pods", pods.silence),
                silence_check("list of FineTuneJobs", finetunejobs.silence),
                silence_check("Kopf's watch of FineTuneJobs", finetunejobs.behind, _LONGEST_BEHIND_SECONDS),
            ],
            ready=[lambda: None if self._started else "the first lists have not come yet"],
        )
        registry = handlers.build_registry(client.configuration, on_seen=finetunejobs.seen, on_gone=finetunejobs.gone)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(heartbeat.run()),
                    group.create_task(jobs.run()),
                    group.create_task(pods.run()),
                    group.create_task(self._check(kube, finetunejobs)),
                    group.create_task(certificates.keep_fresh(lambda: _add_all(queue, finetunejobs))),
                ]
                # No work before the first lists: what is not in a cache yet would be asked for one by one.
                await jobs.synced.wait()
                await pods.synced.wait()
                tasks.append(group.create_task(queue.work(settings.workers)))
                self._started = True
                _log.info("serving %s; reports at %s", self._namespace or "all namespaces", reports_url)
                await handlers.run(registry, handlers.build_settings(), self._namespace)
                for task in tasks:
                    task.cancel()
        finally:
            await report_server.close()
            await health.cleanup()

    async def _wait_for_the_crd(self, kube: Kube) -> None:
        """Kopf looks for its resource once, at its start."""
        while True:
            try:
                await kube.list(FINETUNEJOBS, self._namespace)
                return
            except NotFoundException:
                _log.warning("the CustomResourceDefinition is not installed yet; waiting for it")
                await asyncio.sleep(_CRD_SECONDS)

    async def _check(self, kube: Kube, finetunejobs: FineTuneJobs) -> None:
        while True:
            try:
                await finetunejobs.check(kube, self._namespace)
            except FAILURES as error:
                _log.warning("list of FineTuneJobs failed: %s", type(error).__name__)
            await asyncio.sleep(_CHECK_SECONDS)


def _add_all(queue: WorkQueue[Key], finetunejobs: FineTuneJobs) -> None:
    for key in finetunejobs.keys():  # noqa: SIM118 - not a dict
        queue.add(key)


def retry_after(error: Exception) -> float | None:
    """The seconds to wait that the API server asks for with 429 or 503."""
    if not isinstance(error, ApiException) or error.headers is None:
        return None
    try:
        return float(error.headers.get("Retry-After", ""))
    except ValueError:
        return None
