"""An image that cannot be pulled, in one line that stays: kubelet's two reasons for it alternate with each try."""

import re
from typing import Final

from finetune_api.reasons import Reason
from finetune_api.status import FineTuneJobStatus
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_api.values import format_time
from finetune_operator.job.observation import Cause, Observation, PodState

PULLS: Final = frozenset({Reason.ERR_IMAGE_PULL, Reason.IMAGE_PULL_BACK_OFF})
"""Reasons of a pull that is tried again."""
PULLING: Final = "Failed to pull image"
"""What the message of an Event of a failed try begins with."""

_NEVER: dict[str, str] = {
    Reason.INVALID_IMAGE_NAME: "has a name that is not valid",
    Reason.ERR_IMAGE_NEVER_PULL: "is not on the node, and is never pulled",
}
_QUOTED = re.compile(r'(?i)\bimage "([^"]+)"')
_WRAPPING = re.compile(
    r'Back-off pulling image "[^"]*"(: )?|ErrImagePull: |Failed to pull image( "[^"]*")?: |rpc error: code = \w+ desc = '
)


def is_pull(cause: Cause) -> bool:
    """Whether a container waits for its image."""
    return cause.reason in PULLS or cause.reason in _NEVER


def is_unpulled(status: FineTuneJobStatus, observed: Observation) -> bool:
    """Whether a pod of the Job waits for its image, and nothing of the run has ever begun."""
    began = any(attempt.start_time for attempt in status.attempts)
    began = began or any(pod.started or pod.terminated for pod in observed.pods)
    return not began and any(pod.waiting is not None and is_pull(pod.waiting) for pod in observed.newest)


def describe_pull(pod: PodState, cause: Cause, tried: Cause | None, spec: FineTuneJobSpec) -> str:
    """What is wrong with a pod's image, and which field names it. `tried` is the Event of the tries, if it is known."""
    image, where = _image(pod, f"{cause.message} {tried.message if tried is not None else ''}", spec)
    never = _NEVER.get(cause.reason)
    if never is not None:
        return f"the image {image} {never}: check {where}"
    since = f" since {format_time(pod.scheduled)}" if pod.scheduled else ""
    tries = f", tried {tried.times} times" if tried is not None and tried.times > 1 else ""
    why = unwrap(tried.message if tried is not None else "") or unwrap(cause.message)
    return f"the image {image} cannot be pulled{tries}{since}{f': {why}' if why else ''}; check {where}"


def _image(pod: PodState, messages: str, spec: FineTuneJobSpec) -> tuple[str | None, str]:
    """Which image it is, and the fields that name it: the container waits for those of volumes as for its own, which the messages alone tell."""
    named = {name.removesuffix(":latest") for name in _QUOTED.findall(messages)}
    for volume in spec.pod.volumes:
        if volume.image is None or (reference := volume.image.reference) == pod.image:
            continue
        # The runtime puts the registry before a name that has none.
        end = f"/{reference.removesuffix(':latest')}"
        if any(f"/{name}".endswith(end) for name in named):
            return f"{reference} of the volume {volume.name}", "pod.volumes and pod.imagePullSecrets"
    if spec.pod.image:
        return pod.image, "pod.image and pod.imagePullSecrets"
    return pod.image, "the operator's default image, or name one in pod.image"


def unwrap(message: str) -> str:
    """The registry's or the runtime's own words, without what kubelet puts before them, which differs from try to try."""
    while found := _WRAPPING.match(message):
        message = message[found.end() :]
    return message
