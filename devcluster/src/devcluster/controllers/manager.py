"""Runs the controllers on shared informers."""

import asyncio
from pathlib import Path

from devcluster.client import (
    JOBS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SERVICE_ACCOUNTS,
    connect,
)
from devcluster.controllers.garbage_collector import CUSTOM_RESOURCES, GarbageCollector
from devcluster.controllers.job_controller import JobController
from devcluster.controllers.namespaces import NamespaceController
from devcluster.controllers.volume_binding import VolumeBinder
from devcluster.informer import Informer, running


async def run_controllers(kubeconfig: Path, *, job_backoff: float = 10.0) -> None:
    """Run the controllers of a dev cluster until cancelled; a real control plane has its own.

    `job_backoff` is the delay in seconds before a Job's first pod after a failure; Kubernetes has 10.
    """
    async with connect(kubeconfig) as client:
        informers = namespaces, accounts, jobs, pods, volumes, claims, definitions = (
            Informer(client, NAMESPACES),
            Informer(client, SERVICE_ACCOUNTS),
            Informer(client, JOBS),
            Informer(client, PODS),
            Informer(client, PERSISTENT_VOLUMES),
            Informer(client, PERSISTENT_VOLUME_CLAIMS),
            Informer(client, CUSTOM_RESOURCES),
        )
        async with running(*informers), asyncio.TaskGroup() as group:
            group.create_task(JobController(client, jobs, pods, job_backoff).run())
            group.create_task(NamespaceController(client, namespaces, accounts).run())
            group.create_task(VolumeBinder(client, volumes, claims).run())
            group.create_task(GarbageCollector(client, definitions).run())
