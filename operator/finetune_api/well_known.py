"""Names by which operator, client and cluster know the pods of a job: labels, the container that trains, its user, its GPUs."""

from typing import Final

LABEL_JOB_UID: Final = "finetune.dev/job-uid"
"""On all children of a FineTuneJob: its uid."""
LABEL_RUN: Final = "finetune.dev/run"
"""The number of the run that a child is for; 1 where it is missing."""
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
"""What a child is part of: TRAINER, or the preflight."""
LABEL_INDEX: Final = "batch.kubernetes.io/job-completion-index"
"""On the pods of an Indexed Job, by Kubernetes: the pod's number from 0. The annotation of that name holds the same."""
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
"""The queue of Kueue."""
TRAINER: Final = "trainer"
"""Name of the container that trains, and component of its pods."""
USER: Final = 65532
"""Id of the user and the group that the trainer runs as, where nobody names another."""
GPU: Final = "nvidia.com/gpu"
"""The resource that a GPU is where nobody names another, and the key of the taint that keeps other pods from its nodes."""
