"""Names of the children: deterministic, at most 63 characters, and never the same for two FineTuneJobs of a namespace."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

MAX_LENGTH = 63
"""Kubernetes puts a Job's name into a label of its pods, and a label's value ends there."""
_HASH_LENGTH = 10
_PLAIN_LENGTH = MAX_LENGTH - _HASH_LENGTH - 1
_REMEMBERED = 2000
"""So many jobs' names are not made again: they are asked for at each reading."""
_HASHED = re.compile(rf"-[0-9a-f]{{{_HASH_LENGTH}}}$")

_JOB_LENGTH = 59
"""A pod of an Indexed Job has the Job's name and its index as hostname, such as `-255`: a DNS label, without a dot."""

_PREFLIGHT = "-preflight-"

LABEL_JOB_NAME = "finetune.dev/job-name"
LABEL_CACHE = "finetune.dev/cache"
"""On the claims that the operator makes for a namespace's cache."""
LABEL_SHARED = "finetune.dev/shared"
"""On what the operator makes once a namespace besides claims. It belongs to no job."""
AUTHORITY = "finetune-operator-ca"
"""Name of the ConfigMap of each namespace with the authority of the report endpoint."""
ISOLATION = "finetune-operator-jobs"
"""Name of the NetworkPolicy of each namespace that lets nobody talk to the pods of its jobs."""
ANNOTATION_REQUESTED = "finetune.dev/requested"
"""On the Job: what the operator last requested of its changeable fields, so that what others change there is left alone."""
ANNOTATION_PROOF = "finetune.dev/proof"
"""On the Job: that the operator made it."""
ANNOTATION_INSTALLATION = "finetune.dev/installation"
"""On the Job: which installation made it, as the namespace and name of the Secret with its keys."""
ANNOTATION_PROFILE = "finetune.dev/kept-profile"
"""On the Job: what the FineTuneJob keeps of its profile, as JSON, for a status that has lost it."""
MANAGER = "finetune-operator"
"""The operator's name as field manager, in app.kubernetes.io/managed-by and as the reporter of Events."""
UNREADABLE = "finetune.dev/unreadable"
"""A field that the operator adds to an object that it read: what was left out of it, by top-level field, and why."""


def child_name(name: str, suffix: str = "") -> str:
    """The name of a child of the FineTuneJob `name`: the name itself with `suffix`, or shortened with a hash.

    A plain name has at most 52 characters and a shortened one exactly 63, so that no plain name meets a shortened one.
    """
    plain = name + suffix
    if len(plain) <= _PLAIN_LENGTH:
        return plain
    # A dot before the hyphen would make the name no DNS name.
    head = name[: _PLAIN_LENGTH - len(suffix)].replace(".", "-")
    return f"{head}-{_digest(name)}{suffix}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]


def job_name(name: str, run: int = 1) -> str:
    """Name of the batch/v1 Job: that of the FineTuneJob, or with a hash where it is too long or no DNS label, or not the first run's.

    A plain name that looks as if it had a hash gets one too, so that no plain name meets a shortened one.
    """
    if run != 1:
        suffix = f"-r{run}-{_digest(f'{name}/run/{run}')}"
        return name.replace(".", "-")[: _JOB_LENGTH - len(suffix)] + suffix
    if len(name) <= _JOB_LENGTH and "." not in name and not _HASHED.search(name):
        return name
    head = name.replace(".", "-")[: _JOB_LENGTH - _HASH_LENGTH - 1]
    return f"{head}-{_digest(name)}"


def preflight_job_name(name: str, run: int = 1) -> str:
    """Name of the batch/v1 Job of the preflight. It always ends in a hash, as no other job's plain name does."""
    digest = _digest(f"{name}/preflight" if run == 1 else f"{name}/preflight/{run}")
    return f"{job_name(name)[: MAX_LENGTH - len(_PREFLIGHT) - _HASH_LENGTH]}{_PREFLIGHT}{digest}"


def job_names(name: str, run: int) -> tuple[str, str]:
    """Names of the Jobs of a run: the one that trains, and that of the preflight."""
    return job_name(name, run), preflight_job_name(name, run)


def service_name(name: str, run: int = 1) -> str:
    """Name of the headless Service of a job of many pods. Older Kubernetes wants a letter first, which a Job's need not be."""
    return f"ft-{job_name(name, run)}"


def run_secret_prefix(name: str, run: int = 1) -> str:
    """What the name of the Secret of a run begins with, of which the API server makes up the rest."""
    return child_name(_base(name, run), "-run")


def _base(name: str, run: int) -> str:
    return name if run == 1 else job_name(name, run)


def claim_name(name: str, uid: str) -> str:
    """Name of the PersistentVolumeClaim.

    A part of the uid is in it, so that a job that was deleted and created again never meets the old one's checkpoints.
    """
    return child_name(name, f"-{short_uid(uid)}")


def short_uid(uid: str) -> str:
    """Enough of a uid to tell objects of one name apart."""
    return re.sub("[^a-z0-9]", "", uid)[:8]


def cache_claim_name(size: str, storage_class: str | None) -> str:
    """Name of the claim that the jobs of a namespace share: the same for all profiles that ask for the same."""
    return f"finetune-cache-{_digest(f'{size} {storage_class}')}"


def label_value(name: str) -> str:
    """`name` as the value of a label: itself where it fits."""
    return name if len(name) <= MAX_LENGTH else child_name(name)


@dataclass(frozen=True)
class ChildNames:
    """The names of all children of one run of a FineTuneJob."""

    job: str
    preflight_job: str
    service: str
    run_secret: str
    """What its name begins with."""
    claim: str
    label: str
    """Value of LABEL_JOB_NAME."""
    event: str
    """What the names of its Events begin with."""


@lru_cache(maxsize=_REMEMBERED)
def child_names(name: str, uid: str, run: int = 1) -> ChildNames:
    """The names of the children of the FineTuneJob `name` with this uid, in this run. All runs share the claim."""
    return ChildNames(
        job=job_name(name, run),
        preflight_job=preflight_job_name(name, run),
        service=service_name(name, run),
        run_secret=run_secret_prefix(name, run),
        claim=claim_name(name, uid),
        label=label_value(name),
        event=f"{child_name(name)}.",
    )
