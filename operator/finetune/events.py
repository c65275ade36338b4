"""The Events about a job and its pods, for a person to read."""

from dataclasses import dataclass
from datetime import datetime

from finetune.api import Api
from finetune.errors import NoCluster, NotAllowed
from finetune.pods import event_time, events_about, name_of, pods_of
from finetune.snapshot import Snapshot
from finetune_api.base import JsonObject
from finetune_api.printable import printable
from finetune_api.values import format_time


@dataclass(frozen=True)
class Event:
    """What some component said of a job or a pod."""

    time: datetime
    """When it was last seen."""
    type: str
    """Normal or Warning."""
    about: str
    """Kind and name, such as `Pod yelp-stars-0-abcde`."""
    reason: str
    message: str
    count: int

    def to_wire(self) -> JsonObject:
        """Return it as JSON."""
        return {**vars(self), "time": format_time(self.time)}


async def recent_events(api: Api, job: Snapshot) -> list[Event]:
    """Return the Events about the job and its training pods, the newest first.

    Raises:
        NotAllowed: The user may not list Events.
    """
    try:
        pods = [name_of(pod) for pod in await pods_of(api, job)]
    except (NotAllowed, NoCluster):
        pods = [each.pod for each in job.status.attempts]
    return [_read(event) for event in await events_about(api, job, pods)]


def _read(event: JsonObject) -> Event:
    about = event.get("involvedObject") or {}
    count = event.get("count") or (event.get("series") or {}).get("count")
    return Event(
        time=event_time(event),
        type=printable(str(event.get("type", ""))),
        about=printable(f"{about.get('kind')} {about.get('name')}"),
        reason=printable(str(event.get("reason", ""))),
        message=printable(str(event.get("message", ""))),
        count=count if isinstance(count, int) else 1,
    )
