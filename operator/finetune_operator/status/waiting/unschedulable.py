"""The scheduler's words on why no node takes a pod, in plain ones.

It says `0/5 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint(s). preemption: …`.
"""

import re

_NODES = re.compile(r"0/(\d+) nodes are available: (.+)")
_PREEMPTION = re.compile(r"[.,]? *(no new claims to deallocate,? *)?(preemption: .*)?$")
_COUNT = re.compile(r"(\d+) (?:node\(s\) )?(.+)")
_CLAIM_MISSING = re.compile(r'persistentvolumeclaim "([^"]+)" not found')
_UNBOUND = "unbound immediate PersistentVolumeClaims"
_OF_VOLUMES = (_UNBOUND, "binding volumes", "persistent volumes to bind", "persistentvolumeclaim")
"""Where these are in the scheduler's message, a claim may know more."""

_PLAIN: list[tuple[str, str, str]] = [
    # What the scheduler says of some nodes, which those are in plain words, and the field that decides it.
    (r"Insufficient nvidia\.com/gpu", "with too few free GPUs", "resources.gpus"),
    (r"Insufficient cpu", "with too little free CPU", "resources.cpu"),
    (r"Insufficient memory", "with too little free memory", "resources.memory"),
    (r"Insufficient (\S+)", r"with too little free \1", ""),
    (r"Too many pods", "full of pods", ""),
    (
        r"had untolerated taint(?:\(s\))? ?(\{.*\})?",
        r"with a taint that the pod does not tolerate \1",
        "pod.tolerations",
    ),
    (r"didn't match Pod's node affinity/selector", "without the labels asked for", "pod.nodeSelector, pod.affinity"),
    (
        r"didn't match pod topology spread constraints.*",
        "where pods would not be spread as asked for",
        "pod.topologySpreadConstraints",
    ),
    (
        r"didn't (?:match|satisfy) .*affinity rules",
        "where pods would not be together or apart as asked for",
        "pod.affinity",
    ),
    (r"were unschedulable", "cordoned", ""),
    (r"had volume node affinity conflict", "where a volume of the pod cannot be used", ""),
    (r"had no available volume zone", "in another zone than a volume of the pod", ""),
    (r"exceed max volume count", "with as many volumes as it takes", ""),
    (r"did(?:n't find| not find) available persistent volumes to bind", "without a volume that fits a claim", ""),
    (r"did not have enough free storage", "with too little free storage for a claim", ""),
    (r"cannot allocate all claims", "without a device that fits a claim", ""),
]


def is_about_claims(message: str) -> bool:
    """Whether the scheduler waits for a PersistentVolumeClaim, whose own Warnings then say more."""
    return any(words in message for words in _OF_VOLUMES)


def in_plain_words(message: str) -> str:
    """Such as `of 5 nodes 3 with too few free GPUs (resources.gpus), 2 cordoned`, and the scheduler's own words, shortened."""
    missing = _CLAIM_MISSING.search(message)
    if missing:
        return f"the claim {missing[1]} is not there"
    if _UNBOUND in message:
        return "a claim of the pod has no volume yet"
    found = _NODES.fullmatch(message)
    if found is None:
        return message
    said = _PREEMPTION.sub("", found[2], count=1).rstrip(". ")
    counted = [_COUNT.fullmatch(part) for part in re.split(r", (?=\d+ )", said)]
    parts = [(each[1], _translate(each[2])) for each in counted if each is not None]
    if len(parts) < len(counted):
        return f"0/{found[1]} nodes are available: {said}"
    if found[1] == "1":
        return f"the only node: {', '.join(why for _, why in parts)}; the scheduler: {said}"
    return f"of {found[1]} nodes {', '.join(f'{count} {why}' for count, why in parts)}; the scheduler: {said}"


def _translate(said: str) -> str:
    for pattern, plain, field in _PLAIN:
        match = re.fullmatch(pattern, said)
        if match:
            return match.expand(plain).strip() + (f" ({field})" if field else "")
    return f'"{said}"'
