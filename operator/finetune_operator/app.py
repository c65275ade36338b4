"""The operator's parts, put together: what calls what, what runs, and when it is ready."""

import asyncio
import logging
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

from kubernetes.aio.client import ApiClient
from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.profile import DEFAULT_NAME, OPEN, safe_profile
from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.kopf_watch import KopfWatch
from finetune_operator.controller.kueue import Kueue
from finetune_operator.controller.monthly_use import MonthlyUse
from finetune_operator.controller.numbers import Numbers
from finetune_operator.controller.ours import Ours
from finetune_operator.controller.profiles import Profiles, trim_profile
from finetune_operator.controller.reconciler import Reconciler
from finetune_operator.health import Check, Heartbeat, serve_health, silence_check
from finetune_operator.job.finetunejob import Key, parse_status
from finetune_operator.job.names import LABEL_JOB_UID, preflight_job_name, run_of
from finetune_operator.job.ownership import controller
from finetune_operator.job.parse_children import has_ended, parse_job, trim_job, trim_pod
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.report import Received
from finetune_operator.job.shard import Shard
from finetune_operator.kube.client import JOBS, PODS, PROFILES, Kind, Kube, connect
from finetune_operator.kube.errors import API_FAILURES, brief, retry_after
from finetune_operator.kube.informer import Informer
from finetune_operator.kube.lease import Lease
from finetune_operator.kube.quotas import RESOURCE_QUOTAS, QuotaRoom, trim_quota
from finetune_operator.kube.rate_limit import RateLimit
from finetune_operator.kube.siblings import Siblings
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.metrics.fleet import Fleet
from finetune_operator.metrics.instruments import LEADER, RECONCILE, RECONCILE_ERRORS
from finetune_operator.metrics_server import serve_metrics
from finetune_operator.reports.certificates import Certificates
from finetune_operator.reports.endpoint import Endpoint
from finetune_operator.reports.pod_owner import PodOwners
from finetune_operator.reports.server import serve_reports
from finetune_operator.reports.troubles import Troubles
from finetune_operator.settings import Settings
from finetune_operator.traces.stages import Sender
from finetune_operator.traces.switch import start_exporter
from finetune_operator.traces.traces import Traces

_CHECK_SECONDS = 60.0
_RETRY_SECONDS = 2.0
_RECOVERY_SECONDS = 5.0
_LONGEST_BEHIND_SECONDS = 120.0
_LEASE_QPS = 10
"""Of the Lease, whose renewal waits for no other request."""

logger = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises what the operator cannot go on after."""
    serving = asyncio.create_task(_serve(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    with suppress(asyncio.CancelledError):
        await serving


async def _serve(settings: Settings) -> None:
    client = await connect()
    try:
        await Operator(settings, client).run()
    finally:
        await client.close()  # type: ignore[no-untyped-call]


class Operator:
    """Everything that runs in the operator's process."""

    def __init__(self, settings: Settings, client: ApiClient) -> None:
        self._settings = settings
        self._client = client
        self._namespaces = settings.watch_namespaces
        self._shard = Shard.parse(settings.shard)
        lease_kube = Kube(client, qps=_LEASE_QPS, burst=_LEASE_QPS)
        self._siblings = Siblings(
            lease_kube,
            namespace=settings.namespace,
            base=settings.secret_name,
            shards=self._shard.of,
            seconds=settings.lease_seconds,
        )
        self._lease = Lease(
            lease_kube,
            namespace=settings.namespace,
            name=self._shard.name(settings.secret_name),
            metadata=self._siblings.metadata,
            identity=f"{settings.pod_name or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
            seconds=settings.lease_seconds,
        )
        self._kube = Kube(client, qps=settings.kube_qps, burst=settings.kube_burst, may_write=self._lease.left)
        self._certificates = Certificates(
            self._kube, namespace=settings.namespace, secret=settings.secret_name, hosts=settings.report_hosts()
        )
        self._queue: WorkQueue[Key] = WorkQueue(
            self._reconcile, delay_of=retry_after, lane_of=lambda key: key.namespace, is_urgent=self._has_a_job
        )
        self._numbers = Numbers(per_second=settings.reports_per_second, interval=settings.status_interval)
        self._monthly_use = MonthlyUse(
            self._kube,
            namespace=settings.namespace,
            name=settings.secret_name,
            present=lambda: self._finetunejobs.month_used(),
            serves=self._shard.serves,
        )
        self._finetunejobs = FineTuneJobs(
            self._queue.add,
            on_numbers=self._add_in_turn,
            on_gone=self._monthly_use.add_gone,
            serves=self._shard.serves,
        )
        self._blocked = BlockedJobs(self._finetunejobs.retry)
        ours = Ours(self._finetunejobs)
        self._jobs = self._informer(JOBS, self._on_job, trim_job, ours.is_job)
        self._pods = self._informer(PODS, self._on_pod, trim_pod, lambda raw: ours.may_be_pod(raw, self._job_of(raw)))
        self._quotas = self._informer(RESOURCE_QUOTAS, self._on_quota, trim_quota, self._is_of_the_shard, label=None)
        self._profile_cache = Informer(
            self._kube,
            PROFILES,
            label=None,
            on_change=self._on_profile,
            relist_seconds=settings.relist_interval,
            transform=trim_profile,
            on_recovery=self._on_recovery,
        )
        self._profiles = Profiles(
            self._kube,
            self._profile_cache,
            built_in=OPEN if settings.default_profile == "open" else safe_profile(settings.safe_limits),
            keys=lambda: self._certificates.proof_keys,
            used=self._monthly_use.used,
        )
        self._quota_room = QuotaRoom()
        self._reports_url = settings.reports_url or ""
        self._troubles = Troubles()
        self._reconciler = Reconciler(
            self._kube,
            finetunejobs=self._finetunejobs,
            jobs=self._jobs,
            pods=self._pods,
            profiles=self._profiles,
            pod_defaults=self._pod_defaults,
            blocked=self._blocked,
            trouble_of=self._troubles.about,
            numbers=self._numbers,
            kueue=Kueue(self._kube) if settings.kueue else None,
        )
        self._kopf_watch = KopfWatch(
            client.configuration,
            self._namespaces,
            on_seen=self._finetunejobs.seen,
            serves=self._shard.serves,
            on_gone=self._on_gone,
            on_again=self._read_finetunejobs,
        )
        self._traces = Traces(start_exporter())
        self._recoveries = RateLimit(per_second=1 / _RECOVERY_SECONDS, burst=1)
        self._heartbeat = Heartbeat()
        self._started = False
        self._taking_reports = False

    def _informer(
        self,
        kind: Kind,
        on_change: Callable[[JsonObject], None],
        transform: Callable[[JsonObject], JsonObject],
        keep: Callable[[JsonObject], bool] = lambda _: True,
        label: str | None = LABEL_JOB_UID,
    ) -> Informer:
        return Informer(
            self._kube,
            kind,
            namespaces=self._namespaces,
            label=label,
            on_change=on_change,
            relist_seconds=self._settings.relist_interval,
            transform=transform,
            keep=keep,
            keep_deleted=has_ended,
            on_recovery=self._on_recovery,
        )

    async def run(self) -> None:
        """Serve until cancelled."""
        settings = self._settings
        health = await serve_health(
            settings.health_host, settings.health_port, alive=[self._heartbeat.check], ready=self._ready_checks()
        )
        metrics = await serve_metrics(settings.metrics_host, settings.metrics_port, self._fleet())
        heartbeat = asyncio.create_task(self._heartbeat.run())
        try:
            await self._read_finetunejobs()
            await self._work()
        finally:
            heartbeat.cancel()
            await metrics.close()
            await health.close()
            self._traces.close()

    async def _work(self) -> None:
        """Keep the caches, and lead whenever it is this process' turn, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for keep in (self._jobs.run, self._run_pods, self._quotas.run, self._profile_cache.run, self._check):
                group.create_task(keep())
            # No work before the first lists: what is not in a cache yet would be asked for one by one.
            await self._jobs.synced.wait()
            await self._pods.synced.wait()
            await self._profile_cache.synced.wait()
            group.create_task(self._kopf_watch.run())
            self._started = True
            where = ", ".join(self._namespaces) or "all namespaces"
            logger.info("serving %s of shard %s", where, self._settings.shard)
            group.create_task(self._lease.run(self._lead))

    async def _lead(self) -> None:
        """Do the work and take reports, until cancelled. Nobody else does meanwhile."""
        settings = self._settings
        await self._siblings.agree()
        await _retry_until_done("the keys of the report endpoint cannot be read", self._certificates.refresh)
        report_server = await serve_reports(
            client=self._client,
            find_job=PodOwners(self._jobs, self._pods, self._finetunejobs.key_of_uid).find,
            on_report=self._on_report,
            on_refused=self._finetunejobs.refuse_report,
            context=self._certificates.context,
            host=settings.reports_host,
            port=settings.reports_port,
            troubles=self._troubles,
            per_second=settings.reports_per_second,
            interval=settings.status_interval,
        )
        self._reports_url = settings.reports_url or f"https://127.0.0.1:{report_server.port}"
        self._finetunejobs.begin_anew()
        self._want_default()
        try:
            async with asyncio.TaskGroup() as group:
                # Before the work: a job that begins is held to what its namespace has used.
                await self._monthly_use.read()
                group.create_task(self._monthly_use.keep())
                group.create_task(self._queue.work(settings.workers))
                group.create_task(self._profiles.keep_default())
                group.create_task(self._certificates.keep_fresh(self._add_all))
                if settings.service:
                    group.create_task(self._endpoint(settings.service).keep(self._kube, report_server.port))
                self._taking_reports = True
                LEADER.set(1)
                logger.info("reports come to %s", self._reports_url)
        finally:
            self._taking_reports = False
            LEADER.set(0)
            await report_server.close()

    def _endpoint(self, service: str) -> Endpoint:
        settings = self._settings
        return Endpoint(settings.namespace, service, settings.pod_name, settings.pod_uid, settings.pod_ip)

    async def _run_pods(self) -> None:
        """Watch pods once the Jobs are known, by which ours are told from those of others."""
        await self._jobs.synced.wait()
        await self._pods.run()

    async def _reconcile(self, key: Key) -> float | None:
        entry = self._finetunejobs.get(key)
        trace = self._traces.reconciling(entry.uid if entry else None)
        with RECONCILE.time(), RECONCILE_ERRORS.count_exceptions(), trace:
            return await self._reconciler.reconcile(key)

    def _on_report(self, received: Received) -> None:
        self._finetunejobs.take_report(received)
        entry = self._finetunejobs.get(received.key) if self._traces.on else None
        if entry is not None:
            self._traces.reported(
                Sender(entry.uid, received.pod_name, self._is_preflight(received)),
                received.body.report,
                at=received.time,
                took=received.took,
                attempts=lambda: parse_status(entry.raw.get("status")).attempts,
            )

    def _is_preflight(self, received: Received) -> bool:
        """Whether the pod that reports is the preflight's."""
        pod = self._pods.get(received.key.namespace, received.pod_name)
        job = controller(pod) if pod is not None else None
        return pod is not None and job is not None and job.name == preflight_job_name(received.key.name, run_of(pod))

    def _on_gone(self, raw: JsonObject) -> None:
        self._finetunejobs.gone(raw)
        if self._taking_reports:
            self._traces.deleted(raw)

    def _has_a_job(self, key: Key) -> bool:
        """Whether there is something that may run and end, so that the key goes before those that want to begin."""
        entry = self._finetunejobs.get(key)
        return entry is not None and self._jobs.has_labelled(entry.uid)

    def _add_in_turn(self, key: Key) -> None:
        """Look at a job of which there are new numbers and nothing else, once these may be written."""
        entry = self._finetunejobs.get(key)
        if entry is not None:
            self._queue.add_after(key, self._numbers.wait(entry.uid, entry.status_written), later=True)

    def _pod_defaults(self) -> PodDefaults:
        return PodDefaults(
            self._settings.trainer_image,
            self._reports_url,
            self._certificates.bundle,
            network_policy=self._settings.network_policy,
            private_addresses=self._settings.private_addresses,
            platform_user=self._settings.platform_user,
        )

    def _on_job(self, raw: JsonObject) -> None:
        owner = controller(raw)
        key = self._own_key(raw, owner.uid if owner is not None else "")
        if self._jobs.get(raw["metadata"]["namespace"], raw["metadata"]["name"]) is None or parse_job(raw).end:
            # There may be room for another.
            self._blocked.wake(raw["metadata"]["namespace"])
            if key is not None:
                self._finetunejobs.retry(key)
        if key is not None:
            self._queue.add(key)

    def _on_pod(self, raw: JsonObject) -> None:
        key = self._own_key(raw, (raw["metadata"].get("labels") or {}).get(LABEL_JOB_UID, ""))
        if key is not None:
            self._queue.add(key)

    def _on_recovery(self) -> None:
        """The API server answers again: nothing waits any longer for it to do so."""
        if self._recoveries.wait(""):
            return  # One that answers now and then is not to be asked the more for it.
        for informer in (self._jobs, self._pods, self._quotas, self._profile_cache):
            informer.retry()
        self._queue.retry_failed()

    def _is_of_the_shard(self, raw: JsonObject) -> bool:
        return self._shard.serves(raw["metadata"]["namespace"])

    def _own_key(self, raw: JsonObject, uid: str) -> Key | None:
        """The FineTuneJob of this uid, if it is in the object's namespace: labels and owners can be forged."""
        key = self._finetunejobs.key_of_uid(uid)
        return key if key is not None and key.namespace == raw["metadata"]["namespace"] else None

    def _job_of(self, pod: JsonObject) -> JsonObject | None:
        """The Job that a pod names as its owner, as it was last seen."""
        owner = controller(pod)
        return None if owner is None else self._jobs.get(pod["metadata"]["namespace"], owner.name)

    def _on_quota(self, raw: JsonObject) -> None:
        namespace, name = raw["metadata"]["namespace"], raw["metadata"]["name"]
        if self._quota_room.has_grown(raw, gone=self._quotas.get(namespace, name) is None):
            self._blocked.wake(namespace)

    def _on_profile(self, raw: JsonObject) -> None:
        self._finetunejobs.retry_unsettled()
        if raw["metadata"]["name"] == DEFAULT_NAME:
            self._want_default()

    def _want_default(self) -> None:
        if self._settings.default_profile != "none":
            self._profiles.want_default()

    def _add_all(self) -> None:
        for key in self._finetunejobs.all_keys():
            self._queue.add(key)

    def _ready_checks(self) -> list[Check]:
        def since_the_start(silence: Callable[[], float]) -> Callable[[], float]:
            return lambda: silence() if self._started else 0.0

        return [
            self._start_check,
            self._lease.trouble,
            silence_check("watch of Jobs", since_the_start(self._jobs.silence)),
            silence_check("watch of Pods", since_the_start(self._pods.silence)),
            silence_check("watch of FineTuneProfiles", since_the_start(self._profile_cache.silence)),
            silence_check("list of FineTuneJobs", since_the_start(self._finetunejobs.silence)),
            silence_check("Kopf's watch of FineTuneJobs", self._finetunejobs.behind, _LONGEST_BEHIND_SECONDS),
        ]

    def _fleet(self) -> Fleet:
        watches = {"jobs": self._jobs, "pods": self._pods, "finetuneprofiles": self._profile_cache}
        return Fleet(
            jobs=self._finetunejobs.standings,
            watches=lambda: {resource: watch.silence() for resource, watch in watches.items()},
            queue=self._queue.waiting,
        )

    def _start_check(self) -> str | None:
        if not self._started:
            return "the first lists have not come yet"
        return "reports are not taken yet" if self._lease.left() and not self._taking_reports else None

    async def _read_finetunejobs(self) -> None:
        """Take in a list of them, before Kopf begins: it looks for its resource once, and the definition must be there by then."""
        await _retry_until_done(
            "FineTuneJobs cannot be listed; is their definition installed?", self._list_finetunejobs
        )

    async def _list_finetunejobs(self) -> None:
        """List those of each namespace. Raises one of API_FAILURES unless one may be read; the others are then tried again by their watches."""
        failures = []
        for namespace in self._namespaces or (None,):
            try:
                await self._finetunejobs.check(self._kube, namespace)
            except ForbiddenException as error:
                failures.append(error)
                logger.warning("FineTuneJobs cannot be listed%s (%s)", _where(namespace), brief(error))
        if len(failures) == max(1, len(self._namespaces)):
            raise failures[0]

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for namespace in self._namespaces or (None,):
                try:
                    await self._finetunejobs.check(self._kube, namespace)
                except Exception as error:  # whatever comes, the operator goes on for all the others
                    unexpected = None if isinstance(error, API_FAILURES) else error
                    where = _where(namespace)
                    logger.warning("list of FineTuneJobs%s failed: %s", where, brief(error), exc_info=unexpected)
            if self._finetunejobs.behind() > _LONGEST_BEHIND_SECONDS:
                self._kopf_watch.begin_anew()


def _where(namespace: str | None) -> str:
    return f" in {namespace}" if namespace else ""


async def _retry_until_done(trouble: str, action: Callable[[], Awaitable[object]]) -> None:
    """Retry until the API server allows it; until then the operator is not ready, and logs why."""
    while True:
        try:
            await action()
            return
        except Exception as error:  # whatever the API server answers, the operator goes on
            unexpected = None if isinstance(error, API_FAILURES) else error
            logger.warning("%s (%s)", trouble, brief(error), exc_info=unexpected)
            await asyncio.sleep(_RETRY_SECONDS)
