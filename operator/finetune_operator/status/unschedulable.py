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
    # What the scheduler says, what it means, and the field that decides it.
    (r"Insufficient nvidia\.com/gpu", "too few GPUs are free", "resources.gpus"),
    (r"Insufficient cpu", "too little CPU is free", "resources.cpu"),
    (r"Insufficient memory", "too little memory is free", "resources.memory"),
    (r"Insufficient (\S+)", r"too little \1 is free", ""),
    (r"Too many pods", "there are as many pods as the node takes", ""),
    (r"had untolerated taint(?:\(s\))? ?(\{.*\})?", r"a taint that the pod does not tolerate \1", "pod.tolerations"),
    (r"didn't match Pod's node affinity/selector", "labels are not as asked for", "pod.nodeSelector, pod.affinity"),
    (r"didn't match pod topology spread constraints.*", "pods are to be spread", "pod.topologySpreadConstraints"),
    (r"didn't (?:match|satisfy) .*affinity rules", "pods are to be together or apart", "pod.affinity"),
    (r"were unschedulable", "cordoned, as before a drain", ""),
    (r"had volume node affinity conflict", "a volume of the pod cannot be used there", ""),
    (r"had no available volume zone", "a volume of the pod is in another zone", ""),
    (r"exceed max volume count", "as many volumes as the node takes are in use", ""),
    (r"did(?:n't find| not find) available persistent volumes to bind", "no volume fits a claim", ""),
    (r"did not have enough free storage", "too little storage is free for a claim", ""),
    (r"cannot allocate all claims", "no device fits a claim", ""),
]


def is_about_claims(message: str) -> bool:
    """Whether the scheduler waits for a PersistentVolumeClaim, whose own Warnings then say more."""
    return any(words in message for words in _OF_VOLUMES)


def in_plain_words(message: str) -> str:
    """Such as `too few GPUs are free on 3 of 5 nodes (resources.gpus)`, and the scheduler's own words, shortened."""
    found = _NODES.fullmatch(message)
    said = _PREEMPTION.sub("", found[2], count=1).rstrip(". ") if found else message
    missing = _CLAIM_MISSING.search(message)
    if missing:
        return f"the claim {missing[1]} is not there"
    if _UNBOUND in message:
        return "a claim of the pod has no volume yet"
    if found is None:
        return message
    parts = [_translate(part, found[1]) for part in re.split(r", (?=\d+ )", said)]
    if None in parts:
        return f"0/{found[1]} nodes are available: {said}"
    return f"{', '.join(filter(None, parts))}; the scheduler: {said}"


def _translate(part: str, nodes: str) -> str | None:
    counted = _COUNT.fullmatch(part)
    if counted is None:
        return None
    for pattern, plain, field in _PLAIN:
        match = re.fullmatch(pattern, counted[2])
        if match:
            what = match.expand(plain).strip()
            return f"{what} on {counted[1]} of {nodes} nodes" + (f" ({field})" if field else "")
    return f"{counted[2]} on {counted[1]} of {nodes} nodes"
