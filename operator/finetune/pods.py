"""The pods of a job, and the Events about it, as far as the user may read them."""

from datetime import UTC, datetime
from typing import Any

from finetune.api import EVENTS, PODS, Api
from finetune.snapshot import Snapshot
from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_api.well_known import LABEL_COMPONENT, LABEL_INDEX, LABEL_JOB_UID, LABEL_RUN, TRAINER


async def pods_of(api: Api, job: Snapshot, node: int = 0) -> list[JsonObject]:
    """Return the training pods of the present run that have the index `node`, oldest first.

    Raises:
        NotAllowed: The user may not list pods.
    """
    run = job.status.run.number if job.status.run else 1
    selector = f"{LABEL_JOB_UID}={job.uid},{LABEL_COMPONENT}={TRAINER}"
    found, _ = await api.list(PODS.path(job.namespace), {"labelSelector": selector})
    mine = [
        pod for pod in found if _label(pod, LABEL_RUN, "1") == str(run) and _label(pod, LABEL_INDEX, "0") == str(node)
    ]
    return sorted(mine, key=_age)


def _age(pod: JsonObject) -> tuple[str, bool, str]:
    # Kubernetes keeps the second; of one second, a pod that failed came before the one that replaced it.
    failed = (pod.get("status") or {}).get("phase") == "Failed"
    return str(_metadata(pod).get("creationTimestamp")), not failed, name_of(pod)


def name_of(pod: JsonObject) -> str:
    """Return the pod's name."""
    return str(_metadata(pod).get("name", ""))


def has_started(pod: JsonObject) -> bool:
    """Whether its container runs or has run, so that there is a log."""
    return any("running" in state or "terminated" in state for state in _states(pod))


def has_ended(pod: JsonObject) -> bool:
    """Whether its container has ended for good."""
    status = pod.get("status") or {}
    return status.get("phase") in ("Succeeded", "Failed")


async def warnings_about(api: Api, job: Snapshot, pods: list[str]) -> list[JsonObject]:
    """Return the Warning Events about the job itself and about these pods, the newest first.

    Raises:
        NotAllowed: The user may not list Events.
    """
    return await events_about(api, job, pods, ",type=Warning")


async def events_about(api: Api, job: Snapshot, pods: list[str], selector: str = "") -> list[JsonObject]:
    """Return the Events about the job itself and about these pods that a field selector takes, the newest first.

    Raises:
        NotAllowed: The user may not list Events.
    """
    about = [f"involvedObject.uid={job.uid}", *(f"involvedObject.name={name}" for name in pods)]
    path = EVENTS.path(job.namespace)
    found = [event for each in about for event in (await api.list(path, {"fieldSelector": f"{each}{selector}"}))[0]]
    return sorted(found, key=event_time, reverse=True)


def event_time(event: JsonObject) -> datetime:
    """Return when the Event was last seen."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        _metadata(event).get("creationTimestamp"),
    )
    return next((moment for text in times if (moment := read_time(text)) is not None), datetime.fromtimestamp(0, UTC))


def event_line(event: JsonObject) -> str:
    """Return reason and message of an Event, and what it is about."""
    about = event.get("involvedObject") or {}
    return printable(f"{about.get('kind')} {about.get('name')}: {event.get('reason')}: {event.get('message')}")


def read_time(text: object) -> datetime | None:
    """Return a time as Kubernetes writes it; None for anything else."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _metadata(pod: JsonObject) -> dict[str, Any]:
    metadata = pod.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _label(pod: JsonObject, name: str, default: str) -> str:
    return str((_metadata(pod).get("labels") or {}).get(name, default))


def _states(pod: JsonObject) -> list[dict[str, Any]]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return [
        each.get(state) or {} for each in statuses if each.get("name") == TRAINER for state in ("state", "lastState")
    ]
