"""The operator's parts, put together: what calls what, what runs, and when it is ready."""

import asyncio
import gc
import logging
import signal
import socket
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

from kubernetes.aio.client import ApiClient

from finetune_api.base import JsonObject
from finetune_api.profile import OPEN, safe_profile
from finetune_operator.controller.blocked import BlockedJobs
from finetune_operator.controller.cache import FineTuneJobs
from finetune_operator.controller.children.kueue import Kueue
from finetune_operator.controller.kopf_watch import KopfWatch
from finetune_operator.controller.listing import LONGEST_BEHIND_SECONDS, Listing
from finetune_operator.controller.monthly_use import MonthlyUse
from finetune_operator.controller.notices import Notices
from finetune_operator.controller.numbers import TURNS_A_REPORT, Numbers
from finetune_operator.controller.profiles import Profiles
from finetune_operator.controller.reconciler import Reconciler
from finetune_operator.controller.tracing import Tracing
from finetune_operator.controller.watches import Watches
from finetune_operator.health import Check, Heartbeat, serve_health, silence_check
from finetune_operator.job.finetunejob import Key
from finetune_operator.job.pod_defaults import PodDefaults
from finetune_operator.job.report import Received
from finetune_operator.job.shard import Shard
from finetune_operator.kube.cancellation import run_all
from finetune_operator.kube.client import Kube, connect
from finetune_operator.kube.errors import retry_after
from finetune_operator.kube.leadership import ENDING_SECONDS, Leadership
from finetune_operator.kube.retry import keep_running, retry_until_done
from finetune_operator.kube.turns import Turns
from finetune_operator.kube.workqueue import WorkQueue
from finetune_operator.logging_setup import note_unhandled
from finetune_operator.metrics.fleet import Fleet
from finetune_operator.metrics.instruments import LEADER, RECONCILE, RECONCILE_ERRORS, SHARDS
from finetune_operator.metrics_server import serve_metrics
from finetune_operator.notify.notifier import Notifier
from finetune_operator.notify.post import Poster
from finetune_operator.reports.certificates import Certificates
from finetune_operator.reports.endpoint import Endpoint
from finetune_operator.reports.pod_owner import PodOwners
from finetune_operator.reports.server import serve_reports
from finetune_operator.reports.troubles import Troubles
from finetune_operator.settings import Settings
from finetune_operator.traces.switch import start_exporter
from finetune_operator.traces.traces import Traces

_REST_SECONDS = 0.2
"""A Job that was made has its start, its pod and the echo of its status within a moment: one pass for all of it."""
_YOUNG_OBJECTS = 20_000

logger = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises what the operator cannot begin with."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(note_unhandled)
    serving = asyncio.create_task(_serve(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
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
        self._shard = Shard.parse(settings.shard)
        SHARDS.set(self._shard.of)
        self._leadership = self._make_leadership()
        self._turns = Turns()
        self._kube = Kube(
            client,
            qps=settings.kube_qps,
            burst=settings.kube_burst,
            may_write=self._leadership.left,
            turns=self._turns,
        )
        self._certificates = Certificates(
            self._kube, namespace=settings.namespace, secret=settings.secret_name, hosts=settings.report_hosts()
        )
        self._queue = self._make_queue()
        self._numbers = Numbers(
            per_second=TURNS_A_REPORT * settings.reports_per_second, interval=settings.status_interval
        )
        self._monthly_use = MonthlyUse(
            self._kube, namespace=settings.namespace, name=settings.secret_name, serves=self._shard.serves
        )
        self._finetunejobs = self._make_finetunejobs()
        self._blocked = BlockedJobs(self._finetunejobs.retry)
        self._watches = self._make_watches()
        self._listing = Listing(
            self._kube, self._finetunejobs, settings.watch_namespaces, seconds=settings.relist_interval
        )
        self._profiles = self._make_profiles()
        self._notices = self._make_notices()
        self._reports_url = settings.reports_url or ""
        self._troubles = Troubles()
        self._reconciler = self._make_reconciler()
        self._kopf_watch = self._make_kopf_watch()
        self._tracing = Tracing(Traces(start_exporter()), self._finetunejobs, self._watches.pods)
        self._heartbeat = Heartbeat()
        self._started = False
        self._taking_reports = False

    def _make_leadership(self) -> Leadership:
        settings = self._settings
        return Leadership(
            self._client,
            self._shard,
            namespace=settings.namespace,
            base=settings.secret_name,
            identity=f"{settings.pod_name or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
            seconds=settings.lease_seconds,
        )

    def _make_queue(self) -> WorkQueue[Key]:
        return WorkQueue(
            self._reconcile,
            delay_of=retry_after,
            lane_of=lambda key: key.namespace,
            # What may run and end goes before what wants to begin.
            is_urgent=lambda key: self._watches.has_job(key),
            # Each worker has a request at the API server, which those of other namespaces wait behind.
            is_narrow=lambda namespace: self._blocked.is_refused(namespace),
            can_wait=lambda key: self._finetunejobs.is_under_way(key, self._watches.has_job),
            rest=_REST_SECONDS,
        )

    def _make_finetunejobs(self) -> FineTuneJobs:
        return FineTuneJobs(
            self._queue.add,
            on_numbers=self._add_in_turn,
            on_listed=self._queue.add_known,
            on_used=self._monthly_use.add,
            serves=self._shard.serves,
            on_found=lambda uid: self._watches.reconsider(uid),
            leads=lambda: self._leadership.left() > 0,
            on_doubted=lambda namespace: self._reconciler.forget_namespace(namespace),
        )

    def _make_watches(self) -> Watches:
        return Watches(
            self._kube,
            namespaces=self._settings.watch_namespaces,
            serves=self._shard.serves,
            resync_seconds=self._settings.relist_interval,
            finetunejobs=self._finetunejobs,
            blocked=self._blocked,
            queue=self._queue,
            on_default=self._want_default,
        )

    def _make_profiles(self) -> Profiles:
        settings = self._settings
        return Profiles(
            self._kube,
            self._watches.profiles,
            built_in=OPEN if settings.default_profile == "open" else safe_profile(settings.safe_limits),
            keys=lambda: self._certificates.proof_keys,
            installation=f"{settings.namespace}/{settings.secret_name}",
            used=self._monthly_use.used,
        )

    def _make_notices(self) -> Notices:
        return Notices(
            self._finetunejobs,
            read=lambda entry: self._profiles.read_finetunejob(entry.packed),
            send=Notifier(self._kube, Poster()).send,
            on_tried=self._queue.add,
        )

    def _make_reconciler(self) -> Reconciler:
        return Reconciler(
            self._kube,
            finetunejobs=self._finetunejobs,
            jobs=self._watches.jobs,
            pods=self._watches.pods,
            profiles=self._profiles,
            pod_defaults=self._pod_defaults,
            blocked=self._blocked,
            trouble_of=self._troubles.about,
            numbers=self._numbers,
            kueue=Kueue(self._kube) if self._settings.kueue else None,
            notices=self._notices,
        )

    def _make_kopf_watch(self) -> KopfWatch:
        return KopfWatch(
            self._client.configuration,
            self._settings.watch_namespaces,
            on_seen=self._finetunejobs.seen,
            serves=self._shard.serves,
            knows=self._finetunejobs.knows,
            on_gone=self._on_gone,
            on_list=self._listing.version,
            on_news=self._finetunejobs.heard,
            on_again=self._listing.read,
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
            await self._listing.read()
            await self._work()
        finally:
            heartbeat.cancel()
            await metrics.close()
            await health.close()
            self._tracing.close()

    async def _work(self) -> None:
        """Keep the caches, and lead whenever it is this process' turn, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watches.run())
            listing = partial(self._listing.keep, on_behind=self._kopf_watch.begin_anew)
            group.create_task(keep_running("comparison of finetunejobs", listing))
            # No work before the first lists: what is not in a cache yet would be asked for one by one.
            await self._watches.synced()
            _let_collector_rest()
            group.create_task(keep_running("watch of finetunejobs", self._kopf_watch.run))
            self._started = True
            where = ", ".join(self._settings.watch_namespaces) or "all namespaces"
            logger.info("serving %s of shard %s", where, self._settings.shard)
            # A leader that cannot lead lets another try.
            leadership = partial(self._leadership.run, self._lead)
            group.create_task(keep_running("leadership", leadership, ending=ENDING_SECONDS))

    async def _lead(self) -> None:
        """Do the work and take reports, until cancelled. Nobody else does meanwhile."""
        settings = self._settings
        await retry_until_done("the keys of the report endpoint cannot be read", self._certificates.refresh)
        report_server = await serve_reports(
            client=self._client,
            find_job=PodOwners(
                self._watches.jobs,
                self._watches.pods,
                self._finetunejobs.key_of_uid,
                self._finetunejobs.current,
                self._is_own,
            ).find,
            on_report=self._on_report,
            on_refused=self._finetunejobs.refuse_report,
            context=self._certificates.context,
            host=settings.reports_host,
            port=settings.reports_port,
            troubles=self._troubles,
            per_second=settings.reports_per_second,
            interval=settings.status_interval,
        )
        try:
            self._reports_url = settings.reports_url or f"https://127.0.0.1:{report_server.port}"
            self._begin_anew()
            self._want_default()
            # Before the work: a job that begins is held to what its namespace has used.
            await self._monthly_use.read()
            self._taking_reports = True
            LEADER.set(1)
            logger.info("reports come to %s", self._reports_url)
            tasks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
                "monthly use": self._monthly_use.keep,
                "work": partial(self._queue.work, settings.workers, most_later=settings.later_workers()),
                "notices": self._notices.work,
                "default profile": self._profiles.keep_default,
                "certificates": partial(self._certificates.keep_fresh, self._add_all),
            }
            if settings.service:
                tasks["endpoint"] = partial(self._endpoint(settings.service).keep, self._kube, report_server.port)
            await run_all(*(keep_running(task, work) for task, work in tasks.items()))
        finally:
            self._taking_reports = False
            self._finetunejobs.stand_by()
            LEADER.set(0)
            await report_server.close()

    def _begin_anew(self) -> None:
        """Look at all jobs, at those first for which something is to be made: another may have led meanwhile."""
        self._finetunejobs.begin_anew()
        self._queue.begin_anew(self._finetunejobs.all_keys())

    def _endpoint(self, service: str) -> Endpoint:
        settings = self._settings
        return Endpoint(settings.namespace, service, settings.pod_name, settings.pod_uid, settings.pod_ip)

    async def _reconcile(self, key: Key) -> float | None:
        await self._turns.take()
        with RECONCILE.time(), RECONCILE_ERRORS.count_exceptions(), self._tracing.reconciling(key):
            return await self._reconciler.reconcile(key)

    def _is_own(self, key: Key, job: JsonObject) -> bool:
        entry, own_jobs = self._finetunejobs.get(key), self._profiles.own_jobs
        if entry is None:
            return False
        # The proof first: a FineTuneJob takes a hundred times as long to read.
        return own_jobs.has_proof(job, entry.uid) or own_jobs.is_own(job, self._profiles.read_finetunejob(entry.packed))

    def _on_report(self, received: Received) -> None:
        self._finetunejobs.take_report(received)
        self._tracing.reported(received)

    def _on_gone(self, raw: JsonObject) -> None:
        self._finetunejobs.gone(raw)
        if self._taking_reports:
            self._tracing.deleted(raw)

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

    def _want_default(self) -> None:
        if self._settings.default_profile != "none":
            self._profiles.want_default()

    def _add_all(self) -> None:
        for key in self._finetunejobs.all_keys():
            self._queue.add_known(key)

    def _ready_checks(self) -> list[Check]:
        def since_the_start(silence: Callable[[], float]) -> Callable[[], float]:
            return lambda: silence() if self._started else 0.0

        return [
            self._start_check,
            self._leadership.trouble,
            silence_check("watch of Jobs", since_the_start(self._watches.jobs.silence)),
            silence_check("watch of Pods", since_the_start(self._watches.pods.silence)),
            silence_check("watch of FineTuneProfiles", since_the_start(self._watches.profiles.silence)),
            silence_check("watch of FineTuneJobs", since_the_start(self._finetunejobs.silence)),
            silence_check("what Kopf's watch has missed", self._finetunejobs.behind, LONGEST_BEHIND_SECONDS),
        ]

    def _fleet(self) -> Fleet:
        return Fleet(jobs=self._finetunejobs.standings, watches=self._watches.silences, queue=self._queue.waiting)

    def _start_check(self) -> str | None:
        if not self._started:
            return "the first lists have not come yet"
        return "reports are not taken yet" if self._leadership.left() and not self._taking_reports else None


def _let_collector_rest() -> None:
    """Leave out of garbage collection what is there by now, and look seldom for more: nearly all that a pass makes goes without it.

    A collection stops everything: with modules and caches in it, for a tenth of a second and more, several times a minute.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)
