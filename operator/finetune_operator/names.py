"""Names of what we make: deterministic, at most 63 characters, and never the same for two FineTuneJobs of a namespace."""

import hashlib
import re

MAX_LENGTH = 63
"""Kubernetes puts a Job's name into a label of its pods, and a label's value ends there."""
_HASH_LENGTH = 10
_PLAIN_LENGTH = MAX_LENGTH - _HASH_LENGTH - 1

LABEL_JOB_NAME = "finetune.dev/job-name"
LABEL_JOB_UID = "finetune.dev/job-uid"
ANNOTATION_REQUESTED = "finetune.dev/requested"
"""On the Job: what we last asked of its changeable fields, so that what others change there is left alone."""
MANAGER = "finetune-operator"
"""Our name as field manager, in app.kubernetes.io/managed-by and as the reporter of Events."""
CONTAINER = "trainer"


def child_name(name: str, suffix: str = "") -> str:
    """The name of a child of the FineTuneJob `name`: the name itself with `suffix`, or shortened with a hash.

    A plain name has at most 52 characters and a shortened one exactly 63, so that no plain name meets a shortened one.
    """
    plain = name + suffix
    if len(plain) <= _PLAIN_LENGTH:
        return plain
    # A dot before the hyphen would make the name no DNS name.
    head = name[: _PLAIN_LENGTH - len(suffix)].replace(".", "-")
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{head}-{digest}{suffix}"


def job_name(name: str) -> str:
    """Name of the batch/v1 Job."""
    return child_name(name)


def config_map_name(name: str) -> str:
    """Name of the ConfigMap that holds `run.yaml`."""
    return child_name(name, "-run")


def claim_name(name: str, uid: str) -> str:
    """Name of the PersistentVolumeClaim.

    A part of the uid is in it, so that a job that was deleted and created anew never meets the old one's checkpoints.
    """
    return child_name(name, "-" + re.sub("[^a-z0-9]", "", uid)[:8])


def label_value(name: str) -> str:
    """`name` as the value of a label: itself where it fits."""
    return name if len(name) <= MAX_LENGTH else child_name(name)
